"""Meta's error codes: what each means for a message. Its texts change, so only codes and our own words are used.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.channels import SendError
from engine.channels.meanings import Meaning, account, by_status, later, never, opt_out
from engine.channels.members import mapping
from engine.channels.payloads import whole

_TOKEN = account("The access token is invalid or has expired. Store a new one.")
_PERMISSION = account("The access token may not send for this number. Grant it the WhatsApp permissions.")
_BLOCKED = account("Meta has restricted this business account. See its account quality page.")
_LIMITED = account("Meta limits what this number may send, because people block or report it. Stop, and see why.")
_TEMPORARY = later("A temporary failure at Meta.")
_UNWANTED = never("Meta chose not to deliver this marketing message to this person. Do not repeat it the same day.")

_MEANINGS: dict[int, Meaning] = {
    0: _TOKEN,
    1: _TEMPORARY,
    2: _TEMPORARY,
    3: _PERMISSION,
    4: later("Meta's limit of calls by this app is reached.", 300, "integration"),
    10: _PERMISSION,
    100: never("Meta refused a part of this message as invalid."),
    190: _TOKEN,
    368: _BLOCKED,
    80007: later("Meta's limit of calls for this business account is reached.", 60, "integration"),
    130429: later("This number's throughput is reached.", 5, "integration"),
    130472: _UNWANTED,
    131000: _TEMPORARY,
    131005: _PERMISSION,
    131008: never("Meta misses a part of this message."),
    131009: never("Meta refused a value of this message."),
    131016: _TEMPORARY,
    131021: never("The recipient is the sender."),
    131026: never("This person cannot be reached on WhatsApp: no account, an old app, or they blocked this number."),
    131030: never("A test number sends only to its allowed list. Add the recipient there."),
    131031: _BLOCKED,
    131042: account("Meta wants a valid payment method on this business account."),
    131045: account("This number is not registered with the Cloud API."),
    131047: never("More than 24 hours have passed since the person's last message. Only a template may be sent."),
    131048: _LIMITED,
    131049: _UNWANTED,
    131050: opt_out("This person has stopped marketing messages from this business."),
    131051: never("WhatsApp does not support this type of message."),
    131056: later("Too many messages to this person in a short time.", 8, "recipient"),
    131057: later("The business account is in maintenance.", 300, "integration"),
    131062: never("An authentication template needs a phone number, and only a user id of this person is known."),
    131064: _LIMITED,
    132000: never("The template has another number of places than values were given."),
    132001: never("There is no approved template of this name in this language."),
    132005: never("The template becomes too long with these values."),
    132007: never("The template violates WhatsApp's policy."),
    132012: never("A value does not fit the format of its place in the template."),
    132015: never("The template is paused because of low quality."),
    132016: never("The template was disabled because of low quality."),
    133004: _TEMPORARY,
    133010: account("This number is not registered with the Cloud API."),
}

_UNKNOWN_OBJECT = 33  # subcode of 100: the id in the address does not exist, or the token may not see it


def meaning_of(code: int, subcode: int | None = None) -> Meaning | None:
    """What the code says, None for one that we do not know."""
    if code == 100 and subcode == _UNKNOWN_OBJECT:
        return account("The access token cannot see this number or business account. Check the ids and the token.")
    if 200 <= code <= 299:
        return _PERMISSION
    return _MEANINGS.get(code)


def error_of(status: int, body: Mapping[str, Any], retry_after: str = "") -> SendError:
    """The error to raise for an answer that is no success. Where no code helps, the status decides."""
    error = mapping(body, "error")
    code = whole(error.get("code"))
    name = f"whatsapp_http_{status}" if code is None else f"whatsapp_{code}"
    meaning = None if code is None else meaning_of(code, whole(error.get("error_subcode")))
    if meaning is None and error.get("is_transient") is True:
        meaning = _TEMPORARY
    if meaning is None:
        return by_status(name, status, says_error=bool(error), retry_after=retry_after)
    return meaning.error(name)
