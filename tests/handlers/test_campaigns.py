"""Campaigns over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import pytest

CAMPAIGNS = "/api/campaigns"
AGENT = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Qualify."}


@pytest.fixture
def agent(client):
    return client.post("/api/agent-config", json=AGENT).json()["_id"]


@pytest.fixture
def make_leads(client):
    def make(number, **members):
        bodies = [{"phone": f"+120255501{each:02}", "name": f"Ada {each}", **members} for each in range(number)]
        return [client.post("/api/leads", json=body).json()["id"] for body in bodies]

    return make


@pytest.fixture
def body(agent):
    return {"name": "Spring", "channel": "sms", "message": "Hello {{ firstName }}.", "leadFilter": {}}


@pytest.fixture
def draft(client, body):
    return client.post(CAMPAIGNS, json=body).json()


@pytest.fixture
def move(client):
    return lambda campaign, verb: client.post(f"{CAMPAIGNS}/{campaign['_id']}/{verb}")


@pytest.fixture
def wait_for(client):
    """The campaign once it is in this status: the server's worker is another thread's business."""

    def wait(campaign, status):
        for _ in range(10_000):
            found = client.get(f"{CAMPAIGNS}/{campaign['_id']}").json()
            if found["status"] == status:
                return found
        raise AssertionError(found)

    return wait


def test_created_campaign_is_a_draft_with_a_place(client, body):
    answer = client.post(CAMPAIGNS, json=body)

    campaign = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{CAMPAIGNS}/{campaign['_id']}")
    assert campaign | body == campaign
    assert (campaign["status"], campaign["schedule"], set(campaign["stats"].values())) == ("draft", {}, {0})
    assert client.get(answer.headers["Location"]).json() == campaign


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_both_methods_are_partial_and_take_it_back_whole(client, draft, method):
    place = f"{CAMPAIGNS}/{draft['_id']}"
    changed = client.request(method, place, json={"name": "Renamed"}).json()
    again = client.request(method, place, json=changed).json()

    assert (changed["name"], changed["message"]) == ("Renamed", draft["message"])
    assert again == changed


@pytest.mark.parametrize(
    ("members", "status", "where"),
    [
        ({"name": " "}, 400, "/name"),
        ({"channel": "pigeon"}, 400, "/channel"),
        ({"message": "Hello {{shoeSize}}"}, 422, "/message"),
        ({"agentConfigId": "1"}, 400, "/agentConfigId"),
        ({"agentConfigId": "0" * 24}, 404, "/agentConfigId"),
        ({"schedule": {"windows": [{"from": "9", "to": "10:00"}]}}, 400, "/schedule/windows/0/from"),
        ({"schedule": {"timezone": "Mars/Base"}}, 422, "/schedule/timezone"),
        ({"schedule": {"dailyCap": 0}}, 400, "/schedule/dailyCap"),
        ({"leadIds": ["a"]}, 400, "/leadIds/0"),
    ],
)
def test_bad_campaign_is_refused(client, body, members, status, where):
    answer = client.post(CAMPAIGNS, json={**body, **members})

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (status, where)


def test_campaign_contacts_everybody_once_and_tells(client, draft, make_leads, move, wait_for):
    numbers = make_leads(7)

    started = move(draft, "start")
    done = wait_for(draft, "completed")

    assert (started.status_code, started.json()["status"]) == (200, "running")
    expected = {"total": 7, "sent": 7, "delivered": 7}
    assert done["stats"] == {**dict.fromkeys(done["stats"], 0), **expected}
    assert done["completedReason"] == "finished"
    page = client.get(f"{CAMPAIGNS}/{draft['_id']}/leads", params={"limit": 5})
    rest = client.get(page.links["next"]["url"]).json()
    rows = page.json()["leads"] + rest["leads"]
    assert ([row["leadId"] for row in rows], rest["total"]) == (numbers, 7)
    talk = client.get(f"/api/conversations/{rows[0]['conversationId']}").json()
    assert (talk["campaignId"], [said["content"] for said in talk["messages"]]) == (draft["_id"], ["Hello Ada."])
    assert client.get("/api/leads/1").json()["status"] == "contacted"
    listed = client.get("/api/conversations", params={"campaignId": draft["_id"]}).json()
    assert len({each["leadId"] for each in listed}) == len(listed) == 7


def test_reply_and_verdict_move_the_stats(client, draft, make_leads, move, wait_for):
    make_leads(2)
    move(draft, "start")
    wait_for(draft, "completed")
    [first, _] = client.get(f"{CAMPAIGNS}/{draft['_id']}/leads").json()["leads"]
    talk = f"/api/conversations/{first['conversationId']}"

    client.post(f"{talk}/simulate-reply", json={"message": "Who is this?"})
    client.patch(talk, json={"qualificationResult": {"qualified": True, "reason": "Budget"}})

    stats = client.get(f"{CAMPAIGNS}/{draft['_id']}").json()["stats"]
    assert (stats["sent"], stats["replied"], stats["qualified"], stats["disqualified"]) == (2, 1, 1, 0)
    shown = client.get(f"{CAMPAIGNS}/{draft['_id']}/leads", params={"status": "qualified"}).json()
    assert ([row["leadId"] for row in shown["leads"]], shown["total"]) == ([first["leadId"]], 1)


def test_preview_counts_whom_it_is_for_and_whom_not(client, body, make_leads):
    make_leads(3, tags=["news"])
    busy = client.post("/api/conversations/start", json={"leadId": 2, "channel": "sms", "message": "Hello"})
    wanted = {"leadFilter": {"tags": ["news"]}, "leadIds": [900]}
    draft = client.post(CAMPAIGNS, json={**body, **wanted}).json()

    found = client.post(f"{CAMPAIGNS}/{draft['_id']}/preview").json()

    assert busy.status_code == 201
    assert (found["total"], found["recipients"], found["skipped"]) == (4, 2, 2)
    reasons = [{"reason": reason, "count": 1} for reason in ("conversation_active", "lead_not_found")]
    assert found["leftOut"] == reasons
    shown = [(each["leadId"], each.get("reason")) for each in found["sample"]]
    assert shown == [(3, None), (1, None), (2, "conversation_active")]


def test_who_is_left_out_stands_in_the_ledger_with_the_reason(client, body, make_leads, move, wait_for):
    make_leads(3)
    client.post("/api/conversations/start", json={"leadId": 2, "channel": "sms", "message": "Hello"})
    draft = client.post(CAMPAIGNS, json={**body, "leadIds": [1, 2, 900]} | {"leadFilter": {"statuses": ["qualified"]}})

    move(draft.json(), "start")
    done = wait_for(draft.json(), "completed")

    rows = client.get(f"{CAMPAIGNS}/{done['_id']}/leads").json()["leads"]
    assert [(row["leadId"], row["status"], row.get("reason")) for row in rows] == [
        (1, "delivered", None),
        (2, "skipped", "conversation_active"),
        (900, "skipped", "lead_not_found"),
    ]


def test_advanced_filter_narrows_and_a_bad_one_is_refused(client, body, make_leads):
    make_leads(3)
    wanted = {"conditions": [{"field": "name", "operator": "is", "value": "Ada 1"}]}
    draft = client.post(CAMPAIGNS, json={**body, "advancedFilter": wanted}).json()
    bad = {"conditions": [{"field": "nonsense", "operator": "is", "value": "x"}]}

    assert client.post(f"{CAMPAIGNS}/{draft['_id']}/preview").json()["recipients"] == 1
    assert client.post(CAMPAIGNS, json={**body, "advancedFilter": bad}).status_code == 400


def test_only_a_draft_is_edited_deleted_and_started(client, draft, body, move):
    scheduled = client.post(CAMPAIGNS, json={**body, "schedule": {"startAt": "2999-01-01T00:00:00Z"}}).json()
    place = f"{CAMPAIGNS}/{scheduled['_id']}"

    assert move(scheduled, "start").json()["status"] == "scheduled"
    refused = [
        client.patch(place, json={"name": "Other"}),
        client.delete(place),
        *[move(scheduled, verb) for verb in ("start", "pause", "resume")],
    ]
    assert [each.status_code for each in refused] == [409] * 5
    cancelled = move(scheduled, "cancel").json()
    assert (cancelled["status"], cancelled["completedReason"]) == ("completed", "cancelled")
    assert move(scheduled, "cancel").status_code == 409
    assert client.delete(f"{CAMPAIGNS}/{draft['_id']}").json() == {"success": True}
    assert client.get(f"{CAMPAIGNS}/{draft['_id']}").status_code == 404


def test_start_needs_an_audience_a_channel_and_an_agent(client, party, body, draft, move):
    nobody = client.post(CAMPAIGNS, json={"name": "Nobody", "channel": "sms"}).json()
    with party.client("live") as live:
        deaf = live.post(CAMPAIGNS, json=body | {"leadFilter": {}}).json()
        unconfigured = live.post(f"{CAMPAIGNS}/{deaf['_id']}/start")
    client.patch(f"/api/agent-config/{client.get('/api/agent-config').json()[0]['_id']}", json={"status": "inactive"})

    refused = [move(nobody, "start"), unconfigured, move(draft, "start")]

    codes = [(each.status_code, each.json()["code"]) for each in refused]
    assert codes == [(422, "no_audience"), (422, "channel_not_configured"), (409, "no_active_agent")]


def test_list_is_newest_first_and_a_copy_is_a_draft(client, body, move):
    made = [client.post(CAMPAIGNS, json=body).json() for _ in range(2)]
    copy = client.post(f"{CAMPAIGNS}/{made[0]['_id']}/duplicate")

    assert (copy.status_code, copy.json()["name"], copy.json()["leadFilter"]) == (201, "Spring (copy)", {})
    first = client.get(CAMPAIGNS, params={"limit": 1})
    assert first.json() == [copy.json()]
    assert client.get(first.links["next"]["url"]).json() == [made[1]]
    assert client.get(CAMPAIGNS, params={"status": "running"}).json() == []


def test_agent_of_a_campaign_is_not_deleted(client, body, agent):
    client.post(CAMPAIGNS, json={**body, "agentConfigId": agent})

    answer = client.delete(f"/api/agent-config/{agent}")

    assert (answer.status_code, answer.json()["code"]) == (409, "agent_in_use")


def test_whoever_may_look_may_not_launch(client, party, draft):
    place = f"{CAMPAIGNS}/{draft['_id']}"
    with party.client(scopes=["campaigns:view"]) as analyst:
        seen = [analyst.get(path).status_code for path in (CAMPAIGNS, place, f"{place}/leads")]
        verbs = ("start", "pause", "resume", "cancel", "duplicate")
        refused = [analyst.post(f"{place}/{verb}").status_code for verb in verbs]

    assert (seen, refused) == ([200] * 3, [403] * 5)
