"""What must be true after a storm of campaigns: sent = unique = ledger = stats, each recipient written to once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from storage import clock, usage
from storage.campaign_ledger import CampaignRecipient
from storage.campaigns import Campaign
from storage.conversation_events import ConversationEvent
from storage.conversations import Conversation, Message
from storage.database import connection
from storage.deliveries import DeliveryAttempt
from storage.outbox import OutboxRow
from tests.faults.campaigns import PATH, Campaigns
from tests.faults.house import House, once
from tests.faults.providers import Taken

_OF_LIVE, _OF_TEST = "sent", "delivered"  # how far a message gets: providers tell nothing more here


@dataclass
class _World:
    """All that is stored, read once; by row id unless told otherwise."""

    campaigns: list[Any]
    ledger: dict[int, list[Any]]  # by campaign, in order
    conversations: dict[int, Any]  # by ledger row
    messages: dict[int, Any]  # by ledger row
    attempts: dict[int, list[str]]  # by message: the states of its calls, in order
    events: Counter[tuple[int, str, str]]  # by conversation, type and, for a delivery, how far that was
    outbox: list[Any]  # what is not done

    @classmethod
    def read(cls, house: House) -> _World:
        tenant = house.tenant
        ledger, attempts = defaultdict(list), defaultdict(list)
        with connection():
            for row in CampaignRecipient.of(tenant).order_by(CampaignRecipient.lead_number):
                ledger[row.campaign_id].append(row)
            for attempt in DeliveryAttempt.of(tenant).order_by(DeliveryAttempt.id):
                attempts[attempt.message_id].append(attempt.state)
            conversations, messages = list(Conversation.of(tenant)), list(Message.of(tenant))
            assert once(talk.campaign_recipient_id for talk in conversations)
            assert once(message.campaign_recipient_id for message in messages)
            return cls(
                list(Campaign.of(tenant).order_by(Campaign.id)),
                ledger,
                {talk.campaign_recipient_id: talk for talk in conversations},
                {message.campaign_recipient_id: message for message in messages},
                attempts,
                Counter(
                    (event.conversation_id, event.type, event.data.get("deliveryStatus", ""))
                    for event in ConversationEvent.of(tenant)
                ),
                list(OutboxRow.select().where((OutboxRow.tenant_id == tenant.id) & (OutboxRow.state != "done"))),
            )


def check(house: House, campaigns: Campaigns) -> None:
    """Assert that all kills were dealt and that nobody was forgotten or contacted twice, by any count."""
    world = _World.read(house)
    assert campaigns.storm.toll.kills >= campaigns.kills
    assert [campaign.oid for campaign in world.campaigns] == list(campaigns.pauses)
    rows = {row.id for ledger in world.ledger.values() for row in ledger}
    assert rows == world.conversations.keys() == world.messages.keys()
    assert len(rows) == len(world.campaigns) * campaigns.recipients
    for campaign in world.campaigns:
        _check_campaign(campaign, world, campaigns)
    _check_counts(house, world, campaigns)
    _check_log(house, world, campaigns)
    assert {lead.status for lead in house.check_leads()} == {"contacted"}
    assert Counter(row.kind for row in world.outbox) == {"idle": len(rows)}, "the outbox is not drained"
    if campaigns.providers:
        _check_far_end(world, campaigns)


def _check_campaign(campaign: Any, world: _World, campaigns: Campaigns) -> None:
    """It is over, everybody is in its ledger once, and was told once what it says."""
    assert (campaign.status, campaign.reason) == ("completed", "finished")
    ledger = world.ledger[campaign.id]
    assert [row.lead_number for row in ledger] == list(range(1, campaigns.recipients + 1))
    far = _OF_LIVE if campaigns.providers else _OF_TEST
    for row in ledger:
        talk, message = world.conversations[row.id], world.messages[row.id]
        assert (row.state, row.status, row.reason) == (far, far, None)
        assert (talk.lead_number, talk.campaign_id, talk.channel) == (row.lead_number, campaign.oid, campaign.channel)
        assert (talk.message_count, message.conversation_id, message.seq) == (1, talk.id, 1)
        assert (message.role, message.content) == ("agent", campaigns.text(row.lead_number))
        assert (message.delivery_status, message.delivery_code) == (far, None)
        states = world.attempts[message.id]
        assert "accepted" in states, states
        assert {"started", "refused"}.isdisjoint(states), states
        assert (world.events[talk.id, "message", ""], world.events[talk.id, "delivery", far]) == (1, 1)
    assert once(world.messages[row.id].provider_message_id for row in ledger)


def _check_counts(house: House, world: _World, campaigns: Campaigns) -> None:
    """The stats, the usage and analytics count as many as there are."""
    sent, live = campaigns.recipients, bool(campaigns.providers)
    with house.calm_client() as client:
        for campaign in world.campaigns:
            shown = client.get(f"{PATH}/{campaign.oid}")
            expected = {"total": sent, "sent": sent, "delivered": 0 if live else sent}
            assert shown["stats"] == {**dict.fromkeys(shown["stats"], 0), **expected}
        numbers = client.get("/api/analytics/campaigns")["campaigns"]
    found = {each["campaignId"]: (each["conversations"], each["avgMessagesPerConversation"]) for each in numbers}
    assert found == {campaign.oid: (sent, 1) for campaign in world.campaigns}
    with connection():
        [month] = usage.months(house.tenant, 1)
    assert (month.month, month.messages_sent) == (usage.month_of(clock.now()), sent * len(world.campaigns))


def _check_log(house: House, world: _World, campaigns: Campaigns) -> None:
    """Each campaign began and ended once, was paused as often as was acknowledged, and contacted each lead once."""
    for action in ("created", "started", "completed"):
        told = sorted(entry.resource_id for entry in house.audited(f"campaign.{action}"))
        assert told == sorted(campaigns.pauses), action
    for action in ("paused", "resumed"):
        assert Counter(entry.resource_id for entry in house.audited(f"campaign.{action}")) == Counter(campaigns.pauses)
    contacted = defaultdict(list)
    for entry in house.audited("campaign.dispatched"):
        contacted[entry.resource_id] += entry.metadata["leadIds"]
    for campaign in world.campaigns:
        assert sorted(contacted[campaign.oid]) == list(range(1, campaigns.recipients + 1))


def _check_far_end(world: _World, campaigns: Campaigns) -> None:
    """What the providers have taken is what the ledger says, a message for each row."""
    assert campaigns.providers is not None
    taken: dict[tuple[str, str], list[Taken]] = defaultdict(list)
    for each in campaigns.providers.taken():
        taken[each.channel, each.text].append(each)
    assert len(taken) == campaigns.providers.count_taken(), "somebody received the same twice"
    for row_id, message in world.messages.items():
        [found] = taken.pop((world.conversations[row_id].channel, message.content))
        assert (found.message, found.provider_id) == (message.oid, message.provider_message_id)
    assert not taken, "somebody received what is in no ledger"
