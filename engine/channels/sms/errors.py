"""Twilio's error codes, of answers and of status callbacks: what each means for a message.

Source: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.channels import SendError
from engine.channels.meanings import Meaning, account, by_status, later, never, opt_out
from engine.channels.payloads import whole

_CREDENTIALS = account("The account SID or the auth token is wrong.")
_SENDER = account("Messages cannot be sent from this number or messaging service. Check the integration's sender.")
_SUSPENDED = account("The Twilio account is not active.")
_NUMBER = never("This is no phone number that can be texted.")
_QUEUE = later("Twilio's queue for this sender is full.", 60, "integration")

_MEANINGS: dict[int, Meaning] = {
    10001: _SUSPENDED,
    20003: _CREDENTIALS,
    20005: _SUSPENDED,
    20404: _CREDENTIALS,
    20429: later("Twilio wants fewer calls.", 10, "integration"),
    20500: later("A temporary failure at Twilio."),
    20503: later("A temporary failure at Twilio."),
    21211: _NUMBER,
    21212: _SENDER,
    21217: _NUMBER,
    21408: never("Texting this region is not enabled in the Twilio account. Enable it under its geo permissions."),
    21602: never("The message is empty."),
    21603: _SENDER,
    21604: _NUMBER,
    21606: _SENDER,
    21608: never("A trial account texts only verified numbers. Verify the number, or upgrade the account."),
    21609: account("Twilio does not accept the address for status callbacks. Check this server's public address."),
    21610: opt_out("This person has replied STOP to this sender."),
    21611: _QUEUE,
    21612: never("Twilio has no way from this sender to this number."),
    21614: _NUMBER,
    21617: never("The message is longer than the 1600 characters that Twilio takes."),
    21635: _NUMBER,
    21659: _SENDER,
    21701: _SENDER,
    21703: _SENDER,
    30001: _QUEUE,
    30002: _SUSPENDED,
    30003: never("The phone could not be reached: it is off, out of reach, or takes no messages."),
    30004: never("The message was blocked on its way to this phone."),
    30005: never("This number is unknown to its carrier."),
    30006: never("This number is a landline, or its carrier cannot be reached."),
    30007: never("The carrier filtered the message as unwanted."),
    30008: never("The carrier did not say why the message was not delivered."),
    63003: never("This person cannot be reached on WhatsApp."),
    63016: never("More than 24 hours have passed since the person's last message. Only a template may be sent."),
    63018: later("The sender's throughput is reached.", 10, "integration"),
    63024: never("This person cannot be reached on WhatsApp."),
}


def meaning_of(code: int) -> Meaning | None:
    """What the code says, None for one that we do not know."""
    return _MEANINGS.get(code)


def error_of(status: int, body: Mapping[str, Any], retry_after: str = "") -> SendError:
    """The error to raise for an answer that is no success. Where no code helps, the status decides."""
    code = whole(body.get("code"))
    meaning = None if code is None else meaning_of(code)
    name = f"sms_http_{status}" if code is None else f"sms_{code}"
    if meaning is None:
        return by_status(name, status, says_error=code is not None, retry_after=retry_after)
    return meaning.error(name)
