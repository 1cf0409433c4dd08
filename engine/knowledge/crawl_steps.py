"""The steps of a crawl, each a row of the outbox: one sitemap, one robots.txt or one page, then the next row.

What is asked of a site happens outside any transaction; what follows from it is one, which completes the row and puts
the next. So whenever a worker dies, the step is done again and nothing of it counted twice, and whoever cancels is
heard before the next page.
"""

from __future__ import annotations

from datetime import timedelta

from engine.jobs.registry import Retry, Task, job
from storage import audit, clock, knowledge, outbox
from storage import knowledge_crawls as crawls
from storage.database import connection, transaction
from storage.errors import NotFound
from storage.knowledge import KnowledgeBase
from storage.knowledge_crawls import KnowledgeCrawl, KnowledgeCrawlPage
from storage.tenancy import Actor, Tenant

from . import crawl_list, robots, sitemap
from .crawl import left_s, put_step
from .crawl_pages import AskFirst, Seen, conclude, drop_document, known_of, look_at, rules_of, take
from .fetch import Fetched, fetcher
from .fetch_errors import BadAnswer, FetchError, TooSlow
from .robots import Robots
from .urls import Url, parse

LEASE_S = 120.0  # a fetch has a minute at most
DELAY_S = 1.0
MAX_TRIES = 3  # of a sitemap, a robots.txt, a page
RETRY_S = 5.0  # before the pages that failed are tried again; the next time four times as long
LONGEST_LEAVE_S = 600.0

_LEAVE_S = 30.0  # where a server says that it is too much and not for how long
_SWEPT_AT_ONCE = 50
_HOSTS_KEPT_FOR = timedelta(days=1)
_STOPPED = "Newleaf met an error of its own here, again and again."

_delay_s = DELAY_S


def configure(*, delay_s: float = DELAY_S) -> None:
    """Set the pause between two requests to one host; a site's robots.txt can only ask for a longer one."""
    global _delay_s
    _delay_s = delay_s


def stop(task: Task, reason: str) -> None:
    """After the last attempt: a page has failed and the others go on; else the round has. `reason` stays on the row."""
    del reason
    held = _held(task)
    if held is None:
        return
    base, crawl = held
    page = crawls.next_page(task.tenant, crawl) if crawl.is_open and crawl.phase == "pages" else None
    if page is not None:
        conclude(crawl, page, Seen("failed", "internal", _STOPPED))
        put_step(task.tenant, base, crawl)
    else:
        if crawl.is_open:
            crawls.fail(crawl, "internal", _STOPPED)
        _plan(task.tenant, base, crawl)


@job("crawl", lease_s=LEASE_S, max_attempts=4, gave_up=stop)
def work(task: Task) -> None:
    """The next step of a crawl: payload {base, crawl, round}."""
    with connection():
        crawl = crawls.find(task.tenant, task.payload["crawl"])
    if crawl is None or task.payload["round"] not in (crawl.round, crawl.round + 1):
        task.complete()
    elif not crawl.is_open:
        _begin_round(task)
    elif crawl.phase == "sitemaps":
        _read_sitemap(task, crawl)
    elif crawl.phase == "pages":
        _read_page(task, crawl)
    else:
        _sweep(task)


def _held(task: Task) -> tuple[KnowledgeBase, KnowledgeCrawl] | None:
    """The crawl and its base, held until the transaction ends; None once they are gone."""
    try:
        base = knowledge.lock(task.tenant, task.payload["base"])
        return base, crawls.lock(task.tenant, base, task.payload["crawl"])
    except NotFound:
        return None


def _finish_step(task: Task) -> tuple[KnowledgeBase, KnowledgeCrawl] | None:
    """Complete the row; the crawl whose step this was, held, or None where nobody waits for it any more."""
    task.complete()
    held = _held(task)
    if held is None or not held[1].is_open or held[1].round != task.payload["round"]:
        return None
    if held[1].status == "queued":
        crawls.save(held[1], status="running", started_at=clock.stamp())
    return held


def _begin_round(task: Task) -> None:
    with transaction():
        task.complete()
        held = _held(task)
        if held is None or held[1].next_crawl_at is None or held[1].round + 1 != task.payload["round"]:
            return  # cancelled, or begun already
        base, crawl = held
        crawls.begin_round(task.tenant, crawl)
        crawl_list.begin(task.tenant, crawl)
        put_step(task.tenant, base, crawl)


def _has_turn(task: Task, host: str, delay_s: float = 0.0) -> bool:
    """Whether the host may be asked now; else the row waits for it. Crawls of one tenant share the pause of a host."""
    pause_s = max(_delay_s, delay_s)
    now = clock.now()
    with transaction():
        free_at = crawls.take_turn(task.tenant, host, now, pause_s)
        if free_at is None:
            outbox.extend(task.claim, now, LEASE_S)
            return True
        task.hold(free_at, "The host is asked only so often")
    return False


def _read_sitemap(task: Task, crawl: KnowledgeCrawl) -> None:
    place = crawl_list.waiting(crawl)
    if place is None:
        _enter(task, "pages")
        return
    url = parse(crawl.sitemaps[place]["url"])
    if not _has_turn(task, url.host):
        return
    found, was_at, problem = sitemap.Sitemap(), url, None
    try:
        answer = fetcher().fetch(task.tenant.environment, url, max_bytes=sitemap.MAX_BYTES, timeout_s=left_s())
        _require_success(answer)
        found, was_at = sitemap.read(answer.body, sitemap.MAX_ADDRESSES), answer.url
    except FetchError as error:
        if isinstance(error, TooSlow) and left_s() is not None:
            with connection():
                task.hold(clock.now(), "Left to a worker, which has more time")
            return
        if error.is_temporary and task.claim.failures + 1 < MAX_TRIES:
            raise Retry(str(error)) from error
        problem = error
    with transaction():
        held = _finish_step(task)
        if held is None:
            return
        base, crawl = held
        if problem is None:
            crawl_list.add_sitemap(task.tenant, crawl, place, found, was_at)
        else:
            crawl_list.miss_sitemap(crawl, place)
        if problem is not None and place == 0 and not crawl.pages:
            crawls.fail(crawl, problem.code, f"The sitemap could not be read. {problem.message}")
            _plan(task.tenant, base, crawl)
            return
        if crawl_list.waiting(crawl) is None:
            crawls.save(crawl, phase="pages")
        put_step(task.tenant, base, crawl)


def _require_success(answer: Fetched) -> None:
    if answer.is_success:
        return
    error = BadAnswer(f"http_{answer.status}", f"{answer.url.host} answers status {answer.status}.")
    error.is_temporary = answer.status == 429 or answer.status >= 500
    raise error


def _enter(task: Task, phase: str) -> None:
    with transaction():
        held = _finish_step(task)
        if held is not None:
            base, crawl = held
            crawls.save(crawl, phase=phase)
            put_step(task.tenant, base, crawl)


def _read_page(task: Task, crawl: KnowledgeCrawl) -> None:
    tenant = task.tenant
    with connection():
        page = crawls.next_page(tenant, crawl)
        rules = rules_of(tenant, crawl, parse(page.url)) if page is not None else None
        known = known_of(tenant, page) if page is not None else None
    if page is None:
        _enter(task, "sweep")
        return
    url = parse(page.url)
    if rules is None:
        if _has_turn(task, url.host):
            _ask_robots(task, crawl, url)
        return
    if not rules.allows(url):
        told = rules.told or f"robots.txt of {url.host} keeps robots away from it."
        _store(task, page, Seen("skipped", "robots", told))
        return
    if not _has_turn(task, url.host, rules.delay_s):
        return
    try:
        seen = look_at(tenant, crawl, url, known)
    except AskFirst as first:  # in the turn that the page had: it would need that again to come here again
        _ask_robots(task, crawl, first.url)
        return
    _store(task, page, seen)


def _ask_robots(task: Task, crawl: KnowledgeCrawl, url: Url) -> None:
    """Learn what this origin lets us read; who cannot say it time and again is left alone."""
    try:
        told = robots.ask(fetcher(), task.tenant.environment, url)
    except FetchError as error:
        if task.claim.failures + 1 < MAX_TRIES:
            raise Retry(str(error)) from error
        told = Robots("closed", error.message)
    with transaction():
        held = _finish_step(task)
        if held is not None:
            base, crawl = held
            crawls.keep_robots(task.tenant, crawl, url.origin, told.state, told.text)
            put_step(task.tenant, base, crawl)


def _store(task: Task, page: KnowledgeCrawlPage, seen: Seen) -> None:
    """What follows from a page, in one transaction."""
    tenant = task.tenant
    with transaction():
        held = _finish_step(task)
        if held is None:
            return
        base, crawl = held
        page = crawls.page_of(tenant, crawl, page.id)
        if seen.outcome == "again" and page.attempts + 1 < MAX_TRIES:
            page.store(attempts=page.attempts + 1, reason_code=seen.code, reason=seen.reason)
            _leave_alone(tenant, parse(page.url).host, seen.answer)
        elif seen.outcome == "again":
            conclude(crawl, page, Seen("failed", seen.code, seen.reason, seen.answer))
        elif seen.outcome == "read":
            take(tenant, base, crawl, page, seen)
        else:
            if seen.outcome == "gone" or seen.code == "listed_twice":
                drop_document(tenant, base, crawl, page)
            conclude(crawl, page, seen)
        _put_next_page(tenant, base, crawl)


def _leave_alone(tenant: Tenant, host: str, answer: Fetched | None) -> None:
    """Do as a server says that has too much to do."""
    if answer is None or answer.status not in (429, 503):
        return
    seconds = min(_LEAVE_S if answer.retry_after_s is None else answer.retry_after_s, LONGEST_LEAVE_S)
    crawls.leave_alone(tenant, host, clock.now() + timedelta(seconds=seconds))


def _put_next_page(tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl) -> None:
    """Leave the next page to the workers: at once, or after a while where only failed ones are left."""
    following = crawls.next_page(tenant, crawl)
    if following is None or following.attempts == 0:
        put_step(tenant, base, crawl)
        return
    later = clock.now() + timedelta(seconds=RETRY_S * 4 ** (following.attempts - 1))
    put_step(tenant, base, crawl, at=later)


def _sweep(task: Task) -> None:
    """Some of the pages that are not listed any more go; after the last of them the round is over."""
    tenant = task.tenant
    with transaction():
        held = _finish_step(task)
        if held is None:
            return
        base, crawl = held
        left = crawls.left_behind(tenant, crawl, _SWEPT_AT_ONCE) if crawl.is_list_complete else []
        crawls.forget_pages(tenant, [page for page in left if page.document_oid is None])
        for page in left:
            if page.document_oid is not None:
                drop_document(tenant, base, crawl, page)
                says = {"reason_code": "not_listed", "reason": "The sitemap does not list it any more."}
                page.store(round=crawl.round, outcome="gone", **says)
                crawls.count(crawl, "gone")
        if len(left) == _SWEPT_AT_ONCE:
            put_step(tenant, base, crawl)
            return
        crawls.save(crawl, status="completed", finished_at=clock.stamp())
        crawls.forget_paces(tenant, clock.now() - _HOSTS_KEPT_FOR)
        metadata = {"round": crawl.round, "counts": crawl.counts}
        audit.record(tenant, Actor(**crawl.actor), "knowledge_crawl.completed", crawl.oid, metadata)
        _plan(tenant, base, crawl)


def _plan(tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl) -> None:
    """Put the next round where one was ordered."""
    if crawl.recrawl_hours is None:
        return
    at = clock.now() + timedelta(hours=crawl.recrawl_hours)
    crawls.save(crawl, next_crawl_at=clock.iso(at))
    put_step(tenant, base, crawl, round_=crawl.round + 1, at=at)
