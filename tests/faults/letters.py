"""People write on four channels, the first time and again, while the servers that hear them are killed.

Everybody writes a few messages at once, waits until they are acknowledged and a while for the answers, and goes on. Who
has several addresses, such as a phone for WhatsApp and SMS, writes from any of them at the same time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from storage.deliveries import DeliveryAttempt
from storage.inbox import InboundEvent
from tests.faults.couriers import Couriers
from tests.faults.doubts import Doubts
from tests.faults.house import House
from tests.faults.people import KNOWN, Letter, Person, Town
from tests.faults.post import Post
from tests.faults.providers import Providers
from tests.faults.storm import Storm, committed, unfinished
from tests.faults.talks import AGENT
from tests.support.contract_client import ContractClient

WRITERS = 8
KNOWN_PEOPLE = 2 * WRITERS  # leads before they write
_NEW_FACE = 0.3  # how likely somebody writes who has not written before
_MOST_FACES = 12  # of one writer
_MOST_AT_ONCE = 3
_PATIENCE_S = 3.0  # for answers
_MOST_UNANSWERED = 50
_PAUSE_S = 0.05
_BETWEEN_STRIKES_S = 6.0  # once nobody writes any more: enough to do what there is to do
_CALM_LOOKS = 4  # in a row, until all is settled


@dataclass
class Letters:
    """All that was written, and all that is known of what became of it."""

    storm: Storm
    town: Town
    post: Post
    couriers: Couriers
    doubts: Doubts

    def __str__(self) -> str:
        traffic, providers = self.post.traffic, self.town.providers
        endings = self.doubts.endings({taken.text for taken in providers.taken()})
        doubts = "; ".join(
            f"{channel} {counts.total()} ({', '.join(f'{count} {ending}' for ending, count in counts.most_common())})"
            for channel, counts in sorted(endings.items())
        )
        return (
            f"{self.storm.toll.hits}, {self.storm.toll.seconds:.0f} s; {len(self.town.letters)} messages of people; "
            f"{traffic.acknowledged} webhooks acknowledged, {traffic.repeated} repeated for want of an answer, "
            f"{traffic.refused} after an error, {traffic.needless} needlessly, {traffic.given_up} given up; "
            f"{providers.count_taken()} messages sent, {providers.email.repetitions} repetitions refused by their key; "
            f"outcomes unknown: {doubts or 'none'}"
        )

    def raise_what_failed(self) -> None:
        """Raises what one of those at work has found wrong."""
        for error in (self.couriers.error, *self.post.failures):
            if error is not None:
                raise error


def run(house: House, providers: Providers, seed: int, *, least: int, settle_s: float, **course: Any) -> Letters:
    """Have people write until a storm of this course is over, and each writer so often at least; then settle."""
    storm, doubts = _storm_over(house, providers, seed, **course)
    town = Town(providers, house.server.base_url)
    with ContractClient(house.server.base_url, house.api_key) as client:
        known = _prepare(client, town)
    with (
        Post(storm, house.server.base_url, f"{seed}-post") as post,
        Couriers(town, post, f"{seed}-couriers") as couriers,
    ):
        letters = Letters(storm, town, post, couriers, doubts)
        work = [partial(_write, letters, f"{seed}-{n}", known[n::WRITERS], least) for n in range(WRITERS)]
        storm.run(work)
        _settle(letters, settle_s)
    return letters


def _storm_over(house: House, providers: Providers, seed: int, **course: Any) -> tuple[Storm, Doubts]:
    """A storm that kills workers beside the server too, where there are any, and aims at receipts and sends."""
    doubts = Doubts(house.tenant)
    aims = [
        committed,
        lambda: InboundEvent.of(house.tenant).count(),
        lambda: DeliveryAttempt.of(house.tenant).count(),  # one more send was decided on
        providers.count_taken,  # one more was taken, and nobody has been told
    ]
    return Storm(house.server, seed, others=house.workers, aims=aims, meanwhile=doubts.pass_time, **course), doubts


def _prepare(client: ContractClient, town: Town) -> list[Person]:
    """An account that answers however often it is written to, its agent, its providers and the leads that it has."""
    client.patch("/api/accounts/current", json={"frequencyCap": {"messages": 1000, "hours": 1}}).raise_for_status()
    client.post("/api/agent-config", json=AGENT).raise_for_status()
    town.providers.integrate(client)
    known = [town.newcomer(KNOWN) for _ in range(KNOWN_PEOPLE)]
    leads = [{"name": f"Person {who.number}", "phone": who.phone, "email": who.email} for who in known]
    client.post("/api/leads/sync", json={"leads": leads}).raise_for_status()
    return known


def _write(letters: Letters, seed: str, faces: list[Person], least: int) -> None:
    random, turn = Random(seed), 0
    while letters.storm.is_raging or turn < least:
        if len(faces) < _MOST_FACES and random.random() < _NEW_FACE:
            faces.append(letters.town.newcomer())
        person = random.choice(faces)
        channels = [random.choice(person.channels) for _ in range(random.randint(1, _MOST_AT_ONCE))]
        for channel in channels:
            letters.town.providers.disturb(channel, random)
        envelopes = letters.town.compose(person, channels, turn, random)
        parcels = [letters.post.send(envelope.webhook) for envelope in envelopes]
        for envelope, parcel in zip(envelopes, parcels, strict=True):
            is_acknowledged = parcel.wait()
            for letter in envelope.letters:
                letter.is_acknowledged = is_acknowledged
        letters.raise_what_failed()
        _await_answers(letters, [letter for envelope in envelopes for letter in envelope.letters])
        turn += 1


def _await_answers(letters: Letters, written: list[Letter]) -> None:
    """Wait for a while, and for as long as others wait for many answers."""
    taken, deadline = letters.town.providers, time.monotonic() + _PATIENCE_S
    missing = list(written)
    while missing and (time.monotonic() < deadline or (letters.storm.is_raging and _lags_behind(letters))):
        time.sleep(_PAUSE_S)
        missing = [each for each in missing if not taken.has_taken(each.channel, f"re: {each.text}")]


def _lags_behind(letters: Letters) -> bool:
    return len(letters.town.letters) - letters.town.providers.count_taken() > _MOST_UNANSWERED


def _settle(letters: Letters, within_s: float) -> None:
    """Wait until nobody has anything left to do: providers, post, workers; kill on where time is to pass for doubts."""
    deadline = time.monotonic() + within_s
    next_strike = calm = 0
    while calm < _CALM_LOOKS:
        letters.raise_what_failed()
        left = unfinished()
        is_calm = not left and letters.post.is_idle and letters.couriers.is_idle
        calm = calm + 1 if is_calm else 0
        assert time.monotonic() < deadline, f"not done within {within_s} s: {left}"
        if time.monotonic() > next_strike and letters.doubts.are_due():
            letters.storm.strike()
            next_strike = time.monotonic() + _BETWEEN_STRIKES_S
        time.sleep(_PAUSE_S)
