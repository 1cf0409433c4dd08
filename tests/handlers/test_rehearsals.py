"""An agent tried out over HTTP: its next turn, and conversations with played leads."""

from __future__ import annotations

import pytest

from storage import accounts, clock, database, usage
from storage.conversations import Conversation
from storage.outbox import OutboxRow

AGENTS = "/api/agent-config"
QUESTION = {"role": "lead", "content": "Can I speak with a real person, please?"}


@pytest.fixture
def agent(client):
    template = client.post(f"{AGENTS}/apply-template", json={"templateId": "sales-qualifier"}).json()
    return client.post(AGENTS, json=template).json()["_id"]


@pytest.fixture
def test(client, agent):
    return lambda **body: client.post(f"{AGENTS}/{agent}/test", json={"messages": [], **body})


@pytest.fixture
def simulate(client, agent):
    return lambda **body: client.post(f"{AGENTS}/{agent}/simulate", json=body)


class TestNextTurn:
    def test_agent_opens_where_nothing_was_said(self, test):
        turn = test(lead={"name": "Ada Byron"}).json()

        assert turn["reply"].startswith("Hi Ada, this is Mia.")
        assert (turn["stageId"], turn["conversationStatus"], turn["leadStatus"]) == ("discovery", "active", "contacted")
        assert (turn["model"], turn["usage"]) == ("scripted", {"inputTokens": 0, "outputTokens": 0, "costUsd": 0.0})

    def test_it_answers_in_the_stage_that_is_named(self, test):
        said = [{"role": "agent", "content": "How soon would you like to get started?"}]

        turn = test(messages=[*said, {"role": "lead", "content": "Next month"}], stageId="timing").json()

        assert (turn["stageId"], turn["stageChanged"], turn["extracted"]) == (
            "next-step", True, {"timeline": "Next month"},
        )  # fmt: skip

    def test_hand_off_says_why(self, test):
        turn = test(messages=[QUESTION]).json()

        assert (turn["conversationStatus"], turn["handoffReason"]) == ("handed_off", "The lead asked for a person.")

    def test_guardrail_that_spoke_is_named(self, test):
        turn = test(messages=[{"role": "lead", "content": "I will call my lawyer"}]).json()

        assert turn["guardrail"] == "escalation_trigger"
        assert "model" not in turn

    def test_nothing_is_stored(self, party, test):
        test(messages=[QUESTION])

        with database.connection():
            assert Conversation.of(party.tenant()).count() == 0
            assert OutboxRow.select().where(OutboxRow.tenant_id == party.tenant().id).count() == 0

    def test_repeated_request_is_answered_alike(self, client, agent):
        answers = [
            client.post(f"{AGENTS}/{agent}/test", json={"messages": [QUESTION]}, headers={"Idempotency-Key": "again"})
            for _ in range(2)
        ]

        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["Idempotent-Replayed"] == "true"

    def test_unknown_stage_is_refused_and_the_refusal_is_not_kept_as_an_answer(self, client, agent):
        body = {"messages": [], "stageId": "nowhere"}

        answers = [
            client.post(f"{AGENTS}/{agent}/test", json=body, headers={"Idempotency-Key": "wrong"}) for _ in range(2)
        ]

        assert [answer.status_code for answer in answers] == [422, 422]
        assert answers[1].json()["errors"][0]["path"] == "/stageId"

    def test_draft_can_be_tried(self, client):
        draft = client.post(AGENTS, json={}).json()["_id"]

        assert client.post(f"{AGENTS}/{draft}/test", json={"messages": []}).status_code == 200

    def test_exhausted_budget_stops_it(self, party, test):
        with database.transaction():
            accounts.get(party.account_id).store(settings={"budgets": {"monthlyTokens": 10}})
            usage.add(party.tenant(), clock.now(), input_tokens=11)

        answer = test()

        assert (answer.status_code, answer.json()["code"]) == (422, "budget_exhausted")

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [{"role": "system", "content": "Obey"}]},
            {"messages": [{"role": "lead", "content": " "}]},
            {"messages": [], "lead": {"phone": "+12025550101"}},
            {"messages": "hello"},
        ],
        ids=["system", "blank", "phone", "no list"],
    )
    def test_bad_conversation_is_refused(self, test, body):
        assert test(**body).status_code == 400


class TestSimulation:
    def test_template_passes_with_every_persona(self, simulate):
        report = simulate().json()

        assert (report["passed"], report["totals"]["personas"], report["totals"]["failed"]) == (True, 8, 0)
        assert {each["persona"]: each["outcome"] for each in report["results"]}["opts-out"] == "opted_out"

    def test_chosen_personas_in_their_order_with_transcripts(self, simulate):
        report = simulate(personas=["wants-a-person", "eager"]).json()

        assert [each["outcome"] for each in report["results"]] == ["handed_off", "qualified"]
        assert report["results"][0]["transcript"][1] == QUESTION

    def test_expectation_that_is_not_met_fails(self, simulate):
        report = simulate(personas=["eager"], expect=[{"persona": "eager", "outcomes": ["handed_off"]}]).json()

        assert (report["passed"], report["results"][0]["passed"]) == (False, False)

    def test_turns_are_bounded(self, simulate):
        report = simulate(personas=["eager"], maxTurns=2).json()

        assert (report["results"][0]["outcome"], report["results"][0]["turns"]) == ("open", 2)
        assert report["results"][0]["violations"][0]["rule"] == "stage_never_left"

    def test_repeated_simulation_is_answered_alike(self, client, agent):
        headers = {"Idempotency-Key": "again"}
        answers = [client.post(f"{AGENTS}/{agent}/simulate", json={}, headers=headers) for _ in range(2)]

        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize(
        "body",
        [{"personas": []}, {"personas": ["nobody"]}, {"maxTurns": 21}, {"expect": [{"persona": "eager"}]}],
    )
    def test_bad_order_is_refused(self, simulate, body):
        assert simulate(**body).status_code == 400
