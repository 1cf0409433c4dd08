"""Emails to leads: plain text with a simple HTML twin, in one thread per conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Literal

from engine.channels import (
    Credentials,
    Endpoints,
    Health,
    Misconfigured,
    OutcomeUnknown,
    Outgoing,
    SendError,
    Sent,
    Undeliverable,
)
from engine.channels.email.api import call
from engine.channels.email.mailboxes import domain, mailbox, message_ids, reply_address, thread_root
from engine.channels.members import items, mapping
from engine.channels.payloads import line, text
from engine.channels.wording import with_choices

_LONGEST_SUBJECT = 300
_MOST_REFERENCES = 20
_IS_REPLY = re.compile(r"(?:re|aw|sv|antw|odp|res|rv|vs)\s*(?:\[\d+\])?\s*:", re.IGNORECASE)


def connect(credentials: Credentials, endpoints: Endpoints) -> Email:
    """The account of this integration; nothing is called yet."""
    return Email(credentials, endpoints)


@dataclass(frozen=True, slots=True)
class Email:
    """A Resend account. It keeps an idempotency key for a day: within it a repetition sends nothing twice."""

    credentials: Credentials
    endpoints: Endpoints
    repeats_safely: bool = True
    pace_s: float = 0.2  # 5 a second for a whole team
    recipient_pace_s: float = 0.0

    def send(self, message: Outgoing) -> Sent:
        """Hand the email over; its id is Resend's. Raises SendError."""
        body = body_of(message, self.credentials)
        answer = call(self.credentials, self.endpoints, "POST", "/emails", body=body, idempotency_key=message.id)
        email_id = text(answer.get("id"), 200)
        if not email_id:
            raise OutcomeUnknown("email_no_id", "Resend took something, but did not say as which email.")
        return Sent(email_id)

    def find(self, message: Outgoing, since: datetime) -> Literal["unknown"]:
        """Resend cannot be asked by our id; its events name it."""
        del message, since
        return "unknown"

    def check(self) -> Health:
        """Whether the key works, and whether the domains are ready to send from and to receive at."""
        inbound = line(self.credentials.settings.get("inboundDomain"), 253).lower()
        try:
            answer = call(self.credentials, self.endpoints, "GET", "/domains?limit=100")
        except Misconfigured as error:
            if error.code == "email_restricted_api_key" and not inbound:
                return Health(True, "The API key may send. Whether the domain is verified it may not see.")
            return Health(False, error.detail)
        except SendError as error:
            return Health(False, error.detail)
        known = {line(entry.get("name"), 253).lower(): entry for entry in items(answer, "data")}
        return _health(known, _sender_domain(self.credentials), inbound, is_complete=answer.get("has_more") is not True)

    def mark_read(self, provider_id: str) -> None:
        """Email has no such sign."""


def body_of(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    """What POST /emails gets: the same for the same message, else Resend refuses to repeat it.

    Raises Undeliverable without an address or a text, Misconfigured without a from address.
    """
    settings = credentials.settings
    _, recipient = mailbox(message.email)
    if not recipient:
        raise Undeliverable("email_no_address", "The lead has no email address.")
    words = with_choices(text(message.text), message.buttons)
    if not words.strip():
        raise Undeliverable("email_no_text", "Email has no templates: only a text can be sent.")
    _, sender = mailbox(settings.get("fromAddress"))
    if not sender:
        raise Misconfigured("email_no_from_address", "The integration has no valid from address.")
    name = re.sub(r'["\\<>]', "", line(settings.get("fromName"), 100))
    body: dict[str, Any] = {
        "from": f'"{name}" <{sender}>' if name else sender,
        "to": [recipient],
        "subject": _subject(message, name or domain(sender)),
        "text": words,
        "html": _html(words),
        "tags": [{"name": "message", "value": message.id}],
    }
    inbound = line(settings.get("inboundDomain"), 253).lower()
    references = _references(message, inbound or domain(sender))
    headers = {"References": " ".join(references)} if references else {}
    if answered := message_ids(message.in_reply_to or ""):
        headers["In-Reply-To"] = answered[0]
    if inbound and message.conversation_id:
        body["reply_to"] = reply_address(message.conversation_id, inbound)
        headers["List-Unsubscribe"] = f"<mailto:{body['reply_to']}?subject=unsubscribe>"
    return body | ({"headers": headers} if headers else {})


def _subject(message: Outgoing, sender_name: str) -> str:
    subject = line(message.subject, _LONGEST_SUBJECT)
    if not subject:
        return f"Message from {sender_name}"
    if message.in_reply_to and not _IS_REPLY.match(subject):
        return f"Re: {subject}"
    return subject


def _references(message: Outgoing, home: str) -> list[str]:
    """The thread, the oldest first; the root always, and of a long thread the end."""
    root = [thread_root(message.conversation_id, home)] if message.conversation_id else []
    told = [*message.references, message.in_reply_to or ""]
    rest = dict.fromkeys(found for value in told for found in message_ids(value) if found not in root)
    return root + list(rest)[-_MOST_REFERENCES:]


def _html(words: str) -> str:
    paragraphs = re.split(r"\n[ \t]*\n", words.strip())
    return "".join(f"<p>{escape(paragraph).replace(chr(10), '<br>')}</p>" for paragraph in paragraphs)


def _sender_domain(credentials: Credentials) -> str:
    return domain(mailbox(credentials.settings.get("fromAddress"))[1])


def _health(known: dict[str, Any], sender: str, inbound: str, *, is_complete: bool) -> Health:
    facts = {"domain": sender, "inboundDomain": inbound}
    if sender not in known and is_complete:
        return Health(False, f"Resend does not know the domain {sender} of the from address.", facts)
    status = line(mapping(known, sender).get("status"), 40)
    if sender in known and status != "verified":
        return Health(False, f"The domain {sender} is not verified at Resend: {status}.", facts)
    if mapping(known, inbound, "capabilities").get("receiving") == "disabled":
        return Health(False, f"The domain {inbound} does not receive: switch it on at Resend.", facts)
    return Health(True, f"The API key works and {sender} is ready to send from.", facts)
