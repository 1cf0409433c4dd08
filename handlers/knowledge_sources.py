"""Where the documents of a knowledge base come from by themselves, over HTTP: crawls and webhook sources."""

from __future__ import annotations

from functools import partial
from typing import Any

from engine.knowledge import crawl as crawling
from engine.knowledge import webhook_sources
from storage import knowledge, knowledge_crawls, knowledge_sources
from storage.errors import Blocked, Problem
from storage.knowledge import KnowledgeBase
from storage.knowledge_crawls import OUTCOMES, KnowledgeCrawl, KnowledgeCrawlPage
from storage.knowledge_sources import KnowledgeWebhook
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page

DEFAULT_MAX_PAGES = 100


def crawl_sitemap(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """A crawl that has begun, and how much of it is known after a moment. Raises NotFound, Blocked."""
    if not body.get("sitemapUrl") and not body.get("urls"):
        message = "Give sitemapUrl, urls, or both"
        raise Blocked("nothing_to_crawl", message, problems=[Problem("/sitemapUrl", message)])
    crawl = crawling.start(
        user.tenant,
        id_,
        sitemap_url=body.get("sitemapUrl"),
        addresses=body.get("urls", ()),
        max_pages=body.get("maxPages", DEFAULT_MAX_PAGES),
        uses_llm_distill=body.get("useLlmDistill", True),
        recrawl_hours=body.get("recrawlIntervalHours"),
        actor=user.actor,
    )
    place = f"/api/knowledge-bases/{id_}/crawl-jobs/{crawl.oid}"
    then = partial(_listed, user.tenant, crawl) if crawl.sitemap_url else None  # else all is known already
    return Answer(_started(crawl), 202, place, then=then)


def list_crawl_jobs(id_: str, user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of a knowledge base's crawls, the newest first. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    found, total, following = knowledge_crawls.page(user.tenant, base, limit=limit, skip=skip, cursor=cursor)
    return Page([_crawl(user.tenant, base, crawl) for crawl in found], total, following)


def get_crawl_job(id_: str, job_id: str, user: Caller) -> dict[str, Any]:
    """One crawl. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    return _crawl(user.tenant, base, knowledge_crawls.get(user.tenant, base, job_id))


def list_crawl_pages(
    id_: str,
    job_id: str,
    user: Caller,
    outcome: str | None = None,
    skip: int = 0,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """A page of what became of a crawl's addresses, in their order. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    crawl = knowledge_crawls.get(user.tenant, base, job_id)
    found, total, following = knowledge_crawls.pages(
        user.tenant, crawl, outcome=outcome, limit=limit, skip=skip, cursor=cursor
    )
    return Page([_page(page) for page in found], total, following)


def cancel_crawl_job(id_: str, job_id: str, user: Caller) -> dict[str, Any]:
    """The crawl, cancelled. Raises NotFound, Conflict: it is over."""
    crawl = crawling.cancel(user.tenant, id_, job_id, actor=user.actor)
    return _crawl(user.tenant, knowledge.get(user.tenant, id_), crawl)


def list_webhook_sources(id_: str, user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of a knowledge base's webhook sources, the newest first. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    found, total, following = knowledge_sources.page(user.tenant, base, limit=limit, skip=skip, cursor=cursor)
    return Page([_source(user.tenant, base, source) for source in found], total, following)


def create_webhook_source(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """A new webhook source. Raises NotFound, Blocked."""
    source = webhook_sources.create(user.tenant, id_, body, actor=user.actor)
    base = knowledge.get(user.tenant, id_)
    return Answer(_source(user.tenant, base, source), 201, f"/api/knowledge-bases/{id_}/webhooks/{source.oid}")


def get_webhook_source(id_: str, wh_id: str, user: Caller) -> dict[str, Any]:
    """One webhook source, its secrets cut. Raises NotFound."""
    base = knowledge.get(user.tenant, id_)
    return _source(user.tenant, base, knowledge_sources.get(user.tenant, base, wh_id))


def update_webhook_source(id_: str, wh_id: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The webhook source with what the body names changed. Raises NotFound, Blocked."""
    source = webhook_sources.update(user.tenant, id_, wh_id, body, actor=user.actor)
    return _source(user.tenant, knowledge.get(user.tenant, id_), source)


def replace_webhook_source(id_: str, wh_id: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The same as `update_webhook_source`: both methods are partial."""
    return update_webhook_source(id_, wh_id, user, body)


def delete_webhook_source(id_: str, wh_id: str, user: Caller) -> dict[str, bool]:
    """Remove a webhook source; its documents stay. Raises NotFound."""
    webhook_sources.delete(user.tenant, id_, wh_id, actor=user.actor)
    return {"success": True}


def trigger_webhook_source(id_: str, wh_id: str, user: Caller) -> Answer:
    """The webhook source, which workers ask now. Raises NotFound, Conflict: it is disabled."""
    source = webhook_sources.trigger(user.tenant, id_, wh_id, actor=user.actor)
    return Answer(_source(user.tenant, knowledge.get(user.tenant, id_), source), 202)


def _listed(tenant: Tenant, crawl: KnowledgeCrawl) -> dict[str, Any]:
    return _started(crawling.once_listed(tenant, crawl.oid) or crawl)


def _started(crawl: KnowledgeCrawl) -> dict[str, Any]:
    """CrawlStarted of the contract."""
    body = {
        "jobId": crawl.oid,
        "status": crawl.status,
        "urlsFound": crawl.urls_found,
        "urlListLength": len(crawl.urls),
        "failure": _failure(crawl.failure_code, crawl.failure_message),
    }
    return _present(body)


def _crawl(tenant: Tenant, base: KnowledgeBase, crawl: KnowledgeCrawl) -> dict[str, Any]:
    """CrawlJob of the contract."""
    body = {
        **_started(crawl),
        "accountId": tenant.account_id,
        "knowledgeBaseId": base.oid,
        "sitemapUrl": crawl.sitemap_url,
        "maxPages": crawl.max_pages,
        "useLlmDistill": crawl.uses_llm_distill,
        "recrawlIntervalHours": crawl.recrawl_hours,
        "round": crawl.round,
        "pages": {"total": crawl.pages, **{outcome: crawl.counts.get(outcome, 0) for outcome in OUTCOMES}},
        "startedAt": crawl.started_at,
        "finishedAt": crawl.finished_at,
        "nextCrawlAt": crawl.next_crawl_at,
        "createdAt": crawl.created_at,
        "updatedAt": crawl.updated_at,
    }
    return _present(body)


def _page(page: KnowledgeCrawlPage) -> dict[str, Any]:
    """CrawlPage of the contract."""
    body = {
        "url": page.url,
        "outcome": page.outcome,
        "reason": _failure(page.reason_code, page.reason),
        "attempts": page.attempts,
        "httpStatus": page.http_status,
        "documentId": page.document_oid,
        "fetchedAt": page.fetched_at,
    }
    return _present(body)


def _source(tenant: Tenant, base: KnowledgeBase, source: KnowledgeWebhook) -> dict[str, Any]:
    """WebhookSource of the contract."""
    body = {
        "_id": source.oid,
        "accountId": tenant.account_id,
        "knowledgeBaseId": base.oid,
        "name": source.name,
        "enabled": source.enabled,
        **source.config,
        "intervalMinutes": source.interval_minutes,
        "timeoutMs": source.timeout_ms,
        "state": source.state,
        "failure": _failure(source.failure_code, source.failure_message),
        "documentCount": source.documents,
        "lastTriggeredAt": source.last_triggered_at,
        "lastSucceededAt": source.last_succeeded_at,
        "nextRunAt": source.next_run_at,
        "createdAt": source.created_at,
        "updatedAt": source.updated_at,
    }
    return _present(body)


def _failure(code: str | None, message: str | None) -> dict[str, str] | None:
    return None if code is None else {"code": code, "message": message or code}


def _present(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
