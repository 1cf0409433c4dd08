"""Messages that wait for something are looked at again as soon as it has come, not only when their time is up."""

from __future__ import annotations

from functools import partial

from engine.jobs import doorbell
from storage import accounts, deliveries, outbox
from storage.database import after_commit, transaction
from storage.tenancy import Tenant

RULES = ("quiet_hours", "unknown_timezone", "frequency_cap")  # those of compliance that hold
MISCONFIGURED = "misconfigured"
PAUSED = "paused"


def reconsider(tenant: Tenant, lead_number: int) -> None:
    """Decide again on what waits for this lead, once the caller's transaction is through: the lead wrote or changed."""
    lanes = deliveries.lanes_to(tenant, lead_number)
    if lanes and outbox.wake(RULES, lanes=lanes):
        for lane in lanes:
            after_commit(partial(doorbell.ring, lane))


def reconsider_all(account_id: str) -> None:
    """Decide again on all that an account's rules hold, for they have changed. The next sweep finds the messages."""
    for environment in accounts.ENVIRONMENTS:
        outbox.wake(RULES, tenant=accounts.tenant_row(account_id, environment).tenant)


def resume(tenant: Tenant, channel: str) -> None:
    """Send again on a channel whose integration was put right. The next sweep finds the messages."""
    with transaction():
        deliveries.end_pause(tenant, channel)
        outbox.wake([MISCONFIGURED, PAUSED], tenant=tenant)
