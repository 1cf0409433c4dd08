"""Many at once: numbers without gaps, one owner of a phone, a counter that counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from storage import database, lead_sync, leads, sync_items
from storage.errors import Conflict
from storage.leads import Lead, LeadCounter, NewLead

THREADS = 8


def together(work, arguments):
    def connected(argument):
        with database.connection():
            return work(argument)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(connected, arguments))


def test_leads_made_at_once_get_numbers_without_gaps(tenant, actor):
    def create_some(thread):
        for index in range(25):
            leads.create(tenant, NewLead(phone=f"+1202555{thread}{index:03}"), actor)

    together(create_some, range(THREADS))

    numbers = sorted(lead.number for lead in Lead.of(tenant))
    assert numbers == list(range(1, 201))
    counter = LeadCounter.get_by_id(tenant.id)
    assert (counter.last_number, counter.live) == (200, 200)


def test_one_phone_asked_for_at_once_gets_one_lead(tenant, actor):
    def create(_):
        try:
            return leads.create(tenant, NewLead(phone="+12025550142"), actor).number
        except Conflict as refusal:
            return refusal.details

    answers = together(create, range(THREADS * 2))

    assert answers.count(1) == 1
    assert answers.count("1") == THREADS * 2 - 1
    assert leads.count(tenant) == 1


def test_one_form_sent_at_once_makes_one_lead(tenant, actor):
    answers = together(lambda _: leads.receive(tenant, NewLead(phone="+12025550142"), actor)[1], range(THREADS))

    assert sorted(answers) == [False] * (THREADS - 1) + [True]


def test_one_batch_synced_at_once_makes_its_leads_once(tenant, actor):
    def sync(_):
        raw = [{"lead_id": f"crm-{index}", "name": "Ada"} for index in range(20)]
        items = [sync_items.read(index, each, f"+120255501{index:02}", True) for index, each in enumerate(raw)]
        return lead_sync.sync(tenant, items, source="crm", actor=actor)

    answers = together(sync, range(THREADS))

    verbs = [outcome.verb for outcomes, refused in answers for outcome in outcomes if not refused]
    assert (verbs.count("created"), verbs.count("unchanged")) == (20, 20 * (THREADS - 1))
    assert leads.count(tenant) == Lead.of(tenant).count() == 20


def test_a_lead_deleted_at_once_is_counted_off_once(tenant, actor, make_lead):
    numbers = [make_lead().number for _ in range(10)]

    def delete_or_make(index):
        if index % 2:
            return leads.create(tenant, NewLead(phone=f"+12025557{index:03}"), actor)
        return leads.delete(tenant, numbers[index // 2], actor)

    together(delete_or_make, range(20))

    assert leads.count(tenant) == leads.live(tenant).count() == 10
