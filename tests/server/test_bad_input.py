"""Every operation of the contract against every oddity: 4xx in the error shape, never 500, and nothing is written.

The oddities come from the contract itself. `jsonschema`, which the server does not use, says which of them are wrong.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
from jsonschema import Draft4Validator, FormatChecker

from server.contract import Operation, dereference, document, operations
from server.schemas import to_json_schema
from storage import accounts, database
from tests.conftest import Party, Served
from tests.support.contract_client import ContractClient

SPEC = document()
OPERATIONS = [
    Operation(operation.method, operation.path, dereference(SPEC, operation.spec)) for operation in operations(SPEC)
]
WITH_JSON = [
    op
    for op in OPERATIONS
    if "application/json" in op.spec.get("requestBody", {}).get("content", {}) and not op.spec.get("x-raw-body")
]
WITH_PARAMETERS = [op for op in OPERATIONS if op.spec["parameters"]]

# Whose rows an operation could write; the other tables belong to nobody and are compared whole.
OWNED = {
    "account": "id = {account}",
    "account_environment": "account_id = {account}",
    "api_key": "account_id = {account}",
    "audit_entry": "account_id = {account}",
    "member": "account_id = {account}",
}
OF_TENANT = "tenant_id IN (SELECT id FROM account_environment WHERE account_id = {account})"
MOVING = {"last_used_at", "seq", "hash"}  # a key that is used says so; audit entries are sealed in the background

# The indexes of text can only be asked what they find; sequences count what other accounts do, too,
# and the heads of audit chains and what analytics counts move in the background.
UNSCANNED = {"schema_migration", "lead_text", "sqlite_sequence", "audit_chain"}
UNSCANNED |= {"analytics_change", "analytics_fact", "analytics_tally"}


@dataclass(frozen=True)
class Target:
    """An account that has one of everything, and what identifies it in paths."""

    party: Party
    client: ContractClient
    path_values: dict[str, Any]

    def path(self, operation: Operation, **override: str) -> str:
        """The operation's path to an object that exists."""
        values = {name: str(value) for name, value in self.path_values.items()}
        kind = operation.path.split("/")[2] if operation.path.startswith("/api/") else ""
        values["id"] = values.get(f"{kind}.id", "")
        return operation.path.format(**{**values, **override})

    def rows(self) -> dict[str, list[Any]]:
        """Everything that is stored for this account."""
        found: dict[str, list[Any]] = {}
        with database.connection():
            for table in sorted(set(database.database.get_tables()) - UNSCANNED):
                columns = [column.name for column in database.database.get_columns(table)]
                condition = OWNED.get(table, OF_TENANT if "tenant_id" in columns else "1 = 1")
                kept = ", ".join(f'"{column}"' for column in columns if column not in MOVING)
                query = f'SELECT {kept} FROM "{table}" WHERE ' + condition.format(account=f"'{self.party.account_id}'")
                found[table] = sorted(map(repr, database.database.execute_sql(query).fetchall()))
        return found


@pytest.fixture(scope="module")
def target(served: Served) -> Iterator[Target]:
    opened = database.connect(served.database_url)
    with database.transaction():
        party = Party(accounts.create("Example", default_region="US").id, served.base_url)
    with party.client() as client:
        yield Target(party, client, _one_of_everything(client))
    opened.close_all()


def _one_of_everything(client: ContractClient) -> dict[str, Any]:
    template = client.post("/api/agent-config/apply-template", json={"templateId": "sales-qualifier"}).json()
    agent = client.post("/api/agent-config", json=template).json()
    lead = client.post("/api/leads", json={"phone": "+12025550101", "name": "Ada Example"}).json()
    opening = {"leadId": lead["id"], "channel": "sms", "message": "Hello"}
    conversation = client.post("/api/conversations/start", json=opening).json()
    key = {"name": "Other", "scopes": ["leads:view"], "environment": "test"}
    table = {"content": "Mobile\n+12025550102\n", "mapping": {"Mobile": "phone"}}
    base = client.post("/api/knowledge-bases", json={"name": "Prices"}).json()["_id"]
    place = f"/api/knowledge-bases/{base}"
    source = {"name": "Stock", "url": "http://127.0.0.1:9/stock"}
    campaign = {"name": "Spring", "channel": "sms", "message": "Hello", "leadFilter": {}}
    silent = {"url": "http://127.0.0.1:9/events", "events": ["lead.created"], "isActive": False}
    rival = client.post("/api/agent-config", json=template).json()["_id"]
    variants = [{"agentConfigId": oid, "weight": 50} for oid in (agent["_id"], rival)]
    job = client.post(f"{place}/crawl-sitemap", json={"urls": ["http://127.0.0.1:9/"]}).json()["jobId"]
    for _ in range(10_000):  # the worker is through with it in a moment, after which nothing is written by itself
        if client.get(f"{place}/crawl-jobs/{job}").json()["status"] in ("completed", "failed"):
            break
    return {
        "knowledge-bases.id": base,
        "kbId": base,
        "documentId": client.post(f"{place}/documents", json={"content": "Hello"}).json()["_id"],
        "whId": client.post(f"{place}/webhooks", json=source).json()["_id"],
        "jobId": job,
        "ab-tests.id": client.post("/api/ab-tests", json={"name": "Tone", "variants": variants}).json()["_id"],
        "campaigns.id": client.post("/api/campaigns", json=campaign).json()["_id"],
        "event-subscriptions.id": client.post("/api/event-subscriptions", json=silent).json()["_id"],
        "eventDeliveryId": "f" * 24,
        "userId": "f" * 24,
        "invitationToken": "inv_nobodys",
        "channel": "whatsapp",
        "integration": "f" * 24,
        "version": 1,
        "leads.id": lead["id"],
        "agent-config.id": agent["_id"],
        "conversations.id": conversation["_id"],
        "api-keys.id": client.post("/api/api-keys", json=key).json()["apiKey"]["_id"],
        "importBatchId": client.post("/api/leads/upload/confirm", json=table).json()["importBatchId"],
        "token": client.get("/api/accounts/current").json()["webhookToken"],
    }


def by_id(operation: Operation) -> str:
    return operation.id


def refusals(answers: dict[str, httpx.Response]) -> dict[str, int]:
    """Those that were answered as if nothing were wrong, or as if the server were."""
    return {oddity: answer.status_code for oddity, answer in answers.items() if not 400 <= answer.status_code < 500}


@pytest.mark.parametrize("operation", WITH_JSON, ids=by_id)
def test_odd_bodies_are_refused_and_write_nothing(target: Target, operation: Operation) -> None:
    before = target.rows()

    answers = {
        oddity: target.client.request(operation.method, target.path(operation), content=body, headers=headers)
        for oddity, body, headers in odd_bodies(operation)
    }

    assert refusals(answers) == {}
    assert target.rows() == before


@pytest.mark.parametrize("operation", WITH_PARAMETERS, ids=by_id)
def test_odd_parameters_are_refused_and_write_nothing(target: Target, operation: Operation) -> None:
    before = target.rows()
    body = example_of(operation)
    content = None if body is None else json.dumps(body).encode()

    answers = {
        oddity: target.client.request(operation.method, path, content=content, headers=headers)
        for oddity, path, headers in odd_parameters(target, operation)
    }

    assert refusals(answers) == {}
    assert target.rows() == before


def test_the_sweep_would_see_a_write(target: Target) -> None:
    before = target.rows()

    target.client.patch(target.path(next(op for op in OPERATIONS if op.id == "update_lead")), json={"name": "Changed"})

    assert target.rows()["lead"] != before["lead"]
    assert len(target.rows()["audit_entry"]) == len(before["audit_entry"]) + 1


def example_of(operation: Operation) -> Any:
    """A body that the operation's document shows, None where it takes none."""
    media = operation.spec.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return None
    return media["example"] if "example" in media else next(iter(media["examples"].values()))["value"]


def odd_bodies(operation: Operation) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Bodies that cannot be taken: (what is odd, body, headers)."""
    json_type = {"Content-Type": "application/json"}
    valid = json.dumps(example_of(operation)).encode()
    for name, body in _UNREADABLE.items():
        yield name, body, json_type
    if operation.spec["requestBody"].get("required"):
        yield "empty", b"", json_type
    yield "cut off", valid[:-1], json_type
    yield "twice", valid + valid, json_type
    yield "UTF-16", valid.decode().encode("utf-16"), json_type
    yield "member twice", valid[:1] + b'"a": 1, "a": 2, ' + valid[1:], json_type
    yield "NaN inside", valid[:1] + b'"a": NaN, ' + valid[1:], json_type
    for media_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "image/png"):
        yield media_type, valid, {"Content-Type": media_type}
    if operation.spec.get("x-body-limit") != "upload":
        yield "large", b" " * (2 * 1024 * 1024 + 1), json_type
    for name, value in _wrong_values(operation):
        yield name, json.dumps(value).encode(), json_type


_UNREADABLE = {
    "no JSON": b"phone=1",
    "byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"\xff": 1}',
    "NUL": rb'{"\u0000": "\u0000"}',
    "lone surrogate": rb'{"a": "\ud800"}',
    "deep": b"[" * 100_000,
    "array": b"[]",
    "text": b'"x"',
    "number": b"1",
    "true": b"true",
    "null": b"null",
    "nested": b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}",
}
_VALUES = (
    *(None, True, 0, -1, 1.5, 10**30),
    *("", " ", "x", "ä" * 30, "<script>", "' OR 1=1 --", "x" * 300_000, "2027-13-01T00:00:00Z"),
    *([], [None], ["x"], [{}], ["x"] * 5000),
    *({}, {"a": {}}, {"a": "b"}, {"x" * 200: 1}),
)


def _wrong_values(operation: Operation) -> Iterator[tuple[str, Any]]:
    """The example with one member replaced by each value that the schema refuses, without one, and with one more."""
    schema = operation.spec["requestBody"]["content"]["application/json"]["schema"]
    reference = Draft4Validator(to_json_schema(schema), format_checker=FormatChecker())
    example = example_of(operation)
    assert reference.is_valid(example)
    candidates = [("unknown member", {**example, "surprise": {}})]
    for name in sorted({*_properties(schema), *example}):
        candidates.append((f"without {name}", {key: value for key, value in example.items() if key != name}))
        candidates += [(f"{name} = {repr(value)[:20]}", {**copy.deepcopy(example), name: value}) for value in _VALUES]
    return ((name, body) for name, body in candidates if not reference.is_valid(body))


def _properties(schema: dict[str, Any]) -> set[str]:
    branches = [schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return {name for branch in branches for name in branch.get("properties", {})}


_TEXTS = (
    *b"0 -1 1.5 1e3 +1 01 0x1 abc null true True [] {} a,b,,c '--' ../x 2147483648".split(),
    *(b"", b" ", b"9" * 30, b"9" * 5000, b"x" * 5000, "ä".encode(), "٣".encode()),
    *(b"665f1c2e9b1d4a0012ab34cz", b"665F1C2E9B1D4A0012AB34CD"),
)
_NOT_TEXT = {"NUL": b"a\0b", "no UTF-8": b"\xff\xfe", "lone surrogate": b"\xed\xa0\x80", "overlong": b"\xc0\xaf"}


def odd_parameters(target: Target, operation: Operation) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Requests with one parameter that cannot be taken: (what is odd, path and query, headers)."""
    path = target.path(operation)
    query = _needed_query(operation)
    for spec in operation.spec["parameters"]:
        name, refused = spec["name"], _refuser(spec)
        if spec["in"] == "path":
            for raw in (*filter(None, _TEXTS), *_NOT_TEXT.values()):
                if refused(raw) and b"/" not in raw:
                    yield f"{name}: {raw[:20]!r}", target.path(operation, **{name: quote_from_bytes(raw, "")}), {}
        elif spec["in"] == "header":
            for raw in (*_TEXTS, b"\xff", b'"', b'"a"b"', b"a\tb"):
                if refused(raw) and raw == raw.strip():  # blanks around it are no part of a header's value
                    yield f"{name}: {raw[:20]!r}", path + query, {name: raw}
        else:
            for raw in (*_TEXTS, *_NOT_TEXT.values()):
                if refused(raw):
                    yield f"{name}: {raw[:20]!r}", f"{path}{query}&{name}={quote_from_bytes(raw)}", {}
            yield f"{name} twice", f"{path}{query}&{name}=1&{name}=1", {}
    yield "unknown parameter", f"{path}{query}&surprise=1", {}
    yield "NUL in a name", f"{path}{query}&%00=1", {}


def _needed_query(operation: Operation) -> str:
    given = [
        f"{spec['name']}={spec['example']}"
        for spec in operation.spec["parameters"]
        if spec["in"] == "query" and spec.get("required")
    ]
    return "?" + "&".join(["skip=0"] * (not given and _takes(operation, "skip")) + given)


def _takes(operation: Operation, name: str) -> bool:
    return any(spec["name"] == name for spec in operation.spec["parameters"])


def _refuser(spec: dict[str, Any]) -> Callable[[bytes], bool]:
    """Tells whether a text is none of a parameter's values, by the schema and by how each type is written."""
    schema = spec["schema"]
    reference = Draft4Validator(to_json_schema(schema), format_checker=FormatChecker())

    def refused(raw: bytes) -> bool:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return spec["in"] != "path" or schema["type"] != "string" or "token" not in spec["name"]
        if spec["in"] == "header":
            text = raw.decode("latin-1").strip(" \t")
        if schema["type"] == "integer":
            is_integer = text.isascii() and text.lstrip("-").isdigit() and str(int(text[:4000])) == text
            return not is_integer or not reference.is_valid(int(text))
        if schema["type"] == "boolean":
            return text not in ("true", "false")
        return not reference.is_valid(text.split(",") if schema["type"] == "array" else text)

    return refused
