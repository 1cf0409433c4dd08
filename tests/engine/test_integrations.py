"""Integrations at work: tried by a job once they are saved, opened for their channel, and for nobody else's webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine import channels, integrations, vault
from engine.channels import Endpoints, Health
from engine.integrations import changes, setup, templates
from engine.jobs import worker
from storage import accounts
from storage import integrations as rows
from storage.audit import AuditEntry
from storage.errors import Blocked
from storage.integrations import Integration, IntegrationAddress
from storage.outbox import OutboxRow
from storage.tenancy import Actor, Tenant
from tests.conftest import NO_PROVIDER, SECRET_KEY
from tests.support.providers import telegram, whatsapp
from tests.support.providers.telegram import TelegramServer
from tests.support.providers.whatsapp import WhatsAppServer

pytestmark = pytest.mark.usefixtures("bell", "secret_key", "shared_secret")

SHARED = "the-app-secret-that-all-share"
URL = "https://leads.example.com"
WHATSAPP = {"wabaId": whatsapp.WABA_ID, "phoneNumberId": whatsapp.NUMBER_ID, "accessToken": whatsapp.TOKEN}
OTHER_KEY = "another key of the tests and long enough to be one"


@pytest.fixture
def shared_secret() -> Iterator[None]:
    """The server has an app secret and a verify token for those without their own."""
    integrations.configure(app_secret=SHARED, verify_token="the-token-that-all-share")
    yield
    integrations.configure()


@pytest.fixture
def bot() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server


@pytest.fixture
def meta() -> Iterator[WhatsAppServer]:
    with WhatsAppServer() as server:
        yield server


@pytest.fixture
def reach() -> Iterator[Callable[..., None]]:
    """Says where providers are; those that are not named are nowhere."""

    def at(**endpoints: Any) -> None:
        nowhere = dict.fromkeys(("whatsapp", "telegram", "email", "sms"), NO_PROVIDER)
        channels.configure(Endpoints(**{**nowhere, "public_url": URL, **endpoints}))

    at()
    yield at
    channels.configure(Endpoints())


@pytest.fixture
def configure(live_tenant: Tenant, actor: Actor) -> Callable[..., Integration]:
    """Saves an integration of the live environment, and does what follows from that."""

    def save(channel: str, body: dict[str, Any], owner: Tenant = live_tenant, *, then: bool = True) -> Integration:
        integration, _ = changes.configure(owner, channel, body, actor=actor)
        if then:
            worker.work_lane(f"integration/{integration.oid}")
        return rows.get(owner, channel)

    return save


@pytest.fixture
def other_live(database: Any) -> Tenant:
    """The live environment of another account."""
    return accounts.tenant_row(accounts.create("Other").id, "live").tenant


class TestTelegram:
    def test_saved_bot_has_its_webhook_registered_with_our_secret(
        self, live_tenant: Tenant, bot: TelegramServer, reach: Any, configure: Any
    ) -> None:
        reach(telegram=bot.url)

        saved = configure("telegram", {"botToken": telegram.TOKEN})

        known = integrations.credentials(live_tenant, "telegram")
        assert known is not None
        assert bot.hook["url"] == f"{URL}/api/webhooks/telegram/{saved.oid}"
        assert bot.hook["secret_token"] == known.secrets["secretToken"]
        assert (saved.health, saved.facts["botUsername"]) == ("healthy", telegram.USERNAME)
        assert known.settings["botUsername"] == telegram.USERNAME

    def test_new_token_keeps_the_secret_and_a_new_configuration_does_not(
        self, live_tenant: Tenant, actor: Actor, reach: Any, configure: Any
    ) -> None:
        def secret() -> str:
            known = integrations.credentials(live_tenant, "telegram")
            assert known is not None
            return known.secrets["secretToken"]

        configure("telegram", {"botToken": telegram.TOKEN}, then=False)
        first = secret()
        changes.update(live_tenant, "telegram", {"botToken": "1:another-bot-token"}, actor=actor)
        second = secret()
        configure("telegram", {"botToken": telegram.TOKEN}, then=False)

        assert first == second != secret()

    def test_without_a_public_address_the_health_says_what_to_set(
        self, bot: TelegramServer, reach: Any, configure: Any
    ) -> None:
        reach(telegram=bot.url, public_url=None)

        saved = configure("telegram", {"botToken": telegram.TOKEN})

        assert (saved.health, bot.hook) == ("unhealthy", {})
        assert "NEWLEAF_PUBLIC_URL" in saved.health_detail

    def test_refused_token_is_told_and_not_tried_again(self, bot: TelegramServer, reach: Any, configure: Any) -> None:
        reach(telegram=bot.url)

        saved = configure("telegram", {"botToken": "1:not-the-token-of-it"})

        [row] = OutboxRow.select().where(OutboxRow.kind == "set_up_integration")
        assert (saved.health, row.state) == ("unhealthy", "done")

    def test_provider_that_is_away_is_tried_again_and_the_token_told_nowhere(
        self, bot: TelegramServer, reach: Any, configure: Any, advance: Any
    ) -> None:
        saved = configure("telegram", {"botToken": telegram.TOKEN})
        [row] = OutboxRow.select().where(OutboxRow.kind == "set_up_integration")
        first = (saved.health, row.state)

        reach(telegram=bot.url)
        advance(3600)
        worker.work_lane(f"integration/{saved.oid}")

        told = f"{saved.__data__} {row.__data__} {[entry.__data__ for entry in AuditEntry.of(_account(saved))]}"
        assert telegram.TOKEN not in told
        assert first == ("unhealthy", "pending")
        assert rows.by_oid(saved.oid).health == "healthy"

    def test_test_environment_asks_nobody(
        self, tenant: Tenant, bot: TelegramServer, reach: Any, configure: Any
    ) -> None:
        reach(telegram=bot.url)

        saved = configure("telegram", {"botToken": telegram.TOKEN}, tenant)

        assert (saved.health, bot.requests) == ("healthy", [])


def _account(integration: Integration) -> str:
    return accounts.tenant_by_id(integration.tenant_id).account_id


class TestHealth:
    def test_answer_about_what_it_was_before_is_dropped(self, live_tenant: Tenant, reach: Any, configure: Any) -> None:
        configure("whatsapp", WHATSAPP, then=False)
        configure("whatsapp", {**WHATSAPP, "wabaId": "7"}, then=False)
        rows.get(live_tenant, "whatsapp").store(updated_at="2026-01-01T00:00:00.000Z")  # changed once more

        while worker.work_next():
            pass

        assert rows.get(live_tenant, "whatsapp").health == "unknown"
        assert {row.state for row in OutboxRow.select()} == {"done"}

    def test_change_of_health_is_audited_once(self, live_tenant: Tenant, reach: Any, configure: Any) -> None:
        configure("whatsapp", WHATSAPP, then=False)

        for is_healthy in (True, True, False):
            integrations.note_health(live_tenant, "whatsapp", Health(is_healthy, "As it is"))

        told = [each.action for each in AuditEntry.of(live_tenant.account_id) if each.actor_type == "system"]
        assert told == ["integration.healthy", "integration.unhealthy"]

    def test_health_of_an_integration_that_is_gone_is_nothing(self, live_tenant: Tenant) -> None:
        integrations.note_health(live_tenant, "sms", Health(True, "Works"))

    def test_secrets_that_do_not_open_are_its_health(self, live_tenant: Tenant, reach: Any, configure: Any) -> None:
        configure("whatsapp", WHATSAPP, then=False)
        vault.configure(OTHER_KEY)

        checked = setup.check(live_tenant, "whatsapp")

        assert checked.health == "unhealthy"
        assert "NEWLEAF_SECRET_KEY" in checked.health_detail


class TestCredentials:
    def test_channel_gets_settings_and_secrets(self, live_tenant: Tenant, reach: Any, configure: Any) -> None:
        saved = configure("whatsapp", WHATSAPP, then=False)

        known = integrations.credentials(live_tenant, "whatsapp")

        assert known is not None
        assert (known.integration_id, known.settings["phoneNumberId"]) == (saved.oid, whatsapp.NUMBER_ID)
        assert known.secrets == {"accessToken": whatsapp.TOKEN}
        assert whatsapp.TOKEN not in repr(known)

    def test_environment_or_account_without_one_gets_none(
        self, tenant: Tenant, other_live: Tenant, reach: Any, configure: Any
    ) -> None:
        configure("whatsapp", WHATSAPP, then=False)

        assert integrations.credentials(tenant, "whatsapp") is integrations.credentials(other_live, "whatsapp") is None

    def test_row_moved_to_another_tenant_does_not_open(
        self, live_tenant: Tenant, other_live: Tenant, reach: Any, configure: Any
    ) -> None:
        configure("whatsapp", WHATSAPP, then=False).store(tenant_id=other_live.id)

        with pytest.raises(Blocked) as refused:
            integrations.credentials(other_live, "whatsapp")
        assert refused.value.code == "secrets_damaged"

    def test_without_a_key_nothing_is_saved(self, live_tenant: Tenant, configure: Any) -> None:
        vault.configure(None)

        with pytest.raises(Blocked) as refused:
            configure("whatsapp", WHATSAPP)

        assert refused.value.code == "secret_key_missing"
        assert rows.all_of(live_tenant) == []


class TestSharedAppSecret:
    def secrets_of(self, address: str) -> dict[str, str | None]:
        """The app secret that each claimant of a number is given, by its id."""
        found = rows.candidates("whatsapp", address)
        return {each.oid: integrations.opened(each)[1].secrets.get("appSecret") for each in found}

    def test_is_for_who_alone_claims_a_number(self, reach: Any, configure: Any) -> None:
        saved = configure("whatsapp", WHATSAPP)

        assert self.secrets_of(whatsapp.NUMBER_ID) == {saved.oid: SHARED}

    def test_is_for_who_has_proven_a_number_that_others_claim(
        self, other_live: Tenant, meta: WhatsAppServer, reach: Any, configure: Any
    ) -> None:
        thief = configure("whatsapp", {**WHATSAPP, "accessToken": "EAAG-of-somebody-else"}, other_live)
        reach(whatsapp=meta.graph_url)
        owner = configure("whatsapp", WHATSAPP)

        assert self.secrets_of(whatsapp.NUMBER_ID) == {owner.oid: SHARED, thief.oid: None}
        assert self.secrets_of(whatsapp.WABA_ID) == {owner.oid: SHARED, thief.oid: None}

    def test_is_not_proven_by_the_sandbox(self, tenant: Tenant, other_live: Tenant, reach: Any, configure: Any) -> None:
        configure("whatsapp", WHATSAPP, tenant)
        configure("whatsapp", WHATSAPP, other_live)

        assert set(self.secrets_of(whatsapp.NUMBER_ID).values()) == {None}

    def test_gives_way_to_an_own_one(self, reach: Any, configure: Any) -> None:
        saved = configure("whatsapp", {**WHATSAPP, "appSecret": "an-app-secret-of-its-own"})

        assert self.secrets_of(whatsapp.NUMBER_ID) == {saved.oid: "an-app-secret-of-its-own"}

    def test_number_that_is_given_up_is_no_longer_claimed(
        self, live_tenant: Tenant, actor: Actor, reach: Any, configure: Any
    ) -> None:
        configure("whatsapp", WHATSAPP)

        changes.update(live_tenant, "whatsapp", {"phoneNumberId": "7"}, actor=actor)

        assert self.secrets_of(whatsapp.NUMBER_ID) == {}
        assert len(self.secrets_of("7")) == 1


def test_email_is_found_by_its_domains_in_lower_case(reach: Any, configure: Any) -> None:
    body = {"fromAddress": "hello@Example.COM", "inboundDomain": "Reply.example.com", "apiKey": "re_key_of_a_test"}

    saved = configure("email", body)

    found = [rows.candidates("email", domain) for domain in ("example.com", "reply.example.com", "example.org")]
    assert [[each.oid for each in claimants] for claimants in found] == [[saved.oid], [saved.oid], []]


class TestVerifyToken:
    def test_server_knows_its_own_and_those_of_integrations(self, reach: Any, configure: Any) -> None:
        configure("whatsapp", {**WHATSAPP, "verifyToken": "a-verify-token-of-its-own"})

        known = [
            integrations.knows_verify_token(token)
            for token in ("the-token-that-all-share", "a-verify-token-of-its-own", "a-guess", "")
        ]

        assert known == [True, True, False, False]

    def test_is_stored_only_as_a_fingerprint(self, live_tenant: Tenant, reach: Any, configure: Any) -> None:
        configure("whatsapp", {**WHATSAPP, "verifyToken": "a-verify-token-of-its-own"})

        stored = [row.address for row in IntegrationAddress.of(live_tenant)]
        assert len(stored) == 3
        assert not any("a-verify-token" in address for address in stored)


class TestKeyRotation:
    def test_resealed_secrets_need_the_old_key_no_longer(
        self, live_tenant: Tenant, other_live: Tenant, reach: Any, configure: Any
    ) -> None:
        body = {**WHATSAPP, "verifyToken": "a-verify-token-of-its-own"}
        for owner in (live_tenant, other_live):
            configure("whatsapp", body, owner)
        vault.configure(f"{OTHER_KEY},{SECRET_KEY}")
        before = integrations.opening()

        counts = changes.reseal(), changes.reseal()

        vault.configure(OTHER_KEY)
        known = integrations.credentials(live_tenant, "whatsapp")
        assert known is not None
        assert (before, counts, integrations.opening()) == ((0, 2), (2, 0), (0, 0))
        assert known.secrets["accessToken"] == whatsapp.TOKEN
        assert integrations.knows_verify_token("a-verify-token-of-its-own")

    def test_what_does_not_open_is_counted(self, reach: Any, configure: Any) -> None:
        configure("whatsapp", WHATSAPP)
        vault.configure(OTHER_KEY)

        assert integrations.opening() == (1, 0)


class TestTemplates:
    def test_providers_templates_are_kept_in_our_shape(
        self, live_tenant: Tenant, actor: Actor, meta: WhatsAppServer, reach: Any, configure: Any
    ) -> None:
        reach(whatsapp=meta.graph_url)
        meta.templates = [
            whatsapp.template("second", "Hello {{first_name}}, {{ first_name }} and {{last_name}}", status="PAUSED"),
            whatsapp.template("first", "Hello"),
        ]
        meta.templates[1]["components"] += [
            {"type": "FOOTER", "text": "Reply STOP"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}]},
        ]
        configure("whatsapp", WHATSAPP)

        kept = templates.sync(live_tenant, actor=actor).templates

        assert [(each["name"], each["status"], each["parameters"]) for each in kept] == [
            ("first", "APPROVED", []),
            ("second", "PAUSED", ["first_name", "last_name"]),
        ]
        assert (kept[0]["body"], kept[0]["footer"], kept[0]["buttons"]) == ("Hello", "Reply STOP", ["Yes"])

    @pytest.mark.parametrize(
        ("is_there", "code"), [(True, "provider_refused"), (False, "provider_unavailable")], ids=["refused", "away"]
    )
    def test_what_was_fetched_before_stays_where_it_cannot_be_fetched(
        self,
        live_tenant: Tenant,
        actor: Actor,
        meta: WhatsAppServer,
        reach: Any,
        configure: Any,
        is_there: bool,
        code: str,
    ) -> None:
        reach(whatsapp=meta.graph_url)
        configure("whatsapp", WHATSAPP)
        templates.sync(live_tenant, actor=actor)
        reach(whatsapp=meta.graph_url if is_there else NO_PROVIDER)
        meta.answers(401, {"error": {"code": 190, "message": "expired"}}, path="message_templates")

        with pytest.raises(Blocked) as refused:
            templates.sync(live_tenant, actor=actor)

        assert refused.value.code == code
        assert len(rows.get(live_tenant, "whatsapp").templates) == 1
