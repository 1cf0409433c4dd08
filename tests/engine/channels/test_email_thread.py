"""A conversation by email stays one thread, from our first words to the answer to the lead's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine import channels, inbound
from engine.channels import Endpoints, email
from engine.jobs import worker
from storage import conversations as rows
from storage import deliveries
from tests.support.providers.resend import INBOUND_DOMAIN, ResendServer


def work() -> None:
    """Do all that is to do now."""
    while worker.work_next():
        pass


@pytest.fixture
def provider() -> Iterator[ResendServer]:
    with ResendServer() as server:
        yield server


@pytest.fixture
def hear(tenant: Any, provider: ResendServer) -> Any:
    """Takes an inbound event in, with what it says, and lets the agent answer."""

    def hear(event: dict[str, Any]) -> None:
        (read,) = email.read(event)
        said = email.fetch(provider.credentials(), Endpoints(email=provider.url), read.what)
        inbound.accept(tenant, "email", [replace(read, what=said)])
        work()

    return hear


@pytest.fixture
def started(tenant: Any, provider: ResendServer, make_conversation: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A conversation whose first email was sent."""
    connected = replace(email.connect(provider.credentials(), Endpoints(email=provider.url)), pace_s=0.0)
    monkeypatch.setattr(channels, "of", lambda tenant, channel: connected)
    conversation = make_conversation(channel="email", text="Does Thursday work?")
    worker.work_lane(deliveries.lane_of(conversation.oid))
    return conversation


def test_answer_to_a_reply_stands_in_its_thread(
    started: Any, provider: ResendServer, hear: Any, model: Any, said: Any
) -> None:
    hear(provider.reply(provider.sent[0], "Yes."))

    assert said(started.oid) == ["Does Thursday work?", "Yes.", "re: Yes."]
    first, second = (sent.body for sent in provider.sent)
    assert second["subject"] == f"Re: {first['subject']}"
    assert second["headers"]["In-Reply-To"].startswith("<in-")
    assert second["headers"]["References"].split()[0] == first["headers"]["References"]
    assert second["reply_to"] == first["reply_to"] == f"reply+{started.oid}@{INBOUND_DOMAIN}"


def test_events_tell_how_far_the_email_has_come(
    tenant: Any, started: Any, provider: ResendServer, hear: Any, model: Any
) -> None:
    event = provider.event("email.delivered", provider.sent[0].id)

    inbound.accept(tenant, "email", email.read(event))
    work()

    assert rows.message_at(tenant, started, 1).delivery_status == "delivered"
