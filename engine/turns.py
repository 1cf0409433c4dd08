"""An agent takes its turn: read the facts, look things up, ask the model, store all that follows in one transaction.

The model is asked outside any transaction and may take its time. What changed meanwhile is looked at again before
anything is said: a conversation that ended, a person who took over, a lead who opted out all make the agent silent.
Tokens are counted all the same, or a budget would not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from engine import agent_knowledge, budgets, compliance, learning
from engine.agents import (
    HistoryMessage,
    LeadFacts,
    ModelConfig,
    ModelError,
    ModelUnavailable,
    Turn,
    TurnContext,
    Usage,
    take_turn,
)
from engine.agents.types import LeadStatus, Role
from engine.compliance import Held, Refused
from engine.conversations import hand_off, judge, mark_contacted, move, say, spec_of
from engine.jobs.registry import Retry, Task, job
from engine.learning import UNNAMED
from storage import agents, campaign_ledger, clock, conversations, deliveries, lead_merge, leads, usage
from storage.conversations import Conversation, Message
from storage.database import connection, transaction
from storage.errors import NotFound
from storage.leads import Lead
from storage.tenancy import Environment, Tenant

LEASE_S = 180.0  # a model may be asked three times, half a minute each
HISTORY = 200  # latest messages that a turn may know; a model is shown fewer

# Nothing of the test environment leaves the machine, unless the deployment says so.
_models: dict[Environment, ModelConfig] = {"live": ModelConfig(), "test": ModelConfig(is_fixed=True)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a turn is taken on. seen: how many messages there were; version: of the agent, at which it spoke."""

    context: TurnContext
    seen: int
    agent_oid: str
    version: int
    knowledge_base_oids: tuple[str, ...]
    exhausted_budget: str | None


def configure(*, live: ModelConfig, test: ModelConfig | None = None) -> None:
    """Choose the model of each environment; without `test` that one keeps the scripted model, whatever agents wish."""
    _models["live"] = live
    _models["test"] = test or ModelConfig(is_fixed=True)


def model_of(tenant: Tenant) -> ModelConfig:
    """The model that speaks for the tenant's agents where they do not choose one."""
    return _models[tenant.environment]


def give_up(task: Task, reason: str) -> None:
    """After the last attempt a person takes over."""
    _give_to_person(task.tenant, task.payload["conversation"], reason)


@job("turn", lease_s=LEASE_S, gave_up=give_up)
def take(task: Task) -> None:
    """The agent's turn in a conversation: payload {conversation, seq of the lead's message | opening}."""
    with connection():
        facts = _read(task.tenant, task.payload)
    if facts is None:
        task.complete()
        return
    if facts.exhausted_budget:
        _end(task, f"The account's budget of this month is used up ({facts.exhausted_budget}).", None)
        return
    facts = _informed(task.tenant, facts)
    try:
        turn = take_turn(facts.context, model_of(task.tenant))
    except ModelUnavailable as error:
        with transaction():
            count(task.tenant, error.usage)
        raise Retry(error.message, error.retry_after_s) from error
    except ModelError as error:  # asking again will not help
        _end(task, error.message, error.usage)
        return
    with transaction():
        task.complete()
        _store(task.tenant, task.payload, facts, turn)
        count(task.tenant, turn.usage, turns=1)


def _end(task: Task, reason: str, spent: Usage | None) -> None:
    """Finish a turn in which a person takes over instead."""
    with transaction():
        task.complete()
        _give_to_person(task.tenant, task.payload["conversation"], reason)
        count(task.tenant, spent)


def count(tenant: Tenant, spent: Usage | None, turns: int = 0) -> None:
    """Count turns and what was spent on them to the month, late in the caller's transaction."""
    spent = spent or Usage()
    if not turns and not spent.input_tokens and not spent.output_tokens:
        return
    usage.add(
        tenant,
        clock.now(),
        turns=turns,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost_micros=spent.cost_micros or 0,
    )


def _read(tenant: Tenant, payload: dict[str, Any]) -> Facts | None:
    """What the turn is to be taken on; None where there is nothing to say any more."""
    conversation = conversations.get(tenant, payload["conversation"])
    if conversation.status != "active":
        return None
    try:
        lead = leads.get(tenant, conversation.lead_number)
        agent = agents.get(tenant, conversation.agent_config_id)
    except NotFound:
        return None
    spec = spec_of(agent)
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
    exhausted = budgets.exhausted(tenant, context.now)
    seen = conversation.message_count
    return Facts(context, seen, agent.oid, agent.version, tuple(agent.knowledge_base_ids), exhausted)


def _informed(tenant: Tenant, facts: Facts) -> Facts:
    """The same facts with what the agent's knowledge bases say to the lead's latest message, if it has any."""
    said = facts.context.last_lead_message
    if not facts.knowledge_base_oids or not said.strip():
        return facts
    passages = agent_knowledge.look_up(tenant, facts.knowledge_base_oids, said)
    return replace(facts, context=replace(facts.context, passages=passages, searched=True))


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
    """Everything that follows from a turn, if the agent may still speak. What may not go yet is queued and waits."""
    try:
        conversation = conversations.get(tenant, payload["conversation"])
        lead = lead_merge.lock_lead_of(tenant, conversation)
        conversation = conversations.lock(tenant, conversation.oid)
    except NotFound:
        return
    if conversation.status != "active" or conversations.said_by_human_since(tenant, conversation, facts.seen):
        return
    decision = compliance.permission(tenant, lead, conversation.channel)
    if isinstance(decision, Refused):
        if conversation.campaign_recipient_id is not None and not conversation.message_count:
            campaign_ledger.note_unsaid(tenant, conversation.campaign_recipient_id)
        return
    message = _say(tenant, conversation, facts, turn)
    if isinstance(decision, Held):
        deliveries.note_wait(tenant, message, decision.rule, decision.message, decision.until)
    conversations.set_stage(
        tenant, conversation, turn.stage.index if turn.stage else 0, turn.stage.name if turn.stage else None
    )
    conversation.store(summary=turn.summary or conversation.summary)
    learning.learn(tenant, lead, turn)
    mark_contacted(lead)
    if turn.qualification is not None:
        judge(tenant, lead, conversation, turn.qualification.model_dump())
    if turn.conversation_status == "handed_off":
        hand_off(tenant, conversation, turn.handoff_reason or "The agent asked for a person.")
    elif turn.conversation_status == "completed":
        move(tenant, conversation, "completed")


def _say(tenant: Tenant, conversation: Conversation, facts: Facts, turn: Turn) -> Message:
    """The agent's message, with all that a person needs to see how it came about."""
    spent: dict[str, Any] = {}
    if turn.usage.model:  # else no model was asked
        spent = {
            "model": turn.usage.model,
            "input_tokens": turn.usage.input_tokens,
            "output_tokens": turn.usage.output_tokens,
            "cost_micros": turn.usage.cost_micros,
        }
    return say(
        tenant,
        conversation,
        "agent",
        turn.reply,
        agent_config_id=facts.agent_oid,
        agent_version=facts.version,
        stage_id=turn.stage.id if turn.stage else None,
        citations=agent_knowledge.citations(facts.context.passages, turn.passages_used),
        **spent,
    )


def _give_to_person(tenant: Tenant, conversation_oid: str, reason: str) -> None:
    conversation = conversations.lock(tenant, conversation_oid)
    if conversation.status == "active":
        hand_off(tenant, conversation, reason)
