"""Rows that belong to a tenant or an account, and cannot be reached without naming it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, Self, TypeVar

from peewee import (
    BigAutoField,
    BooleanField,
    Expression,
    Field,
    IntegerField,
    JSONField,
    Model,
    ModelDelete,
    ModelInsert,
    ModelSelect,
    ModelUpdate,
    TextField,
)

from .database import database, is_sqlite
from .statements import slot, statement
from .tenancy import Tenant

_json_text = json.JSONEncoder(separators=(",", ":")).encode
_READ_ANEW = (JSONField, BooleanField)  # what SQLite has no types for


class Row(Model):
    """A table of newleaf; names of tables are the snake_case of the class, of indexes given by hand."""

    class Meta:  # noqa: D106 (Peewee's own way)
        database = database
        legacy_table_names = False

    def store(self, **values: Any) -> None:
        """Write these columns of this very row, which somebody was allowed to read before."""
        columns = {self._meta.fields[name]: value for name, value in values.items()}
        key: Any = self._meta.primary_key
        ModelUpdate(type(self), columns).where(key == getattr(self, key.name)).execute()
        for name, value in values.items():
            setattr(self, name, value)


_Row = TypeVar("_Row", bound=Row)


def insert(row: Row) -> Any:
    """Insert the row as it stands in memory; the cursor of that."""
    model, values = type(row), row.__data__
    inserting = statement((model, "insert", *values), lambda: ModelInsert(model, {name: slot(name) for name in values}))
    return inserting.run({name: stored(model._meta.fields[name], value) for name, value in values.items()})


def stored(column: Field, value: Any) -> Any:
    """A value of this column as the driver takes it."""
    if value is None:
        return None
    return _json_text(value) if isinstance(column, JSONField) else column.db_value(value)


def revived(model: type[_Row], rows: Iterable[Sequence[Any]]) -> Iterator[_Row]:
    """Rows of all columns, in the order of the model's fields, as the driver handed them out.

    For many at once: Peewee's own way looks at each value of each row anew, which takes ten times as long.
    """
    fields = model._meta.sorted_fields
    names = [field.name for field in fields]
    anew: list[Any] = [field for field in fields if isinstance(field, _READ_ANEW)] if is_sqlite() else []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for field in anew:
            values[field.name] = field.python_value(values[field.name])
        made = model.__new__(model)
        vars(made).update(__data__=values, __rel__={}, _dirty=set())
        yield made


def owned(model: type[TenantModel], tenant: Tenant) -> Expression:
    """The condition that keeps a query inside one tenant: the only place where it is written."""
    return model.tenant_id == tenant.id


class TenantModel(Row):
    """A row that a tenant owns. `select()` and its kin are closed: ask through `of`, `change`, `remove` and `add`."""

    id = BigAutoField()
    tenant_id = IntegerField()

    @classmethod
    def of(cls, tenant: Tenant, *columns: Any) -> ModelSelect:
        """A query over this tenant's rows."""
        return ModelSelect(cls, columns or cls._meta.sorted_fields).where(owned(cls, tenant))

    @classmethod
    def change(cls, tenant: Tenant, values: dict[Any, Any]) -> ModelUpdate:
        """An UPDATE of this tenant's rows."""
        return ModelUpdate(cls, values).where(owned(cls, tenant))

    @classmethod
    def remove(cls, tenant: Tenant) -> ModelDelete:
        """A DELETE of this tenant's rows."""
        return ModelDelete(cls).where(owned(cls, tenant))

    @classmethod
    def add(cls, tenant: Tenant, **values: Any) -> Self:
        """Insert a row of this tenant and return it."""
        row = cls(tenant_id=tenant.id, **values)
        inserted = insert(row)
        row.id = inserted.lastrowid if is_sqlite() else inserted.fetchone()[0]
        return row

    @classmethod
    def add_all(cls, tenant: Tenant, rows: list[dict[Any, Any]]) -> ModelInsert:
        """An INSERT of many rows of this tenant, given as column values."""
        return ModelInsert(cls, [{cls.tenant_id: tenant.id, **row} for row in rows])

    @classmethod
    def _closed(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(f"{cls.__name__} belongs to a tenant: use of(), change(), remove() or add()")

    select = update = delete = insert = insert_many = create = get = get_or_none = get_by_id = _closed
    raw = replace = get_or_create = save = _closed


class AccountModel(Row):
    """A row that an account owns, whatever the environment; closed like a TenantModel."""

    id = TextField(primary_key=True)
    account_id = TextField()

    @classmethod
    def of(cls, account_id: str) -> ModelSelect:
        """A query over this account's rows."""
        return ModelSelect(cls, cls._meta.sorted_fields).where(cls.account_id == account_id)

    @classmethod
    def add(cls, account_id: str, **values: Any) -> Self:
        """Insert a row of this account and return it."""
        row = cls(account_id=account_id, **values)
        insert(row)
        return row

    @classmethod
    def _closed(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(f"{cls.__name__} belongs to an account: use of() or add()")

    select = update = delete = insert = insert_many = create = get = get_or_none = get_by_id = _closed
    raw = replace = get_or_create = save = _closed
