"""Inbound webhooks: calls from forms, with a token in their path, and from providers, with a signature; never a key."""

from __future__ import annotations

from typing import Any

from engine import phones
from engine.channels import Request
from engine.inbound import webhooks
from storage import accounts, leads
from storage.errors import Forbidden, Invalid, Problem, Unauthenticated
from storage.leads import NewLead
from storage.tenancy import Actor

from .answers import Answer, RawBody

_FORM = Actor("system", "webhook", "lead webhook")
_PROPERTIES = ("phone", "name", "email", "tags")
_RECEIVED = {"status": "ok"}
_NO_REPLY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


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


def verify_whatsapp_webhook(hubmode: str = "", hubverify_token: str = "", hubchallenge: str = "") -> Answer:
    """The challenge as plain text. Raises Forbidden unless the token is the server's or an integration's."""
    del hubmode
    if not hubverify_token or not webhooks.is_ours(hubverify_token):
        raise Forbidden("invalid_verify_token", "The verify token is not one of this server's.")
    return Answer(hubchallenge.encode(), media_type="text/plain; charset=utf-8")


def receive_whatsapp_event(body: RawBody) -> dict[str, str]:
    """`{"status"}`: ok, ignored, signature_invalid or error. Raises Unavailable."""
    return {"status": webhooks.of_whatsapp(_request(body))}


def receive_telegram_update(integration: str, body: RawBody) -> dict[str, str]:
    """`{"status": "ok"}`. Raises Unauthenticated, for an unknown integration too; Unavailable."""
    _require(webhooks.of_telegram(integration, _request(body)))
    return _RECEIVED


def receive_email_event(body: RawBody) -> dict[str, str]:
    """`{"status": "ok"}`. Raises Unauthenticated, for an address of nobody's too; Unavailable."""
    _require(webhooks.of_email(_request(body)))
    return _RECEIVED


def receive_twilio_event(integration: str, body: RawBody, message: str | None = None) -> Answer:
    """TwiML that says nothing. Raises Unauthenticated, for an unknown integration too; Unavailable."""
    del message
    _require(webhooks.of_twilio(integration, _request(body)))
    return Answer(_NO_REPLY, media_type="text/xml; charset=utf-8")


def _request(body: RawBody) -> Request:
    return Request(body.bytes, body.headers, body.url)


def _require(is_authentic: bool) -> None:
    if not is_authentic:
        raise Unauthenticated("invalid_signature", "Invalid webhook signature")
