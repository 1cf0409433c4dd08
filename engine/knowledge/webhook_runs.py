"""Runs of webhook sources: the requests outside any transaction, what follows from the last answer in one."""

from __future__ import annotations

from engine.jobs.registry import Task, job
from storage import clock, knowledge, outbox
from storage import knowledge_sources as sources
from storage.database import connection, transaction
from storage.errors import Blocked, NotFound, TooLarge
from storage.knowledge import KnowledgeBase
from storage.knowledge_sources import KnowledgeWebhook
from storage.tenancy import Actor, Tenant

from . import webhook_results
from .documents import add_document, delete_document, put_document
from .webhook_flow import FlowError, run
from .webhook_results import Item
from .webhook_sources import after, config_of, plan, put_run

LEASE_S = 120.0  # of one step, which has a minute at most
_STOPPED = "Newleaf met an error of its own here, again and again."


def stop(task: Task, reason: str) -> None:
    """After the last attempt the run has failed; `reason` stays on the outbox row, which no client reads."""
    del reason
    held = _held(task)
    if held is not None:
        _fail(held[1], "internal", _STOPPED)
        _plan_next(task, *held)


@job("webhook_source", lease_s=LEASE_S, max_attempts=3, gave_up=stop)
def work(task: Task) -> None:
    """Ask a source: payload {base, source}, and {schedule} for what the clock asks."""
    with connection():
        source = sources.find(task.tenant, task.payload["source"])
    if source is None or not source.enabled or task.payload.get("schedule", source.schedule) != source.schedule:
        task.complete()
        return
    started_at = clock.stamp()
    items: list[Item] = []
    problem: FlowError | None = None
    try:
        items = _asked(task, source)
    except FlowError as error:
        problem = error
    except Blocked as error:  # the secrets cannot be opened
        problem = FlowError(error.code, error.message)
    with transaction():
        task.complete()
        held = _held(task)
        if held is None:
            return
        base, present = held
        if present.schedule != source.schedule:  # what was asked is not what is wanted any more
            if "schedule" not in task.payload:
                put_run(task.tenant, base, present)
            return
        sources.note(present, last_triggered_at=started_at)
        if problem is not None:
            _fail(present, problem.code, problem.message)
        else:
            _keep(task.tenant, base, present, items)
        _plan_next(task, base, present)


def _asked(task: Task, source: KnowledgeWebhook) -> list[Item]:
    def extend() -> None:
        with connection():
            outbox.extend(task.claim, clock.now(), LEASE_S)

    with connection():
        config = config_of(task.tenant, source)
    answer = run(task.tenant, config, source.timeout_ms / 1000, extend)
    return webhook_results.read(source.name, config.get("documents"), answer)


def _held(task: Task) -> tuple[KnowledgeBase, KnowledgeWebhook] | None:
    """The source and its base, held until the transaction ends; None once they are gone."""
    try:
        base = knowledge.lock(task.tenant, task.payload["base"])
        return base, sources.lock(task.tenant, base, task.payload["source"])
    except NotFound:
        return None


def _keep(tenant: Tenant, base: KnowledgeBase, source: KnowledgeWebhook, items: list[Item]) -> None:
    """Make documents of the items, change those that changed, delete those of items that are gone."""
    actor = Actor(**source.actor)
    before = sources.items(tenant, source)
    kept: list[tuple[str, str, str]] = []
    refused: list[str] = []
    for item in items:
        known = before.pop(item.key, None)
        if known is not None and known.content_hash == item.digest:
            kept.append((item.key, known.document_oid, known.content_hash))
            continue
        try:
            document_oid = _put(tenant, base, item, known.document_oid if known else None, actor)
        except (Blocked, TooLarge) as error:
            refused.append(error.message)
            if known is not None:  # what it said before is still something
                kept.append((item.key, known.document_oid, known.content_hash))
            continue
        kept.append((item.key, document_oid, item.digest))
    for gone in before.values():
        delete_document(tenant, base.oid, gone.document_oid, actor=actor)
    sources.keep_items(tenant, source, kept)
    sources.note(source, documents=len(kept))
    if refused and not kept:
        _fail(source, "nothing_readable", f"Nothing that came could be read: {refused[0]}")
        return
    told = f"{len(refused)} of {len(items)} items could not be read: {refused[0]}" if refused else None
    sources.note(
        source,
        state="ok",
        failures=0,
        failure_code="items_skipped" if refused else None,
        failure_message=told,
        last_succeeded_at=clock.stamp(),
    )


def _put(tenant: Tenant, base: KnowledgeBase, item: Item, known: str | None, actor: Actor) -> str:
    """The id of the item's document, made or changed. Raises Blocked, TooLarge."""
    if known is not None:
        changed = put_document(
            tenant,
            base,
            title=item.title,
            content=item.content,
            media_type=item.media_type,
            replaces=known,
            actor=actor,
        )
        return changed.oid
    made = add_document(
        tenant,
        base,
        title=item.title,
        content=item.content,
        media_type=item.media_type,
        source_type="webhook",
        source_url=item.url,
        actor=actor,
    )
    return made.oid


def _fail(source: KnowledgeWebhook, code: str, message: str) -> None:
    """Note why the run failed; the documents that are there stay."""
    sources.note(source, state="failed", failures=source.failures + 1, failure_code=code, failure_message=message)


def _plan_next(task: Task, base: KnowledgeBase, source: KnowledgeWebhook) -> None:
    """After a run by the clock the next one; a run that somebody asked for changes nothing about that."""
    if task.payload.get("schedule") == source.schedule:
        plan(task.tenant, base, source, after(source, clock.now()))
