"""What an event of Resend says: an email came, or how far one of ours has come."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from engine.channels import Credentials, DeliveryStatus, Event, Ignored, Request, Said, Sender, Status
from engine.channels.email.mailboxes import conversation_of_address, domain, mailbox
from engine.channels.members import identifier, mapping, our_id
from engine.channels.payloads import instant, line, text

_MOST_SIGNATURES = 10
_MOST_RECIPIENTS = 50
_REACHED: dict[str, DeliveryStatus] = {
    "email.sent": "sent",
    "email.delivered": "delivered",
    "email.opened": "read",
    "email.clicked": "read",
}
_UNREMARKABLE = {"email.delivery_delayed": "delivery_delayed", "email.scheduled": "scheduled"}
_REFUSED = {"email.bounced": "bounce", "email.suppressed": "suppressed"}  # and the member that says why
_BOUNCES = {
    "permanent": "The address does not exist or refuses all email.",
    "transient": "The mailbox could not take the email, for instance because it is full.",
}
_FAILURES = {
    "reached_daily_quota": "The account's daily quota at Resend was used up.",
    "reached_monthly_quota": "The account's monthly quota at Resend was used up.",
}


def is_authentic(request: Request, credentials: Credentials) -> bool:
    """Whether one of the signatures over the raw body is of our secret, and at most five minutes old or ahead."""
    given = {f"webhook-{name}": request.headers.get(f"svix-{name}", "") for name in ("id", "timestamp", "signature")}
    try:
        webhook = Webhook(credentials.secrets.get("signingSecret", ""))
        return any(
            _verifies(webhook, request.body, {**given, "webhook-signature": signature})
            for signature in given["webhook-signature"].split()[:_MOST_SIGNATURES]
        )
    except (EmptyWebhookSecretError, ValueError):  # a secret that is none
        return False


def _verifies(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    """One signature at a time: the package gives up at the first malformed one of several."""
    with contextlib.suppress(WebhookVerificationError, ValueError):
        webhook.verify(body, headers, json_parse=False)
        return True
    return False


def addresses(payload: Any) -> tuple[str, ...]:
    """The domains, in lower case, one of which is of the integration that the event is for, the likeliest first.

    An inbound email may be for others too; one of ours was sent from the domain of the from address.
    """
    event = mapping(payload)
    content = mapping(event, "data")
    if event.get("type") != "email.received":
        found = [mailbox(content.get("from"))[1]]
    else:
        found = sorted(_recipients(content), key=lambda address: not conversation_of_address(address))
    return tuple(dict.fromkeys(domain(address) for address in found if address))


def read(payload: Any) -> list[Event]:
    """The event; none where it does not say what happened."""
    told = mapping(payload)
    content = mapping(told, "data")
    kind, created_at = line(told.get("type"), 64), line(told.get("created_at"), 64)
    email_id = identifier(content, "email_id")
    if not kind:
        return []
    if not email_id:
        what: Said | Status | Ignored = Ignored("not_about_an_email")
        email_id = identifier(content, "id")
    elif kind == "email.received":
        what = _received(content, email_id)
    else:
        what = _status(kind, content, email_id)
    contact = what.sender.email if isinstance(what, Said) else email_id
    address = next(iter(addresses(told)), "")
    event_id = f"{kind}:{email_id}" if isinstance(what, Said) else f"{kind}:{email_id}:{created_at}"
    return [Event(event_id, contact, what, address, instant(created_at), told)]


def _received(content: Mapping[str, Any], email_id: str) -> Said | Ignored:
    name, address = mailbox(content.get("from"))
    if not address:
        return Ignored("no_sender")
    named = filter(None, map(conversation_of_address, _recipients(content)))
    return Said(
        Sender((address,), email=address, name=name),
        "",
        identifier(content, "message_id") or email_id,
        subject=line(content.get("subject"), 500),
        fetch={"email_id": email_id},
        conversation_id=next(named, ""),
    )


def _status(kind: str, content: Mapping[str, Any], email_id: str) -> Status | Ignored:
    message_id = our_id(mapping(content, "tags").get("message"))
    if reached := _REACHED.get(kind):
        return Status(email_id, reached, message_id)
    if kind == "email.complained":
        detail = "The person has marked the email as spam."
        return Status(email_id, "delivered", message_id, "email_complained", detail, is_opt_out=True)
    if member := _REFUSED.get(kind):
        return _bounced(kind, mapping(content, member), email_id, message_id)
    if kind == "email.failed":
        reason = text(mapping(content, "failed").get("reason"), 64)
        detail = _FAILURES.get(reason, "Resend could not send the email.")
        return Status(
            email_id, "failed", message_id, f"email_{reason}" if reason in _FAILURES else "email_failed", detail
        )
    return Ignored(_UNREMARKABLE.get(kind, "unknown_event"))


def _bounced(kind: str, told: Mapping[str, Any], email_id: str, message_id: str | None) -> Status:
    """An address that is dead is no wish of the person; a suppression is, unless Resend says that it was a bounce."""
    words = " ".join(text(told.get(name), 1000).lower() for name in ("reason", "type", "message"))
    bounce_type = text(told.get("type"), 40).lower()
    if kind == "email.suppressed" or (not bounce_type and "suppress" in words):
        is_opt_out = "complain" in words or "bounce" not in words
        detail = "Resend no longer sends to this address, after an earlier bounce or complaint."
        return Status(email_id, "failed", message_id, "email_suppressed", detail, is_opt_out=is_opt_out)
    code = f"email_bounced_{bounce_type}" if bounce_type in _BOUNCES else "email_bounced"
    detail = _BOUNCES.get(bounce_type, "The recipient's server refused the email.")
    return Status(email_id, "failed", message_id, code, detail)


def _recipients(content: Mapping[str, Any]) -> list[str]:
    """All addresses that it was sent to, in lower case."""
    found = []
    for member in ("to", "cc", "bcc"):
        listed = content.get(member)
        values = listed if isinstance(listed, list) else [listed]
        found += [mailbox(value)[1] for value in values[:_MOST_RECIPIENTS]]
    return [address for address in found if address]
