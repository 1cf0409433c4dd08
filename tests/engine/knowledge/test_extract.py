"""What is read out of files, and of which kind a file is."""

from __future__ import annotations

import io
import zipfile

import pytest

from engine.knowledge import extract, kinds
from engine.knowledge.extract import Unreadable
from storage.errors import Blocked
from tests.support import files

ROWS = [["Product", "Price"], ["Haircut", "30 euros"], ["Shave", "15 euros"]]


def read(data, kind):
    return extract.extract(data if isinstance(data, bytes) else data.encode(), kind)


class TestKinds:
    @pytest.mark.parametrize(
        ("data", "name", "declared", "kind"),
        [
            pytest.param(b"%PDF-1.7 ...", "x.txt", "text/plain", kinds.PDF, id="pdf by its bytes"),
            pytest.param(b"junk\n%PDF-1.4", None, None, kinds.PDF, id="pdf after junk"),
            pytest.param(b"no pdf", "a.pdf", None, kinds.PDF, id="pdf by name: reading will tell"),
            pytest.param(b"PK\x03\x04..word/document.xml", "x.bin", None, kinds.DOCX, id="docx by its bytes"),
            pytest.param(b"<!DOCTYPE html><p>Hi", "x.txt", None, kinds.HTML, id="html by its bytes"),
            pytest.param(b"<p>Hi", None, "text/html; charset=utf-8", kinds.HTML, id="html as declared"),
            pytest.param(b"# Hi", "README.MD", "text/plain", kinds.MARKDOWN, id="markdown by name"),
            pytest.param(b"a,b", "x.csv", "application/vnd.ms-excel", kinds.CSV, id="csv by name"),
            pytest.param(b"Hi", None, "text/plain", kinds.TEXT, id="text"),
            pytest.param("Grüße".encode("utf-16"), "x.txt", None, kinds.TEXT, id="text in UTF-16"),
            pytest.param("Grüße".encode("utf-16-le"), "x.txt", None, kinds.TEXT, id="UTF-16 without a mark"),
            pytest.param("日本語".encode("shift-jis"), "x.txt", None, kinds.TEXT, id="text in Shift-JIS"),
        ],
    )
    def test_kind_is_told(self, data, name, declared, kind):
        assert kinds.kind_of(data, name, declared) == kind

    @pytest.mark.parametrize(
        ("data", "name", "code"),
        [
            pytest.param(b"", "x.txt", "empty_file", id="empty"),
            pytest.param(b"\n ", "x.pdf", "empty_file", id="blank"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(50), "x.txt", "unsupported_file", id="picture called text"),
            pytest.param(b"PK\x03\x04 anything", "x.odt", "unsupported_file", id="other archive"),
            pytest.param(b"\xd0\xcf\x11\xe0" + bytes(600), "x.xls", "unsupported_file", id="old spreadsheet"),
            pytest.param(b"anything", "x.exe", "unsupported_file", id="unknown name"),
        ],
    )
    def test_rest_is_refused(self, data, name, code):
        with pytest.raises(Blocked) as refused:
            kinds.kind_of(data, name)

        assert refused.value.code == code


class TestMarkdown:
    def test_front_matter_liquid_and_tags_go(self):
        text = """---
title: "Delivery & returns"
order: 3
---
{% include header.html %}
# Delivery
<div class="note" data-x="1"><h2 class="small">
  Prices </h2><ol><li>Letter: {{ price }}4.90</li><li>Parcel &amp; more</li></ol></div>
A <placeholder> stays, 1 < 2, too; [links](/x) as they are.

```html
<div>{{ code }}</div>
```
"""

        found = read(text, kinds.MARKDOWN)

        assert found.title == "Delivery & returns"
        assert found.text == (
            "# Delivery\n\n## Prices\n\n* Letter: 4.90\n\n* Parcel & more\n\nA <placeholder> stays, 1 < 2, too;"
            " [links](/x) as they are.\n\n```html\n<div>{{ code }}</div>\n```"
        )

    def test_first_heading_is_the_title_where_no_front_matter_names_one(self):
        assert read("Hello\n\n## Prices ##\n\ntext", kinds.MARKDOWN).title == "Prices"

    @pytest.mark.parametrize("text", ["---\nno end", "<li" * 20_000, "{%" * 50_000, "`" * 50_001, "<!--" * 30_000])
    def test_hostile_text_is_read_in_no_time(self, text):
        assert read(text, kinds.MARKDOWN).text


class TestHtml:
    def test_main_content_is_left(self):
        page = """<html><head><title> Our  prices </title><meta charset=latin-1></head><body>
            <nav><a href=/>Home</a></nav>
            <article><h1>Prices</h1><p>A haircut costs 30 euros in 2<sup>nd</sup> street, caf\xe9 included.</p>
            <h2>Beards</h2><p>A shave costs 15 euros on every day of the week, by appointment only.</p>
            <table><tr><th>Day</th><th>Hours</th></tr><tr><td>Monday</td><td>9 to 5</td></tr></table>
            </article><script>evil()</script><footer>Imprint</footer></body></html>""".encode("latin-1")

        found = read(page, kinds.HTML)

        assert found.title == "Our prices"
        assert "# Prices" in found.text
        assert "## Beards" in found.text
        assert "30 euros in 2^nd street, café" in found.text
        assert "| Monday | 9 to 5 |" in found.text
        assert not {"Home", "evil", "Imprint"} & set(found.text.replace("(", " ").split())

    def test_page_without_a_main_part_is_read_whole(self):
        assert "Open from nine" in read("<html><body><div>Open from nine</div></body></html>", kinds.HTML).text

    @pytest.mark.parametrize(
        "page", ["<html><body></body></html>", "<html><script>let a = 1</script></html>"], ids=["blank", "script only"]
    )
    def test_page_that_says_nothing_has_no_text(self, page):
        with pytest.raises(Unreadable) as refused:
            read(page, kinds.HTML)

        assert refused.value.code in ("no_text", "corrupt")


class TestCsv:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "shift-jis"])
    def test_rows_keep_their_headers(self, encoding):
        text = "名前;年齢;住所\n佐藤太郎;30;東京\n三木英子;;大阪\n"

        assert (
            read(text.encode(encoding), kinds.CSV).text
            == "名前: 佐藤太郎; 年齢: 30; 住所: 東京\n名前: 三木英子; 住所: 大阪"
        )

    def test_headers_alone_are_text(self):
        assert read("Name,Price\n", kinds.CSV).text == "Name, Price"


class TestPlainText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
    def test_encoding_is_found_out(self, encoding):
        text = "Die Öffnungszeiten: montags von neun bis fünf.\r\n\r\n\r\n\r\nGrüße aus Köln\x0c"

        assert read(text.encode(encoding), kinds.TEXT).text == (
            "Die Öffnungszeiten: montags von neun bis fünf.\n\nGrüße aus Köln"
        )


class TestPdf:
    def test_rows_of_a_table_stay_lines(self):
        data = files.pdf(["Price list", *("\t".join(row) for row in ROWS)], ["Second page"], title="Prices 2026")

        found = read(data, kinds.PDF)

        assert found.title == "Prices 2026"
        assert found.text == "Price list\nProduct | Price\nHaircut | 30 euros\nShave | 15 euros\n\nSecond page"

    def test_password_that_is_empty_is_none(self):
        assert read(files.pdf(["Hello"], password=""), kinds.PDF).text == "Hello"

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(files.pdf([]), "no_text", id="scan"),
            pytest.param(files.pdf(["Hello"], password="secret"), "encrypted", id="password"),
            pytest.param(files.pdf(["Hello"])[:400], "corrupt", id="cut off"),
            pytest.param(b"%PDF-1.7\n" + b"junk " * 100, "corrupt", id="junk"),
        ],
    )
    def test_reason_is_told(self, data, code):
        with pytest.raises(Unreadable) as refused:
            read(data, kinds.PDF)

        assert refused.value.code == code


class TestDocx:
    def test_headings_paragraphs_and_tables_come_in_order(self):
        data = files.docx("# Prices", "For 2026:", ROWS, "## Beards", "By appointment.", title="Price list")

        found = read(data, kinds.DOCX)

        assert found.title == "Price list"
        assert found.text == (
            "# Prices\n\nFor 2026:\n\nProduct | Price\nHaircut | 30 euros\nShave | 15 euros\n\n"
            "## Beards\n\nBy appointment."
        )

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(files.docx("Hello")[:1000], "corrupt", id="cut off"),
            pytest.param(b"\xd0\xcf\x11\xe0" + bytes(600), "encrypted", id="password or old"),
            pytest.param(files.docx(), "no_text", id="empty"),
        ],
    )
    def test_reason_is_told(self, data, code):
        with pytest.raises(Unreadable) as refused:
            read(data, kinds.DOCX)

        assert refused.value.code == code

    def test_bomb_is_not_unpacked(self):
        file = io.BytesIO()
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("word/document.xml", "w") as part,
        ):
            for _ in range(201):
                part.write(bytes(1024 * 1024))

        with pytest.raises(Unreadable) as refused:
            read(file.getvalue(), kinds.DOCX)

        assert refused.value.code == "too_large"


def test_more_text_than_a_book_is_too_long(monkeypatch):
    monkeypatch.setattr(extract, "MAX_CHARACTERS", 10)

    with pytest.raises(Unreadable) as refused:
        read("Hello there!", kinds.TEXT)

    assert refused.value.code == "too_long"
