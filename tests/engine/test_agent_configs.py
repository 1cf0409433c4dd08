"""Agents as accounts save them: defaults, drafts, stages that must make a graph, versions."""

from __future__ import annotations

import pytest

from engine import agent_configs, conversations
from storage import agents
from storage.errors import Blocked, Conflict, NotFound
from storage.tenancy import Actor

ACTOR = Actor("api_key", "key-1", "tests")
ESSENTIALS = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Qualify."}


@pytest.fixture
def create(tenant):
    return lambda **body: agent_configs.create(tenant, body, actor=ACTOR)


@pytest.fixture
def update(tenant):
    return lambda agent, **body: agent_configs.update(tenant, agent.oid, body, actor=ACTOR)


def test_complete_agent_is_active(create):
    agent = create(**ESSENTIALS)

    assert (agent.status, agent.version, agent.language) == ("active", 1, "English")
    assert agent.handoff_message == "I'll connect you with a specialist who can help further!"
    assert agent.guardrails == {
        "maxTotalMessages": 40,
        "inactivityTimeoutMinutes": 1440,
        "forbiddenTopics": "",
        "escalationTriggers": "",
    }


@pytest.mark.parametrize("missing", ["name", "systemPrompt", "goal"])
def test_agent_that_lacks_an_essential_is_a_draft(create, missing):
    given = {name: value for name, value in ESSENTIALS.items() if name != missing}

    assert create(**given, status="active").status == "draft"


def test_stages_get_ids_places_and_both_spellings_of_their_ways(create):
    agent = create(
        **ESSENTIALS,
        stages=[
            {"name": "Last", "order": 9},
            {
                "name": "First",
                "order": 1,
                "id": "stage-1",
                "nextStages": [{"id": "middle", "condition": "Interested."}],
            },
            {"name": "Middle", "id": "middle", "order": 5, "nextStageIds": ["stage-2"]},
        ],
    )

    assert [(stage["id"], stage["nextStageIds"]) for stage in agent.stages] == [
        ("stage-1", ["middle"]),
        ("middle", ["stage-2"]),
        ("stage-2", []),
    ]
    assert agent.stages[0]["nextStages"] == [{"id": "middle", "condition": "Interested."}]
    assert agent.stages[2] == {
        "id": "stage-2",
        "name": "Last",
        "order": 9,
        "prompt": "",
        "transitionCriteria": "",
        "maxMessages": 0,
        "nextStages": [],
        "nextStageIds": [],
    }


def test_stages_that_make_no_graph_are_refused_with_every_place(create):
    stages = [{"id": "a", "name": "A", "nextStageIds": ["nowhere"]}, {"id": "a", "name": "B"}]

    with pytest.raises(Blocked) as refusal:
        create(**ESSENTIALS, stages=stages)

    assert {problem.path for problem in refusal.value.problems} == {"/stages/0/nextStageIds/0", "/stages/1/id"}


def test_unknown_knowledge_base_is_not_found(create):
    with pytest.raises(NotFound):
        create(**ESSENTIALS, knowledgeBaseIds=["665f1c2e9b1d4a0012ab34b0"])


def test_update_changes_what_it_names_and_counts_the_version(create, update):
    agent = create(**ESSENTIALS, guardrails={"forbiddenTopics": "politics"})

    changed = update(agent, language="Spanish", guardrails={"maxTotalMessages": 60}, version=99)

    assert (changed.language, changed.name, changed.version) == ("Spanish", "Mia", 2)
    assert (changed.guardrails["maxTotalMessages"], changed.guardrails["forbiddenTopics"]) == (60, "politics")


def test_update_that_names_only_ignored_members_changes_nothing(create, update):
    agent = create(**ESSENTIALS)

    assert update(agent, version=7, accountId="665f1c2e9b1d4a0012ab3400").version == 1


def test_draft_becomes_active_once_it_is_complete(create, update):
    agent = create(name="Mia")

    with pytest.raises(Conflict) as refusal:
        update(agent, status="active")
    update(agent, status="active", systemPrompt="You are Mia.", goal="Qualify.")

    assert refusal.value.code == "agent_incomplete"


def test_active_agent_keeps_its_essentials(create, update):
    with pytest.raises(Conflict):
        update(create(**ESSENTIALS), goal="")


def test_agent_in_use_stays_until_its_conversations_end(tenant, make_conversation):
    conversation = make_conversation()
    oid = conversation.agent_config_id

    with pytest.raises(Conflict) as refusal:
        agent_configs.delete(tenant, oid, actor=ACTOR)
    conversations.change_status(tenant, conversation.oid, "dropped", actor=ACTOR)
    agent_configs.delete(tenant, oid, actor=ACTOR)

    assert refusal.value.code == "agent_in_use"
    with pytest.raises(NotFound):
        agents.get(tenant, oid)


def test_agents_of_another_tenant_are_not_found(live_tenant, create, tenant):
    agent = create(**ESSENTIALS)

    for forbidden in (
        lambda: agents.get(live_tenant, agent.oid),
        lambda: agent_configs.update(live_tenant, agent.oid, {"name": "Mine"}, actor=ACTOR),
        lambda: agent_configs.delete(live_tenant, agent.oid, actor=ACTOR),
    ):
        with pytest.raises(NotFound):
            forbidden()


class TestSingle:
    def test_newest_active_agent_is_the_one(self, tenant, create):
        wanted = create(**ESSENTIALS)
        create(**ESSENTIALS, status="inactive")

        assert agent_configs.single(tenant).oid == wanted.oid

    def test_draft_is_made_once_if_there_is_none(self, tenant):
        first, second = agent_configs.single(tenant), agent_configs.single(tenant)

        assert (first.oid, first.status) == (second.oid, "draft")


class TestTemplates:
    def test_every_template_makes_an_active_agent(self, create):
        for template in agent_configs.templates():
            assert agent_configs.from_template(template["id"])["status"] == "active"

    def test_unknown_template_is_not_found(self):
        with pytest.raises(NotFound):
            agent_configs.from_template("no-such")
