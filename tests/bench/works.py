"""The works that are measured: what is asked, as the bytes that go over the wire.

A work that writes never sends the same thing twice, so each server gets an endless stream of new requests; those that
read go around a few hundred leads.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from . import people
from .house import House

_NEW_PEOPLE = 1_200_000  # whoever is created in a run stands behind everybody that a house may hold
_READ_IN_TURN = 500
_SYNCED = 100  # items of a sync, of them half new
FILTER_BODY = {
    "filters": {
        "conditions": [
            {"field": "status", "operator": "is", "value": people.STATUS},
            {"field": "tags", "operator": "includes_any_of", "value": [people.TAG, "newsletter"]},
        ]
    },
    "limit": 50,
}

Requests = Callable[[House], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request, the status of its answer, and over how many connections it is sent."""

    name: str
    requests: Requests
    status: int = 200
    connections: int = 16


def request(house: House, method: str, target: str, body: Any = None) -> bytes:
    """A request with the house's key, as it goes over the wire."""
    head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"X-API-Key: {house.key}"]
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "\r\n"]).encode() + content


def reading(name: str, path: str, **query: str | int) -> Work:
    """The work of getting one page again and again."""
    target = f"{path}?{urlencode(query)}" if query else path
    return Work(name, lambda house: itertools.repeat(request(house, "GET", target)))


def new_lead(number: int) -> dict[str, Any]:
    """The `number`-th lead that no house holds."""
    return {
        "phone": people.phone(_NEW_PEOPLE + number),
        "name": f"New Person {number}",
        "email": f"new.{number}@example.com",
        "status": "new",
        "tags": ["newsletter", "demo"],
        "externalId": f"new-{number}",
        "customFields": {"company": "Example GmbH", "seats": 25},
    }


def sync_items(house: House, number: int, moment: int) -> list[dict[str, Any]]:
    """A hundred items: in turn a lead of the house with another name, and a new one."""
    half = _SYNCED // 2
    known = [number * half % house.leads + place for place in range(half)]
    items = []
    for place, index in enumerate(known):
        fresh = number * half + place
        items += [
            {"lead_id": f"crm-{index % house.leads}", "name": f"Renamed {moment}", "customFields": {"seats": moment}},
            {
                "lead_id": f"synced-{fresh}",
                "phone": people.phone(_NEW_PEOPLE + 500_000 + fresh),
                "name": f"Synced Person {fresh}",
                "email": f"synced.{fresh}@example.com",
                "tags": ["customer"],
                "customFields": {"deal_value": 50000, "city": "Porto"},
            },
        ]
    return items


def _get(house: House) -> Iterator[bytes]:
    step = max(house.leads // _READ_IN_TURN, 1)
    numbers = range(1, house.leads + 1, step)
    return itertools.cycle([request(house, "GET", f"/api/leads/{number}") for number in numbers])


def _filter(house: House) -> Iterator[bytes]:
    return itertools.repeat(request(house, "POST", "/api/leads/preview", FILTER_BODY))


def _create(house: House) -> Iterator[bytes]:
    return (request(house, "POST", "/api/leads", new_lead(number)) for number in itertools.count(1))


def _sync(house: House) -> Iterator[bytes]:
    return (
        request(house, "POST", "/api/leads/sync", {"source": "crm", "leads": sync_items(house, number, number)})
        for number in itertools.count(1)
    )


LIST = reading("list 50", "/api/leads", limit=50)
SKIP = reading("list 50, skip 1000", "/api/leads", limit=50, skip=1000)
GET = Work("get one", _get)
FILTER = Work("filter", _filter)
CREATE = Work("create", _create, status=201)
SYNC = Work("sync 100", _sync, connections=4)

BY_STATUS = reading("list by status", "/api/leads", statuses=people.STATUS, limit=50)
BY_TAG = reading("list by tag", "/api/leads", tags=people.TAG, limit=50)
RARE = reading("search rare", "/api/leads/search", q=people.RARE_WORD)
COMMON = reading("search common", "/api/leads/search", q=people.COMMON_WORD)

# The short names are those that `--only` takes.
SIDE_BY_SIDE = {"list": LIST, "skip": SKIP, "get": GET, "filter": FILTER, "create": CREATE, "sync": SYNC}
GROWING = (LIST, GET, BY_STATUS, BY_TAG, RARE, COMMON)
