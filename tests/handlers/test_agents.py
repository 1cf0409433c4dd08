"""Agent configurations over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import pytest

AGENTS = "/api/agent-config"
BODY = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Qualify.", "stages": [{"name": "Greet"}]}


@pytest.fixture
def agent(client):
    return client.post(AGENTS, json=BODY).json()


def test_created_agent_has_a_place_and_all_defaults(client):
    answer = client.post(AGENTS, json=BODY)

    agent = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{AGENTS}/{agent['_id']}"
    assert (agent["status"], agent["version"], agent["knowledgeBaseIds"]) == ("active", 1, [])
    assert client.get(f"{AGENTS}/{agent['_id']}").json() == agent


def test_empty_body_makes_a_draft(client):
    assert client.post(AGENTS, json={}).json()["status"] == "draft"


def test_stages_that_make_no_graph_are_refused_with_pointers(client):
    refusal = client.post(AGENTS, json={**BODY, "stages": [{"id": "a", "name": "A", "nextStageIds": ["b"]}]})

    assert refusal.status_code == 422
    assert [problem["path"] for problem in refusal.json()["errors"]] == ["/stages/0/nextStageIds/0"]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_both_methods_are_partial(client, agent, method):
    changed = client.request(method, f"{AGENTS}/{agent['_id']}", json={"language": "Spanish"}).json()

    assert (changed["language"], changed["name"], changed["version"]) == ("Spanish", "Mia", 2)


def test_agent_can_be_sent_back_whole(client, agent):
    changed = client.put(f"{AGENTS}/{agent['_id']}", json={**agent, "goal": "Book a call."})

    assert changed.status_code == 200
    assert changed.json()["stages"] == agent["stages"]


def test_list_is_a_plain_array_or_with_single_one_object(client, agent):
    client.post(AGENTS, json={})

    assert [each["status"] for each in client.get(AGENTS).json()] == ["draft", "active"]
    assert client.get(AGENTS, params={"single": "true"}).json() == agent


def test_single_makes_an_agent_if_there_is_none(client):
    made = client.get(AGENTS, params={"single": "true"}).json()

    assert client.get(AGENTS).json() == [made]


def test_unused_agent_is_deleted(client, agent):
    assert client.delete(f"{AGENTS}/{agent['_id']}").json() == {"success": True}
    assert client.get(f"{AGENTS}/{agent['_id']}").status_code == 404


def test_applied_template_is_not_saved_and_can_be_created(client):
    templates = client.get(f"{AGENTS}/templates").json()
    applied = client.post(f"{AGENTS}/apply-template", json={"templateId": templates[0]["id"]}).json()

    assert client.get(f"{AGENTS}/{applied['_id']}").status_code == 404
    assert client.post(AGENTS, json=applied).json()["stages"] == applied["stages"]


def test_unknown_template_is_not_found(client):
    assert client.post(f"{AGENTS}/apply-template", json={"templateId": "no-such"}).status_code == 404


def test_foreign_agent_does_not_exist(make_party, agent):
    with make_party("Other").client() as stranger:
        answers = [
            stranger.get(f"{AGENTS}/{agent['_id']}"),
            stranger.patch(f"{AGENTS}/{agent['_id']}", json={"name": "Mine"}),
            stranger.delete(f"{AGENTS}/{agent['_id']}"),
        ]

    assert [answer.status_code for answer in answers] == [404] * 3


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": " "}, "/name"),
        ({"status": "asleep"}, "/status"),
        ({"stages": [{}]}, "/stages/0/name"),
        ({"guardrails": {"maxTotalMessages": 0}}, "/guardrails/maxTotalMessages"),
        ({"knowledgeBaseIds": ["1"]}, "/knowledgeBaseIds/0"),
        ({"temperature": 1}, "/temperature"),
    ],
)
def test_bad_agent_is_refused(client, body, where):
    answer = client.post(AGENTS, json=body)

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, where)


def test_agent_without_the_essentials_cannot_be_active(client):
    draft = client.post(AGENTS, json={"name": "Mia"}).json()

    answer = client.patch(f"{AGENTS}/{draft['_id']}", json={"status": "active"})

    assert (draft["status"], answer.status_code, answer.json()["code"]) == ("draft", 409, "agent_incomplete")


def test_agent_that_talks_to_somebody_is_not_deleted(client, agent):
    client.post("/api/leads", json={"phone": "+12025550101"})
    client.post("/api/conversations/start", json={"leadId": 1, "channel": "sms", "message": "Hello"})

    answer = client.delete(f"{AGENTS}/{agent['_id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "agent_in_use")


def test_agents_come_in_pages_newest_first(client):
    made = [client.post(AGENTS, json={"name": f"Agent {number}"}).json()["_id"] for number in range(5)]

    first = client.get(AGENTS, params={"limit": 3})
    second = client.get(first.links["next"]["url"])

    assert [each["_id"] for each in first.json() + second.json()] == made[::-1]
    assert client.get(AGENTS, params={"cursor": "abc"}).status_code == 422
