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
from schemathesis.core.parameters import ParameterLocation

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


def _is_meant_valid(case: Any) -> bool:
    part = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    return part is not None and part.mode.is_positive


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    known = _known[_resource(case.operation.path)]
    if known and case.path_parameters and _is_meant_valid(case) and _draw.random() < 0.5:
        for name in case.path_parameters:
            case.path_parameters[name] = _draw.choice(list(known))


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    with _lock, REACHED.open("a") as log:
        log.write(json.dumps([case.operation.definition.raw["operationId"], response.status_code]) + "\n")
    if response.status_code in (200, 201, 202) and response.headers.get("content-type", [""])[0] == "application/json":
        _learn(_resource(case.operation.path), response.json())


def _learn(resource: str, body: Any) -> None:
    for item in body[:5] if isinstance(body, list) else [body]:
        if not isinstance(item, dict):
            continue
        if resource.startswith("/api/leads") and "importBatchId" in item and "id" not in item:
            _known["/api/leads/imports"].append(item["importBatchId"])
        elif "webhookToken" in item:
            _known["/api/webhooks/leads"].append(item["webhookToken"])
        elif isinstance(item.get("apiKey"), dict):
            _known["/api/api-keys"].append(item["apiKey"]["_id"])
        elif resource in ("/api/leads", "/api/agent-config", "/api/conversations", "/api/conversations/start"):
            identity = item.get("id") or item.get("_id")
            if identity is not None:
                _known[resource.removesuffix("/start")].append(identity)
