"""Integrations over HTTP: configured, shown without their secrets, tried, changed and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from storage import database, integrations
from storage.audit import AuditEntry
from tests.conftest import Party
from tests.support.contract_client import ContractClient

PATH = "/api/integrations"
BODIES: dict[str, dict[str, Any]] = {
    "whatsapp": {
        "wabaId": "102290129340398",
        "phoneNumberId": "106540352242922",
        "accessToken": "EAAG-access-token-of-a-test-kZDX",
        "appSecret": "app-secret-of-a-test-9f2c",
        "verifyToken": "verify-token-of-a-test-ple1",
        "defaultTemplate": {"name": "first_contact", "language": "es"},
    },
    "telegram": {"botToken": "110201543:bot-token-of-a-test-QbXw"},
    "email": {
        "fromAddress": "Hello@Example.com",
        "fromName": "Example Trading",
        "inboundDomain": "Reply.example.com",
        "apiKey": "re_key_of_a_test_7Qpd",
        "signingSecret": "whsec_c2lnbmluZyBzZWNyZXQgb2YgYSB0ZXN0",
    },
    "sms": {"accountSid": f"AC{'0' * 31}1", "from": "+12025550150", "authToken": "auth-token-of-a-test-5e3a"},
}
SECRETS = ("accessToken", "appSecret", "verifyToken", "botToken", "apiKey", "signingSecret", "authToken")


@pytest.fixture
def whatsapp(client: ContractClient) -> dict[str, Any]:
    """A WhatsApp integration of the test environment."""
    return dict(client.put(f"{PATH}/whatsapp", json=BODIES["whatsapp"]).json())


def with_secrets_hidden(body: dict[str, Any]) -> dict[str, Any]:
    return {name: f"…{value[-4:]}" if name in SECRETS else value for name, value in body.items()}


class TestConfigure:
    @pytest.mark.parametrize("channel", BODIES)
    def test_new_integration_is_shown_without_its_secrets(
        self, party: Party, client: ContractClient, channel: str
    ) -> None:
        answer = client.put(f"{PATH}/{channel}", json=BODIES[channel])

        shown = answer.json()
        assert (answer.status_code, answer.headers["Location"]) == (201, f"{PATH}/{channel}")
        assert {name: shown[name] for name in BODIES[channel]} == with_secrets_hidden(BODIES[channel])
        assert (shown["channel"], shown["environment"], shown["accountId"]) == (channel, "test", party.account_id)
        assert client.get(f"{PATH}/{channel}").json() | {"health": {}} == shown | {"health": {}}

    def test_repeated_configuration_replaces_the_integration_under_the_same_id(
        self, client: ContractClient, whatsapp: dict[str, Any]
    ) -> None:
        body = {"wabaId": "1", "phoneNumberId": "2", "accessToken": "EAAG-another-token-mQ3R"}

        answer = client.put(f"{PATH}/whatsapp", json={"channel": "whatsapp", **body})

        replaced = answer.json()
        assert (answer.status_code, replaced["_id"], replaced["accessToken"]) == (200, whatsapp["_id"], "…mQ3R")
        assert {"appSecret", "verifyToken", "defaultTemplate"} & replaced.keys() == set()

    @pytest.mark.parametrize(
        ("channel", "change", "where"),
        [
            ("whatsapp", {"accessToken": None}, "/accessToken"),
            ("whatsapp", {"accessToken": "…kZDX"}, "/accessToken"),
            ("whatsapp", {"accessToken": "short"}, "/accessToken"),
            ("whatsapp", {"phoneNumberId": "../me"}, "/phoneNumberId"),
            ("whatsapp", {"defaultTemplate": {"name": "first_contact"}}, "/defaultTemplate/language"),
            ("telegram", {"botToken": "110201543:token/with-a-path"}, "/botToken"),
            ("email", {"fromAddress": "nobody"}, "/fromAddress"),
            ("email", {"fromName": "Example\r\nBcc: ada@example.com"}, "/fromName"),
            ("email", {"signingSecret": "not-of-that-form"}, "/signingSecret"),
            ("sms", {"accountSid": "AC1"}, "/accountSid"),
            ("sms", {"baseUrl": "https://example.com"}, "/baseUrl"),
        ],
        ids=str,
    )
    def test_bad_member_is_400(self, client: ContractClient, channel: str, change: Any, where: str) -> None:
        answer = client.put(f"{PATH}/{channel}", json={**BODIES[channel], **change})

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, where)

    @pytest.mark.parametrize(
        ("channel", "body", "where"),
        [
            ("telegram", BODIES["email"], "/fromAddress"),
            ("sms", {"channel": "telegram", **BODIES["telegram"]}, "/channel"),
        ],
        ids=["members", "channel"],
    )
    def test_body_of_another_channel_is_422(
        self, client: ContractClient, channel: str, body: dict[str, Any], where: str
    ) -> None:
        answer = client.put(f"{PATH}/{channel}", json=body)

        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_channel")
        assert answer.json()["errors"][0]["path"] == where

    def test_sms_without_a_sender_is_422(self, client: ContractClient) -> None:
        answer = client.put(f"{PATH}/sms", json={**BODIES["sms"], "from": None} | {"from": "x"})
        body = {name: value for name, value in BODIES["sms"].items() if name != "from"}

        refused = client.put(f"{PATH}/sms", json=body)

        assert answer.status_code == 201
        assert (refused.status_code, refused.json()["code"]) == (422, "integration_incomplete")

    def test_unknown_channel_is_400(self, client: ContractClient) -> None:
        assert client.put(f"{PATH}/pigeon", json=BODIES["sms"]).status_code == 400

    def test_repeated_request_is_replayed_without_secrets(self, client: ContractClient) -> None:
        answers = [
            client.put(f"{PATH}/whatsapp", json=BODIES["whatsapp"], headers={"Idempotency-Key": "once"})
            for _ in range(2)
        ]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[1].headers["Idempotent-Replayed"] == "true"


class TestRead:
    def test_environment_has_integrations_of_its_own(
        self, party: Party, client: ContractClient, whatsapp: dict[str, Any]
    ) -> None:
        with party.client("live") as live:
            answers = live.get(f"{PATH}/whatsapp"), live.get(PATH)

        assert answers[0].json()["code"] == "integration_not_found"
        assert answers[1].json() == []

    def test_list_has_every_channel_that_is_configured(self, client: ContractClient) -> None:
        for channel in ("whatsapp", "email"):
            client.put(f"{PATH}/{channel}", json=BODIES[channel])

        assert [each["channel"] for each in client.get(PATH).json()] == ["email", "whatsapp"]

    def test_viewer_reads_and_changes_nothing(self, party: Party, whatsapp: dict[str, Any]) -> None:
        with party.client(scopes=["integrations:view"]) as viewer:
            statuses = [
                viewer.get(f"{PATH}/whatsapp").status_code,
                viewer.get(f"{PATH}/whatsapp/health").status_code,
                viewer.post(f"{PATH}/whatsapp/test").status_code,
                viewer.patch(f"{PATH}/whatsapp", json={"wabaId": "3"}).status_code,
                viewer.delete(f"{PATH}/whatsapp").status_code,
            ]

        assert statuses == [200, 200, 403, 403, 403]


class TestUpdate:
    def test_named_members_change_and_null_removes_one(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        change = {"phoneNumberId": "7", "appSecret": "another-app-secret-1a2b", "defaultTemplate": None}

        changed = client.patch(f"{PATH}/whatsapp", json=change).json()

        assert (changed["phoneNumberId"], changed["appSecret"], changed["wabaId"]) == ("7", "…1a2b", whatsapp["wabaId"])
        assert (changed["accessToken"], changed["verifyToken"]) == (whatsapp["accessToken"], whatsapp["verifyToken"])
        assert "defaultTemplate" not in changed

    def test_secret_that_stays_is_the_same_as_before(
        self, party: Party, client: ContractClient, whatsapp: dict[str, Any], secret_key: str
    ) -> None:
        client.patch(f"{PATH}/whatsapp", json={"wabaId": "3"})

        from engine.integrations import credentials

        with database.connection():
            known = credentials(party.tenant(), "whatsapp")
        assert known is not None
        assert known.secrets == {name: BODIES["whatsapp"][name] for name in SECRETS[:3]}

    def test_sender_cannot_be_taken_from_sms(self, client: ContractClient) -> None:
        client.put(f"{PATH}/sms", json=BODIES["sms"])

        assert client.patch(f"{PATH}/sms", json={"from": None}).json()["code"] == "integration_incomplete"

    def test_member_of_another_channel_is_422(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        assert client.patch(f"{PATH}/whatsapp", json={"fromName": "Ada"}).json()["code"] == "wrong_channel"

    def test_integration_that_is_not_there_is_404(self, client: ContractClient) -> None:
        assert client.patch(f"{PATH}/email", json={"fromName": "Ada"}).status_code == 404

    def test_stale_change_is_412(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        tag = client.get(f"{PATH}/whatsapp").headers["ETag"]

        answers = [
            client.patch(f"{PATH}/whatsapp", json={"wabaId": waba}, headers={"If-Match": tag}) for waba in ("3", "4")
        ]

        assert [answer.status_code for answer in answers] == [200, 412]

    def test_health_makes_no_change_stale(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        tag = client.get(f"{PATH}/whatsapp").headers["ETag"]

        client.post(f"{PATH}/whatsapp/test")

        assert client.get(f"{PATH}/whatsapp").headers["ETag"] == tag


class TestDelete:
    def test_deleted_integration_is_gone_with_its_secrets(
        self, party: Party, client: ContractClient, whatsapp: dict[str, Any]
    ) -> None:
        assert client.delete(f"{PATH}/whatsapp").json() == {"success": True}

        assert client.get(f"{PATH}/whatsapp").status_code == client.delete(f"{PATH}/whatsapp").status_code == 404
        with database.connection():
            assert integrations.by_oid(whatsapp["_id"]) is None


class TestHealth:
    def test_sandbox_answers_in_the_test_environment(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        tested = client.post(f"{PATH}/whatsapp/test").json()

        assert tested["state"] == "healthy"
        assert "test environment" in tested["detail"]
        assert client.get(f"{PATH}/whatsapp/health").json()["checkedAt"] >= tested["checkedAt"]

    def test_channel_without_an_integration_is_404(self, client: ContractClient) -> None:
        answers = client.post(f"{PATH}/sms/test"), client.get(f"{PATH}/sms/health")

        assert [answer.status_code for answer in answers] == [404, 404]


class TestTemplates:
    def test_there_are_none_before_they_are_fetched(self, client: ContractClient, whatsapp: dict[str, Any]) -> None:
        assert client.get(f"{PATH}/whatsapp/templates").json() == {"templates": []}

    def test_test_environment_has_the_default_one_approved(
        self, client: ContractClient, whatsapp: dict[str, Any]
    ) -> None:
        synced = client.post(f"{PATH}/whatsapp/templates/sync").json()

        [template] = synced["templates"]
        assert (template["name"], template["language"], template["status"]) == ("first_contact", "es", "APPROVED")
        assert template["parameters"] == ["1"]
        assert client.get(f"{PATH}/whatsapp/templates").json() == synced
        assert client.get(f"{PATH}/whatsapp/templates", params={"status": "PAUSED"}).json()["templates"] == []

    def test_without_an_integration_they_are_404(self, client: ContractClient) -> None:
        answers = client.get(f"{PATH}/whatsapp/templates"), client.post(f"{PATH}/whatsapp/templates/sync")

        assert [answer.status_code for answer in answers] == [404, 404]


def test_secrets_are_nowhere_in_the_database_in_the_clear(party: Party, client: ContractClient) -> None:
    for channel, body in BODIES.items():
        client.put(f"{PATH}/{channel}", json=body, headers={"Idempotency-Key": channel})
        client.post(f"{PATH}/{channel}/test")
        again = {name: value for name, value in body.items() if name in SECRETS}
        assert client.patch(f"{PATH}/{channel}", json=again).status_code == 200

    with database.connection():
        stored = "\n".join(_everything())
    for body in BODIES.values():
        for name in body.keys() & set(SECRETS):
            assert body[name] not in stored
    assert BODIES["whatsapp"]["phoneNumberId"] in stored  # it was the right database


def _everything() -> list[str]:
    tables = [table for table in database.database.get_tables() if not table.startswith("lead_text")]
    return [repr(row) for table in tables for row in database.database.execute_sql(f'SELECT * FROM "{table}"')]


def test_every_change_is_audited_by_names_alone(party: Party, client: ContractClient) -> None:
    client.put(f"{PATH}/email", json=BODIES["email"])
    client.patch(f"{PATH}/email", json={"apiKey": "re_another_key_of_a_test", "fromName": None})
    client.post(f"{PATH}/email/test")
    client.delete(f"{PATH}/email")

    with database.connection():
        entries = [entry for entry in AuditEntry.of(party.account_id) if entry.actor_type != "system"]
    told = [(entry.action, entry.metadata.get("members")) for entry in entries if "integration" in entry.action]
    assert sorted(told, key=str) == [
        ("integration.created", ["apiKey", "fromAddress", "fromName", "inboundDomain", "signingSecret"]),
        ("integration.deleted", None),
        ("integration.tested", None),
        ("integration.updated", ["apiKey", "fromName"]),
    ]
