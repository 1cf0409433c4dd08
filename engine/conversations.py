"""What changes a conversation: opening it, saying something, handing it off, ending it.

    (start) → active ⇄ handed_off
                 ↓          ↓
              completed | dropped

While it is active the agent answers; once a person has spoken, or it is handed off, the agent is silent until it is
given back. Everything here runs in one transaction, and locks the lead before the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine import ab_tests, compliance, message_templates
from engine.agents import AgentSpec
from engine.compliance import Allowed, Held, Refused
from engine.jobs import doorbell
from engine.message_templates import Choice, Worded
from storage import (
    ab_tallies,
    accounts,
    agents,
    audit,
    campaign_ledger,
    clock,
    conversations,
    deliveries,
    leads,
    outbox,
)
from storage.agents import AgentConfig
from storage.conversations import Conversation, Message
from storage.database import after_commit, transaction
from storage.errors import Blocked, Conflict, Problem
from storage.leads import Lead
from storage.tenancy import SYSTEM, Actor, Tenant

_MOVES = {
    "active": ("completed", "handed_off", "dropped"),
    "handed_off": ("active", "completed", "dropped"),
    "completed": (),
    "dropped": (),
}


@dataclass(frozen=True, slots=True)
class Changed:
    """A conversation after a change, and the outbox row of the agent's turn that follows from it, if any."""

    conversation: Conversation
    turn_row: int | None = None


def start(
    tenant: Tenant,
    lead_number: int,
    channel: str,
    *,
    actor: Actor,
    agent_config_id: str | None = None,
    text: str | None = None,
    template: Choice | None = None,
) -> Changed:
    """Open a conversation and queue its first message: a template, `text`, or a turn in which the agent words one.

    template: of the provider; where free text may not be sent, the integration's own is taken if it names one, and
    `text` fills its last place. Raises NotFound, Conflict, Blocked.
    """
    with transaction():
        lead = conversations.lock_lead(tenant, lead_number)
        template = _permitted(tenant, lead, channel, template)  # inside: an opt-out may be landing right now
        agent = choose_agent(tenant, lead, agent_config_id)
        conversation = open_with(tenant, lead, channel, agent, actor)
        worded = None if template is None else message_templates.word(tenant, channel, template, lead, text)
        if text is None and worded is None:
            return Changed(conversation, put_turn(tenant, conversation, opening=True))
        spec = spec_of(agent)
        stage_id = spec.stages[0].id if spec.stages else None
        pins: dict[str, Any] = {"agent_config_id": agent.oid, "agent_version": agent.version, "stage_id": stage_id}
        say(tenant, conversation, "agent", text or "", worded=worded, **pins)
        mark_contacted(lead)
        return Changed(conversation)


def _permitted(tenant: Tenant, lead: Lead, channel: str, template: Choice | None) -> Choice | None:
    """The template to open with, None for free text. Raises Blocked."""
    decision = compliance.permission(tenant, lead, channel, kind="template" if template else "text")
    if template is None and isinstance(decision, Refused) and decision.rule == "whatsapp_window_closed":
        template = message_templates.default(tenant, channel)
        if template is not None:
            decision = compliance.permission(tenant, lead, channel, kind="template")
    if not isinstance(decision, Allowed):
        raise Blocked(decision.rule, decision.message, details=decision.rule)
    return template


def open_with(tenant: Tenant, lead: Lead, channel: str, agent: AgentConfig, actor: Actor) -> Conversation:
    """A new conversation of a held lead, at the agent's first stage. Raises Conflict where one is active."""
    stages = spec_of(agent).stages
    conversation = conversations.add(tenant, lead, channel, agent.oid, stages[0].name if stages else None)
    ab_tests.enter(tenant, lead, conversation)
    started = {"leadId": str(lead.number), "channel": channel, "agentConfigId": agent.oid}
    audit.record(tenant, actor, "conversation.started", conversation.oid, started)
    watch(tenant, conversation, clock.now() + idle_after(agent))
    conversations.tell(tenant, "conversation.started", conversation)
    return conversation


def idle_after(agent: AgentConfig) -> timedelta:
    """How long a conversation of this agent may be silent before it is dropped."""
    return timedelta(minutes=spec_of(agent).guardrails.inactivity_timeout_minutes)


def watch(tenant: Tenant, conversation: Conversation, until: datetime) -> None:
    """Have an active conversation looked at then: whether it has fallen silent. Nobody is rung, the sweep finds it."""
    outbox.put(tenant, "idle", f"{conversation.oid}/idle", {"conversation": conversation.oid}, available_at=until)


def choose_agent(tenant: Tenant, lead: Lead, explicit: str | None = None) -> AgentConfig:
    """The agent to talk to this held lead: the explicit one, its own, the A/B test's, the default, the newest active.

    What a test once gave the lead is not its own: the next test may give it another, and so may the end of the test.
    Raises NotFound for an explicit one that is unknown, Conflict if it or every agent is not active.
    """
    if explicit is not None:
        agent = agents.get(tenant, explicit)
        if agent.status != "active":
            raise Conflict("agent_not_active", "Only an active agent opens conversations. Activate it first.")
        return agent
    own = None if lead.agent_assigned_by == "ab_test" else agents.active(tenant, lead.assigned_agent_id)
    chosen = own or ab_tests.assign(tenant, lead, clock.now())
    chosen = chosen or agents.active(tenant, accounts.default_agent_id(tenant))
    chosen = chosen or agents.newest(tenant, status="active")
    if chosen is None:
        raise Conflict("no_active_agent", "There is no active agent. Create one, or activate one, first.")
    return chosen


def spec_of(agent: AgentConfig) -> AgentSpec:
    """The agent as the engine sees it."""
    return AgentSpec.from_config(
        {
            "name": agent.name,
            "systemPrompt": agent.system_prompt,
            "goal": agent.goal,
            "language": agent.language,
            "instructions": agent.instructions,
            "qualificationCriteria": agent.qualification_criteria,
            "handoffMessage": agent.handoff_message,
            "stages": agent.stages,
            "guardrails": agent.guardrails,
            "model": agent.model,
        }
    )


def require_permission(tenant: Tenant, lead: Lead, channel: str, *, is_template: bool = False) -> None:
    """Return if a message to this held lead may go out on this channel now. Raises Blocked, named by the rule.

    Whoever asks through the API is told of a wait too, and decides whether to come back.
    """
    decision = compliance.permission(tenant, lead, channel, kind="template" if is_template else "text")
    if not isinstance(decision, Allowed):
        raise Blocked(decision.rule, decision.message, details=decision.rule)


def preflight(tenant: Tenant, oid: str, *, is_template: bool = False) -> dict[str, Any]:
    """The same decision about an open conversation, in the contract's words. Raises NotFound, Conflict."""
    conversation = conversations.get(tenant, oid)
    require_open(conversation)
    lead = leads.get(tenant, conversation.lead_number)
    decision = compliance.permission(tenant, lead, conversation.channel, kind="template" if is_template else "text")
    if isinstance(decision, Allowed):
        return {"allowed": True}
    refused = {"allowed": False, "rule": decision.rule, "message": decision.message}
    return refused | ({"until": clock.iso(decision.until)} if isinstance(decision, Held) else {})


def put_turn(tenant: Tenant, conversation: Conversation, **payload: Any) -> int:
    """Queue a turn of the agent in the lane of a held conversation; returns the outbox row. Rings nobody."""
    return outbox.put(tenant, "turn", conversation.oid, {"conversation": conversation.oid, **payload})


def ring_after_commit(lane: str) -> None:
    """Announce a lane once the caller's transaction is through."""
    after_commit(partial(doorbell.ring, lane))


def say(
    tenant: Tenant,
    conversation: Conversation,
    role: str,
    text: str,
    *,
    worded: Worded | None = None,
    kind: str | None = None,
    **columns: Any,
) -> Message:
    """Add an outgoing message to a held conversation and queue its delivery, in order. columns: further ones.

    worded: a provider's template that is sent instead of `text`. kind: as compliance knows it, where it is neither text
    nor template.
    """
    if worded is not None:
        text, columns["template"] = worded.text, worded.template
    message = conversations.append(tenant, conversation, role, text, delivery_status="queued", **columns)
    # Not the lane of the turns: a slow provider must not keep the agent from thinking.
    lane = deliveries.lane_of(conversation.oid)
    kind = kind or ("template" if worded else "text")
    outbox.put(tenant, "deliver", lane, {"message": message.oid, "kind": kind})
    ring_after_commit(lane)
    return message


def mark_contacted(lead: Lead) -> None:
    """Note on a held lead that it is being written to now; a status beyond `new` stays."""
    moment = clock.stamp()
    status = "contacted" if lead.status == "new" else lead.status
    lead.store(status=status, last_contacted_at=moment, updated_at=moment)


def send(tenant: Tenant, oid: str, text: str, *, actor: Actor, template: Choice | None = None) -> Changed:
    """Queue a person's message; from then on the agent is silent. Raises NotFound, Conflict, Blocked.

    template: of the provider, to be sent instead; `text` fills its last place where that has no parameter.
    """
    with transaction():
        lead = conversations.lock_lead(tenant, conversations.get(tenant, oid).lead_number)
        conversation = conversations.lock(tenant, oid)
        require_open(conversation)
        channel = conversation.channel
        require_permission(tenant, lead, channel, is_template=template is not None)
        worded = None if template is None else message_templates.word(tenant, channel, template, lead, text)
        say(tenant, conversation, "human", text, worded=worded)
        mark_contacted(lead)
        audit.record(tenant, actor, "conversation.message_sent", oid)
        if conversation.status == "active":
            move(tenant, conversation, "handed_off", actor, reason="A person wrote.")
        return Changed(conversation)


def require_open(conversation: Conversation) -> None:
    """Return if the conversation has not ended. Raises Conflict."""
    if conversation.status not in ("active", "handed_off"):
        raise Conflict("conversation_ended", f"The conversation is {conversation.status}. Start a new one.")


def update(tenant: Tenant, oid: str, body: Mapping[str, Any], *, actor: Actor) -> Changed:
    """Correct summary, verdict, stage or agent, as a person sees them; the lead's status follows the verdict.

    Raises NotFound, Conflict (stage and agent of a conversation that has ended, an agent that is not active), Blocked
    for a stage that the agent does not have.
    """
    with transaction():
        lead = conversations.lock_lead(tenant, conversations.get(tenant, oid).lead_number)
        conversation = conversations.lock(tenant, oid)
        if {"agentConfigId", "currentStageIndex"} & body.keys():
            require_open(conversation)
            _redirect(tenant, lead, conversation, body)
        if "summary" in body:
            conversation.store(summary=body["summary"], updated_at=clock.stamp())
        if "qualificationResult" in body:
            judge(tenant, lead, conversation, body["qualificationResult"], actor)
        audit.record(tenant, actor, "conversation.updated", oid, {"changed": sorted(body)})
        return Changed(conversation)


def _redirect(tenant: Tenant, lead: Lead, conversation: Conversation, body: Mapping[str, Any]) -> None:
    agent = choose_agent(tenant, lead, body.get("agentConfigId", conversation.agent_config_id))
    stages = spec_of(agent).stages
    index = body.get("currentStageIndex", 0)
    if index >= max(1, len(stages)):
        message = f"The agent has {len(stages)} stages, the first is 0"
        raise Blocked("stage_unknown", message, problems=[Problem("/currentStageIndex", message)])
    conversation.store(agent_config_id=agent.oid)
    conversations.set_stage(tenant, conversation, index, stages[index].name if stages else None)


def judge(
    tenant: Tenant, lead: Lead, conversation: Conversation, verdict: dict[str, Any] | None, actor: Actor = SYSTEM
) -> None:
    """Store a verdict on a held lead in a held conversation, and give the lead the status that follows from it."""
    if conversation.ab_assignment_id is not None:
        ab_tallies.note_verdict(tenant, conversation.ab_assignment_id, conversation.qualification_result, verdict)
    if conversation.campaign_recipient_id is not None:
        campaign_ledger.note_verdict(tenant, conversation.campaign_recipient_id, verdict)
    conversation.store(qualification_result=verdict, updated_at=clock.stamp())
    if verdict is None:
        return
    status = "qualified" if verdict["qualified"] else "disqualified"
    if lead.status != status:
        lead.store(status=status, updated_at=clock.stamp())
        audit.record(tenant, actor, f"lead.{status}", lead.number, {"conversationId": conversation.oid})
        leads.tell(tenant, "lead.updated", lead)
        leads.tell(tenant, f"lead.{status}", lead)


def change_status(tenant: Tenant, oid: str, status: str, *, actor: Actor) -> Changed:
    """End a conversation, hand it off, or give it back to the agent, who then answers what the lead said last.

    The present status again changes nothing. Raises NotFound, Conflict.
    """
    with transaction():
        if status == "active":
            conversations.lock_lead(tenant, conversations.get(tenant, oid).lead_number)
        conversation = conversations.lock(tenant, oid)
        if conversation.status == status:
            return Changed(conversation)
        if status not in _MOVES[conversation.status]:
            raise _illegal_move(conversation.status, status)
        move(tenant, conversation, status, actor)
        if status != "active":
            return Changed(conversation)
        watch(tenant, conversation, clock.now() + idle_after(agents.get(tenant, conversation.agent_config_id)))
        said = conversations.unanswered(tenant, conversation)
        if said is None:
            return Changed(conversation)
        ring_after_commit(oid)
        return Changed(conversation, put_turn(tenant, conversation, seq=said.seq))


def _illegal_move(present: str, wanted: str) -> Conflict:
    if wanted == "active":
        advice = "Only a handed-off conversation can be given back to the agent. Start a new one."
    else:
        advice = f"A {present} conversation cannot become {wanted}: it has ended. Start a new one."
    return Conflict("illegal_status_change", advice)


def move(tenant: Tenant, conversation: Conversation, status: str, actor: Actor = SYSTEM, reason: str = "") -> None:
    """Give a held conversation another status, and say so in the audit log."""
    before = conversation.status
    conversations.set_status(tenant, conversation, status)
    action = "conversation.resumed" if status == "active" else f"conversation.{status}"
    metadata = {"from": before, "to": status} | ({"reason": reason} if reason else {})
    audit.record(tenant, actor, action, conversation.oid, metadata)
    if status != "active":
        conversations.tell(tenant, action, conversation)


def hand_off(tenant: Tenant, conversation: Conversation, reason: str) -> None:
    """Give a held active conversation to a person, with a note that says why."""
    conversations.append(tenant, conversation, "system", f"Handed off to a person: {reason}")
    move(tenant, conversation, "handed_off", reason=reason)
