"""Health, readiness, the contract in its forms and the docs page, over HTTP; none of them wants a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
import yaml

from server.contract import document
from server.openapi31 import to_31
from tests.conftest import Served
from tests.support.contract_client import ContractClient


@pytest.fixture
def anonymous(served: Served) -> Iterator[ContractClient]:
    with ContractClient(served.base_url) as opened:
        yield opened


def test_process_that_lives_is_healthy(anonymous: ContractClient) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}


def test_server_that_can_work_is_ready(anonymous: ContractClient) -> None:
    answer = anonymous.get("/readyz").json()

    assert answer["status"] == "ready"
    assert answer["checks"]["database"] == "ok"


def test_wrong_key_does_not_matter_where_none_is_wanted(anonymous: ContractClient) -> None:
    assert anonymous.get("/healthz", headers={"X-API-Key": "wrong"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "media_type", "read"),
    [
        ("/openapi.json", "application/json", httpx.Response.json),
        ("/openapi.yaml", "application/yaml", lambda answer: yaml.safe_load(answer.text)),
    ],
    ids=["JSON", "YAML"],
)
def test_contract_is_served_as_it_is(
    anonymous: ContractClient, path: str, media_type: str, read: Callable[[httpx.Response], object]
) -> None:
    answer = anonymous.get(path)

    assert answer.headers["Content-Type"] == media_type
    assert read(answer) == document()


def test_contract_is_served_as_openapi_31(anonymous: ContractClient) -> None:
    assert anonymous.get("/openapi-3.1.json").json() == to_31(document())


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs", "text/html"),
        ("/docs/newleaf.css", "text/css"),
        ("/docs/newleaf.js", "text/javascript"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/favicon-32x32.png", "image/png"),
    ],
)
def test_docs_page_comes_with_all_it_needs_and_a_policy(anonymous: ContractClient, path: str, media_type: str) -> None:
    answer = anonymous.get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")


def test_docs_page_names_nothing_from_elsewhere(anonymous: ContractClient) -> None:
    page = anonymous.get("/docs").text

    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("path", ["/docs/", "/docs/../server/app.py", "/docs/..%2fapp.py", "/docs/docs.html"])
def test_nothing_else_lies_below_the_docs(anonymous: ContractClient, path: str) -> None:
    assert anonymous.get(path).status_code == 404
