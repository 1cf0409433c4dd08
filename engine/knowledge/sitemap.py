"""Sitemaps: addresses of pages, or of further sitemaps, in XML or as plain lines. Source: sitemaps.org protocol 0.9.

XML is read as a stream by expat. A document type is refused as such, and with it every entity but the five of XML: so
there is nothing to expand and nothing to load.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from .fetch_errors import NoSitemap
from .metering import unpacked

MAX_BYTES = 20 * 1024 * 1024  # unpacked; as many addresses as one may list take some 10
MAX_ADDRESSES = 50_000
MAX_ADDRESS = 4096
_PIECE = 64 * 1024
_GZIP = b"\x1f\x8b"
_INSIDE = {"urlset": "url", "sitemapindex": "sitemap"}


@dataclass(slots=True)
class Sitemap:
    """What a sitemap lists, in its order. is_complete: False where the file is broken off, or lists more than asked."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    is_complete: bool = True


def read(data: bytes, limit: int) -> Sitemap:
    """At most `limit` addresses of pages and as many of sitemaps. Raises NoSitemap, TooLarge, BadAnswer."""
    if data.startswith(_GZIP):
        data = unpacked(data, MAX_BYTES)
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if data.startswith(b"<") or is_utf16:
        return _Reader(limit).read(data)
    return _lines(data, limit)


def _lines(data: bytes, limit: int) -> Sitemap:
    lines = [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]
    if not lines or not all(line.lower().startswith(("http://", "https://")) for line in lines):
        raise NoSitemap("no_sitemap", "This is no sitemap.")
    return Sitemap(lines[:limit], is_complete=len(lines) <= limit)


class _Enough(Exception):
    """As many addresses as were asked for."""


class _Reader:
    """Reads `loc` of each `url` or `sitemap`; that of other vocabularies (images, languages) lies deeper."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found = Sitemap()
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, data: bytes) -> Sitemap:
        try:
            for start in range(0, len(data), _PIECE):
                self._parser.Parse(data[start : start + _PIECE], start + _PIECE >= len(data))
        except _Enough:
            self._found.is_complete = False
        except expat.ExpatError as error:
            if not self._found.pages and not self._found.sitemaps:
                raise NoSitemap("no_sitemap", f"The sitemap cannot be read: line {error.lineno} is no XML.") from error
            self._found.is_complete = False
        return self._found

    def _doctype(self, name: str, *_: object) -> None:
        if name.lower() == "html":
            raise NoSitemap("no_sitemap", "This is a web page, not a sitemap.")
        raise NoSitemap("no_sitemap", "The sitemap declares a document type, which sitemaps have no use for.")

    def _start(self, name: str, _: object) -> None:
        local = name.rpartition(" ")[2]
        if not self._path and local not in _INSIDE:
            kind = "a web page" if local.lower() == "html" else f"<{local[:50]}>"
            raise NoSitemap("no_sitemap", f"This is {kind}, not a sitemap.")
        self._path.append(local)
        if len(self._path) == 3 and local == "loc" and self._path[1] == _INSIDE[self._path[0]]:
            self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None and sum(map(len, self._text)) <= MAX_ADDRESS:
            self._text.append(text)

    def _end(self, _: str) -> None:
        self._path.pop()
        if self._text is None or len(self._path) != 2:
            return
        address, self._text = "".join(self._text).strip(), None
        listed = self._found.pages if self._path[0] == "urlset" else self._found.sitemaps
        if len(listed) >= self._limit:
            raise _Enough
        if address:
            listed.append(address)
