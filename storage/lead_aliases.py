"""What merged leads leave behind: which lead each became, and the external ids that mean that lead from now on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from peewee import EXCLUDED, IntegerField, TextField, Value

from . import clock
from .base import TenantModel
from .lists import as_parameter, one_of
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant


class LeadMerge(TenantModel):
    """A lead that is no more, and the one that it became, over all merges."""

    source_number = IntegerField()
    lead_number = IntegerField()
    created_at = TextField()


class LeadAlias(TenantModel):
    """An external id that a merged lead had; a lead that has it itself goes before."""

    external_id = TextField()
    lead_number = IntegerField()
    created_at = TextField()


def merged_into(tenant: Tenant, number: int) -> int | None:
    """The number of the lead that the one with this number became; None where it was never merged."""
    row = LeadMerge.of(tenant).where(LeadMerge.source_number == number).first()
    return None if row is None else int(row.lead_number)


def note(tenant: Tenant, sources: Collection[int], lead_number: int, external_ids: Iterable[str]) -> None:
    """Write down, in the caller's transaction, what these leads became, and that these ids mean it now."""
    moment = clock.stamp()
    for model in (LeadMerge, LeadAlias):  # what became one of the sources before goes along
        earlier = model.lead_number.in_(list(sources))
        model.change(tenant, {model.lead_number: lead_number}).where(earlier).execute()
    merges = [
        {LeadMerge.source_number: number, LeadMerge.lead_number: lead_number, LeadMerge.created_at: moment}
        for number in sources
    ]
    LeadMerge.add_all(tenant, merges).execute()
    named: list[dict[Any, Any]] = [
        {LeadAlias.external_id: name, LeadAlias.lead_number: lead_number, LeadAlias.created_at: moment}
        for name in sorted(set(external_ids))
    ]
    if named:
        LeadAlias.add_all(tenant, named).on_conflict(
            conflict_target=[LeadAlias.tenant_id, LeadAlias.external_id],
            update={LeadAlias.lead_number: EXCLUDED.lead_number},
        ).execute()


def by_external_id(tenant: Tenant, external_ids: Collection[str]) -> dict[str, int]:
    """Those of these external ids that a merged lead had, and the number of the lead that each means now."""
    if not external_ids:
        return {}
    values = {"tenant": tenant.id, "external_ids": as_parameter(list(external_ids))}
    return dict(statement("lead_aliases.by_external_id", _named).run(values).fetchall())


def _named() -> Any:
    query: Any = LeadAlias.of(ANY_TENANT, LeadAlias.external_id, LeadAlias.lead_number)
    return query.where(one_of(LeadAlias.external_id, slot("external_ids")))


def numbers_by(external_ids: Value) -> Any:
    """The numbers of the leads that these external ids mean, as a part of a larger statement."""
    return LeadAlias.of(ANY_TENANT, LeadAlias.lead_number).where(one_of(LeadAlias.external_id, external_ids))


def external_ids_of(tenant: Tenant, lead_number: int) -> list[str]:
    """The external ids of leads that became this one, besides its own."""
    query: Any = LeadAlias.of(tenant).where(LeadAlias.lead_number == lead_number)
    return [row.external_id for row in query.order_by(LeadAlias.external_id)]


def sources_of(tenant: Tenant, lead_number: int) -> list[int]:
    """The numbers of the leads that became this one."""
    query: Any = LeadMerge.of(tenant).where(LeadMerge.lead_number == lead_number)
    return [int(row.source_number) for row in query.order_by(LeadMerge.source_number)]


def forget(tenant: Tenant, lead_number: int) -> None:
    """Let no external id of a merged lead mean this one any more, in the caller's transaction."""
    LeadAlias.remove(tenant).where(LeadAlias.lead_number == lead_number).execute()
