"""Privacy over HTTP: a person is erased, and stays so."""

from __future__ import annotations

import io
import json
import zipfile

import pytest


@pytest.fixture
def lead(client):
    return client.post("/api/leads", json={"phone": "+12025550142", "name": "Ada"}).json()


def test_erased_lead_is_found_no_more(client, lead):
    answer = client.post(f"/api/leads/{lead['id']}/erase")

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["optOutKept"]) == (lead["id"], False)
    assert client.get(f"/api/leads/{lead['id']}").status_code == 404
    assert client.post(f"/api/leads/{lead['id']}/restore").status_code == 404
    assert client.get("/api/leads").json() == []
    assert client.get("/api/leads", params={"q": "Ada"}).json() == {"leads": [], "total": 0}


def test_deleted_lead_can_be_erased(client, lead):
    client.delete(f"/api/leads/{lead['id']}")

    assert client.post(f"/api/leads/{lead['id']}/erase").status_code == 200
    assert client.post(f"/api/leads/{lead['id']}/restore").status_code == 404


def test_second_erasure_answers_zeros(client, lead):
    client.post(f"/api/leads/{lead['id']}/erase")
    again = client.post(f"/api/leads/{lead['id']}/erase")

    assert again.status_code == 200
    assert set(again.json()["erased"].values()) == {0}


def test_unknown_lead_is_not_found(client):
    assert client.post("/api/leads/99/erase").status_code == 404


def test_number_is_given_to_nobody_else(client, lead):
    client.post(f"/api/leads/{lead['id']}/erase")

    assert client.post("/api/leads", json={"phone": "+12025550142"}).json()["id"] == lead["id"] + 1


def test_export_is_an_archive_of_json(client, lead):
    answer = client.get(f"/api/leads/{lead['id']}/export")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="lead-{lead["id"]}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read("lead.json"))["name"] == "Ada"
        assert json.loads(archive.read("manifest.json"))["files"] == archive.namelist()[1:]


def test_deleted_lead_is_exported_and_an_erased_one_is_not(client, lead):
    client.delete(f"/api/leads/{lead['id']}")
    assert client.get(f"/api/leads/{lead['id']}/export").status_code == 200

    client.post(f"/api/leads/{lead['id']}/erase")
    assert client.get(f"/api/leads/{lead['id']}/export").status_code == 404
    assert client.get("/api/leads/99/export").status_code == 404
