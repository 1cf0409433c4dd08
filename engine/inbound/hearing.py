"""What a lead says: whose words they are, which conversation they belong to, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine import compliance, waits
from engine.channels import Said
from engine.conversations import Changed, choose_agent, open_with, put_turn
from engine.inbound import people, silence
from storage import clock, conversations, leads, usage
from storage.conversations import Conversation
from storage.errors import Conflict, NotFound
from storage.leads import Lead
from storage.tenancy import SYSTEM, Tenant

LONGEST_TEXT = 100_000  # characters of a message, as the contract has it
_LONGEST_SUBJECT = 500
_OPEN = ("active", "handed_off")


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a message: where it stands now, or why it stands nowhere."""

    changed: Changed | None
    reason: str | None = None


def hear(tenant: Tenant, channel: str, said: Said, at: datetime | None) -> Heard:
    """Take in what somebody said on a channel, in the caller's transaction. at: when, where the provider tells.

    Raises NotFound where the lead is deleted at this very moment: then it is to be done again.
    """
    if not said.text.strip():
        return Heard(None, "empty_message")
    wish = compliance.wish(said.text)
    answered = _answered(tenant, channel, said)
    number = people.find(tenant, channel, said.sender)
    if number is None and answered is not None and channel != "email":
        # A chat's provider says what was answered, so only who got that can have written this. What an email says of
        # itself can be made up, so there it binds only the lead whose conversation it is.
        number = answered.lead_number
    lead = people.held(tenant, channel, said.sender, number)
    conversation = _conversation_for(tenant, lead, channel, answered, wish)
    if conversation is not None:
        return Heard(take_in(tenant, lead, conversation, said, wish=wish, at=at))
    if wish == "stop":
        silence.opt_out(tenant, lead, None)
        return Heard(None)
    return Heard(None, "opted_out" if lead.opted_out else "no_active_agent")


def _answered(tenant: Tenant, channel: str, said: Said) -> Conversation | None:
    """The conversation that the message names, or whose message it answers; its lead is not deleted."""
    try:
        conversation = _named(tenant, channel, said)
        if conversation is not None:
            leads.get(tenant, conversation.lead_number)
        return conversation
    except NotFound:
        return None


def _named(tenant: Tenant, channel: str, said: Said) -> Conversation | None:
    if said.conversation_id:
        conversation = conversations.get(tenant, said.conversation_id)
        return conversation if conversation.channel == channel else None
    message = conversations.by_provider_id(tenant, channel, said.reply_to) if said.reply_to else None
    return None if message is None else conversations.by_row(tenant, message.conversation_id)


def _conversation_for(
    tenant: Tenant, lead: Lead, channel: str, answered: Conversation | None, wish: str | None
) -> Conversation | None:
    """Where a message of this held lead belongs, held: what it answers if that is open, what else is open, a new one.

    Nobody opens a conversation with a person who wants silence; only the wish itself needs a place.
    """
    if answered is not None and answered.lead_number == lead.number:
        held = conversations.lock(tenant, answered.oid)
        if held.status in _OPEN:
            return held
    latest = conversations.latest_of(tenant, lead.number, channel)
    held_latest = None if latest is None else conversations.lock(tenant, latest.oid)
    if held_latest is not None and (held_latest.status in _OPEN or wish == "stop"):
        return held_latest
    if lead.opted_out and wish != "start":
        return held_latest
    try:
        return open_with(tenant, lead, channel, choose_agent(tenant, lead), SYSTEM)
    except Conflict:  # no active agent: what was said is kept all the same
        return held_latest


def take_in(
    tenant: Tenant, lead: Lead, conversation: Conversation, said: Said, *, wish: str | None, at: datetime | None = None
) -> Changed:
    """Append the message of a held lead to a held conversation; an active one gets the agent's turn."""
    before = conversation.last_lead_message_at or ""
    message = conversations.append(
        tenant,
        conversation,
        "lead",
        said.text[:LONGEST_TEXT],
        provider_message_id=said.provider_id or None,
        subject=said.subject[:_LONGEST_SUBJECT] or None,
    )
    if at is not None:  # what came late was said when the provider heard it: its time limits count from then
        conversation.store(last_lead_message_at=max(before, min(clock.iso(at), message.created_at)))
    conversations.tell_message(tenant, "message.received", message, conversation)
    if wish == "stop":
        silence.opt_out(tenant, lead, conversation)
    elif wish == "start":
        silence.opt_in(tenant, lead)
    waits.reconsider(tenant, lead.number)  # what was held may go as a reply now, and before the agent's answer
    usage.add(tenant, clock.now(), messages_received=1)
    if conversation.status != "active" or conversation.channel in lead.opted_out:
        return Changed(conversation)
    return Changed(conversation, put_turn(tenant, conversation, seq=message.seq))
