"""Files of multipart bodies do not outlive their request."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server import bodies
from server.settings import Settings
from storage import api_keys
from storage.tenancy import SYSTEM, Tenant
from tests.support.live_server import serve_in_thread


@pytest.mark.parametrize("name", ["file", "another"], ids=["wanted", "refused"])
def test_file_of_an_upload_is_closed_with_the_request(
    monkeypatch: pytest.MonkeyPatch, tenant: Tenant, database_url: str, name: str
) -> None:
    opened: list[Any] = []
    parse = bodies.parse_multipart

    async def spied(*args: Any) -> dict[str, Any]:
        fields = await parse(*args)
        opened.extend(fields.values())
        return fields

    monkeypatch.setattr(bodies, "parse_multipart", spied)
    key = api_keys.issue(tenant, SYSTEM, name="tests", scopes=["leads:import"]).full_key

    with serve_in_thread(Settings(database_url=database_url, rate_limits="off"), with_worker=False) as base_url:
        httpx.post(
            f"{base_url}/api/leads/upload/preview",
            files={name: ("leads.csv", "Name,Mobile\nAda Example,+12025550142\n")},
            headers={"X-API-Key": key},
            trust_env=False,
        )

    [file] = opened
    assert file.file.closed
