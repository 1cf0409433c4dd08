"""What an update of Telegram says. Only private chats are conversations; the rest is ignored with its reason."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine import phones
from engine.channels import Credentials, Event, Ignored, Preference, Renamed, Request, Said, Sender
from engine.channels.members import items, mapping
from engine.channels.payloads import line, moment, text, whole
from engine.channels.telegram.content import described

_What = Said | Preference | Renamed | Ignored
_START = re.compile(r"/start(?:@\w+)?(?:\s+([A-Za-z0-9_-]{1,64}))?\s*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?![A-Za-z])")
_IGNORED = {
    "business_connection": "business",
    "business_message": "business",
    "edited_business_message": "business",
    "deleted_business_messages": "business",
    "channel_post": "not_a_private_chat",
    "edited_channel_post": "not_a_private_chat",
    "chat_member": "not_a_private_chat",
    "chat_join_request": "not_a_private_chat",
    "message_reaction": "reaction",
    "message_reaction_count": "reaction",
    "poll": "poll",
    "poll_answer": "poll",
}


def is_authentic(request: Request, credentials: Credentials) -> bool:
    """Whether the update carries the secret that we gave to setWebhook; compared in constant time."""
    secret = credentials.secrets.get("secretToken", "")
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    return bool(secret) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace"))


def read(payload: Any) -> list[Event]:
    """The events of an update, none where it has no update_id; pressing Start gives two: the wish and the words."""
    update = mapping(payload)
    update_id = whole(update.get("update_id"))
    if update_id is None:
        return []
    for kind, reader in _READERS.items():
        if kind in update:
            content = mapping(update[kind])
            what = reader(content)
            break
    else:
        content = {}
        what = Ignored(next((reason for kind, reason in _IGNORED.items() if kind in update), "unknown_update"))
    contact, at = _person(content), moment(content.get("edit_date")) or moment(content.get("date"))
    events = [Event(str(update_id), contact, what, at=at, payload=update)]
    if isinstance(what, Said) and what.text == "/start":
        wish = Preference(what.sender, "start", is_confirmed=True)
        events.insert(0, Event(f"{update_id}/start", contact, wish, at=at, payload=update))
    return events


def _message(message: Mapping[str, Any]) -> _What:
    moved_to, chat_id = whole(message.get("migrate_to_chat_id")), whole(mapping(message, "chat").get("id"))
    if moved_to is not None and chat_id is not None:
        return Renamed(str(chat_id), str(moved_to))
    if reason := _not_a_lead(message, mapping(message, "from")):
        return Ignored(reason)
    words = described(message)
    if words is None:
        return Ignored("poll" if "poll" in message else "no_content")
    start = _START.fullmatch(words)
    return Said(
        _sender(message),
        "/start" if start else words,
        _message_id(message),
        reply_to=_message_id(mapping(message, "reply_to_message")) or None,
        language=_language(message),
        start_payload=(start[1] or "") if start else "",
    )


def _edited(message: Mapping[str, Any]) -> _What:
    """The new words, as an answer to the old ones. They stand alone, so that "stop" is understood here too."""
    if "location" in message:
        return Ignored("live_location")  # it moves every few seconds
    said = _message(message)
    if not isinstance(said, Said):
        return said
    edited_at = whole(message.get("edit_date")) or 0
    return Said(
        said.sender, said.text, f"{said.provider_id}:{edited_at}", reply_to=said.provider_id, language=said.language
    )


def _button(query: Mapping[str, Any]) -> _What:
    message = mapping(query, "message")  # null, or without content when it is too old
    if reason := _not_a_lead(message, mapping(query, "from"), is_private=not message):
        return Ignored(reason)
    label = _label(message, query.get("data"))
    if not label:
        return Ignored("no_content")
    query_id = text(query.get("id"), 200)
    return Said(
        _sender(query),
        label,
        f"callback:{query_id}",
        reply_to=_message_id(message) or None,
        fetch={"callback_query_id": query_id} if query_id else None,
        language=_language(query),
    )


def _membership(change: Mapping[str, Any]) -> _What:
    if reason := _not_a_lead(change, mapping(change, "from")):
        return Ignored(reason)
    was, now = (text(mapping(change, f"{age}_chat_member").get("status"), 20) for age in ("old", "new"))
    if now in ("kicked", "left") and was not in ("kicked", "left"):
        return Preference(_sender(change), "stop", is_confirmed=True)  # nobody can be told who has blocked us
    if now == "member" and was != "member":
        return Preference(_sender(change), "start", is_confirmed=True)
    return Ignored("membership_unchanged")


_READERS: dict[str, Callable[[Mapping[str, Any]], _What]] = {
    "message": _message,
    "edited_message": _edited,
    "callback_query": _button,
    "my_chat_member": _membership,
}


def _not_a_lead(content: Mapping[str, Any], person: Mapping[str, Any], *, is_private: bool = False) -> str | None:
    """Why this is no person who writes to the bot alone; None if it is."""
    if not is_private and mapping(content, "chat").get("type") != "private":
        return "not_a_private_chat"
    if person.get("is_bot") is True:
        return "from_a_bot"
    return "no_sender" if whole(person.get("id")) is None else None


def _sender(content: Mapping[str, Any]) -> Sender:
    person = mapping(content, "from")
    name = " ".join(filter(None, (line(person.get("first_name")), line(person.get("last_name")))))
    return Sender((_person(content),), phone=_own_phone(content), name=name[:200])


def _person(content: Mapping[str, Any]) -> str:
    """Who wrote; in a private chat it is the chat's id too."""
    ids = (mapping(content, member).get("id") for member in ("from", "chat"))
    return next((str(number) for number in map(whole, ids) if number is not None), "")


def _own_phone(message: Mapping[str, Any]) -> str:
    """The phone of a shared contact that is the sender's own; anybody may send a card of somebody else."""
    contact = mapping(message, "contact")
    owner = whole(contact.get("user_id"))
    if owner is None or owner != whole(mapping(message, "from").get("id")):
        return ""
    try:
        phone = phones.normalize("+" + phones.digits(text(contact.get("phone_number"), 64)))
    except phones.PhoneError:
        return ""
    return phone.e164 if phone.valid else ""


def _message_id(message: Mapping[str, Any]) -> str:
    """Chat and number: numbers are counted anew by each bot."""
    chat_id, number = whole(mapping(message, "chat").get("id")), whole(message.get("message_id"))
    return "" if chat_id is None or number is None else f"{chat_id}:{number}"


def _label(message: Mapping[str, Any], pressed: Any) -> str:
    """What the button says; its data where the message is gone."""
    rows = mapping(message, "reply_markup").get("inline_keyboard")
    buttons = (button for row in (rows if isinstance(rows, list) else ()) for button in items(row))
    labels = (text(button.get("text")) for button in buttons if button.get("callback_data") == pressed)
    return next(filter(None, labels), "") or text(pressed)


def _language(content: Mapping[str, Any]) -> str:
    match = _LANGUAGE.match(text(mapping(content, "from").get("language_code"), 35))
    return match[0].lower() if match else ""
