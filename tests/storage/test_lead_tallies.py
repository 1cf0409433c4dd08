"""Whatever is done to leads, and by how many at once, the tallies say what counting says."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import pytest

from storage import imports, lead_import, lead_sync, lead_tallies, leads, sync_items
from storage.errors import Conflict, NotFound
from storage.imports import Order
from storage.lead_import import ImportRow
from storage.lead_tallies import LeadTally
from storage.leads import Lead, NewLead
from tests.storage.test_leads_concurrency import THREADS, together

STATUSES = ("new", "contacted", "qualified", "disqualified")
TAGS = ("vip", "Straße", 'with "quotes"', "b\\", "x")


def counted(tenant):
    """What counting every lead says."""
    every = list(leads.live(tenant))
    tags = Counter(("tag", tag) for lead in every for tag in set(lead.tags))
    return tags + Counter(("status", lead.status) for lead in every)


def tallied(tenant):
    """What the tallies say, of what there is any of."""
    kept = Counter()
    for row in LeadTally.of(tenant):
        kept[row.kind, row.value] += row.live
    assert min(kept.values(), default=0) >= 0
    return +kept


def tags(draw):
    return draw.sample(TAGS, draw.randrange(4))


def create(tenant, actor, draw):
    leads.create(tenant, NewLead(phone=phone(draw), status=draw.choice(STATUSES), tags=tags(draw)), actor)


def update(tenant, actor, draw):
    changes = draw.choice([{"status": draw.choice(STATUSES)}, {"tags": tags(draw)}, {"name": "Ada"}])
    leads.update(tenant, draw.randrange(1, 60), changes, actor)


def delete(tenant, actor, draw):
    leads.delete(tenant, draw.randrange(1, 60), actor)


def restore(tenant, actor, draw):
    leads.restore(tenant, draw.randrange(1, 60), actor)


def sync(tenant, actor, draw):
    raw = [
        {"lead_id": f"crm-{draw.randrange(20)}", "tags": tags(draw), "status": draw.choice(STATUSES)} for _ in "12345"
    ]
    items = [sync_items.read(index, each, None, True) for index, each in enumerate(raw)]
    lead_sync.sync(tenant, items, source="crm", actor=actor)


def delete_synced(tenant, actor, draw):
    lead_sync.delete(tenant, [f"crm-{draw.randrange(20)}" for _ in "123"], actor)


def import_and_undo(tenant, actor, draw):
    batch = imports.open_batch(tenant, Order({}, tags=tags(draw), on_duplicate="update"), actor)
    rows = [ImportRow(row, {"phone": phone(draw), "tags": tags(draw)}) for row in range(2, 8)]
    lead_import.store(tenant, batch, rows)
    imports.complete(tenant, batch)
    if draw.random() < 0.5:
        imports.undo(tenant, batch.oid, actor)


def phone(draw):
    return f"+120255501{draw.randrange(100):02}"


EVERYTHING = (create, create, update, update, update, delete, restore, sync, delete_synced, import_and_undo)


def storm(tenant, actor, seed, steps):
    """Does this many things to the leads that this seed draws; what is refused is refused."""
    draw = random.Random(seed)
    for _ in range(steps):
        with contextlib.suppress(Conflict, NotFound):
            draw.choice(EVERYTHING)(tenant, actor, draw)


def test_tallies_say_what_counting_says_after_anything(tenant, other_tenant, actor):
    for seed in range(4):
        storm(tenant, actor, seed, 50)
        storm(other_tenant, actor, seed + 100, 10)

        assert tallied(tenant) == counted(tenant)
        assert tallied(other_tenant) == counted(other_tenant)


def test_writers_of_one_tenant_neither_wait_for_each_other_forever_nor_lose_a_count(tenant, actor, make_lead):
    for _ in range(THREADS * 2):
        make_lead()

    def change(thread):
        """Statuses and tags in another order in each thread, several leads in one go."""
        draw = random.Random(thread)
        for _ in range(15):
            number = thread * 2 + draw.randrange(1, 3)
            leads.update(tenant, number, {"status": draw.choice(STATUSES), "tags": tags(draw)}, actor)

    together(change, range(THREADS))

    assert tallied(tenant) == counted(tenant)


@pytest.mark.parametrize(
    ("kind", "values", "expected"), [("status", ["new", "new"], 2), ("tag", ["x"], 1), ("tag", ["y"], 0)]
)
def test_a_tally_is_answered_for_one_value_or_several(tenant, make_lead, kind, values, expected):
    make_lead(tags=["x"])
    make_lead()
    make_lead(status="contacted")

    assert lead_tallies.tallied(tenant, kind, values) == expected


def test_a_row_that_is_gone_is_counted_no_more(tenant, make_lead):
    make_lead(tags=["x"])

    Lead.remove(tenant).execute()

    assert tallied(tenant) == Counter()
