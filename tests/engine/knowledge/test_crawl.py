"""Crawls of a site on loopback: what becomes of its pages, whatever happens to the site, the worker or the order."""

from __future__ import annotations

import gzip
import itertools
import threading
from collections import Counter

import pytest

from engine.jobs import registry, worker
from engine.knowledge import crawl, crawl_pages, crawl_steps, documents, fetch
from storage import clock, knowledge_documents, outbox
from storage import knowledge_crawls as crawls
from storage.database import transaction
from storage.errors import Blocked, Conflict, NotFound
from storage.knowledge_documents import KnowledgeDocument
from storage.outbox import OutboxRow
from tests.support.web import Page, Site

SITEMAP = "/sitemap.xml"


class Killed(BaseException):
    """The process ends here: nobody catches it, nobody cleans up."""


def html(text):
    return Page(f"<html><head><title>{text}</title></head><body><main><p>{text} is told here.</p></main></body></html>")


def sitemap(*addresses):
    return Page("<urlset>" + "".join(f"<url><loc>{a}</loc></url>" for a in addresses) + "</urlset>", "application/xml")


def index(*addresses):
    listed = "".join(f"<sitemap><loc>{a}</loc></sitemap>" for a in addresses)
    return Page(f"<sitemapindex>{listed}</sitemapindex>", "application/xml")


@pytest.fixture
def site():
    """Three pages and a sitemap that lists them."""
    with Site() as running:
        running.pages.update({f"/{name}": html(name) for name in ("one", "two", "three")})
        running.pages[SITEMAP] = sitemap(*(f"{running.url}/{name}" for name in ("one", "two", "three")))
        yield running


@pytest.fixture(autouse=True)
def reach():
    """Loopback may be reached, and as often as one likes."""
    fetch.configure(allows_private=["127.0.0.1:*"], timeout_s=10, max_bytes=100_000)
    crawl_steps.configure(delay_s=0)
    yield
    fetch.configure()
    crawl_steps.configure()


@pytest.fixture
def base(tenant, actor):
    return documents.create_base(tenant, name="Docs", description="", type_="internal", actor=actor)


@pytest.fixture
def order(tenant, actor, base, site):
    """Orders a crawl of the site and gives its id."""

    def start(path=SITEMAP, addresses=(), max_pages=100, owner=tenant, **options):
        url = path and (path if "://" in path else site.url + path)
        made = crawl.start(
            owner, base.oid, sitemap_url=url, addresses=addresses, max_pages=max_pages, actor=actor, **options
        )
        return made.oid

    return start


@pytest.fixture
def found(tenant):
    return lambda oid: crawls.find(tenant, oid)


@pytest.fixture
def outcomes(tenant, site):
    """Outcome and code of each page of a crawl, by address without the site's own part."""

    def read(oid):
        pages, _, _ = crawls.pages(tenant, crawls.find(tenant, oid), limit=100)
        return {page.url.removeprefix(site.url): (page.outcome, page.reason_code) for page in pages}

    return read


@pytest.fixture
def sources(tenant, base):
    """The addresses of the base's documents."""

    def read():
        rows = KnowledgeDocument.of(tenant).where(KnowledgeDocument.knowledge_base_id == base.id)
        return sorted(row.source_url for row in rows)

    return read


def work(oid):
    return worker.work_lane(crawl.lane_of(oid))


def counts(row):
    return {outcome: number for outcome, number in row.counts.items() if number}


class TestRound:
    def test_pages_of_a_sitemap_become_documents(self, tenant, base, site, order, found, outcomes, sources):
        oid = order()
        work(oid)

        done = found(oid)
        assert (done.status, done.urls_found, done.pages, counts(done)) == ("completed", 3, 3, {"indexed": 3})
        assert set(outcomes(oid).values()) == {("indexed", None)}
        assert sources() == sorted(f"{site.url}/{name}" for name in ("one", "two", "three"))
        assert site.paths() == [SITEMAP, "/robots.txt", "/one", "/two", "/three"]
        document = knowledge_documents.by_source_url(tenant, base, f"{site.url}/one")
        assert (document.source_type, document.media_type) == ("sitemap", "text/html")

    def test_ordered_addresses_need_no_sitemap(self, site, order, found, sources):
        oid = order(None, [f"{site.url}/one", f"{site.url}/two#part", f"{site.url}/two"])

        assert (found(oid).urls_found, found(oid).phase) == (2, "pages")
        work(oid)
        assert sources() == [f"{site.url}/one", f"{site.url}/two"]
        assert SITEMAP not in site.paths()

    def test_ordered_addresses_come_before_those_of_the_sitemap(self, site, order, found):
        site.pages["/four"] = html("four")
        oid = order(addresses=[f"{site.url}/four", f"{site.url}/two"])
        work(oid)

        assert [path for path in site.paths() if path in ("/one", "/two", "/three", "/four")] == [
            "/four",
            "/two",
            "/one",
            "/three",
        ]
        assert found(oid).urls_found == 4

    def test_no_more_pages_are_read_than_ordered(self, site, order, found):
        oid = order(max_pages=2)
        work(oid)

        assert (found(oid).urls_found, found(oid).pages, found(oid).counts["indexed"]) == (3, 2, 2)
        assert "/three" not in site.paths()

    def test_sitemaps_of_sitemaps_are_read_once_each(self, site, order, found):
        site.pages["/index.xml"] = index(f"{site.url}/index.xml", f"{site.url}{SITEMAP}", f"{site.url}/more.xml.gz")
        more = sitemap(f"{site.url}/three", f"{site.url}/four").content
        site.pages["/more.xml.gz"] = Page(gzip.compress(more), "application/gzip")
        site.pages["/four"] = html("four")

        oid = order("/index.xml")
        work(oid)

        assert (found(oid).urls_found, counts(found(oid))) == (4, {"indexed": 4})
        assert Counter(site.paths())["/index.xml"] == 1

    def test_sitemaps_that_lead_ever_deeper_are_left(self, site, order, found):
        for depth in range(9):
            site.pages[f"/{depth}.xml"] = index(f"{site.url}/{depth + 1}.xml")
        oid = order("/0.xml")
        work(oid)

        assert (found(oid).status, site.paths()) == ("completed", ["/0.xml", "/1.xml", "/2.xml", "/3.xml"])

    def test_addresses_that_do_not_belong_are_noted_and_not_asked(self, site, order, found, outcomes):
        hostile = [
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:22/",
            "file:///etc/hostname",
            "https://other.example.org/page.html",
            f"http://2130706433:{site.port}/",
        ]
        site.pages[SITEMAP] = sitemap(f" {site.url}/one#x\n", f"{site.url}/one", *hostile)
        oid = order()
        work(oid)

        assert outcomes(oid) == {
            "/one": ("indexed", None),
            "http://169.254.169.254/latest/meta-data/": ("skipped", "other_host"),
            "http://localhost:22/": ("skipped", "other_host"),
            "file:///etc/hostname": ("skipped", "invalid_url"),
            "https://other.example.org/page.html": ("skipped", "other_host"),
            f"http://2130706433:{site.port}/": ("skipped", "invalid_url"),
        }
        assert (found(oid).urls_found, counts(found(oid))) == (1, {"indexed": 1, "skipped": 5})

    def test_of_very_many_refused_addresses_some_are_noted_and_all_are_counted(self, site, order, found, outcomes):
        site.pages[SITEMAP] = sitemap(*(f"https://other.example.org/{n}" for n in range(300)))
        oid = order()
        work(oid)

        assert (len(outcomes(oid)), counts(found(oid))) == (100, {"skipped": 300})

    def test_what_robots_may_not_read_is_skipped(self, site, order, outcomes):
        site.pages["/robots.txt"] = Page("User-agent: *\nDisallow: /two\n", "text/plain")
        oid = order()
        work(oid)

        assert outcomes(oid)["/two"] == ("skipped", "robots")
        assert "/two" not in site.paths()

    @pytest.mark.parametrize(
        ("page", "outcome"),
        [
            (Page("", status=404), ("gone", "http_404")),
            (Page("", status=410), ("gone", "http_410")),
            (Page("", status=403), ("failed", "http_403")),
            (Page("GIF89a", "image/gif"), ("skipped", "wrong_type")),
            (Page("  "), ("failed", "empty_file")),
            (Page(b"\0\1\2" * 500, "text/plain"), ("failed", "unsupported_file")),
            (Page("x" * 100_001), ("failed", "too_large")),
            (Page("x", headers={"content-encoding": "br"}), ("failed", "unknown_encoding")),
            (Page("", status=302, headers={"location": "http://169.254.169.254/"}), ("skipped", "other_host")),
            (Page("", status=302, headers={"location": "/one"}), ("skipped", "listed_twice")),
            (Page("", status=302, headers={"location": "/secret"}), ("skipped", "robots")),
            (Page("", status=302, headers={"location": "/two"}), ("skipped", "too_many_redirects")),
            (Page("", status=302, headers={"location": "/elsewhere"}), ("indexed", None)),
            (Page("Plain words", "text/plain; charset=utf-8"), ("indexed", None)),
        ],
        ids=str,
    )
    def test_page_that_is_something_else_holds_up_no_other(self, advance, site, order, outcomes, page, outcome):
        site.pages |= {"/two": page, "/elsewhere": html("elsewhere"), "/secret": html("secret")}
        site.pages["/robots.txt"] = Page("User-agent: *\nDisallow: /secret\n", "text/plain")
        oid = order()
        for _ in range(3):
            work(oid)
            advance(60)

        assert outcomes(oid) == {"/one": ("indexed", None), "/two": outcome, "/three": ("indexed", None)}


class TestFailingSite:
    @pytest.mark.parametrize(
        ("page", "code"),
        [
            (Page("", status=404), "http_404"),
            (html("A page"), "no_sitemap"),
            (Page('<!DOCTYPE x [<!ENTITY a "b">]><urlset/>', "application/xml"), "no_sitemap"),
            (Page("", status=302, headers={"location": "http://10.0.0.1/"}), "test_environment"),
        ],
        ids=["missing", "page", "document type", "led inside"],
    )
    def test_sitemap_that_is_none_fails_the_crawl(self, site, order, found, page, code):
        site.pages[SITEMAP] = page
        oid = order()
        work(oid)

        failed = found(oid)
        assert (failed.status, failed.failure_code) == ("failed", code)
        assert failed.failure_message.startswith("The sitemap could not be read. ")

    def test_sitemap_is_tried_again_while_that_may_help(self, advance, site, order, found):
        site.pages[SITEMAP].status = 503
        oid = order()
        for _ in range(2):
            work(oid)
            advance(60)
        site.pages[SITEMAP].status = 200
        work(oid)

        assert found(oid).status == "completed"

    def test_sitemap_that_stays_away_fails_the_crawl(self, advance, site, order, found):
        site.pages[SITEMAP].status = 503
        oid = order()
        for _ in range(5):
            work(oid)
            advance(60)

        assert (found(oid).status, found(oid).failure_code) == ("failed", "http_503")
        assert site.paths() == [SITEMAP] * 3

    def test_sitemap_that_stays_away_leaves_what_was_ordered_besides(self, site, order, found):
        del site.pages[SITEMAP]
        oid = order(addresses=[f"{site.url}/one"])
        work(oid)

        assert (found(oid).status, counts(found(oid))) == ("completed", {"indexed": 1})

    def test_page_that_fails_is_tried_again_after_the_others(self, advance, site, order, outcomes):
        site.pages["/one"].status = 500
        oid = order()
        work(oid)
        assert site.paths()[2:] == ["/one", "/two", "/three"]
        assert outcomes(oid)["/one"] == ("pending", "http_500")

        site.pages["/one"].status = 200
        advance(crawl_steps.RETRY_S + 1)
        work(oid)

        assert outcomes(oid)["/one"] == ("indexed", None)

    def test_page_that_keeps_failing_has_failed(self, advance, site, order, found, outcomes):
        site.pages["/one"].status = 500
        oid = order()
        for _ in range(4):
            work(oid)
            advance(3600)

        assert (outcomes(oid)["/one"], found(oid).status) == (("failed", "http_500"), "completed")
        assert site.paths().count("/one") == crawl_steps.MAX_TRIES

    def test_server_that_wants_to_be_left_alone_is(self, advance, site, order):
        site.pages["/one"] = Page("", status=429, headers={"retry-after": "120"})
        oid = order()
        work(oid)
        advance(60)
        work(oid)
        before = len(site.paths())
        advance(61)
        work(oid)

        assert before == 3
        assert len(site.paths()) > before

    def test_robots_txt_that_cannot_be_had_closes_the_site(self, advance, site, order, outcomes):
        site.pages["/robots.txt"] = Page("", status=503)
        oid = order()
        for _ in range(3):
            work(oid)
            advance(3600)

        assert set(outcomes(oid).values()) == {("skipped", "robots")}
        assert site.paths() == [SITEMAP, *["/robots.txt"] * 3]

    def test_test_environment_reads_only_what_is_listed(self, order, found):
        fetch.configure()
        oid = order("https://www.example.com/sitemap.xml")
        work(oid)

        assert (found(oid).status, found(oid).failure_code) == ("failed", "test_environment")
        assert "Nothing of the test environment leaves the machine" in found(oid).failure_message


class TestPace:
    def test_host_is_asked_only_so_often(self, advance, site, order):
        crawl_steps.configure(delay_s=1000)
        oid = order()
        for number in (1, 2, 3):
            work(oid)
            assert len(site.paths()) == number
            advance(1001)

    def test_robots_txt_can_ask_for_more(self, advance, site, order):
        site.pages["/robots.txt"] = Page("User-agent: *\nCrawl-delay: 50\n", "text/plain")
        oid = order()
        work(oid)
        assert site.paths() == [SITEMAP, "/robots.txt", "/one"]

        advance(51)
        work(oid)

        assert site.paths()[3:] == ["/two"]

    def test_two_crawls_share_the_pause(self, site, order):
        crawl_steps.configure(delay_s=1000)
        for oid in (order(), order()):
            work(oid)

        assert len(site.paths()) == 1


class TestStop:
    def test_cancelled_crawl_reads_no_further_page(self, tenant, actor, base, site, order, found, outcomes, sources):
        oid = order()
        site.pages["/two"].before = lambda: crawl.cancel(tenant, base.oid, oid, actor=actor)
        work(oid)

        assert (found(oid).status, "/three" in site.paths()) == ("cancelled", False)
        assert outcomes(oid)["/two"] == ("pending", None)
        assert sources() == [f"{site.url}/one"]

    def test_crawl_that_is_over_cannot_be_cancelled(self, tenant, actor, base, order):
        oid = order()
        work(oid)

        with pytest.raises(Conflict):
            crawl.cancel(tenant, base.oid, oid, actor=actor)

    def test_further_rounds_can_be_cancelled(self, tenant, actor, base, site, order, found, advance):
        oid = order(recrawl_hours=1)
        work(oid)
        crawl.cancel(tenant, base.oid, oid, actor=actor)
        asked = len(site.visits)
        advance(3601)
        work(oid)

        assert (found(oid).status, len(site.visits)) == ("cancelled", asked)

    def test_crawl_ends_with_its_base(self, tenant, actor, base, site, order, found):
        oid = order()
        site.pages["/two"].before = lambda: documents.delete_base(tenant, base.oid, actor=actor)
        work(oid)

        assert found(oid) is None
        assert "/three" not in site.paths()
        assert outbox.parked(tenant) == []

    def test_crawl_is_of_one_base_and_one_tenant(self, tenant, other_tenant, actor, base, order):
        oid = order()
        foreign = documents.create_base(other_tenant, name="Other", description="", type_="internal", actor=actor)
        second = documents.create_base(tenant, name="Second", description="", type_="internal", actor=actor)

        for owner, where in ((other_tenant, foreign), (tenant, second)):
            with pytest.raises(NotFound):
                crawl.cancel(owner, where.oid, oid, actor=actor)
        assert crawls.find(other_tenant, oid) is None

    @pytest.mark.parametrize(
        ("address", "path"), [("ftp://example.com/", "/sitemapUrl"), ("http://127.1/", "/sitemapUrl")]
    )
    def test_address_that_means_nothing_is_refused_with_its_place(self, order, address, path):
        with pytest.raises(Blocked) as refusal:
            order(address, ["http://a b/"])

        assert [problem.path for problem in refusal.value.problems] == [path, "/urls/0"]


class TestWorker:
    def run(self, oid, advance):
        """Work until nothing is due, whoever dies meanwhile; how many died."""
        deaths = 0
        for _ in range(40):
            try:
                if not work(oid):
                    break
            except Killed:
                deaths += 1
                advance(crawl_steps.LEASE_S + 1)
        return deaths

    @pytest.mark.parametrize("step", range(0, 14, 2))
    @pytest.mark.parametrize("place", ["fetch", "complete", "put"])
    def test_that_dies_at_any_step_is_replaced(
        self, monkeypatch, advance, site, order, found, outcomes, sources, place, step
    ):
        calls = itertools.count()
        owner, name = {
            "fetch": (fetch.Fetcher, "fetch"),
            "complete": (outbox, "complete"),
            "put": (outbox, "put"),
        }[place]
        oid = order()
        real = getattr(owner, name)

        def dying(*arguments, **named):
            result = real(*arguments, **named)
            if next(calls) == step:
                raise Killed
            return result

        monkeypatch.setattr(owner, name, dying)
        deaths = self.run(oid, advance)

        assert deaths <= 1
        assert (found(oid).status, counts(found(oid))) == ("completed", {"indexed": 3})
        assert sources() == sorted(f"{site.url}/{name}" for name in ("one", "two", "three"))
        assert set(outcomes(oid).values()) == {("indexed", None)}

    def test_that_is_slower_than_its_lease_changes_nothing(self, advance, site, order, found):
        oid = order()

        def overtake():
            site.pages["/one"].before = None
            advance(crawl_steps.LEASE_S + 1)
            work(oid)

        site.pages["/one"].before = overtake
        work(oid)

        assert counts(found(oid)) == {"indexed": 3}

    def test_error_of_our_own_costs_one_page(self, monkeypatch, advance, tenant, order, found, outcomes):
        put = crawl_pages.put_document

        def fail_at_two(*arguments, source_url, **named):
            if source_url.endswith("/two"):
                raise RuntimeError("a bug")
            return put(*arguments, source_url=source_url, **named)

        monkeypatch.setattr(crawl_pages, "put_document", fail_at_two)
        oid = order()
        for _ in range(6):
            work(oid)
            advance(3600)

        assert (found(oid).status, outcomes(oid)["/two"]) == ("completed", ("failed", "internal"))
        assert counts(found(oid)) == {"indexed": 2, "failed": 1}

    def test_error_of_our_own_before_any_page_fails_the_crawl(self, monkeypatch, advance, order, found):
        monkeypatch.setattr(crawl_steps.crawl_list, "add_sitemap", lambda *_: 1 / 0)
        oid = order()
        for _ in range(6):
            work(oid)
            advance(3600)

        assert (found(oid).status, found(oid).failure_code) == ("failed", "internal")

    def test_kind_is_known_to_every_worker(self):
        assert "engine.knowledge.crawl_steps" in registry.MODULES
        assert registry.of_kind("crawl") is not None


class TestNextRound:
    @pytest.fixture
    def again(self, advance):
        """Has the next round of a crawl happen."""

        def run(oid):
            advance(3601)
            work(oid)

        return run

    def test_unchanged_pages_are_not_sent_again(self, site, order, found, outcomes, again):
        site.pages["/three"].etag = False
        oid = order(recrawl_hours=1)
        work(oid)
        again(oid)

        assert (found(oid).round, counts(found(oid))) == (2, {"unchanged": 3})
        told = {visit.path: visit.headers.get("if-none-match") for visit in site.visits[5:]}
        assert (told["/one"], told["/three"]) == (site.pages["/one"].tag, None)
        assert found(oid).next_crawl_at is not None

    def test_changed_page_changes_its_document(self, tenant, base, site, order, outcomes, again):
        oid = order(recrawl_hours=1)
        work(oid)
        before = knowledge_documents.by_source_url(tenant, base, f"{site.url}/two")
        site.pages["/two"] = html("two anew")
        again(oid)

        after = knowledge_documents.by_source_url(tenant, base, f"{site.url}/two")
        assert outcomes(oid)["/two"] == ("updated", None)
        assert (after.oid, after.revision) == (before.oid, before.revision + 1)

    @pytest.mark.parametrize("status", [404, 410])
    def test_page_that_is_gone_takes_its_document_along(self, site, order, outcomes, sources, again, status):
        oid = order(recrawl_hours=1)
        work(oid)
        site.pages["/two"].status = status
        again(oid)

        assert outcomes(oid)["/two"] == ("gone", f"http_{status}")
        assert f"{site.url}/two" not in sources()

    def test_page_that_is_not_listed_any_more_is_gone(self, site, order, found, outcomes, sources, again):
        oid = order(recrawl_hours=1)
        work(oid)
        site.pages[SITEMAP] = sitemap(f"{site.url}/one")
        again(oid)

        assert outcomes(oid) == {
            "/one": ("unchanged", None),
            "/two": ("gone", "not_listed"),
            "/three": ("gone", "not_listed"),
        }
        assert sources() == [f"{site.url}/one"]
        again(oid)
        assert outcomes(oid) == {"/one": ("unchanged", None)}

    def test_list_that_is_not_whole_takes_nothing_away(self, site, order, sources, again):
        site.pages["/index.xml"] = index(f"{site.url}{SITEMAP}", f"{site.url}/more.xml")
        oid = order("/index.xml", recrawl_hours=1)
        work(oid)
        site.pages[SITEMAP] = sitemap(f"{site.url}/one")
        again(oid)

        assert len(sources()) == 3

    def test_page_that_fails_keeps_its_document(self, advance, site, order, outcomes, sources, again):
        oid = order(recrawl_hours=1)
        work(oid)
        site.pages["/two"].status = 500
        again(oid)
        for _ in range(3):
            advance(100)
            work(oid)

        assert outcomes(oid)["/two"] == ("failed", "http_500")
        assert f"{site.url}/two" in sources()

    def test_document_that_somebody_deleted_comes_back(self, tenant, actor, base, site, order, outcomes, again):
        oid = order(recrawl_hours=1)
        work(oid)
        document = knowledge_documents.by_source_url(tenant, base, f"{site.url}/two")
        documents.delete_document(tenant, base.oid, document.oid, actor=actor)
        again(oid)

        assert outcomes(oid)["/two"] == ("indexed", None)

    def test_page_that_comes_to_the_list_is_read(self, site, order, outcomes, again):
        oid = order(recrawl_hours=1)
        work(oid)
        site.pages["/four"] = html("four")
        site.pages[SITEMAP] = sitemap(f"{site.url}/four", f"{site.url}/one")
        again(oid)

        assert (outcomes(oid)["/four"], outcomes(oid)["/one"]) == (("indexed", None), ("unchanged", None))

    def test_site_that_was_away_is_tried_again_in_its_time(self, site, order, found, again):
        page = site.pages.pop(SITEMAP)
        oid = order(recrawl_hours=1)
        work(oid)
        assert found(oid).status == "failed"
        site.pages[SITEMAP] = page
        again(oid)

        assert (found(oid).status, found(oid).failure_code) == ("completed", None)

    def test_single_crawl_has_none(self, order, found, again):
        oid = order()
        work(oid)
        again(oid)

        assert (found(oid).round, found(oid).next_crawl_at) == (1, None)


class TestWaiting:
    def test_ends_when_the_sitemaps_are_read(self, tenant, site, order):
        seen = crawl.once_listed(tenant, order())

        assert (seen.urls_found, seen.phase, site.paths()) == (3, "pages", [SITEMAP])

    def test_ends_when_the_time_is_over_and_leaves_the_rest_to_workers(self, tenant, site, order, found):
        release = threading.Event()
        site.pages[SITEMAP].before = lambda: release.wait(30)
        oid = order()

        assert crawl.once_listed(tenant, oid, within_s=0.3).status == "queued"
        site.pages[SITEMAP].before = None
        release.set()
        work(oid)
        assert (found(oid).status, OutboxRow.select().where(OutboxRow.failures > 0).count()) == ("completed", 0)

    def test_sees_what_a_worker_does_meanwhile(self, tenant, order, monkeypatch):
        oid = order()
        monkeypatch.setattr(crawl.worker, "work_next", lambda _: False)
        monkeypatch.setattr(crawl.time, "sleep", lambda _: (monkeypatch.undo(), work(oid)))

        assert crawl.once_listed(tenant, oid, within_s=30).urls_found == 3

    def test_knows_a_crawl_that_is_gone(self, tenant):
        assert crawl.once_listed(tenant, "f" * 24, within_s=0) is None


def test_turns_of_a_host_are_given_one_at_a_time(tenant):
    now = clock.now()

    with transaction():
        first = crawls.take_turn(tenant, "site.example.com", now, 10)
        second = crawls.take_turn(tenant, "site.example.com", now, 10)
        crawls.leave_alone(tenant, "site.example.com", clock.parse("2999-01-01"))
        third = crawls.take_turn(tenant, "site.example.com", now, 10)

    assert first is None
    assert (second - now).total_seconds() == pytest.approx(10, abs=0.01)
    assert third.year == 2999
