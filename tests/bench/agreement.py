"""Before anything is timed: all servers give the same answers to the same requests, right and wrong ones.

What must differ is masked: the moments at which something was written, the texts of schema validators. The streams of
the timed rounds start where these requests end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from . import people, works
from .servers import Server

_MOMENTS = ("createdAt", "updatedAt", "requestId")
_COMPARED_HEADERS = ("content-type", "x-total-count", "location", "ratelimit-policy", "x-content-type-options")
_PRESENT_HEADERS = ("x-request-id", "ratelimit-remaining", "ratelimit-reset")

Answer = tuple[str, int, Any, dict[str, Any]]


class Disagreement(Exception):
    """Two servers answered differently."""


def _masked(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_masked(each, names) for each in value]
    if isinstance(value, dict):
        return {name: "…" if name in names else _masked(each, names) for name, each in value.items()}
    return value


def _told(label: str, response: httpx.Response, masks: Sequence[str] = ("requestId",)) -> Answer:
    headers = {name: response.headers.get(name) for name in _COMPARED_HEADERS}
    headers |= {name: name in response.headers for name in _PRESENT_HEADERS}
    return label, response.status_code, _masked(response.json(), masks), headers


def _paths(label: str, response: httpx.Response) -> Answer:
    body = response.json()
    return label, response.status_code, (body["code"], sorted({each["path"] for each in body["errors"]})), {}


def _answers(server: Server) -> Iterator[Answer]:
    preview = "/api/leads/preview"
    with server.client() as client:
        first = client.get("/api/leads", params={"limit": 50})
        yield _told("list", first)
        following = first.headers["link"].partition(">")[0].removeprefix("<")
        yield _told("next page", client.get(following))
        yield _told("skip", client.get("/api/leads", params={"limit": 50, "skip": 100}))
        yield _told("get", client.get("/api/leads/1"))
        yield _told("filter", client.post(preview, json=works.FILTER_BODY))
        yield _told("no such lead", client.get("/api/leads/2147483647"))
        yield _told("no key", client.get("/api/leads", headers={"X-API-Key": ""}))
        yield _told("wrong key", client.get("/api/leads", headers={"X-API-Key": "nl_live_" + "0" * 64}))
        yield _paths("wrong body", client.post("/api/leads", json={"phone": people.phone(0), "status": "lost", "x": 1}))
        yield _paths("no phone", client.post("/api/leads", json={"name": "Ada"}))
        lead = works.new_lead(0)
        yield _told("create", client.post("/api/leads", json=lead), _MOMENTS)
        yield _told("create again", client.post("/api/leads", json=lead))
        items = works.sync_items(server.house, 0, 0)
        for label in ("sync", "sync again"):
            yield _told(label, client.post("/api/leads/sync", json={"source": "crm", "leads": items}), _MOMENTS)
        yield _told("list after writes", client.get("/api/leads", params={"limit": 100}), _MOMENTS)


def require(servers: Sequence[Server]) -> None:
    """Raises Disagreement, naming the first request that two servers answered differently."""
    for answers in zip(*map(_answers, servers), strict=True):
        if any(answer != answers[0] for answer in answers):
            told = [f"{server.name}: {str(answer[1:])[:1000]}" for server, answer in zip(servers, answers, strict=True)]
            raise Disagreement("\n".join([f"{answers[0][0]} is answered differently", *told]))
