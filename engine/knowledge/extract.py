"""The text of a file. Runs in a process of its own (see `reader`): a hostile file may take what that may take.

Whatever the format, the text is paragraphs set apart by empty lines, headings as `# …`, a table's or CSV file's row a
line; that is what `chunks` cuts well.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import islice

from engine.imports import CsvError, RowError, open_csv
from engine.imports.decode import decode

from . import kinds

MAX_CHARACTERS = 5_000_000
MAX_TITLE = 500

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")
_FRONT_MATTER = re.compile(r"\s{0,100}---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_LIQUID = re.compile(r"\{%.{0,2000}?%\}|\{\{.{0,2000}?\}\}", re.DOTALL)
_COMMENT = re.compile(r"<!--.{0,20000}?-->", re.DOTALL)
_CODE = re.compile(r"(^```.*?^```[^\n]*$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_HEADING_TAG = re.compile(r"<h([1-6])\b[^<>]{0,2000}>(.{0,2000}?)</h\1\s*>", re.DOTALL | re.IGNORECASE)
_ITEM_TAG = re.compile(r"<li\b[^<>]{0,2000}>\s*", re.IGNORECASE)
_BLOCK_TAG = re.compile(
    r"</?(?:p|div|section|article|ol|ul|li|br|hr|table|thead|tbody|tr|blockquote|dl|dt|dd|figure|details|summary"
    r"|header|footer|main|nav|aside)\b[^<>]{0,2000}>",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|big|button|center|cite|code|em|font|i|iframe|img|input|kbd|label|mark|q|s|small|span|strong|sub"
    r"|sup|svg|path|td|th|u|var|video)\b[^<>]{0,2000}>",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!<>|~-])")
_SUPERSCRIPT = re.compile(r"</?su([bp])>")


class Unreadable(Exception):
    """The file gives no text. code: a stable word; the message is for the person who sent the file."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was read: the text, and the title that the file itself gives, "" if none."""

    text: str
    title: str = ""


def extract(data: bytes, media_type: str) -> Extracted:
    """The text of a file of this kind. Raises Unreadable."""
    from . import office  # its libraries are not needed for text

    readers = {
        kinds.PDF: office.pdf,
        kinds.DOCX: office.docx,
        kinds.HTML: _html,
        kinds.MARKDOWN: _markdown,
        kinds.CSV: _csv,
        kinds.TEXT: _plain,
    }
    found = readers[media_type](data)
    text = tidy(found.text)
    if not text:
        raise Unreadable("no_text", "There is no text in the file. If it is a scan, make it searchable (OCR) first.")
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("too_long", f"The text has more than {MAX_CHARACTERS:,} characters. Split the document.")
    return Extracted(text, " ".join(_CONTROL.sub("", found.title).split())[:MAX_TITLE])


def tidy(text: str) -> str:
    """The text with ends of lines of one kind, no characters that nothing can show, one empty line in a row at most."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _BLANK_LINES.sub("\n\n", _CONTROL.sub("", text)).strip()


def _decoded(data: bytes) -> str:
    try:
        return "".join(decode([data])[1])
    except CsvError:
        return data.decode(errors="replace")


def _plain(data: bytes) -> Extracted:
    return Extracted(_decoded(data))


def _markdown(data: bytes) -> Extracted:
    """Markdown without front matter, Liquid tags and HTML tags; code is left as it is."""
    text = tidy(_decoded(data))
    title = ""
    if front := _FRONT_MATTER.match(text):
        found = _FRONT_TITLE.search(front[1])
        title = found[1].strip().strip("\"'") if found else ""
        text = text[front.end() :]
    parts = _CODE.split(text)
    parts[::2] = [_without_tags(part) for part in parts[::2]]
    text = "".join(parts)
    if not title and (heading := re.search(r"^#{1,2}[ \t]+(.+)$", text, re.MULTILINE)):
        title = heading[1].strip().rstrip("#").strip()
    return Extracted(text, title)


def _without_tags(text: str) -> str:
    text = _LIQUID.sub("", _COMMENT.sub("", text))
    if "<" in text:
        text = _HEADING_TAG.sub(
            lambda found: f"\n\n{'#' * int(found[1])} {' '.join(_tagless(found[2]).split())}\n\n", text
        )
        text = _tagless(_BLOCK_TAG.sub("\n", _ITEM_TAG.sub("\n* ", text)))
    return re.sub(r"[ \t]+$|^[ \t]{4,}", "", html.unescape(text), flags=re.MULTILINE)


def _tagless(text: str) -> str:
    return _INLINE_TAG.sub("", text)


def _html(data: bytes) -> Extracted:
    """The main content of a page as Markdown, else all of its text."""
    import trafilatura
    from trafilatura.settings import use_config

    config = use_config()
    config.set("DEFAULT", "EXTRACTION_TIMEOUT", "0")  # it would use a signal; the process has a limit of its own
    tree = trafilatura.load_html(data)
    if tree is None:
        raise Unreadable("corrupt", "The file is no HTML page that can be read")
    title = tree.findtext(".//title") or ""
    text = trafilatura.extract(
        data,
        output_format="markdown",
        fast=True,
        favor_recall=True,  # else lists of links go, and with them what the page lists
        include_comments=False,
        include_links=False,
        include_tables=True,
        include_formatting=True,
        config=config,
    )
    if not text:
        text = trafilatura.html2txt(data) or ""
    text = _SUPERSCRIPT.sub(lambda found: "^" if found[0] == "<sup>" else "", text)
    return Extracted(_ESCAPED.sub(r"\1", text), title)


def _csv(data: bytes) -> Extracted:
    """A line for each row, each cell with its header: so a row can be understood by itself."""
    lines = []
    try:
        source = open_csv([data])
        for row in islice(source, MAX_CHARACTERS):
            if not isinstance(row, RowError):
                cells = {name: " ".join(text.split()) for name, text in row.cells.items()}
                lines.append("; ".join(f"{name}: {text}" for name, text in cells.items() if text))
    except CsvError as error:
        raise Unreadable("corrupt", str(error)) from None
    if not lines:
        lines = [", ".join(source.headers)]
    return Extracted("\n".join(lines))
