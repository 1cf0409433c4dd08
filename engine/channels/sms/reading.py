"""What Twilio's webhooks tell: a message of a person, or how far one of ours has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.channels import DeliveryStatus, Event, Ignored, Preference, Request, Said, Sender, Status
from engine.channels.members import digest, e164, identifier, mapping, our_id, text
from engine.channels.sms.errors import meaning_of
from engine.channels.sms.signing import fields_of, query_of
from engine.channels.wording import UNSUPPORTED, labelled, located

MESSAGE_PARAMETER = "message"  # of a status callback's address: our id of the message
WHATSAPP = "whatsapp:"

_STATUSES: dict[str, DeliveryStatus] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "undelivered": "failed",
    "canceled": "failed",
}
_MAX_MEDIA = 10


def payload_of(request: Request) -> dict[str, str]:
    """The form of a request for `read`, with what we wrote into the address of the callback: our id of the message."""
    fields, query = dict(fields_of(request.body)), query_of(request.url)
    return {**fields, MESSAGE_PARAMETER: query[MESSAGE_PARAMETER]} if MESSAGE_PARAMETER in query else fields


def read(payload: Any) -> list[Event]:
    """The one event of a form. payload: its fields, and `message` from the address if there was one."""
    fields = mapping(payload)
    if not identifier(fields, "MessageSid"):
        return [Event(digest(dict(fields)), "", Ignored("no_message"), payload=fields)]
    is_status = "MessageStatus" in fields and text(fields, "MessageStatus") != "received"
    return [_status(fields) if is_status else _inbound(fields)]


def _status(fields: Mapping[str, Any]) -> Event:
    sid, name = identifier(fields, "MessageSid"), identifier(fields, "MessageStatus")
    known = _STATUSES.get(name)
    contact = identifier(fields, "To")
    if known is None:
        return Event(f"{sid}:{name}", contact, Ignored("status_not_ours"), payload=fields)
    what = Status(sid, known, our_id(fields.get(MESSAGE_PARAMETER)), **_failure(known, fields))
    return Event(f"{sid}:{name}", contact, what, payload=fields)


def _failure(known: DeliveryStatus, fields: Mapping[str, Any]) -> dict[str, Any]:
    code = identifier(fields, "ErrorCode")
    if known != "failed" or not (code.isascii() and code.isdecimal()):
        return {}
    meaning = meaning_of(int(code))
    return {
        "code": f"sms_{code}",
        "detail": meaning.detail if meaning else "Twilio could not deliver this message.",
        "is_opt_out": meaning is not None and meaning.kind == "opt_out",
    }


def _inbound(fields: Mapping[str, Any]) -> Event:
    sid, sender = identifier(fields, "MessageSid"), _sender(fields)
    return Event(sid, sender.identities[-1] if sender.identities else "", _what(fields, sender, sid), payload=fields)


def _what(fields: Mapping[str, Any], sender: Sender, sid: str) -> Said | Preference | Ignored:
    if not sender.identities:
        return Ignored("sender_not_a_person")
    wish = text(fields, "OptOutType").upper()
    if wish == "HELP":
        return Ignored("answered_by_provider")
    if wish in ("STOP", "START"):  # Advanced Opt-Out has answered the person already
        return Preference(sender, "stop" if wish == "STOP" else "start", is_confirmed=True)
    return Said(sender, _words(fields), sid, identifier(fields, "OriginalRepliedMessageSid") or None)


def _sender(fields: Mapping[str, Any]) -> Sender:
    """Who wrote; nobody for short codes and names, which belong to companies and take no answers."""
    address = identifier(fields, "From")
    number = address.removeprefix(WHATSAPP)
    phone = e164(number) if number.startswith("+") else ""
    name = text(fields, "ProfileName").strip()
    if not address.startswith(WHATSAPP):
        return Sender((phone,) if phone else (), phone, name=name)
    user_id = identifier(fields, "ExternalUserId")
    identities = dict.fromkeys(filter(None, (f"{WHATSAPP}{user_id}" if user_id else "", address)))
    return Sender(tuple(identities), phone, name=name)


def _words(fields: Mapping[str, Any]) -> str:
    """The text; media in words, before it."""
    labels = [labelled(_kind(text(fields, f"MediaContentType{n}")), "") for n in range(_count(fields))]
    latitude, longitude = text(fields, "Latitude"), text(fields, "Longitude")
    if latitude and longitude:
        labels.append(located(latitude, longitude, text(fields, "Label"), text(fields, "Address")))
    return " ".join(filter(None, (*labels, text(fields, "Body").strip()))) or UNSUPPORTED


def _count(fields: Mapping[str, Any]) -> int:
    number = identifier(fields, "NumMedia")
    return min(int(number), _MAX_MEDIA) if number.isascii() and number.isdecimal() else 0


def _kind(media_type: str) -> str:
    if "vcard" in media_type:
        return "contact"
    major = media_type.partition("/")[0]
    return major if major in ("image", "audio", "video") else "document"
