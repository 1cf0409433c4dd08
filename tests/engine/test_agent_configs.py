"""Agents as accounts save them: defaults, drafts, stages that must make a graph, versions."""

from __future__ import annotations

import pytest

from engine import agent_configs, conversations
from storage import agent_versions, agents, knowledge
from storage.agent_versions import AgentVersion
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


def test_stages_that_go_round_for_ever_are_refused(create):
    stages = [{"id": "a", "name": "A", "nextStageIds": ["b"]}, {"id": "b", "name": "B", "nextStageIds": ["a"]}]

    with pytest.raises(Blocked) as refusal:
        create(**ESSENTIALS, stages=stages)

    assert [problem.path for problem in refusal.value.problems] == ["/stages/0", "/stages/1"]


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


class TestKnowledge:
    @pytest.fixture
    def base(self, tenant):
        return knowledge.add(tenant, name="Prices").oid

    def test_unknown_and_foreign_knowledge_bases_are_not_found(self, create, base, live_tenant):
        foreign = knowledge.add(live_tenant, name="Live prices").oid

        with pytest.raises(NotFound) as refusal:
            create(**ESSENTIALS, knowledgeBaseIds=[base, foreign, "665f1c2e9b1d4a0012ab34b0"])

        assert [problem.path for problem in refusal.value.problems] == ["/knowledgeBaseIds/1", "/knowledgeBaseIds/2"]

    def test_attached_and_detached_once_each(self, tenant, create, base):
        agent = create(**ESSENTIALS)

        attached = [agent_configs.attach(tenant, agent.oid, base, actor=ACTOR) for _ in range(2)]
        detached = [agent_configs.detach(tenant, agent.oid, base, actor=ACTOR) for _ in range(2)]

        assert [(each.knowledge_base_ids, each.version) for each in attached] == [([base], 2)] * 2
        assert [(each.knowledge_base_ids, each.version) for each in detached] == [([], 3)] * 2

    def test_unknown_one_is_neither_attached_nor_detached(self, tenant, create, base, live_tenant):
        agent = create(**ESSENTIALS)
        foreign = knowledge.add(live_tenant, name="Live prices").oid

        for change in (agent_configs.attach, agent_configs.detach):
            with pytest.raises(NotFound):
                change(tenant, agent.oid, foreign, actor=ACTOR)

    def test_one_that_is_gone_can_be_sent_back_and_detached(self, tenant, create, update, base):
        agent = create(**ESSENTIALS, knowledgeBaseIds=[base])
        agent.store(knowledge_base_ids=[base, "0f" * 12])

        assert update(agent, knowledgeBaseIds=[base, "0f" * 12]).knowledge_base_ids == [base, "0f" * 12]
        assert agent_configs.detach(tenant, agent.oid, "0f" * 12, actor=ACTOR).knowledge_base_ids == [base]

    def test_there_is_a_limit(self, tenant, create, base):
        agent = create(**ESSENTIALS)
        agent.store(knowledge_base_ids=[f"{number:024x}" for number in range(50)])

        with pytest.raises(Conflict):
            agent_configs.attach(tenant, agent.oid, base, actor=ACTOR)


class TestVersions:
    def test_every_save_is_kept_as_it_was(self, tenant, create, update):
        agent = create(**ESSENTIALS)
        update(agent, goal="Book a call.", language="Spanish")
        update(agent, status="inactive")

        found, total, _ = agent_configs.versions(tenant, agent.oid, limit=10)

        assert total == 3
        assert [(each.number, each.changed) for each in found] == [(3, ["status"]), (2, ["goal", "language"]), (1, [])]
        assert [each.config["goal"] for each in found] == ["Book a call.", "Book a call.", "Qualify."]
        assert {each.created_by_id for each in found} == {ACTOR.id}

    def test_restored_version_is_a_new_one_with_the_present_status(self, tenant, create, update):
        agent = create(**ESSENTIALS)
        update(agent, goal="Book a call.", stages=[{"name": "Only"}], status="inactive")

        restored = agent_configs.restore(tenant, agent.oid, 1, actor=ACTOR)

        assert (restored.version, restored.goal, restored.stages, restored.status) == (3, "Qualify.", [], "inactive")
        assert agent_configs.version(tenant, agent.oid, 3).restored_from == 1

    def test_knowledge_that_is_gone_is_not_restored(self, tenant, create, update):
        kept, lost = knowledge.add(tenant, name="Kept"), knowledge.add(tenant, name="Lost")
        agent = create(**ESSENTIALS, knowledgeBaseIds=[kept.oid, lost.oid])
        update(agent, knowledgeBaseIds=[])
        knowledge.delete(tenant, lost)

        assert agent_configs.restore(tenant, agent.oid, 1, actor=ACTOR).knowledge_base_ids == [kept.oid]

    def test_stages_of_a_time_with_other_rules_are_refused(self, tenant, create):
        agent = create(**ESSENTIALS)
        loop = [{"id": "a", "name": "A", "nextStageIds": ["b"]}, {"id": "b", "name": "B", "nextStageIds": ["a"]}]
        old = agent_versions.get(tenant, agent.id, 1)
        old.store(config={**old.config, "stages": loop})

        with pytest.raises(Blocked):
            agent_configs.restore(tenant, agent.oid, 1, actor=ACTOR)

    def test_active_agent_does_not_become_what_it_was_as_a_draft(self, tenant, create, update):
        agent = create(name="Mia")
        update(agent, status="active", systemPrompt="You are Mia.", goal="Qualify.")

        with pytest.raises(Conflict):
            agent_configs.restore(tenant, agent.oid, 1, actor=ACTOR)

    def test_unknown_version_and_foreign_agent_are_not_found(self, tenant, live_tenant, create):
        agent = create(**ESSENTIALS)

        for owner, number in ((tenant, 2), (live_tenant, 1)):
            with pytest.raises(NotFound):
                agent_configs.version(owner, agent.oid, number)
            with pytest.raises(NotFound):
                agent_configs.restore(owner, agent.oid, number, actor=ACTOR)

    def test_versions_go_with_their_agent(self, tenant, create):
        agent = create(**ESSENTIALS)

        agent_configs.delete(tenant, agent.oid, actor=ACTOR)

        assert AgentVersion.of(tenant).count() == 0


def test_duplicate_is_a_draft_with_a_name_of_its_own(tenant, create):
    agent = create(**{**ESSENTIALS, "name": "M" * 200}, stages=[{"name": "Only"}], language="Spanish")

    copy = agent_configs.duplicate(tenant, agent.oid, actor=ACTOR)

    assert (copy.name, copy.status, copy.version) == ("M" * 193 + " (copy)", "draft", 1)
    assert (copy.stages, copy.language) == (agent.stages, "Spanish")
    assert agent_configs.version(tenant, copy.oid, 1).config["status"] == "draft"


class TestSingle:
    def test_newest_active_agent_is_the_one(self, tenant, create):
        wanted = create(**ESSENTIALS)
        create(**ESSENTIALS, status="inactive")

        assert agent_configs.single(tenant).oid == wanted.oid

    def test_draft_is_made_once_if_there_is_none(self, tenant):
        first, second = agent_configs.single(tenant), agent_configs.single(tenant)

        assert (first.oid, first.status) == (second.oid, "draft")


class TestTemplates:
    def test_every_template_makes_an_active_agent(self, tenant):
        for template in agent_configs.templates():
            assert agent_configs.from_template(tenant, template["id"])["status"] == "active"

    def test_unknown_template_is_not_found(self, tenant):
        with pytest.raises(NotFound):
            agent_configs.from_template(tenant, "no-such")
