"""Ordering a crawl of a site, and stopping it. The reading is done by workers, a step at a time: see crawl_steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import partial

from engine.jobs import doorbell, worker
from storage import audit, clock, knowledge, outbox
from storage import knowledge_crawls as crawls
from storage.database import after_commit, connection, transaction
from storage.errors import Blocked, Conflict, Problem
from storage.knowledge import KnowledgeBase
from storage.knowledge_crawls import KnowledgeCrawl
from storage.tenancy import Actor, Tenant

from . import crawl_list, urls
from .fetch_errors import UrlRefused

WAIT_S = 2.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.01, 0.1

_deadline: ContextVar[float | None] = ContextVar("crawl_deadline", default=None)


def start(
    tenant: Tenant,
    base_oid: str,
    *,
    sitemap_url: str | None,
    addresses: Sequence[str] = (),
    max_pages: int,
    uses_llm_distill: bool = True,
    recrawl_hours: int | None = None,
    actor: Actor,
) -> KnowledgeCrawl:
    """A crawl of the pages of a sitemap, of these addresses, or of both; workers do it.

    recrawl_hours: how long after a round is over the next one begins; None for a single one. Raises NotFound, Blocked.
    """
    problems: list[Problem] = []
    sitemap = _parsed(sitemap_url, "/sitemapUrl", problems) if sitemap_url is not None else None
    parsed = [_parsed(address, f"/urls/{place}", problems) for place, address in enumerate(addresses)]
    if problems:
        raise Blocked("invalid_url", problems[0].message, problems=problems)
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        crawl = crawls.add(
            tenant,
            base,
            sitemap_url=sitemap,
            urls=list(dict.fromkeys(filter(None, parsed))),
            max_pages=max_pages,
            uses_llm_distill=uses_llm_distill,
            recrawl_hours=recrawl_hours,
            actor=actor,
        )
        crawl_list.begin(tenant, crawl)
        put_step(tenant, base, crawl)
        metadata = {"sitemapUrl": sitemap, "urls": len(addresses), "maxPages": max_pages}
        audit.record(tenant, actor, "knowledge_crawl.started", crawl.oid, metadata)
        after_commit(partial(doorbell.ring, lane_of(crawl.oid)))
    return crawl


def _parsed(address: str, path: str, problems: list[Problem]) -> str | None:
    try:
        return str(urls.parse(address))
    except UrlRefused as error:
        problems.append(Problem(path, error.message))
        return None


def cancel(tenant: Tenant, base_oid: str, oid: str, *, actor: Actor) -> KnowledgeCrawl:
    """Stop a crawl before its next page, and all its further rounds; what was read stays. Raises NotFound, Conflict."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        crawl = crawls.lock(tenant, base, oid)
        if not crawl.is_open and crawl.next_crawl_at is None:
            raise Conflict("crawl_finished", f"The crawl is {crawl.status} already and will not begin again.")
        crawls.save(crawl, status="cancelled", next_crawl_at=None, finished_at=crawl.finished_at or clock.stamp())
        audit.record(tenant, actor, "knowledge_crawl.cancelled", oid, {"counts": crawl.counts})
    return crawl


def once_listed(tenant: Tenant, oid: str, within_s: float = WAIT_S) -> KnowledgeCrawl | None:
    """The crawl when its sitemaps are read, or as it is when that takes longer; None once it is gone.

    Reads them in this thread unless a worker does, so that busy workers are no reason to know nothing. A site that is
    slow is left to the workers when the time is over.
    """
    deadline, look_s = time.monotonic() + within_s, _FIRST_LOOK_S
    with in_a_hurry(deadline):
        while True:
            with connection():
                crawl = crawls.find(tenant, oid)
            if crawl is None or not crawl.is_open or crawl.phase != "sitemaps" or time.monotonic() >= deadline:
                return crawl
            if not worker.work_next(lane_of(oid)):
                time.sleep(look_s)
                look_s = min(look_s * 2, _LONGEST_LOOK_S)


@contextlib.contextmanager
def in_a_hurry(deadline: float) -> Iterator[None]:
    """Steps of crawls in this thread give up what they wait for at this moment of the monotonic clock."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def left_s() -> float | None:
    """Seconds until somebody who waits has waited long enough; None where nobody does."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def lane_of(oid: str) -> str:
    """The lane of the outbox that the steps of this crawl go through."""
    return f"crawl:{oid}"


def put_step(
    tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl, *, round_: int | None = None, at: datetime | None = None
) -> None:
    """Leave the next step, of the present round unless another is named, to the workers; not before `at`."""
    payload = {"base": base.oid, "crawl": crawl.oid, "round": crawl.round if round_ is None else round_}
    outbox.put(tenant, "crawl", lane_of(crawl.oid), payload, at)
