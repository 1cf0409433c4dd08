"""How many leads have a status or a tag: kept by triggers of the database, so that nobody has to count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from peewee import IntegerField, TextField, fn

from .base import TenantModel
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant


class LeadTally(TenantModel):
    """Some of a tenant's leads that are not deleted: PostgreSQL may keep several rows whose sum is meant."""

    kind = TextField()
    value = TextField()
    live = IntegerField()


def tallied(tenant: Tenant, kind: Literal["status", "tag"], values: Sequence[str]) -> int:
    """How many leads have this status or this tag, or one of several statuses."""
    distinct = list(dict.fromkeys(values))
    names = [f"value {index}" for index in range(len(distinct))]
    tally = statement(
        ("lead_tallies.tallied", len(distinct)),
        lambda: LeadTally.of(ANY_TENANT, fn.SUM(LeadTally.live)).where(
            LeadTally.kind == slot("kind"), LeadTally.value.in_([slot(name) for name in names])
        ),
    )
    [(number,)] = tally.run({"tenant": tenant.id, "kind": kind, **dict(zip(names, distinct, strict=True))}).fetchall()
    return int(number or 0)
