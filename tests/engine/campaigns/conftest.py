"""Campaigns that were started, and their ledgers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.campaigns import lifecycle
from engine.jobs import registry
from engine.jobs.worker import work, work_next
from storage import campaign_ledger, campaigns, clock, database, outbox
from storage.campaign_ledger import CampaignRecipient, Counts
from storage.campaigns import Campaign
from storage.tenancy import Actor, Tenant


@pytest.fixture
def launch(tenant: Tenant, actor: Actor, make_agent: Callable[..., Any]) -> Callable[..., Campaign]:
    """Starts a campaign for every lead, by SMS in the sandbox, with whatever else is given."""

    def make(**members: Any) -> Campaign:
        make_agent()
        body = {"name": "Spring", "channel": "sms", "message": "Hello {{firstName}}", "schedule": {}, "leadFilter": {}}
        campaign = lifecycle.create(tenant, {**body, **members}, actor=actor)
        return lifecycle.start(tenant, campaign.oid, actor=actor)

    return make


@pytest.fixture
def run_all() -> Callable[[], int]:
    """Does all that is due; how many rows that were."""

    def run() -> int:
        done = 0
        while work_next():
            done += 1
        return done

    return run


@pytest.fixture
def step() -> Callable[[str], None]:
    """Does the next row of this kind, as it is claimed."""

    def do(kind: str) -> None:
        while True:
            held = outbox.claim(clock.now(), registry.lease_s)
            assert held is not None
            work(held)
            if held.kind == kind:
                return

    return do


@pytest.fixture
def stats(tenant: Tenant) -> Callable[[Campaign], Counts]:
    def counts(campaign: Campaign) -> Counts:
        with database.connection():
            return campaign_ledger.counts(tenant, [campaign])[campaign.id]

    return counts


@pytest.fixture
def ledger(tenant: Tenant) -> Callable[[Campaign], list[CampaignRecipient]]:
    def rows(campaign: Campaign) -> list[CampaignRecipient]:
        mine = CampaignRecipient.of(tenant).where(CampaignRecipient.campaign_id == campaign.id)
        return list(mine.order_by(CampaignRecipient.id))

    return rows


@pytest.fixture
def present(tenant: Tenant) -> Callable[[Campaign], Campaign]:
    """The campaign as it is now."""
    return lambda campaign: campaigns.get(tenant, campaign.oid)
