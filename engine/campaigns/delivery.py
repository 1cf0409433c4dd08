"""The job `campaign_delivery`: first messages of a batch on a channel that nothing paces.

The way of `engine.delivery`, for many at once: the decision and the record that the provider is about to be called are
one transaction under the leads' locks, what came of the calls is another. Whatever is not plain (a wait, a refusal, a
call whose outcome nobody recorded) is given to the job `deliver`, which knows all of that, one message a row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine import channels, compliance
from engine.campaigns.opening import is_batched
from engine.campaigns.rules import Rules
from engine.campaigns.steps import NEARLY_DONE
from engine.channels import Channel, Outgoing, SendError
from engine.compliance import Allowed
from engine.compliance.disclosure import disclosure
from engine.conversations import ring_after_commit
from engine.delivery.outgoing import outgoing_of
from engine.jobs.registry import Task, job
from storage import accounts, campaign_batches, clock, conversations, deliveries, event_log, outbox
from storage.campaign_batches import Known
from storage.conversations import Conversation, Message
from storage.database import transaction
from storage.tenancy import Tenant

LEASE_S = 120.0
_Pair = tuple[Message, Conversation]


def give_up(task: Task, reason: str) -> None:
    """After the last failure each message goes its own way."""
    del reason
    pairs, tried = campaign_batches.queued(task.tenant, task.payload["messages"])
    _one_by_one(task.tenant, [*(message for message, _ in pairs), *tried])


@dataclass(frozen=True, slots=True)
class _Call:
    """What is about to be handed to the channel, written down already."""

    message: Message
    talk: Conversation
    outgoing: Outgoing


@job("campaign_delivery", lease_s=LEASE_S, gave_up=give_up)
def deliver(task: Task) -> None:
    """Hand the first messages of a batch to their channel: payload {campaign, run, messages}."""
    begun = _begin(task)
    if begun is None:
        return
    channel, calls = begun
    taken: dict[int, str] = {}
    for call in calls:
        with contextlib.suppress(SendError):  # what became of it is asked about where it stands alone
            sent = channel.send(call.outgoing)
            if sent.status == "delivered" and sent.provider_id is not None:
                taken[call.message.id] = sent.provider_id
    _finish(task, calls, taken)


def _begin(task: Task) -> tuple[Channel, list[_Call]] | None:
    """Decide, and write down which calls are about to be made; None where none is. Raises LeaseLost."""
    tenant, now = task.tenant, clock.now()
    with transaction():
        outbox.extend(task.claim, now, LEASE_S)
        pairs, tried = campaign_batches.queued(tenant, task.payload["messages"])
        _one_by_one(tenant, tried)
        channel = channels.of(tenant, pairs[0][1].channel) if pairs else None
        if channel is None or not is_batched(channel):
            task.complete()
            _one_by_one(tenant, [message for message, _ in pairs])
            return None
        calls = _allowed(tenant, pairs, now)
        campaign_batches.begin_all(tenant, [call.message for call in calls], now)
    return channel, calls


def _allowed(tenant: Tenant, pairs: Sequence[_Pair], now: datetime) -> list[_Call]:
    """The calls for those messages that may go now; the others are left to the job that can hold and refuse them."""
    leads = campaign_batches.hold_leads(tenant, [talk.lead_number for _, talk in pairs])
    name = pairs[0][1].channel
    rules = Rules.of(tenant, name, now)
    known = campaign_batches.known_of(tenant, leads, name, rules.since(now), [message.id for message, _ in pairs])
    plain: list[_Pair] = []
    for message, talk in pairs:
        lead = leads.get(talk.lead_number)
        facts = None if lead is None else rules.facts(tenant, name, lead, known, _kind(message))
        if facts is not None and isinstance(compliance.decide(facts, now), Allowed):
            plain.append((message, talk))
        else:
            _one_by_one(tenant, [message])
    _disclose(tenant, plain)
    return [_call(tenant, message, talk, known) for message, talk in plain]


def _call(tenant: Tenant, message: Message, talk: Conversation, known: Known) -> _Call:
    known_as = known.addresses.get(talk.lead_number, ())
    return _Call(message, talk, outgoing_of(tenant, talk, message, known.leads[talk.lead_number], known_as))


def _kind(message: Message) -> compliance.Kind:
    return "template" if message.template else "text"


def _disclose(tenant: Tenant, pairs: Sequence[_Pair]) -> None:
    if disclosure(accounts.settings(tenant.account_id)) is not None:
        for message, talk in pairs:
            compliance.disclose(tenant, talk, message, _kind(message))


def _one_by_one(tenant: Tenant, messages: Sequence[Message]) -> None:
    """Have each of these messages delivered by a row of its own, in the lane of its conversation."""
    for message in messages:
        lane = deliveries.lane_of(conversations.by_row(tenant, message.conversation_id).oid)
        outbox.put(tenant, "deliver", lane, {"message": message.oid, "kind": _kind(message)})
        ring_after_commit(lane)


def _wake(task: Task) -> None:
    """The lane that waits for the last deliveries need not wait for its time."""
    lane = f"{task.payload['campaign']}/{task.payload['run']}/0"
    if outbox.wake([NEARLY_DONE], lanes=[lane]):
        ring_after_commit(lane)


def _finish(task: Task, calls: Sequence[_Call], taken: Mapping[int, str]) -> None:
    """Record what came of the calls. Raises LeaseLost: then whoever has the row finds that they were begun."""
    tenant, now = task.tenant, clock.now()
    with transaction():
        task.complete()
        campaign_batches.take_leads(tenant, [call.talk.lead_number for call in calls])
        news = campaign_batches.accept_all(tenant, taken, now)
        _one_by_one(tenant, [call.message for call in calls if call.message.id not in taken])
        for call in calls:
            if call.message.id in news and call.message.discloses_ai:
                deliveries.note_disclosure(tenant, call.talk, now)
        _wake(task)
        if event_log.is_wanted(tenant, "message.sent"):
            for oid in [call.message.oid for call in calls if call.message.id in news]:
                conversations.tell_message(tenant, "message.sent", conversations.message(tenant, oid))
