"""Who talks to whom while a test runs, and that it is written down with the conversation or not at all."""

from __future__ import annotations

import pytest

from engine import agent_configs, conversations
from engine.ab_tests import lifecycle
from engine.channels import Said, Sender
from engine.inbound import hearing
from storage import ab_tallies, ab_tests, agents, leads
from storage import conversations as rows
from storage.ab_tallies import Tally
from storage.database import transaction
from storage.errors import Conflict


@pytest.fixture
def start(tenant, actor):
    def start(lead, channel="sms", **members):
        return conversations.start(tenant, lead.number, channel, actor=actor, text="Hello", **members).conversation

    return start


@pytest.fixture
def move(tenant, actor):
    return lambda test, status: lifecycle.change_status(tenant, test.oid, status, actor=actor)


def variants_of(tenant, test):
    return [each.agent_config_id for each in ab_tests.variants(tenant, [test])[test.id]]


def tallies(tenant, test):
    """Of all variants together."""
    return Tally(*map(sum, zip(*ab_tallies.tallies(tenant, test).values(), strict=True)))


def test_lead_without_an_agent_of_its_own_is_drawn_and_says_so(tenant, make_test, make_lead, start):
    test, lead = make_test(), make_lead()

    conversation = start(lead)

    lead = leads.get(tenant, lead.number)
    assert conversation.agent_config_id in variants_of(tenant, test)
    assert (lead.ab_test_id, lead.agent_assigned_by) == (test.oid, "ab_test")
    assert lead.assigned_agent_id == conversation.agent_config_id
    assert tallies(tenant, test)._replace(duration_ms=0) == Tally(leads=1, conversations=1, messages=1)


def test_lead_stays_with_its_variant_on_every_channel(tenant, make_test, make_lead, start):
    test = make_test()
    people = [make_lead(email=f"ada{number}@example.com") for number in range(8)]

    first = [start(lead).agent_config_id for lead in people]
    again = [start(lead, "email").agent_config_id for lead in people]

    assert first == again
    assert (tallies(tenant, test).leads, tallies(tenant, test).conversations) == (8, 16)


def test_lead_with_an_agent_of_its_own_is_not_drawn(tenant, make_test, make_agent, make_lead, start):
    own = make_agent()
    test, lead = make_test(), make_lead(assigned_agent_id=own.oid)

    assert start(lead).agent_config_id == own.oid
    assert ab_tallies.tallies(tenant, test) == {}


def test_agent_that_the_caller_names_is_not_of_the_test(tenant, make_test, make_agent, make_lead, start):
    test, other = make_test(), make_agent()

    assert start(make_lead(), agent_config_id=other.oid).agent_config_id == other.oid
    assert start(make_lead(), agent_config_id=variants_of(tenant, test)[0]).ab_assignment_id is None
    assert ab_tallies.tallies(tenant, test) == {}


def test_conversation_that_cannot_be_opened_exposes_nobody(tenant, make_test, make_lead, start, move):
    make_test(status="draft")
    lead = make_lead()
    start(lead)
    test = make_test()

    with pytest.raises(Conflict):
        start(lead)

    assert ab_tallies.tallies(tenant, test) == {}
    assert leads.get(tenant, lead.number).ab_test_id is None


def test_lead_that_writes_first_is_drawn_too(tenant, make_test):
    test = make_test()

    with transaction():
        heard = hearing.hear(tenant, "whatsapp", Said(Sender(("12025550101",)), "Hello", "wamid.1"), None)

    assert heard.changed.conversation.agent_config_id in variants_of(tenant, test)
    assert tallies(tenant, test)[:4] == (1, 0, 1, 0)


def test_variant_whose_agent_is_switched_off_gets_nobody(tenant, make_test, make_agent, make_lead, start, actor):
    test = make_test(weights=(1, 1e-9))
    standby = make_agent()
    agent_configs.update(tenant, variants_of(tenant, test)[0], {"status": "inactive"}, actor=actor)

    assert start(make_lead()).agent_config_id == standby.oid
    assert ab_tallies.tallies(tenant, test) == {}


def test_paused_test_draws_nobody_and_lets_everybody_keep_their_agent(
    tenant, make_test, make_agent, make_lead, start, move
):
    test = make_test(weights=(1, 1e-9))
    drawn = make_lead(email="ada@example.com")
    start(drawn)
    newest = make_agent()

    move(test, "paused")

    assert start(make_lead()).agent_config_id == newest.oid
    assert start(drawn, "email").agent_config_id == variants_of(tenant, test)[0]
    assert tallies(tenant, test).conversations == 1


def test_completed_test_lets_go_of_its_leads(tenant, make_test, make_agent, make_lead, start, move):
    test = make_test()
    drawn = make_lead(email="ada@example.com")
    start(drawn)
    newest = make_agent()

    move(test, "completed")

    assert start(drawn, "email").agent_config_id == newest.oid


def test_next_test_draws_the_same_leads_anew(tenant, make_test, make_lead, start, move):
    drawn = make_lead(email="ada@example.com")
    first = make_test()
    start(drawn)
    move(first, "completed")
    second = make_test()

    assert start(drawn, "email").agent_config_id in variants_of(tenant, second)
    assert leads.get(tenant, drawn.number).ab_test_id == second.oid
    assert (tallies(tenant, first).leads, tallies(tenant, second).leads) == (1, 1)


def test_conversation_counts_to_the_end_whatever_becomes_of_test_and_agent(
    tenant, actor, make_test, make_agent, make_lead, start, move, advance
):
    test, lead = make_test(), make_lead()
    conversation = start(lead)
    move(test, "completed")

    advance(90)
    conversations.update(tenant, conversation.oid, {"agentConfigId": make_agent().oid}, actor=actor)
    conversations.send(tenant, conversation.oid, "Ada here.", actor=actor)
    verdict = {"qualificationResult": {"qualified": True, "reason": "Budget"}}
    conversations.update(tenant, conversation.oid, verdict, actor=actor)

    counted = tallies(tenant, test)
    assert counted[:6] == (1, 1, 1, 1, 0, rows.get(tenant, conversation.oid).message_count)
    assert 90_000 <= counted.duration_ms < 100_000


def test_default_agent_comes_before_the_newest(tenant, actor, make_agent, make_lead, start):
    from engine import account_settings

    chosen, _ = make_agent(), make_agent()
    account_settings.update(tenant, {"defaultAgentId": chosen.oid}, actor=actor)

    assert start(make_lead()).agent_config_id == chosen.oid

    agent_configs.update(tenant, chosen.oid, {"status": "inactive"}, actor=actor)
    assert start(make_lead()).agent_config_id == agents.newest(tenant, status="active").oid
