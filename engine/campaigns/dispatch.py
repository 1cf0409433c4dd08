"""The job `campaign_dispatch`: a lane of a campaign takes a batch of those who are due, again and again.

Any number of lanes may run at once, in any number of processes. Each step is one transaction that begins by making sure
that the campaign runs and ends by making sure of its lease: so who pauses a campaign waits for the steps that are under
way, and after that nobody is contacted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine import channels
from engine.campaigns import lifecycle, opening, windows
from engine.campaigns.opening import Stop
from engine.campaigns.steps import GOES_ON, NEARLY_DONE, current
from engine.jobs.registry import Task, job
from storage import accounts, campaign_ledger, campaigns, clock
from storage.campaign_ledger import Counts
from storage.campaigns import Campaign, CampaignPace
from storage.database import transaction
from storage.errors import Conflict, NotFound
from storage.tenancy import SYSTEM, Tenant

BATCH = 100
_AHEAD_S = 5.0  # how much of a paced channel's time may stand in its queue: so much still goes after a pause
_MOST_QUEUED, _FEWEST_QUEUED = 2_000, 10
_LOOK_AGAIN = timedelta(seconds=1)
_CONTENDED = timedelta(milliseconds=50)
_LONGEST_WAIT = timedelta(hours=1)
_BURST_S = 2.0  # as much as a pace may catch up on: what is held is found by a sweep, which may be late


@job("campaign_dispatch", lease_s=120.0)
def dispatch(task: Task) -> None:
    """Contact the next batch: payload {campaign, run}."""
    try:
        with transaction():
            is_over = _step(task)
    except Stop as stop:
        _stop(task, stop.reason)
        return
    if is_over:
        _finish(task)


def _stop(task: Task, reason: str) -> None:
    with transaction():
        task.complete()
        try:
            lifecycle.pause(task.tenant, task.payload["campaign"], actor=SYSTEM, reason=reason)
        except (Conflict, NotFound):  # somebody has ended it
            return


def _step(task: Task) -> bool:
    """One batch, in the caller's transaction; True where nothing is left to do. Raises Stop, LeaseLost."""
    tenant, now = task.tenant, clock.now()
    try:
        campaign = campaigns.keep(tenant, task.payload["campaign"])
    except NotFound:
        task.complete()
        return False
    if campaign.status != "running" or campaign.run != task.payload["run"]:
        task.complete()
        return False
    counts = campaign_ledger.counts(tenant, [campaign])[campaign.id]
    if counts.queued >= _most_queued(tenant, campaign):
        task.hold(now + _LOOK_AGAIN, GOES_ON)
        return False
    pace = campaigns.lock_pace(tenant, campaign) if campaigns.is_paced(campaign) else None
    allowed, free_at = (BATCH, now) if pace is None else _allowance(tenant, campaign, pace, now)
    taken = campaign_ledger.take(tenant, campaign, now, min(BATCH, allowed)) if allowed else []
    if not taken:
        return _wait(task, campaign, counts, max(now, free_at))
    opened = opening.open_batch(tenant, campaign, taken, now)
    if pace is not None:
        _note_pace(campaign, pace, opened, now)
    task.hold(now, GOES_ON)
    return False


def _most_queued(tenant: Tenant, campaign: Campaign) -> int:
    channel = channels.of(tenant, campaign.channel)
    if channel is None or channel.pace_s == 0:
        return _MOST_QUEUED
    return max(_FEWEST_QUEUED, int(_AHEAD_S / channel.pace_s))


def _zone(tenant: Tenant, campaign: Campaign) -> ZoneInfo:
    return ZoneInfo(campaign.schedule.get("timezone") or accounts.get(tenant.account_id).timezone or "UTC")


def _allowance(tenant: Tenant, campaign: Campaign, pace: CampaignPace, now: datetime) -> tuple[int, datetime]:
    """How many may be contacted now, and else when the next one may; the day of a held pace is brought up to date."""
    allowed, free_at = BATCH, now
    cap = campaign.schedule.get("dailyCap")
    if cap is not None:
        day, tomorrow = windows.day_of(_zone(tenant, campaign), now)
        if pace.day != day:
            pace.store(day=day, opened=0)
        allowed = min(allowed, cap - pace.opened)
        if allowed <= 0:
            return 0, tomorrow
    interval = interval_s(campaign)
    if interval is not None:
        ready = _ready_at(campaign, pace, now)
        if ready > now:
            return 0, ready
        allowed = min(allowed, int((now - ready).total_seconds() / interval) + 1)
    return allowed, free_at


def _burst(per_minute: int) -> int:
    return max(1, int(per_minute * _BURST_S / 60))


def interval_s(campaign: Campaign) -> float | None:
    """Seconds between two messages such that a burst and all that follows it in a minute keep to the pace."""
    per_minute = campaign.schedule.get("messagesPerMinute")
    return None if per_minute is None else 60 / (per_minute - _burst(per_minute) + 1)


def _ready_at(campaign: Campaign, pace: CampaignPace, now: datetime) -> datetime:
    """When the next message is due; what was not used is kept for a burst and no more (GCRA)."""
    behind = _burst(campaign.schedule["messagesPerMinute"]) - 1
    earliest = now - timedelta(seconds=behind * (interval_s(campaign) or 0.0))
    return max(earliest, clock.parse(pace.free_at)) if pace.free_at else now


def _note_pace(campaign: Campaign, pace: CampaignPace, opened: int, now: datetime) -> None:
    interval = interval_s(campaign)
    columns: dict[str, object] = {"opened": pace.opened + opened}
    if interval is not None:
        free_at = _ready_at(campaign, pace, now) + timedelta(seconds=opened * interval)
        columns["free_at"] = clock.iso(free_at)
    pace.store(**columns)


def _wait(task: Task, campaign: Campaign, counts: Counts, free_at: datetime) -> bool:
    """Nobody can be contacted right now: come back when somebody can. True where nobody is left at all."""
    now = clock.now()
    due = campaign_ledger.next_due(task.tenant, campaign)
    if due is not None:
        at = max(clock.parse(due) if due else now, free_at, now + _CONTENDED)
        task.hold(min(at, now + _LONGEST_WAIT), GOES_ON)
    elif not task.claim.lane.endswith("/0"):
        task.complete()  # the first lane sees to the end
    elif counts.queued:
        task.hold(now + _LOOK_AGAIN, NEARLY_DONE)
    else:
        return True
    return False


def _finish(task: Task) -> None:
    with transaction():
        campaign = current(task, "running")
        if campaign is None:
            return
        counts = campaign_ledger.counts(task.tenant, [campaign])[campaign.id]
        if counts.pending or counts.queued:
            task.hold(clock.now() + _LOOK_AGAIN, GOES_ON)
            return
        task.complete()
        lifecycle.finish(task.tenant, campaign)
