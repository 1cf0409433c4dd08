"""A conversation in which nobody speaks is dropped in time, and no other."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from engine import conversations
from engine.jobs import worker
from storage import clock, outbox
from storage import conversations as rows
from storage.outbox import OutboxRow
from storage.tenancy import SYSTEM


@pytest.fixture
def work_at(monkeypatch):
    """Does what is due in the lane of silence so many minutes from now."""

    def work(conversation, minutes):
        moment = datetime.now().astimezone() + timedelta(minutes=minutes)
        with monkeypatch.context() as then:
            then.setattr(clock, "now", lambda: moment)
            return worker.work_lane(f"{conversation.oid}/idle")

    return work


def status(tenant, conversation):
    return rows.get(tenant, conversation.oid).status


def test_silent_conversation_is_dropped(tenant, make_conversation, work_at):
    conversation = make_conversation()

    assert work_at(conversation, minutes=1441) == 1

    assert status(tenant, conversation) == "dropped"


def test_nothing_is_looked_at_before_its_time(tenant, make_conversation, work_at):
    conversation = make_conversation()

    assert work_at(conversation, minutes=1439) == 0


def test_lively_conversation_is_looked_at_again_when_it_may_have_fallen_silent(tenant, make_conversation, work_at):
    conversation = make_conversation()
    later = clock.iso(clock.now() + timedelta(minutes=600))
    conversation.store(last_message_at=later)

    work_at(conversation, minutes=1441)

    assert status(tenant, conversation) == "active"
    waiting = OutboxRow.get((OutboxRow.kind == "idle") & (OutboxRow.state == "pending"))
    assert waiting.available_at == clock.iso(datetime.fromisoformat(later) + timedelta(minutes=1440))


def test_conversation_of_a_person_is_not_dropped_and_is_watched_again_once_given_back(
    tenant, make_conversation, work_at
):
    conversation = make_conversation()
    conversations.change_status(tenant, conversation.oid, "handed_off", actor=SYSTEM)
    work_at(conversation, minutes=1441)
    assert status(tenant, conversation) == "handed_off"

    conversations.change_status(tenant, conversation.oid, "active", actor=SYSTEM)

    assert outbox.lane_moves_at(f"{conversation.oid}/idle") is not None
