"""Event subscriptions over HTTP; the client holds every answer against the contract."""

from __future__ import annotations

import json

import pytest

from storage.database import connection
from storage.event_log import EventOccurrence

SUBSCRIPTIONS = "/api/event-subscriptions"
BODY = {"url": "https://hooks.example.com/newleaf", "events": ["lead.*", "message.sent"], "description": "CRM"}


@pytest.fixture
def made(client):
    return client.post(SUBSCRIPTIONS, json=BODY).json()


@pytest.fixture
def place(made):
    return f"{SUBSCRIPTIONS}/{made['_id']}"


def test_secret_is_shown_once(client, made, place):
    shown = client.get(place).json()

    assert made.pop("secret").startswith("whsec_")
    assert shown == made
    assert shown | BODY == shown
    assert client.get(SUBSCRIPTIONS).json() == [shown]


def test_what_the_body_names_changes(client, place):
    changed = client.patch(place, json={"events": ["*"], "isActive": False, "description": ""}).json()

    assert (changed["events"], changed["isActive"], "description" in changed) == (["*"], False, False)
    assert client.patch(place, json={"isActive": True}).json()["isActive"]


def test_deleted_one_is_gone(client, place):
    assert client.delete(place).json() == {"success": True}
    assert client.get(place).status_code == 404


@pytest.mark.parametrize("url", ["https://user:word@example.com/", "http://exa mple.com/", "ftp://example.com/"])
def test_address_that_is_none_is_refused(client, url):
    assert client.post(SUBSCRIPTIONS, json={**BODY, "url": url}).status_code in (400, 422)


def test_rotation_shows_another_secret(client, made, place):
    rotated = client.post(f"{place}/rotate-secret", json={"overlapSeconds": 60}).json()

    assert rotated["secret"] != made["secret"]
    assert "previousSecretUntil" in rotated
    assert "previousSecretUntil" not in client.post(f"{place}/rotate-secret", json={"overlapSeconds": 0}).json()


def test_created_lead_is_on_its_way_with_the_body_of_the_api(client, party, place):
    lead = client.post("/api/leads", json={"phone": "+12025550123", "name": "Ada"}).json()

    [delivery] = client.get(f"{place}/deliveries").json()
    assert (delivery["type"], delivery["subscriptionId"]) == ("lead.created", place.rpartition("/")[2])
    with connection():
        [event] = EventOccurrence.of(party.tenant())
    assert json.loads(event.payload)["data"] == lead
    assert event.oid == delivery["eventId"]


def test_bulk_sync_is_told_one_by_one(client, place):
    leads = [{"lead_id": f"crm-{number}", "phone": f"+120255501{number:02}"} for number in range(20)]
    client.post("/api/leads/sync", json={"leads": leads})
    client.post("/api/leads/sync", json={"leads": [{**leads[0], "name": "Ada"}]})

    types = [each["type"] for each in client.get(f"{place}/deliveries").json()]

    assert sorted(types) == ["lead.created"] * 20 + ["lead.updated"]


def test_ping_goes_to_one_address_alone(client, place):
    other = client.post(SUBSCRIPTIONS, json=BODY).json()["_id"]
    queued = client.post(f"{place}/test")

    assert (queued.status_code, queued.json()["type"]) == (202, "ping")
    assert client.get(f"{place}/deliveries/{queued.json()['_id']}").status_code == 200
    assert client.get(f"{SUBSCRIPTIONS}/{other}/deliveries").json() == []
    assert client.get(f"{SUBSCRIPTIONS}/{other}/deliveries/{queued.json()['_id']}").status_code == 404


def test_pending_delivery_is_not_replayed_nor_is_an_inactive_subscription(client, place):
    delivery = client.post(f"{place}/test").json()
    again = f"{place}/deliveries/{delivery['_id']}/replay"

    assert client.post(again).status_code == 409
    since = {"since": "2020-01-01T00:00:00Z"}
    assert client.post(f"{place}/replay", json=since).json() == {"replayed": 0, "hasMore": False}
    client.patch(place, json={"isActive": False})
    assert client.post(f"{place}/replay", json=since).status_code == 409
    assert client.post(f"{place}/test").status_code == 409
