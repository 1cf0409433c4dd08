"""A message in Graph's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.channels import Outgoing, Template, Undeliverable
from engine.channels.wording import with_choices

MAX_BUTTONS = 3
MAX_BUTTON_TITLE = 20
MAX_TEXT_WITH_BUTTONS = 1024

_NUMBER = re.compile(r"\+?[0-9]{5,20}")
_USER_ID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")  # business-scoped: country, then Meta's own


def body_of(message: Outgoing) -> dict[str, Any]:
    """The request for one message. Raises Undeliverable where nothing is known to send it to."""
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_recipient(message),
        **_content(message),
        "biz_opaque_callback_data": message.id,
    }


def _recipient(message: Outgoing) -> dict[str, str]:
    """By number where one is known: an authentication template demands it, and it reaches older accounts too."""
    numbers = [name.lstrip("+") for name in message.identities if _NUMBER.fullmatch(name)]
    if numbers or message.phone:
        return {"to": numbers[0] if numbers else message.phone.lstrip("+")}
    user_ids = [name for name in message.identities if _USER_ID.fullmatch(name)]
    if user_ids:  # never as `to`: there it is silently dropped
        return {"recipient": user_ids[0]}
    raise Undeliverable(
        "whatsapp_no_recipient", "Neither a phone number nor a WhatsApp user id of this person is known."
    )


def _content(message: Outgoing) -> dict[str, Any]:
    if message.template is not None:
        return {"type": "template", "template": _template(message.template)}
    titles = list(dict.fromkeys(title for title in map(str.strip, message.buttons) if title))
    if not titles:
        return _text(message.text)
    if _fit(message.text, titles):
        return {"type": "interactive", "interactive": _with_buttons(message.text, titles)}
    return _text(with_choices(message.text, titles))


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": {"body": words, "preview_url": False}}


def _fit(words: str, titles: Sequence[str]) -> bool:
    return (
        len(titles) <= MAX_BUTTONS
        and max(map(len, titles)) <= MAX_BUTTON_TITLE
        and 0 < len(words) <= MAX_TEXT_WITH_BUTTONS
    )


def _with_buttons(words: str, titles: Sequence[str]) -> Mapping[str, Any]:
    buttons = [{"type": "reply", "reply": {"id": title, "title": title}} for title in titles]
    return {"type": "button", "body": {"text": words}, "action": {"buttons": buttons}}


def _template(template: Template) -> Mapping[str, Any]:
    named: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if template.parameters:
        named["components"] = [{"type": "body", "parameters": _parameters(template)}]
    return named


def _parameters(template: Template) -> list[dict[str, str]]:
    """The values; Meta refuses line breaks in them, and wants names where the template has named places."""
    values = [{"type": "text", "text": " ".join(value.split())} for value in template.parameters]
    if len(template.places) == len(values) and not all(map(str.isdecimal, template.places)):
        values = [{**value, "parameter_name": place} for value, place in zip(values, template.places, strict=True)]
    return values
