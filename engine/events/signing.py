"""Secrets of subscriptions, and the signatures that are made with them, as Standard Webhooks has them."""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

from engine import vault
from storage import accounts, clock, event_subscriptions
from storage.database import transaction
from storage.event_subscriptions import EventSubscription
from storage.tenancy import Tenant

_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret that nobody has seen."""
    return "whsec_" + base64.b64encode(random.token_bytes(_SECRET_BYTES)).decode()


def secrets_of(tenant: Tenant, subscription: EventSubscription, now: datetime) -> list[str]:
    """What signs now: the present secret, and for the time of an overlap the one before. Raises Blocked."""
    known = vault.open_(tenant, subscription.oid, subscription.secrets)
    overlaps = subscription.previous_until is not None and clock.iso(now) < subscription.previous_until
    return [known["current"], *([known["previous"]] if overlaps and "previous" in known else [])]


def headers(secrets: Sequence[str], event_oid: str, body: str, now: datetime) -> dict[str, str]:
    """The headers that prove who sends this body: a signature by each secret, the present one's first."""
    signatures = [Webhook(secret).sign(event_oid, now, body) for secret in secrets]
    return {
        "webhook-id": event_oid,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def reseal() -> int:
    """Seal every subscription's secrets under the first key; how many there were. Raises Blocked."""
    done = last = 0
    while page := event_subscriptions.after(last, 100):
        for stale in page:
            if vault.is_current(stale.secrets):
                continue
            tenant = accounts.tenant_by_id(stale.tenant_id)
            with transaction():
                held = event_subscriptions.lock(tenant, stale.oid)
                held.store(secrets=vault.seal(tenant, held.oid, vault.open_(tenant, held.oid, held.secrets)))
            done += 1
        last = page[-1].id
    return done
