"""A message as its channel gets it, addressed by what the decision has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.channels import Outgoing, Template
from storage import deliveries
from storage.conversations import Conversation, Message
from storage.leads import Lead
from storage.tenancy import Tenant

_LONGEST_THREAD = 20  # Message-IDs that an email names


def outgoing_of(
    tenant: Tenant, conversation: Conversation, message: Message, lead: Lead, known_as: Sequence[str]
) -> Outgoing:
    """The message, to the person's present addresses; an email answers what they wrote last.

    known_as: the channel's own names of the person, the latest first.
    """
    is_email = conversation.channel == "email"
    thread = deliveries.thread_of(tenant, message, _LONGEST_THREAD) if is_email else []
    subject = message.subject or (deliveries.subject_of(tenant, message) if is_email else "")
    return Outgoing(
        id=message.oid,
        channel=conversation.channel,
        phone=lead.phone if lead.phone_valid or tenant.environment == "test" else "",
        email=lead.email or (known_as[0] if known_as and is_email else ""),
        text=message.content,
        identities=tuple(known_as),
        template=_template(message.template),
        subject=subject,
        in_reply_to=thread[-1] if thread else None,
        references=tuple(thread),
        conversation_id=conversation.oid,
    )


def _template(stored: Mapping[str, Any] | None) -> Template | None:
    if not stored:
        return None
    parameters = tuple(map(str, stored.get("parameters") or ()))
    return Template(stored["name"], stored.get("language") or "en", parameters, tuple(stored.get("places") or ()))
