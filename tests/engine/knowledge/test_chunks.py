"""Where texts are cut, and which words are indexed of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.knowledge import chunks
from engine.knowledge.terms import COMMON, terms, without_common

WORDS = "Delivery takes two days within the country and a week to islands. "


class TestSplit:
    def test_passages_are_cut_out_of_the_text_and_miss_no_word(self):
        text = "\n\n".join(f"## Part {number}\n\n{WORDS * (number % 7 + 1)}" for number in range(40))

        found = chunks.split(text)

        assert all(text[chunk.start : chunk.end] == chunk.text for chunk in found)
        assert all(len(chunk.text) <= chunks.MOST for chunk in found)
        covered = {place for chunk in found for place in range(chunk.start, chunk.end)}
        assert not [text[place] for place in range(len(text)) if place not in covered and text[place].strip()]

    def test_passage_knows_the_headings_above_it(self):
        parts = ["# Shop", "## Delivery", "**Islands**", "# Jobs"]
        text = "\n\n".join(f"{heading}\n\n{WORDS * 9}" for heading in parts)

        found = chunks.split(text)

        assert [chunk.heading for chunk in found if WORDS[:20] in chunk.text] == [
            "Shop",
            "Shop › Delivery",
            "Shop › Delivery › Islands",
            "Jobs",
        ]

    def test_hash_in_code_is_no_heading(self):
        text = f"# Shop\n\n```\n# a comment\n```\n\n{WORDS * 20}"

        assert {chunk.heading for chunk in chunks.split(text)} == {"Shop"}

    def test_long_line_is_cut_with_some_overlap(self):
        text = WORDS * 60

        found = chunks.split(text)

        assert len(found) > 3
        assert all(later.start < former.end for former, later in itertools.pairwise(found))

    @pytest.mark.parametrize("text", ["", " \n", "***\n\n---", "🙂"])
    def test_text_without_words_has_no_passages(self, text):
        assert chunks.split(text) == []

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=3000))
    def test_any_text_is_cut_out_of_itself(self, text):
        for chunk in chunks.split(text):
            assert text[chunk.start : chunk.end] == chunk.text


class TestTerms:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param("Duplicate accounts", "duplicated account", id="English"),
            pytest.param("contraseñas cambiadas", "Contrasena cambiado", id="Spanish"),
            pytest.param("ＦＵＬＬ width", "full WIDTH", id="full width"),
            pytest.param("SKU-4563", "sku 4563", id="code"),
            pytest.param("GRÖSSE", "große", id="German"),
        ],
    )
    def test_words_meet_in_other_forms(self, one, other):
        assert terms(one) == terms(other)

    def test_words_without_spaces_are_pairs_of_characters(self):
        assert terms("東京都 30") == ["東京", "京都", "30"]

    def test_words_are_whole_for_both_indexes(self):
        assert all(term.isalnum() for term in terms("it's a_b c++ x² naïve 1.5 'quoted' नमस्ते ١٢٣"))

    def test_common_words_are_left_out_unless_nothing_else_is_there(self):
        assert set(terms("How much is the")) <= COMMON
        assert without_common("How much is a haircut?") == "haircut ?"
        assert without_common("What is it") == "What is it"
