"""The service itself: whether it lives, whether it can work, and the contract it keeps."""

from __future__ import annotations

from engine import metrics
from storage import readiness
from storage.errors import Unavailable

from .answers import Answer, RawBody
from .documents import published

_CHECKS = ("database", "migrations")


def check_health() -> dict[str, str]:
    """A sign of life, without a look at anything else."""
    return {"status": "ok"}


def check_readiness() -> dict[str, str | dict[str, str]]:
    """What was checked, all of it well. Raises Unavailable, whose details name each check that failed."""
    failures = readiness.failures()
    if failures:
        details = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
        raise Unavailable("not_ready", "Not ready", details=details)
    return {"status": "ready", "checks": dict.fromkeys(_CHECKS, "ok")}


def get_metrics(body: RawBody) -> Answer:
    """What was done and what waits, as Prometheus reads it. Raises Unauthenticated, Forbidden."""
    metrics.require_reader(body.address, body.headers)
    return Answer(metrics.page(), media_type=metrics.MEDIA_TYPE)


def _document(name: str) -> Answer:
    media_type, content = published(name)
    return Answer(content, media_type=media_type)


def get_openapi_json() -> Answer:
    """The contract as OpenAPI 3.0.3, in JSON."""
    return _document("openapi.json")


def get_openapi_yaml() -> Answer:
    """The contract as OpenAPI 3.0.3, in YAML."""
    return _document("openapi.yaml")


def get_openapi31_json() -> Answer:
    """The contract as OpenAPI 3.1, in JSON."""
    return _document("openapi-3.1.json")
