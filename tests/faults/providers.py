"""The four providers of a storm: on loopback, outliving the servers, and in bad weather of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.contract_client import ContractClient
from tests.support.providers import Answer, ProviderServer, Received
from tests.support.providers.resend import ResendServer
from tests.support.providers.telegram import TelegramServer
from tests.support.providers.twilio import TwilioServer
from tests.support.providers.twilio import error as twilio_error
from tests.support.providers.whatsapp import WhatsAppServer
from tests.support.providers.whatsapp import error as meta_error

TIMEOUT_S = 3.0
_BAD_WEATHER = 0.3  # of the messages of people bring some
_SLOW_S = (0.1, 0.7)
_GATEWAY = Answer(502, "<html>Bad gateway</html>")  # whoever answers so does not say whether it passed anything on

# What each says to a message that it does not take now.
_NOT_NOW: dict[str, list[Answer]] = {
    "whatsapp": [meta_error(131056), meta_error(131000, 500)],
    "telegram": [
        Answer(
            429, {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
        ),
        Answer(500, {"ok": False, "error_code": 500, "description": "Internal Server Error"}),
    ],
    "email": [
        Answer(429, {"statusCode": 429, "name": "rate_limit_exceeded", "message": "Too many"}, {"retry-after": "1"}),
        Answer(500, {"statusCode": 500, "name": "application_error", "message": "An unexpected error occurred."}),
    ],
    "sms": [
        Answer(429, twilio_error(20429, 429).body, {"Retry-After": "1"}),
        twilio_error(20500, 500),
    ],
}
_PATHS = {"whatsapp": "/messages", "telegram": "/sendMessage", "email": "/emails", "sms": "/Messages.json"}


class _Resend(ResendServer):
    """Counts the emails that were handed over once more and, known by their key, not sent again."""

    repetitions = 0

    def respond(self, request: Received) -> Answer:
        before = len(self.sent)
        answer = super().respond(request)
        if (request.method, request.path, answer.status) == ("POST", "/emails", 200):
            self.repetitions += len(self.sent) == before
        return answer


@dataclass(frozen=True)
class Taken:
    """A message that a provider has taken. message: our own id of it, "" where the provider is not told."""

    channel: str
    text: str
    provider_id: str
    message: str


@dataclass
class Providers:
    """One account with each. webhook_urls: where they reach us, by channel."""

    whatsapp: WhatsAppServer = field(default_factory=WhatsAppServer)
    telegram: TelegramServer = field(default_factory=TelegramServer)
    email: _Resend = field(default_factory=_Resend)
    sms: TwilioServer = field(default_factory=TwilioServer)
    webhook_urls: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """What makes a server use them."""
        return {
            "NEWLEAF_WHATSAPP_URL": self.whatsapp.graph_url,
            "NEWLEAF_TELEGRAM_URL": self.telegram.url,
            "NEWLEAF_EMAIL_URL": self.email.url,
            "NEWLEAF_SMS_URL": self.sms.url,
            "NEWLEAF_PROVIDER_TIMEOUT_S": str(TIMEOUT_S),
            "NEWLEAF_WORKER_CONCURRENCY": "4",  # a slow provider keeps a thread waiting
        }

    def of(self, channel: str) -> ProviderServer:
        """The provider of a channel."""
        provider: ProviderServer = getattr(self, channel)
        return provider

    def integrate(self, client: ContractClient) -> None:
        """Configure all four in the client's account, and wait until Telegram knows where to deliver."""
        for channel in _PATHS:
            known = getattr(self, channel).credentials()
            secrets = {name: value for name, value in known.secrets.items() if name != "secretToken"}
            body = {**known.settings, **secrets}
            answer = client.put(f"/api/integrations/{channel}", json=body)
            self.webhook_urls[channel] = answer.json()["webhookUrl"]
        self.telegram.wait_for(lambda _: bool(self.telegram.hook))

    def taken(self) -> list[Taken]:
        """All messages that were taken, in the order of each channel."""
        emails = [
            Taken(
                "email", sent.body["text"], sent.id, {tag["name"]: tag["value"] for tag in sent.body["tags"]}["message"]
            )
            for sent in list(self.email.sent)
        ]
        return [
            *(Taken("whatsapp", sent.text, sent.id, sent.message_id) for sent in list(self.whatsapp.sent)),
            *(
                Taken("telegram", sent.text, f"{sent.chat_id}:{sent.message_id}", "")
                for sent in list(self.telegram.sent)
            ),
            *emails,
            *(
                Taken("sms", sent.text, sent.sid, sent.callback.rpartition("message=")[2])
                for sent in list(self.sms.sent)
            ),
        ]

    def count_taken(self) -> int:
        """How many messages were taken."""
        return len(self.whatsapp.sent) + len(self.telegram.sent) + len(self.email.sent) + len(self.sms.sent)

    def has_taken(self, channel: str, text: str) -> bool:
        """Whether a message with these words was taken."""
        sent: list[Any] = getattr(self, channel).sent
        return any((message.body["text"] if channel == "email" else message.text) == text for message in sent[::-1])

    def disturb(self, channel: str, random: Random) -> None:
        """Now and then, have one of the next messages on this channel meet bad weather."""
        if random.random() > _BAD_WEATHER:
            return
        provider, path = self.of(channel), _PATHS[channel]
        weather: list[Callable[[], None]] = [
            lambda: provider.delays(random.uniform(*_SLOW_S), times=2, path=path),
            lambda: provider.loses_answer(path=path),
            lambda: provider.loses_request(path=path),
            lambda: _answer(provider, random.choice(_NOT_NOW[channel]), path),
            lambda: _answer(provider, _GATEWAY, path),
        ]
        random.choices(weather, weights=(8, 4, 2, 4, 1))[0]()


def _answer(provider: ProviderServer, answer: Answer, path: str) -> None:
    provider.answers(answer.status, answer.body, answer.headers, path=path)


@contextlib.contextmanager
def providers() -> Iterator[Providers]:
    """Four providers, answering until the end of the block."""
    with contextlib.ExitStack() as running:
        opened = Providers()
        for channel in _PATHS:
            running.enter_context(opened.of(channel))
        yield opened
