"""Leads in the servers written by hand: the struct that goes out, and the row that a new one becomes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
from starlette.responses import Response

from tests.bench.references import texts

from .answers import Caller, Refusal, decode, encode
from .contract import BadRequest

Raw = msgspec.Raw

COLUMNS = (
    "number, name, phone, phone_valid, email, status, source, {tags}, assigned_agent_id, ab_test_id, "
    "agent_assigned_by, {custom_fields}, {opted_out}, timezone, external_id, import_batch_id, last_contacted_at, "
    "created_at, updated_at"
)
STORED = (
    *("tenant_id", "number", "name", "name_key", "phone", "phone_valid", "email", "status", "source", "tags"),
    *("assigned_agent_id", "agent_assigned_by", "custom_fields", "external_id", "timezone", "opted_out"),
    *("search_text", "created_at", "updated_at"),
)


class Lead(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """The contract's Lead; what has no value is absent."""

    id: int
    account_id: str
    name: str
    phone: str
    phone_valid: bool
    email: str
    status: str
    source: str
    tags: Raw
    agent_assigned_by: str
    custom_fields: Raw
    opted_out: Raw
    created_at: str
    updated_at: str
    assigned_agent_id: str | None = None
    ab_test_id: str | None = None
    timezone: str | None = None
    external_id: str | None = None
    import_batch_id: str | None = None
    last_contacted_at: str | None = None


def lead(account_id: str, r: Any) -> Lead:
    """The lead of a row of COLUMNS."""
    return Lead(
        r[0], account_id, r[1], r[2], bool(r[3]), r[4], r[5], r[6], Raw(r[7]), r[10], Raw(r[11]), Raw(r[12]),
        r[17], r[18], r[8], r[9], r[13], r[14], r[15], r[16],
    )  # fmt: skip


def tagged(response: Response) -> Response:
    """The answer with a validator of its body."""
    response.headers["ETag"] = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    return response


def next_link(path: str, query: Any, last: Any) -> dict[str, str]:
    """The header that leads to the page after this row."""
    packed = encode(["-createdAt", last[0]])
    cursor = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    kept = [f"{name}={value}" for name, value in query.items() if name not in ("cursor", "skip")]
    return {"Link": f'<{path}?{"&".join([*kept, f"cursor={cursor}"])}>; rel="next"'}


def after(cursor: str) -> int:
    """The number of the lead that a cursor stands for. Raises Refusal."""
    try:
        order, number = decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        order = None
    if order != "-createdAt":
        raise Refusal(422, "invalid_cursor", "The cursor is not one of this list; take it from the Link header")
    return int(number)


class NewLead(msgspec.Struct, gc=False):
    """A lead that is not stored yet."""

    name: str
    phone: str
    phone_valid: bool
    email: str
    status: str
    source: str
    tags: list[str]
    custom_fields: dict[str, str]
    external_id: str | None
    timezone: str | None
    assigned_agent_id: str | None

    @classmethod
    def of(cls, body: dict[str, Any], region: str | None, source: str) -> NewLead:
        """The lead that a body describes. Raises BadPhone."""
        phone, is_valid = texts.e164(body["phone"], region) if body.get("phone") else ("", True)
        return cls(
            name=body.get("name", "").strip() or "Unknown",
            phone=phone,
            phone_valid=is_valid,
            email=body.get("email", ""),
            status=body.get("status", "new"),
            source=body.get("source", source),
            tags=list(dict.fromkeys(body.get("tags", ()))),
            custom_fields=fields(body.get("customFields", {})),
            external_id=body.get("externalId"),
            timezone=body.get("timezone"),
            assigned_agent_id=body.get("assignedAgentId"),
        )

    def row(self, caller: Caller, number: int, moment: str) -> tuple[Any, ...]:
        """Its values in the order of STORED."""
        return (
            caller.tenant_id,
            number,
            self.name,
            texts.key(self.name)[:100],
            self.phone,
            self.phone_valid,
            self.email,
            self.status,
            self.source,
            encode(self.tags).decode(),
            self.assigned_agent_id,
            "manual" if self.assigned_agent_id else "auto",
            encode(self.custom_fields).decode(),
            self.external_id,
            self.timezone,
            "[]",
            texts.searched([self.name, self.phone, self.email, self.external_id or "", *self.tags]),
            moment,
            moment,
        )

    def body(self, caller: Caller, row: tuple[Any, ...]) -> Lead:
        """What a client is told of it."""
        return Lead(
            id=row[1],
            account_id=caller.account_id,
            name=self.name,
            phone=self.phone,
            phone_valid=self.phone_valid,
            email=self.email,
            status=self.status,
            source=self.source,
            tags=Raw(row[9].encode()),
            agent_assigned_by=row[11],
            custom_fields=Raw(row[12].encode()),
            opted_out=Raw(b"[]"),
            created_at=row[17],
            updated_at=row[18],
            assigned_agent_id=self.assigned_agent_id,
            timezone=self.timezone,
            external_id=self.external_id,
        )


def read_new(body: dict[str, Any], caller: Caller) -> NewLead:
    """The lead that a body describes. Raises BadRequest."""
    try:
        return NewLead.of(body, caller.region, "api")
    except texts.BadPhone as error:
        raise BadRequest([("/phone", str(error))]) from None


def fields(given: dict[str, Any]) -> dict[str, str]:
    """Custom fields as they are stored: text as it is, the rest as its JSON."""
    return {name: value if isinstance(value, str) else encode(value).decode() for name, value in given.items()}


_TEXTS = {"status": "status", "name": "name", "phone": "phone", "email": "email", "source": "source"}
_OPERATORS = {
    "is": "{column} = {mark}",
    "is_not": "{column} <> {mark}",
}


def conditions(filters: dict[str, Any], mark: str, has_tag: str) -> tuple[str, list[Any]]:
    """The filter as SQL with its values: conditions on texts and on tags, all or any of them. Raises Refusal.

    has_tag: the SQL that a lead has one of the tags of a JSON array given as value.
    """
    parts, values = [], []
    for condition in filters["conditions"]:
        column = _TEXTS.get(condition["field"])
        if condition["field"] == "tags" and condition["operator"] in ("is_any_of", "includes_any_of"):
            parts.append(has_tag)
            values.append(encode(condition["value"]).decode())
        elif column and condition["operator"] in _OPERATORS:
            parts.append(_OPERATORS[condition["operator"]].format(column=column, mark=mark))
            values.append(condition["value"])
        else:
            raise Refusal(400, "filter_unknown_field", f"Unknown field: {condition['field']}")
    joint = " OR " if filters.get("match") == "any" else " AND "
    return f"({joint.join(parts)})" if parts else "TRUE", values
