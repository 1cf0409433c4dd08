"""A batch of recipients, decided on and written to: all in the caller's transaction, which holds their ledger rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine import channels, compliance, message_templates
from engine.agents import AgentSpec
from engine.campaigns import windows, wording
from engine.campaigns.rules import Rules
from engine.compliance import Allowed, Held, Refused
from engine.compliance.hours import zones_of
from engine.conversations import choose_agent, spec_of
from engine.jobs import doorbell
from engine.message_templates import Choice
from storage import (
    ab_tallies,
    ab_tests,
    audit,
    campaign_batches,
    campaign_ledger,
    clock,
    conversations,
    deliveries,
    event_log,
)
from storage.agents import AgentConfig
from storage.campaign_batches import Known
from storage.campaigns import Campaign
from storage.conversations import Conversation, Message
from storage.database import after_commit
from storage.errors import Blocked, Conflict
from storage.ids import new_id
from storage.leads import Lead
from storage.tenancy import SYSTEM, Tenant

OUTSIDE_WINDOW = "outside_window"
_OF_EVERYBODY = ("channel_not_configured", "budget_exhausted")  # rules that refuse all alike, until a person helps


class Stop(Exception):
    """Nobody can be written to until a person helps: the campaign is to be paused for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Batch:
    """What is collected of a batch before it is written."""

    skipped: dict[int, str] = field(default_factory=dict)
    waits: dict[int, tuple[str, datetime]] = field(default_factory=dict)
    opened: list[tuple[Conversation, Message | None]] = field(default_factory=list)
    rows: list[tuple[str, str, dict[str, Any], datetime]] = field(default_factory=list)


def is_batched(channel: channels.Channel) -> bool:
    """Whether a channel takes first messages by the batch: nothing paces it, and it may be asked again."""
    return channel.repeats_safely and channel.pace_s == 0 and channel.recipient_pace_s == 0


def open_batch(tenant: Tenant, campaign: Campaign, taken: Sequence[tuple[int, int]], now: datetime) -> int:
    """Open the conversations of taken rows of the ledger, skip or postpone others; how many opened. Raises Stop."""
    leads = campaign_batches.hold_leads(tenant, [number for _, number in taken])
    rules = Rules.of(tenant, campaign.channel, now)
    known = campaign_batches.known_of(tenant, leads, campaign.channel, rules.since(now))
    talking = campaign_batches.talking(tenant, list(leads), campaign.channel)
    speakers, batch = _Speakers(tenant, campaign), _Batch()
    for row_id, number in taken:
        lead = leads.get(number)
        if lead is None:
            batch.skipped[row_id] = "lead_deleted"
        elif number in talking:
            batch.skipped[row_id] = "conversation_active"
        else:
            _decide(tenant, campaign, rules, speakers, batch, row_id, lead, known, now)
    _write(tenant, campaign, batch, rules, now)
    return len(batch.opened)


def _decide(
    tenant: Tenant,
    campaign: Campaign,
    rules: Rules,
    speakers: _Speakers,
    batch: _Batch,
    row_id: int,
    lead: Lead,
    known: Known,
    now: datetime,
) -> None:
    template = _choice(campaign)
    kind: compliance.Kind = "template" if template else "text"
    decision = compliance.decide(rules.facts(tenant, campaign.channel, lead, known, kind), now)
    if template is None and isinstance(decision, Refused) and decision.rule == "whatsapp_window_closed":
        template = message_templates.default(tenant, campaign.channel)
        if template is not None:
            decision = compliance.decide(rules.facts(tenant, campaign.channel, lead, known, "template"), now)
    if isinstance(decision, Refused):
        if decision.rule in _OF_EVERYBODY:
            raise Stop(decision.rule)
        batch.skipped[row_id] = decision.rule
        return
    opens = _window(campaign, rules, lead, now)
    if isinstance(decision, Held) and decision.until >= opens:
        batch.waits[row_id] = (decision.rule, decision.until)
    elif opens > now:
        batch.waits[row_id] = (OUTSIDE_WINDOW, opens)
    else:
        assert isinstance(decision, Allowed)
        batch.opened.append(speakers.opened(row_id, lead, template, batch, now))


def _choice(campaign: Campaign) -> Choice | None:
    given: Mapping[str, Any] | None = campaign.template
    return None if given is None else Choice(given["name"], given.get("language"), tuple(given.get("parameters", ())))


def _window(campaign: Campaign, rules: Rules, lead: Lead, now: datetime) -> datetime:
    """When the campaign may write to this lead, by the lead's own clock or, where that is not known, the campaign's."""
    given = campaign.schedule.get("windows")
    if not given:
        return now
    zones = zones_of(lead.timezone, lead.phone) or (rules.zone(campaign),)
    opens = windows.open_at(given, zones, now) or windows.open_at(given, (rules.zone(campaign),), now)
    return opens or now + timedelta(days=1)


class _Speakers:
    """Who speaks to whom in a batch, and what is said first."""

    def __init__(self, tenant: Tenant, campaign: Campaign) -> None:
        self._tenant, self._campaign = tenant, campaign
        self._is_drawn = campaign.agent_config_id is None and ab_tests.running(tenant) is not None
        self._usual: AgentConfig | None = None
        self._specs: dict[str, AgentSpec] = {}

    def opened(
        self, row_id: int, lead: Lead, template: Choice | None, batch: _Batch, now: datetime
    ) -> tuple[Conversation, Message | None]:
        """The rows of a new conversation and its first message, if that is worded already. Raises Stop."""
        tenant, campaign = self._tenant, self._campaign
        agent = self._agent(lead)
        spec = self._specs.get(agent.oid) or self._specs.setdefault(agent.oid, spec_of(agent))
        stage, moment = (spec.stages[0] if spec.stages else None), clock.iso(now)
        message = self._first(row_id, lead, template, agent, stage.id if stage else None, moment)
        said = {"message_count": 1, "last_message_at": moment} if message else {}
        assignment_id = self._assignment(lead, agent)
        if message is not None and assignment_id is not None:
            ab_tallies.note_message(tenant, assignment_id, 0)
        conversation = Conversation(
            tenant_id=tenant.id,
            oid=new_id(),
            lead_number=lead.number,
            agent_config_id=agent.oid,
            channel=campaign.channel,
            lead_phone=lead.phone,
            lead_email=lead.email or None,
            stage_name=stage.name if stage else None,
            campaign_id=campaign.oid,
            campaign_recipient_id=row_id,
            ab_assignment_id=assignment_id,
            created_at=moment,
            updated_at=moment,
            **({"message_count": 0, "last_message_at": None} | said),
        )
        idle = now + timedelta(minutes=spec.guardrails.inactivity_timeout_minutes)
        batch.rows.append(("idle", f"{conversation.oid}/idle", {"conversation": conversation.oid}, idle))
        return conversation, message

    def _agent(self, lead: Lead) -> AgentConfig:
        explicit = self._campaign.agent_config_id
        is_usual = explicit is not None or (lead.assigned_agent_id is None and not self._is_drawn)
        if is_usual and self._usual is not None:
            return self._usual
        try:
            agent = choose_agent(self._tenant, lead, explicit)
        except Conflict as error:
            raise Stop(error.code) from error
        if is_usual:
            self._usual = agent
        return agent

    def _assignment(self, lead: Lead, agent: AgentConfig) -> int | None:
        if lead.agent_assigned_by != "ab_test" or lead.assigned_agent_id != agent.oid or lead.ab_test_id is None:
            return None
        return ab_tallies.note_conversation(self._tenant, lead.ab_test_id, lead.number)

    def _first(
        self, row_id: int, lead: Lead, template: Choice | None, agent: AgentConfig, stage_id: str | None, moment: str
    ) -> Message | None:
        text, stored = self._campaign.message, None
        if text is not None:
            text = wording.worded(text, lead)
        if template is not None:
            try:
                worded = message_templates.word(self._tenant, self._campaign.channel, template, lead, text)
            except Blocked as error:
                raise Stop(error.code) from error
            text, stored = worded.text, worded.template
        if text is None:
            return None
        return Message(
            tenant_id=self._tenant.id,
            oid=new_id(),
            seq=1,
            role="agent",
            content=text,
            agent_config_id=agent.oid,
            agent_version=agent.version,
            stage_id=stage_id,
            template=stored,
            delivery_status="queued",
            campaign_recipient_id=row_id,
            created_at=moment,
        )


def _write(tenant: Tenant, campaign: Campaign, batch: _Batch, rules: Rules, now: datetime) -> None:
    """Store all that was decided, the ledger's rows with what follows from them."""
    campaign_ledger.skip(tenant, campaign, batch.skipped)
    campaign_ledger.postpone(tenant, batch.waits)
    if not batch.opened:
        return
    batch.opened.sort(key=lambda each: each[1] is None)  # those whose message is worded come first
    talks, messages = [talk for talk, _ in batch.opened], [said for _, said in batch.opened if said is not None]
    campaign_batches.open_all(tenant, talks, messages)
    if messages:
        campaign_batches.contacted(tenant, [talk.lead_number for talk in talks[: len(messages)]])
        _put_messages(campaign, batch, rules, messages, now)
    for talk in talks[len(messages) :]:
        batch.rows.append(("turn", talk.oid, {"conversation": talk.oid, "opening": True}, now))
        after_commit(partial(doorbell.ring, talk.oid))
    campaign_batches.put_all(tenant, batch.rows)
    campaign_ledger.queue(tenant, campaign, [talk.campaign_recipient_id or 0 for talk in talks])
    if event_log.is_wanted(tenant, "conversation.started"):
        for talk in talks:
            conversations.tell(tenant, "conversation.started", talk)
    # One entry for the batch: its conversations name the campaign, and entries of an account wait for each other.
    numbers = [talk.lead_number for talk in talks]
    audit.record(tenant, SYSTEM, "campaign.dispatched", campaign.oid, {"conversations": len(talks), "leadIds": numbers})


def _put_messages(campaign: Campaign, batch: _Batch, rules: Rules, messages: Sequence[Message], now: datetime) -> None:
    if rules.channel is not None and is_batched(rules.channel):
        lane = f"{campaign.oid}/batch/{messages[0].oid}"
        payload = {"campaign": campaign.oid, "run": campaign.run, "messages": [message.id for message in messages]}
        batch.rows.append(("campaign_delivery", lane, payload, now))
        after_commit(partial(doorbell.ring, lane))
        return
    for (talk, _), message in zip(batch.opened, messages, strict=False):
        lane = deliveries.lane_of(talk.oid)
        kind = "template" if message.template else "text"
        batch.rows.append(("deliver", lane, {"message": message.oid, "kind": kind}, now))
        after_commit(partial(doorbell.ring, lane))
