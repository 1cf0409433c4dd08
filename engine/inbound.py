"""What a lead says reaches the conversation here: stored once, appended in order, then the agent's turn is queued."""

from __future__ import annotations

from engine import channels, compliance
from engine.conversations import (
    Changed,
    choose_agent,
    move,
    open_with,
    put_turn,
    require_open,
    ring_after_commit,
    say,
)
from storage import audit, clock, conversations, inbox
from storage.conversations import Conversation
from storage.database import transaction
from storage.errors import Conflict
from storage.ids import new_id
from storage.leads import Lead
from storage.tenancy import SYSTEM, Tenant


def receive(tenant: Tenant, channel: str, event_id: str, lead_number: int, text: str) -> Changed | None:
    """Take in what a lead wrote on a channel; None if this event was taken in before, or belongs to no conversation.

    It goes to the lead's active or handed-off conversation, else opens one. Raises NotFound for an unknown lead.
    """
    with transaction():
        payload = {"lead": lead_number, "text": text}
        if not inbox.store(tenant, channel, event_id, payload):
            return None
        lead = conversations.lock_lead(tenant, lead_number)
        conversation = _conversation_for(tenant, lead, channel, text)
        if conversation is None:
            return None
        taken = _take_in(tenant, lead, conversation, text)
        if taken.turn_row is not None:
            ring_after_commit(conversation.oid)
        return taken


def simulate(tenant: Tenant, conversation_oid: str, text: str) -> Changed:
    """Play the lead's part in a conversation of the test environment, the way a provider's event takes.

    Rings nobody: the caller works the lane. Raises NotFound, and Conflict in live or once the conversation has ended.
    """
    with transaction():
        lead_number = conversations.get(tenant, conversation_oid).lead_number
        if tenant.environment != "test":
            raise Conflict("live_environment", "Replies can be simulated in the test environment only. Use a test key.")
        lead = conversations.lock_lead(tenant, lead_number)
        conversation = conversations.lock(tenant, conversation_oid)
        require_open(conversation)
        inbox.store(tenant, conversation.channel, f"simulated-{new_id()}", {"lead": lead_number, "text": text})
        return _take_in(tenant, lead, conversation, text)


def _conversation_for(tenant: Tenant, lead: Lead, channel: str, text: str) -> Conversation | None:
    """Where a message of this held lead belongs, held; a new conversation where all have ended and one may begin."""
    latest = conversations.latest_of(tenant, lead.number, channel)
    held = None if latest is None else conversations.lock(tenant, latest.oid)
    if held is not None and held.status in ("active", "handed_off"):
        return held
    wish = compliance.wish(text)
    if wish == "stop" or (lead.opted_out and wish != "start"):
        return held  # nobody opens a conversation with a person who wants silence
    try:
        return open_with(tenant, lead, channel, choose_agent(tenant, lead), SYSTEM)
    except Conflict:  # no active agent: what was said is kept all the same
        return held


def _take_in(tenant: Tenant, lead: Lead, conversation: Conversation, text: str) -> Changed:
    """Append the message of a held lead to a held conversation; an active one gets the agent's turn."""
    message = conversations.append(tenant, conversation, "lead", text)
    wish = compliance.wish(text)
    if wish == "stop":
        _opt_out(tenant, lead, conversation)
    elif wish == "start" and lead.opted_out:
        _set_opted_out(tenant, lead, [], "lead.opted_in")
    if conversation.status != "active" or conversation.channel in lead.opted_out:
        return Changed(conversation)
    return Changed(conversation, put_turn(tenant, conversation, seq=message.seq))


def _opt_out(tenant: Tenant, lead: Lead, conversation: Conversation) -> None:
    """Silence on every channel, after one confirmation; every open conversation of the lead is dropped."""
    if not lead.opted_out:
        _set_opted_out(tenant, lead, list(channels.CHANNELS), "lead.opted_out")
        if channels.of(tenant, conversation.channel) is not None:
            agent_id = conversation.agent_config_id
            say(tenant, conversation, "agent", compliance.CONFIRMATION, agent_config_id=agent_id)
    for other in conversations.lock_open(tenant, lead.number):
        # The one in hand is moved as the object that the caller goes on with.
        move(tenant, conversation if other.id == conversation.id else other, "dropped", reason="The lead opted out.")


def _set_opted_out(tenant: Tenant, lead: Lead, opted_out: list[str], action: str) -> None:
    lead.store(opted_out=opted_out, updated_at=clock.stamp())
    audit.record(tenant, SYSTEM, action, lead.number)
