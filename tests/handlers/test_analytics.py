"""Analytics over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import csv
import io

import pytest

REPORTS = ("overview", "timeseries", "funnel", "agents", "campaigns", "response-times")


@pytest.fixture
def get(client):
    """The report as JSON; another status is given back as the answer."""

    def ask(report, **query):
        answer = client.get(f"/api/analytics/{report}", params=query)
        return answer.json() if answer.status_code == 200 else answer

    return ask


@pytest.fixture
def talked(client):
    """A lead that was talked to, and wrote back."""
    client.post("/api/agent-config", json={"name": "=Mia", "systemPrompt": "You are Mia.", "goal": "Qualify."})
    lead = client.post("/api/leads", json={"phone": "+12025550171", "tags": ["=1+1", "vip"]}).json()
    started = client.post("/api/conversations/start", json={"leadId": lead["id"], "channel": "sms"})
    assert started.status_code == 201
    path = f"/api/conversations/{started.json()['_id']}"
    assert client.post(f"{path}/simulate-reply", json={"message": "Yes, tell me more"}).status_code == 200
    return lead


def table(answer):
    return list(csv.reader(io.StringIO(answer.text)))


def test_overview_of_nothing_is_zeros(get):
    overview = get("overview")

    assert (overview["totalLeads"], overview["qualificationRate"], overview["avgMessagesPerConversation"]) == (0, 0, 0)
    assert overview["channelBreakdown"] == {"whatsapp": 0, "telegram": 0, "email": 0, "sms": 0}


def test_what_was_done_just_now_is_in_every_report(get, talked):
    overview = get("overview", range="7d")

    assert (overview["totalLeads"], overview["newLeads"], overview["totalConversations"]) == (1, 1, 1)
    assert overview["channelBreakdown"]["sms"] == 1
    assert sum(point["value"] for point in get("timeseries", metric="conversations", interval="week")["points"]) == 1
    funnel = get("funnel", by="tag")
    assert (funnel["stages"]["contacted"], funnel["stages"]["replied"]) == (1, 1)
    assert [group["value"] for group in funnel["groups"]] == ["=1+1", "vip"]
    [agent] = get("agents")["agents"]
    assert (agent["agentConfigName"], agent["conversations"]) == ("=Mia", 1)
    assert get("response-times")["lead"]["count"] == 1
    assert get("campaigns")["campaigns"] == []


def test_deleted_lead_counts_no_more(client, get, talked):
    client.delete(f"/api/leads/{talked['id']}")

    overview = get("overview")

    assert (overview["totalLeads"], overview["newLeads"], overview["totalConversations"]) == (0, 0, 1)


@pytest.mark.parametrize("report", REPORTS)
def test_every_report_is_a_table_too(client, talked, report):
    answer = client.get(f"/api/analytics/{report}", params={"format": "csv"})

    header, *rows = table(answer)
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(header) >= 2
    assert all(len(row) == len(header) for row in rows)


def test_cell_that_a_spreadsheet_would_run_is_made_text(client, talked):
    funnel = table(client.get("/api/analytics/funnel", params={"by": "tag", "format": "csv"}))
    agents = table(client.get("/api/analytics/agents", params={"format": "csv"}))

    assert funnel[1][0] == "'=1+1"
    assert agents[1][1] == "'=Mia"


def test_days_are_those_that_were_asked_for_in_the_zone_that_was(get):
    series = get("timeseries", **{"from": "2026-03-07", "to": "2026-03-09", "timezone": "Asia/Kathmandu"})

    assert [point["date"] for point in series["points"]] == ["2026-03-07", "2026-03-08", "2026-03-09"]
    assert (series["from"], series["to"], series["timezone"]) == ("2026-03-07", "2026-03-09", "Asia/Kathmandu")


def test_zone_is_the_accounts_if_none_is_named(client, get):
    client.patch("/api/accounts/current", json={"timezone": "Asia/Kolkata"})

    assert get("overview")["timezone"] == "Asia/Kolkata"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"range": "5d"}, 400),
        ({"timezone": "Mars/Olympus"}, 422),
        ({"from": "2026-02-30", "to": "2026-03-01"}, 400),
        ({"format": "xml"}, 400),
        ({"from": "2026-03-01"}, 422),
        ({"from": "2026-03-02", "to": "2026-03-01"}, 422),
        ({"from": "2020-03-02", "to": "2026-03-01"}, 422),
    ],
    ids=["range", "zone", "no day", "format", "half a range", "backwards", "too long"],
)
def test_what_is_no_range_is_refused(get, query, status):
    assert get("overview", **query).status_code == status


def test_dashboard_alone_sees_the_overview_and_nothing_else(party):
    with party.client(scopes=["dashboard:view"]) as client:
        statuses = [client.get(f"/api/analytics/{report}").status_code for report in REPORTS]

    assert statuses == [200, 403, 403, 403, 403, 403]
