"""Lists of leads: the simple filters, the orders and the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from .lead_filters import has_any
from .lead_search import found_by
from .leads import Lead, live
from .paging import paginate
from .tenancy import Tenant

ORDERS: dict[str, Any] = {
    "createdAt": Lead.created_at,
    "updatedAt": Lead.updated_at,
    "name": Lead.name_key,
    "lastContactedAt": fn.COALESCE(Lead.last_contacted_at, SQL("''")),  # as in the index; never contacted is oldest
}
NEWEST_FIRST = "-createdAt"


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """What a lead must be to stand in a list; a member that is None asks nothing.

    tags: at least one of them. channel: the lead can be reached on it. q, phones: as in `lead_search.found_by`.
    condition: one made by `lead_filters.matching`.
    """

    statuses: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    channel: str | None = None
    import_batch_id: str | None = None
    external_id: str | None = None
    q: str | None = None
    phones: Sequence[str] = ()
    condition: Any = None

    def conditions(self) -> list[Any]:
        """The conditions to AND, none if the filter asks nothing."""
        given: list[Any] = []
        if self.statuses is not None:
            given.append(Lead.status.in_(list(self.statuses)))
        if self.tags is not None:
            given.append(has_any(Lead.tags, self.tags))
        if self.channel is not None:
            given.append((Lead.email if self.channel == "email" else Lead.phone) != "")
        if self.import_batch_id is not None:
            given.append(Lead.import_batch_id == self.import_batch_id)
        if self.external_id is not None:
            given.append(Lead.external_id == self.external_id)
        if self.q is not None:
            given.append(found_by(self.q, self.phones))
        if self.condition is not None:
            given.append(self.condition)
        return given


def count(tenant: Tenant, wanted: LeadFilter) -> int:
    """How many leads match, by counting them; the number of all leads is `leads.count`."""
    matching: int = live(tenant, fn.COUNT(Lead.id)).where(*wanted.conditions()).scalar()
    return matching


def page(
    tenant: Tenant,
    wanted: LeadFilter,
    *,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
    sort: str = NEWEST_FIRST,
) -> tuple[list[Lead], str | None]:
    """A page of the leads that match, and the cursor of the next page or None on the last.

    sort: a key of ORDERS, with "-" in front for descending. Raises Blocked: a cursor that is not of this order.
    """
    query: Any = live(tenant)
    if conditions := wanted.conditions():
        query = query.where(*conditions)
    keys = [ORDERS[sort.removeprefix("-")], Lead.number]
    return paginate(query, keys, order=sort, limit=limit, skip=skip, cursor=cursor, descending=sort.startswith("-"))
