"""Probes of where knowledge comes from: crawls and webhook sources that were read in another tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage import clock, knowledge, knowledge_crawls, knowledge_sources
from storage.errors import NotFound
from storage.knowledge_crawls import KnowledgeCrawl, KnowledgeHostPace
from storage.knowledge_sources import KnowledgeWebhook
from storage.tenancy import Tenant

from .worlds import Party, World

_HOST = "site.example.com"
_ORIGIN = f"https://{_HOST}"
_LONG_AGO, _LATER, _LATEST = "2001-01-01T00:00:00.000Z", "2998-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"


def _parties(world: World) -> tuple[Tenant, Party]:
    assert world.victim is not None
    return world.attacker.tenant, world.victim


def _crawl(party: Party) -> KnowledgeCrawl:
    crawl = knowledge_crawls.find(party.tenant, party.values["crawl job"][0])
    assert crawl is not None
    return crawl


def _source(party: Party) -> KnowledgeWebhook:
    source = knowledge_sources.find(party.tenant, party.values["webhook source"][0])
    assert source is not None
    return source


def _is_found(call: Callable[[], Any]) -> bool:
    try:
        return bool(call())
    except NotFound:
        return False


def _found(ways: dict[str, Callable[[], Any]]) -> str | None:
    found = [name for name, call in ways.items() if _is_found(call)]
    return f"{', '.join(found)} found another's" if found else None


def sources_of_a_base_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    base = knowledge.get(victim.tenant, victim.values["knowledge base"][0])
    job, source = victim.values["crawl job"][0], victim.values["webhook source"][0]
    return _found(
        {
            "crawl find": lambda: knowledge_crawls.find(attacker, job),
            "crawl get": lambda: knowledge_crawls.get(attacker, base, job),
            "source find": lambda: knowledge_sources.find(attacker, source),
            "source get": lambda: knowledge_sources.get(attacker, base, source),
        }
    )


def pages_of_a_crawl_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    crawl = _crawl(victim)
    return _found(
        {
            "listed": lambda: knowledge_crawls.listed(attacker, crawl),
            "next_page": lambda: knowledge_crawls.next_page(attacker, crawl),
            "pages": lambda: knowledge_crawls.pages(attacker, crawl, limit=10)[0],
            "has_document": lambda: knowledge_crawls.has_document(attacker, victim.values["document"][0]),
        }
    )


def forgetting_pages_that_were_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    crawl = _crawl(victim)
    page = knowledge_crawls.next_page(victim.tenant, crawl)
    assert page is not None
    knowledge_crawls.forget_pages(attacker, [page])
    return None if page.url in knowledge_crawls.listed(victim.tenant, crawl) else "forget_pages took another's page"


def robots_of_a_crawl_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    crawl = _crawl(victim)
    knowledge_crawls.keep_robots(victim.tenant, crawl, _ORIGIN, "open", "")
    if knowledge_crawls.robots(attacker, crawl, _ORIGIN):
        return "robots found another's"
    knowledge_crawls.begin_round(attacker, crawl)
    return None if knowledge_crawls.robots(victim.tenant, crawl, _ORIGIN) else "begin_round took another's robots"


def _pace(party: Party, free_at: str) -> KnowledgeHostPace:
    return KnowledgeHostPace.add(party.tenant, host=_HOST, free_at=free_at)


def _free_at(party: Party) -> str | None:
    row = KnowledgeHostPace.of(party.tenant).where(KnowledgeHostPace.host == _HOST).first()
    return row and row.free_at


def the_turn_of_another_at_a_host(world: World) -> str | None:
    attacker, victim = _parties(world)
    _pace(victim, _LONG_AGO)
    taken = knowledge_crawls.take_turn(attacker, _HOST, clock.now(), 10)
    return None if (taken, _free_at(victim)) == (None, _LONG_AGO) else "take_turn took another's turn"


def the_pause_of_another_at_a_host(world: World) -> str | None:
    attacker, victim = _parties(world)
    _pace(victim, _LATER)
    _pace(world.attacker, _LATEST)
    until = knowledge_crawls.take_turn(attacker, _HOST, clock.now(), 10)
    knowledge_crawls.leave_alone(attacker, _HOST, clock.parse(_LATEST))
    knowledge_crawls.forget_paces(attacker, clock.parse("3000-01-01"))
    is_own = until is not None and clock.iso(until) == _LATEST
    return None if is_own and _free_at(victim) == _LATER else "the pause of a host was another's"


def deleting_a_source_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    knowledge_sources.delete(attacker, _source(victim))
    gone = knowledge_sources.find(victim.tenant, victim.values["webhook source"][0]) is None
    return "delete took another's source" if gone else None


def items_of_a_source_that_was_read_elsewhere(world: World) -> str | None:
    attacker, victim = _parties(world)
    source = _source(victim)
    documents = [party.values["document"][0] for party in (victim, world.attacker)]  # of either
    kept = [(f"key {place}", document, "hash") for place, document in enumerate(documents)]
    knowledge_sources.keep_items(victim.tenant, source, kept)
    if knowledge_sources.items(attacker, source):
        return "items found another's"
    knowledge_sources.keep_items(attacker, source, [])
    return None if knowledge_sources.items(victim.tenant, source) else "keep_items took another's"


def a_document_that_has_strayed_to_a_source(world: World) -> str | None:
    attacker, victim = _parties(world)
    source = _source(world.attacker)
    knowledge_sources.keep_items(attacker, source, [("key", victim.values["document"][0], "hash")])
    return "items found another's document" if knowledge_sources.items(attacker, source) else None


SOURCE_PROBES = (
    sources_of_a_base_that_was_read_elsewhere,
    pages_of_a_crawl_that_was_read_elsewhere,
    forgetting_pages_that_were_read_elsewhere,
    robots_of_a_crawl_that_was_read_elsewhere,
    the_turn_of_another_at_a_host,
    the_pause_of_another_at_a_host,
    deleting_a_source_that_was_read_elsewhere,
    items_of_a_source_that_was_read_elsewhere,
    a_document_that_has_strayed_to_a_source,
)
