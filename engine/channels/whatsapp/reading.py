"""What Meta's webhooks tell. One body may hold several accounts, changes, messages and statuses, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from engine import phones
from engine.channels import DeliveryStatus, Event, Ignored, Preference, Renamed, Said, Sender, Status
from engine.channels.members import digest, identifier, items, mapping, moment, our_id, text
from engine.channels.payloads import whole
from engine.channels.whatsapp.errors import meaning_of
from engine.channels.whatsapp.spoken import words_of

_STATUSES: dict[str, DeliveryStatus] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",  # a voice message that was heard
    "failed": "failed",
}
_WISHES: dict[str, Literal["stop", "start"]] = {"stop": "stop", "resume": "start", "signup": "start"}
_NEW_NAME = ("user_changed_number", "customer_changed_number", "user_changed_user_id")


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of one account: its value, and whose it is. people: its contacts by number and by user id."""

    value: Mapping[str, Any]
    address: str
    people: Mapping[str, Mapping[str, Any]]

    def event(self, event_id: str, contact: str, what: Any, item: Mapping[str, Any]) -> Event:
        at: datetime | None = moment(item.get("timestamp"))
        return Event(event_id or digest([self.address, item]), contact, what, self.address, at, item)


def read(payload: Any) -> list[Event]:
    """Every message, status and change of preference or name in a webhook's parsed body, in its order."""
    return [event for address, change in _changes(payload) for event in _read(address, change)]


def addresses(payload: Any) -> list[str]:
    """Whom a body is for, each once: what must be known before it is verified costs no reading of it."""
    return list(dict.fromkeys(address for address, _ in _changes(payload)))


def _changes(payload: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in items(payload, "entry"):
        for change in items(entry, "changes"):
            yield identifier(change, "value", "metadata", "phone_number_id") or identifier(entry, "id"), change


def _read(address: str, raw: Mapping[str, Any]) -> list[Event]:
    value = mapping(raw, "value")
    people: dict[str, Mapping[str, Any]] = {}
    for contact in items(value, "contacts"):
        for name in filter(None, (identifier(contact, "wa_id"), identifier(contact, "user_id"))):
            people.setdefault(name, contact)
    change = _Change(value, address, people)
    reader = _FIELDS.get(text(raw, "field"))
    return reader(change) if reader is not None else [change.event("", "", Ignored("field_not_ours"), value)]


def _messages(change: _Change) -> list[Event]:
    events = [event for message in items(change.value, "messages") for event in _message(change, message)]
    events += [_status(change, status) for status in items(change.value, "statuses")]
    if not events and change.value.get("errors"):
        events = [change.event("", "", Ignored("provider_error"), change.value)]
    return events


def _message(change: _Change, message: Mapping[str, Any]) -> list[Event]:
    if text(message, "type") == "system":
        return _system(change, message)
    sender = _sender(change, identifier(message, "from"), identifier(message, "from_user_id"))
    what = _what(message, sender)
    return [change.event(identifier(message, "id"), _contact(sender), what, message)]


def _what(message: Mapping[str, Any], sender: Sender) -> Said | Ignored:
    kind = text(message, "type")
    if text(message, "group_id"):
        return Ignored("not_a_private_chat")
    if not sender.identities:
        return Ignored("sender_unknown")
    if kind == "revoke":
        return Ignored("message_deleted")
    if kind == "request_welcome":
        return Ignored("chat_opened")
    said_id = identifier(message, "id") or digest(message)
    if kind == "edit":
        original = identifier(message, "edit", "original_message_id")
        return Said(sender, words_of(mapping(message, "edit", "message")), said_id, original or None)
    if kind == "reaction":
        emoji = text(message, "reaction", "emoji")
        subject = identifier(message, "reaction", "message_id")
        return Said(sender, f"[reaction] {emoji}", said_id, subject or None) if emoji else Ignored("reaction_removed")
    return Said(sender, words_of(message), said_id, identifier(message, "context", "id") or None)


def _system(change: _Change, message: Mapping[str, Any]) -> list[Event]:
    """A person's new number, new user id or both: an event for each, in the order of the person's new name."""
    event_id, system = identifier(message, "id"), mapping(message, "system")
    if text(system, "type") not in _NEW_NAME:
        return [change.event(event_id, identifier(message, "from"), Ignored("system_message"), message)]
    number = identifier(system, "wa_id") or identifier(system, "new_wa_id")
    changes = {
        event_id: (identifier(message, "from"), number),
        f"{event_id}:user_id": (identifier(system, "previous_user_id"), identifier(system, "user_id")),
    }
    renamed = [
        change.event(name, number or current, Renamed(previous, current), message)
        for name, (previous, current) in changes.items()
        if previous and current and previous != current
    ]
    # The text tells the previous name too, but it holds the person's own words as well.
    return renamed or [change.event(event_id, number, Ignored("previous_name_unknown"), message)]


def _status(change: _Change, status: Mapping[str, Any]) -> Event:
    provider_id, name = identifier(status, "id"), identifier(status, "status")
    contact = identifier(status, "recipient_id") or identifier(status, "recipient_user_id")
    event_id = f"{provider_id}:{name}" if provider_id else ""
    known = _STATUSES.get(name)
    if known is None or not provider_id:
        return change.event(event_id, contact, Ignored("status_not_ours"), status)
    what = Status(provider_id, known, our_id(status.get("biz_opaque_callback_data")), **_failure(known, status))
    return change.event(event_id, contact, what, status)


def _failure(known: DeliveryStatus, status: Mapping[str, Any]) -> dict[str, Any]:
    errors = items(status, "errors")
    code = whole(errors[0].get("code")) if errors and known == "failed" else None
    if code is None:
        return {}
    meaning = meaning_of(code)
    return {
        "code": f"whatsapp_{code}",
        "detail": meaning.detail if meaning else "Meta could not deliver this message.",
        "is_opt_out": meaning is not None and meaning.kind == "opt_out",
    }


def _preferences(change: _Change) -> list[Event]:
    """What a person told WhatsApp about marketing messages; it has shown them the answer already."""
    events = []
    for item in items(change.value, "user_preferences"):
        sender = _sender(change, identifier(item, "wa_id"), identifier(item, "user_id"))
        wish = _WISHES.get(text(item, "value"))
        known = wish is not None and bool(sender.identities)
        what = Preference(sender, wish, is_confirmed=True) if wish and known else Ignored("preference_not_ours")
        events.append(change.event("", _contact(sender), what, item))
    return events


def _echoes(change: _Change) -> list[Event]:
    """What people of the account wrote in the WhatsApp Business app."""
    return [
        change.event(identifier(echo, "id"), identifier(echo, "to"), Ignored("written_by_staff"), echo)
        for echo in items(change.value, "message_echoes")
    ]


def _user_ids(change: _Change) -> list[Event]:
    update = change.value.get("user_id_update")
    events = []
    for item in items(update) or [mapping(update)]:
        previous, current = identifier(item, "user_id", "previous"), identifier(item, "user_id", "current")
        what = Renamed(previous, current) if previous and current else Ignored("previous_name_unknown")
        events.append(change.event("", identifier(item, "wa_id") or current, what, item))
    return events


def _sender(change: _Change, number: str, user_id: str) -> Sender:
    """Who wrote, completed from the change's contacts: a person may have a number, a user id or both."""
    known = change.people.get(number) or change.people.get(user_id) or {}
    if not number and not user_id and len(items(change.value, "contacts")) == 1:
        known = items(change.value, "contacts")[0]
    number = (number or identifier(known, "wa_id")).lstrip("+")
    identities = tuple(filter(None, (user_id or identifier(known, "user_id"), number)))
    return Sender(identities, phone=_phone(number), name=text(known, "profile", "name").strip())


def _contact(sender: Sender) -> str:
    """What orders a person's events: the number where there is one, as in most statuses."""
    return sender.identities[-1] if sender.identities else ""


def _phone(number: str) -> str:
    """E.164 of a wa_id. WhatsApp keeps old forms of some countries: 52 1 of Mexico, no 9 in mobiles of Brazil."""
    if not (number.isascii() and number.isdecimal()):
        return ""
    forms = [number]
    if number.startswith("521") and len(number) == 13:
        forms.append("52" + number[3:])
    if number.startswith("55") and len(number) == 12:
        forms.append(f"{number[:4]}9{number[4:]}")
    known = [phone for phone in map(_normalized, forms) if phone is not None]
    return next((phone.e164 for phone in known if phone.valid), known[0].e164 if known else "")


def _normalized(number: str) -> phones.Phone | None:
    try:
        return phones.normalize(f"+{number}")
    except phones.PhoneError:
        return None


_FIELDS: dict[str, Callable[[_Change], list[Event]]] = {
    "messages": _messages,
    "user_preferences": _preferences,
    "smb_message_echoes": _echoes,
    "user_id_update": _user_ids,
}
