"""Twilio's Messages API on loopback: one account, the people who said STOP, and signed webhooks.

with TwilioServer() as twilio:
    channel = sms.connect(twilio.credentials(), Endpoints(sms=twilio.url, public_url="https://newleaf.example.com"))
    …
    assert twilio.sent[0].text == "Hello Ada"
    twilio.status(twilio.sent[0], "delivered").post(via=base_url)      # to the address that the message named
    twilio.said("+12025550101", "Hi!", to=webhook_url).post(via=base_url)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from engine.channels import Credentials
from tests.support.providers import Answer, ProviderServer, Received, Webhook

ACCOUNT_SID = "AC00000000000000000000000000000001"
AUTH_TOKEN = "loopback-auth-token"
SENDER = "+12025550100"
INTEGRATION_ID = "665f1c2e9b1d4a0012ab3452"
_ACCOUNT = f"/2010-04-01/Accounts/{ACCOUNT_SID}"
_NUMBER = re.compile(r"(whatsapp:)?\+[1-9][0-9]{6,14}")
_LONGEST = 1600


@dataclass(frozen=True)
class SentMessage:
    """A message that Twilio has queued. callback: the address that its statuses go to, "" for none."""

    sid: str
    to: str
    text: str
    callback: str
    created_at: datetime
    sender: str = SENDER


class TwilioServer(ProviderServer):
    """An account and the people who may be texted: everybody who has not said STOP and is not refused."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[SentMessage] = []
        self.opted_out: set[str] = set()
        self.account_status = "active"
        self.page_size = 1000  # at most, whatever is asked for
        self._refusals: dict[str, int] = {}
        self._limit: int | None = None  # of messages in `sent`
        self._sent_sids = itertools.count(1)
        self._said_sids = itertools.count(1)

    def credentials(self, **settings: Any) -> Credentials:
        """An integration that this server accepts, with other settings where given."""
        known = {"accountSid": ACCOUNT_SID, "from": SENDER, **settings}
        return Credentials(INTEGRATION_ID, known, {"authToken": AUTH_TOKEN})

    def recipients(self) -> list[str]:
        """Who was texted, a number for each message."""
        return [message.to for message in self.sent]

    def refuses(self, recipient: str, code: int) -> None:
        """Answer every message to this number with this error."""
        self._refusals[recipient] = code

    def limits(self, total: int | None = None) -> None:
        """From now on take so many messages, None for any number."""
        self._limit = None if total is None else len(self.sent) + total

    def respond(self, request: Received) -> Answer:
        wanted = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            return error(20003, 401)
        if (request.method, request.path) == ("POST", f"{_ACCOUNT}/Messages.json"):
            return self._take(request.form)
        if (request.method, request.path) == ("GET", f"{_ACCOUNT}/Messages.json"):
            return self._list(request.query)
        if (request.method, request.path) == ("GET", f"{_ACCOUNT}.json"):
            account = {"sid": ACCOUNT_SID, "friendly_name": "Example", "type": "Full", "status": self.account_status}
            return Answer(200, account)
        return error(20404, 404)

    def _take(self, form: Mapping[str, str]) -> Answer:
        refusal = self._refusals.get(form.get("To", "")) or self._problem(form)
        if refusal:
            return error(refusal)
        if self._limit is not None and len(self.sent) >= self._limit:
            return replace(error(20429, 429), headers={"Retry-After": "2"})
        message = SentMessage(
            f"SM{next(self._sent_sids):032x}",
            form["To"],
            form.get("Body") or form["ContentSid"],
            form.get("StatusCallback", ""),
            datetime.now(UTC),
            form.get("From", ""),
        )
        self.sent.append(message)
        return Answer(201, _resource(message, "accepted" if "MessagingServiceSid" in form else "queued"))

    def _problem(self, form: Mapping[str, str]) -> int:
        """The code of what is wrong with a message, 0 for nothing."""
        if not _NUMBER.fullmatch(form.get("To", "")):
            return 21211
        if form["To"] in self.opted_out:
            return 21610
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return 21603
        if not form.get("Body") and not form.get("ContentSid"):
            return 21602
        return 21617 if len(form.get("Body", "")) > _LONGEST else 0

    def _list(self, query: Mapping[str, str]) -> Answer:
        found = [message for message in reversed(self.sent) if query.get("To") in (None, message.to)]
        start = int(query.get("Page") or 0)
        end = start + min(int(query.get("PageSize") or 50), self.page_size)
        following = None
        if end < len(found):
            following = f"{_ACCOUNT}/Messages.json?{urlencode({**query, 'Page': str(end)})}"
        return Answer(
            200, {"messages": [_resource(row, "sent") for row in found[start:end]], "next_page_uri": following}
        )

    def happened_at(self, message: SentMessage, created_at: datetime) -> None:
        """Say that a sent message was taken at another time."""
        self.sent[self.sent.index(message)] = replace(message, created_at=created_at)

    def status(self, message: SentMessage, status: str, *, code: int | None = None) -> Webhook:
        """How far a sent message has come, for the address that it named. code: of the error."""
        fields = {"MessageSid": message.sid, "MessageStatus": status, "SmsStatus": status, "To": message.to}
        if code is not None:
            fields["ErrorCode"] = str(code)
        return signed(message.callback, {**fields, "AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01"})

    def said(self, sender: str, words: str, *, to: str, **fields: str) -> Webhook:
        """A message of this number for the webhook at this address. The same object again is a repetition."""
        sid = f"SM{next(self._said_sids) + 0xA000:032x}"
        known = {
            "MessageSid": sid,
            "SmsStatus": "received",
            "From": sender,
            "To": SENDER,
            "Body": words,
            "NumMedia": "0",
        }
        return signed(to, {**known, "AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", **fields})


def signed(url: str, fields: Mapping[str, str], token: str = AUTH_TOKEN) -> Webhook:
    """Any form, signed as Twilio does for this address."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    signature = base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return Webhook(url, urlencode(fields).encode(), headers)


def error(code: int, status: int = 400) -> Answer:
    """An error as Twilio answers it."""
    told = {
        "code": code,
        "message": f"Error {code} for +12025550101",
        "more_info": "https://example.com",
        "status": status,
    }
    return Answer(status, told)


def _resource(message: SentMessage, status: str) -> dict[str, Any]:
    return {
        "sid": message.sid,
        "account_sid": ACCOUNT_SID,
        "to": message.to,
        "from": message.sender or None,
        "body": message.text,
        "status": status,
        "direction": "outbound-api",
        "date_created": format_datetime(message.created_at),
        "num_segments": "1",
        "error_code": None,
    }
