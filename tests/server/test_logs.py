"""The log of a whole session: JSON lines that tell what happened under which request id, and nothing about people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage import accounts, database
from tests.conftest import ENGINE, Party, migrated, own_database
from tests.support.contract_client import ContractClient
from tests.support.live_server import ServerProcess

PRIVATE = {
    "name": "Zacharias",
    "email": "zacharias@example.com",
    "phone": "+12025550187",
    "digits": "2025550187",
    "message": "strictly-confidential",
    "reply": "whispered-answer",
    "custom": "custom-secret",
    "query": "searched-for",
    "path": "walked-past",
    "credential": "dXNlcjpwYXNz",
    "wrong key": "nl_test_wrong",
}


Session = tuple[list[str], list[dict[str, Any]], str]


@pytest.fixture(scope="module", params=["info", "debug"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The request ids, the log and the secrets of a session in which much happens."""
    folder = tmp_path_factory.mktemp("session")
    url = f"sqlite:///{folder}/newleaf.db"
    if ENGINE == "postgres":
        url = own_database(request.getfixturevalue("postgres_url"), "newleaf_logs")
    migrated(url)
    opened = database.connect(url)
    log = folder / "server.log"
    environment = {"NEWLEAF_DATABASE_URL": url, "NEWLEAF_LOG_LEVEL": request.param}
    with ServerProcess(environment, cwd=folder, log=log) as process:
        with database.transaction():
            party = Party(accounts.create("Example", default_region="US").id, process.base_url)
        with party.client() as client, ContractClient(process.base_url) as anonymous:
            answers: list[str] = []
            for each in (client, anonymous):
                each.event_hooks["response"].append(lambda answer: answers.append(answer.headers["X-Request-Id"]))
            secrets = [client.headers["X-API-Key"], *play(client, anonymous)]
        process.terminate()
    opened.close_all()
    return answers, [json.loads(line) for line in log.read_text().splitlines()], "\n".join(secrets)


def play(client: ContractClient, anonymous: ContractClient) -> list[str]:
    """Requests of every kind, good and bad; the secrets that were seen in the answers."""
    p = PRIVATE
    lead = {"phone": p["phone"], "name": p["name"], "email": p["email"], "customFields": {"a": p["custom"]}}
    client.post("/api/leads", json=lead, headers={"Idempotency-Key": "once"})
    client.post("/api/leads", json=lead)
    client.post("/api/leads", json={**lead, "status": p["custom"]})
    client.post("/api/leads", content=b"{" + p["name"].encode())
    client.get("/api/leads", params={"q": p["query"]})
    client.get("/api/leads/search", params={"q": p["digits"]})
    client.get(f"/api/leads/{p['path']}")
    client.get(f"/{p['path']}")
    client.get("/api/leads", headers={"X-API-Key": p["wrong key"]})
    anonymous.get("/api/leads", headers={"Authorization": f"Basic {p['credential']}"})
    token = client.get("/api/accounts/current").json()["webhookToken"]
    anonymous.post(f"/api/webhooks/leads/{token}", json={"phone": p["phone"], "name": p["name"]})
    template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
    client.post("/api/agent-config", json=template)
    opening = {"leadId": 1, "channel": "sms", "message": p["message"]}
    path = client.post("/api/conversations/start", json=opening).headers["Location"]
    client.post(f"{path}/simulate-reply", json={"message": p["reply"]})
    client.post(f"{path}/send", json={"message": p["message"]})
    made = client.post("/api/api-keys", json={"name": "A", "scopes": ["leads:view"], "environment": "test"}).json()
    rotated = client.post("/api/accounts/current/webhook-token/rotate").json()["webhookToken"]
    return [token, rotated, made["fullKey"]]


def test_every_request_has_a_line_under_its_id(session: Session) -> None:
    ids, lines, _ = session

    told = [line["request_id"] for line in lines if line["event"] == "request"]

    assert set(ids) <= set(told)
    assert len(told) == len(set(told))


def test_line_of_a_request_tells_who_did_what_and_how_it_ended(session: Session) -> None:
    _, lines, _ = session

    line = next(line for line in lines if line.get("operation") == "create_lead")

    assert (line["method"], line["status"], line["level"]) == ("POST", 201, "info")
    assert {"timestamp", "ms", "account", "key"} <= line.keys()


def test_nothing_about_people_and_no_secret_is_logged(session: Session) -> None:
    _, lines, secrets = session
    written = json.dumps(lines)

    found = [name for name, text in PRIVATE.items() if text in written]

    assert found == []
    assert [secret[:12] for secret in secrets.split("\n") if secret in written] == []


def test_nothing_went_wrong(session: Session) -> None:
    _, lines, _ = session

    assert [line for line in lines if line["level"] in ("warning", "error", "critical")] == []
