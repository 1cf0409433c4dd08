"""The way from the providers to us: each webhook is repeated until it is answered 200, and some beyond that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.faults.storm import Storm
from tests.support.contract_client import ContractClient
from tests.support.providers import Webhook

_CARRIERS = 10
_TWINS = 0.12  # sent twice at the same time
_ECHOES = 0.12  # sent again although they were answered
_GIVES_UP = 0.05  # of those whose connection breaks while an answer is awaited


@dataclass
class Traffic:
    """What went over the wire."""

    acknowledged: int = 0  # webhooks, each counted once
    repeated: int = 0  # for want of an answer
    refused: int = 0  # answered, but not with 200: repeated too
    needless: int = 0  # repeated although they were answered, or sent twice at once
    given_up: int = 0  # by the provider: nobody knows whether they arrived


@dataclass
class Parcel:
    """One webhook on its way. is_acknowledged: whether it was answered 200 at least once."""

    webhook: Webhook
    is_acknowledged: bool = False
    copies: list[Future[None]] = field(default_factory=list)

    def wait(self) -> bool:
        """Return once no copy of it is under way any more: whether it was acknowledged."""
        for copy in self.copies:
            copy.result()
        return self.is_acknowledged


class Post:
    """Carries webhooks to a server that is killed meanwhile. failures: what carriers have found wrong."""

    def __init__(self, storm: Storm, base_url: str, seed: str) -> None:
        self.traffic = Traffic()
        self._storm = storm
        self._random = Random(seed)
        self._http = ContractClient(base_url)
        self._pool = ThreadPoolExecutor(_CARRIERS)
        self._changed = threading.Lock()
        self.failures: list[BaseException] = []
        self._under_way = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._under_way == 0

    def send(self, webhook: Webhook) -> Parcel:
        """Carry it, twice at once if chance has it so."""
        parcel = Parcel(webhook)
        parcel.copies = [self._submit(self._carry, parcel) for _ in range(2 if self._draws(_TWINS) else 1)]
        return parcel

    def __enter__(self) -> Post:
        return self

    def __exit__(self, *_: Any) -> None:
        self._pool.shutdown()
        self._http.close()

    def _submit(self, function: Callable[..., None], *arguments: Any) -> Future[None]:
        with self._changed:
            self._under_way += 1
        future = self._pool.submit(function, *arguments)
        future.add_done_callback(self._note_end)
        return future

    def _note_end(self, future: Future[None]) -> None:
        with self._changed:
            self._under_way -= 1
            if (error := future.exception()) is not None:
                self.failures.append(error)

    def _carry(self, parcel: Parcel) -> None:
        while True:
            try:
                response = self._post(parcel.webhook)
            except httpx.ConnectError:  # it never arrived
                self._count(repeated=1)
            except httpx.TransportError:
                if self._draws(_GIVES_UP):
                    self._count(given_up=1)
                    return
                self._count(repeated=1)
            else:
                if response.status_code == 200:
                    break
                self._count(refused=1)
        assert "invalid" not in response.text, response.text  # WhatsApp is answered 200 even then
        assert "ignored" not in response.text, response.text
        with self._changed:
            is_first, parcel.is_acknowledged = not parcel.is_acknowledged, True
        self._count(acknowledged=is_first, needless=not is_first)
        if is_first and self._draws(_ECHOES):
            self._submit(self._carry, parcel)

    def _post(self, webhook: Webhook) -> httpx.Response:
        parts = urlsplit(webhook.url)
        self._storm.await_server()
        with self._storm.flying(is_write=True):
            return self._http.post(
                f"{parts.path}?{parts.query}" if parts.query else parts.path,
                content=webhook.body,
                headers=dict(webhook.headers),
            )

    def _draws(self, probability: float) -> bool:
        with self._changed:
            return self._random.random() < probability

    def _count(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self.traffic, name, getattr(self.traffic, name) + change)
