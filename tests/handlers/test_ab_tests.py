"""A/B tests over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

from operator import itemgetter

import pytest

from storage import ab_tests
from storage.ab_tallies import AbTally

TESTS = "/api/ab-tests"
VARIANT = {"agentConfigId": "0" * 24, "weight": 1}


@pytest.fixture
def agents(client):
    def make(name):
        body = {"name": name, "systemPrompt": "You are Mia.", "goal": "Qualify."}
        return client.post("/api/agent-config", json=body).json()["_id"]

    return [make("Mia"), make("Tom")]


@pytest.fixture
def body(agents):
    variants = [{"agentConfigId": agent, "weight": weight} for agent, weight in zip(agents, (50.5, 50), strict=True)]
    return {"name": "Two greetings", "description": "Does a question help?", "variants": variants}


@pytest.fixture
def draft(client, body):
    return client.post(TESTS, json=body).json()


@pytest.fixture
def move(client):
    return lambda test, status: client.patch(f"{TESTS}/{test['_id']}/status", json={"status": status})


@pytest.fixture
def decide(party):
    """Gives each variant so many leads, of whom so many qualified."""

    def decide(test, *counts):
        tenant = party.tenant()
        found = ab_tests.get(tenant, test["_id"])
        for variant, (leads, qualified) in zip(ab_tests.variants(tenant, [found])[found.id], counts, strict=True):
            AbTally.add(tenant, variant_id=variant.id, leads=leads, qualified_leads=qualified)

    return decide


def test_created_test_is_a_draft_with_a_place(client, body):
    answer = client.post(TESTS, json=body)

    test = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{TESTS}/{test['_id']}")
    assert test | body == test
    assert test["status"] == "draft"
    assert client.get(answer.headers["Location"]).json() == test


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_both_methods_are_partial(client, draft, method):
    changed = client.request(method, f"{TESTS}/{draft['_id']}", json={"name": "Renamed"}).json()

    assert (changed["name"], changed["description"]) == ("Renamed", draft["description"])


def test_test_can_be_sent_back_whole_while_it_runs(client, draft, move):
    running = move(draft, "running").json()

    changed = client.put(f"{TESTS}/{draft['_id']}", json={**running, "name": "Renamed"})

    assert changed.json() == {**running, "name": "Renamed", "updatedAt": changed.json()["updatedAt"]}


def test_variants_of_a_running_test_stay(client, draft, move):
    move(draft, "running")
    other = [{**variant, "weight": 1} for variant in draft["variants"]]

    answer = client.patch(f"{TESTS}/{draft['_id']}", json={"variants": other})

    assert (answer.status_code, answer.json()["code"]) == (409, "ab_test_not_draft")


def test_change_that_rests_on_an_old_state_is_refused(client, draft):
    place = f"{TESTS}/{draft['_id']}"
    etag = client.get(place).headers["ETag"]
    client.patch(place, json={"name": "Renamed"})

    assert client.patch(place, json={"name": "Again"}, headers={"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"name": " "}, "/name"),
        ({"variants": []}, "/variants"),
        ({"variants": [VARIANT]}, "/variants"),
        ({"variants": [{**VARIANT, "agentConfigId": "1"}, VARIANT]}, "/variants/0/agentConfigId"),
        ({"variants": [VARIANT, {**VARIANT, "weight": 0}]}, "/variants/1/weight"),
        ({"variants": [VARIANT, {"agentConfigId": "1" * 24}]}, "/variants/1/weight"),
        ({"status": "running"}, "/status"),
    ],
)
def test_bad_test_is_refused(client, body, members, where):
    answer = client.post(TESTS, json={**body, **members})

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, where)


def test_unknown_agent_is_not_found_and_a_repeated_one_refused(client, body):
    known = body["variants"][0]
    unknown = client.post(TESTS, json={**body, "variants": [known, VARIANT]})
    repeated = client.post(TESTS, json={**body, "variants": [known, known]})

    assert (unknown.status_code, unknown.json()["errors"][0]["path"]) == (404, "/variants/1/agentConfigId")
    assert (repeated.status_code, repeated.json()["code"]) == (422, "duplicate_variant")


def test_list_is_a_plain_array_newest_first_of_one_status_if_asked(client, body, move):
    made = [client.post(TESTS, json=body).json() for _ in range(3)]
    running = move(made[1], "running").json()

    first = client.get(TESTS, params={"limit": 2})
    second = client.get(first.links["next"]["url"])

    assert [each["_id"] for each in first.json() + second.json()] == [each["_id"] for each in made[::-1]]
    assert client.get(TESTS, params={"status": "running"}).json() == [running]
    assert client.get(TESTS, params={"status": "over"}).status_code == 400


def test_one_test_runs_at_a_time_in_an_environment(client, body, draft, move):
    other = client.post(TESTS, json=body).json()
    started = move(draft, "running").json()

    refused = move(other, "running")

    assert "startedAt" in started
    assert (refused.status_code, refused.json()["details"]) == (409, draft["_id"])


def test_illegal_moves_are_refused(draft, move):
    refused = [move(draft, status).status_code for status in ("paused", "completed")]
    allowed = [move(draft, status).status_code for status in ("draft", "running", "paused", "running", "completed")]

    assert (refused, allowed) == ([409] * 2, [200] * 5)
    assert [move(draft, status).status_code for status in ("running", "paused", "draft")] == [409] * 3


def test_test_is_deleted_unless_it_runs(client, draft, move):
    place = f"{TESTS}/{draft['_id']}"
    move(draft, "running")
    assert client.delete(place).status_code == 409
    move(draft, "paused")

    assert client.delete(place).json() == {"success": True}
    assert client.get(place).status_code == 404


def test_agent_in_a_test_is_not_deleted(client, draft, agents):
    answer = client.delete(f"/api/agent-config/{agents[0]}")

    assert (answer.status_code, answer.json()["code"]) == (409, "agent_in_use")


def test_conversations_are_drawn_and_counted(client, draft, agents, move):
    move(draft, "running")
    for number in range(10):
        lead = client.post("/api/leads", json={"phone": f"+120255501{number:02}"}).json()["id"]
        opened = {"leadId": lead, "channel": "sms", "message": "Hello"}
        talk = client.post("/api/conversations/start", json=opened).json()
        verdict = {"qualified": number % 2 == 0, "reason": "Budget"}
        client.patch(f"/api/conversations/{talk['_id']}", json={"qualificationResult": verdict})

    found = client.get(f"{TESTS}/{draft['_id']}/results").json()

    assert (found["testId"], found["status"], found["totalConversations"]) == (draft["_id"], "running", 10)
    assert [(each["agentConfigId"], each["agentConfigName"]) for each in found["variants"]] == [
        (agents[0], "Mia"),
        (agents[1], "Tom"),
    ]
    counts = ("totalConversations", "qualified", "disqualified", "totalLeads", "qualifiedLeads")
    assert tuple(sum(map(itemgetter(name), found["variants"])) for name in counts) == (10, 5, 5, 10, 5)
    assert {each["avgMessagesPerConversation"] for each in found["variants"]} <= {0, 1}
    assert (found["winner"], found["confidenceLevel"], found["srm"]["mismatch"]) == (None, None, False)
    lead = client.get("/api/leads/1").json()
    assert (lead["abTestId"], lead["agentAssignedBy"]) == (draft["_id"], "ab_test")


def test_rates_are_percent_as_in_analytics(client, draft, party):
    tenant = party.tenant()
    test = ab_tests.get(tenant, draft["_id"])
    [first, _] = ab_tests.variants(tenant, [test])[test.id]
    AbTally.add(
        tenant,
        variant_id=first.id,
        leads=3,
        qualified_leads=1,
        conversations=4,
        qualified=1,
        disqualified=2,
        messages=10,
        duration_ms=9_000,
    )

    [found, empty] = client.get(f"{TESTS}/{draft['_id']}/results").json()["variants"]

    assert (found["qualificationRate"], found["leadQualificationRate"]) == (25, 33.3333)
    assert (found["avgMessagesPerConversation"], found["avgConversationDuration"]) == (2.5, 2.25)
    assert found["interval"]["low"] < 33.3333 < found["interval"]["high"]
    assert (empty["qualificationRate"], empty["interval"]) == (0, {"low": 0, "high": 100})


def test_winner_is_named_with_its_confidence_and_promoted(client, draft, agents, move, decide):
    move(draft, "running")
    decide(draft, (1010, 100), (1000, 180))

    found = client.get(f"{TESTS}/{draft['_id']}/results").json()
    promoted = client.post(f"{TESTS}/{draft['_id']}/promote")

    assert found["winner"] == found["sequential"]["agentConfigId"] == agents[1]
    assert 0.95 <= found["confidenceLevel"] <= 1
    assert 0 < found["sequential"]["low"] < found["sequential"]["difference"] < found["sequential"]["high"]
    assert found["recommendation"].endswith("Promote it.")
    assert promoted.json()["status"] == "completed"
    assert client.get("/api/accounts/current").json()["defaultAgentId"] == agents[1]


def test_uneven_draw_has_no_winner(client, draft, move, decide):
    move(draft, "running")
    decide(draft, (1400, 100), (1000, 380))

    found = client.get(f"{TESTS}/{draft['_id']}/results").json()

    assert found["srm"]["mismatch"]
    assert found["srm"]["pValue"] < 0.001
    assert (found["winner"], found["confidenceLevel"], "sequential" in found) == (None, None, False)


def test_nobody_is_promoted_without_a_winner(client, draft):
    answer = client.post(f"{TESTS}/{draft['_id']}/promote")

    assert (answer.status_code, answer.json()["code"]) == (409, "no_winner")


def test_whoever_may_look_may_not_change(client, party, draft):
    place = f"{TESTS}/{draft['_id']}"
    with party.client(scopes=["ab_testing:view"]) as analyst:
        seen = [analyst.get(path).status_code for path in (TESTS, place, f"{place}/results")]
        refused = [
            analyst.patch(place, json={"name": "Mine"}),
            analyst.patch(f"{place}/status", json={"status": "running"}),
            analyst.post(f"{place}/promote"),
            analyst.delete(place),
        ]

    assert (seen, [each.status_code for each in refused]) == ([200] * 3, [403] * 4)


def test_live_environment_has_tests_and_a_default_agent_of_its_own(client, party, draft, move, decide):
    move(draft, "running")
    decide(draft, (1010, 100), (1000, 180))
    client.post(f"{TESTS}/{draft['_id']}/promote")

    with party.client("live") as live:
        assert live.get(TESTS).json() == []
        assert live.get(f"{TESTS}/{draft['_id']}").status_code == 404
        assert "defaultAgentId" not in live.get("/api/accounts/current").json()
