"""A/B tests: who talks to whom while agents are compared, and what the comparison says.

A lead is drawn once for a test, by its number and the test's id alone, so the draw can be repeated by anybody. That it
is exposed to its variant is written down in the transaction that opens its first conversation: nobody is counted who
was not talked to. From then on it stays with its variant, which answers for all leads that it was given.
"""

from __future__ import annotations

from datetime import datetime

from storage import ab_tallies, ab_tests, agents, audit, clock
from storage.ab_tests import AbTest, AbVariant
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
    test = ab_tests.running(tenant)
    if test is None:
        return _kept_while_paused(tenant, lead)
    variants = ab_tests.variants(tenant, [test])[test.id]
    assignment = ab_tallies.of_lead(tenant, test, lead.number)
    if assignment is None:
        variant = variants[draw(test.oid, lead.number, [each.weight for each in variants])]
    else:
        [variant] = [each for each in variants if each.id == assignment.variant_id]
    agent = agents.active(tenant, variant.agent_config_id)
    if agent is None:
        return None
    if assignment is None:
        ab_tallies.assign(tenant, variant, lead.number)
    _mark(tenant, lead, test, variant, now)
    return agent


def _kept_while_paused(tenant: Tenant, lead: Lead) -> AgentConfig | None:
    if lead.agent_assigned_by != "ab_test" or lead.ab_test_id is None or lead.assigned_agent_id is None:
        return None
    try:
        test = ab_tests.get(tenant, lead.ab_test_id)
    except NotFound:
        return None
    return agents.active(tenant, lead.assigned_agent_id) if test.status == "paused" else None


def _mark(tenant: Tenant, lead: Lead, test: AbTest, variant: AbVariant, now: datetime) -> None:
    """Let the lead say which test gave it which agent."""
    marks = {
        "assigned_agent_id": variant.agent_config_id,
        "ab_test_id": test.oid,
        "agent_assigned_by": "ab_test",
    }
    if any(getattr(lead, name) != value for name, value in marks.items()):
        lead.store(**marks, updated_at=clock.iso(now))
        metadata = {"abTestId": test.oid, "agentConfigId": variant.agent_config_id}
        audit.record(tenant, SYSTEM, "lead.agent_assigned", lead.number, metadata)


def enter(tenant: Tenant, lead: Lead, conversation: Conversation) -> None:
    """Have a new conversation of a held lead count for the running test, if the lead's variant leads it."""
    is_of_test = lead.agent_assigned_by == "ab_test" and lead.assigned_agent_id == conversation.agent_config_id
    test = ab_tests.running(tenant) if is_of_test else None
    if test is None or test.oid != lead.ab_test_id:
        return
    assignment = ab_tallies.of_lead(tenant, test, lead.number)
    if assignment is not None:
        conversation.store(ab_assignment_id=assignment.id)
        ab_tallies.note_conversation(tenant, assignment)
