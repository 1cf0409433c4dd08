"""An agent takes its turn: read the facts, ask the model, then store everything that follows in one transaction.

The model is asked outside any transaction and may take its time. What changed meanwhile is looked at again before
anything is said: a conversation that ended, a person who took over, a lead who opted out all make the agent silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from engine.agents import (
    HistoryMessage,
    LeadFacts,
    ModelConfig,
    ModelError,
    ModelUnavailable,
    Turn,
    TurnContext,
    take_turn,
)
from engine.agents.types import LeadStatus, Role
from engine.conversations import hand_off, mark_contacted, move, require_permission, say, spec_of
from engine.jobs.registry import Retry, Task, job
from storage import agents, audit, clock, conversations, leads
from storage.conversations import Conversation
from storage.database import connection, transaction
from storage.errors import Blocked, NotFound
from storage.leads import Lead
from storage.tenancy import SYSTEM, Environment, Tenant

LEASE_S = 180.0  # a model may be asked three times, half a minute each
HISTORY = 200  # latest messages that a turn may know; a model is shown fewer
UNNAMED = "Unknown"  # what a lead without a name is called

# Nothing of the test environment leaves the machine, unless the deployment says so.
_models: dict[Environment, ModelConfig] = {"live": ModelConfig(), "test": ModelConfig(is_fixed=True)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a turn is taken on. seen: how many messages there were."""

    context: TurnContext
    seen: int


def configure(*, live: ModelConfig, test: ModelConfig | None = None) -> None:
    """Choose the model of each environment; without `test` that one keeps the scripted model, whatever agents wish."""
    _models["live"] = live
    _models["test"] = test or ModelConfig(is_fixed=True)


def give_up(task: Task, reason: str) -> None:
    """After the last attempt a person takes over."""
    _give_to_person(task.tenant, task.payload["conversation"], reason)


@job("turn", lease_s=LEASE_S, gave_up=give_up)
def take(task: Task) -> None:
    """The agent's turn in a conversation: payload {conversation, seq of the lead's message | opening, template}."""
    with connection():
        facts = _read(task.tenant, task.payload)
    if facts is None:
        task.complete()
        return
    try:
        turn = take_turn(facts.context, _models[task.tenant.environment])
    except ModelUnavailable as error:
        raise Retry(error.message, error.retry_after_s) from error
    except ModelError as error:  # asking again will not help
        with transaction():
            task.complete()
            _give_to_person(task.tenant, task.payload["conversation"], error.message)
        return
    with transaction():
        task.complete()
        _store(task.tenant, task.payload, facts, turn)


def _read(tenant: Tenant, payload: dict[str, Any]) -> Facts | None:
    """What the turn is to be taken on; None where there is nothing to say any more."""
    conversation = conversations.get(tenant, payload["conversation"])
    if conversation.status != "active":
        return None
    try:
        lead = leads.get(tenant, conversation.lead_number)
        spec = spec_of(agents.get(tenant, conversation.agent_config_id))
    except NotFound:
        return None
    stages = spec.stages[conversation.stage_index :][:1] or spec.stages[-1:]  # the script may have got shorter
    context = TurnContext(
        agent=spec,
        lead=_lead_facts(lead),
        now=clock.now(),
        history=_history(tenant, conversation, payload.get("seq")),
        stage_index=conversation.stage_index,
        opening=payload.get("opening", False),
        messages_in_stage=sum(conversations.count_in_stage(tenant, conversation, stage.id) for stage in stages),
        message_total=conversation.message_count,
    )
    return Facts(context, conversation.message_count)


def _lead_facts(lead: Lead) -> LeadFacts:
    return LeadFacts(
        name="" if lead.name == UNNAMED else lead.name,
        email=lead.email,
        phone=lead.phone,
        status=cast(LeadStatus, lead.status),
        custom_fields=lead.custom_fields,
    )


def _history(tenant: Tenant, conversation: Conversation, seq: int | None) -> tuple[HistoryMessage, ...]:
    """The conversation as it stands for the answer to message `seq`, that message last.

    A lead who writes twice in a row is answered twice: the second message is not known to the first answer, and the
    first answer is known to the second.
    """
    if seq is None:
        return ()
    known = conversations.messages_before(tenant, conversation, seq, HISTORY)
    asked = conversations.message_at(tenant, conversation, seq)
    return tuple(
        HistoryMessage(cast(Role, message.role), message.content) for message in [*known, asked] if message is not None
    )


def _store(tenant: Tenant, payload: dict[str, Any], facts: Facts, turn: Turn) -> None:
    """Everything that follows from a turn, if the agent may still speak."""
    try:
        conversation = conversations.get(tenant, payload["conversation"])
        lead = conversations.lock_lead(tenant, conversation.lead_number)
        conversation = conversations.lock(tenant, conversation.oid)
        require_permission(tenant, lead, conversation.channel)
    except (NotFound, Blocked):
        return
    if conversation.status != "active" or conversations.said_by_human_since(tenant, conversation, facts.seen):
        return
    say(
        tenant,
        conversation,
        "agent",
        turn.reply,
        template=payload.get("template"),
        agent_config_id=conversation.agent_config_id,
        stage_id=turn.stage.id if turn.stage else None,
    )
    conversation.store(
        stage_index=turn.stage.index if turn.stage else 0,
        stage_name=turn.stage.name if turn.stage else None,
        summary=turn.summary or conversation.summary,
    )
    _judge(tenant, lead, conversation, turn)
    if turn.conversation_status == "handed_off":
        hand_off(tenant, conversation, turn.handoff_reason or "The agent asked for a person.")
    elif turn.conversation_status == "completed":
        move(tenant, conversation, "completed")


def _judge(tenant: Tenant, lead: Lead, conversation: Conversation, turn: Turn) -> None:
    """The verdict of a turn on lead and conversation. Without one, a new lead counts as contacted and others stay."""
    mark_contacted(lead)
    if turn.qualification is None:
        return
    conversation.store(qualification_result=turn.qualification.model_dump())
    status = "qualified" if turn.qualification.qualified else "disqualified"
    if lead.status != status:
        lead.store(status=status)
        audit.record(tenant, SYSTEM, f"lead.{status}", lead.number, {"conversationId": conversation.oid})


def _give_to_person(tenant: Tenant, conversation_oid: str, reason: str) -> None:
    conversation = conversations.lock(tenant, conversation_oid)
    if conversation.status == "active":
        hand_off(tenant, conversation, reason)
