"""Webhook sources as an account changes them; workers do what they ask for: see webhook_runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine import vault
from engine.jobs import doorbell
from storage import accounts, audit, clock, knowledge, outbox
from storage import knowledge_sources as sources
from storage.database import after_commit, transaction
from storage.errors import Conflict
from storage.ids import new_id
from storage.knowledge import KnowledgeBase
from storage.knowledge_sources import KnowledgeWebhook
from storage.tenancy import Actor, Tenant

from .webhook_config import Config, origins, parted, require_sound, unmasked, whole

DEFAULT_TIMEOUT_MS = 10_000

_CONFIG = ("url", "method", "headers", "body", "auth", "flowInputs", "steps", "documents")
_COLUMNS = {"name": "name", "enabled": "enabled", "intervalMinutes": "interval_minutes", "timeoutMs": "timeout_ms"}
_DEFAULTS: dict[str, Any] = {"enabled": True, "interval_minutes": 0, "timeout_ms": DEFAULT_TIMEOUT_MS}


def create(tenant: Tenant, base_oid: str, body: Mapping[str, Any], *, actor: Actor) -> KnowledgeWebhook:
    """A new source, which is asked at once if it is to be asked by the clock. Raises NotFound, Blocked."""
    config = unmasked(_config(body), {})
    require_sound(config)
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        oid = new_id()
        columns = {**_DEFAULTS, **_given(body), **_stored(tenant, oid, config)}
        source = sources.add(tenant, base, oid, actor=actor, **columns)
        plan(tenant, base, source, clock.now())
        audit.record(tenant, actor, "knowledge_webhook.created", oid, {"name": source.name})
    return source


def update(tenant: Tenant, base_oid: str, oid: str, body: Mapping[str, Any], *, actor: Actor) -> KnowledgeWebhook:
    """Change what the body names; null takes a member away, a secret may stand as it was shown.

    Where a new host comes in, secrets must be sent anew, lest they go where their owner never sent them. Raises
    NotFound, Blocked.
    """
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        source = sources.lock(tenant, base, oid)
        columns = _given(body)
        if any(member in body for member in _CONFIG):
            columns |= _stored(tenant, oid, _changed(tenant, source, body))
        if not columns:
            return source
        was_planned = source.next_run_at
        sources.change(source, **columns, schedule=source.schedule + 1)
        if source.state == "queued" and not source.enabled:
            sources.note(source, state="failed" if source.failures else "ok" if source.last_succeeded_at else "new")
        if not {"enabled", "interval_minutes"} & columns.keys() and was_planned is not None:
            plan(tenant, base, source, clock.parse(was_planned))
        else:
            plan(tenant, base, source, clock.now())
        changed = sorted(name for name in body if name in (*_COLUMNS, *_CONFIG))
        audit.record(tenant, actor, "knowledge_webhook.updated", oid, {"changed": changed})
    return source


def _changed(tenant: Tenant, source: KnowledgeWebhook, body: Mapping[str, Any]) -> Config:
    merged = {**source.config, **{member: body[member] for member in _CONFIG if member in body}}
    if body.get("url") and not body.get("steps"):
        merged["steps"] = None
    elif body.get("steps") and not body.get("url"):
        merged |= {"url": None, "method": body.get("method"), "body": body.get("body")}
    shown = _config(merged)
    require_sound(shown)
    is_same = origins(shown) <= origins(source.config)
    config = unmasked(shown, secrets_of(tenant, source) if is_same else {})
    require_sound(config)  # secrets may have places, too
    return config


def delete(tenant: Tenant, base_oid: str, oid: str, *, actor: Actor) -> None:
    """Remove a source; the documents that came of it stay. Raises NotFound."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        source = sources.lock(tenant, base, oid)
        sources.delete(tenant, source)
        audit.record(tenant, actor, "knowledge_webhook.deleted", oid, {"name": source.name})


def trigger(tenant: Tenant, base_oid: str, oid: str, *, actor: Actor) -> KnowledgeWebhook:
    """Have the source asked now, once however often this is called meanwhile. Raises NotFound, Conflict: disabled."""
    with transaction():
        base = knowledge.lock(tenant, base_oid)
        source = sources.lock(tenant, base, oid)
        if not source.enabled:
            raise Conflict("webhook_source_disabled", "The source is disabled. Enable it to have it asked.")
        if source.state != "queued":
            sources.note(source, state="queued")
            put_run(tenant, base, source)
            audit.record(tenant, actor, "knowledge_webhook.triggered", oid)
    return source


def plan(tenant: Tenant, base: KnowledgeBase, source: KnowledgeWebhook, at: datetime) -> None:
    """Have the source asked at this moment if it is asked by the clock; what was planned before is void."""
    if not source.enabled or not source.interval_minutes:
        sources.note(source, next_run_at=None)
        return
    sources.note(source, next_run_at=clock.iso(at))
    lane = f"webhook-source:{source.oid}:{source.schedule}"  # each plan has its own: it need not wait for a void one
    payload = {"base": base.oid, "source": source.oid, "schedule": source.schedule}
    outbox.put(tenant, "webhook_source", lane, payload, at)
    after_commit(partial(doorbell.ring, lane))


def put_run(tenant: Tenant, base: KnowledgeBase, source: KnowledgeWebhook) -> None:
    """Leave a run that somebody has asked for to the workers, in the caller's transaction."""
    lane = lane_of(source.oid)
    outbox.put(tenant, "webhook_source", lane, {"base": base.oid, "source": source.oid})
    after_commit(partial(doorbell.ring, lane))


def lane_of(oid: str) -> str:
    """The lane of the outbox that runs go through which somebody has asked for."""
    return f"webhook-source:{oid}"


def after(source: KnowledgeWebhook, now: datetime) -> datetime:
    """When a source is asked again by the clock: in its interval, or sooner after a failure."""
    minutes = source.interval_minutes
    if source.failures:
        minutes = min(minutes, 5 * 4 ** min(source.failures - 1, 8))
    return now + timedelta(minutes=minutes)


def secrets_of(tenant: Tenant, source: KnowledgeWebhook) -> dict[str, str]:
    """The source's secrets by where they stand. Raises Blocked: the key is missing or another."""
    return {} if source.secrets is None else vault.open_(tenant, source.oid, source.secrets)


def config_of(tenant: Tenant, source: KnowledgeWebhook) -> Config:
    """The source's configuration with its secrets, to be asked with and never to be shown. Raises Blocked."""
    return whole(source.config, secrets_of(tenant, source))


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a body names; null means the default."""
    given = {column: body[member] for member, column in _COLUMNS.items() if member in body}
    return {column: _DEFAULTS[column] if value is None else value for column, value in given.items()}


def _config(body: Mapping[str, Any]) -> Config:
    return {member: body[member] for member in _CONFIG if body.get(member) not in (None, [], {}, "")}


def _stored(tenant: Tenant, oid: str, config: Config) -> dict[str, Any]:
    """The columns of a configuration. Raises Blocked where there are secrets and no key to keep them under."""
    shown, secrets = parted(config)
    return {"config": shown, "secrets": vault.seal(tenant, oid, secrets) if secrets else None}


def reseal() -> int:
    """Seal every source's secrets under the first key; how many there were. Raises Blocked where one does not open."""
    done = last = 0
    while page := sources.after(last, 100):
        for stale in page:
            if stale.secrets is None or vault.is_current(stale.secrets):
                continue
            tenant = accounts.tenant_by_id(stale.tenant_id)
            with transaction():
                held = sources.lock_row(tenant, stale.id)
                if held is not None and held.secrets is not None:
                    held.store(secrets=vault.seal(tenant, held.oid, vault.open_(tenant, held.oid, held.secrets)))
                    done += 1
        last = page[-1].id
    return done
