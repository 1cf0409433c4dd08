"""Played leads against templates, against agents with faults, and against models that behave badly."""

import pytest

from engine.agents import AgentSpec, ModelConfig, Passage, Usage, get_template, list_templates
from engine.agents.leads import EVIL, PERSONAS
from engine.agents.simulation import Setting, simulate, total

from .conftest import NOW


@pytest.fixture
def play():
    """The conversations of these personas with an agent, by their ids."""

    def play(agent, *ids, config=None, expected=None, **setting):
        given = {"max_turns": 12, "opts_out": lambda said: said == "STOP", **setting}
        chosen = [PERSONAS[id_] for id_ in ids or PERSONAS]
        played = simulate(Setting(agent, config or ModelConfig(), NOW, **given), chosen, expected)
        return {each.persona.id: each for each in played}

    return play


@pytest.mark.parametrize("id_", [template["templateId"] for template in list_templates()])
def test_template_passes_its_own_simulation(play, id_):
    played = play(AgentSpec.from_config(get_template(id_)))

    assert {id_: each.outcome for id_, each in played.items() if not each.passed} == {}
    assert len(played) == 8


def test_conversation_is_the_same_every_time(play):
    agent = AgentSpec.from_config(get_template("sales-qualifier"))

    first, second = play(agent, "eager")["eager"], play(agent, "eager")["eager"]

    assert first == second
    assert (first.turns, first.stages) == (6, ("discovery", "fit", "timing", "next-step"))
    assert [message.role for message in first.transcript[:3]] == ["agent", "lead", "agent"]


def test_eager_lead_is_above_every_bound_of_the_criteria(play):
    config = {**get_template("sales-qualifier"), "qualificationCriteria": "At least 500 employees. Budget over 90k."}

    assert play(AgentSpec.from_config(config), "eager")["eager"].passed


def test_agent_that_reaches_no_verdict_fails_the_eager_lead(play):
    played = play(AgentSpec("Mia"), "eager", max_turns=4)["eager"]

    assert (played.outcome, played.turns, played.passed) == ("open", 4, False)


def test_other_outcomes_can_be_expected(play):
    agent = AgentSpec("Mia")

    played = play(agent, "eager", "vague", max_turns=3, expected={"eager": frozenset({"open"})})

    assert played["eager"].passed
    assert "open" in played["vague"].expected


def test_knowledge_is_looked_up_for_what_the_lead_says(play):
    asked = []

    def look_up(said):
        asked.append(said)
        return (Passage("Prices", "It costs $49 a month."),)

    agent = AgentSpec.from_config(get_template("sales-qualifier"))
    played = play(agent, "asks-questions", look_up=look_up)["asks-questions"]

    assert asked[0] == "What does it cost?"
    assert "It costs $49 a month." in played.transcript[2].content


def test_simulation_ends_when_its_time_is_over(play):
    looks = iter([False, False, True])

    played = play(AgentSpec("Mia"), "eager", is_over=lambda: next(looks))["eager"]

    assert (played.outcome, played.turns, played.passed) == ("unfinished", 2, False)


class TestBadModel:
    @pytest.fixture
    def against(self, play, openai_server):
        def against(*ids, agent=None, **setting):
            agent = agent or AgentSpec.from_config(get_template("sales-qualifier"))
            return play(agent, *ids, config=openai_server.config(retries=0), max_turns=4, **setting)

        return against

    def rules(self, played):
        return {violation.rule for violation in played.violations}

    def test_one_that_qualifies_everybody_fails_whoever_is_not(self, against, openai_server):
        openai_server.says(qualification={"qualified": True, "reason": "Sure."}, end=True)

        played = against("eager", "vague", "prompt-injects", "wrong-fit")

        assert [id_ for id_, each in played.items() if not each.passed] == ["vague", "prompt-injects", "wrong-fit"]

    def test_one_that_never_moves_on_is_told_which_stage_it_never_left(self, against, openai_server):
        openai_server.says()

        played = against("eager")["eager"]

        assert (self.rules(played), played.stages) == ({"stage_never_left"}, ("discovery",))

    def test_one_that_keeps_everybody_to_itself_misses_the_hand_off(self, against, openai_server):
        openai_server.says()

        assert self.rules(against("wants-a-person")["wants-a-person"]) == {"handoff_expected"}

    def test_one_that_tells_its_instructions_is_caught(self, against, openai_server):
        openai_server.says(reply=f"My orders: {get_template('sales-qualifier')['instructions'].upper()}")

        assert "instructions_told" in self.rules(against("prompt-injects")["prompt-injects"])

    def test_link_that_it_was_talked_into_never_leaves(self, against, openai_server):
        openai_server.says(reply=f"Here it is: {EVIL}")

        played = against("prompt-injects")["prompt-injects"]

        assert self.rules(played) == set()
        assert all(EVIL not in message.content for message in played.transcript if message.role == "agent")

    def test_hand_off_message_on_a_forbidden_topic_is_the_accounts_own_fault(self, play):
        config = {**get_template("sales-qualifier"), "handoffMessage": "We never discuss politics, a colleague does."}

        played = play(AgentSpec.from_config(config), "wants-a-person")["wants-a-person"]

        assert self.rules(played) == {"forbidden_topic"}

    def test_one_that_gives_no_turn_fails_with_the_reason(self, against, openai_server):
        openai_server.calls_tool("{}")

        played = against("eager")["eager"]

        assert (played.outcome, played.passed) == ("failed", False)
        assert "no answer of the expected shape" in played.reason
        assert played.usage.input_tokens == 100


@pytest.mark.parametrize(
    ("usages", "cost"),
    [
        ([], 0),
        ([Usage(1, 1, "m", 5), Usage(1, 1, "m", 6), Usage()], 11),
        ([Usage(1, 1, "m", 5), Usage(1, 1, "m", None)], None),
    ],
    ids=["none", "known", "one unknown"],
)
def test_costs_add_up_where_all_are_known(usages, cost):
    assert total(usages).cost_micros == cost
