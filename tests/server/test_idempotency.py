"""Idempotency keys: one effect and one answer, whatever is repeated, at once or after a crash."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

import handlers.conversations
import handlers.leads
from server import execution
from storage import clock, database, idempotency
from tests.conftest import Party
from tests.support.contract_client import ContractClient

API_KEY = {"name": "CRM", "scopes": ["leads:view"], "environment": "test"}
LEAD = {"phone": "+12025550101", "name": "Ada Example"}


def create_lead(client: httpx.Client, key: str | None = "once", body: Any = None, **headers: str) -> httpx.Response:
    sent = headers if key is None else {"Idempotency-Key": key, **headers}
    return client.post("/api/leads", json=LEAD if body is None else body, headers=sent)


def count(client: ContractClient) -> int:
    return int(client.get("/api/leads").headers["X-Total-Count"])


class TestReplay:
    def test_repetition_is_answered_as_the_first_was(self, client: ContractClient) -> None:
        first, again = create_lead(client), create_lead(client)

        assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert count(client) == 1

    def test_only_the_repetition_says_that_it_is_one(self, client: ContractClient) -> None:
        first, again = create_lead(client), create_lead(client)

        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]

    def test_answer_stays_what_it_was_though_the_object_changed(self, client: ContractClient) -> None:
        first = create_lead(client)
        client.patch("/api/leads/1", json={"name": "Changed"})

        assert create_lead(client).content == first.content

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/api/leads/1", {"name": "Other"}),
            ("DELETE", "/api/leads/1", None),
            ("POST", "/api/leads/sync", {"leads": [{"lead_id": "crm-1", "phone": "+12025550102"}]}),
            ("DELETE", "/api/leads/sync", {"lead_ids": ["crm-1"]}),
            ("POST", "/api/agent-config", {}),
            ("POST", "/api/leads/preview", {"filters": {"conditions": []}}),
            ("POST", "/api/accounts/current/webhook-token/rotate", None),
        ],
    )
    def test_every_write_can_be_repeated(self, client: ContractClient, method: str, path: str, body: Any) -> None:
        create_lead(client, None)

        first, again = (client.request(method, path, json=body, headers={"Idempotency-Key": "once"}) for _ in range(2))

        assert first.is_success
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"

    def test_bare_and_quoted_key_are_one(self, client: ContractClient) -> None:
        first, again = create_lead(client, "once"), create_lead(client, '"once"')

        assert again.content == first.content

    def test_other_key_is_another_request(self, client: ContractClient) -> None:
        create_lead(client, "one")

        assert create_lead(client, "two").status_code == 409

    def test_keys_of_two_environments_do_not_meet(self, party: Party, client: ContractClient) -> None:
        create_lead(client)

        with party.client("live") as live:
            answer = create_lead(live)

        assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (201, False)

    def test_whitespace_makes_another_body(self, client: ContractClient) -> None:
        create_lead(client)
        spaced = json.dumps(LEAD, indent=2).encode()

        answer = client.post("/api/leads", content=spaced, headers={"Idempotency-Key": "once"})

        assert answer.status_code == 422

    def test_multipart_sent_again_under_another_boundary_is_the_same(self, client: ContractClient) -> None:
        table = {"file": ("leads.csv", b"Mobile\n+12025550101\n", "text/csv")}

        first, again = (
            client.post("/api/leads/upload/preview", files=table, headers={"Idempotency-Key": "once"}) for _ in range(2)
        )

        assert first.status_code == 200
        assert first.request.headers["Content-Type"] != again.request.headers["Content-Type"]
        assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/api/leads", {**LEAD, "name": "Other"}),
            ("POST", "/api/leads/preview", {"filters": {"conditions": []}}),
            ("DELETE", "/api/leads/1", None),
        ],
        ids=["other body", "other route", "other method"],
    )
    def test_key_of_another_request_is_422(self, client: ContractClient, method: str, path: str, body: Any) -> None:
        create_lead(client)

        answer = client.request(method, path, json=body, headers={"Idempotency-Key": "once"})

        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
        assert count(client) == 1

    def test_same_body_to_another_object_is_422(self, client: ContractClient) -> None:
        for phone in ("+12025550101", "+12025550102"):
            create_lead(client, None, {"phone": phone})

        statuses = [
            client.patch(f"/api/leads/{number}", json={"name": "A"}, headers={"Idempotency-Key": "once"}).status_code
            for number in (1, 2)
        ]

        assert statuses == [200, 422]

    def test_other_api_key_of_the_account_learns_that_it_was_done_but_not_the_answer(
        self, party: Party, client: ContractClient
    ) -> None:
        create_lead(client)

        with party.client() as other:
            answer = create_lead(other)

        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_other_key")
        assert "Ada" not in answer.text

    def test_refused_request_leaves_its_key_free(self, client: ContractClient) -> None:
        create_lead(client, "first")

        refused = create_lead(client, "second")
        client.delete("/api/leads/1")
        again = create_lead(client, "second")

        assert (refused.status_code, again.status_code) == (409, 201)

    def test_missing_scope_comes_before_a_replay(self, party: Party, client: ContractClient) -> None:
        create_lead(client)

        with party.client(scopes=["leads:view"]) as reader:
            assert create_lead(reader).status_code == 403

    def test_key_on_a_read_means_nothing(self, client: ContractClient) -> None:
        first = client.get("/api/leads", headers={"Idempotency-Key": "once"})
        create_lead(client, None)

        assert len(client.get("/api/leads", headers={"Idempotency-Key": "once"}).json()) == 1
        assert first.json() == []


class TestSecrets:
    def test_new_key_is_shown_again_though_the_database_has_it_nowhere(self, client: ContractClient) -> None:
        shown = [
            client.post("/api/api-keys", json=API_KEY, headers={"Idempotency-Key": "once"}).json()["fullKey"]
            for _ in range(2)
        ]

        assert shown[0] == shown[1]
        assert [table for table, rows in everything_stored() if shown[0].encode() in rows] == []

    def test_stored_answers_are_sealed(self, client: ContractClient) -> None:
        create_lead(client, "sealed-once", {**LEAD, "name": "Sealed Example"})

        [(_, stored)] = [each for each in everything_stored() if each[0] == "idempotency_record"]
        assert b"sealed-once" in stored
        assert b"Sealed Example" not in stored

    def test_revoked_key_gets_no_answer_repeated(self, party: Party, client: ContractClient) -> None:
        with party.client() as other:
            create_lead(other)
            other_id = other.get("/api/api-keys/current").json()["apiKey"]["_id"]
            client.patch(f"/api/api-keys/{other_id}/revoke")

            assert create_lead(other).status_code == 401


def everything_stored() -> Iterator[tuple[str, bytes]]:
    """Each table's rows, as bytes to search in."""
    with database.connection():
        for table in set(database.database.get_tables()) - {"lead_text"}:  # an index without the text
            rows = database.database.execute_sql(f'SELECT * FROM "{table}"').fetchall()
            yield (
                table,
                b"\n".join(
                    bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()
                    for row in rows
                    for cell in row
                ),
            )


class TestWebhook:
    @pytest.fixture
    def path(self, client: ContractClient) -> str:
        return "/api/webhooks/leads/" + client.get("/api/accounts/current").json()["webhookToken"]

    def test_form_sent_again_is_answered_as_the_first_was(self, anonymous: ContractClient, path: str) -> None:
        first, again = (anonymous.post(path, json=LEAD, headers={"Idempotency-Key": "once"}) for _ in range(2))

        assert first.json() == again.json() == {"leadId": 1, "created": True}
        assert again.headers["Idempotent-Replayed"] == "true"

    def test_keys_of_two_tokens_do_not_meet(self, make_party: Callable[..., Party], anonymous: ContractClient) -> None:
        for name in ("One", "Two"):
            with make_party(name).client() as client:
                token = client.get("/api/accounts/current").json()["webhookToken"]

            answer = anonymous.post(f"/api/webhooks/leads/{token}", json=LEAD, headers={"Idempotency-Key": "once"})

            assert "Idempotent-Replayed" not in answer.headers

    def test_unknown_token_is_401_and_remembered_for_nobody(self, anonymous: ContractClient) -> None:
        statuses = [
            anonymous.post("/api/webhooks/leads/whk_x", json=LEAD, headers={"Idempotency-Key": "once"}).status_code
            for _ in range(2)
        ]

        assert statuses == [401, 401]


class TestAtOnce:
    def test_one_of_many_at_once_has_the_effect(self, client: ContractClient) -> None:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: create_lead(client), range(16)))

        assert {answer.status_code for answer in answers} <= {201, 409}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_flight"}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        assert count(client) == 1
        assert create_lead(client).headers["Idempotent-Replayed"] == "true"

    def test_request_in_flight_is_409_to_a_second_sending(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        entered, leave = threading.Event(), threading.Event()

        @functools.wraps(handlers.leads.create_lead)
        def slow(**arguments: Any) -> Any:
            entered.set()
            leave.wait(30)
            return original(**arguments)

        original = handlers.leads.create_lead
        monkeypatch.setattr(handlers.leads, "create_lead", slow)
        with make_account(serve()).client() as client, ThreadPoolExecutor(1) as thread:
            first = thread.submit(create_lead, client)
            entered.wait(30)
            second = create_lead(client)
            leave.set()

            assert first.result().status_code == 201
            assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
            assert create_lead(client).content == first.result().content

    def test_processes_with_one_database_have_one_effect(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        monkeypatch.setattr(execution, "_claim", lambda *_: contextlib.nullcontext())  # what one process knows alone
        bases = [serve(), serve()]
        key = make_account(bases[0]).key()
        clients = [ContractClient(base, key) for base in bases]

        with clients[0], clients[1], ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda number: create_lead(clients[number % 2]), range(12)))

            assert {answer.status_code for answer in answers} <= {201, 409}
            assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
            assert count(clients[0]) == 1


class TestCrash:
    def test_crash_in_the_handler_leaves_no_effect_and_no_record(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        original = handlers.leads.create_lead
        crashes = iter([True])

        @functools.wraps(original)
        def fragile(**arguments: Any) -> Any:
            answer = original(**arguments)
            if next(crashes, False):
                raise RuntimeError("after the effect, before the end")
            return answer

        monkeypatch.setattr(handlers.leads, "create_lead", fragile)
        with make_account(serve()).client() as client:
            crashed, after, retried = create_lead(client), count(client), create_lead(client)

        assert (crashed.status_code, after, retried.status_code) == (500, 0, 201)
        assert "Idempotent-Replayed" not in retried.headers

    def test_effect_that_cannot_be_remembered_does_not_happen(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError("the disk is full")

        with make_account(serve()).client() as client:
            with monkeypatch.context() as broken:
                broken.setattr(idempotency, "complete", full)
                failed = create_lead(client)
            after, retried = count(client), create_lead(client)

        assert (failed.status_code, after, retried.status_code) == (500, 0, 201)

    def test_answer_that_was_being_completed_is_repeated_as_it_was_promised(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        def dead(*_: Any) -> None:
            raise RuntimeError("while the agent took its turn")

        with make_account(serve()).client() as client:
            create_lead(client, None)
            template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
            client.post("/api/agent-config", json=template)
            opening = {"json": {"leadId": 1, "channel": "sms"}, "headers": {"Idempotency-Key": "once"}}
            with monkeypatch.context() as broken:
                broken.setattr(handlers.conversations.worker, "settle", dead)
                crashed = client.post("/api/conversations/start", **opening)
            again = client.post("/api/conversations/start", **opening)

        assert (crashed.status_code, again.status_code) == (500, 201)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json()["messages"] == []


class TestExpiry:
    def test_key_is_free_again_after_a_day(
        self, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str], make_account: Callable[..., Party]
    ) -> None:
        real = clock.now

        def at(offset: timedelta) -> httpx.Response:
            monkeypatch.setattr(clock, "now", lambda: real() + offset)
            return create_lead(client, body={"phone": "+12025550102"})

        with make_account(serve()).client() as client:
            create_lead(client, body={"phone": "+12025550102"})
            within, after = at(timedelta(hours=23, minutes=59)), at(timedelta(hours=24, minutes=1))

        assert (within.status_code, within.headers["Idempotent-Replayed"]) == (201, "true")
        assert (after.status_code, after.json()["code"]) == (409, "duplicate_phone")

    def test_purge_takes_what_is_no_longer_kept(self, database: Any) -> None:
        def record(key: str, age: timedelta) -> None:
            idempotency.complete("tenant:1", key, "hash", idempotency.Stored(200, {}, b"{}"))
            moment = clock.iso(clock.now() - age)
            idempotency.IdempotencyRecord.update(created_at=moment).where(
                idempotency.IdempotencyRecord.key == key
            ).execute()

        record("old", timedelta(hours=24, minutes=1))
        record("young", timedelta(hours=23))

        assert idempotency.purge() == 1
        assert idempotency.replay("tenant:1", "young", "hash") is not None
