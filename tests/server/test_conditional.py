"""ETag and If-Match: a write that was decided on an old state does not happen; generated from the contract."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import handlers.leads
from server.contract import Operation, dereference, document, operations
from storage import database, event_log, event_subscriptions
from tests.conftest import Party
from tests.support.contract_client import ContractClient

SPEC = document()
CONDITIONAL = [
    Operation(operation.method, operation.path, dereference(SPEC, operation.spec))
    for operation in operations(SPEC)
    if any(parameter.get("name") == "If-Match" for parameter in dereference(SPEC, operation.spec["parameters"]))
]
WITH_ETAG = [
    operation
    for operation in operations(SPEC)
    if "ETag" in dereference(SPEC, operation.spec["responses"].get("200", {})).get("headers", {})
]
STALE = '"00000000000000000000000000000000"'

TEAM = "/api/accounts/current/"
WHATSAPP = {"wabaId": "1", "phoneNumberId": "2", "accessToken": "a-token-of-a-test"}

BODIES: dict[str, Any] = {
    "update_lead": {"name": "Changed"},
    "assign_lead_agent": {"assignedAgentId": None},
    "change_conversation_status": {"status": "handed_off"},
    "update_conversation": {"summary": "Changed"},
    "update_knowledge_base": {"name": "Changed"},
    "update_document": {"title": "Changed"},
    "replace_webhook_source": {"name": "Changed"},
    "update_webhook_source": {"name": "Changed"},
    "update_ab_test": {"name": "Changed"},
    "replace_ab_test": {"name": "Changed"},
    "change_ab_test_status": {"status": "running"},
    "update_agent": {"name": "Changed"},
    "replace_agent": {"name": "Changed"},
    "configure_integration": {**WHATSAPP, "wabaId": "3"},
    "update_integration": {"wabaId": "3"},
    "update_current_account": {"name": "Changed"},
    "change_member_roles": {"roles": ["operator"]},
    "update_event_subscription": {"description": "Changed"},
    "update_campaign": {"name": "Changed"},
    "replace_campaign": {"name": "Changed"},
}


def by_id(operation: Operation) -> str:
    return operation.id


def made_by(operation: Operation) -> str:
    """The path of the object that an operation is about."""
    return operation.path[: operation.path.rfind("}") + 1] or operation.path


@pytest.fixture
def client(party: Party, request: pytest.FixtureRequest) -> Iterator[ContractClient]:
    """An owner of the test environment; of the live one for the team, which only that can change."""
    operation = request.node.callspec.params.get("operation") if hasattr(request.node, "callspec") else None
    with party.client("live" if operation is not None and operation.path.startswith(TEAM) else "test") as opened:
        yield opened


@pytest.fixture
def make(party: Party, client: ContractClient) -> Callable[[str], str]:
    """Makes the object that a path of the contract names; gives its path."""

    def agent() -> Any:
        template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
        return client.post("/api/agent-config", json=template)

    def conversation() -> Any:
        agent()
        client.post("/api/leads", json={"phone": "+12025550101"})
        opened = client.post("/api/conversations/start", json={"leadId": 1, "channel": "sms", "message": "Hello"})
        for _ in range(10_000):  # the worker delivers it in a moment, after which nothing changes by itself
            if client.get(opened.headers["Location"]).json()["messages"][0]["deliveryStatus"] != "queued":
                return opened
        raise AssertionError("the first message was not delivered")

    def key() -> Any:
        return client.post("/api/api-keys", json={"name": "A", "scopes": ["leads:view"], "environment": "test"})

    def integration() -> str:
        path = "/api/integrations/whatsapp"
        client.put(path, json=WHATSAPP)
        for _ in range(10_000):  # the worker asks the sandbox in a moment, after which nothing changes by itself
            if client.get(f"{path}/health").json()["state"] != "unknown":
                return path
        raise AssertionError("the integration was not tried")

    def imported() -> str:
        table = {"content": "Mobile\n+12025550102\n", "mapping": {"Mobile": "phone"}}
        return str(client.post("/api/leads/upload/confirm", json=table).json()["importBatchId"])

    def knowledge_base() -> str:
        return client.post("/api/knowledge-bases", json={"name": "Prices"}).headers["Location"]

    def settled(path: str, *states: str) -> str:
        """The object at this path, once the worker has done what it does to it."""
        for _ in range(10_000):
            if client.get(path).json()["status"] in states:
                return path
        raise AssertionError(f"{path} did not become {' or '.join(states)}")

    def a_document() -> str:
        text = {"title": "Plans", "content": "The Team plan costs $390 a month.", "sourceType": "text"}
        made = client.post(f"{knowledge_base()}/documents", json=text)
        return settled(made.headers["Location"], "ready", "failed")

    def crawl() -> str:
        made = client.post(f"{knowledge_base()}/crawl-sitemap", json={"urls": ["http://127.0.0.1:9/page"]})
        return settled(made.headers["Location"], "completed", "failed")

    def webhook_source() -> str:
        source = {"name": "Stock", "url": "http://127.0.0.1:9/stock"}
        return client.post(f"{knowledge_base()}/webhooks", json=source).headers["Location"]

    def ab_test() -> str:
        agents = [agent().json()["_id"] for _ in range(2)]
        variants = [{"agentConfigId": oid, "weight": 50} for oid in agents]
        return client.post("/api/ab-tests", json={"name": "Tone", "variants": variants}).headers["Location"]

    def campaign() -> str:
        draft = {"name": "Spring", "channel": "sms", "message": "Hello", "leadFilter": {}}
        return client.post("/api/campaigns", json=draft).headers["Location"]

    def invitation() -> Any:
        return client.post(f"{TEAM}invitations", json={"email": "ada@example.com", "roles": ["analyst"]})

    def member() -> str:
        accepting = f"/api/accounts/invitations/{invitation().json()['token']}/accept"
        return client.post(accepting, json={"firstName": "Ada"}).headers["Location"]

    def subscription() -> str:
        address = {"url": "http://127.0.0.1:9/events", "events": ["lead.*"]}
        return client.post("/api/event-subscriptions", json=address).headers["Location"]

    def event_delivery() -> str:
        path = subscription()
        with database.connection(), database.transaction():
            found = event_subscriptions.get(party.tenant(), path.rpartition("/")[2])
            sent = event_log.emit_to(party.tenant(), found, "ping", {})
            sent.store(state="failed")  # so that nothing changes by itself
        return f"{path}/deliveries/{sent.oid}"

    makers: dict[str, Callable[[], str]] = {
        "/api/accounts/current/members/{userId}": member,
        "/api/accounts/current/invitations/{id}": lambda: invitation().headers["Location"],
        "/api/event-subscriptions/{id}": subscription,
        "/api/event-subscriptions/{id}/deliveries/{eventDeliveryId}": event_delivery,
        "/api/leads/{id}": lambda: client.post("/api/leads", json={"phone": "+12025550101"}).headers["Location"],
        "/api/leads/imports/{importBatchId}": lambda: f"/api/leads/imports/{imported()}",
        "/api/agent-config/{id}": lambda: agent().headers["Location"],
        "/api/agent-config/{id}/versions/{version}": lambda: f"{agent().headers['Location']}/versions/1",
        "/api/knowledge-bases/{id}": knowledge_base,
        "/api/knowledge-bases/{id}/documents/{documentId}": a_document,
        "/api/knowledge-bases/{id}/crawl-jobs/{jobId}": crawl,
        "/api/knowledge-bases/{id}/webhooks/{whId}": webhook_source,
        "/api/ab-tests/{id}": ab_test,
        "/api/campaigns/{id}": campaign,
        "/api/integrations/{channel}": integration,
        "/api/conversations/{id}": lambda: conversation().headers["Location"],
        "/api/api-keys/{id}": lambda: key().headers["Location"],
    }
    return lambda path: makers[path]() if "{" in path else path


@pytest.fixture
def made(client: ContractClient, make: Callable[[str], str], operation: Operation) -> tuple[str, str]:
    """An object that the operation can change: its path and the path of the operation on it."""
    path = make(made_by(operation))
    if operation.id == "delete_api_key":  # which takes only a revoked one
        client.patch(f"{path}/revoke")
    return path, path + operation.path.removeprefix(made_by(operation))


def call(client: ContractClient, operation: Operation, path: str, **headers: str) -> httpx.Response:
    return client.request(operation.method, path, json=BODIES.get(operation.id), headers=headers)


def test_operations_that_change_one_object_take_if_match() -> None:
    assert {operation.id for operation in CONDITIONAL} >= {*BODIES, "delete_lead", "delete_agent", "revoke_api_key"}


@pytest.mark.parametrize("operation", WITH_ETAG, ids=by_id)
def test_one_object_is_answered_with_a_strong_etag_that_lasts(
    client: ContractClient, make: Callable[[str], str], operation: Operation
) -> None:
    path = make(made_by(operation))

    tags = [client.get(path).headers["ETag"] for _ in range(2)]

    assert tags[0] == tags[1]
    assert tags[0].startswith('"')


@pytest.mark.parametrize("operation", [each for each in CONDITIONAL if "{" in each.path], ids=by_id)
def test_missing_object_is_404_whatever_the_tag(client: ContractClient, operation: Operation) -> None:
    nobodys = "999" if operation.path.startswith("/api/leads") else "f" * 24
    path = re.sub(r"\{\w+\}", nobodys, operation.path.replace("{channel}", "whatsapp"))

    statuses = [call(client, operation, path, **{"If-Match": tag}).status_code for tag in ("*", STALE)]

    assert statuses == [404, 404]


@pytest.mark.parametrize("operation", CONDITIONAL, ids=by_id)
class TestEveryConditionalWrite:
    def test_tag_that_does_not_match_is_412_and_changes_nothing(
        self, client: ContractClient, operation: Operation, made: tuple[str, str]
    ) -> None:
        path, target = made
        before = client.get(path)

        for tags in (STALE, f'{STALE}, "other"', '"', "unquoted", f"W/{before.headers['ETag']}"):
            answer = call(client, operation, target, **{"If-Match": tags})
            assert (tags, answer.status_code, answer.json()["code"]) == (tags, 412, "precondition_failed")

        assert client.get(path).content == before.content

    def test_right_tag_lets_the_write_through(
        self, client: ContractClient, operation: Operation, made: tuple[str, str]
    ) -> None:
        path, target = made
        tag = client.get(path).headers["ETag"]

        assert call(client, operation, target, **{"If-Match": tag}).status_code == 200

    def test_tag_is_stale_once_the_object_has_changed(
        self, client: ContractClient, operation: Operation, made: tuple[str, str]
    ) -> None:
        path, target = made
        tag = client.get(path).headers["ETag"]
        call(client, operation, target, **{"If-Match": tag})

        again = call(client, operation, target, **{"If-Match": tag})

        changed = client.get(path).headers.get("ETag") != tag
        assert again.status_code == ({404} if operation.method == "delete" else {412} if changed else {200}).pop()


@pytest.mark.parametrize("form", ["*", f"{STALE}, {{}}", f"{{}} ,{STALE}"], ids=["any", "last", "first"])
def test_right_tag_may_stand_among_others(client: ContractClient, form: str) -> None:
    made = client.post("/api/leads", json={"phone": "+12025550101"})
    tags = form.format(client.get(made.headers["Location"]).headers["ETag"])

    changed = client.patch(made.headers["Location"], json={"name": "Ada"}, headers={"If-Match": tags})

    assert changed.status_code == 200


def test_use_of_a_key_does_not_change_its_tag(party: Party, client: ContractClient) -> None:
    with party.client() as other:
        path = "/api/api-keys/" + other.get("/api/api-keys/current").json()["apiKey"]["_id"]
        tags = [client.get(path).headers["ETag"]]
        other.get("/api/leads")
        tags.append(client.get(path).headers["ETag"])

    assert tags[0] == tags[1]


def test_repetition_under_one_idempotency_key_is_not_stale(client: ContractClient) -> None:
    client.post("/api/leads", json={"phone": "+12025550101"})
    headers = {"If-Match": client.get("/api/leads/1").headers["ETag"], "Idempotency-Key": "once"}

    first, again = (client.patch("/api/leads/1", json={"name": "Changed"}, headers=headers) for _ in range(2))

    assert (first.status_code, again.content) == (200, first.content)


@pytest.mark.parametrize("round_", range(5))
@pytest.mark.parametrize("writers", [2, 8])
def test_one_of_many_writers_at_once_succeeds(client: ContractClient, writers: int, round_: int) -> None:
    client.post("/api/leads", json={"phone": "+12025550101"})
    tag = client.get("/api/leads/1").headers["ETag"]
    start = threading.Barrier(writers)

    def write(number: int) -> int:
        start.wait(30)
        body = {"customFields": {f"writer{number}": "here"}}
        return client.patch("/api/leads/1", json=body, headers={"If-Match": tag}).status_code

    with ThreadPoolExecutor(writers) as threads:
        statuses = sorted(threads.map(write, range(writers)))

    assert statuses == [200] + [412] * (writers - 1)
    assert len(client.get("/api/leads/1").json()["customFields"]) == 1


def test_change_between_check_and_write_is_seen(
    monkeypatch: pytest.MonkeyPatch, engine: str, serve: Callable[..., str], make_account: Callable[..., Party]
) -> None:
    """The other writer comes after the tag was compared: on SQLite it has to wait, on PostgreSQL ours begins again."""
    checked, go_on = threading.Event(), threading.Event()
    original = handlers.leads.get_lead
    attempts: list[int] = []

    def read(user: Any, id_: int) -> Any:
        found = original(user, id_)
        attempts.append(id_)
        if len(attempts) == 2:  # 1: the test reads the tag, 2: the conditional write compares it
            checked.set()
            if engine == "postgres":
                go_on.wait(30)
        return found

    monkeypatch.setattr(handlers.leads, "get_lead", read)
    with make_account(serve()).client() as client, ThreadPoolExecutor(2) as threads:
        client.post("/api/leads", json={"phone": "+12025550101"})
        tag = client.get("/api/leads/1").headers["ETag"]
        ours = threads.submit(client.patch, "/api/leads/1", json={"name": "Ours"}, headers={"If-Match": tag})
        checked.wait(30)
        theirs = threads.submit(client.patch, "/api/leads/1", json={"name": "Theirs"})
        theirs.add_done_callback(lambda _: go_on.set())

        assert ours.result().status_code == (412 if engine == "postgres" else 200)
        assert theirs.result().status_code == 200
        assert client.get("/api/leads/1").json()["name"] == "Theirs"
