"""The lead webhook over HTTP: a form has a token in its path instead of a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Party
from tests.support.contract_client import ContractClient


@pytest.fixture
def anonymous(party: Party) -> ContractClient:
    """A form: it has no key."""
    return ContractClient(party.base_url)


@pytest.fixture
def submit(anonymous: ContractClient, client: ContractClient) -> Any:
    """Sends a form with the token of the test environment, or another one."""
    own = client.get("/api/accounts/current").json()["webhookToken"]
    with anonymous:
        yield lambda token=own, **fields: anonymous.post(f"/api/webhooks/leads/{token}", json=fields)


@pytest.mark.parametrize("token", ["x", "whk_" + "a" * 43, "%FF", "nl_test_" + "0" * 64])
def test_unknown_token_is_401(submit: Callable[..., Any], token: str) -> None:
    answer = submit(token, phone="+12025550101")

    assert (answer.status_code, answer.json()["error"]) == (401, "Invalid webhook token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="newleaf"'


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "phone is required"),
        ({"name": "Ada"}, "phone is required"),
        ({"phone": "+12025550101", "tags": "website"}, "tags must be an array"),
        ({"phone": "+12025550101", "company": 7}, None),
        ({"phone": "+12025550101", "email": "nobody"}, None),
        ({"phone": "12"}, None),
    ],
    ids=["empty", "no phone", "tags no list", "number", "no email", "no number"],
)
def test_form_that_makes_no_lead_is_400(submit: Callable[..., Any], fields: Any, message: str | None) -> None:
    answer = submit(**fields)

    assert answer.status_code == 400
    assert message is None or answer.json()["error"] == message


def test_new_lead_has_defaults_and_custom_fields(submit: Callable[..., Any], client: ContractClient) -> None:
    answer = submit(phone="(202) 555-0101", company="Example GmbH", utm_source="spring")

    assert (answer.status_code, answer.json()) == (201, {"leadId": 1, "created": True})
    lead = client.get(answer.headers["Location"]).json()
    assert (lead["name"], lead["phone"], lead["source"]) == ("Unknown", "+12025550101", "webhook")
    assert lead["customFields"] == {"company": "Example GmbH", "utm_source": "spring"}


def test_known_phone_updates_its_lead_and_loses_nothing(submit: Callable[..., Any], client: ContractClient) -> None:
    submit(phone="+12025550101", name="Ada", tags=["website"], company="Example GmbH")

    answer = submit(phone="202-555-0101", email="ada@example.com", tags=["fair"])

    assert (answer.status_code, answer.json()) == (201, {"leadId": 1, "created": False})
    lead = client.get("/api/leads/1").json()
    assert (lead["name"], lead["email"], lead["tags"]) == ("Ada", "ada@example.com", ["website", "fair"])
    assert lead["customFields"] == {"company": "Example GmbH"}


def test_token_decides_between_live_and_test(party: Party, submit: Callable[..., Any], client: ContractClient) -> None:
    with party.client("live") as live:
        submit(live.get("/api/accounts/current").json()["webhookToken"], phone="+12025550101")
        in_live = live.get("/api/leads").json()

    assert [lead["phone"] for lead in in_live] == ["+12025550101"]
    assert client.get("/api/leads").json() == []


def test_rotated_token_works_and_the_old_one_does_not(submit: Callable[..., Any], client: ContractClient) -> None:
    new = client.post("/api/accounts/current/webhook-token/rotate").json()["webhookToken"]

    assert submit(phone="+12025550101").status_code == 401
    assert submit(new, phone="+12025550101").status_code == 201


def test_key_in_the_headers_changes_nothing(submit: Callable[..., Any], anonymous: ContractClient) -> None:
    anonymous.headers["X-API-Key"] = "wrong"

    assert submit(phone="+12025550101").status_code == 201
