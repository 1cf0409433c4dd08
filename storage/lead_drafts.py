"""Leads as a sync has them in memory: what it reads and may change of them, lighter than a model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct
from peewee import JSONField

from .lead_bulk import json_text
from .lead_text import name_key
from .leads import Lead, search_text

_SEARCHED = frozenset({"name", "phone", "email", "external_id", "tags"})
_decode_tags = msgspec.json.Decoder(list[str]).decode
_decode_fields = msgspec.json.Decoder(dict[str, str]).decode


class LeadDraft(Struct, gc=False):
    """A lead as it shall be; one without a number is new."""

    number: int = 0
    name: str = "Unknown"
    phone: str = ""
    phone_valid: bool = True
    email: str = ""
    tags: list[str] = []
    custom_fields: dict[str, str] = {}
    external_id: str | None = None

    def values(self, columns: tuple[str, ...], moment: str) -> list[Any]:
        """What shall stand in these columns, JSON as text; `moment` is when."""
        return [self._value(column, moment) for column in columns]

    def _value(self, column: str, moment: str) -> Any:
        match column:
            case "updated_at":
                return moment
            case "name_key":
                return name_key(self.name)
            case "search_text":
                return search_text(self)
            case "tags" | "custom_fields":
                return json_text(getattr(self, column))
        return getattr(self, column)

    def as_new(self, source: str, moment: str) -> tuple[Any, ...]:
        """What shall stand in the columns `lead_bulk.NEW`."""
        return (
            self.number,
            self.name,
            name_key(self.name),
            self.phone,
            self.phone_valid,
            self.email,
            "new",
            source,
            json_text(self.tags),
            "auto",
            json_text(self.custom_fields),
            self.external_id,
            None,
            "[]",
            None,
            search_text(self),
            moment,
            moment,
        )


def selected() -> list[Any]:
    """What to select for `of_row`; JSON as the text that it is."""
    columns = [Lead._meta.fields[name] for name in LeadDraft.__struct_fields__]
    return [column.cast("TEXT") if isinstance(column, JSONField) else column for column in columns]


def of_row(row: tuple[Any, ...]) -> LeadDraft:
    """The lead of a row of `selected`."""
    number, name, phone, phone_valid, email, tags, fields, external_id = row
    return LeadDraft(
        number, name, phone, phone_valid == 1, email, _decode_tags(tags), _decode_fields(fields), external_id
    )


def stored_columns(changed: Collection[str]) -> tuple[str, ...]:
    """These columns and those that follow from them."""
    follow = ["updated_at"]
    if "name" in changed:
        follow.append("name_key")
    if not _SEARCHED.isdisjoint(changed):
        follow.append("search_text")
    return (*sorted(changed), *follow)
