"""Integrations over HTTP: providers' accounts, their health, and WhatsApp's templates."""

from __future__ import annotations

from typing import Any

from engine.integrations import changes, setup, templates
from engine.integrations.forms import FORMS, webhook_url
from storage import audit, integrations
from storage.integrations import Integration
from storage.tenancy import Caller

from .answers import Answer, Page

Json = dict[str, Any]


def list_integrations(user: Caller) -> Page:
    """The environment's integrations, in one page."""
    found = integrations.all_of(user.tenant)
    return Page([_body(user, each) for each in found], len(found))


def get_integration(channel: str, user: Caller) -> Json:
    """A channel's integration, its secrets masked. Raises NotFound."""
    return _body(user, integrations.get(user.tenant, channel))


def configure_integration(channel: str, user: Caller, body: Json) -> Answer:
    """Create or replace a channel's integration. Raises Blocked."""
    integration, is_new = changes.configure(user.tenant, channel, body, actor=user.actor)
    location = f"/api/integrations/{channel}"
    answer = _body(user, integration)
    return Answer(answer, status=201, location=location) if is_new else Answer(answer)


def update_integration(channel: str, user: Caller, body: Json) -> Json:
    """Change what the body names. Raises NotFound, Blocked."""
    return _body(user, changes.update(user.tenant, channel, body, actor=user.actor))


def delete_integration(channel: str, user: Caller) -> Json:
    """Remove a channel's integration and its secrets. Raises NotFound."""
    changes.delete(user.tenant, channel, actor=user.actor)
    return {"success": True}


def test_integration(channel: str, user: Caller) -> Answer:
    """Ask the provider, once this request is committed. Raises NotFound."""
    integration = integrations.get(user.tenant, channel)
    audit.record(user.tenant, user.actor, "integration.tested", integration.oid, {"channel": channel})
    return Answer(_health(integration), then=lambda: _health(setup.check(user.tenant, channel)))


def get_integration_health(channel: str, user: Caller) -> Json:
    """What the provider said last. Raises NotFound."""
    return _health(integrations.get(user.tenant, channel))


def list_whatsapp_templates(user: Caller, status: str | None = None) -> Json:
    """The templates as they were last fetched. Raises NotFound."""
    return _templates(integrations.get(user.tenant, "whatsapp"), status)


def sync_whatsapp_templates(user: Caller) -> Answer:
    """Fetch the templates, once this request is committed. Raises NotFound, Blocked."""
    known = _templates(integrations.get(user.tenant, "whatsapp"))
    return Answer(known, then=lambda: _templates(templates.sync(user.tenant, actor=user.actor)))


def _body(user: Caller, integration: Integration) -> Json:
    """An Integration of the contract; what it has no value for is absent."""
    members = {
        "_id": integration.oid,
        "accountId": user.tenant.account_id,
        "environment": user.tenant.environment,
        "channel": integration.channel,
        **{name: integration.settings.get(name) for name in FORMS[integration.channel].settings},
        **{name: integration.secret_hints.get(name) for name in FORMS[integration.channel].secrets},
        "webhookUrl": webhook_url(integration),
        "health": _health(integration),
        "createdAt": integration.created_at,
        "updatedAt": integration.updated_at,
    }
    return {name: value for name, value in members.items() if value is not None}


def _health(integration: Integration) -> Json:
    health = {
        "state": integration.health,
        "detail": integration.health_detail or "The provider has not been asked yet.",
        "checkedAt": integration.checked_at,
        "facts": integration.facts or None,
    }
    return {name: value for name, value in health.items() if value is not None}


def _templates(integration: Integration, status: str | None = None) -> Json:
    found = [each for each in integration.templates or () if status in (None, each["status"])]
    body: Json = {"templates": found}
    return body if integration.templates_synced_at is None else body | {"syncedAt": integration.templates_synced_at}
