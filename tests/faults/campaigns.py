"""Campaigns in a storm: operators start, pause and resume them while those who carry them out are killed.

Kills are dealt as a campaign gets on: evenly from when its audience is put down until most of it is done, however fast
that is. Where a campaign is over before all are dealt, the next one begins, to the same leads on another channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, NamedTuple

from peewee import fn

from storage.campaign_ledger import CampaignTally
from storage.campaigns import Campaign
from storage.conversations import Conversation
from storage.database import connection
from storage.deliveries import DeliveryAttempt
from storage.idempotency import IdempotencyRecord
from storage.tenancy import Tenant
from tests.faults.doubts import Doubts
from tests.faults.house import House
from tests.faults.providers import Providers
from tests.faults.storm import Storm, StormClient, unfinished
from tests.faults.talks import AGENT
from tests.support.contract_client import ContractClient

PATH = "/api/campaigns"
MESSAGE = "Hello {{firstName}}, is {{phone}} still yours?"
CHANNELS = ("sms", "whatsapp", "email", "telegram")
_AREAS = (202, 212, 303, 312, 404, 415, 503, 512, 602, 617, 702, 713)  # in each there are a hundred invented numbers
_AT_ONCE = 100  # leads of a sync
_KILLS_WITHIN = 0.8  # of a campaign's course: what comes late finds the rest
_WATCHERS = 2
_LOOK_S = 0.01
_BETWEEN_LOOKS_S = (0.02, 0.1)
_LONGEST_PAUSE_S = 0.4
_BETWEEN_WEATHERS_S = 0.5
_BETWEEN_STRIKES_S = 6.0  # once all campaigns are over: enough to do what there is to do
_OVER = "illegal_status_change"


class Standing(NamedTuple):
    """How many recipients there are, and how many of them are pending and queued."""

    total: int
    pending: int
    queued: int

    @classmethod
    def of(cls, tenant: Tenant, campaign: str | None = None) -> Standing:
        """As it is now, of this campaign or of all together."""
        sums = [fn.COALESCE(fn.SUM(CampaignTally._meta.fields[name]), 0) for name in cls._fields]
        query: Any = CampaignTally.of(tenant, *sums)
        if campaign is not None:
            named: Any = Campaign.of(tenant, Campaign.id).where(Campaign.oid == campaign)
            query = query.where(CampaignTally.campaign_id == named)
        with connection():
            return cls(*map(int, query.tuples().get()))

    def share(self, recipients: int) -> float:
        """In whole campaigns: a tenth is that the audience was put down, the rest whom it was opened to and reached."""
        return (self.total - 0.9 * self.pending - 0.5 * self.queued) / recipients


@dataclass
class Campaigns:
    """All that was run. recipients: of each. pauses: that were acknowledged, by campaign."""

    storm: Storm
    doubts: Doubts
    kills: int
    recipients: int
    channels: Sequence[str]
    providers: Providers | None
    pauses: dict[str, int] = field(default_factory=dict)
    at_work: set[str] = field(default_factory=set)  # operators, by what they draw from

    def __str__(self) -> str:
        stops = " + ".join(map(str, self.pauses.values()))
        taken = f", {self.providers.count_taken()} messages taken" if self.providers else ""
        return f"{len(self.pauses)} campaigns of {self.recipients}, paused {stops} times{taken}; {self.storm.toll}"

    def lead(self, number: int) -> dict[str, str]:
        """A lead as it is synced; with providers, one whose phone may be texted."""
        phone = f"+9991{number:09}"
        if self.providers:
            phone = f"+1{_AREAS[number % len(_AREAS)]}55501{number // len(_AREAS):02}"
        return {"name": f"Lead {number}", "phone": phone, "email": f"lead{number}@example.com"}

    def text(self, number: int) -> str:
        """What a campaign says to this lead."""
        return MESSAGE.replace("{{firstName}}", "Lead").replace("{{phone}}", self.lead(number)["phone"])


def run(
    house: House,
    seed: int,
    *,
    recipients: int,
    kills: int,
    stops: int,
    within_s: float,
    channels: Sequence[str] = CHANNELS,
    providers: Providers | None = None,
) -> Campaigns:
    """Run campaigns, each paused about so often, until all of these kills are dealt; then settle.

    One after the other on these channels, as many as it takes; with providers, all at once. within_s: what each of
    them may take, and settling.
    """
    pauses: dict[str, int] = {}
    doubts = Doubts(house.tenant)
    course = {"kills": kills, "pace": partial(_pace, house.tenant, recipients, pauses), "longest_s": float("inf")}
    aims = _aims(house.tenant, providers)
    storm = Storm(house.server, seed, others=house.workers, aims=aims, meanwhile=doubts.pass_time, **course)
    campaigns = Campaigns(storm, doubts, kills, recipients, channels, providers, pauses)
    with ContractClient(house.server.base_url, house.api_key) as client:
        _prepare(client, campaigns)
    shares = {f"{seed}-{channel}": [channel] for channel in channels} if providers else {f"{seed}": channels}
    campaigns.at_work.update(shares)
    work = [partial(_operate, house, campaigns, own, share, stops, within_s) for own, share in shares.items()]
    watching = [partial(_watch, house, campaigns, f"{seed}-watcher-{number}") for number in range(_WATCHERS)]
    storm.run([*work, *watching])
    _settle(campaigns, within_s)
    return campaigns


def _pace(tenant: Tenant, recipients: int, made: dict[str, int], kills_left: int, random: Random) -> Callable[[], bool]:
    """Tells when campaigns are so far that another kill is due; all at once where they have got too far."""
    now = Standing.of(tenant).share(recipients)
    apart = max(0.0, _KILLS_WITHIN * max(1, len(made)) - now) / kills_left
    due = now + random.uniform(0, 2 * apart)
    return lambda: Standing.of(tenant).share(recipients) >= due


def _aims(tenant: Tenant, providers: Providers | None) -> list[Callable[[], Any]]:
    return [
        lambda: IdempotencyRecord.select().count(),
        lambda: list(Campaign.of(tenant, Campaign.status, Campaign.run).tuples()),  # one was moved
        lambda: Standing.of(tenant),  # somebody was put down, contacted or reached
        lambda: Conversation.of(tenant, fn.MAX(Conversation.id)).scalar(),
        lambda: DeliveryAttempt.of(tenant, fn.MAX(DeliveryAttempt.id)).scalar(),  # one more send was decided on
        *([providers.count_taken] if providers else []),
    ]


def _prepare(client: ContractClient, campaigns: Campaigns) -> None:
    """An account that is never quiet, its agent, its leads, and its providers where there are any."""
    client.patch("/api/accounts/current", json={"quietHours": {"start": "00:00", "end": "00:00"}}).raise_for_status()
    client.post("/api/agent-config", json=AGENT).raise_for_status()
    if campaigns.providers:
        campaigns.providers.integrate(client)
    numbers = range(1, campaigns.recipients + 1)
    for start in range(0, len(numbers), _AT_ONCE):
        leads = [campaigns.lead(number) for number in numbers[start : start + _AT_ONCE]]
        client.post("/api/leads/sync", json={"leads": leads}).raise_for_status()


def _operate(
    house: House, campaigns: Campaigns, seed: str, channels: Sequence[str], stops: int, within_s: float
) -> None:
    random = Random(seed)
    try:
        with house.client(campaigns.storm, seed) as client:
            for channel in channels:
                body = {"name": f"By {channel}", "channel": channel, "message": MESSAGE, "leadFilter": {}}
                made = client.post(PATH, f"make-{channel}", json=body)
                assert made is not None
                oid = made.json()["_id"]
                campaigns.pauses[oid] = 0
                client.post(f"{PATH}/{oid}/start", f"start-{oid}")
                _see_through(house, campaigns, client, oid, stops, random, within_s)
                if not campaigns.storm.is_raging:
                    return
    finally:
        campaigns.at_work.discard(seed)


def _see_through(
    house: House, campaigns: Campaigns, client: StormClient, oid: str, stops: int, random: Random, within_s: float
) -> None:
    """Pause and resume a campaign until it is over; it gets on in between."""
    stop, due, deadline = 0, 0.0, time.monotonic() + within_s
    while not _is_over(house.tenant, oid):
        assert time.monotonic() < deadline, f"campaign not over within {within_s} s: {unfinished()}"
        standing = Standing.of(house.tenant, oid)
        if standing.share(campaigns.recipients) < due:
            time.sleep(_LOOK_S)
            continue
        paused = client.post(f"{PATH}/{oid}/pause", f"pause-{oid}-{stop}", may_refuse=[_OVER])
        assert paused is not None
        if paused.is_success:
            campaigns.pauses[oid] += 1
            _check_stillness(house.tenant, oid, random)
            client.post(f"{PATH}/{oid}/resume", f"resume-{oid}-{stop}")
        stop += 1
        due = Standing.of(house.tenant, oid).share(campaigns.recipients) + random.uniform(0, 2 / stops)


def _is_over(tenant: Tenant, oid: str) -> bool:
    with connection():
        return bool(Campaign.of(tenant, Campaign.status).where(Campaign.oid == oid).scalar() == "completed")


def _check_stillness(tenant: Tenant, oid: str, random: Random) -> None:
    """Nobody is put down or contacted as long as it is paused; what is on its way goes on."""
    before = Standing.of(tenant, oid)
    time.sleep(random.uniform(0, _LONGEST_PAUSE_S))
    after = Standing.of(tenant, oid)
    assert after[:2] == before[:2], f"somebody was contacted by a paused campaign: {before} became {after}"


def _watch(house: House, campaigns: Campaigns, seed: str) -> None:
    """Look at all campaigns again and again: their stats add up at any time, and nobody who was reached is lost."""
    random = Random(seed)
    reached: dict[str, int] = {}
    next_weather = 0.0
    with house.client(campaigns.storm, seed) as client:
        while campaigns.at_work:
            for oid in list(campaigns.pauses):
                stats = client.get(f"{PATH}/{oid}")["stats"]
                parts = [stats[name] for name in ("pending", "sent", "failed", "skipped")]
                assert stats["total"] == sum(parts) <= campaigns.recipients, stats
                assert reached.get(oid, 0) <= stats["sent"], stats
                reached[oid] = stats["sent"]
            if campaigns.providers and time.monotonic() > next_weather:
                campaigns.providers.disturb(random.choice(campaigns.channels), random)
                next_weather = time.monotonic() + _BETWEEN_WEATHERS_S
            time.sleep(random.uniform(*_BETWEEN_LOOKS_S))


def _settle(campaigns: Campaigns, within_s: float) -> None:
    """Wait until nothing is left to do; kill on where time is to pass for calls whose outcome nobody knows."""
    deadline = time.monotonic() + within_s
    next_strike = time.monotonic() + _BETWEEN_STRIKES_S
    while left := unfinished():
        assert time.monotonic() < deadline, f"not done within {within_s} s: {left}"
        if time.monotonic() > next_strike and campaigns.doubts.are_due():
            campaigns.storm.strike()
            next_strike = time.monotonic() + _BETWEEN_STRIKES_S
        time.sleep(5 * _LOOK_S)
