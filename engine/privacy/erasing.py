"""Erasing a person at their wish, and 30 days after their lead was deleted."""

from __future__ import annotations

from dataclasses import asdict

import structlog

from engine import vault
from engine.privacy import silence
from storage import accounts, audit, clock, lead_erasure
from storage.database import transaction
from storage.lead_erasure import Erased
from storage.leads import RESTORABLE_FOR
from storage.tenancy import SYSTEM, Actor, Tenant

_AT_ONCE = 500  # leads of one round of housekeeping, in a transaction each

_log = structlog.get_logger(__name__)


def erase(tenant: Tenant, number: int, actor: Actor) -> tuple[Erased, bool]:
    """Erase a lead, deleted or not; what is gone, and whether a wish for silence stays. A second time erases nothing.

    Raises NotFound; Blocked (the lead has opted out, and the server has no key for what must stay of that).
    """
    with transaction():
        lead = lead_erasure.hold(tenant, number)
        if lead_erasure.is_erased(lead):
            return Erased(), False
        is_silent = silence.outlast(tenant, lead)
        erased = lead_erasure.erase(tenant, lead)
        audit.record(tenant, actor, "lead.erased", number, asdict(erased))
    return erased, is_silent


def erase_expired(limit: int = _AT_ONCE) -> int:
    """Erase leads that were deleted 30 days ago, at most `limit`; returns how many.

    Without a key for digests those that asked for silence wait for one.
    """
    horizon = clock.now() - RESTORABLE_FOR
    found = lead_erasure.expired(horizon, limit, silent_too=vault.is_configured())
    for owner, number in found:
        tenant = accounts.tenant_by_id(owner)
        with transaction():
            lead = lead_erasure.hold(tenant, number)
            if lead.deleted_at is None or lead.deleted_at > clock.iso(horizon) or lead_erasure.is_erased(lead):
                continue
            silence.outlast(tenant, lead)
            erased = lead_erasure.erase(tenant, lead)
            audit.record(tenant, SYSTEM, "lead.erased", number, asdict(erased))
    if found:
        _log.info("leads_erased", leads=len(found))
    return len(found)
