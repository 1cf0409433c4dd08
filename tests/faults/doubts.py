"""Calls of providers whose outcome nobody knows: what is given ten minutes in life is given seconds in a storm."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from engine.delivery.doubts import PATIENCE
from engine.delivery.outcomes import UNKNOWN
from storage import clock, deliveries
from storage.conversations import Conversation, Message
from storage.database import connection, transaction
from storage.deliveries import DeliveryAttempt
from storage.outbox import OutboxRow
from storage.tenancy import Tenant

_GRACE = timedelta(seconds=6)  # in which a status may come, and a late answer
_AGE = PATIENCE + timedelta(minutes=1)

_ENDINGS = {  # of a call, by its last state
    "accepted": "had been taken",
    "deferred": "had not been taken, sent again",
    "refused": "had been refused",
    "unknown": "repeated under their key",
}


class Doubts:
    """Knows of doubtful calls, and has time pass for them where a process has just been killed."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._seen: set[int] = set()

    def are_due(self) -> bool:
        """Whether a message waits for nothing but the time that its call is given."""
        with connection():
            return bool(self._due())

    def pass_time(self) -> None:
        """Make calls that have been in doubt for some seconds older than anybody's patience."""
        with transaction():
            for attempt, row in self._due():
                attempt.store(started_at=clock.iso(clock.now() - _AGE))
                OutboxRow.update(available_at=clock.stamp()).where(OutboxRow.id == row.id).execute()

    def _due(self) -> list[tuple[Any, Any]]:
        """Calls that have had their grace, each with the row of its message."""
        in_doubt = DeliveryAttempt.state.in_(deliveries.IN_DOUBT)
        attempts = list(DeliveryAttempt.of(self._tenant).where(in_doubt))
        self._seen |= {attempt.id for attempt in attempts if attempt.state == "unknown"}
        is_held = (OutboxRow.state == "pending") & (OutboxRow.held_for == UNKNOWN)
        waiting = OutboxRow.select().where(is_held & (OutboxRow.available_at > clock.stamp()))
        rows = {row.payload["message"]: row for row in waiting}
        ids = [attempt.message_id for attempt in attempts]
        names = dict(Message.of(self._tenant, Message.id, Message.oid).where(Message.id.in_(ids)).tuples())
        due = clock.iso(clock.now() - _GRACE)
        return [
            (attempt, rows[names[attempt.message_id]])
            for attempt in attempts
            if attempt.started_at < due and names[attempt.message_id] in rows
        ]

    def endings(self, taken: Collection[str]) -> dict[str, Counter[str]]:
        """How many calls there were whose outcome was not known, by channel and by how that ended.

        taken: the texts that providers have taken.
        """
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        with connection():
            attempts = list(DeliveryAttempt.of(self._tenant).order_by(DeliveryAttempt.id))
            columns = (Message.id, Message.content, Conversation.channel)
            joined = Message.of(self._tenant, *columns).join(
                Conversation, on=(Conversation.id == Message.conversation_id)
            )
            messages = {row_id: (text, channel) for row_id, text, channel in joined.tuples()}
        last = {attempt.message_id: attempt.id for attempt in attempts}
        for attempt in attempts:
            if attempt.id in self._seen:
                text, channel = messages[attempt.message_id]
                is_parked = attempt.state == "unknown" and attempt.id == last[attempt.message_id]
                parked = f"parked, had {'' if text in taken else 'not '}been taken"
                counted[channel][parked if is_parked else _ENDINGS[attempt.state]] += 1
        return counted
