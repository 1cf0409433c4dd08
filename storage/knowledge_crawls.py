"""Crawls: what was ordered, the pages that were found, and what became of each.

    queued → running → completed ─┐        phases of a running one: sitemaps → pages → sweep
       ↑        ├───→ failed ─────┤
       │        └───→ cancelled   │
       └── the next round, where an interval was asked for

A round reads the sitemaps anew. Pages keep what is known of them from round to round; those that a complete list does
not have any more are gone. `urls` are what was ordered besides a sitemap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from peewee import BigIntegerField, BooleanField, IntegerField, JSONField, ModelSelect, TextField

from . import clock
from .base import TenantModel
from .database import is_sqlite
from .errors import NotFound
from .ids import new_id
from .knowledge import KnowledgeBase
from .knowledge_documents import KnowledgeDocument
from .paging import paginate
from .tenancy import Actor, Tenant

OUTCOMES = ("pending", "indexed", "updated", "unchanged", "gone", "skipped", "failed")
MAX_REASON = 500
_AT_ONCE = 500  # rows of one statement


class KnowledgeCrawl(TenantModel):
    """An order to read a site. `counts` are the pages of the present round by outcome."""

    knowledge_base_id = BigIntegerField()
    oid = TextField()
    status = TextField(default="queued")
    phase = TextField(default="sitemaps")
    round = IntegerField(default=1)
    sitemap_url = TextField(null=True)
    site_url = TextField(null=True)  # where the first sitemap was in the end
    sitemaps = JSONField(default=list)  # [{url, depth, state: waiting | read | failed}]
    is_list_complete = BooleanField(default=True)
    urls = JSONField(default=list)
    max_pages = IntegerField()
    uses_llm_distill = BooleanField(default=True)
    recrawl_hours = IntegerField(null=True)
    urls_found = IntegerField(default=0)
    pages = IntegerField(default=0)  # those of the addresses that are read: `max_pages` at most
    counts = JSONField(default=dict)
    failure_code = TextField(null=True)
    failure_message = TextField(null=True)
    actor = JSONField(default=dict)
    started_at = TextField(null=True)
    finished_at = TextField(null=True)
    next_crawl_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()

    @property
    def is_open(self) -> bool:
        """Whether the present round is not over yet."""
        return self.status in ("queued", "running")


class KnowledgeCrawlPage(TenantModel):
    """An address of a crawl, what became of it in its round, and what was last known of it."""

    crawl_id = BigIntegerField()
    url = TextField()
    round = IntegerField()
    outcome = TextField(default="pending")
    reason_code = TextField(null=True)
    reason = TextField(null=True)
    attempts = IntegerField(default=0)
    http_status = IntegerField(null=True)
    etag = TextField(null=True)
    last_modified = TextField(null=True)
    content_hash = TextField(null=True)
    document_oid = TextField(null=True)
    fetched_at = TextField(null=True)


class KnowledgeCrawlRobots(TenantModel):
    """The robots.txt of an origin, as this round was told."""

    crawl_id = BigIntegerField()
    origin = TextField()
    state = TextField()
    text = TextField(default="")


class KnowledgeHostPace(TenantModel):
    """When a host may be asked again."""

    host = TextField()
    free_at = TextField()


def add(
    tenant: Tenant,
    base: KnowledgeBase,
    *,
    sitemap_url: str | None,
    urls: Sequence[str],
    max_pages: int,
    uses_llm_distill: bool,
    recrawl_hours: int | None,
    actor: Actor,
) -> KnowledgeCrawl:
    """A new crawl, queued for its first round."""
    moment = clock.stamp()
    return KnowledgeCrawl.add(
        tenant,
        knowledge_base_id=base.id,
        oid=new_id(),
        sitemap_url=sitemap_url,
        urls=list(urls),
        max_pages=max_pages,
        uses_llm_distill=uses_llm_distill,
        recrawl_hours=recrawl_hours,
        actor=asdict(actor),
        created_at=moment,
        updated_at=moment,
        **_fresh(sitemap_url),
    )


def _fresh(sitemap_url: str | None) -> dict[str, Any]:
    """The columns with which a round begins."""
    return {
        "status": "queued",
        "phase": "sitemaps",
        "sitemaps": [{"url": sitemap_url, "depth": 0, "state": "waiting"}] if sitemap_url else [],
        "is_list_complete": True,
        "urls_found": 0,
        "pages": 0,
        "counts": {},
        "failure_code": None,
        "failure_message": None,
        "started_at": None,
        "finished_at": None,
        "next_crawl_at": None,
    }


def begin_round(tenant: Tenant, crawl: KnowledgeCrawl) -> None:
    """Queue the next round of a crawl that is over."""
    KnowledgeCrawlRobots.remove(tenant).where(KnowledgeCrawlRobots.crawl_id == crawl.id).execute()
    save(crawl, **_fresh(crawl.sitemap_url), round=crawl.round + 1)


def get(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeCrawl:
    """The crawl of this base with this id. Raises NotFound."""
    return _found(_of(tenant, base).where(KnowledgeCrawl.oid == oid).first())


def find(tenant: Tenant, oid: str) -> KnowledgeCrawl | None:
    """The crawl with this id, whichever base it is for; None once it went with its base."""
    found: KnowledgeCrawl | None = KnowledgeCrawl.of(tenant).where(KnowledgeCrawl.oid == oid).first()
    return found


def lock(tenant: Tenant, base: KnowledgeBase, oid: str) -> KnowledgeCrawl:
    """The same as `get`, held until the caller's transaction ends. Its base must be held before."""
    query = _of(tenant, base).where(KnowledgeCrawl.oid == oid)
    return _found((query if is_sqlite() else query.for_update()).first())


def page(
    tenant: Tenant, base: KnowledgeBase, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[KnowledgeCrawl], int, str | None]:
    """A page of the base's crawls, the newest first: (crawls, how many there are, cursor of the next page or None)."""
    query = _of(tenant, base)
    keys = [KnowledgeCrawl.created_at, KnowledgeCrawl.oid]
    rows, following = paginate(query, keys, order="crawls", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def save(crawl: KnowledgeCrawl, **columns: Any) -> None:
    """Store these columns of the crawl."""
    crawl.store(**columns, updated_at=clock.stamp())


def fail(crawl: KnowledgeCrawl, code: str, message: str) -> None:
    """End the round where it stands; what was read of it stays."""
    moment = clock.stamp()
    save(crawl, status="failed", failure_code=code, failure_message=message[:MAX_REASON], finished_at=moment)


def _of(tenant: Tenant, base: KnowledgeBase) -> ModelSelect:
    return KnowledgeCrawl.of(tenant).where(KnowledgeCrawl.knowledge_base_id == base.id)


def _found(crawl: KnowledgeCrawl | None) -> KnowledgeCrawl:
    if crawl is None:
        raise NotFound("crawl_job_not_found", "Crawl job not found")
    return crawl


def listed(tenant: Tenant, crawl: KnowledgeCrawl) -> set[str]:
    """The addresses of the present round."""
    return _urls(tenant, crawl, KnowledgeCrawlPage.round == crawl.round)


def _urls(tenant: Tenant, crawl: KnowledgeCrawl, condition: Any) -> set[str]:
    rows: Any = _pages(tenant, crawl, KnowledgeCrawlPage.url).where(condition).tuples()
    return {url for (url,) in rows}


def list_pages(tenant: Tenant, crawl: KnowledgeCrawl, urls: Sequence[str]) -> None:
    """Take these addresses, none of which the round has yet, into the round; pages of earlier rounds come back."""
    for start in range(0, len(urls), _AT_ONCE):
        some = urls[start : start + _AT_ONCE]
        again = _urls(tenant, crawl, KnowledgeCrawlPage.url.in_(some))
        anew: dict[Any, Any] = {
            KnowledgeCrawlPage.round: crawl.round,
            KnowledgeCrawlPage.outcome: "pending",
            KnowledgeCrawlPage.attempts: 0,
            KnowledgeCrawlPage.reason_code: None,
            KnowledgeCrawlPage.reason: None,
            KnowledgeCrawlPage.http_status: None,
        }
        if again:
            is_known = (KnowledgeCrawlPage.crawl_id == crawl.id) & KnowledgeCrawlPage.url.in_(again)
            KnowledgeCrawlPage.change(tenant, anew).where(is_known).execute()
        rows = [
            {KnowledgeCrawlPage.crawl_id: crawl.id, KnowledgeCrawlPage.url: url, **anew}
            for url in some
            if url not in again
        ]
        if rows:
            KnowledgeCrawlPage.add_all(tenant, rows).execute()


def refuse_pages(tenant: Tenant, crawl: KnowledgeCrawl, refused: Iterable[tuple[str, str, str]]) -> None:
    """Note addresses that are not read, none of which the round has: (address, code, reason)."""
    for url, code, reason in refused:
        known = _pages(tenant, crawl).where(KnowledgeCrawlPage.url == url).first()
        says = {"round": crawl.round, "outcome": "skipped", "reason_code": code, "reason": reason[:MAX_REASON]}
        if known is None:
            KnowledgeCrawlPage.add(tenant, crawl_id=crawl.id, url=url, attempts=0, **says)
        else:
            known.store(**says)


def next_page(tenant: Tenant, crawl: KnowledgeCrawl) -> KnowledgeCrawlPage | None:
    """The page to read next: those that failed before wait until all others had their turn."""
    is_pending = (KnowledgeCrawlPage.outcome == "pending") & (KnowledgeCrawlPage.round == crawl.round)
    query = _pages(tenant, crawl).where(is_pending)
    found: KnowledgeCrawlPage | None = query.order_by(KnowledgeCrawlPage.attempts, KnowledgeCrawlPage.id).first()
    return found


def page_of(tenant: Tenant, crawl: KnowledgeCrawl, row_id: int) -> KnowledgeCrawlPage:
    """This page of the crawl as it is now. Raises NotFound."""
    found: KnowledgeCrawlPage | None = _pages(tenant, crawl).where(KnowledgeCrawlPage.id == row_id).first()
    if found is None:
        raise NotFound("crawl_page_not_found", "Page not found")
    return found


def has_page(tenant: Tenant, crawl: KnowledgeCrawl, url: str) -> bool:
    """Whether the present round has this address."""
    query = _pages(tenant, crawl).where(KnowledgeCrawlPage.url == url, KnowledgeCrawlPage.round == crawl.round)
    return bool(query.exists())


def left_behind(tenant: Tenant, crawl: KnowledgeCrawl, limit: int) -> list[KnowledgeCrawlPage]:
    """Pages of earlier rounds that the present one does not have, at most so many."""
    query: Any = _pages(tenant, crawl).where(KnowledgeCrawlPage.round < crawl.round)
    return list(query.order_by(KnowledgeCrawlPage.id).limit(limit))


def forget_pages(tenant: Tenant, pages: Collection[KnowledgeCrawlPage]) -> None:
    """Drop these pages."""
    ids = [each.id for each in pages]
    KnowledgeCrawlPage.remove(tenant).where(KnowledgeCrawlPage.id.in_(ids)).execute()


def pages(
    tenant: Tenant,
    crawl: KnowledgeCrawl,
    *,
    outcome: str | None = None,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
) -> tuple[list[KnowledgeCrawlPage], int, str | None]:
    """A page of what became of addresses in the present round, in their order: (pages, how many, next cursor)."""
    query = _pages(tenant, crawl).where(KnowledgeCrawlPage.round == crawl.round)
    if outcome is not None:
        query = query.where(KnowledgeCrawlPage.outcome == outcome)
    keys = [KnowledgeCrawlPage.id]
    rows, following = paginate(
        query, keys, order=f"pages:{crawl.oid}", limit=limit, skip=skip, cursor=cursor, descending=False
    )
    return rows, query.count(), following


def _pages(tenant: Tenant, crawl: KnowledgeCrawl, *columns: Any) -> ModelSelect:
    return KnowledgeCrawlPage.of(tenant, *columns).where(KnowledgeCrawlPage.crawl_id == crawl.id)


def has_document(tenant: Tenant, oid: str) -> bool:
    """Whether the document that was made of a page is still there."""
    return bool(KnowledgeDocument.of(tenant).where(KnowledgeDocument.oid == oid).exists())


def count(crawl: KnowledgeCrawl, outcome: str, number: int = 1, *, was: str | None = None) -> None:
    """Count pages under this outcome instead of another, in the transaction in which they got it."""
    counts = {**crawl.counts, outcome: crawl.counts.get(outcome, 0) + number}
    if was is not None:
        counts[was] = counts.get(was, 0) - number
    save(crawl, counts=counts)


def robots(tenant: Tenant, crawl: KnowledgeCrawl, origin: str) -> KnowledgeCrawlRobots | None:
    """What this origin said in this round; None if it was not asked yet."""
    query = KnowledgeCrawlRobots.of(tenant).where(
        KnowledgeCrawlRobots.crawl_id == crawl.id, KnowledgeCrawlRobots.origin == origin
    )
    found: KnowledgeCrawlRobots | None = query.first()
    return found


def keep_robots(tenant: Tenant, crawl: KnowledgeCrawl, origin: str, state: str, text: str) -> None:
    """Keep what this origin said."""
    known = robots(tenant, crawl, origin)
    if known is None:
        KnowledgeCrawlRobots.add(tenant, crawl_id=crawl.id, origin=origin, state=state, text=text)
    else:
        known.store(state=state, text=text)


def take_turn(tenant: Tenant, host: str, now: datetime, pause_s: float) -> datetime | None:
    """None if the host may be asked now, which then has its pause; else from when on. In a transaction of its own."""
    is_host = KnowledgeHostPace.host == host
    is_free = KnowledgeHostPace.free_at <= clock.iso(now)
    take = KnowledgeHostPace.change(tenant, {KnowledgeHostPace.free_at: clock.iso(now + timedelta(seconds=pause_s))})
    if take.where(is_host & is_free).execute():
        return None
    if not KnowledgeHostPace.of(tenant).where(is_host).exists():
        row = {KnowledgeHostPace.host: host, KnowledgeHostPace.free_at: ""}
        KnowledgeHostPace.add_all(tenant, [row]).on_conflict_ignore().execute()
        if take.where(is_host & is_free).execute():
            return None
    taken: KnowledgeHostPace = KnowledgeHostPace.of(tenant).where(is_host).first()
    return clock.parse(taken.free_at)


def leave_alone(tenant: Tenant, host: str, until: datetime) -> None:
    """Ask the host no more before this moment."""
    is_sooner = (KnowledgeHostPace.host == host) & (KnowledgeHostPace.free_at < clock.iso(until))
    KnowledgeHostPace.change(tenant, {KnowledgeHostPace.free_at: clock.iso(until)}).where(is_sooner).execute()


def forget_paces(tenant: Tenant, before: datetime) -> None:
    """Drop what is known of hosts that could have been asked long since."""
    KnowledgeHostPace.remove(tenant).where(KnowledgeHostPace.free_at < clock.iso(before)).execute()
