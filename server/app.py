"""The application: settings in, an ASGI app out, with the background worker inside unless told otherwise."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from connexion import ConnexionMiddleware
from pydantic import SecretStr

from engine import channels, integrations, metrics, turns, vault
from engine.agents import ModelConfig, pricing
from engine.jobs import doorbell
from engine.jobs.worker import Worker
from engine.knowledge import crawl_steps, embed, fetch
from handlers import documents
from storage import database, migrate

from . import contract, logs, spine, streams
from .openapi31 import to_31
from .settings import Settings, settings

_COLLECT_EVERY = 10_000  # objects more than there were


class SchemaOutdated(Exception):
    """The database lacks migrations; `newleaf migrate` applies them."""


def publish(document: contract.Json) -> None:
    """Give the service handlers the contract in each form that it is served in."""
    documents.publish("openapi.json", "application/json", msgspec.json.encode(document))
    documents.publish("openapi.yaml", "application/yaml", contract.to_yaml(document).encode())
    documents.publish("openapi-3.1.json", "application/json", msgspec.json.encode(to_31(document)))


def prepare(chosen: Settings) -> None:
    """Connect this process to its database and queue. Raises SchemaOutdated."""
    logs.configure(chosen)
    database.connect(chosen.database_url, pool_size=chosen.database_pool)
    missing = migrate.pending()
    if missing:
        raise SchemaOutdated(f"The database lacks {', '.join(missing)}: run `newleaf migrate`")
    doorbell.configure(chosen.database_url, chosen.queue_url)
    channels.configure(_endpoints(chosen))
    streams.configure(chosen.stream_s)
    vault.configure(_revealed(chosen.secret_key))
    metrics.configure(_revealed(chosen.metrics_token))
    integrations.configure(
        app_secret=_revealed(chosen.fb_app_secret),
        verify_token=_revealed(chosen.meta_webhook_verify_token),
        allows_unsigned=chosen.unsigned_webhooks == "accepted",
    )
    _configure_knowledge(chosen)
    pricing.configure(chosen.model_prices)
    turns.configure(live=_model(chosen.model, chosen), test=_model(chosen.sandbox_model, chosen, is_fixed=True))


def _configure_knowledge(chosen: Settings) -> None:
    fetch.configure(
        allows_private=_listed(chosen.fetch_allows_private),
        ports=map(int, _listed(chosen.fetch_ports)),
        timeout_s=chosen.fetch_timeout_s,
        max_bytes=chosen.fetch_max_bytes,
    )
    crawl_steps.configure(delay_s=chosen.crawl_delay_s)
    url, key = chosen.embeddings_url, _revealed(chosen.embeddings_api_key)
    endpoint = embed.Endpoint(
        url or "", key, chosen.embeddings_model, chosen.model_timeout_s, chosen.embeddings_min_similarity
    )
    embed.configure(endpoint if url else None)


def _listed(text: str) -> list[str]:
    return [part for each in text.split(",") if (part := each.strip())]


def _endpoints(chosen: Settings) -> channels.Endpoints:
    return channels.Endpoints(
        whatsapp=chosen.whatsapp_url.rstrip("/"),
        telegram=chosen.telegram_url.rstrip("/"),
        email=chosen.email_url.rstrip("/"),
        sms=chosen.sms_url.rstrip("/"),
        public_url=chosen.public_url,
        timeout_s=chosen.provider_timeout_s,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _model(name: str, chosen: Settings, *, is_fixed: bool = False) -> ModelConfig:
    key = _revealed(chosen.model_api_key)
    return ModelConfig.parse(
        name, base_url=chosen.model_base_url, api_key=key, timeout_s=chosen.model_timeout_s, is_fixed=is_fixed
    )


def create_app(chosen: Settings | None = None, *, with_worker: bool = False) -> ConnexionMiddleware:
    """The ASGI application. Call `prepare` in the same process first."""
    chosen = chosen or settings()
    document = contract.document()
    publish(document)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:  # noqa: ARG001
        worker = Worker(concurrency=chosen.worker_concurrency) if with_worker else None
        if worker is not None:
            worker.start()
        streams.end_with_the_server()
        try:
            yield
        finally:
            if worker is not None:
                worker.stop()
            database.database.close_all()

    if chosen.spine == "stock":
        from .stock.spine import build  # what it imports is needed for nothing else

        return build(document, chosen, lifespan)
    return spine.build(document, chosen, lifespan)


def _serving(*, with_worker: bool) -> ConnexionMiddleware:
    chosen = settings()
    prepare(chosen)
    app = create_app(chosen, with_worker=with_worker)
    # What is loaded now stays, so the collector need not look at it again; requests leave little for it to find.
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)
    return app


def serving() -> ConnexionMiddleware:
    """The application of a server process, for uvicorn."""
    return _serving(with_worker=False)


def serving_with_worker() -> ConnexionMiddleware:
    """The application of a server process that does background work too, for uvicorn."""
    return _serving(with_worker=True)
