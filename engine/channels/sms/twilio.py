"""Sending over Twilio, and looking for a message whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode

from engine.channels import Credentials, Endpoints, Health, Misconfigured, OutcomeUnknown, Outgoing, SendError, Sent
from engine.channels.members import identifier, items, text
from engine.channels.payloads import whole
from engine.channels.sms.account import Account, date_of
from engine.channels.sms.errors import error_of
from engine.channels.sms.outgoing import content_of, recipient_of, words_of
from engine.channels.sms.reading import MESSAGE_PARAMETER, WHATSAPP

_PAGE_SIZE = 100
_MAX_PAGES = 5
_SETTLES = timedelta(seconds=60)  # after which a message that Twilio took is in its list
_SKEW = timedelta(seconds=120)  # between Twilio's clock and ours
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NO_SENDER = "Neither a number to send from nor a messaging service is configured."


def connect(credentials: Credentials, endpoints: Endpoints) -> Sms:
    """The sender of these credentials; nothing is called yet."""
    return Sms(credentials, endpoints)


class Sms:
    """A number or a messaging service. Twilio queues what is handed over too fast, so there is no pace of ours."""

    repeats_safely = False
    pace_s = 0.0
    recipient_pace_s = 0.0

    def __init__(self, credentials: Credentials, endpoints: Endpoints) -> None:
        self._account = Account(credentials, endpoints)
        self._integration_id = credentials.integration_id
        self._public_url = (endpoints.public_url or "").rstrip("/")
        self._sender = str(credentials.settings.get("from") or "")
        self._service = str(credentials.settings.get("messagingServiceSid") or "")

    def send(self, message: Outgoing) -> Sent:
        """Queued by Twilio, as this SID. Raises SendError."""
        taken = self._account.call("POST", "/Messages.json", self._form(message))
        sid = identifier(taken, "sid")
        if not sid:
            raise OutcomeUnknown("sms_no_sid", "Twilio accepted something, but did not say as which message.")
        if text(taken, "status") in ("failed", "undelivered"):
            raise error_of(400, {"code": whole(taken.get("error_code"))})
        return Sent(sid)

    def find(self, message: Outgoing, since: datetime) -> Sent | Literal["unknown"] | None:
        """The message of these words to this person in Twilio's list; None once the list would have it.

        One with the same words up to two minutes earlier counts as this one. Raises SendError.
        """
        words = words_of(message).strip()
        if not words:
            return "unknown"
        path = f"/Messages.json?{urlencode({'To': self._recipient(message), 'PageSize': str(_PAGE_SIZE)})}"
        for _ in range(_MAX_PAGES):
            page, answered_at = self._account.page(path)
            rows = items(page, "messages")
            recent = [row for row in rows if _created(row) >= since - _SKEW]
            for row in recent:  # the newest first
                if _is_outbound(row) and text(row, "body").strip().endswith(words):  # a trial puts words before it
                    return Sent(identifier(row, "sid"))
            following = text(page, "next_page_uri")
            if not following or len(recent) < len(rows):
                return None if answered_at is not None and answered_at >= since + _SETTLES else "unknown"
            path = self._account.path_of(following)
            if not path:
                break
        return "unknown"

    def check(self) -> Health:
        """Whether the credentials open an active account, and whether there is a sender."""
        try:
            account = self._account.call("GET", ".json")
        except SendError as error:
            return Health(False, error.detail)
        known = {"friendlyName": text(account, "friendly_name"), "type": text(account, "type")}
        facts = {name: value for name, value in known.items() if value}
        if text(account, "status") != "active":
            return Health(False, "The Twilio account is not active.", facts)
        if not self._sender and not self._service:
            return Health(False, _NO_SENDER, facts)
        return Health(True, "The account is active.", facts)

    def mark_read(self, provider_id: str) -> None:
        """Nothing: a text message has no such thing."""
        del provider_id

    def _form(self, message: Outgoing) -> dict[str, str]:
        form = {"To": self._recipient(message), **self._from(), **content_of(message)}
        if self._public_url:
            path = f"/api/webhooks/twilio/{quote(self._integration_id, safe='')}"
            form["StatusCallback"] = f"{self._public_url}{path}?{urlencode({MESSAGE_PARAMETER: message.id})}"
        return form

    def _from(self) -> dict[str, str]:
        if self._service:
            return {"MessagingServiceSid": self._service}
        if self._sender:
            return {"From": self._sender}
        raise Misconfigured("sms_no_sender", _NO_SENDER)

    def _recipient(self, message: Outgoing) -> str:
        """A service may send on WhatsApp too: then it does to those who wrote there."""
        writes_there = not self._sender and any(name.startswith(WHATSAPP) for name in message.identities)
        return recipient_of(message, is_on_whatsapp=self._sender.startswith(WHATSAPP) or writes_there)


def _is_outbound(row: Mapping[str, Any]) -> bool:
    return text(row, "direction").startswith("outbound")


def _created(row: Mapping[str, Any]) -> datetime:
    """When Twilio took the message; long ago where it does not say."""
    return date_of(text(row, "date_created")) or _LONG_AGO
