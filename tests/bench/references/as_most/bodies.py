"""Bodies of requests and answers as Pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be an IANA time zone")
    return name


Status = Literal["new", "contacted", "qualified", "disqualified"]
Number = Annotated[float, Field(ge=-(2**53) + 1, le=2**53 - 1)]
Tag = Annotated[str, Field(min_length=1, max_length=50)]
CustomValue = bool | int | Number | Annotated[str, Field(max_length=2000)]


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class LeadOut(_Body):
    """A lead as it is answered."""

    id: int
    account_id: str
    name: str
    phone: str
    phone_valid: bool
    email: str
    status: Status
    source: str
    tags: list[str]
    assigned_agent_id: str | None
    ab_test_id: str | None
    agent_assigned_by: str
    custom_fields: dict[str, str]
    opted_out: list[str]
    timezone: str | None
    external_id: str | None
    import_batch_id: str | None
    last_contacted_at: str | None
    created_at: str
    updated_at: str


class LeadPage(BaseModel):
    """A page of a filter."""

    leads: list[LeadOut]
    total: int


class LeadCreate(_Body):
    """A new lead."""

    phone: str = Field(min_length=7, max_length=40)
    name: str = Field("", max_length=200)
    email: str = Field("", max_length=254, pattern=r"^$|^[^@\s]+@[^@\s]+$")
    status: Status = "new"
    source: str = Field("api", max_length=100)
    tags: list[Tag] = Field([], max_length=50)
    custom_fields: dict[str, CustomValue] = Field({}, max_length=100)
    assigned_agent_id: str | None = Field(None, pattern="^[0-9a-f]{24}$")
    external_id: str | None = Field(None, min_length=1, max_length=200)
    timezone: Annotated[str, AfterValidator(_zone)] | None = None


class Condition(_Body):
    """One comparison."""

    field: str
    operator: Literal["is", "is_not", "is_any_of", "includes_any_of"]
    value: Any


class LeadFilter(_Body):
    """Conditions."""

    conditions: list[Condition] = Field(max_length=50)
    match: Literal["all", "any"] = "all"


class Preview(_Body):
    """A filter and a page of it."""

    filters: LeadFilter
    skip: int = Field(0, ge=0, le=1_000_000)
    limit: int = Field(5, ge=1, le=100)


class SyncItem(_Body):
    """One lead of a sync."""

    lead_id: str | None = Field(None, alias="lead_id", max_length=200)
    name: str = Field("", max_length=200)
    phone: str = Field("", max_length=2000)
    email: str = Field("", max_length=254)
    tags: list[Tag] | None = Field(None, max_length=50)
    custom_fields: dict[str, CustomValue] = Field({}, max_length=100)


class SyncRequest(_Body):
    """A sync."""

    leads: list[SyncItem] = Field(min_length=1, max_length=100)
    source: str = Field("api", min_length=1, max_length=100)


class SyncOutcome(BaseModel):
    """What became of an item."""

    index: int
    lead_id: str | None
    id: int
    outcome: Literal["created", "updated", "unchanged"]


class SyncError(BaseModel):
    """Why an item was refused."""

    index: int
    lead_id: str | None
    code: str
    message: str


class SyncResult(BaseModel):
    """What became of all."""

    total: int
    created: int
    updated: int
    unchanged: int
    failed: int
    errors: list[SyncError]
    results: list[SyncOutcome]
