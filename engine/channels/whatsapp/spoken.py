"""A person's WhatsApp message as the words that an agent reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.channels.members import items, mapping, text
from engine.channels.wording import UNSUPPORTED, labelled, located

_MEDIA = ("image", "video", "sticker", "audio", "document")


def words_of(message: Mapping[str, Any]) -> str:
    """The text; media in words (`[image] the caption`), an answer to a button by the button's title."""
    kind = text(message, "type")
    content = mapping(message, kind)
    if kind == "text":
        return text(content, "body") or UNSUPPORTED
    if kind in _MEDIA:
        return _media(kind, content)
    if kind == "button":
        return text(content, "text") or text(content, "payload") or UNSUPPORTED
    if kind == "interactive":
        return _interactive(content)
    if kind == "location":
        latitude, longitude = text(content, "latitude"), text(content, "longitude")
        return located(latitude, longitude, text(content, "name"), text(content, "address"))
    if kind == "contacts":
        return _contacts(message)
    if kind == "order":
        return _order(content)
    return UNSUPPORTED


def _media(kind: str, content: Mapping[str, Any]) -> str:
    label = "voice message" if kind == "audio" and content.get("voice") is True else kind
    filename = text(content, "filename")
    return labelled(f"{label}: {filename}" if filename else label, text(content, "caption"))


def _interactive(content: Mapping[str, Any]) -> str:
    for kind in ("button_reply", "list_reply"):
        chosen = mapping(content, kind)
        if chosen:
            return text(chosen, "title") or text(chosen, "id") or UNSUPPORTED
    form = mapping(content, "nfm_reply")
    return _form(form) if form else UNSUPPORTED


def _form(form: Mapping[str, Any]) -> str:
    """A form's answers by the names of its fields; Meta sends them as JSON in a text, at times broken."""
    try:
        answers = json.loads(text(form, "response_json"))
    except (ValueError, RecursionError):
        answers = None
    pairs = [f"{text(name)}: {text(answers, name)}" for name in mapping(answers) if name != "flow_token"]
    return labelled("form", "; ".join(pairs) or text(form, "body"))


def _contacts(message: Mapping[str, Any]) -> str:
    people = []
    for person in items(message, "contacts"):
        phones = [text(phone, "phone") for phone in items(person, "phones")]
        people.append(" ".join(filter(None, (text(person, "name", "formatted_name"), *phones))))
    return labelled("contact", "; ".join(filter(None, people)))


def _order(content: Mapping[str, Any]) -> str:
    wanted = [
        f"{text(item, 'quantity') or 1} × {text(item, 'product_retailer_id')}"
        for item in items(content, "product_items")
    ]
    return labelled("order", " ".join(filter(None, (", ".join(wanted), text(content, "text")))))
