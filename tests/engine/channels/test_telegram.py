"""Messages by a bot, against its documented API on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.channels import (
    Credentials,
    Deferred,
    Endpoints,
    Misconfigured,
    OutcomeUnknown,
    Outgoing,
    Request,
    Said,
    Sender,
    Undeliverable,
    telegram,
)
from storage import clock
from tests.support.providers import refusing_url
from tests.support.providers.telegram import SECRET, TOKEN, TelegramServer

ADA = 12345678
INTEGRATION = "665f1c2e9b1d4a0012ab34c9"
CREDENTIALS = Credentials(INTEGRATION, {}, {"botToken": TOKEN, "secretToken": SECRET})


@pytest.fixture
def provider() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        server.starts(ADA)
        yield server


@pytest.fixture
def endpoints(provider: TelegramServer) -> Endpoints:
    return Endpoints(telegram=provider.url, public_url="https://newleaf.example.com", timeout_s=5)


@pytest.fixture
def bot(endpoints: Endpoints) -> Any:
    return telegram.connect(CREDENTIALS, endpoints)


def to_ada(text: str = "Hello Ada", **members: Any) -> Outgoing:
    return Outgoing(
        id="665f1c2e9b1d4a0012ab34f0",
        channel="telegram",
        phone="",
        email="",
        text=text,
        **{"identities": (str(ADA),), **members},
    )


def test_message_reaches_the_chat(bot: Any, provider: TelegramServer) -> None:
    sent = bot.send(to_ada(buttons=("Yes", "No")))

    (message,) = provider.sent
    assert (message.chat_id, message.text, message.buttons) == (ADA, "Hello Ada", ("Yes", "No"))
    assert (sent.provider_id, sent.status) == (f"{ADA}:{message.message_id}", "sent")


def test_longest_text_is_sent_and_a_longer_one_is_not(bot: Any, provider: TelegramServer) -> None:
    bot.send(to_ada("é" * 4096, buttons=("ü" * 60,)))

    with pytest.raises(Undeliverable) as refused:
        bot.send(to_ada("é" * 4097))

    assert refused.value.code == "telegram_too_long"
    assert len(provider.requests) == 1


def test_half_of_a_surrogate_pair_is_no_accident(bot: Any, provider: TelegramServer) -> None:
    bot.send(to_ada("broken \ud83d"))

    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("identities", "code"),
    [((), "telegram_not_started"), (("ada",), "telegram_not_started"), (("5",), "telegram_chat_not_found")],
)
def test_person_without_a_chat_cannot_be_reached(bot: Any, identities: tuple[str, ...], code: str) -> None:
    with pytest.raises(Undeliverable) as refused:
        bot.send(to_ada(identities=identities))

    assert (refused.value.code, refused.value.is_opt_out) == (code, False)


def test_blocking_is_an_opt_out(bot: Any, provider: TelegramServer) -> None:
    provider.blocks(ADA)

    with pytest.raises(Undeliverable) as refused:
        bot.send(to_ada())

    assert (refused.value.code, refused.value.is_opt_out) == ("telegram_blocked", True)


def test_deleted_account_is_an_opt_out(bot: Any, provider: TelegramServer) -> None:
    provider.deactivates(ADA)

    with pytest.raises(Undeliverable) as refused:
        bot.send(to_ada())

    assert (refused.value.code, refused.value.is_opt_out) == ("telegram_deactivated", True)


def test_moved_chat_gets_the_message_where_it_is_now(bot: Any, provider: TelegramServer) -> None:
    provider.moves(ADA, to=-1001234567890)

    sent = bot.send(to_ada())

    assert [message.chat_id for message in provider.sent] == [-1001234567890]
    assert sent.provider_id.startswith("-1001234567890:")


def test_limit_says_how_long_to_wait(bot: Any, provider: TelegramServer) -> None:
    provider.limits(14)

    with pytest.raises(Deferred) as refused:
        bot.send(to_ada())

    assert (refused.value.delay_s, refused.value.scope) == (14.0, "integration")


@pytest.mark.parametrize(
    ("status", "body", "meaning", "code"),
    [
        (429, {"ok": False, "description": "Too Many Requests: retry after 3"}, Deferred, "telegram_429"),
        (429, "slow down", Deferred, "telegram_429"),
        (500, {"ok": False, "error_code": 500, "description": "Internal Server Error"}, Deferred, "telegram_500"),
        (502, "<html>Bad Gateway</html>", OutcomeUnknown, "telegram_502"),
        (200, "not JSON", OutcomeUnknown, "telegram_200"),
        (302, None, Misconfigured, "telegram_302"),
        (403, "<html>proxy</html>", Misconfigured, "telegram_403"),
        (401, {"ok": False, "error_code": 401, "description": "Unauthorized"}, Misconfigured, "telegram_401"),
        (404, {"ok": False, "error_code": 404, "description": "Not Found"}, Misconfigured, "telegram_404"),
        (400, {"ok": False, "error_code": 400, "description": "Bad Request: new"}, Undeliverable, "telegram_400"),
        (403, {"ok": False, "error_code": 403, "description": "Forbidden: new"}, Undeliverable, "telegram_403"),
        (
            403,
            {"ok": False, "error_code": 403, "description": "Forbidden: bot can't initiate conversation with a user"},
            Undeliverable,
            "telegram_not_started",
        ),
        (409, {"ok": False, "error_code": 409, "description": "Conflict"}, Misconfigured, "telegram_409"),
        (400, {"ok": False, "parameters": [], "description": None}, Undeliverable, "telegram_400"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_meaning(
    bot: Any, provider: TelegramServer, status: int, body: Any, meaning: type[Exception], code: str
) -> None:
    provider.answers(status, body)

    with pytest.raises(meaning) as refused:
        bot.send(to_ada())

    assert refused.value.code == code  # type: ignore[attr-defined]


def test_refused_connection_was_certainly_not_sent(endpoints: Endpoints) -> None:
    bot = telegram.connect(CREDENTIALS, replace(endpoints, telegram=refusing_url()))

    with pytest.raises(Deferred):
        bot.send(to_ada())


def test_lost_answer_leaves_the_outcome_unknown(bot: Any, provider: TelegramServer) -> None:
    provider.loses_answer()

    with pytest.raises(OutcomeUnknown):
        bot.send(to_ada())

    assert len(provider.sent) == 1
    assert bot.find(to_ada(), datetime(2026, 11, 24, tzinfo=UTC)) == "unknown"


def test_late_answer_leaves_the_outcome_unknown(endpoints: Endpoints, provider: TelegramServer) -> None:
    provider.delays(30)
    bot = telegram.connect(CREDENTIALS, replace(endpoints, timeout_s=0.2))

    with pytest.raises(OutcomeUnknown):
        bot.send(to_ada())


@pytest.mark.parametrize("token", ["", "222222222", "1:a/../../x", "1:ä", "1:a\nHost: b"])
def test_malformed_token_leads_nowhere(endpoints: Endpoints, provider: TelegramServer, token: str) -> None:
    bot = telegram.connect(Credentials(INTEGRATION, {}, {"botToken": token}), endpoints)

    with pytest.raises(Misconfigured):
        bot.send(to_ada())

    assert not provider.requests


@pytest.mark.parametrize("mishap", ["none", "refused", "lost", "unauthorized"])
def test_token_is_never_told(
    endpoints: Endpoints, provider: TelegramServer, caplog: pytest.LogCaptureFixture, mishap: str
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    if mishap == "refused":
        endpoints = replace(endpoints, telegram=refusing_url())
    if mishap == "lost":
        provider.loses_answer()
    if mishap == "unauthorized":
        provider.token = "1:another"

    try:
        telegram.connect(CREDENTIALS, endpoints).send(to_ada())
    except Exception as error:
        link: BaseException | None = error
        while link is not None:
            told.append(f"{link!r} {vars(link)}")
            link = link.__context__

    secret = TOKEN.split(":")[1]
    assert secret not in caplog.text
    assert not [words for words in told if secret in words]
    assert secret not in repr(CREDENTIALS)
    assert (mishap == "none") == (not told)


def test_webhook_is_registered_and_taken_back(endpoints: Endpoints, provider: TelegramServer) -> None:
    url = telegram.register_webhook(CREDENTIALS, endpoints)

    assert url == f"https://newleaf.example.com/api/webhooks/telegram/{INTEGRATION}"
    assert (provider.hook["url"], provider.hook["secret_token"]) == (url, SECRET)
    assert provider.hook["allowed_updates"] == ["message", "edited_message", "callback_query", "my_chat_member"]

    telegram.unregister_webhook(CREDENTIALS, endpoints)

    assert provider.hook == {}


@pytest.mark.parametrize(
    ("public_url", "secret"),
    [(None, "s"), ("https://newleaf.example.com", ""), ("https://newleaf.example.com", "ä")],
    ids=["no public URL", "no secret", "a secret that Telegram refuses"],
)
def test_webhook_that_cannot_work_is_not_registered(endpoints: Endpoints, public_url: str | None, secret: str) -> None:
    credentials = Credentials(INTEGRATION, {}, {"botToken": TOKEN, "secretToken": secret})

    with pytest.raises(Misconfigured):
        telegram.register_webhook(credentials, replace(endpoints, public_url=public_url))


def test_webhook_that_telegram_refuses_is_a_send_error(endpoints: Endpoints, provider: TelegramServer) -> None:
    with pytest.raises(Undeliverable) as refused:
        telegram.register_webhook(CREDENTIALS, replace(endpoints, public_url="http://newleaf.example.com"))

    assert "HTTPS" in refused.value.detail


def test_health_needs_a_token_a_webhook_and_its_delivery(
    bot: Any, endpoints: Endpoints, provider: TelegramServer
) -> None:
    assert not bot.check().is_healthy  # no webhook yet

    telegram.register_webhook(CREDENTIALS, endpoints)
    health = bot.check()
    assert health.is_healthy
    assert health.facts["botUsername"] == "newleaf_test_bot"

    provider.pending, provider.last_error = 3, (int(clock.now().timestamp()), "Connection refused")
    assert "Connection refused" in bot.check().detail

    provider.last_error = (1_763_942_400, "Connection refused")  # long ago
    assert bot.check().is_healthy

    provider.hook["url"] = "https://elsewhere.example.com/hook"
    assert not bot.check().is_healthy

    provider.token = "1:another"
    assert bot.check().detail == "Telegram does not know the bot token."


def test_pressed_button_is_answered(bot: Any, endpoints: Endpoints, provider: TelegramServer) -> None:
    bot.send(to_ada(buttons=("Yes", "No")))
    (event,) = telegram.read(provider.presses("No", ADA))

    said = telegram.fetch(CREDENTIALS, endpoints, event.what)

    assert (said.text, said.fetch) == ("No", None)
    assert len(provider.answered) == 1


def test_button_that_cannot_be_answered_is_still_said(endpoints: Endpoints, provider: TelegramServer) -> None:
    provider.answers(400, {"ok": False, "description": "Bad Request: query is too old"}, times=2)
    said = Said(Sender((str(ADA),)), "No", "callback:7", fetch={"callback_query_id": "7"})

    assert telegram.fetch(CREDENTIALS, endpoints, said) == replace(said, fetch=None)


@pytest.mark.parametrize(
    ("given", "secret", "is_authentic"),
    [
        (SECRET, SECRET, True),
        ("loopback-secret_2", SECRET, False),
        ("é", SECRET, False),
        ("", "", False),  # no secret configured: nobody is believed
    ],
)
def test_only_the_secret_proves_an_update(given: str, secret: str, is_authentic: bool) -> None:
    request = Request(b"{}", {"x-telegram-bot-api-secret-token": given})

    assert telegram.is_authentic(request, Credentials(INTEGRATION, {}, {"secretToken": secret})) is is_authentic
    assert not telegram.is_authentic(Request(b"{}", {}), Credentials(INTEGRATION, {}, {"secretToken": secret}))


def test_loopback_webhook_is_believed(endpoints: Endpoints, provider: TelegramServer) -> None:
    telegram.register_webhook(CREDENTIALS, endpoints)

    hook = provider.webhook(provider.text("Hi!", ADA))

    headers = {name.lower(): value for name, value in hook.headers.items()}
    assert telegram.is_authentic(Request(hook.body, headers, hook.url), CREDENTIALS)
