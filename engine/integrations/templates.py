"""Message templates of WhatsApp: fetched from the provider when asked, kept with the integration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine import channels
from engine.channels import Deferred, OutcomeUnknown, SendError
from storage import audit, integrations
from storage.database import connection, transaction
from storage.errors import Blocked
from storage.integrations import Integration
from storage.tenancy import Actor, Tenant

from . import opened

MOST = 1000  # templates kept; Meta allows an account 250, in some languages each
_PLACE = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,100})\s*\}\}")
_SANDBOX = {"name": "hello_world", "language": "en_US"}


def sync(tenant: Tenant, *, actor: Actor) -> Integration:
    """The WhatsApp integration with the provider's present templates; not within a transaction.

    Raises NotFound, Blocked: `provider_refused`, `provider_unavailable`, and as `credentials` does.
    """
    with connection():
        integration = integrations.get(tenant, "whatsapp")
    fetched = _fetch(tenant, integration)
    kept = sorted(map(_template, fetched[:MOST]), key=lambda each: (each["name"], each["language"]))
    with transaction():
        integration = integrations.lock(tenant, "whatsapp")
        integrations.store_templates(integration, kept)
        audit.record(tenant, actor, "integration.templates_synced", integration.oid, {"templates": len(kept)})
    return integration


def _fetch(tenant: Tenant, integration: Integration) -> list[Mapping[str, Any]]:
    """Templates in Meta's own words; the test environment has the default one, approved."""
    if tenant.environment == "test":
        name = integration.settings.get("defaultTemplate", _SANDBOX)
        body = [{"type": "BODY", "text": "Hello {{1}}"}]
        return [{**name, "id": "1", "status": "APPROVED", "category": "UTILITY", "components": body}]
    with connection():
        credentials = opened(integration)[1]
    try:
        fetched: list[Mapping[str, Any]] = channels.module("whatsapp").list_templates(credentials, channels.endpoints())
    except SendError as error:
        code = "provider_unavailable" if isinstance(error, Deferred | OutcomeUnknown) else "provider_refused"
        raise Blocked(code, error.detail, details=error.code) from None
    return fetched


def _template(said: Mapping[str, Any]) -> dict[str, Any]:
    """A template of the contract; whatever the provider leaves out or adds is left out."""
    parts = {str(part.get("type", "")).upper(): part for part in said.get("components") or ()}
    texts = {name: str(parts.get(name.upper(), {}).get("text", ""))[:4096] for name in ("header", "body", "footer")}
    buttons = [str(button.get("text", ""))[:200] for button in parts.get("BUTTONS", {}).get("buttons") or ()]
    return {
        "id": str(said.get("id", ""))[:64],
        "name": str(said["name"])[:512],
        "language": str(said["language"])[:20],
        "status": str(said.get("status", "UNKNOWN")).upper()[:40],
        "category": str(said.get("category", "UNKNOWN")).upper()[:40],
        **{name: text for name, text in texts.items() if text},
        "buttons": buttons[:20],
        "parameters": list(dict.fromkeys(_PLACE.findall(texts["body"])))[:50],
    }
