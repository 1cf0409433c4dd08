"""Leads: list, search, preview and one lead's life."""

from __future__ import annotations

from typing import Any

from engine import lead_merge, phones, waits
from storage import lead_filters, lead_lists, lead_rows, lead_search, leads
from storage.errors import Invalid, Problem
from storage.lead_lists import LeadFilter
from storage.leads import LeadChanges, NewLead
from storage.tenancy import Caller

from .answers import Answer, Body, Page

_MIN_PHONE_DIGITS = 3  # fewer are in almost every phone

# Properties that a body and a column share but for the spelling; the phone is read first.
_COLUMNS = {
    "name": "name",
    "email": "email",
    "status": "status",
    "source": "source",
    "tags": "tags",
    "customFields": "custom_fields",
    "assignedAgentId": "assigned_agent_id",
    "externalId": "external_id",
    "timezone": "timezone",
}


def list_leads(
    user: Caller,
    limit: int = 50,
    skip: int = 0,
    sort: str = lead_lists.NEWEST_FIRST,
    cursor: str | None = None,
    statuses: list[str] | None = None,
    tags: list[str] | None = None,
    channel: str | None = None,
    import_batch_id: str | None = None,
    external_id: str | None = None,
    q: str | None = None,
) -> Page:
    """A plain array of leads, or with any filter `{"leads", "total"}`."""
    read_as = () if q is None else _phone_readings(q, user.default_region)
    wanted = LeadFilter(statuses, tags, channel, import_batch_id, external_id, q, read_as)
    rows, following = lead_lists.page(user.tenant, wanted, limit=limit, skip=skip, cursor=cursor, sort=sort)
    total = lead_lists.count(user.tenant, wanted)
    return Page(rows if wanted == LeadFilter() else {"leads": rows, "total": total}, total, following)


def search_leads(user: Caller, q: str, limit: int = 10) -> Body:
    """`{"leads"}` that the text finds, best match first."""
    return {"leads": lead_search.search(user.tenant, q, _phone_readings(q, user.default_region), limit=limit)}


def preview_leads(user: Caller, body: dict[str, Any]) -> Body:
    """`{"leads", "total"}` of a filter. Raises Invalid: what it asks cannot be asked."""
    wanted = LeadFilter(channel=body.get("channel"), conditions=lead_filters.matching(body["filters"]))
    rows, _ = lead_lists.page(user.tenant, wanted, limit=body.get("limit", 5), skip=body.get("skip", 0))
    return {"leads": rows, "total": lead_lists.count(user.tenant, wanted)}


def create_lead(user: Caller, body: dict[str, Any]) -> Answer:
    """The new lead. Raises Conflict: its phone or external id is another's; NotFound: no such agent."""
    lead = leads.create(user.tenant, NewLead(**_read(body, user)), user.actor)
    return Answer(lead_rows.of_lead(user.tenant, lead), 201, f"/api/leads/{lead.number}")


def get_lead(user: Caller, id_: int) -> Body:
    """One lead. Raises NotFound."""
    return lead_rows.get(user.tenant, id_)


def update_lead(user: Caller, id_: int, body: dict[str, Any]) -> Body:
    """The lead as it is now. Raises NotFound: lead or agent; Conflict: phone or external id is another's."""
    changes: LeadChanges = _read(body, user)
    lead = leads.update(user.tenant, id_, changes, user.actor)
    if {"phone", "timezone"} & changes.keys():
        waits.reconsider(user.tenant, id_)  # what waits for the lead may be allowed where they live
    return lead_rows.of_lead(user.tenant, lead)


def delete_lead(user: Caller, id_: int) -> Body:
    """`{"success": true}`. Raises NotFound."""
    leads.delete(user.tenant, id_, user.actor)
    return {"success": True}


def restore_lead(user: Caller, id_: int) -> Body:
    """The lead, back again. Raises NotFound; Conflict: its phone or external id is another's now."""
    return lead_rows.of_lead(user.tenant, leads.restore(user.tenant, id_, user.actor))


def merge_leads(user: Caller, body: dict[str, Any]) -> Body:
    """The lead that all have become. Raises NotFound; Blocked: one into itself, too many tags or custom fields."""
    merged = lead_merge.merge(user.tenant, body["into"], body["from"], user.actor)
    return lead_rows.of_lead(user.tenant, merged)


def assign_lead_agent(user: Caller, id_: int, body: dict[str, Any]) -> Body:
    """The lead with its agent. Raises NotFound: lead or agent."""
    return lead_rows.of_lead(user.tenant, leads.assign_agent(user.tenant, id_, body["assignedAgentId"], user.actor))


def _read(body: dict[str, Any], user: Caller) -> Any:
    """The body in the words of storage, its phone in E.164. Raises Invalid: the text is no phone."""
    values = {column: body[name] for name, column in _COLUMNS.items() if name in body}
    if "phone" in body:
        try:
            phone = phones.normalize(body["phone"], user.default_region)
        except phones.PhoneError as error:
            raise Invalid("invalid_phone", str(error), problems=[Problem("/phone", str(error))]) from error
        values["phone"], values["phone_valid"] = phone.e164, phone.valid
    return values


def _phone_readings(q: str, region: str | None) -> tuple[str, ...]:
    """The digits that a query may mean as a phone: as typed, and as the number it is in the account's region."""
    typed = phones.digits(q)
    if len(typed) < _MIN_PHONE_DIGITS or any(char.isalpha() for char in q):
        return ()
    try:
        return tuple({typed, phones.normalize(q, region).e164.lstrip("+")})
    except phones.PhoneError:
        return (typed,)
