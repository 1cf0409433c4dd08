"""Tallies that may be spread over several rows whose sum is meant.

A transaction takes a row that nobody holds, so those who count for one thing neither wait for each other nor deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from peewee import ModelSelect

from .base import TenantModel
from .database import is_sqlite
from .statements import ANY_TENANT, slot, statement
from .tenancy import Tenant


def move(tenant: Tenant, model: type[TenantModel], owner: str, owner_id: int, moved: Mapping[str, int]) -> None:
    """Add to these counts, in the caller's transaction. owner: the column that says what they are the counts of."""
    moving = statement(("tallies.move", model, *moved), lambda: _moved(model, owner, moved))
    if not moving.run({"tenant": tenant.id, "owner": owner_id, **moved}).rowcount:
        model.add(tenant, **{owner: owner_id}, **moved)


def _moved(model: type[TenantModel], owner: str, names: Iterable[str]) -> Any:
    fields = model._meta.fields
    free: Any = ModelSelect(model, [model.id]).where(fields[owner] == slot("owner")).order_by(model.id).limit(1)
    if not is_sqlite():
        free = free.for_update(skip_locked=True)
    sums = {fields[name]: fields[name] + slot(name) for name in names}
    return model.change(ANY_TENANT, sums).where(model.id == free)
