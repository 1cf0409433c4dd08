"""Who asks for silence gets one confirmation, then silence on every channel, until they ask to hear from us again."""

from __future__ import annotations

from engine import channels, compliance
from engine.conversations import move, say
from engine.privacy import silence as kept
from storage import audit, clock, conversations, leads
from storage.conversations import Conversation
from storage.leads import Lead
from storage.tenancy import SYSTEM, Tenant


def opt_out(tenant: Tenant, lead: Lead, conversation: Conversation | None, *, is_confirmed: bool = False) -> None:
    """Silence for a held lead; every open conversation is dropped. A second wish for it changes nothing more.

    conversation: a held one of the lead, in which to confirm it. is_confirmed: the provider has done that already.
    """
    if not lead.opted_out:
        _store(tenant, lead, list(channels.CHANNELS), "lead.opted_out")
        if conversation is not None and not is_confirmed and channels.of(tenant, conversation.channel) is not None:
            agent_id = conversation.agent_config_id
            say(tenant, conversation, "agent", compliance.CONFIRMATION, kind="confirmation", agent_config_id=agent_id)
    for other in conversations.lock_open(tenant, lead.number):
        # The one in hand is moved as the object that the caller goes on with.
        is_same = conversation is not None and other.id == conversation.id
        move(tenant, conversation if is_same and conversation else other, "dropped", reason="The lead opted out.")


def opt_in(tenant: Tenant, lead: Lead) -> None:
    """A held lead may be written to again, on every channel."""
    kept.lift(tenant, lead)
    if lead.opted_out:
        _store(tenant, lead, [], "lead.opted_in")


def _store(tenant: Tenant, lead: Lead, opted_out: list[str], action: str) -> None:
    lead.store(opted_out=opted_out, updated_at=clock.stamp())
    audit.record(tenant, SYSTEM, action, lead.number)
    leads.tell(tenant, "lead.opted_out" if opted_out else "lead.updated", lead)
