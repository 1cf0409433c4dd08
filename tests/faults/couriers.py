"""Providers tell how far our messages have come: in any order, now and then before they have answered the send."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.faults.people import Town
from tests.faults.post import Parcel, Post
from tests.support.providers import Webhook

_WAYS = (("sent",), ("sent", "delivered"), ("sent", "delivered", "read"), ("delivered", "read"), ("read",))
_FAILS = 0.03
_REORDERS = 0.4
_LATE = 0.3
_LATE_S = (0.05, 0.8)
_LOOK_S = 0.01
_CHANNELS = ("whatsapp", "email", "sms")  # Telegram tells nothing

_EMAIL = {"sent": "email.sent", "delivered": "email.delivered", "read": "email.opened", "failed": "email.bounced"}
_SMS = {"failed": "undelivered"}


@dataclass(frozen=True)
class Report:
    """One status on its way. provider_id: of the message, as the provider calls it."""

    channel: str
    provider_id: str
    status: str
    parcel: Parcel


class Couriers(threading.Thread):
    """Watches what the providers take, and sends statuses of it until the end of the block."""

    def __init__(self, town: Town, post: Post, seed: str) -> None:
        super().__init__(daemon=True)
        self.reports: list[Report] = []
        self.error: BaseException | None = None
        self._town = town
        self._post = post
        self._random = Random(seed)
        self._seen = dict.fromkeys(_CHANNELS, 0)
        self._late: list[tuple[float, str, Any, str]] = []  # when, channel, message, status
        self._stopping = threading.Event()

    @property
    def is_idle(self) -> bool:
        """Whether everything was told of all that was taken."""
        return not self._late and all(
            self._seen[channel] == len(getattr(self._town.providers, channel).sent) for channel in _CHANNELS
        )

    def __enter__(self) -> Couriers:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Look and tell, again and again."""
        try:
            while not self._stopping.wait(_LOOK_S):
                for channel in _CHANNELS:
                    sent: Sequence[Any] = getattr(self._town.providers, channel).sent
                    while self._seen[channel] < len(sent):
                        self._plan(channel, sent[self._seen[channel]])
                        self._seen[channel] += 1
                self._tell_what_is_due()
        except BaseException as error:
            self.error = error

    def _plan(self, channel: str, message: Any) -> None:
        statuses = ["sent", "failed"] if self._random.random() < _FAILS else list(self._random.choice(_WAYS))
        if channel == "sms" and "read" in statuses:  # a phone does not tell that
            statuses.remove("read")
        if self._random.random() < _REORDERS:
            self._random.shuffle(statuses)
        for status in statuses:
            delay_s = self._random.uniform(*_LATE_S) if self._random.random() < _LATE else 0.0
            self._late.append((time.monotonic() + delay_s, channel, message, status))

    def _tell_what_is_due(self) -> None:
        now = time.monotonic()
        due = [planned for planned in self._late if planned[0] <= now]
        for planned in due:
            _, channel, message, status = planned
            parcel = self._post.send(self._webhook(channel, message, status))
            provider_id = message.sid if channel == "sms" else message.id
            self.reports.append(Report(channel, provider_id, status, parcel))
            self._late.remove(planned)

    def _webhook(self, channel: str, message: Any, status: str) -> Webhook:
        providers, has_failed = self._town.providers, status == "failed"
        if channel == "whatsapp":
            return providers.whatsapp.status(
                message, status, to=self._town.base_url, code=131026 if has_failed else None
            )
        if channel == "sms":
            return providers.sms.status(message, _SMS.get(status, status), code=30003 if has_failed else None)
        about = {"bounce": {"type": "Permanent", "message": "No such mailbox"}} if has_failed else {}
        event = providers.email.event(_EMAIL[status], message.id, **about)
        return providers.email.webhook(event, providers.webhook_urls["email"])
