"""Crawls and webhook sources over HTTP, of a site on loopback; the client holds every answer against the contract."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine import vault
from engine.jobs import doorbell
from engine.knowledge import crawl_steps, fetch
from server.settings import Settings
from storage import accounts, database
from tests.conftest import ENGINE, Party, migrated, own_database
from tests.support.contract_client import ContractClient
from tests.support.live_server import serve_in_thread
from tests.support.web import Page, Site

BASES = "/api/knowledge-bases"
UNKNOWN = "665f1c2e9b1d4a0012ab34ff"
TOKEN = "sk_live_0123456789"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def base_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a worker in this process, which may reach loopback and asks a host as often as it likes."""
    if ENGINE == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sources')}/newleaf.db"
    else:
        url = own_database(request.getfixturevalue("postgres_url"), "newleaf_sources")
    migrated(url)
    opened = database.connect(url)
    doorbell.configure(url)
    fetch.configure(allows_private=["127.0.0.1:*"], timeout_s=10)
    crawl_steps.configure(delay_s=0)
    vault.configure("0123456789abcdef" * 2)
    with serve_in_thread(Settings(database_url=url, rate_limits="off", log_level="error")) as served:
        yield served
    fetch.configure()
    crawl_steps.configure()
    vault.configure(None)
    doorbell.close()
    opened.close_all()


@pytest.fixture
def make_party(base_url: str) -> Callable[..., Party]:
    def make(name: str = "Example") -> Party:
        with database.transaction():
            return Party(accounts.create(name, default_region="US").id, base_url)

    return make


@pytest.fixture
def client(make_party: Callable[..., Party]) -> Iterator[ContractClient]:
    with make_party().client() as opened:
        yield opened


@pytest.fixture
def base(client: ContractClient) -> str:
    """The path of a knowledge base."""
    return f"{BASES}/{client.post(BASES, json={'name': 'Docs'}).json()['_id']}"


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        pages = {name: f"<h1>{name}</h1><p>All that is to be said of {name}.</p>" for name in ("one", "two")}
        running.pages.update({f"/{name}": Page(f"<html><body>{text}</body></html>") for name, text in pages.items()})
        listed = "".join(f"<url><loc>{running.url}/{name}</loc></url>" for name in [*pages, "missing"])
        running.pages["/sitemap.xml"] = Page(f"<urlset>{listed}</urlset>", "application/xml")
        running.pages["/products"] = Page(json.dumps([{"id": 1, "text": "Bread costs 3.20."}]), "application/json")
        yield running


def until(look: Callable[[], dict[str, Any]], is_done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What `look` answers as soon as it is done."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_done(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def finished(client: ContractClient, place: str) -> dict[str, Any]:
    """The crawl when it is over."""
    return until(lambda: client.get(place).json(), lambda job: job["status"] not in ("queued", "running"))


class TestCrawl:
    def test_site_is_read_in_the_background(self, client, base, site):
        answer = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": f"{site.url}/sitemap.xml"})

        started = answer.json()
        assert (answer.status_code, started["urlListLength"]) == (202, 0)
        assert answer.headers["Location"] == f"{base}/crawl-jobs/{started['jobId']}"
        job = finished(client, answer.headers["Location"])
        assert (job["status"], job["urlsFound"], job["round"]) == ("completed", 3, 1)
        pages = {"total": 3, "pending": 0, "indexed": 2, "updated": 0, "unchanged": 0, "gone": 1, "skipped": 0}
        assert job["pages"] == {**pages, "failed": 0}
        assert client.get(f"{base}/crawl-jobs").json() == [job]

    def test_answer_tells_what_a_quick_site_lists(self, client, base, site):
        started = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": f"{site.url}/sitemap.xml"}).json()

        assert started["urlsFound"] == 3

    def test_slow_site_does_not_hold_the_answer(self, client, base, site):
        release = threading.Event()
        site.pages["/sitemap.xml"].before = lambda: release.wait(30)
        answer = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": f"{site.url}/sitemap.xml"})
        release.set()

        assert (answer.status_code, answer.json()["urlsFound"]) == (202, 0)
        assert finished(client, answer.headers["Location"])["urlsFound"] == 3

    def test_pages_are_listed_with_what_became_of_them(self, client, base, site):
        place = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": f"{site.url}/sitemap.xml"}).headers["Location"]
        finished(client, place)

        first = client.get(f"{place}/pages", params={"limit": 2})
        second = client.get(first.links["next"]["url"])
        one, two, missing = first.json() + second.json()

        assert (one["url"], one["outcome"], one["httpStatus"]) == (f"{site.url}/one", "indexed", 200)
        document = client.get(f"{base}/documents/{one['documentId']}").json()
        assert (document["sourceType"], document["sourceUrl"]) == ("sitemap", one["url"])
        assert (missing["outcome"], missing["reason"]["code"]) == ("gone", "http_404")
        assert client.get(f"{place}/pages", params={"outcome": "gone"}).json() == [missing]
        assert two["outcome"] == "indexed"

    def test_list_of_addresses_needs_no_sitemap(self, client, base, site):
        order = {"urls": [f"{site.url}/one", f"{site.url}/one#top"], "recrawlIntervalHours": 24, "useLlmDistill": False}
        answer = client.post(f"{base}/crawl-sitemap", json=order)

        assert (answer.json()["urlsFound"], answer.json()["urlListLength"]) == (1, 1)
        job = finished(client, answer.headers["Location"])
        assert (job["useLlmDistill"], job["recrawlIntervalHours"], "nextCrawlAt" in job) == (False, 24, True)

    def test_crawl_that_will_begin_again_can_be_cancelled_once(self, client, base, site):
        order = {"urls": [f"{site.url}/one"], "recrawlIntervalHours": 24}
        place = client.post(f"{base}/crawl-sitemap", json=order).headers["Location"]
        finished(client, place)

        cancelled = client.post(f"{place}/cancel").json()
        again = client.post(f"{place}/cancel")

        assert (cancelled["status"], "nextCrawlAt" in cancelled) == ("cancelled", False)
        assert (again.status_code, again.json()["code"]) == (409, "crawl_finished")

    def test_site_that_cannot_be_read_says_why(self, client, base, site):
        answer = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": f"{site.url}/nothing.xml"})

        assert (answer.json()["status"], answer.json()["failure"]["code"]) == ("failed", "http_404")

    def test_test_environment_does_not_leave_the_machine(self, client, base):
        answer = client.post(f"{base}/crawl-sitemap", json={"sitemapUrl": "https://www.example.com/sitemap.xml"})

        failed = finished(client, answer.headers["Location"])
        assert failed["failure"]["code"] == "test_environment"

    @pytest.mark.parametrize(
        ("body", "status", "path"),
        [
            ({}, 422, "/sitemapUrl"),
            ({"urls": []}, 422, "/sitemapUrl"),
            ({"sitemapUrl": "ftp://example.com/"}, 400, "/sitemapUrl"),
            ({"sitemapUrl": "https://user@example.com/"}, 400, "/sitemapUrl"),
            ({"sitemapUrl": "http://2130706433/"}, 422, "/sitemapUrl"),
            ({"urls": ["https://example.com/", "http://127.1/"]}, 422, "/urls/1"),
            ({"urls": ["https://example.com/"], "maxPages": 5001}, 400, "/maxPages"),
            ({"urls": ["https://example.com/"], "recrawlIntervalHours": 0}, 400, "/recrawlIntervalHours"),
        ],
    )
    def test_what_cannot_be_crawled_is_refused(self, client, base, body, status, path):
        answer = client.post(f"{base}/crawl-sitemap", json=body)

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (status, path)

    def test_unknown_base_and_job_are_not_found(self, client, base, site):
        body = {"urls": [f"{site.url}/one"]}

        assert client.post(f"{BASES}/{UNKNOWN}/crawl-sitemap", json=body).status_code == 404
        for path in ("", "/pages"):
            assert client.get(f"{base}/crawl-jobs/{UNKNOWN}{path}").status_code == 404
        assert client.get(f"{base}/crawl-jobs/nonsense").status_code == 400

    def test_repeated_order_is_one_crawl(self, client, base, site):
        sent = {"json": {"urls": [f"{site.url}/one"]}, "headers": {"Idempotency-Key": "crawl-1"}}

        first, second = (client.post(f"{base}/crawl-sitemap", **sent) for _ in range(2))

        assert first.json()["jobId"] == second.json()["jobId"]
        assert len(client.get(f"{base}/crawl-jobs").json()) == 1


@pytest.fixture
def source(client: ContractClient, base: str, site: Site) -> dict[str, Any]:
    """A source of the site's products that is asked on demand, with a secret."""
    body = {
        "name": "Products",
        "url": f"{site.url}/products",
        "auth": {"type": "bearer", "token": TOKEN},
        "documents": {"id": "/id", "content": "/text"},
    }
    return client.post(f"{base}/webhooks", json=body).json()


class TestWebhookSource:
    def test_created_source_has_a_place_and_hides_its_secret(self, client, base, site):
        body = {"name": "Products", "url": f"{site.url}/products", "auth": {"type": "bearer", "token": TOKEN}}
        answer = client.post(f"{base}/webhooks", json=body)

        made = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"{base}/webhooks/{made['_id']}"
        assert made["auth"] == {"type": "bearer", "token": "…6789"}
        assert (made["enabled"], made["intervalMinutes"], made["timeoutMs"], made["state"]) == (True, 0, 10_000, "new")
        assert client.get(answer.headers["Location"]).json() == made
        assert client.get(f"{base}/webhooks").json() == [made]

    def test_triggered_source_becomes_documents(self, client, base, site, source):
        place = f"{base}/webhooks/{source['_id']}"
        answer = client.post(f"{place}/trigger")

        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        done = until(lambda: client.get(place).json(), lambda seen: seen["state"] != "queued")
        assert (done["state"], done["documentCount"], "lastTriggeredAt" in done) == ("ok", 1, True)
        assert site.visits[0].headers["authorization"] == f"Bearer {TOKEN}"
        [document] = client.get(f"{base}/documents").json()
        assert (document["sourceType"], document["title"]) == ("webhook", "Products: 1")

    def test_source_with_an_interval_is_asked_by_itself(self, client, base, site):
        body = {"name": "Products", "url": f"{site.url}/products", "intervalMinutes": 60}
        place = client.post(f"{base}/webhooks", json=body).headers["Location"]

        done = until(lambda: client.get(place).json(), lambda seen: seen["state"] != "new")

        assert (done["state"], "nextRunAt" in done) == ("ok", True)

    def test_failure_is_told(self, client, base, site, source):
        site.pages["/products"] = Page("", status=500)
        client.post(f"{base}/webhooks/{source['_id']}/trigger")

        place = f"{base}/webhooks/{source['_id']}"
        failed = until(lambda: client.get(place).json(), lambda seen: seen["state"] == "failed")
        assert failed["failure"] == {"code": "http_500", "message": "Step 1: 127.0.0.1 answers status 500."}

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_both_methods_are_partial(self, client, base, source, method):
        changed = client.request(method, f"{base}/webhooks/{source['_id']}", json={"enabled": False}).json()

        assert (changed["enabled"], changed["name"], changed["auth"]) == (False, "Products", source["auth"])

    def test_source_can_be_sent_back_whole(self, client, base, source):
        answer = client.put(f"{base}/webhooks/{source['_id']}", json={**source, "name": "Goods"})

        changed = answer.json()
        assert answer.status_code == 200
        assert changed["name"] == "Goods"
        assert {name: changed[name] for name in source if name not in ("name", "updatedAt")} == {
            name: source[name] for name in source if name not in ("name", "updatedAt")
        }

    def test_write_meant_for_an_earlier_version_is_refused(self, client, base, source):
        place = f"{base}/webhooks/{source['_id']}"
        tag = client.get(place).headers["ETag"]
        client.patch(place, json={"name": "Goods"}, headers={"If-Match": tag})

        for answer in (
            client.patch(place, json={"name": "Wares"}, headers={"If-Match": tag}),
            client.delete(place, headers={"If-Match": tag}),
        ):
            assert answer.status_code == 412

    def test_deleted_source_is_gone(self, client, base, source):
        place = f"{base}/webhooks/{source['_id']}"

        assert client.delete(place).json() == {"success": True}
        assert [client.get(place).status_code, client.post(f"{place}/trigger").status_code] == [404, 404]

    def test_disabled_source_is_not_triggered(self, client, base, source):
        place = f"{base}/webhooks/{source['_id']}"
        client.patch(place, json={"enabled": False})

        answer = client.post(f"{place}/trigger")

        assert (answer.status_code, answer.json()["code"]) == (409, "webhook_source_disabled")

    @pytest.mark.parametrize(
        ("members", "status", "path"),
        [
            ({"name": " "}, 400, "/name"),
            ({"url": None}, 422, "/url"),
            ({"url": "file:///etc/passwd"}, 400, "/url"),
            ({"url": "https://{{host}}/"}, 400, "/url"),
            ({"url": "http://127.1/"}, 422, "/url"),
            ({"steps": [{"url": "https://example.com/"}]}, 422, "/url"),
            ({"method": "DELETE"}, 400, "/method"),
            ({"headers": {"Host": "example.com"}}, 422, "/headers/Host"),
            ({"headers": {"X-A": 1}}, 400, "/headers/X-A"),
            ({"auth": {"token": "x"}}, 400, "/auth/type"),
            ({"auth": {"type": "bearer"}}, 422, "/auth/token"),
            ({"auth": {"type": "bearer", "token": "…6789"}}, 422, "/auth/token"),
            ({"body": "{{nobody}}"}, 422, "/body"),
            ({"documents": {"items": "products"}}, 400, "/documents/items"),
            ({"intervalMinutes": -1}, 400, "/intervalMinutes"),
            ({"timeoutMs": 60_001}, 400, "/timeoutMs"),
            ({"surprise": 1}, 400, "/surprise"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, client, base, members, status, path):
        body = {"name": "Products", "url": "https://shop.example.com/", **members}
        answer = client.post(
            f"{base}/webhooks", json={name: value for name, value in body.items() if value is not None}
        )

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (status, path)

    def test_foreign_source_and_crawl_do_not_exist(self, make_party, client, base, site, source):
        job = client.post(f"{base}/crawl-sitemap", json={"urls": [f"{site.url}/one"]}).json()["jobId"]
        with make_party("Other").client() as stranger:
            own = f"{BASES}/{stranger.post(BASES, json={'name': 'Mine'}).json()['_id']}"
            answers = [
                stranger.request(method, f"{where}/{what}", **({"json": {"name": "x"}} if method == "PATCH" else {}))
                for where in (base, own)
                for method, what in (
                    ("GET", f"webhooks/{source['_id']}"),
                    ("PATCH", f"webhooks/{source['_id']}"),
                    ("DELETE", f"webhooks/{source['_id']}"),
                    ("POST", f"webhooks/{source['_id']}/trigger"),
                    ("GET", f"crawl-jobs/{job}"),
                    ("GET", f"crawl-jobs/{job}/pages"),
                    ("POST", f"crawl-jobs/{job}/cancel"),
                )
            ]

        assert {answer.status_code for answer in answers} == {404}
