"""Versions, duplicates and knowledge bases of an agent over HTTP; every answer is held against the contract."""

from __future__ import annotations

import pytest

from storage import database, knowledge

AGENTS = "/api/agent-config"
BODY = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Qualify.", "stages": [{"name": "Greet"}]}
UNKNOWN = "0f" * 12


@pytest.fixture
def agent(client):
    return client.post(AGENTS, json=BODY).json()


@pytest.fixture
def make_base(party):
    """Stores a knowledge base in the account's test environment; returns its id."""

    def make(name="Prices"):
        with database.transaction():
            return knowledge.add(party.tenant(), name=name, description="Since 2024.").oid

    return make


class TestVersions:
    def test_every_save_is_listed_newest_first(self, client, agent):
        client.patch(f"{AGENTS}/{agent['_id']}", json={"goal": "Book a call."})

        listed = client.get(f"{AGENTS}/{agent['_id']}/versions")

        assert [(each["version"], each["changed"]) for each in listed.json()] == [(2, ["goal"]), (1, [])]
        assert listed.json()[0]["createdBy"]["type"] == "api_key"
        assert listed.headers["X-Total-Count"] == "2"

    def test_versions_come_in_pages(self, client, agent):
        for number in range(4):
            client.patch(f"{AGENTS}/{agent['_id']}", json={"goal": f"Goal {number}"})

        first = client.get(f"{AGENTS}/{agent['_id']}/versions", params={"limit": 3})
        second = client.get(first.links["next"]["url"])

        assert [each["version"] for each in first.json() + second.json()] == [5, 4, 3, 2, 1]

    def test_version_tells_what_the_agent_was(self, client, agent):
        client.patch(f"{AGENTS}/{agent['_id']}", json={"goal": "Book a call."})

        version = client.get(f"{AGENTS}/{agent['_id']}/versions/1")

        assert version.json()["config"]["goal"] == "Qualify."
        assert version.json()["config"]["stages"] == agent["stages"]
        assert version.headers["ETag"]

    def test_restored_version_is_a_new_one(self, client, agent):
        client.patch(f"{AGENTS}/{agent['_id']}", json={"goal": "Book a call."})

        restored = client.post(f"{AGENTS}/{agent['_id']}/versions/1/restore").json()

        assert (restored["goal"], restored["version"]) == ("Qualify.", 3)
        assert client.get(f"{AGENTS}/{agent['_id']}/versions").json()[0]["restoredFrom"] == 1

    @pytest.mark.parametrize("number", ["99", "2147483647"])
    def test_unknown_version_is_not_found(self, client, agent, number):
        answers = [
            client.get(f"{AGENTS}/{agent['_id']}/versions/{number}"),
            client.post(f"{AGENTS}/{agent['_id']}/versions/{number}/restore"),
        ]

        assert [answer.status_code for answer in answers] == [404] * 2

    @pytest.mark.parametrize("number", ["0", "-1", "x", "2147483648"])
    def test_version_that_is_no_number_is_refused(self, client, agent, number):
        assert client.get(f"{AGENTS}/{agent['_id']}/versions/{number}").status_code == 400

    def test_message_tells_the_version_that_worded_it(self, client, agent):
        client.post("/api/leads", json={"phone": "+12025550101"})
        conversation = client.post("/api/conversations/start", json={"leadId": 1, "channel": "sms"}).json()
        client.patch(f"{AGENTS}/{agent['_id']}", json={"language": "Spanish"})
        reply = {"message": "Hello"}

        said = client.post(f"/api/conversations/{conversation['_id']}/simulate-reply", json=reply).json()["messages"]

        assert [message.get("agentVersion") for message in said] == [1, None, 2]
        assert (said[2]["model"], said[2]["usage"]["inputTokens"]) == ("scripted", 0)


class TestDuplicate:
    def test_duplicate_is_a_draft(self, client, agent):
        answer = client.post(f"{AGENTS}/{agent['_id']}/duplicate")

        copy = answer.json()
        assert (answer.status_code, answer.headers["Location"]) == (201, f"{AGENTS}/{copy['_id']}")
        assert (copy["name"], copy["status"], copy["version"]) == ("Mia (copy)", "draft", 1)
        assert copy["stages"] == agent["stages"]


class TestKnowledge:
    def test_attached_knowledge_base_is_answered_in_full(self, client, agent, make_base):
        base = make_base()

        attached = client.post(f"{AGENTS}/{agent['_id']}/knowledge-bases/{base}").json()

        assert (attached["knowledgeBaseIds"], attached["version"]) == ([base], 2)
        assert client.get(f"{AGENTS}/{agent['_id']}").json()["knowledgeBaseIds"] == [
            {"_id": base, "name": "Prices", "description": "Since 2024.", "type": "internal"}
        ]

    def test_detached_one_is_gone_from_the_agent(self, client, agent, make_base):
        base = make_base()
        client.post(f"{AGENTS}/{agent['_id']}/knowledge-bases/{base}")

        detached = client.delete(f"{AGENTS}/{agent['_id']}/knowledge-bases/{base}").json()

        assert (detached["knowledgeBaseIds"], detached["version"]) == ([], 3)

    def test_writes_take_ids_of_those_that_exist(self, client, make_base):
        base = make_base()

        made = client.post(AGENTS, json={**BODY, "knowledgeBaseIds": [base]})
        refused = client.post(AGENTS, json={**BODY, "knowledgeBaseIds": [base, UNKNOWN]})

        assert (made.status_code, made.json()["knowledgeBaseIds"]) == (201, [base])
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (404, "/knowledgeBaseIds/1")

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_unknown_and_malformed_ids_are_refused(self, client, agent, method):
        unknown = client.request(method, f"{AGENTS}/{agent['_id']}/knowledge-bases/{UNKNOWN}")
        malformed = client.request(method, f"{AGENTS}/{agent['_id']}/knowledge-bases/1")

        assert (unknown.status_code, malformed.status_code) == (404, 400)


def test_foreign_agent_has_no_versions_and_no_copies(make_party, agent, make_base):
    base = make_base()
    with make_party("Other").client() as stranger:
        answers = [
            stranger.get(f"{AGENTS}/{agent['_id']}/versions"),
            stranger.get(f"{AGENTS}/{agent['_id']}/versions/1"),
            stranger.post(f"{AGENTS}/{agent['_id']}/versions/1/restore"),
            stranger.post(f"{AGENTS}/{agent['_id']}/duplicate"),
            stranger.post(f"{AGENTS}/{agent['_id']}/knowledge-bases/{base}"),
            stranger.delete(f"{AGENTS}/{agent['_id']}/knowledge-bases/{base}"),
            stranger.post(f"{AGENTS}/{agent['_id']}/test", json={"messages": []}),
            stranger.post(f"{AGENTS}/{agent['_id']}/simulate", json={}),
        ]

    assert [answer.status_code for answer in answers] == [404] * 8


@pytest.mark.parametrize("action", ["duplicate", "versions/1/restore", "test", "simulate"])
def test_viewing_is_not_enough_to_change_or_to_spend(party, agent, action):
    with party.client(scopes=["agent_config:view"]) as viewer:
        body = {"messages": []} if action == "test" else {}

        assert viewer.post(f"{AGENTS}/{agent['_id']}/{action}", json=body).status_code == 403
