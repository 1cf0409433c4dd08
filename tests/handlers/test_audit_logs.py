"""The audit log over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from engine import audit as chain
from storage import audit, audit_log, clock, database
from storage.tenancy import Actor

LOGS = "/api/audit-logs"
EXPORT = f"{LOGS}/export"
FORMULA = Actor("user", "u1", "=HYPERLINK(1)", ip="203.0.113.7")


@pytest.fixture
def write(party, monkeypatch):
    """Writes an entry of the test environment, dated if a day is given."""

    def write(action, actor=FORMULA, environment="test", day=None, metadata=None):
        if day is not None:
            monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(f"{day}T23:59:59.999").replace(tzinfo=UTC))
        with database.transaction():
            audit.record(party.tenant(environment), actor, action, "x1", metadata)

    return write


@pytest.fixture
def actions(client):
    """The actions that are listed with these parameters."""
    return lambda **params: [entry["action"] for entry in client.get(LOGS, params=params).json()["data"]]


def test_created_lead_stands_in_the_log_with_its_actor(client):
    client.post("/api/leads", json={"phone": "+12025550101"})

    found = client.get(LOGS, params={"action": "lead.created"}).json()

    assert (found["total"], found["skip"], found["limit"]) == (1, 0, 50)
    entry = found["data"][0]
    assert entry["resource"] == {"type": "lead", "id": "1"}
    assert (entry["actor"]["type"], entry["actor"]["ip"]) == ("api_key", "127.0.0.1")


@pytest.mark.parametrize(
    "params",
    [
        {"action": "probe.made"},
        {"resourceType": "probe"},
        {"actorType": "user"},
        {"actorId": "u1"},
        {"search": "PROBE"},
        {"search": "hyperlink("},
        {"to": "2026-03-14"},
        {"from": "2026-03-14T23:59:59.999Z", "to": "2026-03-15T00:00:00+00:00"},
    ],
    ids=str,
)
def test_filter_finds_what_fits_and_nothing_else(actions, write, params):
    write("other.made", Actor("api_key", "k1", "sync"), day="2026-04-01")
    write("probe.made", day="2026-03-14")

    assert actions(**params) == ["probe.made"]


@pytest.mark.parametrize("search", ["pro%", "pr_be"])
def test_search_takes_wildcards_for_letters(actions, write, search):
    write("probe.made")

    assert actions(search=search) == []


def test_pages_follow_the_link_to_the_end(client, write):
    for number in range(5):
        write(f"probe.made_{number}")

    seen, answer = [], client.get(LOGS, params={"limit": 2, "resourceType": "probe"})
    while "next" in answer.links:
        seen += [entry["action"] for entry in answer.json()["data"]]
        answer = client.get(answer.links["next"]["url"])
    seen += [entry["action"] for entry in answer.json()["data"]]

    assert sorted(seen) == [f"probe.made_{number}" for number in range(5)]


def test_test_key_sees_its_environment_and_live_key_the_account(party, write):
    write("probe.tested")
    write("probe.done", environment="live")

    with party.client("test") as test, party.client("live") as live:
        counts = [client.get(LOGS, params={"resourceType": "probe"}).json()["total"] for client in (test, live)]

    assert counts == [1, 2]


def test_nobody_sees_another_account(make_party, write):
    write("probe.made")

    with make_party("Other").client("live") as other:
        assert other.get(LOGS, params={"resourceType": "probe"}).json()["data"] == []
        assert other.get(EXPORT, params={"resourceType": "probe", "format": "jsonl"}).text == ""


@pytest.mark.parametrize(("format_", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_export_is_a_table_without_formulas(client, write, format_, delimiter):
    write("probe.made", metadata={"said": 'a,"b"\t\n'})

    answer = client.get(EXPORT, params={"format": format_, "resourceType": "probe"})

    rows = list(csv.DictReader(io.StringIO(answer.text), delimiter=delimiter))
    assert [(row["action"], row["actorName"]) for row in rows] == [("probe.made", "'=HYPERLINK(1)")]
    assert json.loads(rows[0]["metadata"]) == {"said": 'a,"b"\t\n'}
    assert answer.headers["Content-Disposition"].endswith(f'.{format_}"')


def test_export_of_lines_says_what_the_list_says(client, write):
    write("probe.made")

    lines = client.get(EXPORT, params={"format": "jsonl", "resourceType": "probe"}).text.splitlines()

    assert [json.loads(line) for line in lines] == client.get(LOGS, params={"resourceType": "probe"}).json()["data"]


@pytest.mark.parametrize("path", [LOGS, EXPORT])
def test_day_that_no_calendar_has_is_refused(client, path):
    answer = client.get(path, params={"from": "2026-02-30"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_date")


@pytest.mark.parametrize("params", [{"limit": 201}, {"search": "a"}, {"actorType": "robot"}, {"from": "now"}], ids=str)
def test_parameter_out_of_bounds_is_refused(client, params):
    assert client.get(LOGS, params=params).status_code == 400


def test_export_reads_on_where_a_chunk_ended(party, write, monkeypatch):
    monkeypatch.setattr(audit_log, "_CHUNK", 2)
    for number in range(5):
        write(f"probe.made_{number}")

    with database.connection():
        query = audit_log.matching(party.tenant(), audit_log.Filters(resource_type="probe"))
        sizes = [[row.action for row in rows] for rows in audit_log.chunks(query)]

    assert [len(rows) for rows in sizes] == [2, 2, 1]
    assert len({action for rows in sizes for action in rows}) == 5


def test_verify_names_the_entry_that_was_edited(client, party, write):
    write("probe.made")
    good = client.get(f"{LOGS}/verify").json()
    with database.transaction():
        editing = "UPDATE audit_entry SET actor_id = 'u2' WHERE account_id = {0} AND action = 'probe.made'"
        database.database.execute_sql(editing.format(database.database.param), (party.account_id,))
    bad = client.get(f"{LOGS}/verify").json()

    assert (good["valid"], good["signed"], good["entries"]) == (True, True, bad["entries"])
    [edited] = client.get(LOGS, params={"action": "probe.made"}).json()["data"]
    assert (bad["valid"], bad["firstBroken"]["entryId"]) == (False, edited["_id"])
    assert bad["firstBroken"]["reason"] == "entry_changed"


@pytest.mark.usefixtures("secret_key")
def test_what_retention_removed_is_neither_listed_nor_exported_and_the_rest_is_valid(client, party, write, actions):
    write("probe.old", day="2026-01-01")
    write("probe.made", day="2026-03-14")
    client.patch("/api/accounts/current", json={"retention": {"auditLogDays": 30}})
    before = client.get(f"{LOGS}/verify").json()

    with database.connection():
        chain.purge_all()

    after = client.get(f"{LOGS}/verify").json()
    exported = client.get(EXPORT, params={"format": "jsonl", "resourceType": "probe"}).text.splitlines()
    assert actions(resourceType="probe") == [json.loads(line)["action"] for line in exported] == ["probe.made"]
    assert ("checkpoint" in before, after["valid"], after["checkpoint"]["sequence"]) == (False, True, 1)
    assert after["entries"] == before["entries"] + 1
    with party.client("live") as live:
        [told] = live.get(LOGS, params={"action": "audit.purged"}).json()["data"]
    assert (told["actor"]["type"], told["metadata"]["entries"]) == ("system", 1)


def test_log_of_another_account_does_not_matter(make_party, client, write):
    write("probe.made")

    with make_party("Other").client() as other:
        assert other.get(f"{LOGS}/verify").json()["valid"] is True
