"""Jobs before and after the dispatch: a start at its time, the audience put down, what is left when it is cancelled."""

from __future__ import annotations

from engine.campaigns import lifecycle
from engine.jobs.registry import Task, job
from storage import campaign_audience, campaign_ledger, campaigns, clock
from storage.campaigns import Campaign
from storage.database import transaction
from storage.errors import NotFound
from storage.tenancy import SYSTEM

LEADS = 2_000  # whose numbers are looked through in one transaction
ROWS = 2_000  # closed in one
GOES_ON, NEARLY_DONE = "campaign", "campaign_nearly_done"  # what a row waits for; the latter, for the last deliveries


def current(task: Task, status: str) -> Campaign | None:
    """The campaign of this row, held; None, and the row is done, where it is not in this status, or in another run."""
    try:
        campaign = campaigns.lock(task.tenant, task.payload["campaign"])
    except NotFound:
        campaign = None
    if campaign is None or campaign.status != status or campaign.run != task.payload["run"]:
        task.complete()
        return None
    return campaign


@job("campaign_start")
def start(task: Task) -> None:
    """Launch a scheduled campaign: payload {campaign, run}."""
    with transaction():
        campaign = current(task, "scheduled")
        if campaign is not None:
            task.complete()
            lifecycle.launch(task.tenant, campaign, SYSTEM)


@job("campaign_freeze")
def freeze(task: Task) -> None:
    """Write the ledger for the next stretch of leads; after the last the dispatch begins: payload {campaign, run}."""
    with transaction():
        campaign = current(task, "running")
        if campaign is None:
            return
        after = campaign.freeze_after
        until = min(after + LEADS, campaign.freeze_until)
        campaign_audience.freeze(task.tenant, campaign, after, until)
        if until < campaign.freeze_until:
            campaign.store(freeze_after=until)
            task.hold(clock.now(), GOES_ON)
            return
        task.complete()
        campaign_audience.freeze_unknown(task.tenant, campaign)
        campaign.store(freeze_after=until, is_frozen=1)
        lifecycle.put_lanes(task.tenant, campaign)


@job("campaign_close")
def close(task: Task) -> None:
    """Leave out whoever is pending in a campaign that was cancelled: payload {campaign, run}."""
    with transaction():
        campaign = current(task, "completed")
        if campaign is None:
            return
        if campaign_ledger.close(task.tenant, campaign, "campaign_cancelled", ROWS) < ROWS:
            task.complete()
        else:
            task.hold(clock.now(), GOES_ON)
