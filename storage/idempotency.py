"""Stored answers to writes that carried an `Idempotency-Key`; one completes in its effect's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from peewee import BlobField, CompositeKey, IntegerField, JSONField, TextField

from . import clock
from .base import Row
from .errors import Blocked, Conflict

KEPT_FOR = timedelta(hours=24)


class IdempotencyRecord(Row):
    """The answer to one request, findable by who sent it (`owner`) and its key."""

    owner = TextField()
    key = TextField()
    request_hash = TextField()
    status = IntegerField()
    headers = JSONField(default=dict)
    body = BlobField()
    created_at = TextField()

    class Meta:  # noqa: D106 (Peewee's own way)
        primary_key = CompositeKey("owner", "key")


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer as it was first given."""

    status: int
    headers: dict[str, str]
    body: bytes


def replay(owner: str, key: str, request_hash: str) -> Stored | None:
    """The stored answer to this very request, None if there is none that is still kept.

    Raises Blocked where the key was used with another request.
    """
    row = IdempotencyRecord.get_or_none((IdempotencyRecord.owner == owner) & (IdempotencyRecord.key == key))
    if row is None or clock.parse(row.created_at) < clock.now() - KEPT_FOR:
        return None
    if row.request_hash != request_hash:
        raise Blocked("idempotency_mismatch", "Idempotency-Key was used with another request")
    return Stored(row.status, row.headers, bytes(row.body))


def complete(owner: str, key: str, request_hash: str, answer: Stored) -> None:
    """Store the answer in the caller's transaction, over one that is no longer kept or was provisional."""
    answered = {
        IdempotencyRecord.request_hash: request_hash,
        IdempotencyRecord.status: answer.status,
        IdempotencyRecord.headers: answer.headers,
        IdempotencyRecord.body: answer.body,
        IdempotencyRecord.created_at: clock.stamp(),
    }
    identity = {IdempotencyRecord.owner: owner, IdempotencyRecord.key: key}
    IdempotencyRecord.insert({**identity, **answered}).on_conflict(
        conflict_target=list(identity), update=answered
    ).execute()


def in_flight() -> Conflict:
    """The refusal of a request whose first sending is still being worked on."""
    return Conflict("idempotency_in_flight", "A request with this Idempotency-Key is still being processed")


def purge(batch: int = 1000) -> int:
    """Delete answers that are no longer kept, at most `batch` of them; returns how many."""
    old = clock.iso(clock.now() - KEPT_FOR)
    rows = list(IdempotencyRecord.select().where(IdempotencyRecord.created_at < old).limit(batch))
    for row in rows:
        row.delete_instance()
    return len(rows)
