from engine.agents import AgentSpec, Guardrails, ModelChoice, NextStage, Stage
from engine.agents.types import DEFAULT_HANDOFF_MESSAGE


def test_agent_is_read_from_the_contracts_json():
    agent = AgentSpec.from_config(
        {
            "_id": "5" * 24,
            "name": "Mia",
            "systemPrompt": "You are Mia.",
            "goal": "Qualify",
            "language": "German",
            "instructions": "Short.",
            "qualificationCriteria": "Budget",
            "handoffMessage": "Wait.",
            "stages": [
                {"id": "b", "name": "B", "order": 2, "prompt": "p", "transitionCriteria": "t", "maxMessages": 3},
                {
                    "id": "a", "name": "A", "order": 1,
                    "nextStages": [{"id": "b", "condition": "done"}], "nextStageIds": ["b", "c"],
                },
            ],
            "guardrails": {"maxTotalMessages": 0, "forbiddenTopics": "x", "escalationTriggers": "y"},
            "model": {"provider": "openai", "name": "gpt-4.1", "temperature": 0, "maxTokens": 100},
        }
    )  # fmt: skip

    assert agent == AgentSpec(
        name="Mia",
        system_prompt="You are Mia.",
        goal="Qualify",
        language="German",
        instructions="Short.",
        qualification_criteria="Budget",
        handoff_message="Wait.",
        stages=(
            Stage("a", "A", 1, next_stages=(NextStage("b", "done"), NextStage("c"))),
            Stage("b", "B", 2, "p", "t", 3),
        ),
        guardrails=Guardrails(max_total_messages=0, forbidden_topics="x", escalation_triggers="y"),
        model=ModelChoice("openai", "gpt-4.1", 0, 100),
    )


def test_absent_and_null_members_take_the_contracts_defaults():
    null = {"name": "Mia", "language": None, "stages": None, "guardrails": None, "model": None, "handoffMessage": ""}

    agent = AgentSpec.from_config(null)

    assert agent == AgentSpec(name="Mia")
    assert (agent.language, agent.handoff_message) == ("English", DEFAULT_HANDOFF_MESSAGE)
    assert agent.guardrails == Guardrails(40, 1440, "", "")
