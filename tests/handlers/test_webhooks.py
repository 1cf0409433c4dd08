"""Webhooks over HTTP: a form has a token in its path, a provider signs what it sends; neither has a key."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as Signer

from engine import integrations
from storage import database
from storage import integrations as stored
from storage.inbox import InboundEvent
from storage.outbox import OutboxRow
from tests.conftest import Party
from tests.support.contract_client import ContractClient
from tests.support.providers import twilio, whatsapp

_numbers = itertools.count(int(time.time() * 1000))
_SETTLED_S = 60  # a bound for machines under load, usually a fraction of a second


@pytest.fixture
def anonymous(party: Party) -> Iterator[ContractClient]:
    """A form or a provider: it has no key."""
    with ContractClient(party.base_url) as opened:
        yield opened


@pytest.fixture
def submit(anonymous: ContractClient, client: ContractClient) -> Any:
    """Sends a form with the token of the test environment, or another one."""
    own = client.get("/api/accounts/current").json()["webhookToken"]
    return lambda token=own, **fields: anonymous.post(f"/api/webhooks/leads/{token}", json=fields)


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


def settled(party: Party) -> list[Any]:
    """The events of the live tenant in the order of their arrival, once none of them waits to be processed."""
    tenant = party.tenant("live")
    deadline = time.monotonic() + _SETTLED_S
    while True:
        with database.connection():
            events = list(InboundEvent.of(tenant).order_by(InboundEvent.id))
        if all(event.state != "stored" for event in events) or time.monotonic() > deadline:
            return events
        time.sleep(0.05)


def fates(party: Party) -> list[tuple[str, str | None]]:
    return [(event.state, event.reason) for event in settled(party)]


@pytest.fixture
def live(party: Party) -> Any:
    """An owner of the live environment, with an agent that answers."""
    with party.client("live") as opened:
        opened.post("/api/agent-config", json={"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Find out."})
        yield opened


def secret_of(party: Party, channel: str, name: str) -> str:
    with database.connection():
        integration = stored.get(party.tenant("live"), channel)
        return integrations.opened(integration)[1].secrets[name]


class Meta:
    """A WhatsApp number of a party's own, and what Meta sends for it."""

    def __init__(self, live: ContractClient) -> None:
        self.number_id, self.waba_id = str(next(_numbers)), str(next(_numbers))
        self.app_secret, self.verify_token = secrets.token_hex(16), secrets.token_hex(16)
        body = {
            "wabaId": self.waba_id,
            "phoneNumberId": self.number_id,
            "accessToken": "EAAG-access-token-of-a-test",
            "appSecret": self.app_secret,
            "verifyToken": self.verify_token,
        }
        assert live.put("/api/integrations/whatsapp", json=body).status_code == 201

    def change(self, said_id: str, text: str = "Hi", sender: str = "12025550142") -> dict[str, Any]:
        """What tells of a text that was sent to this number."""
        message = {"id": said_id, "from": sender, "type": "text", "text": {"body": text}, "timestamp": str(_now())}
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"phone_number_id": self.number_id},
            "contacts": [{"profile": {"name": "Ada"}, "wa_id": sender}],
            "messages": [message],
        }
        return {"id": self.waba_id, "changes": [{"field": "messages", "value": value}]}

    def webhook(self, *entries: Mapping[str, Any], secret: str | None = None) -> dict[str, Any]:
        """What to post: these entries, signed with the app secret or another one."""
        payload = {"object": "whatsapp_business_account", "entry": list(entries)}
        signed = whatsapp.signed("", payload, self.app_secret if secret is None else secret)
        return {"content": signed.body, "headers": signed.headers}


def _now() -> int:
    return int(time.time())


class TestVerifyWhatsApp:
    PATH = "/api/webhooks/whatsapp"

    def test_challenge_is_echoed_to_who_knows_the_verify_token(
        self, anonymous: ContractClient, live: ContractClient
    ) -> None:
        query = {"hub.mode": "subscribe", "hub.verify_token": Meta(live).verify_token, "hub.challenge": "1158201444"}

        answer = anonymous.get(self.PATH, params=query)

        assert (answer.status_code, answer.text) == (200, "1158201444")
        assert answer.headers["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize("query", [{}, {"hub.verify_token": ""}, {"hub.verify_token": "wrong"}])
    def test_anybody_else_is_403(self, anonymous: ContractClient, query: dict[str, str]) -> None:
        answer = anonymous.get(self.PATH, params={"hub.mode": "subscribe", "hub.challenge": "1", **query})

        assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")


class TestWhatsApp:
    PATH = "/api/webhooks/whatsapp"

    @pytest.fixture
    def meta(self, live: ContractClient) -> Meta:
        return Meta(live)

    def test_message_becomes_a_lead_in_a_conversation(
        self, party: Party, live: ContractClient, anonymous: ContractClient, meta: Meta
    ) -> None:
        answer = anonymous.post(self.PATH, **meta.webhook(meta.change("wamid.1", "Hi there")))

        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert fates(party) == [("done", None)]
        [conversation] = live.get("/api/conversations").json()
        assert (conversation["channel"], conversation["leadPhone"]) == ("whatsapp", "+12025550142")
        assert conversation["messages"][0]["content"] == "Hi there"

    def test_same_body_again_and_eight_at_once_changes_nothing(
        self, party: Party, live: ContractClient, meta: Meta
    ) -> None:
        webhook = meta.webhook(meta.change("wamid.1"), meta.change("wamid.2", "there"))
        url = party.base_url + self.PATH

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.post(url, **webhook, timeout=60, trust_env=False), range(16)))

        assert {answer.json()["status"] for answer in answers} == {"ok"}
        assert fates(party) == [("done", None)] * 2
        [conversation] = live.get("/api/conversations").json()
        assert [m["content"] for m in conversation["messages"] if m["role"] == "lead"] == ["Hi", "there"]

    @pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=" + "0" * 64, "sha1=0", "\u00e9"])
    def test_unsigned_body_is_not_believed(
        self, party: Party, anonymous: ContractClient, meta: Meta, signature: str | None
    ) -> None:
        webhook = meta.webhook(meta.change("wamid.1"))
        headers = {"Content-Type": "application/json"}
        if signature is not None:
            headers["X-Hub-Signature-256"] = signature.encode("latin-1")  # type: ignore[assignment]

        answer = anonymous.post(self.PATH, content=webhook["content"], headers=headers)

        assert (answer.status_code, answer.json()) == (200, {"status": "signature_invalid"})
        assert settled(party) == []

    def test_byte_that_changed_on_the_way_is_not_believed(
        self, party: Party, anonymous: ContractClient, meta: Meta
    ) -> None:
        webhook = meta.webhook(meta.change("wamid.1"))

        answer = anonymous.post(self.PATH, content=webhook["content"] + b" ", headers=webhook["headers"])

        assert answer.json() == {"status": "signature_invalid"}

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"entry": [7]}', b"\xff", b"[" * 100_000])
    def test_body_that_names_nobody_is_not_believed(self, anonymous: ContractClient, body: bytes) -> None:
        signed = {"X-Hub-Signature-256": "sha256=" + "0" * 64, "Content-Type": "application/json"}

        answer = anonymous.post(self.PATH, content=body, headers=signed)

        assert (answer.status_code, answer.json()) == (200, {"status": "signature_invalid"})

    def test_what_is_not_ours_is_kept_and_ignored(self, party: Party, anonymous: ContractClient, meta: Meta) -> None:
        entry = meta.change("wamid.1")
        entry["changes"][0] = {"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}}

        answer = anonymous.post(self.PATH, **meta.webhook(entry))

        assert answer.json() == {"status": "ignored"}
        assert fates(party) == [("ignored", "field_not_ours")]

    def test_another_accounts_secret_signs_nothing_for_ours(
        self, make_party: Callable[..., Party], party: Party, anonymous: ContractClient, meta: Meta
    ) -> None:
        other = make_party("Other")
        with other.client("live") as their_live:
            theirs = Meta(their_live)

        answer = anonymous.post(
            self.PATH,
            **meta.webhook(meta.change("wamid.1"), theirs.change("wamid.2"), secret=theirs.app_secret),
        )

        assert answer.json() == {"status": "ok"}
        assert (len(settled(party)), len(settled(other))) == (0, 1)

    def test_one_app_may_serve_two_accounts_in_one_body(
        self, make_party: Callable[..., Party], party: Party, anonymous: ContractClient, meta: Meta
    ) -> None:
        other = make_party("Other")
        with other.client("live") as their_live:
            theirs = Meta(their_live)
            changed = their_live.patch("/api/integrations/whatsapp", json={"appSecret": meta.app_secret})
        assert changed.status_code == 200

        anonymous.post(self.PATH, **meta.webhook(meta.change("wamid.1"), theirs.change("wamid.1")))

        assert (len(settled(party)), len(settled(other))) == (1, 1)

    def test_body_of_three_megabytes_is_taken(self, party: Party, anonymous: ContractClient, meta: Meta) -> None:
        answer = anonymous.post(self.PATH, **meta.webhook(meta.change("wamid.1", "a " * 1_500_000)))

        assert answer.json() == {"status": "ok"}

    def test_larger_body_is_413(self, anonymous: ContractClient, meta: Meta) -> None:
        answer = anonymous.post(self.PATH, **meta.webhook(meta.change("wamid.1", "a" * 4_500_000)))

        assert answer.status_code == 413


class TestTelegram:
    UPDATE = '{"update_id": 1, "message": {"message_id": 5, "date": 1795000000, "text": "Hi", "from": {"id": 4711, \
"is_bot": false, "first_name": "Ada"}, "chat": {"id": 4711, "type": "private", "first_name": "Ada"}}}'

    @pytest.fixture
    def bot(self, live: ContractClient, secret_key: str) -> str:
        """The path of the webhook of a bot."""
        body = {"botToken": f"{next(_numbers)}:bot-token-of-a-test-00001"}
        return f"/api/webhooks/telegram/{live.put('/api/integrations/telegram', json=body).json()['_id']}"

    def test_update_with_our_secret_is_taken_once(
        self, party: Party, live: ContractClient, anonymous: ContractClient, bot: str
    ) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret_of(party, "telegram", "secretToken")}

        answers = [anonymous.post(bot, content=self.UPDATE, headers=headers) for _ in range(2)]

        assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 2
        assert fates(party) == [("done", None)]
        assert [lead["source"] for lead in live.get("/api/leads").json()] == ["telegram"]

    def test_wrong_secret_and_unknown_bot_are_the_same_401(
        self, party: Party, anonymous: ContractClient, bot: str
    ) -> None:
        right = secret_of(party, "telegram", "secretToken")
        unknown = ["665f1c2e9b1d4a0012ab34d0", "nonsense", bot.rpartition("/")[2].upper()]
        tries = [(bot, ""), (bot, right[:-1]), *((f"/api/webhooks/telegram/{oid}", right) for oid in unknown)]

        answers = [
            anonymous.post(path, content=self.UPDATE, headers={"X-Telegram-Bot-Api-Secret-Token": secret})
            for path, secret in tries
        ]

        assert {answer.status_code for answer in answers} == {401}
        assert {(answer.json()["error"], answer.json()["code"]) for answer in answers} == {
            ("Invalid webhook signature", "invalid_signature")
        }
        assert settled(party) == []

    def test_id_of_an_integration_of_another_channel_is_401(
        self, party: Party, live: ContractClient, anonymous: ContractClient, bot: str
    ) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret_of(party, "telegram", "secretToken")}

        answer = anonymous.post(bot.replace("telegram", "twilio"), content=self.UPDATE, headers=headers)

        assert answer.status_code == 401

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"update_id": "1"}'])
    def test_nonsense_with_our_secret_is_taken_and_means_nothing(
        self, party: Party, anonymous: ContractClient, bot: str, body: bytes
    ) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret_of(party, "telegram", "secretToken")}

        assert anonymous.post(bot, content=body, headers=headers).status_code == 200
        assert settled(party) == []


class TestEmail:
    PATH = "/api/webhooks/email"
    SECRET = "whsec_c2lnbmluZyBzZWNyZXQgb2YgYSB0ZXN0"

    @pytest.fixture
    def domain(self, live: ContractClient) -> str:
        """Where the account's leads write to."""
        domain = f"reply{next(_numbers)}.example.com"
        body = {
            "fromAddress": f"hello@{domain}",
            "inboundDomain": domain,
            "apiKey": "re_key_of_a_test_7Qpd",
            "signingSecret": self.SECRET,
        }
        assert live.put("/api/integrations/email", json=body).status_code == 201
        return domain

    def webhook(self, domain: str, **data: Any) -> dict[str, Any]:
        """An event about an email that we sent, signed."""
        body = (
            f'{{"type": "email.sent", "created_at": "2026-11-24T07:00:00Z", "data": {{"email_id": "e1", '
            f'"from": "Us <hello@{domain}>", "to": ["ada@example.com"]}}}}'
        )
        moment = datetime.now(UTC)
        headers = {
            "svix-id": "msg_1",
            "svix-timestamp": str(int(moment.timestamp())),
            "svix-signature": Signer(data.get("secret", self.SECRET)).sign("msg_1", moment, body),
            "Content-Type": "application/json",
        }
        return {"content": body, "headers": headers}

    def test_signed_event_is_stored_once_for_the_account_of_its_domain(
        self, party: Party, anonymous: ContractClient, domain: str
    ) -> None:
        answers = [anonymous.post(self.PATH, **self.webhook(domain)) for _ in range(2)]

        assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 2
        with database.connection():
            assert InboundEvent.of(party.tenant("live")).count() == 1

    def test_wrong_signature_and_unknown_domain_are_the_same_401(
        self, party: Party, anonymous: ContractClient, domain: str
    ) -> None:
        wrong = self.webhook(domain, secret="whsec_YW5vdGhlciBzZWNyZXQgb2YgYSB0ZXN0")

        answers = [anonymous.post(self.PATH, **each) for each in (wrong, self.webhook("nobody.example.com"))]

        assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
            (401, "Invalid webhook signature")
        ] * 2
        with database.connection():
            assert InboundEvent.of(party.tenant("live")).count() == 0


class TestTwilio:
    @pytest.fixture
    def url(self, party: Party, live: ContractClient) -> str:
        """The address that Twilio was given."""
        body = {"accountSid": f"AC{next(_numbers):032x}", "from": "+12025550150", "authToken": twilio.AUTH_TOKEN}
        oid = live.put("/api/integrations/sms", json=body).json()["_id"]
        return f"{party.base_url}/api/webhooks/twilio/{oid}"

    def test_message_is_taken_once_and_answered_with_nothing_to_say(
        self, party: Party, live: ContractClient, anonymous: ContractClient, url: str
    ) -> None:
        form = {"MessageSid": "SM1", "From": "+12025550142", "To": "+12025550150", "Body": "50% off & free?"}
        webhook = twilio.signed(url, {**form, "NumMedia": "0"})

        answers = [anonymous.post(url, content=webhook.body, headers=webhook.headers) for _ in range(2)]

        assert [answer.text for answer in answers] == ['<?xml version="1.0" encoding="UTF-8"?><Response/>'] * 2
        assert answers[0].headers["Content-Type"].startswith("text/xml")
        assert fates(party) == [("done", None)]
        assert live.get("/api/conversations").json()[0]["messages"][0]["content"] == "50% off & free?"

    def test_status_names_our_message_in_its_address(self, party: Party, anonymous: ContractClient, url: str) -> None:
        url = f"{url}?message=665f1c2e9b1d4a0012ab34f0"
        webhook = twilio.signed(url, {"MessageSid": "SM9", "MessageStatus": "delivered", "To": "+12025550142"})

        answer = anonymous.post(url, content=webhook.body, headers=webhook.headers)

        assert answer.status_code == 200
        with database.connection():
            [event] = InboundEvent.of(party.tenant("live"))
        assert event.payload["what"]["message_id"] == "665f1c2e9b1d4a0012ab34f0"

    def test_wrong_signature_and_unknown_integration_are_the_same_401(
        self, anonymous: ContractClient, url: str
    ) -> None:
        unknown = url[:-24] + "665f1c2e9b1d4a0012ab34d0"
        form = {"MessageSid": "SM1", "From": "+12025550142", "Body": "Hi"}
        wrong, stray = twilio.signed(url, form, "another-token"), twilio.signed(unknown, form)

        answers = [anonymous.post(each.url, content=each.body, headers=each.headers) for each in (wrong, stray)]

        assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
            (401, "Invalid webhook signature")
        ] * 2


def test_webhooks_leave_nothing_parked(party: Party, live: ContractClient, anonymous: ContractClient) -> None:
    meta = Meta(live)
    anonymous.post("/api/webhooks/whatsapp", **meta.webhook(meta.change("wamid.1")))
    settled(party)

    with database.connection():
        parked = (OutboxRow.tenant_id == party.tenant("live").id) & (OutboxRow.state == "failed")
        assert OutboxRow.select().where(parked).count() == 0
