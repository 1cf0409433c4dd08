"""Whose webhook it is and whether it is believed, where HTTP cannot easily look."""

from __future__ import annotations

import json

import pytest

from engine import integrations, vault
from engine.channels import Request
from engine.channels.whatsapp import signature
from engine.inbound import webhooks
from engine.integrations import changes
from storage import database
from storage.errors import Unavailable
from storage.inbox import InboundEvent

NUMBER, WABA = "106540352242922", "102290129340398"


@pytest.fixture(autouse=True)
def server(tenant, secret_key):
    """A server with nothing of its own."""
    integrations.configure()
    yield
    integrations.configure()


@pytest.fixture
def configure(live_tenant, actor):
    """Gives a tenant a WhatsApp integration."""

    def make(owner=live_tenant, *, app_secret="app-secret-of-a-test", number=NUMBER):
        body = {"wabaId": WABA, "phoneNumberId": number, "accessToken": "EAAG-access-token-of-a-test"}
        with database.transaction():
            changes.configure(owner, "whatsapp", body | ({"appSecret": app_secret} if app_secret else {}), actor=actor)

    return make


def said(*, secret=None, number=NUMBER, entries=1):
    """A text to this number, signed if there is a secret."""
    message = {"id": "wamid.1", "from": "12025550142", "type": "text", "text": {"body": "Hi"}}
    value = {"metadata": {"phone_number_id": number}, "messages": [message]}
    change = {"field": "messages", "value": value}
    return request({"entry": [{"id": WABA, "changes": [change]}] * entries}, secret)


def request(payload, secret=None):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {} if secret is None else {"x-hub-signature-256": signature(secret, body)}
    return Request(body, headers)


class TestServersOwnApp:
    """One Meta app for all accounts of the server, as the deployment's settings say."""

    @pytest.fixture(autouse=True)
    def app(self):
        integrations.configure(app_secret="the-servers-app-secret")

    def test_account_without_a_secret_of_its_own_is_served(self, live_tenant, configure):
        configure(app_secret=None)

        assert webhooks.of_whatsapp(said(secret="the-servers-app-secret")) == "ok"
        assert InboundEvent.of(live_tenant).count() == 1

    def test_number_of_nobody_is_ignored(self):
        assert webhooks.of_whatsapp(said(secret="the-servers-app-secret")) == "ignored"

    def test_body_that_cannot_be_read_is_an_error(self):
        assert webhooks.of_whatsapp(request(b"{", "the-servers-app-secret")) == "error"

    def test_anybody_elses_is_not_believed(self):
        assert webhooks.of_whatsapp(request(b"{", "another-secret")) == "signature_invalid"


class TestUnsigned:
    def test_without_a_secret_anywhere_nothing_is_believed(self, live_tenant, configure):
        configure(app_secret=None)

        assert webhooks.of_whatsapp(said()) == "signature_invalid"
        assert InboundEvent.of(live_tenant).count() == 0

    def test_development_may_say_otherwise(self, configure):
        integrations.configure(allows_unsigned=True)
        configure(app_secret=None)

        assert webhooks.of_whatsapp(said()) == "ok"

    def test_a_secret_is_asked_for_in_development_too(self, configure):
        integrations.configure(allows_unsigned=True)
        configure()

        assert webhooks.of_whatsapp(said()) == "signature_invalid"


def test_one_who_claims_a_number_of_others_gets_what_its_own_app_signs_only(live_tenant, other_tenant, configure):
    configure(other_tenant, app_secret="mallorys-app-secret")
    configure()

    assert webhooks.of_whatsapp(said(secret="app-secret-of-a-test")) == "ok"
    assert (InboundEvent.of(live_tenant).count(), InboundEvent.of(other_tenant).count()) == (1, 0)


def test_secrets_that_cannot_be_opened_have_the_provider_come_again(live_tenant, configure):
    configure()
    vault.configure("another key that opens nothing of what was sealed before")

    with pytest.raises(Unavailable):
        webhooks.of_whatsapp(said(secret="app-secret-of-a-test"))


def test_secrets_of_another_account_that_cannot_be_opened_are_in_nobodys_way(
    live_tenant, other_tenant, configure, secret_key
):
    vault.configure("another key that opens nothing of what was sealed before")
    configure(other_tenant)
    vault.configure(secret_key)
    configure()

    assert webhooks.of_whatsapp(said(secret="app-secret-of-a-test")) == "ok"


def test_what_cannot_be_stored_is_not_acknowledged(configure, monkeypatch):
    def broken(_):
        raise OSError("the disk is full")

    configure()
    monkeypatch.setattr(webhooks, "accept_all", broken)

    with pytest.raises(OSError, match="full"):
        webhooks.of_whatsapp(said(secret="app-secret-of-a-test"))


def test_body_that_names_thousands_of_others_is_looked_up_only_so_far(monkeypatch):
    asked = []
    monkeypatch.setattr(webhooks.rows, "candidates", lambda channel, address: asked.append(address) or [])
    changes_ = [
        {"field": "messages", "value": {"metadata": {"phone_number_id": f"{n}"}, "messages": [{"id": f"m{n}"}]}}
        for n in range(5000)
    ]

    assert webhooks.of_whatsapp(request({"entry": [{"id": "1", "changes": changes_}]}, "x")) == "signature_invalid"
    assert len(asked) == 100
