"""Events are stored once, with what has them processed, or nothing of a body is."""

from __future__ import annotations

import itertools
import random

import pytest

from engine import inbound
from engine.channels import Ignored, Said, Sender, Status
from engine.inbound import Batch, accepting
from storage import database, outbox
from storage.inbox import InboundEvent
from storage.outbox import OutboxRow
from tests.engine.inbound.conftest import ADA, together


def test_event_and_its_row_are_stored_together(tenant, event):
    assert inbound.accept(tenant, "whatsapp", [event("Hi")]) == 1

    [stored], [row] = list(InboundEvent.of(tenant)), list(OutboxRow.select())
    assert (stored.state, stored.contact, stored.processed_at) == ("stored", "12025550142", None)
    assert (row.kind, row.lane, row.payload) == (
        "inbound",
        f"in/{tenant.id}/whatsapp/12025550142",
        {"event": stored.id},
    )


def test_ignored_event_is_stored_with_its_reason_and_has_nothing_to_do(tenant, event, fates):
    inbound.accept(tenant, "whatsapp", [event(Ignored("reaction_removed"))])

    assert fates() == [("ignored", "reaction_removed")]
    assert OutboxRow.select().count() == 0


def test_repeated_body_changes_nothing(tenant, event):
    body = [event("Hi"), event("there"), event(Ignored("poll"))]
    inbound.accept(tenant, "whatsapp", body)

    assert inbound.accept(tenant, "whatsapp", body) == 0
    assert (InboundEvent.of(tenant).count(), OutboxRow.select().count()) == (3, 2)


def test_repeated_event_within_a_body_is_one(tenant, event):
    assert inbound.accept(tenant, "whatsapp", [event("Hi", event_id="1"), event("Hi", event_id="1")]) == 1
    assert OutboxRow.select().count() == 1


def test_bodies_that_overlap_and_come_at_once_are_each_stored_once(tenant, event):
    events = [event(f"{number}", contact=f"contact {number % 5}") for number in range(30)]
    bodies = [random.Random(seed).sample(events, 12) for seed in range(24)]

    counts = together(lambda body: inbound.accept(tenant, "whatsapp", body), bodies)

    stored = {each.id for body in bodies for each in body}
    assert sum(counts) == len(stored) == InboundEvent.of(tenant).count() == OutboxRow.select().count()


def test_order_of_a_contact_is_the_order_in_which_its_events_became_visible(tenant, event):
    """Whoever sees an event may rely on seeing all earlier ones of that contact."""
    numbers = itertools.count()
    seen: list[int] = []

    def accept_and_look(_: int) -> None:
        number = next(numbers)
        inbound.accept(tenant, "whatsapp", [event(f"{number}", contact="one"), event(f"{number}b", contact="two")])
        highest = OutboxRow.select().where(OutboxRow.lane.endswith("/one")).order_by(OutboxRow.id.desc()).first()
        below = OutboxRow.select().where(OutboxRow.lane.endswith("/one") & (OutboxRow.id < highest.id)).count()
        seen.append((highest.id, below))

    together(accept_and_look, range(40))

    final = [row.id for row in OutboxRow.select().where(OutboxRow.lane.endswith("/one")).order_by(OutboxRow.id)]
    assert all(final.index(row_id) == below for row_id, below in seen)


def test_body_of_two_accounts_is_stored_whole_or_not_at_all(tenant, other_tenant, event, monkeypatch):
    batches = [Batch(tenant, "whatsapp", [event("Hi")]), Batch(other_tenant, "whatsapp", [event("Hello")])]
    put = outbox.put
    refusing = [lambda *given: put(*given), lambda *given: 1 / 0]
    monkeypatch.setattr(accepting.outbox, "put", lambda *given: refusing.pop(0)(*given))

    with pytest.raises(ZeroDivisionError):
        inbound.accept_all(batches)

    assert InboundEvent.of(tenant).count() == InboundEvent.of(other_tenant).count() == 0
    monkeypatch.setattr(accepting.outbox, "put", put)
    assert inbound.accept_all(batches) == 2


def test_ten_thousand_characters_of_id_fit(tenant, event):
    ids = ["x" * 10_000, "x" * 9_999 + "y"]

    assert inbound.accept(tenant, "whatsapp", [event(event_id=each, contact=each) for each in ids]) == 2
    assert inbound.accept(tenant, "whatsapp", [event(event_id=each, contact=each) for each in ids]) == 0


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"], ids=["NUL", "half of a surrogate pair"])
def test_what_no_database_takes_is_left_out(tenant, event, text):
    said = Said(Sender((text,), name=text), text, provider_id=text)

    inbound.accept(tenant, "telegram", [event(said, sender=ADA, event_id=text, payload={text: [text, float("nan")]})])

    [stored] = InboundEvent.of(tenant)
    assert stored.payload["what"]["text"] in ("ab", "a?b")


def test_status_waits_for_nothing_that_the_person_says(tenant, event):
    inbound.accept(tenant, "whatsapp", [event("Hi"), event(Status("wamid.1", "delivered"))])

    assert len({row.lane for row in OutboxRow.select()}) == 2


def test_callers_transaction_decides(tenant, event):
    def taken_in_and_undone():
        with database.transaction():
            inbound.accept(tenant, "whatsapp", [event("Hi")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        taken_in_and_undone()

    assert InboundEvent.of(tenant).count() == 0
