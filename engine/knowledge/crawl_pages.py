"""One page of a crawl: what asking for it comes to, and what follows from that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from storage import clock
from storage import knowledge_crawls as crawls
from storage import knowledge_documents as documents
from storage.database import connection
from storage.errors import Blocked, TooLarge
from storage.knowledge import KnowledgeBase
from storage.knowledge_crawls import KnowledgeCrawl, KnowledgeCrawlPage
from storage.tenancy import Actor, Tenant

from . import kinds, robots
from .documents import delete_document, put_document
from .fetch import Fetched, Validators, fetcher
from .fetch_errors import FetchError, RedirectRefused, WrongType
from .robots import Robots, Rules
from .urls import Url, parse

_READABLE = {
    *("text/html", "application/xhtml+xml", "text/plain", "text/markdown", "text/x-markdown", "text/csv"),
    *(kinds.PDF, "application/x-pdf", kinds.DOCX),
}


@dataclass(frozen=True)
class Seen:
    """What asking for a page came to. outcome: of the page; `read` with an answer, `again` for another try."""

    outcome: str
    code: str | None = None
    reason: str | None = None
    answer: Fetched | None = None


class AskFirst(Exception):
    """A page leads on to an origin whose robots.txt is not known yet."""

    def __init__(self, url: Url) -> None:
        super().__init__(str(url))
        self.url = url


def known_of(tenant: Tenant, page: KnowledgeCrawlPage) -> Validators | None:
    """What the page said of itself when it was read; None unless its document is still there."""
    if page.document_oid is None or not crawls.has_document(tenant, page.document_oid):
        return None
    return Validators(page.etag, page.last_modified)


def rules_of(tenant: Tenant, crawl: KnowledgeCrawl, url: Url) -> Rules | None:
    """What the origin of this page lets us read; None if it was not asked yet."""
    kept = crawls.robots(tenant, crawl, url.origin)
    return _parsed_rules(kept.state, kept.text) if kept is not None else None


@functools.lru_cache(maxsize=32)
def _parsed_rules(state: robots.State, text: str) -> Rules:
    return Rules(Robots(state, text))


def look_at(tenant: Tenant, crawl: KnowledgeCrawl, url: Url, known: Validators | None) -> Seen:
    """Ask for a page. Raises AskFirst."""
    try:
        answer = fetcher().fetch(
            tenant.environment, url, known=known, accepts=_READABLE, may_follow=_follower(tenant, crawl, url)
        )
    except (WrongType, RedirectRefused) as error:
        return Seen("skipped", error.code, error.message)
    except FetchError as error:
        return Seen("again" if error.is_temporary else "failed", error.code, error.message)
    if answer.is_success:
        return Seen("read", answer=answer)
    if answer.status == 304:
        return Seen("unchanged", answer=answer)
    code, told = f"http_{answer.status}", f"{answer.url.host} answers status {answer.status}."
    if answer.status in (404, 410):
        return Seen("gone", code, f"{answer.url.host} does not have it.", answer)
    is_temporary = answer.status == 429 or answer.status >= 500
    return Seen("again" if is_temporary else "failed", code, told, answer)


def _follower(tenant: Tenant, crawl: KnowledgeCrawl, url: Url) -> Callable[[Url], None]:
    """Says where a page may lead on to: to pages of its own site that robots may read and the crawl does not have."""

    def may_follow(target: Url) -> None:
        if target.site != url.site:
            raise RedirectRefused("other_host", f"It leads on to another host, {target.authority}.")
        with connection():
            rules = rules_of(tenant, crawl, target)
            is_listed = crawls.has_page(tenant, crawl, str(target))
        if rules is None:
            raise AskFirst(target)
        if not rules.allows(target):
            raise RedirectRefused(
                "robots", f"It leads on to a page that robots.txt of {target.host} keeps robots from."
            )
        if is_listed and target != url:
            raise RedirectRefused("listed_twice", "It leads on to another page of this crawl.")

    return may_follow


def take(tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl, page: KnowledgeCrawlPage, seen: Seen) -> None:
    """Make a document of what was read, or leave the one there is if it says the same."""
    assert seen.answer is not None
    digest = documents.hash_of(seen.answer.body)
    had = page.document_oid if page.document_oid and crawls.has_document(tenant, page.document_oid) else None
    if had is not None and digest == page.content_hash:
        conclude(crawl, page, Seen("unchanged", answer=seen.answer))
        return
    try:
        document = put_document(
            tenant,
            base,
            content=_content(seen.answer),
            media_type=seen.answer.media_type,
            source_type="sitemap",
            source_url=page.url,
            file_name=_file_name(page.url),
            actor=Actor(**crawl.actor),
        )
    except (Blocked, TooLarge) as error:
        conclude(crawl, page, Seen("failed", error.code, error.message, seen.answer))
        return
    page.store(document_oid=document.oid, content_hash=digest)
    conclude(crawl, page, Seen("updated" if had else "indexed", answer=seen.answer))


def _content(answer: Fetched) -> str | bytes:
    """Text in the encoding that the server names; of HTML the page itself knows best."""
    if answer.charset is not None and answer.media_type.startswith("text/") and answer.media_type != kinds.HTML:
        try:
            return answer.body.decode(answer.charset).removeprefix("\ufeff").replace("\0", "")
        except (LookupError, UnicodeError):
            return answer.body
    return answer.body


def _file_name(url: str) -> str | None:
    """The last part of the path, by which a file without a title is called."""
    return unquote(PurePosixPath(parse(url).target.partition("?")[0]).name, errors="replace")[:200] or None


def drop_document(tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl, page: KnowledgeCrawlPage) -> None:
    """Delete what was made of a page that is not there any more."""
    if page.document_oid is not None and crawls.has_document(tenant, page.document_oid):
        delete_document(tenant, base.oid, page.document_oid, actor=Actor(**crawl.actor))
    page.store(document_oid=None, content_hash=None, etag=None, last_modified=None)


def conclude(crawl: KnowledgeCrawl, page: KnowledgeCrawlPage, seen: Seen) -> None:
    """Write down what became of a page, once in a round."""
    columns: dict[str, Any] = {"outcome": seen.outcome, "reason_code": seen.code}
    columns["reason"] = seen.reason and seen.reason[: crawls.MAX_REASON]
    if seen.answer is not None:
        columns |= {"http_status": seen.answer.status, "fetched_at": clock.stamp()}
    if seen.answer is not None and seen.outcome in ("indexed", "updated", "unchanged"):
        validators = seen.answer.validators
        columns |= {
            "etag": validators.etag or (page.etag if seen.answer.status == 304 else None),
            "last_modified": validators.last_modified or (page.last_modified if seen.answer.status == 304 else None),
        }
    page.store(**columns)
    crawls.count(crawl, seen.outcome, was="pending")
