"""What Schemathesis is told: formats it does not know, keys that work, real ids, and where to note what it reached.

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
from typing import Any, ClassVar

import httpx
import schemathesis
from hypothesis import strategies as st

from storage import accounts, api_keys, database, roles
from storage.tenancy import SYSTEM, Environment

BASE_URL = os.environ["FUZZ_BASE_URL"]
ACCOUNT = os.environ["FUZZ_ACCOUNT"]
REACHED = Path(os.environ["FUZZ_REACHED"])

schemathesis.openapi.format("iana-timezone", st.sampled_from(sorted(zoneinfo.available_timezones())))
database.connect(os.environ["FUZZ_DATABASE_URL"])

_client = httpx.Client(base_url=BASE_URL, trust_env=False, timeout=60)
_lock = threading.Lock()
_draw = random.Random(0)
_known: dict[str, collections.deque[Any]] = collections.defaultdict(lambda: collections.deque(maxlen=20))


def _new_key(environment: Environment) -> str:
    with database.transaction():
        tenant = accounts.tenant_row(ACCOUNT, environment).tenant
        made = api_keys.issue(tenant, SYSTEM, name="fuzz", scopes=roles.scopes_of(["owner"]), roles=["owner"])
    return made.full_key


def _get(path: str, key: str) -> httpx.Response:
    return _client.get(path, headers={"X-API-Key": key})


_TEAM = "/api/accounts/current/"
_OF_LIVE_KEYS = ("/api/api-keys", f"{_TEAM}members", f"{_TEAM}invitations")


@schemathesis.auth(refresh_interval=None)
class OwnerKey:
    """An owner's key; a new one as soon as a test has revoked, rotated or deleted it.

    Keys of both environments can only be made with a live one, which alone changes the team; conversations have a
    channel only in test.
    """

    keys: ClassVar[dict[Environment, str]] = {"live": _new_key("live"), "test": _new_key("test")}

    def get(self, case: Any, _context: Any) -> str:
        environment: Environment = "live" if case.operation.path.startswith(_OF_LIVE_KEYS) else "test"
        with _lock:
            if _get("/api/api-keys/current", self.keys[environment]).status_code != 200:
                self.keys[environment] = _new_key(environment)
            return self.keys[environment]

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers["X-API-Key"] = data


_CAMPAIGNS_FOR = {
    "{id}": "draft campaigns",
    "start": "draft campaigns",
    "pause": "begun campaigns",
    "resume": "begun campaigns",
    "cancel": "begun campaigns",
}


def _resource(path: str) -> str:
    """The collection that an id in this path belongs to: `/api/leads/{id}/agent` → `/api/leads`."""
    collection = path.partition("/{")[0]
    if collection == "/api/campaigns":
        return _CAMPAIGNS_FOR.get(path.rpartition("/")[2], collection)
    return "completed tests" if path.endswith("/promote") else collection


# Members of bodies and queries that name an object, and the collection where it is found.
_REFERENCES = {
    "assignedAgentId": "/api/agent-config",
    "agentConfigId": "/api/agent-config",
    "leadId": "/api/leads",
    "campaignId": "/api/campaigns",
    "uploadId": "uploads",
    "importBatchId": "/api/leads/imports",
}

# Optional members whose value is mostly refused by the facts: a moment in the past, a stage that the agent lacks.
_SELDOM_FIT = ("expiresAt", "stageId", "currentStageIndex")
# In changes: another lead's address; what of a test is changed elsewhere, or not once it has begun.
_SELDOM_FIT_IN_CHANGES = ("phone", "externalId", "status", "variants")


def _is_meant_valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Most valid cases name objects that exist, in states that allow it; the others stay as generated."""
    if not _is_meant_valid(case) or _draw.random() < 0.3:
        return
    _fill_path(case.operation, case.path_parameters or {})
    if isinstance(case.body, dict) and isinstance(case.body.get("variants"), list):
        _fill_variants(case.body["variants"])
    if isinstance(case.body, dict) and {"into", "from"} <= case.body.keys():
        _fill_merge(case.body)
    for members in (case.query, case.body):
        for name, collection in _REFERENCES.items():
            if isinstance(members, dict) and members.get(name) is not None:
                members[name] = _some(collection, members[name])
    if isinstance(case.body, dict):
        is_change = case.operation.method in ("patch", "put") and not case.operation.path.endswith("/status")
        for name in (*_SELDOM_FIT, *(_SELDOM_FIT_IN_CHANGES if is_change else ())):
            if len(case.body) > 1:  # some bodies must name something
                case.body.pop(name, None)
    if case.headers:
        case.headers.pop("If-Match", None)
        case.headers.pop("Idempotency-Key", None)


# Objects within another, found by the end of the path that makes or lists them; kept with the id of that.
_WITHIN = {
    "documents": "documentId",
    "webhooks": "whId",
    "crawl-sitemap": "jobId",
    "crawl-jobs": "jobId",
    "deliveries": "eventDeliveryId",
}


def _fill_path(operation: Any, given: dict[str, Any]) -> None:
    path, is_delete = operation.path, operation.method == "delete"
    for name in given:
        if name in _WITHIN.values():
            wanted = "ended deliveries" if path.endswith("/replay") else name
            given["id"], given[name] = _some(wanted, (given["id"], given[name]))
            return
        if name == "version":
            given[name] = 1  # the first, which every agent has
        elif name != "channel":
            collection = "/api/knowledge-bases" if name == "kbId" else _resource(path)
            if is_delete and collection == "/api/agent-config":
                collection = "spare agents"
            given[name] = _some(collection, given[name])


def _fill_merge(body: dict[str, Any]) -> None:
    """Leads that are there, and not the same one twice."""
    with _lock:
        leads = list(dict.fromkeys(_known["/api/leads"]))
    if len(leads) > 1:
        into, source = _draw.sample(leads, 2)
        body.update({"into": into, "from": [source]})


def _fill_variants(variants: list[Any]) -> None:
    """An agent stands once in a test."""
    with _lock:
        agents = list(dict.fromkeys(each for each in _known["/api/agent-config"] if each not in _known["spare agents"]))
        _draw.shuffle(agents)
    for variant, agent in zip(variants, agents, strict=False):
        if isinstance(variant, dict):
            variant["agentConfigId"] = agent


def _some(collection: str, otherwise: Any) -> Any:
    with _lock:
        return _draw.choice(list(_known[collection])) if _known[collection] else otherwise


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    with _lock, REACHED.open("a") as log:
        log.write(json.dumps([case.operation.definition.raw["operationId"], response.status_code]) + "\n")
    if response.status_code in (200, 201, 202) and response.headers.get("content-type", [""])[0] == "application/json":
        _learn(_resource(case.operation.path), response.json())
        _learn_within(case.operation.path, (case.path_parameters or {}).get("id"), response.json())
    if response.status_code == 200 and case.operation.method == "delete" and case.operation.path.endswith("/{id}"):
        _forget(_resource(case.operation.path), (case.path_parameters or {}).get("id"))


def _forget(collection: str, identity: Any) -> None:
    with _lock:
        for kept in (collection, "spare agents", "/api/campaigns", "draft campaigns", "begun campaigns"):
            _known[kept] = collections.deque((each for each in _known[kept] if each != identity), maxlen=20)
        for within in (*_WITHIN.values(), "ended deliveries"):
            _known[within] = collections.deque((each for each in _known[within] if each[0] != identity), maxlen=20)


def _learn_within(path: str, base: Any, body: Any) -> None:
    """Remember knowledge bases and subscriptions, and what is in them."""
    kept = "/api/knowledge-bases" if path == "/api/knowledge-bases" else _WITHIN.get(path.rpartition("/")[2])
    for item in body[:12] if isinstance(body, list) else [body]:
        identity = item.get("jobId", item.get("_id")) if isinstance(item, dict) else None
        if kept is not None and identity is not None:
            with _lock:
                _known[kept].append(identity if base is None else (base, identity))
                if kept == "eventDeliveryId" and item["state"] != "pending":
                    _known["ended deliveries"].append((base, identity))


_CAMPAIGNS = {"draft": "draft campaigns", "running": "begun campaigns", "paused": "begun campaigns"}


def _learn(resource: str, body: Any) -> None:
    """Remember the objects that an answer shows: one by one, as a list, or wrapped."""
    if isinstance(body, dict) and isinstance(body.get("leads"), list):
        body = body["leads"]
    for item in body[:12] if isinstance(body, list) else [body]:
        if not isinstance(item, dict):
            continue
        if "stats" in item:
            _forget("/api/campaigns", item.get("_id"))  # as what it was before
        for member, collection, identity in (
            ("importBatchId", "/api/leads/imports", item.get("importBatchId")),
            ("uploadId", "uploads", item.get("uploadId")),
            ("webhookToken", "/api/webhooks/leads", item.get("webhookToken")),
            ("fullKey", "/api/api-keys", (item.get("apiKey") or {}).get("_id") if "fullKey" in item else None),
            ("systemPrompt", "/api/agent-config", None if resource.endswith("apply-template") else item.get("_id")),
            ("systemPrompt", "spare agents", item.get("_id") if item.get("status") == "inactive" else None),
            ("messageCount", "/api/conversations", item.get("_id")),
            ("variants", "/api/ab-tests", item.get("_id")),
            ("stats", "/api/campaigns", item.get("_id")),
            ("stats", _CAMPAIGNS.get(item.get("status", ""), "other campaigns"), item.get("_id")),
            ("completedAt", "completed tests", item.get("_id")),
            ("clerkUserId", f"{_TEAM}members", item.get("_id")),
            ("expiresAt", f"{_TEAM}invitations", item.get("_id") if "@" in str(item.get("email")) else None),
            ("token", f"{_TEAM}invitations", (item.get("invitation") or {}).get("_id")),
            ("token", "/api/accounts/invitations", item.get("token") if "invitation" in item else None),
            ("events", resource, item.get("_id") if resource == "/api/event-subscriptions" else None),
            ("phoneValid", "/api/leads", item.get("id")),
        ):
            if member in item and identity is not None:
                with _lock:
                    _known[collection].append(identity)


for _end in (
    "leads",
    "ab-tests",
    "campaigns",
    "conversations",
    "agent-config",
    "event-subscriptions",
    "accounts/current",
):
    _path = f"/api/{_end}"
    _learn(_path, _get(_path, OwnerKey.keys["test"]).json())
_learn(
    "/api/api-keys", [{"fullKey": "", "apiKey": each} for each in _get("/api/api-keys", OwnerKey.keys["live"]).json()]
)
for _end in ("members", "invitations"):
    _learn(f"{_TEAM}{_end}", _get(f"{_TEAM}{_end}", OwnerKey.keys["live"]).json())
_bases = _get("/api/knowledge-bases", OwnerKey.keys["test"]).json()
_learn_within("/api/knowledge-bases", None, _bases)
for _base in _bases:
    for _end in ("documents", "webhooks", "crawl-jobs"):
        _place = f"/api/knowledge-bases/{_base['_id']}/{_end}"
        _learn_within(_place, _base["_id"], _get(_place, OwnerKey.keys["test"]).json())
for _subscription in list(_known["/api/event-subscriptions"]):
    _place = f"/api/event-subscriptions/{_subscription}/deliveries"
    _learn_within(_place, _subscription, _get(_place, OwnerKey.keys["test"]).json())
