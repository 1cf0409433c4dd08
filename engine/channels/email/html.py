"""The text of an HTML email, with quotes marked by ">" as in plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]

ORIGINAL_MESSAGE = "-----Original Message-----"

_LONGEST = 500_000  # characters: a second of work at the very worst
_HIDDEN = {"head", "script", "style", "template", "title", "noscript"}
_BLOCKS = {
    "address", "article", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "footer", "form",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table",
    "tbody", "tr", "ul",
}  # fmt: skip
_APART = {"p", "ol", "ul", "table", "h1", "h2", "h3", "h4", "h5", "h6"}  # an empty line before and after
_QUOTED_FROM_HERE = {"divRplyFwdMsg", "appendonsend"}  # Outlook: what follows is the other email
_QUOTING_CLASS = re.compile(r"\b(?:yahoo_quoted|protonmail_quote)\b")
_INVISIBLE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def html_to_text(html: str) -> str:
    """The visible text, a line per block; "" for no HTML. Nothing is fetched and nothing raises."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html[:_LONGEST].encode("utf-8", "replace"), parser)
    except (etree.LxmlError, ValueError):
        return ""
    if root is None:
        return ""
    text = _Text()
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            text.enter(element)
        else:
            text.leave(element)
    return text.result()


@dataclass
class _Text:
    lines: list[str] = field(default_factory=lambda: [""])
    quotes: int = 0
    hidden: int = 0

    def enter(self, element: etree._Element) -> None:
        if self.hidden or element.tag in _HIDDEN or _INVISIBLE.search(element.get("style", "")):
            self.hidden += 1
            return
        if element.get("id") in _QUOTED_FROM_HERE or _QUOTING_CLASS.search(element.get("class", "")):
            self._break()
            self._add(ORIGINAL_MESSAGE)
        if element.tag in _BLOCKS or element.tag == "br":
            self._break(is_forced=element.tag == "br" or element.tag in _APART)
        if element.tag == "blockquote":
            self.quotes += 1
            self._break()
        if element.tag == "li":
            self._add("- ")
        self._add(element.text)

    def leave(self, element: etree._Element) -> None:
        if self.hidden:
            self.hidden -= 1
        else:
            if element.tag == "blockquote":
                self._break()
                self.quotes -= 1
            if element.tag in _BLOCKS:
                self._break(is_forced=element.tag in _APART)
            if element.tag in ("td", "th"):
                self._add(" ")
        if not self.hidden:
            self._add(element.tail)

    def result(self) -> str:
        text = "\n".join(line.rstrip() for line in self.lines)
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def _add(self, words: str | None) -> None:
        plain = _SPACE.sub(" ", words or "")
        if not self.lines[-1]:
            plain = plain.lstrip()
            if plain and self.quotes:
                plain = f"{'>' * min(self.quotes, 9)} {plain}"
        elif self.lines[-1].endswith(" "):
            plain = plain.lstrip()
        self.lines[-1] += plain

    def _break(self, *, is_forced: bool = False) -> None:
        if self.lines[-1] or is_forced:
            self.lines.append("")
