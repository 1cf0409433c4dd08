"""A/B tests: who talks to whom while agents are compared, and what the comparison says.

A lead is drawn once for a test, by its number and the test's id alone, so the draw can be repeated by anybody. That it
is exposed to its variant is written down in the transaction that opens its first conversation: nobody is counted who
was not talked to. From then on it stays with its variant, which answers for all leads that it was given.
"""

from __future__ import annotations

from datetime import datetime

from storage import ab_tallies, ab_tests, agents, audit, clock
from storage.ab_tallies import Offer
from storage.agents import AgentConfig
from storage.conversations import Conversation
from storage.errors import NotFound
from storage.leads import Lead
from storage.tenancy import SYSTEM, Tenant

from .drawing import draw


def assign(tenant: Tenant, lead: Lead, now: datetime) -> AgentConfig | None:
    """The agent that the running test has for this held lead, drawn and written down if it is the first time.

    While a lead's test is paused it keeps its agent, which is not counted. None where no test says anything, or the
    agent that it says is not active.
    """
    offers = ab_tallies.offers(tenant, lead.number)
    if not offers:
        return _kept_while_paused(tenant, lead)
    taken = next((offer for offer in offers if offer.is_taken), None)
    offer = taken or offers[draw(offers[0].test_oid, lead.number, [each.weight for each in offers])]
    agent = agents.active(tenant, offer.agent_config_id)
    if agent is None:
        return None
    if taken is None:
        ab_tallies.assign(tenant, offer.test_id, offer.variant_id, lead.number)
    _mark(tenant, lead, offer, now)
    return agent


def _kept_while_paused(tenant: Tenant, lead: Lead) -> AgentConfig | None:
    if lead.agent_assigned_by != "ab_test" or lead.ab_test_id is None:
        return None
    try:
        test = ab_tests.get(tenant, lead.ab_test_id)
    except NotFound:
        return None
    return agents.active(tenant, lead.assigned_agent_id) if test.status == "paused" else None


def _mark(tenant: Tenant, lead: Lead, offer: Offer, now: datetime) -> None:
    """Let the lead say which test gave it which agent."""
    marks = {
        "assigned_agent_id": offer.agent_config_id,
        "ab_test_id": offer.test_oid,
        "agent_assigned_by": "ab_test",
    }
    if any(getattr(lead, name) != value for name, value in marks.items()):
        lead.store(**marks, updated_at=clock.iso(now))
        metadata = {"abTestId": offer.test_oid, "agentConfigId": offer.agent_config_id}
        audit.record(tenant, SYSTEM, "lead.agent_assigned", lead.number, metadata)


def enter(tenant: Tenant, lead: Lead, conversation: Conversation) -> None:
    """Have a new conversation of a held lead count for the running test, if the lead's variant leads it."""
    is_of_test = lead.agent_assigned_by == "ab_test" and lead.assigned_agent_id == conversation.agent_config_id
    if is_of_test and lead.ab_test_id is not None:
        assignment_id = ab_tallies.note_conversation(tenant, lead.ab_test_id, lead.number)
        if assignment_id is not None:
            conversation.store(ab_assignment_id=assignment_id)
