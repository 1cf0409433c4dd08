"""The sample site, crawled: every address of its sitemaps has the outcome that its README promises.

The sitemaps name http://127.0.0.1:8931, so that is where the files are served.
"""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.jobs import worker
from engine.knowledge import crawl, crawl_steps, documents, fetch
from storage import accounts, clock, knowledge_documents
from storage import knowledge_crawls as crawls
from storage.knowledge_documents import KnowledgeDocument
from storage.tenancy import Tenant

SAMPLES = Path(os.environ.get("NEWLEAF_SAMPLES", Path(__file__).parents[2] / ".." / "shared" / "samples"))
FOLDER = SAMPLES / "knowledge" / "site"
HOST, PORT = "127.0.0.1", 8931
HOME = f"http://{HOST}:{PORT}"

if not FOLDER.is_dir():
    raise FileNotFoundError(f"The samples are not part of the repository: NEWLEAF_SAMPLES must name them, not {FOLDER}")

PAGES = {path.name for path in FOLDER.glob("*.html")}
CLOSED = "howtocorrupt.html"  # by robots.txt


class Server:
    """The folder as any static server serves it: Last-Modified, no ETag; what was asked for is kept."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.changed: dict[str, bytes] = {}
        asked = self.paths
        changed = self.changed

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = changed.get(self.path)
                if body is None:
                    super().do_GET()
                    return
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        serve = functools.partial(Handler, directory=str(FOLDER))
        self.server = http.server.ThreadingHTTPServer((HOST, PORT), serve)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)


@pytest.fixture
def site() -> Iterator[Server]:
    running = Server()
    running.thread.start()
    fetch.configure(allows_private=[f"{HOST}:{PORT}"])
    crawl_steps.configure(delay_s=0)
    yield running
    fetch.configure()
    crawl_steps.configure()
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def tenant(database: Any) -> Tenant:
    return accounts.tenant_row(accounts.create("Example").id, "test").tenant


@pytest.fixture
def base(tenant: Tenant, actor: Any) -> Any:
    return documents.create_base(tenant, name="SQLite", description="", type_="external", actor=actor)


@pytest.fixture
def crawled(tenant: Tenant, actor: Any, base: Any, site: Server) -> Any:
    """Crawls a sitemap of the sample to its end; the crawl."""

    def run(name: str, **options: Any) -> Any:
        order = {"max_pages": 100, "actor": actor, **options}
        oid = crawl.start(tenant, base.oid, sitemap_url=f"{HOME}/{name}", **order).oid
        worker.work_lane(crawl.lane_of(oid))
        return crawls.find(tenant, oid)

    return run


@pytest.fixture
def outcomes(tenant: Tenant) -> Any:
    """Outcome and reason of each address."""

    def read(done: Any) -> dict[str, tuple[str, str | None]]:
        pages, _, _ = crawls.pages(tenant, done, limit=100)
        return {page.url.removeprefix(f"{HOME}/"): (page.outcome, page.reason_code) for page in pages}

    return read


def counts(done: Any) -> dict[str, int]:
    return {outcome: number for outcome, number in done.counts.items() if number}


@pytest.mark.parametrize("name", ["sitemap.xml", "sitemap-index.xml"])
def test_all_pages_but_the_closed_one_are_indexed(tenant, site, crawled, outcomes, name):
    done = crawled(name)

    assert (done.status, done.urls_found) == ("completed", len(PAGES))
    assert outcomes(done) == {
        page: ("skipped", "robots") if page == CLOSED else ("indexed", None) for page in sorted(PAGES)
    }
    assert f"/{CLOSED}" not in site.paths
    assert max(Counter(site.paths).values()) == 1


def test_hostile_sitemap_does_no_harm(site, crawled, outcomes):
    done = crawled("sitemap-hostile.xml")

    assert outcomes(done) == {
        "about.html": ("indexed", None),
        "backup.html": ("indexed", None),
        "copyright.html": ("indexed", None),
        "faq.html": ("indexed", None),
        "no-such-page.html": ("gone", "http_404"),
        "limits.html?a=1&b=2": ("indexed", None),
        "http://169.254.169.254/latest/meta-data/": ("skipped", "other_host"),
        "http://localhost:22/": ("skipped", "other_host"),
        "file:///etc/hostname": ("skipped", "invalid_url"),
        "https://other.example.org/page.html": ("skipped", "other_host"),
        "private/secret.html": ("skipped", "robots"),
    }
    assert (done.status, done.urls_found) == ("completed", 7)
    assert "/private/secret.html" not in site.paths


def test_pages_become_documents_with_their_words(tenant, base, crawled):
    crawled("sitemap.xml")
    rows = list(KnowledgeDocument.of(tenant))
    for row in rows:
        worker.work_lane(documents.lane_of(row.oid))

    rows = list(KnowledgeDocument.of(tenant))
    assert len(rows) == len(PAGES) - 1
    assert {row.status for row in rows} == {"ready"}
    limits = knowledge_documents.by_source_url(tenant, base, f"{HOME}/limits.html")
    assert "Maximum Database Size" in limits.content
    assert "SQLite" in limits.title


def test_second_round_reads_only_what_has_changed(monkeypatch, tenant, site, crawled, outcomes):
    done = crawled("sitemap.xml", recrawl_hours=1)
    site.changed["/faq.html"] = b"<html><body><h1>Questions</h1><p>There are none any more.</p></body></html>"
    present = clock.now
    monkeypatch.setattr(clock, "now", lambda: present() + timedelta(hours=1, seconds=1))
    worker.work_lane(crawl.lane_of(done.oid))
    second = crawls.find(tenant, done.oid)

    assert (second.round, counts(second)) == (2, {"updated": 1, "unchanged": len(PAGES) - 2, "skipped": 1})
    assert outcomes(second)["faq.html"] == ("updated", None)
