"""What analytics is answered from: changes that wait to be counted, what was counted for whom, and the sums.

Triggers note each lead and each conversation that changes. Whoever counts takes such notes, sets the facts of those
rows against the facts that were counted for them before, and moves the sums by the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from peewee import EXCLUDED, SQL, BigIntegerField, IntegerField, ModelInsert, ModelSelect, TextField, fn

from .base import TenantModel
from .conversations import Conversation, Message
from .database import database, is_sqlite
from .leads import Lead
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant

Kind = Literal["lead", "conversation"]
Grain = Literal["all", "day", "quarter"]
_LOCK = 0x616E616C  # any number that only counting uses
_AT_ONCE = 500  # rows of one statement


class AnalyticsChange(TenantModel):
    """A lead, or a conversation and its lead, that counts for something else now. Number 0 is no lead's."""

    lead_number = IntegerField()
    conversation_id = BigIntegerField(null=True)


class AnalyticsFact(TenantModel):
    """What was counted for a lead (by number) or a conversation (by row id), as text of the counting engine."""

    kind = TextField()
    ref = BigIntegerField()
    facts = TextField()


class AnalyticsTally(TenantModel):
    """A sum: of a subject's value, over a slot of time. Slots count from 1970 in UTC; the one of `all` is 0."""

    subject = TextField()
    grain = TextField()  # all | day | quarter: of an hour, for some zones are 15 minutes off
    slot = IntegerField()
    value = TextField()
    measure = TextField()
    amount = BigIntegerField()


class Key(NamedTuple):
    """Where an amount belongs."""

    subject: str
    grain: Grain
    slot: int
    value: str
    measure: str


class Piece(NamedTuple):
    """Slots of one grain: from `first` on, before `end`. sign: -1 for what is to be taken away."""

    grain: Grain
    first: int
    end: int
    sign: int = 1


EVER = Piece("all", 0, 1)


def is_behind(tenant: Tenant) -> bool:
    """Whether something changed that is not counted yet."""
    return statement("analytics.behind", _behind).run({"tenant": tenant.id}).fetchone() is not None


def _behind() -> Any:
    return AnalyticsChange.of(ANY_TENANT, AnalyticsChange.id).limit(1)


def next_behind() -> int | None:
    """The id of the tenant whose change has waited longest to be counted; None where none waits."""
    query = ModelSelect(AnalyticsChange, [AnalyticsChange.tenant_id]).order_by(AnalyticsChange.id).limit(1)
    found: int | None = query.scalar()
    return found


def count_alone(tenant: Tenant) -> None:
    """Be the only one who counts for this tenant until the transaction ends."""
    if not is_sqlite():
        database.execute_sql("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK, tenant.id % 2**31))


def take_changes(tenant: Tenant, most: int) -> tuple[set[int], set[int]]:
    """The leads' numbers and the conversations' row ids of the oldest notes, which are gone with the transaction."""
    query: Any = AnalyticsChange.of(tenant).order_by(AnalyticsChange.id).limit(most)
    taken = list(
        query.tuples().select(AnalyticsChange.id, AnalyticsChange.lead_number, AnalyticsChange.conversation_id)
    )
    for ids in _parts([row[0] for row in taken]):
        AnalyticsChange.remove(tenant).where(AnalyticsChange.id.in_(ids)).execute()
    return {number for _, number, _ in taken if number}, {ref for _, _, ref in taken if ref is not None}


def leads(tenant: Tenant, numbers: Collection[int]) -> Iterator[Lead]:
    """Those of these leads that are not deleted, with what they count for."""
    columns = (Lead.number, Lead.status, Lead.source, Lead.tags, Lead.assigned_agent_id, Lead.last_contacted_at)
    for part in _parts(numbers):
        query: Any = Lead.of(tenant, *columns, Lead.created_at)
        yield from query.where(Lead.number.in_(part), Lead.deleted_at.is_null())


def conversations_of(tenant: Tenant, numbers: Collection[int]) -> Iterator[Conversation]:
    """The conversations of these leads."""
    for part in _parts(numbers):
        yield from _conversations(tenant).where(Conversation.lead_number.in_(part))


def conversations(tenant: Tenant, ids: Collection[int]) -> Iterator[Conversation]:
    """The conversations with these row ids."""
    for part in _parts(ids):
        yield from _conversations(tenant).where(Conversation.id.in_(part))


def _conversations(tenant: Tenant) -> Any:
    left_out = (Conversation.lead_phone, Conversation.lead_email, Conversation.summary)
    return Conversation.of(tenant, *[each for each in Conversation._meta.sorted_fields if each not in left_out])


def messages(tenant: Tenant, ids: Collection[int]) -> Iterator[Message]:
    """Who wrote when in these conversations, in the order of each."""
    columns = (Message.conversation_id, Message.role, Message.agent_config_id, Message.created_at)
    for part in _parts(ids):
        query: Any = Message.of(tenant, *columns).where(Message.conversation_id.in_(part))
        yield from query.order_by(Message.conversation_id, Message.seq)


def facts(tenant: Tenant, kind: Kind, refs: Collection[int]) -> dict[int, str]:
    """What was counted for these before; who never counted is absent."""
    found: dict[int, str] = {}
    for part in _parts(refs):
        of_kind = (AnalyticsFact.kind == kind) & AnalyticsFact.ref.in_(part)
        query: Any = AnalyticsFact.of(tenant, AnalyticsFact.ref, AnalyticsFact.facts).where(of_kind)
        found.update(query.tuples())
    return found


def set_facts(tenant: Tenant, kind: Kind, counted: Mapping[int, str | None]) -> None:
    """Keep what is counted for these now; None: nothing any more."""
    gone = [ref for ref, text in counted.items() if text is None]
    for part in _parts(gone):
        AnalyticsFact.remove(tenant).where(AnalyticsFact.kind == kind, AnalyticsFact.ref.in_(part)).execute()
    kept = [
        {AnalyticsFact.kind: kind, AnalyticsFact.ref: ref, AnalyticsFact.facts: text}
        for ref, text in counted.items()
        if text is not None
    ]
    target = [AnalyticsFact.tenant_id, AnalyticsFact.kind, AnalyticsFact.ref]
    for rows in _parts(kept):
        AnalyticsFact.add_all(tenant, rows).on_conflict(
            conflict_target=target, preserve=[AnalyticsFact.facts]
        ).execute()


def move(tenant: Tenant, amounts: Mapping[Key, int]) -> None:
    """Add these amounts to the sums."""
    fields = [AnalyticsTally._meta.fields[name] for name in (*Key._fields, "amount")]
    rows = [dict(zip(fields, (*key, amount), strict=True)) for key, amount in sorted(amounts.items()) if amount]
    target = [AnalyticsTally.tenant_id, *fields[:-1]]
    for part in _parts(rows):
        summed = {AnalyticsTally.amount: AnalyticsTally.amount + EXCLUDED.amount}
        AnalyticsTally.add_all(tenant, part).on_conflict(conflict_target=target, update=summed).execute()


def sums(tenant: Tenant, subjects: Sequence[str], pieces: Iterable[Piece]) -> dict[tuple[str, str, str], int]:
    """The sums over these slots by (subject, value, measure)."""
    total: dict[tuple[str, str, str], int] = {}
    for piece in pieces:
        for subject in subjects:
            values = {"tenant": tenant.id, "subject": subject, **piece._asdict()}
            for value, measure, amount in statement("analytics.sums", _sums).run(values).fetchall():
                key = (subject, value, measure)
                total[key] = total.get(key, 0) + piece.sign * int(amount)
    return {key: amount for key, amount in total.items() if amount}


def _within() -> Any:
    return (
        (AnalyticsTally.subject == slot("subject"))
        & (AnalyticsTally.grain == slot("grain"))
        & (AnalyticsTally.slot >= slot("first"))
        & (AnalyticsTally.slot < slot("end"))
    )


def _sums() -> Any:
    columns = (AnalyticsTally.value, AnalyticsTally.measure)
    query: Any = AnalyticsTally.of(ANY_TENANT, *columns, fn.SUM(AnalyticsTally.amount)).where(_within())
    return query.group_by(*columns)


def series(tenant: Tenant, subject: str, measure: str, piece: Piece) -> list[tuple[int, int]]:
    """(slot, sum over all values of the subject) for the slots of a piece that have one."""
    values = {"tenant": tenant.id, "subject": subject, "measure": measure, **piece._asdict()}
    return [(at, int(amount)) for at, amount in statement("analytics.series", _series).run(values).fetchall()]


def _series() -> Any:
    query: Any = AnalyticsTally.of(ANY_TENANT, AnalyticsTally.slot, fn.SUM(AnalyticsTally.amount))
    return query.where(_within(), AnalyticsTally.measure == slot("measure")).group_by(AnalyticsTally.slot)


def forget(tenant: Tenant) -> None:
    """Drop every sum of a tenant and note all that it has as not counted, in the caller's transaction."""
    for model in (AnalyticsTally, AnalyticsFact, AnalyticsChange):
        model.remove(tenant).execute()
    for query in (
        Lead.of(tenant, Lead.tenant_id, Lead.number, SQL("CAST(NULL AS BIGINT)")),
        Conversation.of(tenant, Conversation.tenant_id, Conversation.lead_number, Conversation.id),
    ):
        columns = [AnalyticsChange.tenant_id, AnalyticsChange.lead_number, AnalyticsChange.conversation_id]
        ModelInsert(AnalyticsChange, query, columns).execute()


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    listed = list(items)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
