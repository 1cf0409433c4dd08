"""Meta's error codes: what each means for a message. Its texts change, so only codes and our own words are used.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.channels import Deferred, Misconfigured, OutcomeUnknown, SendError, Undeliverable
from engine.channels.members import mapping
from engine.channels.payloads import whole


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error code says. delay_s and scope as in Deferred."""

    kind: Literal["undeliverable", "opt_out", "deferred", "misconfigured"]
    detail: str
    delay_s: float | None = None
    scope: Literal["message", "recipient", "integration"] = "message"


def _never(detail: str) -> Meaning:
    return Meaning("undeliverable", detail)


def _later(detail: str, delay_s: float | None = None, scope: Any = "message") -> Meaning:
    return Meaning("deferred", detail, delay_s, scope)


def _account(detail: str) -> Meaning:
    return Meaning("misconfigured", detail)


_TOKEN = _account("The access token is invalid or has expired. Store a new one.")
_PERMISSION = _account("The access token may not send for this number. Grant it the WhatsApp permissions.")
_BLOCKED = _account("Meta has restricted this business account. See its account quality page.")
_LIMITED = _account("Meta limits what this number may send, because people block or report it. Stop, and see why.")
_TEMPORARY = _later("A temporary failure at Meta.")
_UNWANTED = _never("Meta chose not to deliver this marketing message to this person. Do not repeat it the same day.")

_MEANINGS: dict[int, Meaning] = {
    0: _TOKEN,
    1: _TEMPORARY,
    2: _TEMPORARY,
    3: _PERMISSION,
    4: _later("Meta's limit of calls by this app is reached.", 300, "integration"),
    10: _PERMISSION,
    100: _never("Meta refused a part of this message as invalid."),
    190: _TOKEN,
    368: _BLOCKED,
    80007: _later("Meta's limit of calls for this business account is reached.", 60, "integration"),
    130429: _later("This number's throughput is reached.", 5, "integration"),
    130472: _UNWANTED,
    131000: _TEMPORARY,
    131005: _PERMISSION,
    131008: _never("Meta misses a part of this message."),
    131009: _never("Meta refused a value of this message."),
    131016: _TEMPORARY,
    131021: _never("The recipient is the sender."),
    131026: _never("This person cannot be reached on WhatsApp: no account, an old app, or they blocked this number."),
    131030: _never("A test number sends only to its allowed list. Add the recipient there."),
    131031: _BLOCKED,
    131042: _account("Meta wants a valid payment method on this business account."),
    131045: _account("This number is not registered with the Cloud API."),
    131047: _never("More than 24 hours have passed since the person's last message. Only a template may be sent."),
    131048: _LIMITED,
    131049: _UNWANTED,
    131050: Meaning("opt_out", "This person has stopped marketing messages from this business."),
    131051: _never("WhatsApp does not support this type of message."),
    131056: _later("Too many messages to this person in a short time.", 8, "recipient"),
    131057: _later("The business account is in maintenance.", 300, "integration"),
    131062: _never("An authentication template needs a phone number, and only a user id of this person is known."),
    131064: _LIMITED,
    132000: _never("The template has another number of places than values were given."),
    132001: _never("There is no approved template of this name in this language."),
    132005: _never("The template becomes too long with these values."),
    132007: _never("The template violates WhatsApp's policy."),
    132012: _never("A value does not fit the format of its place in the template."),
    132015: _never("The template is paused because of low quality."),
    132016: _never("The template was disabled because of low quality."),
    133004: _TEMPORARY,
    133010: _account("This number is not registered with the Cloud API."),
}

_UNKNOWN_OBJECT = 33  # subcode of 100: the id in the address does not exist, or the token may not see it


def meaning_of(code: int, subcode: int | None = None) -> Meaning | None:
    """What the code says, None for one that we do not know."""
    if code == 100 and subcode == _UNKNOWN_OBJECT:
        return _account("The access token cannot see this number or business account. Check the ids and the token.")
    if 200 <= code <= 299:
        return _PERMISSION
    return _MEANINGS.get(code)


def error_of(status: int, body: Mapping[str, Any]) -> SendError:
    """The error to raise for an answer that is no success. Where no code helps, the status decides."""
    error = mapping(body, "error")
    code = whole(error.get("code"))
    name = f"whatsapp_http_{status}" if code is None else f"whatsapp_{code}"
    meaning = None if code is None else meaning_of(code, whole(error.get("error_subcode")))
    if meaning is None:
        meaning = _by_status(status, is_transient=error.get("is_transient") is True, has_error=bool(error))
    if meaning is None:
        return OutcomeUnknown(name, "Meta's servers failed without saying whether they took the message.")
    if meaning.kind == "deferred":
        return Deferred(name, meaning.detail, meaning.delay_s, meaning.scope)
    if meaning.kind == "misconfigured":
        return Misconfigured(name, meaning.detail)
    return Undeliverable(name, meaning.detail, is_opt_out=meaning.kind == "opt_out")


def _by_status(status: int, *, is_transient: bool, has_error: bool) -> Meaning | None:
    if status == 429:
        return _later("Meta wants fewer calls.", 30, "integration")
    if is_transient or status == 503 or (status >= 500 and has_error):
        return _TEMPORARY
    if status >= 500:  # a gateway gave up waiting: what stands behind it may have acted
        return None
    if status in (401, 403):
        return _PERMISSION
    if status < 400:
        return _account("Meta's address answered with a redirection. Check the configured address.")
    return _never("Meta refused this message.")
