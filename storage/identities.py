"""Identities: what a channel itself calls a lead, such as a chat id, a wa_id or a business-scoped user id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import IntegerField, TextField

from . import clock
from .base import TenantModel
from .leads import Lead
from .tenancy import Tenant


class ChannelIdentity(TenantModel):
    """One name of a lead on one channel; nobody else has it there."""

    lead_number = IntegerField()
    channel = TextField()
    address = TextField()
    created_at = TextField()


def _on(tenant: Tenant, channel: str, addresses: Sequence[str]) -> Any:
    mine = (ChannelIdentity.channel == channel) & ChannelIdentity.address.in_(list(addresses))
    return ChannelIdentity.of(tenant).where(mine)


def owner(tenant: Tenant, channel: str, addresses: Sequence[str]) -> Lead | None:
    """Who has the first of these that is known; a lead that is deleted counts too. None: nobody."""
    if not addresses:
        return None
    numbers = {row.address: row.lead_number for row in _on(tenant, channel, addresses)}
    number = next((numbers[address] for address in addresses if address in numbers), None)
    if number is None:
        return None
    found: Lead | None = Lead.of(tenant).where(Lead.number == number).first()
    return found


def add(tenant: Tenant, lead_number: int, channel: str, addresses: Sequence[str], *, since: str | None = None) -> None:
    """Note what a held lead is called on a channel, in the caller's transaction; what is somebody else's stays so.

    since: when it began; now, where that is not given.
    """
    known = {row.address for row in _on(tenant, channel, addresses)} if addresses else set()
    moment = since or clock.stamp()
    rows: list[dict[Any, Any]] = [
        {
            ChannelIdentity.lead_number: lead_number,
            ChannelIdentity.channel: channel,
            ChannelIdentity.address: address,
            ChannelIdentity.created_at: moment,
        }
        for address in sorted(set(addresses) - known)  # sorted: two who add the same ones cannot deadlock
    ]
    if rows:
        ChannelIdentity.add_all(tenant, rows).on_conflict(action="NOTHING").execute()


def hand_over(tenant: Tenant, previous: int, lead_number: int) -> None:
    """Give all identities of one lead to another, in the caller's transaction."""
    mine = ChannelIdentity.lead_number == previous
    ChannelIdentity.change(tenant, {ChannelIdentity.lead_number: lead_number}).where(mine).execute()


def rename(tenant: Tenant, channel: str, previous: str, current: str) -> int | None:
    """The number of the lead that the channel calls differently from now on; None if it knows nobody by that name.

    In the caller's transaction. Where the new name is known already, it stays with the lead that has it, and the old
    one goes.
    """
    row = _on(tenant, channel, [previous]).first()
    if row is None:
        return None
    if _on(tenant, channel, [current]).first() is None:
        row.store(address=current, created_at=clock.stamp())
    elif previous != current:
        ChannelIdentity.remove(tenant).where(ChannelIdentity.id == row.id).execute()
    return int(row.lead_number)


def all_of(tenant: Tenant, lead_number: int) -> list[tuple[str, str]]:
    """What a lead is called on all channels: (channel, address)."""
    rows: Any = ChannelIdentity.of(tenant).where(ChannelIdentity.lead_number == lead_number)
    return [(row.channel, row.address) for row in rows]


def addresses(tenant: Tenant, lead_number: int, channel: str) -> list[str]:
    """What a lead is called on a channel, for sending: the latest first."""
    mine = (ChannelIdentity.lead_number == lead_number) & (ChannelIdentity.channel == channel)
    rows: Any = ChannelIdentity.of(tenant).where(mine)
    return [row.address for row in rows.order_by(ChannelIdentity.created_at.desc(), ChannelIdentity.id.desc())]
