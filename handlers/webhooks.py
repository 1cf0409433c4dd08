"""Inbound webhooks: calls from forms, which have a token in their path instead of a key."""

from __future__ import annotations

from typing import Any

from engine import phones
from storage import accounts, leads
from storage.errors import Invalid, Problem, Unauthenticated
from storage.leads import NewLead
from storage.tenancy import Actor

from .answers import Answer

_FORM = Actor("system", "webhook", "lead webhook")
_PROPERTIES = ("phone", "name", "email", "tags")


def receive_lead(token: str, body: dict[str, Any]) -> Answer:
    """`{"leadId", "created"}`. Raises Unauthenticated: nobody's token; Invalid: no phone."""
    tenant = accounts.tenant_by_webhook_token(token)
    if tenant is None:
        raise Unauthenticated("invalid_webhook_token", "Invalid webhook token")
    try:
        phone = phones.normalize(body["phone"], accounts.get(tenant.account_id).default_region)
    except phones.PhoneError as error:
        raise Invalid("invalid_phone", str(error), problems=[Problem("/phone", str(error))]) from error
    new = NewLead(
        phone=phone.e164,
        phone_valid=phone.valid,
        name=body.get("name", ""),
        email=body.get("email", ""),
        source="webhook",
        tags=body.get("tags", ()),
        custom_fields={name: value for name, value in body.items() if name not in _PROPERTIES},
    )
    lead, created = leads.receive(tenant, new, _FORM)
    return Answer({"leadId": lead.number, "created": created}, 201, f"/api/leads/{lead.number}")
