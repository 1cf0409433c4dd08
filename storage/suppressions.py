"""Who asked for silence and was erased since: only a keyed digest of each of their addresses is left."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from peewee import TextField

from . import clock
from .base import TenantModel
from .tenancy import Tenant


class Suppression(TenantModel):
    """An address, as a digest that tells nothing without the server's key, and the channels it is silent on."""

    digest = TextField()
    channels = TextField()  # separated by spaces
    created_at = TextField()


def keep(tenant: Tenant, digests: Collection[str], channels: Collection[str]) -> None:
    """Have these addresses left in peace on these channels, and on those they were silent on before."""
    known = {row.digest: row for row in _of(tenant, digests)}
    for digest in sorted(digests):  # sorted: two who keep the same ones cannot deadlock
        if digest in known:
            row = known[digest]
            row.store(channels=" ".join(sorted({*row.channels.split(), *channels})))
        else:
            named = {
                Suppression.digest: digest,
                Suppression.channels: " ".join(sorted(channels)),
                Suppression.created_at: clock.stamp(),
            }
            Suppression.add_all(tenant, [named]).on_conflict(action="NOTHING").execute()


def channels_of(tenant: Tenant, digests: Collection[str]) -> list[str]:
    """The channels on which somebody with one of these addresses is silent."""
    return sorted({channel for row in _of(tenant, digests) for channel in row.channels.split()})


def lift(tenant: Tenant, digests: Collection[str]) -> None:
    """Forget that these addresses are silent: the person asked to hear from the account again."""
    if digests:
        Suppression.remove(tenant).where(Suppression.digest.in_(list(digests))).execute()


def _of(tenant: Tenant, digests: Collection[str]) -> list[Suppression]:
    found: Any = Suppression.of(tenant).where(Suppression.digest.in_(list(digests)))
    return list(found) if digests else []
