"""`NEWLEAF_SPINE=stock`: the same server over Connexion's own routing, security, parameters and validation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage import accounts, database
from tests.conftest import Party, migrated
from tests.support.contract_client import ContractClient
from tests.support.live_server import ServerProcess

PHONE = "+12025550101"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """An account on a server with the stock spine."""
    url = f"sqlite:///{tmp_path_factory.mktemp('stock')}/newleaf.db"
    migrated(url)
    environment = {"NEWLEAF_DATABASE_URL": url, "NEWLEAF_SPINE": "stock", "NEWLEAF_LOG_LEVEL": "error"}
    with ServerProcess(environment, cwd=tmp_path_factory.mktemp("cwd")) as server:
        opened = database.connect(url)
        with database.transaction():
            account = accounts.create("Example", default_region="US")
        yield Party(account.id, server.base_url)
        opened.close_all()


@pytest.fixture
def client(stock: Party) -> Iterator[ContractClient]:
    with stock.client() as opened:
        yield opened


def test_lead_is_created_read_listed_and_deleted(client: ContractClient) -> None:
    created = client.post("/api/leads", json={"phone": PHONE, "name": "Ada Example", "tags": ["a"]})
    lead = created.json()

    assert created.status_code == 201
    assert client.get(f"/api/leads/{lead['id']}").json() == lead
    assert client.get("/api/leads?tags=a,b&limit=1").json()["leads"] == [lead]
    assert client.get("/api/leads/search?q=Ada").json()["leads"][0]["id"] == lead["id"]
    assert client.delete(f"/api/leads/{lead['id']}").status_code == 200
    assert client.get(f"/api/leads/{lead['id']}").status_code == 404


def test_leads_are_synced_once(client: ContractClient) -> None:
    body = {"leads": [{"lead_id": "crm-1", "phone": "+12025550102"}, {"lead_id": "crm-2", "phone": "+12025550103"}]}

    first, again = (client.post("/api/leads/sync", json=body, headers={"Idempotency-Key": "a"}) for _ in range(2))

    assert (first.status_code, first.json()["created"]) == (200, 2)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")


def test_file_is_uploaded(client: ContractClient) -> None:
    answer = client.post(
        "/api/leads/upload/preview", files={"file": ("leads.csv", b"Phone\n+12025550104\n", "text/csv")}
    )

    assert (answer.status_code, answer.json()["totalRows"]) == (200, 1)


@pytest.mark.parametrize(
    ("query", "body", "path"),
    [
        ("", {"name": "Ada"}, "/phone"),
        ("", {"phone": PHONE, "surprise": 1}, "/surprise"),
        ("", {"phone": PHONE, "tags": ["a", 7]}, "/tags/1"),
        ("", {"phone": PHONE, "customFields": {"a/b": [1]}}, "/customFields/a~1b"),
        ("?surprise=1", {"phone": PHONE}, "surprise"),
    ],
)
def test_invalid_request_is_400_and_says_where(client: ContractClient, query: str, body: object, path: str) -> None:
    answer = client.post(f"/api/leads{query}", json=body)

    assert (answer.status_code, [each["path"] for each in answer.json()["errors"]]) == (400, [path])


def test_parameter_out_of_bounds_is_400(client: ContractClient) -> None:
    answer = client.get("/api/leads?limit=101")

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "limit")


def test_chunked_body_is_read(client: ContractClient) -> None:
    pieces = iter([b'{"phone": ', b'"+12025550105"}'])

    assert client.post("/api/leads", content=pieces, headers={"Content-Type": "application/json"}).status_code == 201


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}], ids=repr)
def test_request_without_a_good_key_is_401_with_a_challenge(stock: Party, headers: dict[str, str]) -> None:
    with ContractClient(stock.base_url) as anonymous:
        answer = anonymous.get("/api/leads", headers=headers)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="newleaf"')


def test_missing_scope_is_403(stock: Party) -> None:
    with stock.client(scopes=["leads:import"]) as narrow:
        assert narrow.get("/api/leads").status_code == 403


def test_unknown_route_is_404_and_other_method_405(client: ContractClient) -> None:
    assert client.get("/api/nowhere").json()["code"] == "route_not_found"
    assert client.put("/api/leads").status_code == 405


def test_limits_are_counted(client: ContractClient) -> None:
    assert "RateLimit-Remaining" in client.get("/api/leads").headers
