"""That an AI is writing is said in its first message of a conversation, where the account wants it said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.compliance.decision import Kind
from storage import accounts, conversation_events
from storage.conversations import Conversation, Message
from storage.tenancy import Tenant

DISCLOSURE = "This message was written by an AI assistant."


def disclosure(settings: Mapping[str, Any]) -> str | None:
    """What the account wants said; None where it wants nothing."""
    own = settings.get("aiDisclosure") or {}
    return str(own.get("text") or DISCLOSURE) if own.get("enabled") else None


def disclose(tenant: Tenant, conversation: Conversation, message: Message, kind: Kind) -> None:
    """Append it to a message that is about to go, until a provider has taken one that says it.

    A provider's template cannot be added to, so the first free text after it says it.
    """
    if message.role != "agent" or kind != "text" or message.discloses_ai or conversation.ai_disclosed_at:
        return
    said = disclosure(accounts.settings(tenant.account_id))
    if said is None:
        return
    message.store(content=f"{message.content}\n\n{said}", discloses_ai=True)
    conversation_events.record(tenant, conversation.id, "message", {"messageId": message.oid})
