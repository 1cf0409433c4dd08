"""The ledger of a campaign: one row for each lead, and the tally of what became of all of them.

    pending → queued → sent → delivered
       ↓        ↓ └──────┴→ failed
    skipped   failed

A conversation is opened and its row moved to `queued` in one transaction, and the row is `sent` only once the provider
has taken the message: so whoever is contacted is contacted once, wherever a worker dies. The tally moves in the same
transactions.

At all times total = pending + queued + sent + failed + skipped; who was delivered to, replied or was judged counts in
`sent` as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from peewee import SQL, BigIntegerField, Case, IntegerField, TextField, Value, fn

from . import clock
from .base import TenantModel
from .bulk import any_id, as_ids
from .campaigns import Campaign
from .database import is_sqlite
from .paging import paginate
from .statements import ANY_TENANT, slot, statement
from .tallies import move
from .tenancy import Tenant

_PENDING = SQL("'pending'")  # a literal, as in the index that holds pending rows only
_GONE = ("sent", "delivered")


class CampaignRecipient(TenantModel):
    """A lead in a campaign. state: of its first message. status: what is shown, which is the furthest that it got."""

    campaign_id = BigIntegerField()
    lead_number = IntegerField()
    state = TextField(default="pending")
    replied = IntegerField(default=0)
    verdict = TextField(null=True)  # qualified | disqualified
    status = TextField(default="pending")
    reason = TextField(null=True)  # why it waits, was left out or has failed
    due_at = TextField(default="")
    updated_at = TextField()


class CampaignTally(TenantModel):
    """A part of the counts of a campaign."""

    campaign_id = BigIntegerField()
    total = BigIntegerField(default=0)
    pending = BigIntegerField(default=0)
    queued = BigIntegerField(default=0)
    sent = BigIntegerField(default=0)
    delivered = BigIntegerField(default=0)
    replied = BigIntegerField(default=0)
    qualified = BigIntegerField(default=0)
    disqualified = BigIntegerField(default=0)
    failed = BigIntegerField(default=0)
    skipped = BigIntegerField(default=0)


class Counts(NamedTuple):
    """What became of the leads of a campaign."""

    total: int = 0
    pending: int = 0
    queued: int = 0
    sent: int = 0
    delivered: int = 0
    replied: int = 0
    qualified: int = 0
    disqualified: int = 0
    failed: int = 0
    skipped: int = 0


def count(tenant: Tenant, campaign_id: int, **moved: int) -> None:
    """Move these counts of a campaign, in the caller's transaction."""
    moved = {name: by for name, by in moved.items() if by}
    if moved:
        move(tenant, CampaignTally, "campaign_id", campaign_id, moved)


def counts(tenant: Tenant, campaigns: Iterable[Campaign]) -> dict[int, Counts]:
    """What became of each of these campaigns' leads, by the campaign's row id: one query."""
    ids = [campaign.id for campaign in campaigns]
    sums = [fn.COALESCE(fn.SUM(CampaignTally._meta.fields[name]), 0) for name in Counts._fields]
    query: Any = CampaignTally.of(tenant, CampaignTally.campaign_id, *sums)
    rows = query.where(CampaignTally.campaign_id.in_(ids)).group_by(CampaignTally.campaign_id).tuples() if ids else ()
    found = {campaign_id: Counts(*map(int, sums)) for campaign_id, *sums in rows}
    return {each: found.get(each, Counts()) for each in ids}


def take(tenant: Tenant, campaign: Campaign, now: datetime, limit: int) -> list[tuple[int, int]]:
    """Pending rows that are due and nobody else's, as (row id, lead number), held by the caller's transaction."""
    values = {"tenant": tenant.id, "campaign": campaign.id, "now": clock.iso(now), "limit": limit}
    rows = statement("campaign_ledger.take", _due).run(values).fetchall()
    return [(int(row_id), int(number)) for row_id, number in rows]


def _due() -> Any:
    query: Any = CampaignRecipient.of(ANY_TENANT, CampaignRecipient.id, CampaignRecipient.lead_number).where(
        CampaignRecipient.campaign_id == slot("campaign"),
        CampaignRecipient.state == _PENDING,
        CampaignRecipient.due_at <= slot("now"),
    )
    query = query.order_by(CampaignRecipient.due_at, CampaignRecipient.id).limit(slot("limit"))
    return query if is_sqlite() else query.for_update(skip_locked=True)


def next_due(tenant: Tenant, campaign: Campaign) -> str | None:
    """When the next pending row is due, whoever holds it; None where nobody is pending."""
    found = CampaignRecipient.of(tenant, fn.MIN(CampaignRecipient.due_at)).where(
        (CampaignRecipient.campaign_id == campaign.id) & (CampaignRecipient.state == _PENDING)
    )
    moment: str | None = found.scalar()
    return moment


def queue(tenant: Tenant, campaign: Campaign, ids: Collection[int]) -> None:
    """Note that the conversations of these held pending rows are open."""
    _put(tenant, ids, "queued", None)
    count(tenant, campaign.id, pending=-len(ids), queued=len(ids))


def skip(tenant: Tenant, campaign: Campaign, reasons: Mapping[int, str]) -> None:
    """Leave out these held pending rows, each for its reason."""
    for reason in set(reasons.values()):
        _put(tenant, [row_id for row_id, why in reasons.items() if why == reason], "skipped", reason)
    count(tenant, campaign.id, pending=-len(reasons), skipped=len(reasons))


def postpone(tenant: Tenant, waits: Mapping[int, tuple[str, datetime]]) -> None:
    """Have these held pending rows wait until then, each for its reason."""
    for reason, until in set(waits.values()):
        ids = [row_id for row_id, wait in waits.items() if wait == (reason, until)]
        values = {
            CampaignRecipient.reason: reason,
            CampaignRecipient.due_at: clock.iso(until),
            CampaignRecipient.updated_at: clock.stamp(),
        }
        CampaignRecipient.change(tenant, values).where(
            any_id(CampaignRecipient.id, Value(as_ids(ids), False, unpack=False))
        ).execute()


def _put(tenant: Tenant, ids: Collection[int], state: str, reason: str | None) -> None:
    if not ids:
        return
    values = {"tenant": tenant.id, "ids": as_ids(ids), "state": state, "reason": reason, "now": clock.stamp()}
    statement("campaign_ledger.put", _moved).run(values)


def _moved() -> Any:
    values = {
        CampaignRecipient.state: slot("state"),
        CampaignRecipient.status: slot("state"),
        CampaignRecipient.reason: slot("reason"),
        CampaignRecipient.updated_at: slot("now"),
    }
    return CampaignRecipient.change(ANY_TENANT, values).where(any_id(CampaignRecipient.id, slot("ids")))


def deliver_all(tenant: Tenant, ids: Collection[int]) -> None:
    """Note that the provider has delivered the first messages of these rows: one campaign's, and queued until now."""
    values = {"tenant": tenant.id, "ids": as_ids(ids), "now": clock.stamp()}
    moved = statement("campaign_ledger.delivered", _delivered).run(values).fetchall()
    for campaign_id in {row[0] for row in moved}:
        number = sum(1 for row in moved if row[0] == campaign_id)
        count(tenant, campaign_id, queued=-number, sent=number, delivered=number)


def _delivered() -> Any:
    shown = Case(None, [(CampaignRecipient.status == "queued", "delivered")], CampaignRecipient.status)
    values = {
        CampaignRecipient.state: "delivered",
        CampaignRecipient.status: shown,
        CampaignRecipient.reason: None,
        CampaignRecipient.updated_at: slot("now"),
    }
    moved = CampaignRecipient.change(ANY_TENANT, values).where(
        any_id(CampaignRecipient.id, slot("ids")), CampaignRecipient.state == "queued"
    )
    return moved.returning(CampaignRecipient.campaign_id)


def note_delivery(tenant: Tenant, recipient_id: int, status: str, code: str | None) -> None:
    """Follow the first message of a row: `sent`, `delivered`, `read` or `failed`, in the caller's transaction."""
    state = "delivered" if status == "read" else status
    _change(tenant, recipient_id, state=state, reason=code if state == "failed" else None)


def note_reply(tenant: Tenant, recipient_id: int) -> None:
    """Note that the lead answered, in the caller's transaction."""
    _change(tenant, recipient_id, replied=1)


def note_verdict(tenant: Tenant, recipient_id: int, verdict: Mapping[str, Any] | None) -> None:
    """Note how the lead is judged now, in the caller's transaction."""
    said = None if verdict is None else ("qualified" if verdict["qualified"] else "disqualified")
    _change(tenant, recipient_id, verdict=said)


def note_unsaid(tenant: Tenant, recipient_id: int) -> None:
    """The conversation ended before the agent said anything: nothing will be sent."""
    row = _held(tenant, recipient_id)
    if row is not None and row.state == "queued":
        _change(tenant, recipient_id, state="failed", reason="nothing_said")


def _held(tenant: Tenant, recipient_id: int) -> CampaignRecipient | None:
    query: Any = CampaignRecipient.of(tenant).where(CampaignRecipient.id == recipient_id)
    found: CampaignRecipient | None = (query if is_sqlite() else query.for_update()).first()
    return found


def _change(tenant: Tenant, recipient_id: int, **columns: Any) -> None:
    """Store these columns of a row, what follows from them, and the difference that this makes to the tally."""
    row = _held(tenant, recipient_id)
    if row is None:  # the campaign is deleted
        return
    before = _contribution(row)
    for name, value in columns.items():
        setattr(row, name, value)
    row.status = row.verdict or ("replied" if row.replied else row.state)
    row.store(**columns, status=row.status, updated_at=clock.stamp())
    after = _contribution(row)
    count(tenant, row.campaign_id, **{name: after[name] - before[name] for name in after})


def _contribution(row: CampaignRecipient) -> dict[str, int]:
    """What one row adds to each count."""
    return {
        "queued": int(row.state == "queued"),
        "sent": int(row.state in _GONE),
        "delivered": int(row.state == "delivered"),
        "failed": int(row.state == "failed"),
        "replied": int(bool(row.replied)),
        "qualified": int(row.verdict == "qualified"),
        "disqualified": int(row.verdict == "disqualified"),
    }


def close(tenant: Tenant, campaign: Campaign, reason: str, limit: int) -> int:
    """Leave out at most so many pending rows of a held campaign that is over; returns how many."""
    of_campaign = (CampaignRecipient.campaign_id == campaign.id) & (CampaignRecipient.state == _PENDING)
    query: Any = CampaignRecipient.of(tenant, CampaignRecipient.id).where(of_campaign).limit(limit).tuples()
    ids = [row_id for (row_id,) in query]
    skip(tenant, campaign, dict.fromkeys(ids, reason))
    return len(ids)


def page(
    tenant: Tenant, campaign: Campaign, *, status: str | None, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[CampaignRecipient], str | None]:
    """A page of the ledger in its order, and the cursor of the next page or None on the last."""
    query = CampaignRecipient.of(tenant).where(CampaignRecipient.campaign_id == campaign.id)
    if status is not None:
        query = query.where(CampaignRecipient.status == status)
    keys = [CampaignRecipient.id]
    order = f"campaign/{campaign.oid}"
    return paginate(query, keys, order=order, limit=limit, skip=skip, cursor=cursor, descending=False)


def count_of(tenant: Tenant, campaign: Campaign, status: str | None) -> int:
    """How many rows of the ledger are in this status, or how many there are."""
    if status is None:
        return counts(tenant, [campaign])[campaign.id].total
    query = CampaignRecipient.of(tenant).where(
        (CampaignRecipient.campaign_id == campaign.id) & (CampaignRecipient.status == status)
    )
    return int(query.count())


def conversations_of(tenant: Tenant, rows: Sequence[CampaignRecipient]) -> dict[int, str]:
    """The ids of the conversations of these rows, by row id: one query."""
    from .conversations import Conversation  # which counts replies here

    ids = [row.id for row in rows]
    query: Any = Conversation.of(tenant, Conversation.campaign_recipient_id, Conversation.oid)
    return dict(query.where(Conversation.campaign_recipient_id.in_(ids)).tuples()) if ids else {}
