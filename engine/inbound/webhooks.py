"""Whose webhook this is, and whether its provider really sent it; what is authentic is accepted, nothing else is.

Which secret verifies a signature depends on whose it is, and that stands in the body or the path. So the body is read
before it is verified, but only to find out whom it names; nothing is believed, stored or told before the signature fits
the very bytes that came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import structlog

from engine import channels, integrations
from engine.channels import Credentials, Event, Ignored, Request
from engine.inbound.accepting import Batch, accept, accept_all
from storage import integrations as rows
from storage.errors import Blocked, Unavailable
from storage.integrations import Integration
from storage.tenancy import Tenant

Verdict = Literal["ok", "ignored", "signature_invalid", "error"]

_MOST_STRANGERS = 100  # accounts of others that a body may name before ours, or anybody could have us look up thousands

_log = structlog.get_logger(__name__)


def of_whatsapp(request: Request) -> Verdict:
    """Accept what a WhatsApp webhook tells to the accounts that its changes name; each must verify the whole body.

    ok: something was stored for processing, now or by an earlier delivery. ignored: nothing of it is ours to process.
    signature_invalid: no account named here has the secret that signed it. error: the server's own secret signed it,
    but it cannot be read. Raises Unavailable where secrets cannot be opened; whatever storing raises is not caught:
    Meta never repeats what was answered 200.
    """
    payload = _json(request.body)
    events = channels.module("whatsapp").read(payload)
    batches = _addressed(request, events)
    if not batches:
        if not _is_signed_by_server(request):
            return "signature_invalid"
        return "error" if payload is None else "ignored"
    accept_all(batches)
    told = [event.what for batch in batches for event in batch.events]
    return "ignored" if all(isinstance(what, Ignored) for what in told) else "ok"


def of_email(request: Request) -> bool:
    """Accept what an email webhook tells, for the account whose domain it names; False if no such account signed it.

    Raises Unavailable where secrets cannot be opened.
    """
    payload = _json(request.body)
    email = channels.module("email")
    for domain in email.addresses(payload):
        tenant = _owner("email", domain, request)
        if tenant is not None:
            accept(tenant, "email", email.read(payload))
            return True
    return False


def of_telegram(oid: str, request: Request) -> bool:
    """Accept an update for this integration's bot; False if the integration is unknown or the update not Telegram's.

    Raises Unavailable where secrets cannot be opened.
    """
    return _of_integration("telegram", oid, request, _json(request.body))


def of_twilio(oid: str, request: Request) -> bool:
    """Accept an SMS or a status for this integration; False if the integration is unknown or did not sign it.

    Raises Unavailable where secrets cannot be opened.
    """
    return _of_integration("sms", oid, request, channels.module("sms").payload_of(request))


def _of_integration(channel: str, oid: str, request: Request, payload: Any) -> bool:
    integration = rows.by_oid(oid)
    owner = None if integration is None or integration.channel != channel else _opened(integration)
    if owner is None or not channels.module(channel).is_authentic(request, owner[1]):
        return False
    accept(owner[0], channel, channels.module(channel).read(payload))
    return True


def is_ours(verify_token: str) -> bool:
    """Whether Meta may subscribe a webhook with this token."""
    return integrations.knows_verify_token(verify_token)


def _addressed(request: Request, events: Iterable[Event]) -> list[Batch]:
    """WhatsApp's events by the tenant that each is for; those for whom nobody can verify the request are left out."""
    owners: dict[str, Tenant | None] = {}
    found: dict[int, tuple[Tenant, list[Event]]] = {}
    for event in events:
        if event.address not in owners and list(owners.values()).count(None) < _MOST_STRANGERS:
            owners[event.address] = _owner("whatsapp", event.address, request)
        tenant = owners.get(event.address)
        if tenant is not None:
            found.setdefault(tenant.id, (tenant, []))[1].append(event)
    strangers = sorted(address for address, tenant in owners.items() if tenant is None)
    if strangers:
        _log.warning("webhook_not_verified", channel="whatsapp", addresses=strangers[:20])
    return [Batch(tenant, "whatsapp", mine) for tenant, mine in found.values()]


def _owner(channel: str, address: str, request: Request) -> Tenant | None:
    """The first of those who claim this address whose secret verifies the request."""
    is_closed = False
    for integration in rows.candidates(channel, address):
        try:
            tenant, credentials = integrations.opened(integration)
        except Blocked as refusal:
            is_closed = True
            _log.error("secrets_not_opened", channel=channel, integration=integration.oid, code=refusal.code)
            continue
        if _is_authentic(channel, request, credentials):
            return tenant
    if is_closed:
        raise _unavailable()
    return None


def _is_authentic(channel: str, request: Request, credentials: Credentials) -> bool:
    if channels.module(channel).is_authentic(request, credentials):
        return True
    has_secret = bool(credentials.secrets.get("appSecret"))
    return channel == "whatsapp" and not has_secret and integrations.allows_unsigned()


def _opened(integration: Integration) -> tuple[Tenant, Credentials]:
    try:
        return integrations.opened(integration)
    except Blocked as refusal:
        _log.error("secrets_not_opened", channel=integration.channel, integration=integration.oid, code=refusal.code)
        raise _unavailable() from refusal


def _unavailable() -> Unavailable:
    return Unavailable("secrets_unavailable", "The server cannot open the secrets that this webhook is verified by")


def _is_signed_by_server(request: Request) -> bool:
    secret = integrations.server_app_secret()
    credentials = Credentials("", {}, {"appSecret": secret or ""})
    return bool(channels.module("whatsapp").is_authentic(request, credentials))


def _json(body: bytes) -> Any:
    """The parsed body, None if it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
