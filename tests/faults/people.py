"""Who writes in a storm, and the webhooks by which their words come: many with one address, some with several."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from storage import clock
from tests.faults.providers import Providers
from tests.support.providers import Webhook
from tests.support.providers.resend import INBOUND_DOMAIN

_KINDS = (  # the channels of a person
    ("telegram",),
    ("email",),
    ("sms",),
    ("whatsapp",),
    ("whatsapp", "sms"),  # by one phone
    ("whatsapp", "sms", "email"),  # a lead already, with phone and email
)
KNOWN = _KINDS[-1]
_AREAS = (202, 212, 303, 312, 404, 415, 503, 512, 602, 617, 702, 713)  # in each there are a hundred invented numbers
_FIRST_CHAT = 700_000


@dataclass(frozen=True)
class Person:
    """Somebody. user_id: instead of a phone, from whom WhatsApp hides it."""

    number: int
    channels: Sequence[str]
    phone: str = ""
    user_id: str = ""
    chat_id: int = 0
    email: str = ""


@dataclass
class Letter:
    """A message of a person. turn: how often the person had written before; id: the provider's own name of it."""

    person: Person
    channel: str
    turn: int
    text: str
    id: str = ""
    is_acknowledged: bool = False


@dataclass(frozen=True)
class Envelope:
    """A webhook and the messages in it."""

    webhook: Webhook
    letters: Sequence[Letter]


@dataclass
class Town:
    """The people of a storm, and all that they have written."""

    providers: Providers
    base_url: str
    letters: list[Letter] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _composing: Any = field(default_factory=threading.Lock)

    def newcomer(self, channels: Sequence[str] | None = None) -> Person:
        """Somebody who has not written before. channels: by which they do; else by those of some stranger."""
        with self._composing:
            number = next(self._numbers)
        channels = channels or _KINDS[number % (len(_KINDS) - 1)]
        is_hidden = channels == ("whatsapp",) and number % 2 == 0
        has_phone = not is_hidden and not {"whatsapp", "sms"}.isdisjoint(channels)
        if "telegram" in channels:
            self.providers.telegram.starts(_FIRST_CHAT + number)
        return Person(
            number,
            channels,
            phone=f"+1{_AREAS[number % len(_AREAS)]}55501{number // len(_AREAS):02}" if has_phone else "",
            user_id=f"US.{number:09}" if is_hidden else "",
            chat_id=_FIRST_CHAT + number if "telegram" in channels else 0,
            email=f"person{number}@example.com" if "email" in channels else "",
        )

    def compose(self, person: Person, channels: Sequence[str], turn: int, random: Random) -> list[Envelope]:
        """A message on each of these channels, as the providers tell of them: Meta likes to tell of several at once."""
        with self._composing:
            written = [
                Letter(person, channel, turn, f"Question {person.number}.{turn}.{place} by {channel}")
                for place, channel in enumerate(channels)
            ]
            self.letters += written
            by_whatsapp = [letter for letter in written if letter.channel == "whatsapp"]
            together = [by_whatsapp] if by_whatsapp and random.random() < 0.5 else [[letter] for letter in by_whatsapp]
            envelopes = [Envelope(self._by_whatsapp(letters), letters) for letters in together]
            for letter in written:
                if letter.channel != "whatsapp":
                    envelopes.append(Envelope(getattr(self, f"_by_{letter.channel}")(letter, random), [letter]))
            return envelopes

    def _by_whatsapp(self, letters: Sequence[Letter]) -> Webhook:
        changes = []
        for letter in letters:
            letter.id = f"wamid.{letter.text.replace(' ', '-')}"
            content = {"type": "text", "text": {"body": letter.text}, "timestamp": str(int(time.time()))}
            person = letter.person
            changes.append(
                self.providers.whatsapp.message(
                    content,
                    person.phone.removeprefix("+"),
                    name=f"Person {person.number}",
                    user_id=person.user_id,
                    message_id=letter.id,
                )
            )
        return self.providers.whatsapp.webhook(self.base_url, changes)

    def _by_telegram(self, letter: Letter, random: Random) -> Webhook:
        del random
        telegram = self.providers.telegram
        update = telegram.message(letter.person.chat_id, text=letter.text, date=int(time.time()))
        letter.id = str(update["update_id"])
        return telegram.webhook(update)

    def _by_email(self, letter: Letter, random: Random) -> Webhook:
        """A new email, or an answer to the latest of ours, with all that mail programs add to one."""
        resend, address = self.providers.email, letter.person.email
        ours = next((sent for sent in resend.sent[::-1] if sent.body["to"] == [address]), None)
        if ours is not None and random.random() < 0.5:
            event = resend.reply(ours, letter.text)
        else:
            event = resend.receive(address, [f"sales@{INBOUND_DOMAIN}"], subject="A question", text=letter.text)
        event["created_at"] = clock.stamp()
        letter.id = event["data"]["email_id"]
        return resend.webhook(event, self.providers.webhook_urls["email"])

    def _by_sms(self, letter: Letter, random: Random) -> Webhook:
        del random
        letter.id = f"SM{letter.person.number:08x}{letter.turn:016x}{int(letter.text.split('.')[2].split()[0]):08x}"
        url = self.providers.webhook_urls["sms"]
        return self.providers.sms.said(letter.person.phone, letter.text, to=url, MessageSid=letter.id)
