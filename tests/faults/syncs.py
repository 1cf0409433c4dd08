"""Lead syncs in a storm: batches of new leads, of leads the client made before, and of leads that all clients write.

Every batch leaves its mark, a custom field, on each lead it reaches: the leads themselves tell which batches took
effect and whether one did so by half.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import httpx

from storage import idempotency
from storage.database import connection
from tests.faults.house import House, once
from tests.faults.storm import Storm

PATH = "/api/leads/sync"
CLIENTS = 4
_SHARED = [f"all-{number}" for number in range(30)]
_REFUSED = {"lead_id": "bad", "phone": "12"}


@dataclass
class Batch:
    """One sync as its client knows it. number: of this client's batches."""

    key: str
    number: int
    new: list[str]
    again: list[str]
    shared: list[str]
    body: dict[str, Any]
    answer: httpx.Response | None = None
    kept: set[str] = field(default_factory=set)  # leads that bear its mark in the end

    @property
    def sent(self) -> set[str]:
        """The lead ids of its good items."""
        return {*self.new, *self.again, *self.shared}


def run(house: House, storm: Storm, seed: int, *, syncs: int, items: tuple[int, int]) -> list[Batch]:
    """Send so many syncs of so many items, at least and at most, from four clients at once."""
    work = [partial(_sync, house, storm, f"{seed}-{name}", name, syncs // CLIENTS, items) for name in "abcd"]
    return [batch for batches in storm.run(work) for batch in batches]


def _sync(house: House, storm: Storm, seed: str, name: str, count: int, items: tuple[int, int]) -> list[Batch]:
    random = Random(seed)
    batches: list[Batch] = []
    known: list[str] = []
    with house.client(storm, seed, abandons=0.2) as client:
        for number in range(count):
            batch = _batch(random, name, number, known, random.randint(*items))
            batch.answer = client.post(PATH, batch.key, json=batch.body)
            batches.append(batch)
            if batch.answer is not None:
                known += batch.new
    return batches


def _batch(random: Random, name: str, number: int, known: list[str], size: int) -> Batch:
    key = f"{name}{number}"
    refused = [_REFUSED] if number % 3 == 0 else []
    shared = random.sample(_SHARED, 5)
    again = random.sample(known, min(len(known), size // 2))
    new = [f"{key}-{index}" for index in range(size - len(refused) - len(again) - len(shared))]
    items = [_item(lead_id, key, f"{lead_id} of {number}") for lead_id in (*new, *again)]
    items += [*(_item(lead_id, key, "Everybody's") for lead_id in shared), *refused]
    random.shuffle(items)
    return Batch(key, number, new, again, shared, {"source": "crm", "leads": items})


def _item(lead_id: str, key: str, name: str) -> dict[str, Any]:
    digits = int(hashlib.sha256(lead_id.encode()).hexdigest(), 16) % 10**9
    return {
        "lead_id": lead_id,
        "name": name,
        "phone": f"+9991{digits:09}",
        "email": f"{lead_id}@example.com",
        "customFields": {f"mark-{key}": "1"},
    }


def check(house: House, batches: list[Batch]) -> None:
    """Assert that each batch took effect once and whole, if it was acknowledged; at most once and whole if not."""
    leads = {lead.external_id: lead for lead in house.check_leads()}
    marked = defaultdict(set)
    for lead_id, lead in leads.items():
        for mark in lead.custom_fields:
            marked[mark.removeprefix("mark-")].add(lead_id)
    for batch in batches:
        batch.kept = marked.pop(batch.key, set())
        assert batch.kept == batch.sent or (batch.answer is None and not batch.kept), batch.key
    assert not marked
    effective = [batch for batch in batches if batch.kept]
    assert leads.keys() == set().union(*(batch.sent for batch in effective))
    _check_names(leads, effective)
    _check_answers(leads, batches)
    _check_records(house, effective)


def _check_names(leads: dict[str, Any], effective: Iterable[Batch]) -> None:
    """Of its owner's batches the last one named the lead."""
    last: dict[str, int] = {}
    for batch in effective:
        for lead_id in (*batch.new, *batch.again):
            last[lead_id] = max(batch.number, last.get(lead_id, 0))
    for lead_id, number in last.items():
        assert leads[lead_id].name == f"{lead_id} of {number}"


def _check_answers(leads: dict[str, Any], batches: Iterable[Batch]) -> None:
    """What was acknowledged is true: each lead made by one batch, under the number that was told."""
    made: list[str] = []
    for batch in batches:
        if batch.answer is None:
            continue
        told = batch.answer.json()
        outcomes = {result["lead_id"]: result["outcome"] for result in told["results"]}
        assert all(outcomes[lead_id] == "created" for lead_id in batch.new)
        assert all(outcomes[lead_id] == "updated" for lead_id in batch.again)
        assert all(leads[result["lead_id"]].number == result["id"] for result in told["results"])
        assert Counter(outcomes.values()) == Counter(
            {verb: told[verb] for verb in ("created", "updated", "unchanged") if told[verb]}
        )
        assert told["failed"] == batch.body["leads"].count(_REFUSED) == told["total"] - len(outcomes)
        made += [lead_id for lead_id, outcome in outcomes.items() if outcome == "created"]
    assert once(made)


def _check_records(house: House, effective: Iterable[Batch]) -> None:
    """The audit log and the stored answers know each effective batch once, and no other."""
    keys = sorted(batch.key for batch in effective)
    audited = [entry.request_id.rpartition(".")[0] for entry in house.audited("leads.synced")]
    assert sorted(audited) == keys
    record = idempotency.IdempotencyRecord
    with connection():
        stored = list(record.select(record.key).where(record.owner == f"tenant:{house.tenant.id}").tuples())
    assert sorted(key for (key,) in stored) == keys
