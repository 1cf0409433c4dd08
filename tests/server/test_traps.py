"""Each way in which a careless server answers badly, closed once; in the order a request meets the gates."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import handlers.leads
from server.contract import document, operations
from tests.conftest import Party, Served
from tests.server import raw_http
from tests.server.raw_http import RawAnswer
from tests.support.contract_client import ContractClient

PHONE = "+12025550101"
NO_KEY = "Authentication required. Provide an API key via X-API-Key header or Authorization: Bearer header."
BAD_KEY = "Invalid or expired API key"


def messages(answer: httpx.Response) -> dict[str, str]:
    """What is wrong, by where."""
    return {each["path"]: each["message"] for each in answer.json().get("errors", [])}


class TestRequestId:
    def test_answer_without_one_has_a_new_one(self, client: ContractClient) -> None:
        first, second = client.get("/api/leads"), client.get("/api/leads")

        assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]

    @pytest.mark.parametrize("offered", ["a", "trace-1.2_3", "x" * 128])
    def test_acceptable_one_comes_back(self, client: ContractClient, offered: str) -> None:
        answer = client.get("/api/leads/abc", headers={"X-Request-Id": offered})

        assert answer.headers["X-Request-Id"] == answer.json()["requestId"] == offered

    @pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a;b", "{}", "a\tb", "ä".encode()])
    def test_other_one_is_replaced(self, client: ContractClient, offered: Any) -> None:
        answer = client.get("/api/leads/abc", headers=[(b"X-Request-Id", offered)])

        assert answer.headers["X-Request-Id"] == answer.json()["requestId"]
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"])


class TestRouting:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/api",
            "/api/",
            "/api/lead",
            "/api/leads/1/agents",
            "/API/leads",
            "/api//leads",
            "/docs/x",
            "/favicon.ico",
        ],
    )
    def test_unknown_route_is_404_in_the_error_shape(self, anonymous: ContractClient, path: str) -> None:
        answer = anonymous.get(path)

        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")

    @pytest.mark.parametrize("path", ["/api/leads/", "/api/leads/1/", "/healthz/", "/api/conversations/start/"])
    def test_trailing_slash_is_404_and_no_redirect(self, client: ContractClient, path: str) -> None:
        answer = client.get(path)

        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")

    @pytest.mark.parametrize("path", [b"/api/leads%00", b"/api/%FF", b"/%2e%2e/etc/passwd", b"/api/leads%3F1"])
    def test_odd_bytes_in_an_unknown_path_are_404(self, send: Callable[..., RawAnswer], path: bytes) -> None:
        answer = send("GET", path)

        assert (answer.status, answer.json()["code"]) == (404, "route_not_found")

    def test_fixed_path_beats_a_template(self, client: ContractClient) -> None:
        answer = client.get("/api/conversations/start")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

    @pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "TRACE", "PUT"])
    def test_other_method_is_405_with_the_methods_of_the_document(self, client: ContractClient, method: str) -> None:
        answer = client.request(method, "/api/leads")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")

    def test_head_has_no_body(self, client: ContractClient) -> None:
        assert client.head("/api/leads").content == b""

    def test_every_path_allows_what_the_document_says(self, client: ContractClient) -> None:
        documented: dict[str, set[str]] = {}
        for operation in operations(document()):
            documented.setdefault(operation.path, set()).add(operation.method.upper())

        told = {path: client.options(re.sub(r"\{[^}]*\}", "1", path)).headers["Allow"] for path in documented}

        assert {path: set(allow.split(", ")) for path, allow in told.items()} == documented

    def test_upgrade_to_a_websocket_is_answered_as_the_request_it_also_is(self, send: Callable[..., RawAnswer]) -> None:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}

        answer = send("GET", b"/api/leads", {**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})

        assert answer.status == 200


class TestCredentials:
    @pytest.mark.parametrize(
        ("headers", "text"),
        [
            ({}, NO_KEY),
            ({"X-API-Key": ""}, NO_KEY),
            ({"Authorization": ""}, NO_KEY),
            ({"Authorization": "Bearer"}, NO_KEY),
            ({"Authorization": "Basic dXNlcjpwYXNz"}, NO_KEY),
            ({"X-API-Key": "wrong"}, BAD_KEY),
            ({"X-API-Key": "nl_test_" + "0" * 64}, BAD_KEY),
            ({"X-API-Key": "x" * 9000}, BAD_KEY),
            ({"X-API-Key": "\xff"}, BAD_KEY),
            ({"Authorization": "Bearer wrong"}, BAD_KEY),
        ],
        ids=[
            "none", "empty key", "empty", "scheme alone", "basic", "no key", "wrong checksum", "long",
            "not ASCII", "wrong token",
        ],
    )  # fmt: skip
    def test_refusal_is_401_with_a_challenge(self, anonymous: ContractClient, headers: Any, text: str) -> None:
        answer = anonymous.get("/api/leads", headers={name: value.encode("latin-1") for name, value in headers.items()})

        assert (answer.status_code, answer.json()["error"]) == (401, text)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="newleaf"'

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_bearer_token_is_as_good_as_a_key(self, party: Party, anonymous: ContractClient, scheme: str) -> None:
        answer = anonymous.get("/api/leads", headers={"Authorization": f"{scheme} {party.key()}"})

        assert answer.status_code == 200

    def test_key_wins_over_a_bearer_token(self, party: Party, anonymous: ContractClient) -> None:
        live, test = party.key("live"), party.key("test")

        answer = anonymous.get("/api/accounts/current", headers={"X-API-Key": live, "Authorization": f"Bearer {test}"})
        refused = anonymous.get("/api/leads", headers={"X-API-Key": "wrong", "Authorization": f"Bearer {test}"})

        assert answer.json()["environment"] == "live"
        assert refused.status_code == 401

    def test_nobody_learns_from_a_body_without_a_key(self, anonymous: ContractClient) -> None:
        assert anonymous.post("/api/leads", content=b"{").status_code == 401


class TestPathParameters:
    @pytest.mark.parametrize(
        "number",
        [
            "abc",
            "0",
            "-1",
            "1.5",
            "1e3",
            "+1",
            "01",
            "2147483648",
            "9" * 19,
            "9" * 400,
            "%00",
            "%FF",
            "1%00",
            "%D9%A3",
            "1%20",
        ],
        ids=lambda number: number[:12],
    )
    def test_what_is_no_lead_number_is_400(self, send: Callable[..., RawAnswer], number: str) -> None:
        answer = send("GET", f"/api/leads/{number}".encode())

        assert (answer.status, answer.json()["error"]) == (400, "Invalid lead ID format")

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("/api/agent-config/{}", "Invalid agent ID format"),
            ("/api/conversations/{}", "Invalid conversation ID format"),
            ("/api/api-keys/{}", "Invalid API key ID format"),
            ("/api/leads/imports/{}", "Invalid ID format"),
        ],
    )
    @pytest.mark.parametrize("oid", ["1", "g" * 24, "A" * 24, "a" * 25, "%00" * 8, "%FF"], ids=lambda oid: oid[:8])
    def test_what_is_no_object_id_is_400(self, send: Callable[..., RawAnswer], path: str, text: str, oid: str) -> None:
        answer = send("GET", path.format(oid).encode())

        assert (answer.status, answer.json()["error"]) == (400, text)


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "path", "message"),
        [
            ("limit=101", "limit", "limit must be at most 100"),
            ("limit=0", "limit", "limit must be at least 1"),
            ("limit=ten", "limit", "limit must be an integer"),
            ("limit=", "limit", "limit must be an integer"),
            ("limit=" + "9" * 30, "limit", "limit must be an integer"),
            ("skip=1000001", "skip", "skip must be at most 1000000"),
            ("skip=-1", "skip", "skip must be at least 0"),
            ("limit=1&limit=2", "limit", "limit is given more than once"),
            ("limits=1", "limits", "Unknown query parameter limits"),
            (
                "statuses=new,old",
                "statuses",
                "Invalid statuses. Must be one of: new, contacted, qualified, disqualified",
            ),
            ("sort=age", "sort", None),
            ("q=a", "q", "q must have at least 2 characters"),
            ("channel=fax", "channel", "Invalid channel. Must be one of: whatsapp, telegram, email, sms"),
        ],
    )
    def test_problem_names_the_parameter(
        self, client: ContractClient, query: str, path: str, message: str | None
    ) -> None:
        answer = client.get(f"/api/leads?{query}")

        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        assert list(messages(answer)) == [path]
        assert message is None or messages(answer)[path] == message

    def test_all_problems_are_told_at_once(self, client: ContractClient) -> None:
        answer = client.get("/api/leads?limit=0&skip=x&surprise=1")

        assert set(messages(answer)) == {"limit", "skip", "surprise"}

    @pytest.mark.parametrize(
        "query",
        [b"q=%FF%FE", b"q=%ED%A0%80", b"%FF=1", b"&".join([b"a=1"] * 300)],
        ids=["no UTF-8", "lone surrogate", "no UTF-8 in a name", "many"],
    )
    def test_query_that_is_no_text_is_400(self, send: Callable[..., RawAnswer], query: bytes) -> None:
        answer = send("GET", b"/api/leads?" + query)

        assert (answer.status, answer.json()["code"][:9]) == (400, "malformed")

    @pytest.mark.parametrize("query", [b"q=%00ab", b"q=ab%00", b"%00=1"], ids=["at the start", "at the end", "name"])
    def test_nul_is_refused_and_not_echoed(self, send: Callable[..., RawAnswer], query: bytes) -> None:
        answer = send("GET", b"/api/leads?" + query)

        assert (answer.status, answer.json()["code"]) == (400, "validation_failed")
        assert b"\\u0000" not in answer.body

    def test_plus_and_percent_20_are_blanks(self, client: ContractClient) -> None:
        client.post("/api/leads", json={"phone": PHONE, "name": "Ada Example"})

        found = [client.get(f"/api/leads?q={q}").json()["total"] for q in ("Ada+Example", "Ada%20Example")]

        assert found == [1, 1]


class TestHeaders:
    @pytest.mark.parametrize("key", ["", "a b", '""', "x" * 256, "ä", '"open', "a\tb"], ids=repr)
    def test_what_is_no_idempotency_key_is_400(self, send: Callable[..., RawAnswer], key: str) -> None:
        answer = send("POST", b"/api/leads", {"Idempotency-Key": key}, b'{"phone": "+12025550101"}')

        assert (answer.status, answer.json()["errors"][0]["path"]) == (400, "Idempotency-Key")

    @pytest.mark.parametrize("tag", ["", "ä", "x" * 1001], ids=["empty", "not ASCII", "long"])
    def test_what_cannot_be_a_tag_is_400(self, send: Callable[..., RawAnswer], tag: str) -> None:
        answer = send("DELETE", b"/api/leads/1", {"If-Match": tag})

        assert (answer.status, answer.json()["errors"][0]["path"]) == (400, "If-Match")

    def test_answer_is_not_cached_nor_sniffed(self, client: ContractClient) -> None:
        headers = client.get("/api/leads").headers

        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


class TestMediaType:
    @pytest.mark.parametrize(
        "media_type",
        ["text/plain", "text/json", "json", "application/xml", "application/x-www-form-urlencoded",
         "multipart/form-data", "application/json/x", "application/problem+json"],
    )  # fmt: skip
    def test_other_media_type_is_415(self, client: ContractClient, media_type: str) -> None:
        answer = client.post("/api/leads", content=b'{"phone": "+12025550101"}', headers={"Content-Type": media_type})

        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("media_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
    def test_json_is_taken_however_it_is_spelt(self, client: ContractClient, media_type: str) -> None:
        answer = client.post("/api/leads", content=b'{"phone": "+12025550101"}', headers={"Content-Type": media_type})

        assert answer.status_code == 201

    def test_body_without_a_media_type_is_taken_for_json(self, send: Callable[..., RawAnswer]) -> None:
        assert send("POST", b"/api/leads", body=b'{"phone": "+12025550101"}').status == 201

    @pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--x--\r\n", b"--x\r\n\r\n"], ids=repr)
    @pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=x", "; boundary=\xff"], ids=repr)
    def test_multipart_that_holds_nothing_is_400(
        self, send: Callable[..., RawAnswer], boundary: str, body: bytes
    ) -> None:
        answer = send("POST", b"/api/leads/upload/preview", {"Content-Type": "multipart/form-data" + boundary}, body)

        assert (answer.status, answer.json()["error"] != "") == (400, True)


MALFORMED = {
    "cut off": b'{"phone": "+12025550101"',
    "two values": b'{"phone": "+12025550101"} {}',
    "NaN": b'{"phone": "+12025550101", "customFields": {"a": NaN}}',
    "Infinity": b'{"phone": "+12025550101", "customFields": {"a": Infinity}}',
    "-Infinity": b'{"phone": "+12025550101", "customFields": {"a": -Infinity}}',
    "number beyond double": b'{"phone": "+12025550101", "customFields": {"a": 1e400}}',
    "endless integer": b'{"phone": "+12025550101", "customFields": {"a": ' + b"9" * 5000 + b"}}",
    "name twice": b'{"phone": "+12025550101", "phone": "+12025550102"}',
    "name twice below": b'{"phone": "+12025550101", "customFields": {"a": "1", "a": "2"}}',
    "raw NUL": b'{"phone": "+12025550101", "name": "a\0b"}',
    "lone surrogate": rb'{"phone": "+12025550101", "name": "\ud83d"}',
    "surrogates reversed": rb'{"phone": "+12025550101", "name": "\ude00\ud83d"}',
    "surrogate in a name": rb'{"phone": "+12025550101", "customFields": {"\udfff": "b"}}',
    "no UTF-8": b'{"phone": "+12025550101", "name": "\xff"}',
    "UTF-16": '{"phone": "+12025550101"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"phone": "+12025550101"}',
    "surrogate in UTF-8": b'{"phone": "+12025550101", "name": "\xed\xa0\x80"}',
    "single quotes": b"{'phone': '+12025550101'}",
    "comment": b'{"phone": "+12025550101" /* mine */}',
    "trailing comma": b'{"phone": "+12025550101",}',
    "nested without end": b"[" * 100_000,
    "nested 900 deep": b'{"phone": "+12025550101", "customFields": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "nested very deep": b"[" * 100_000 + b"]" * 100_000,
}
INVALID = {
    "NUL": rb'{"phone": "+12025550101", "name": "a\u0000b"}',
    "NUL in a name": rb'{"phone": "+12025550101", "a\u0000": "b"}',
    "null": b"null",
    "array": b"[]",
    "text": b'"phone"',
    "number": b"1",
    "nested 200 deep": b'{"phone": "+12025550101", "customFields": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}",
    "huge integer": b'{"phone": "+12025550101", "customFields": {"a": ' + b"9" * 400 + b"}}",
    "huge negative integer": b'{"phone": "+12025550101", "customFields": {"a": -' + b"9" * 400 + b"}}",
    "a MiB of text": b'{"phone": "+12025550101", "name": "' + b"x" * 1_048_576 + b'"}',
    "a MiB of a name": b'{"phone": "+12025550101", "' + b"x" * 1_048_576 + b'": 1}',
    "50,000 members": json.dumps({"phone": PHONE, **{f"x{n}": n for n in range(50_000)}}).encode(),
}


class TestBody:
    @pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
    def test_malformed_json_is_400(self, client: ContractClient, body: bytes) -> None:
        answer = client.post("/api/leads", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["code"][:9]) == (400, "malformed")
        assert client.get("/api/leads").json() == []

    @pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
    def test_invalid_json_is_400(self, client: ContractClient, body: bytes) -> None:
        answer = client.post("/api/leads", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        assert len(answer.content) < 100_000
        assert "\\u0000" not in answer.text
        assert client.get("/api/leads").json() == []

    def test_nul_that_no_schema_can_refuse_is_422(self, client: ContractClient) -> None:
        body = rb'{"phone": "+12025550101", "customFields": {"a\u0000": "b"}}'

        answer = client.post("/api/leads", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["code"]) == (422, "unstorable_text")

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}], ids=["untyped", "typed"])
    def test_missing_body_is_400(self, send: Callable[..., RawAnswer], headers: dict[str, str]) -> None:
        answer = send("POST", b"/api/leads", {"Content-Length": "0", **headers})

        assert (answer.status, answer.json()["error"]) == (400, "Request body is required")

    def test_surrogate_pairs_and_escapes_are_text(self, client: ContractClient) -> None:
        body = rb'{"phone": "+12025550101", "name": "\ud83d\ude00 \\u0000"}'

        answer = client.post("/api/leads", content=body, headers={"Content-Type": "application/json"})

        assert answer.json()["name"] == "😀 \\u0000"

    def test_unknown_member_is_refused(self, client: ContractClient) -> None:
        answer = client.post("/api/leads", json={"phone": PHONE, "surprise": 1})

        assert messages(answer) == {"/surprise": "Unknown property surprise"}

    @pytest.mark.parametrize("member", ["id", "accountId", "createdAt", "phoneValid", "optedOut"])
    def test_what_only_the_server_says_is_refused(self, client: ContractClient, member: str) -> None:
        body = {"phone": PHONE, member: client.post("/api/leads", json={"phone": "+12025550199"}).json()[member]}

        assert messages(client.post("/api/leads", json=body)) == {f"/{member}": f"Unknown property {member}"}

    @pytest.mark.parametrize(
        "moment", ["tomorrow", "2027-02-30T00:00:00Z", "2027-01-01", "2027-01-01T00:00:00", "2027-01-01T25:00:00Z", ""]
    )
    def test_format_date_time_is_checked(self, client: ContractClient, moment: str) -> None:
        body = {"name": "CRM", "scopes": ["leads:view"], "environment": "test", "expiresAt": moment}

        answer = client.post("/api/api-keys", json=body)

        assert (answer.status_code, list(messages(answer))) == (400, ["/expiresAt"])

    def test_all_problems_are_told_at_once_with_pointers_and_without_values(self, client: ContractClient) -> None:
        body = {
            "email": "secret-value",
            "tags": ["ok", 7],
            "status": "secret-status",
            "customFields": {"a/b~c": ["secret-list"]},
        }

        answer = client.post("/api/leads", json=body)

        assert set(messages(answer)) == {"/phone", "/email", "/tags/1", "/status", "/customFields/a~1b~0c"}
        assert "secret" not in answer.text
        assert not {"additionalProperties", "pattern", "enum", "$ref"} & set(re.findall(r"[A-Za-z$]+", answer.text))

    def test_no_more_than_a_hundred_problems_are_told(self, client: ContractClient) -> None:
        answer = client.post("/api/leads", json={f"x{n}": n for n in range(200)})

        assert len(answer.json()["errors"]) == 100

    def test_absent_members_get_the_documented_defaults(self, client: ContractClient) -> None:
        for number in range(7):
            client.post("/api/leads", json={"phone": f"+1202555010{number}"})

        lead = client.get("/api/leads/1").json()
        preview = client.post("/api/leads/preview", json={"filters": {"conditions": []}}).json()

        assert (lead["name"], lead["source"], lead["email"], lead["status"]) == ("Unknown", "api", "", "new")
        assert (len(preview["leads"]), preview["total"]) == (5, 7)

    @pytest.mark.parametrize("lead_id", [2**31, 2**63, 10**40, 0, -1, 1.5, True], ids=str)
    def test_integer_beyond_its_bounds_is_400(self, client: ContractClient, lead_id: Any) -> None:
        answer = client.post("/api/conversations/start", json={"leadId": lead_id, "channel": "sms"})

        assert (answer.status_code, answer.json()["error"]) == (400, "Invalid lead ID format")

    def test_body_where_none_is_wanted_changes_nothing(self, client: ContractClient) -> None:
        assert client.request("GET", "/api/leads", content=b"\xff\x00").json() == []


class TestSize:
    LIMIT = 4 * 1024 * 1024

    def test_body_that_says_it_is_too_large_is_413_unread(self, send: Callable[..., RawAnswer]) -> None:
        answer = send("POST", b"/api/leads", {"Content-Length": str(self.LIMIT + 1)})

        assert (answer.status, answer.json()["code"]) == (413, "payload_too_large")

    def test_length_beyond_all_numbers_is_413_or_refused(self, send: Callable[..., RawAnswer]) -> None:
        assert send("POST", b"/api/leads", {"Content-Length": "9" * 18}).status == 413

    def test_chunked_body_that_grows_too_large_is_413(self, client: ContractClient) -> None:
        pieces = (b"x" * 65_536 for _ in range(self.LIMIT // 65_536 + 1))

        answer = client.post("/api/leads", content=pieces, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")

    def test_chunked_body_within_the_limit_is_read(self, client: ContractClient) -> None:
        pieces = iter([b'{"phone": ', b'"+12025550101"}'])

        assert (
            client.post("/api/leads", content=pieces, headers={"Content-Type": "application/json"}).status_code == 201
        )


class TestProblemJson:
    @pytest.mark.parametrize(
        ("method", "path", "options", "status"),
        [
            ("POST", "/api/leads", {"json": {}}, 400),
            ("GET", "/api/leads", {"headers": {"X-API-Key": "wrong"}}, 401),
            ("GET", "/api/leads/999", {}, 404),
            ("GET", "/nowhere", {}, 404),
            ("DELETE", "/api/leads", {}, 405),
            ("POST", "/api/leads", {"json": {"phone": "+12025550199"}}, 409),
            ("PATCH", "/api/leads/1", {"json": {"name": "A"}, "headers": {"If-Match": '"x"'}}, 412),
            ("POST", "/api/leads", {"content": b"x" * (4 * 1024 * 1024 + 1)}, 413),
            ("POST", "/api/leads", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
            ("GET", "/api/leads?cursor=abc", {}, 422),
        ],
    )
    def test_every_kind_of_error_is_told_as_a_problem_on_demand(
        self, client: ContractClient, method: str, path: str, options: dict[str, Any], status: int
    ) -> None:
        client.post("/api/leads", json={"phone": "+12025550199"})
        headers = {"Accept": "application/problem+json", **options.pop("headers", {})}

        answer = client.request(method, path, headers=headers, **options)

        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["requestId"]) == (status, answer.headers["X-Request-Id"])
        assert {"type", "title", "detail", "error", "code"} <= problem.keys()
        assert problem["instance"] == path.partition("?")[0]

    def test_missing_scope_is_told_as_a_problem_on_demand(self, party: Party) -> None:
        with party.client(scopes=["leads:import"]) as narrow:
            answer = narrow.get("/api/leads", headers={"Accept": "application/problem+json"})

        assert (answer.json()["status"], answer.json()["code"]) == (403, "missing_scope")

    def test_instance_is_an_address_whatever_was_asked_for(self, send: Callable[..., RawAnswer]) -> None:
        answer = send("GET", b'/a"<b>|%zz^`{}', {"Accept": "application/problem+json"})

        assert re.fullmatch(r"(?:[\w/.~!$&'()*+,;=:@-]|%[0-9A-F]{2})*", answer.json()["instance"])


class TestCrash:
    @pytest.fixture
    def crashed(
        self,
        monkeypatch: pytest.MonkeyPatch,
        serve: Callable[..., str],
        make_account: Callable[..., Party],
        log_lines: Any,
    ) -> httpx.Response:
        @functools.wraps(handlers.leads.list_leads)
        def broken(**_: Any) -> None:
            raise RuntimeError("SELECT secret FROM nowhere")

        monkeypatch.setattr(handlers.leads, "list_leads", broken)
        base_url = serve()
        with make_account(base_url).client() as opened:
            return opened.get("/api/leads?q=private", headers={"X-Request-Id": "req-crash"})

    def test_crash_is_500_that_tells_nothing(self, crashed: httpx.Response) -> None:
        assert crashed.status_code == 500
        assert crashed.json() == {"error": "Internal server error", "code": "internal_error", "requestId": "req-crash"}

    def test_crash_is_logged_with_its_request_id(self, crashed: httpx.Response, log_lines: Any) -> None:
        [line] = [line for line in log_lines() if line["level"] == "error"]

        assert (line["request_id"], line["error"]) == ("req-crash", "RuntimeError")
        assert "RuntimeError: SELECT secret FROM nowhere" in line["exception"]


def test_server_does_not_name_itself(served: Served) -> None:
    answer = raw_http.exchange(served.base_url, raw_http.request("GET", b"/healthz"))

    assert "server" not in answer.headers
