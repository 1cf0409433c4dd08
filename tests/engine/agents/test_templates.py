import pytest

from engine.agents import AgentSpec, get_template, list_templates
from engine.agents.stages import problems
from engine.agents.understanding import stage_topics

IDS = [template["templateId"] for template in list_templates()]

# Something true to say for each thing a template may ask for.
ANSWERS = {
    "email": "ada@example.com",
    "budget": "$5,000",
    "salary": "65k",
    "company_size": "40",
    "timeline": "next month",
    "meeting_time": "Tuesday at 10",
    "need": "We struggle with slow replies",
    "role": "Backend developer",
    "experience": "6 years",
    "reference": "#48213",
    "feedback": "The talk on onboarding",
}


def test_published_template_exists():
    assert {"sales-qualifier", "appointment-setter"} <= set(IDS)


@pytest.mark.parametrize("id_", IDS)
def test_template_is_a_sound_agent(id_):
    config = get_template(id_)

    assert problems(config["stages"]) == []
    assert all(config[member] for member in ("name", "systemPrompt", "goal", "qualificationCriteria", "instructions"))
    assert [stage["order"] for stage in config["stages"]] == list(range(len(config["stages"])))


@pytest.mark.parametrize("id_", IDS)
def test_lead_who_answers_every_question_is_qualified(id_, tell):
    story = tell(id_)

    for stage in AgentSpec.from_config(get_template(id_)).stages:
        for topic in [topic.key for topic in stage_topics(stage)] or ["none"]:
            story.reply(ANSWERS.get(topic, "Yes, gladly"))

    last = story.turns[-1]
    assert (last.lead_status, last.conversation_status) == ("qualified", "completed")
    assert all(turn.reply.count("?") == 1 for turn in story.turns[1:-1])


def test_changing_a_copy_changes_no_template():
    get_template("sales-qualifier")["stages"].clear()
    list_templates()[0]["config"]["stages"].clear()

    assert get_template("sales-qualifier")["stages"]


def test_unknown_template_is_none():
    assert get_template("nope") is None
