"""What a person wrote, out of what a mail program sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels.email.html import html_to_text
from engine.channels.email.replies import own_words

QUOTED = "> Does Thursday work?\n> Reply STOP to opt out.\n"


@pytest.mark.parametrize(
    "introduction",
    [
        "On Sat, 21 Nov 2026 at 18:03, Example <sales@example.com> wrote:",
        "On Sat, 21 Nov 2026 at 18:03,\nExample <sales@example.com>\nwrote:",
        "Am 21.11.2026 um 18:03 schrieb Example <sales@example.com>:",
        "Le sam. 21 nov. 2026 à 18:03, Example <sales@example.com> a écrit :",
        "El sáb, 21 nov 2026 a las 18:03, Example (<sales@example.com>) escribió:",
        "Il giorno sab 21 nov 2026 alle ore 18:03 Example <sales@example.com> ha scritto:",
        "2026年11月21日(土) 18:03 Example <sales@example.com>:",
        "Ar Sad, 21 Du 2026 da 18:03, Example <sales@example.com> en deus skrivet:",  # a language that is not listed
        "-----Ursprüngliche Nachricht-----",
        "---------- Forwarded message ---------",
    ],
)
def test_what_is_introduced_as_somebody_elses_is_dropped(introduction: str) -> None:
    assert own_words(f"Yes, it does.\n\n{introduction}\n\n{QUOTED}") == "Yes, it does."


@pytest.mark.parametrize(
    "headers",
    [
        "From: Example <sales@example.com>\nSent: Saturday\nTo: Ada\nSubject: Offer",
        "________________________________\nVon: Example\nGesendet: Samstag\nAn: Ada\nBetreff: Angebot",
        "*From:* Example\n*Date:* Saturday\n*To:* Ada",
        "De : Example\nEnvoyé : samedi\nÀ : Ada\nObjet : Devis",
    ],
)
def test_headers_introduce_an_unmarked_quotation(headers: str) -> None:
    assert own_words(f"Fine for me.\n\n{headers}\n\nDoes Thursday work?\nReply STOP to opt out.") == "Fine for me."


def test_answers_between_and_below_marked_lines_are_kept() -> None:
    introduction = "On Sat, 21 Nov 2026 at 18:03, Example <sales@example.com> wrote:"

    below = own_words(f"{introduction}\n{QUOTED}\nYes, it does.")
    between = own_words(f"See below.\n\n{introduction}\n> Thursday?\n\nYes.\n\n> How many?\n\nTwo.\n\n-- \nAda")

    assert below == "Yes, it does."
    assert between == "See below.\n\nYes.\n\nTwo."


def test_line_before_the_introduction_is_the_persons() -> None:
    body = f"Yes, since 2026\nOn Sat, 21 Nov 2026 at 18:03, Example <sales@example.com> wrote:\n{QUOTED}"

    assert own_words(body) == "Yes, since 2026"


def test_only_a_quotation_is_no_words() -> None:
    assert own_words(QUOTED) == ""


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nAda Byron\nExample Inc.",
        "Best regards,\nAda",
        "Mit freundlichen Grüßen\n\nAda von Byron\nLeitung Einkauf\n+1 202 555 0102",
        "Thanks!",
        "Sent from my iPhone",
        "Regards\nAda\n\nGet Outlook for Android",
    ],
)
def test_signature_is_dropped(signature: str) -> None:
    assert own_words(f"STOP\n\n{signature}\n") == "STOP"


@pytest.mark.parametrize(
    "body",
    [
        "Thanks",
        "Hello\nThanks, that helps. I want two.",
        "Hello\nThanks\nI want two desks, and they must be here by Friday",
        "We need:\n- 2 desks\n- 3 chairs\nWhen can you deliver?",
        "Warning: my email changed. Mail me at ada2.",
        "Our address since 2026:\nMain Street 5",
        "De 2 a 4 me viene bien.\nPara: el jueves\nDe: Ana",
        "--- Options ---\nThe blue one",
    ],
)
def test_words_that_only_look_like_it_are_kept(body: str) -> None:
    assert own_words(body) == body


HOSTILE = ["a", " ", "\n", "-", "_", "> ", "\n> ", "On ", "On a\n", "wrote:\n", "From: x\n", "De:\n", "a@", "x@y.:\n",
           "Thanks\n", "On 2026 x@example.com\n", "- -----", "Sent from my \n"]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_hostile_bodies_end(piece: str) -> None:
    assert len(own_words(piece * (100_000 // len(piece)))) <= 100_000  # a pattern that backtracks would take minutes


@given(st.lists(st.sampled_from([*HOSTILE, "Am 1.1.2026 schrieb a@b.example:", "-- ", "word", "\r\n"]), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_lines_are_read_without_complaint(pieces: list[str]) -> None:
    assert not [line for line in own_words("".join(pieces)).split("\n") if line.startswith(">")]


def test_html_becomes_lines() -> None:
    html = """<html><head><title>no</title><style>no</style></head><body><p>Hello&nbsp;Ada</p><p>two<br>lines</p>
        <ul><li>one</li><li>two</li></ul><div style="DISPLAY: none">no</div>after
        <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><!-- no --></body></html>"""

    assert html_to_text(html) == "Hello Ada\n\ntwo\nlines\n\n- one\n- two\n\nafter\na b\nc"


@pytest.mark.parametrize(
    "html",
    [
        '<div>Yes.</div><div class="gmail_quote"><div>On 21 Nov 2026, Example &lt;a@example.com&gt; wrote:</div>'
        "<blockquote><p>Thursday?</p><blockquote>deeper</blockquote></blockquote></div>",
        '<p>Yes.</p><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> x</div><div>Thursday?</div>',
        '<div>Yes.</div><div class="yahoo_quoted"><div>Ada wrote: Thursday?</div></div>',
    ],
    ids=["Gmail", "Outlook", "Yahoo"],
)
def test_quotation_in_html_is_dropped(html: str) -> None:
    assert own_words(html_to_text(html)) == "Yes."


@pytest.mark.parametrize("html", ["", " ", "<!-- -->", "<?xml version='1.0' encoding='x'?>", "<style>"])
def test_html_without_words_is_empty(html: str) -> None:
    assert html_to_text(html) == ""


@pytest.mark.parametrize("piece", ["<div>", "<blockquote>", "<!--", "<", "<a ", "&", "<p>a", "<style>", "</p>"])
def test_long_hostile_html_ends(piece: str) -> None:
    assert len(html_to_text(piece * (200_000 // len(piece)))) <= 400_000


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["<p>", "</div>", "<blockquote>", "x", "<br>", "&#0;"])).map("".join)
)
@settings(max_examples=200, deadline=None)
def test_any_html_is_read_without_complaint(html: str) -> None:
    html_to_text(html).encode()
