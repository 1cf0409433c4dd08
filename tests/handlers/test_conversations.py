"""Conversations over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import json

import httpx
import pytest


@pytest.fixture
def agent(client):
    template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
    return client.post("/api/agent-config", json=template).json()


@pytest.fixture
def lead(client):
    return client.post("/api/leads", json={"phone": "+1234567890", "name": "Ada"}).json()


@pytest.fixture
def start(client, agent, lead):
    return lambda **body: client.post(
        "/api/conversations/start", json={"leadId": lead["id"], "channel": "whatsapp", **body}
    )


@pytest.fixture
def conversation(start):
    return start().json()


def path(conversation, part=""):
    return f"/api/conversations/{conversation['_id']}{part}"


def test_started_conversation_holds_the_agents_first_message(start, agent, client):
    answer = start()

    conversation = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == path(conversation)
    assert (conversation["leadId"], conversation["agentConfigId"]) == ("1", agent["_id"])
    assert [message["role"] for message in conversation["messages"]] == ["agent"]
    assert client.get("/api/leads/1").json()["status"] == "contacted"


def test_lead_may_be_named_by_text(start):
    assert start(leadId="1").status_code == 201


@pytest.mark.parametrize("lead_id", [999, "999", "4294967296"])
def test_unknown_lead_is_not_found(start, lead_id):
    assert start(leadId=lead_id).status_code == 404


def test_second_start_is_refused_with_the_first_ones_id(start, conversation):
    refusal = start()

    assert refusal.status_code == 409
    assert (refusal.json()["code"], refusal.json()["details"]) == ("conversation_active", conversation["_id"])


def test_repeated_start_with_one_key_is_one_conversation(client, agent, lead):
    def start():
        body = {"leadId": lead["id"], "channel": "whatsapp"}
        return client.post("/api/conversations/start", json=body, headers={"Idempotency-Key": "once"})

    first, second = start(), start()

    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"


def test_blocked_start_names_the_rule(client, agent, start):
    refusal = start(channel="email")

    assert refusal.status_code == 422
    assert refusal.json()["details"] == "no_email"


def test_qualifying_talk_ends_with_a_qualified_lead(client, conversation):
    for text in ("We lose leads over night", "8 people and about $5000", "in May", "ada@example.com"):
        conversation = client.post(path(conversation, "/simulate-reply"), json={"message": text}).json()

    assert conversation["status"] == "completed"
    assert conversation["qualificationResult"]["qualified"] is True
    assert client.get("/api/leads/1").json()["status"] == "qualified"
    assert client.get(path(conversation)).json()["messageCount"] == 9


def test_live_key_cannot_simulate(party, client, conversation):
    with party.client("live") as live:
        refusal = live.post(path(conversation, "/simulate-reply"), json={"message": "Hi"})

    assert refusal.status_code in (404, 409)


def test_person_takes_over_and_gives_back(client, conversation):
    sent = client.post(path(conversation, "/send"), json={"message": "Grace here."}).json()
    silent = client.post(path(conversation, "/simulate-reply"), json={"message": "Hello?"}).json()
    given_back = client.patch(path(conversation, "/status"), json={"status": "active"})

    assert sent["status"] == "handed_off"
    assert [message["role"] for message in silent["messages"]] == ["agent", "human", "lead"]
    assert given_back.status_code == 200


def test_status_change_honours_if_match(client, conversation):
    tag = client.get(path(conversation)).headers["ETag"]
    client.post(path(conversation, "/send"), json={"message": "Grace here."})

    stale = client.patch(path(conversation, "/status"), json={"status": "completed"}, headers={"If-Match": tag})

    assert stale.status_code == 412


def test_ended_conversation_is_final(client, conversation):
    client.patch(path(conversation, "/status"), json={"status": "completed"})

    assert client.patch(path(conversation, "/status"), json={"status": "active"}).status_code == 409
    assert client.post(path(conversation, "/send"), json={"message": "Hi"}).status_code == 409
    assert client.post(path(conversation, "/simulate-reply"), json={"message": "Hi"}).status_code == 409


def test_list_is_a_plain_array_with_filters(client, conversation):
    everything = client.get("/api/conversations")
    found = client.get("/api/conversations", params={"search": "1234567", "leadId": 1})
    ended = client.get("/api/conversations", params={"status": "completed"})

    assert [[each["_id"] for each in answer.json()] for answer in (everything, found)] == [[conversation["_id"]]] * 2
    assert everything.headers["X-Total-Count"] == "1"
    assert ended.json() == []


def test_messages_come_in_pages(client, conversation):
    client.post(path(conversation, "/simulate-reply"), json={"message": "Hi"})

    first = client.get(path(conversation, "/messages"), params={"limit": 2})
    second = client.get(first.links["next"]["url"])

    assert [message["role"] for message in first.json() + second.json()] == ["agent", "lead", "agent"]
    newest = client.get(path(conversation, "/messages"), params={"order": "desc", "limit": 1}).json()
    assert [message["id"] for message in newest] == [message["id"] for message in second.json()]


def test_foreign_conversation_does_not_exist(make_party, conversation):
    with make_party("Other").client() as stranger:
        answers = [
            stranger.get(path(conversation)),
            stranger.get(path(conversation, "/messages")),
            stranger.post(path(conversation, "/send"), json={"message": "Hi"}),
            stranger.post(path(conversation, "/simulate-reply"), json={"message": "Hi"}),
            stranger.patch(path(conversation, "/status"), json={"status": "dropped"}),
        ]

    assert [answer.status_code for answer in answers] == [404] * 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "leadId is required"),
        ({"leadId": 1}, "channel is required"),
        ({"leadId": "one", "channel": "sms"}, "Invalid lead ID format"),
        ({"leadId": 1, "channel": "fax"}, "Invalid channel. Must be one of: whatsapp, telegram, email, sms"),
        ({"leadId": 1, "channel": "sms", "agentConfigId": "mia"}, "Invalid agent ID format"),
        ({"leadId": 1, "channel": "sms", "message": " "}, "message is malformed"),
    ],
)
def test_bad_start_is_refused(client, body, message):
    answer = client.post("/api/conversations/start", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, message)


def test_start_without_an_agent_is_refused(client, lead):
    answer = client.post("/api/conversations/start", json={"leadId": lead["id"], "channel": "sms"})

    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_agent")


def test_opted_out_lead_is_not_written_to(client, conversation, start):
    dropped = client.post(path(conversation, "/simulate-reply"), json={"message": "STOP"}).json()

    refusal = start(channel="sms")

    assert (dropped["status"], dropped["messages"][-1]["role"]) == ("dropped", "agent")
    assert set(client.get("/api/leads/1").json()["optedOut"]) == {"whatsapp", "telegram", "email", "sms"}
    assert (refusal.status_code, refusal.json()["details"]) == (422, "opted_out")


MOVES = {
    "active": {"active": 200, "handed_off": 200, "completed": 200, "dropped": 200},
    "handed_off": {"active": 200, "handed_off": 200, "completed": 200, "dropped": 200},
    "completed": {"active": 409, "handed_off": 409, "completed": 200, "dropped": 409},
    "dropped": {"active": 409, "handed_off": 409, "completed": 409, "dropped": 200},
}


@pytest.mark.parametrize("wanted", MOVES)
@pytest.mark.parametrize("present", MOVES)
def test_status_moves_only_as_the_table_says(client, start, present, wanted):
    conversation = start(message="Hello").json()
    client.patch(path(conversation, "/status"), json={"status": present})

    answer = client.patch(path(conversation, "/status"), json={"status": wanted})

    assert answer.status_code == MOVES[present][wanted]
    moved = wanted if answer.is_success else present
    assert client.get(path(conversation)).json()["status"] == moved


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("status", "open"),
        ("search", ""),
        ("leadId", "x"),
        ("channel", "fax"),
        ("campaignId", "1"),
        ("agentConfigId", "1"),
    ],
)
def test_bad_filter_is_refused(client, parameter, value):
    answer = client.get("/api/conversations", params={parameter: value})

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, parameter)


@pytest.mark.parametrize("list_of", ["", "/{}/messages"])
def test_cursor_of_nobody_is_refused(client, conversation, list_of):
    answer = client.get("/api/conversations" + list_of.format(conversation["_id"]), params={"cursor": "abc"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


def test_conversations_come_in_pages_newest_first(client, agent):
    opened = []
    for number in range(5):
        lead = client.post("/api/leads", json={"phone": f"+120255501{number:02}"}).json()
        body = {"leadId": lead["id"], "channel": "sms", "message": "Hello"}
        opened.append(client.post("/api/conversations/start", json=body).json()["_id"])

    first = client.get("/api/conversations", params={"limit": 3})
    second = client.get(first.links["next"]["url"])

    assert [each["_id"] for each in first.json() + second.json()] == opened[::-1]
    assert (first.headers["X-Total-Count"], "next" in second.links) == ("5", False)


class TestUpdate:
    def test_verdict_of_a_person_gives_the_lead_its_status(self, client, conversation):
        verdict = {"qualified": True, "reason": "Confirmed by phone."}

        answer = client.patch(path(conversation), json={"summary": "Wants 20 seats.", "qualificationResult": verdict})

        assert answer.json()["summary"] == "Wants 20 seats."
        assert answer.json()["qualificationResult"] == verdict
        assert client.get("/api/leads/1").json()["status"] == "qualified"

    def test_null_takes_back_what_was_concluded(self, client, conversation):
        client.patch(path(conversation), json={"summary": "Wrong.", "qualificationResult": {"qualified": False}})

        answer = client.patch(path(conversation), json={"summary": None, "qualificationResult": None}).json()

        assert not {"summary", "qualificationResult"} & answer.keys()

    def test_talk_goes_on_in_the_stage_that_is_named(self, client, conversation, agent):
        answer = client.patch(path(conversation), json={"currentStageIndex": 1}).json()

        assert (answer["currentStageIndex"], answer["currentStageName"]) == (1, agent["stages"][1]["name"])

    def test_stage_that_the_agent_has_not_is_refused(self, client, conversation):
        refusal = client.patch(path(conversation), json={"currentStageIndex": 49})

        assert (refusal.status_code, refusal.json()["errors"][0]["path"]) == (422, "/currentStageIndex")

    def test_another_agent_begins_with_its_first_stage(self, client, conversation, agent):
        client.patch(path(conversation), json={"currentStageIndex": 1})
        other = client.post("/api/agent-config", json={**agent, "name": "Bo"}).json()

        answer = client.patch(path(conversation), json={"agentConfigId": other["_id"]}).json()

        assert (answer["agentConfigId"], answer["currentStageIndex"]) == (other["_id"], 0)

    def test_unknown_agent_is_not_found(self, client, conversation):
        assert client.patch(path(conversation), json={"agentConfigId": "f" * 24}).status_code == 404

    def test_ended_talk_takes_a_verdict_and_no_other_stage(self, client, conversation):
        client.patch(path(conversation, "/status"), json={"status": "completed"})

        assert client.patch(path(conversation), json={"summary": "Done."}).status_code == 200
        assert client.patch(path(conversation), json={"currentStageIndex": 0}).status_code == 409


class TestPreflight:
    def test_message_that_may_go_is_allowed(self, client, conversation):
        assert client.post(path(conversation, "/preflight")).json() == {"allowed": True}

    def test_opted_out_lead_names_the_rule(self, client, conversation):
        client.post(path(conversation, "/simulate-reply"), json={"message": "START"})
        other = client.post("/api/conversations/start", json={"leadId": 1, "channel": "sms", "message": "Hi"}).json()
        client.patch(path(other, "/status"), json={"status": "handed_off"})
        client.post(path(conversation, "/simulate-reply"), json={"message": "STOP"})

        assert client.post(path(conversation, "/preflight")).status_code == 409  # it has ended with the opt-out

    def test_nothing_is_sent(self, client, conversation):
        client.post(path(conversation, "/preflight"), json={"template": "first_contact"})

        assert client.get(path(conversation)).json()["messageCount"] == 1


def events_of(text):
    """(event, data) of each server-sent event; what only keeps the connection open is left out."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            yield fields["event"], json.loads(fields["data"])


class TestFollow:
    def test_past_events_are_told_from_the_beginning(self, client, conversation):
        client.post(path(conversation, "/simulate-reply"), json={"message": "Tell me more"})

        answer = client.get(path(conversation, "/events"), headers={"Last-Event-ID": "0"})

        told = list(events_of(answer.text))
        assert [data["role"] for event, data in told if event == "message"] == ["agent", "lead", "agent"]
        assert ("delivery", "delivered") in [(event, data.get("deliveryStatus")) for event, data in told]

    def test_stream_goes_on_after_the_last_event_seen(self, client, conversation):
        client.post(path(conversation, "/simulate-reply"), json={"message": "Tell me more"})
        whole = client.get(path(conversation, "/events"), headers={"Last-Event-ID": "0"}).text
        ids = [line.removeprefix("id: ") for line in whole.splitlines() if line.startswith("id: ")]

        rest = client.get(path(conversation, "/events"), headers={"Last-Event-ID": ids[1]}).text

        assert [line.removeprefix("id: ") for line in rest.splitlines() if line.startswith("id: ")] == ids[2:]

    def test_what_happens_meanwhile_arrives(self, client, party, conversation):
        follower = httpx.Client(base_url=party.base_url, headers=client.headers, trust_env=False, timeout=30)
        with follower, follower.stream("GET", path(conversation, "/events")) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ":"  # it has begun
            client.patch(path(conversation, "/status"), json={"status": "handed_off"})
            told = list(events_of("\n".join(lines)))

        assert ("status", {"status": "handed_off"}) in told

    def test_unknown_conversation_is_not_found(self, client):
        assert client.get(f"/api/conversations/{'f' * 24}/events").status_code == 404
