"""Every example of a request body in the contract, sent to the running server: each is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.channels import CHANNELS
from server.contract import Operation, dereference, document, operations
from tests.conftest import Party
from tests.support.contract_client import ContractClient

SPEC = document()


def examples() -> Iterator[tuple[Operation, str, str, Any]]:
    """(operation, media type, name, body) of each example."""
    for operation in operations(SPEC):
        if operation.spec.get("x-raw-body"):  # a provider's event, which nobody believes without its signature
            continue
        for media_type, media in dereference(SPEC, operation.spec).get("requestBody", {}).get("content", {}).items():
            named = {name: each["value"] for name, each in media.get("examples", {}).items()}
            for name, body in (named or {"example": media["example"]}).items():
                yield operation, media_type, name, body


EXAMPLES = list(examples())
HOOK = {"url": "https://hooks.example.com/", "events": ["*"]}
INTEGRATION = {"wabaId": "1", "phoneNumberId": "2", "accessToken": "a-token-of-an-example"}


@pytest.fixture
def live(party: Party) -> Iterator[ContractClient]:
    """An owner of the live environment, to which the team belongs."""
    with party.client("live") as opened:
        yield opened


@pytest.fixture
def world(client: ContractClient, live: ContractClient) -> dict[str, str]:
    """What the examples speak of, by the ids that they have there: a lead, an agent, a conversation, a key, a file."""
    template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
    agent, rival = (client.post("/api/agent-config", json=template).json()["_id"] for _ in range(2))
    compared = [{"agentConfigId": each, "weight": 1} for each in (agent, rival)]
    lead = client.post("/api/leads", json={"phone": "+12025550199"}).json()["id"]
    other = client.post("/api/leads", json={"phone": "+12025550198"}).json()["id"]
    opened = client.post("/api/conversations/start", json={"leadId": other, "channel": "sms", "message": "Hello"})
    table = {"file": ("leads.csv", b"Name,Mobile\nAda Example,+12025550142\n", "text/csv")}
    integration = client.put("/api/integrations/whatsapp", json=INTEGRATION).json()
    base = client.post("/api/knowledge-bases", json={"name": "Docs"}).json()["_id"]
    place = f"/api/knowledge-bases/{base}"
    source = {"name": "Products", "url": "https://shop.example.com/api/products"}
    key = {"name": "Other", "scopes": ["leads:view"], "environment": "test"}
    guest = {"email": "guest@example.com", "roles": ["analyst"]}
    invited = live.post("/api/accounts/current/invitations", json=guest).json()["token"]
    also = live.post("/api/accounts/current/invitations", json={**guest, "email": "a@example.com"}).json()["token"]
    return {
        "/api/leads/{id}": str(lead),
        "/api/event-subscriptions/{id}": client.post("/api/event-subscriptions", json=HOOK).json()["_id"],
        "/api/ab-tests/{id}": client.post("/api/ab-tests", json={"name": "Test", "variants": compared}).json()["_id"],
        "/api/campaigns/{id}": client.post("/api/campaigns", json={"name": "Spring", "channel": "sms"}).json()["_id"],
        "/api/conversations/{id}": opened.json()["_id"],
        "/api/agent-config/{id}": agent,
        "/api/api-keys/{id}": client.post("/api/api-keys", json=key).json()["apiKey"]["_id"],
        "/api/knowledge-bases/{id}": base,
        "{documentId}": client.post(f"{place}/documents", json={"content": "Hello"}).json()["_id"],
        "{whId}": client.post(f"{place}/webhooks", json=source).json()["_id"],
        "{channel}": integration["channel"],
        "{invitationToken}": invited,
        "{userId}": live.post(f"/api/accounts/invitations/{also}/accept", json={}).json()["_id"],
        "{token}": client.get("/api/accounts/current").json()["webhookToken"],
        "42": str(lead),
        "43": str(other),
        "665f1c2e9b1d4a0012ab34c1": agent,
        "665f1c2e9b1d4a0012ab34c2": rival,
        "665f1c2e9b1d4a0012ab34cf": client.post("/api/leads/upload/preview", files=table).json()["uploadId"],
    }


def path_of(operation: Operation, example: str, world: dict[str, str]) -> str:
    template = operation.path[: operation.path.index("}") + 1] if "}" in operation.path else operation.path
    path = operation.path.replace("{channel}", example if example in CHANNELS else world["{channel}"])
    for name in ("{token}", "{documentId}", "{whId}", "{invitationToken}", "{userId}"):
        path = path.replace(name, world[name])
    return path.replace("{id}", world.get(template, ""))


def living(body: Any, world: dict[str, str]) -> Any:
    """The body with the ids of this world in place of those that the contract invented."""
    text = json.dumps(body).replace('"leadId": 42', f'"leadId": {world["42"]}').replace('"live"', '"test"')
    text = text.replace('"into": 42, "from": [43]', f'"into": {world["42"]}, "from": [{world["43"]}]')
    for invented in (word for word in world if word.startswith("665f")):
        text = text.replace(invented, world[invented])
    return json.loads(text)


@pytest.mark.parametrize(
    ("operation", "media_type", "name", "body"),
    EXAMPLES,
    ids=[f"{operation.id}-{media_type.partition('/')[2]}-{name}" for operation, media_type, name, _ in EXAMPLES],
)
def test_example_is_accepted(
    client: ContractClient,
    live: ContractClient,
    world: dict[str, str],
    operation: Operation,
    media_type: str,
    name: str,
    body: Any,
) -> None:
    sends: dict[str, Callable[[Any], dict[str, Any]]] = {
        "application/json": lambda body: {"json": body},
        "multipart/form-data": lambda body: {
            "files": {"file": ("example.txt", body["file"])},
            "data": {name: text for name, text in body.items() if name != "file"},
        },
    }

    asked = live if operation.spec["tags"] == ["Team"] else client
    answer = asked.request(operation.method, path_of(operation, name, world), **sends[media_type](living(body, world)))

    assert answer.is_success, answer.text
