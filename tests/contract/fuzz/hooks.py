"""What Schemathesis is told: the formats it does not know, a key that works, real ids, and where to note what it reached.

Nothing here narrows what it generates: ids are swapped only in cases that are meant to be valid.
"""

from __future__ import annotations

import collections
import json
import os
import random
import threading
import zoneinfo
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st

from storage import accounts, api_keys, database, roles
from storage.tenancy import SYSTEM

BASE_URL = os.environ["FUZZ_BASE_URL"]
ACCOUNT = os.environ["FUZZ_ACCOUNT"]
REACHED = Path(os.environ["FUZZ_REACHED"])

schemathesis.openapi.format("iana-timezone", st.sampled_from(sorted(zoneinfo.available_timezones())))
database.connect(os.environ["FUZZ_DATABASE_URL"])

_lock = threading.Lock()
_draw = random.Random(0)
_known: dict[str, collections.deque[Any]] = collections.defaultdict(lambda: collections.deque(maxlen=20))


def _new_key() -> str:
    with database.transaction():
        tenant = accounts.tenant_row(ACCOUNT, "test").tenant
        made = api_keys.issue(tenant, SYSTEM, name="fuzz", scopes=roles.scopes_of(["owner"]), roles=["owner"])
    return made.full_key


@schemathesis.auth(refresh_interval=None)
class OwnerKey:
    """An owner's key; a new one as soon as a test has revoked, rotated or deleted it."""

    key = ""

    def get(self, _case: Any, _context: Any) -> str:
        with _lock:
            probe = httpx.get(f"{BASE_URL}/api/api-keys/current", headers={"X-API-Key": self.key or "none"})
            if probe.status_code != 200:
                OwnerKey.key = _new_key()
            return self.key

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers["X-API-Key"] = data


def _resource(path: str) -> str:
    """The collection that an id in this path belongs to: `/api/leads/{id}/agent` → `/api/leads`."""
    return path.partition("/{")[0]


# Members of bodies and queries that name an object, and the collection where it is found.
_REFERENCES = {
    "assignedAgentId": "/api/agent-config",
    "agentConfigId": "/api/agent-config",
    "leadId": "/api/leads",
    "uploadId": "uploads",
    "importBatchId": "/api/leads/imports",
}


def _is_meant_valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Half of the valid cases name objects that exist, in states that allow it; the other half stay as generated."""
    if not _is_meant_valid(case) or _draw.random() < 0.5:
        return
    for name in case.path_parameters or {}:
        case.path_parameters[name] = _some(_resource(case.operation.path), case.path_parameters[name])
    for members in (case.query, case.body):
        for name, collection in _REFERENCES.items():
            if isinstance(members, dict) and members.get(name) is not None:
                members[name] = _some(collection, members[name])
    if case.headers:
        case.headers.pop("If-Match", None)
        case.headers.pop("Idempotency-Key", None)


def _some(collection: str, otherwise: Any) -> Any:
    with _lock:
        return _draw.choice(list(_known[collection])) if _known[collection] else otherwise


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    with _lock, REACHED.open("a") as log:
        log.write(json.dumps([case.operation.definition.raw["operationId"], response.status_code]) + "\n")
    if response.status_code in (200, 201, 202) and response.headers.get("content-type", [""])[0] == "application/json":
        _learn(_resource(case.operation.path), response.json())


def _learn(resource: str, body: Any) -> None:
    """Remember the objects that an answer shows: one by one, as a list, or wrapped."""
    if isinstance(body, dict) and isinstance(body.get("leads"), list):
        body = body["leads"]
    for item in body[:5] if isinstance(body, list) else [body]:
        if not isinstance(item, dict):
            continue
        for member, collection, identity in (
            ("importBatchId", "/api/leads/imports", item.get("importBatchId")),
            ("uploadId", "uploads", item.get("uploadId")),
            ("webhookToken", "/api/webhooks/leads", item.get("webhookToken")),
            ("apiKey", "/api/api-keys", (item.get("apiKey") or {}).get("_id")),
            ("systemPrompt", "/api/agent-config", None if resource.endswith("apply-template") else item.get("_id")),
            ("messageCount", "/api/conversations", item.get("_id")),
            ("phoneValid", "/api/leads", item.get("id")),
        ):
            if member in item and identity is not None:
                with _lock:
                    _known[collection].append(identity)
