"""Resend on loopback: emails out with idempotency keys, emails in, events, and signatures as Svix makes them.

with ResendServer() as resend:
    …
    assert resend.sent[0].body["to"] == ["ada@example.com"]
    event = resend.reply(resend.sent[0], "Thursday works.")    # she answers, and quotes what she answers
    resend.webhook(event, base_url + "/api/webhooks/email").post()
    event = resend.event("email.bounced", resend.sent[0].id, bounce={"type": "Permanent"})
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from engine.channels import Credentials
from tests.support.providers import Answer, ProviderServer, Received, Webhook

KEY = "re_loopback_0001"
SECRET = "whsec_bmV3bGVhZi1sb29wYmFjay1zZWNyZXQ="
SENDER_DOMAIN = "example.com"
INBOUND_DOMAIN = "inbound.example.com"
_RECEIVED = re.compile(r"/emails/receiving/([^/]+)")
_AT = "2026-11-24T07:00:00.000Z"


@dataclass(frozen=True)
class SentEmail:
    """An email that was taken. body: what POST /emails got; message_id: what the recipient's server saw."""

    id: str
    body: Mapping[str, Any]
    message_id: str


class ResendServer(ProviderServer):
    """A Resend account with verified domains."""

    def __init__(self, key: str = KEY, secret: str = SECRET) -> None:
        super().__init__()
        self.key = key
        self.secret = secret
        self.only_sends = False  # a restricted key
        self.domains: dict[str, str] = {SENDER_DOMAIN: "verified", INBOUND_DOMAIN: "verified"}
        self.receives = True
        self.sent: list[SentEmail] = []
        self._by_key: dict[str, SentEmail] = {}
        self._inbox: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def credentials(self, **settings: Any) -> Credentials:
        """An integration with this account."""
        names = {"fromAddress": f"sales@{SENDER_DOMAIN}", "fromName": "Example", "inboundDomain": INBOUND_DOMAIN}
        secrets = {"apiKey": self.key, "signingSecret": self.secret}
        return Credentials("665f1c2e9b1d4a0012ab34c8", {**names, **settings}, secrets)

    @property
    def recipients(self) -> list[str]:
        """To whom emails were sent, in order."""
        return [email.body["to"][0] for email in self.sent]

    def limits(self, retry_after: int = 1, *, times: int = 1) -> None:
        """The next requests are too many for this second."""
        refusal = _refusal(429, "rate_limit_exceeded", "Too many requests.")
        headers = {"ratelimit-limit": "5", "ratelimit-remaining": "0", "retry-after": str(retry_after)}
        self.answers(429, refusal.body, headers, times=times)

    def exhausts(self, period: str = "daily", *, times: int = 1) -> None:
        """The quota of the day or the month is used up."""
        name = f"{period}_quota_exceeded"
        self.answers(429, _refusal(429, name, f"You have reached your {period} quota.").body, times=times)

    def fails(self, *, times: int = 1) -> None:
        """The next requests meet an error of Resend's own."""
        self.answers(500, _refusal(500, "application_error", "An unexpected error occurred.").body, times=times)

    def respond(self, request: Received) -> Answer:
        given = request.headers.get("authorization", "")
        if not request.headers.get("user-agent"):
            return Answer(403, "error code: 1010")
        if not given:
            return _refusal(401, "missing_api_key", "Missing API key in the authorization header.")
        if given != f"Bearer {self.key}":
            return _refusal(403, "invalid_api_key", "API key is invalid")
        if (request.method, request.path) == ("POST", "/emails"):
            return self._send(request.json, request.headers.get("idempotency-key"))
        if self.only_sends:
            return _refusal(401, "restricted_api_key", "This API key is restricted to only send emails.")
        if (request.method, request.path) == ("GET", "/domains"):
            capabilities = {"sending": "enabled", "receiving": "enabled" if self.receives else "disabled"}
            listed = [{"name": name, "status": is_, "capabilities": capabilities} for name, is_ in self.domains.items()]
            return Answer(200, {"object": "list", "has_more": False, "data": listed})
        if request.method == "GET" and (match := _RECEIVED.fullmatch(request.path)) and match[1] in self._inbox:
            return Answer(200, self._inbox[match[1]])
        return _refusal(404, "not_found", "The requested endpoint does not exist.")

    def _send(self, body: Mapping[str, Any], key: str | None) -> Answer:
        if key is not None and not 1 <= len(key) <= 256:
            return _refusal(400, "invalid_idempotency_key", "The key must be between 1 and 256 characters long.")
        if key is not None and (before := self._by_key.get(key)):
            if before.body == body:
                return Answer(200, {"id": before.id})
            return _refusal(409, "invalid_idempotent_request", "Same idempotency key, different payload.")
        for name in ("from", "to", "subject"):
            if not body.get(name):
                return _refusal(422, "missing_required_field", f"Missing `{name}` field.")
        address = re.search(r"[^\s<>@]+@([^\s<>@]+)>?$", body["from"])
        if address is None:
            return _refusal(422, "invalid_from_address", "Invalid `from` field.")
        if self.domains.get(address[1]) != "verified":
            return _refusal(403, "validation_error", f"The {address[1]} domain is not verified.")
        number = next(self._numbers)
        email = SentEmail(_uuid(number), dict(body), f"<0100-{number:04}@mail.example.net>")
        self.sent.append(email)
        if key is not None:
            self._by_key[key] = email
        return Answer(200, {"id": email.id})

    def receive(
        self,
        sender: str,
        to: Sequence[str],
        *,
        subject: str = "",
        text: str | None = None,
        html: str | None = None,
        headers: Mapping[str, Any] | None = None,
        attachments: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """An email comes in; the event, which tells nothing of what it says."""
        number = next(self._numbers)
        envelope = {
            "from": sender,
            "to": list(to),
            "cc": [],
            "bcc": [],
            "subject": subject,
            "message_id": f"<in-{number:04}@mail.example.com>",
            "created_at": _AT,
        }
        email_id = _uuid(number)
        files = [dict(file) for file in attachments]
        body = {"text": text, "html": html, "headers": dict(headers or {}), "reply_to": [], "attachments": files}
        self._inbox[email_id] = {"object": "email", "id": email_id, **envelope, **body}
        told = [{"id": f"att-{place}"} for place, _ in enumerate(files, 1)]
        return _event("email.received", {"email_id": email_id, **envelope, "attachments": told})

    def reply(self, email: SentEmail, text: str, sender: str | None = None) -> dict[str, Any]:
        """The recipient (or somebody else) answers an email of ours, as mail programs do; the event."""
        body = email.body
        thread = f"{body.get('headers', {}).get('References', '')} {email.message_id}".strip()
        quoted = "\n".join(f"> {line}" for line in body["text"].splitlines())
        return self.receive(
            sender or body["to"][0],
            [body.get("reply_to", body["from"])],
            subject=f"Re: {body['subject'].removeprefix('Re: ')}",
            text=f"{text}\n\nOn Tue, 24 Nov 2026 at 08:00, {body['from']} wrote:\n{quoted}\n",
            headers={"In-Reply-To": email.message_id, "References": thread},
        )

    def event(self, kind: str, email_id: str, created_at: str = _AT, **data: Any) -> dict[str, Any]:
        """An event about an email that was sent, such as `email.delivered`."""
        email = next(sent for sent in self.sent if sent.id == email_id)
        about = {
            "email_id": email.id,
            "created_at": _AT,
            "from": email.body["from"],
            "to": email.body["to"],
            "subject": email.body["subject"],
            "tags": {tag["name"]: tag["value"] for tag in email.body.get("tags", [])},
        }
        return _event(kind, about | data, created_at)

    def webhook(
        self, event: Mapping[str, Any], url: str, *, at: datetime | None = None, secret: str | None = None
    ) -> Webhook:
        """The signed call with this event. at: when it was signed; secret: a wrong one."""
        body, signed_at = json.dumps(event).encode(), at or datetime.now(UTC)
        message_id = f"msg_{uuid.uuid5(uuid.NAMESPACE_OID, body.decode()).hex}"
        signature = Signer(secret or self.secret).sign(message_id, signed_at, body.decode())
        headers = {
            "Content-Type": "application/json",
            "svix-id": message_id,
            "svix-timestamp": str(int(signed_at.timestamp())),
            "svix-signature": signature,
        }
        return Webhook(url, body, headers)


def _event(kind: str, data: Mapping[str, Any], created_at: str = _AT) -> dict[str, Any]:
    return {"type": kind, "created_at": created_at, "data": dict(data)}


def _refusal(status: int, name: str, message: str) -> Answer:
    return Answer(status, {"statusCode": status, "name": name, "message": message})


def _uuid(number: int) -> str:
    return f"49a3999c-0ce1-4ea6-ab68-{number:012}"
