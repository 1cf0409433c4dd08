"""What a webhook source's last answer says: one document, or one for each item of a list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import kinds
from .fetch import Fetched
from .fetch_errors import UrlRefused
from .urls import parse
from .webhook_flow import FlowError, as_json, as_text, pointed, text_of

MAX_ITEMS = 200
MAX_KEY = 200
_WHOLE = "answer"  # the key of what is not told apart
_HTML = re.compile(
    r"\s*<(!doctype|html|head|body|main|article|section|div|p|h[1-6]|ul|ol|table|br|span)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Item:
    """What becomes a document. key: what tells it from the others of its source, in every run the same."""

    key: str
    title: str
    content: str | bytes
    media_type: str
    url: str | None = None

    @property
    def digest(self) -> str:
        """What tells whether it has changed."""
        content = self.content.encode(errors="replace") if isinstance(self.content, str) else self.content
        told = "\0".join((self.title, self.media_type, self.url or "")).encode(errors="replace")
        return hashlib.sha256(told + b"\0" + content).hexdigest()


def read(name: str, documents: Mapping[str, str] | None, answer: Fetched) -> list[Item]:
    """The items of an answer. documents: JSON pointers to the list and, within an item, to its parts. Raises FlowError.

    Without `documents` the whole answer is one item: JSON as readable text, a page or a file as it is.
    """
    if documents is not None:
        return _listed(name, documents, as_json(answer, "The answer"))
    if answer.media_type.endswith("json"):
        found = as_json(answer, "The answer")
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, indent=2)
        return [Item(_WHOLE, name, as_text(text), kinds.TEXT)]
    if answer.media_type in ("", kinds.TEXT):
        return [Item(_WHOLE, name, text_of(answer), kinds.TEXT)]
    return [Item(_WHOLE, name, answer.body, answer.media_type)]


def _listed(name: str, documents: Mapping[str, str], found: Any) -> list[Item]:
    try:
        listed = pointed(found, documents.get("items", ""))
    except LookupError as error:
        raise FlowError("nothing_there", f"The answer has nothing at {documents['items']!r}.") from error
    each = listed if isinstance(listed, list) else [listed]
    if len(each) > MAX_ITEMS:
        raise FlowError("too_many_items", f"The answer has {len(each)} items; {MAX_ITEMS} is the most.")
    items: dict[str, Item] = {}
    seen_urls: set[str] = set()
    for place, entry in enumerate(each):
        item = _item(name, documents, entry, place)
        if item.key in items or not str(item.content).strip():
            continue
        items[item.key] = (
            item if item.url not in seen_urls else Item(item.key, item.title, item.content, item.media_type)
        )
        seen_urls.add(item.url or "")
    return list(items.values())


def _item(name: str, documents: Mapping[str, str], entry: Any, place: int) -> Item:
    def part(member: str) -> str:
        try:
            return as_text(pointed(entry, documents[member])).strip() if member in documents else ""
        except LookupError:
            return ""

    url = _url(part("url"))
    key = part("id") or url or f"item {place + 1}"
    if len(key) > MAX_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    content = part("content") if "content" in documents else _readable(entry)
    kind = kinds.HTML if _HTML.match(content) else kinds.TEXT
    return Item(key, part("title") or f"{name}: {key}", content, kind, url)


def _readable(entry: Any) -> str:
    return as_text(entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False, indent=2))


def _url(text: str) -> str | None:
    """An address to cite, None for anything else: it is shown to people and never asked."""
    try:
        return str(parse(text)) if text else None
    except UrlRefused:
        return None
