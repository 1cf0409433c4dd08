"""Webhook sources: what they ask, what becomes of the answers, when they are asked."""

from __future__ import annotations

import itertools
import json

import pytest

from engine import vault
from engine.jobs import registry, worker
from engine.knowledge import documents, fetch, webhook_flow, webhook_results, webhook_runs, webhook_sources
from storage import knowledge_documents, knowledge_sources, outbox
from storage.audit import AuditEntry
from storage.errors import Blocked, Conflict, NotFound
from storage.knowledge_documents import KnowledgeDocument
from tests.support.web import Page, Site

TOKEN = "sk_live_0123456789"
PRODUCTS = [
    {"id": 1, "title": "Bread", "text": "Bread costs 3.20.", "link": "https://shop.example.com/bread"},
    {"id": 2, "title": "Milk", "text": "<p>Milk costs <b>1.10</b>.</p>"},
]
POINTERS = {"items": "/data/products", "id": "/id", "title": "/title", "content": "/text", "url": "/link"}


class Killed(BaseException):
    """The process ends here: nobody catches it, nobody cleans up."""


def answer(value, **options):
    return Page(json.dumps(value), "application/json", etag=False, **options)


@pytest.fixture
def site():
    with Site({"/products": answer({"data": {"products": PRODUCTS}})}) as running:
        yield running


@pytest.fixture(autouse=True)
def settings():
    """Loopback may be reached, and secrets can be kept."""
    fetch.configure(allows_private=["127.0.0.1:*"], timeout_s=10, max_bytes=100_000)
    vault.configure("0123456789abcdef" * 2)
    yield
    fetch.configure()
    vault.configure(None)


@pytest.fixture
def base(tenant, actor):
    return documents.create_base(tenant, name="Docs", description="", type_="internal", actor=actor)


@pytest.fixture
def make(tenant, actor, base, site):
    """Makes a source of the site's products, asked only on demand, and whatever else is given."""

    def create(**members):
        body = {"name": "Products", "url": f"{site.url}/products", "documents": POINTERS, **members}
        return webhook_sources.create(tenant, base.oid, {k: v for k, v in body.items() if v is not None}, actor=actor)

    return create


@pytest.fixture
def run(tenant, actor, base):
    """Has a source asked now; the source afterwards."""

    def ask(source):
        webhook_sources.trigger(tenant, base.oid, source.oid, actor=actor)
        worker.work_lane(webhook_sources.lane_of(source.oid))
        return knowledge_sources.find(tenant, source.oid)

    return ask


@pytest.fixture
def change(tenant, actor, base):
    return lambda source, **body: webhook_sources.update(tenant, base.oid, source.oid, body, actor=actor)


@pytest.fixture
def stored(tenant, base):
    """Title, content or file, and address of the base's documents."""

    def read():
        rows = KnowledgeDocument.of(tenant).where(KnowledgeDocument.knowledge_base_id == base.id)
        return sorted(
            (row.title, row.content or knowledge_documents.file_of(tenant, row).decode(), row.source_url)
            for row in rows
        )

    return read


def poll(source):
    """Do what the clock has planned for a source, if it is due."""
    return worker.work_lane(f"webhook-source:{source.oid}:{source.schedule}")


class TestDocuments:
    def test_items_of_a_list_become_documents(self, make, run, stored):
        source = run(make())

        assert (source.state, source.documents, source.failure_code) == ("ok", 2, None)
        assert stored() == [
            ("Bread", "Bread costs 3.20.", "https://shop.example.com/bread"),
            ("Milk", "<p>Milk costs <b>1.10</b>.</p>", None),
        ]

    def test_kinds_are_told_apart(self, tenant, make, run, base):
        run(make())

        rows = list(KnowledgeDocument.of(tenant).order_by(KnowledgeDocument.title))
        assert [(row.media_type, row.source_type) for row in rows] == [
            ("text/plain", "webhook"),
            ("text/html", "webhook"),
        ]

    def test_unchanged_items_are_left_alone_changed_ones_change_and_missing_ones_go(
        self, tenant, site, make, run, stored
    ):
        source = make()
        run(source)
        before = {row.title: (row.oid, row.revision) for row in KnowledgeDocument.of(tenant)}
        site.pages["/products"] = answer(
            {"data": {"products": [PRODUCTS[0], {"id": 3, "title": "Eggs", "text": "Eggs cost 4.00."}]}}
        )
        run(source)
        site.pages["/products"] = answer({"data": {"products": [{**PRODUCTS[0], "text": "Bread costs 3.50."}]}})
        after = run(source)

        [row] = KnowledgeDocument.of(tenant)
        assert (row.title, row.content, row.oid) == ("Bread", "Bread costs 3.50.", before["Bread"][0])
        assert (row.revision, after.documents) == (before["Bread"][1] + 1, 1)

    def test_document_that_somebody_deleted_comes_back(self, tenant, actor, base, make, run, stored):
        source = make()
        run(source)
        for row in KnowledgeDocument.of(tenant):
            documents.delete_document(tenant, base.oid, row.oid, actor=actor)
        run(source)

        assert len(stored()) == 2

    @pytest.mark.parametrize(
        ("page", "content"),
        [
            (answer({"open": "9 to 5"}), '{\n  "open": "9 to 5"\n}'),
            (answer("Open from 9 to 5"), "Open from 9 to 5"),
            (Page("Open from 9 to 5", "text/plain; charset=utf-16"), None),
            (Page("Geöffnet".encode("latin-1"), "text/plain; charset=latin-1"), "Geöffnet"),
            (Page("<p>Open from 9 to 5</p>", "text/html"), "<p>Open from 9 to 5</p>"),
            (Page("a,b\n1,2\n", "text/csv"), "a,b\n1,2\n"),
        ],
        ids=["object", "string", "wrong encoding", "latin-1", "page", "table"],
    )
    def test_answer_as_a_whole_is_one_document(self, site, make, run, stored, page, content):
        site.pages["/products"] = page
        source = run(make(documents=None))

        [(title, text, url)] = stored()
        assert (source.state, title, url) == ("ok", "Products", None)
        assert content is None or text == content

    def test_items_without_an_id_are_told_apart_by_address_or_place(self):
        listed = json.dumps([{"link": "https://a.example.com"}, "two", {"link": "https://a.example.com/"}]).encode()
        told = fetch.Fetched(None, 200, {}, listed)

        items = webhook_results.read("List", {"url": "/link"}, told)

        assert [(item.key, item.title) for item in items] == [
            ("https://a.example.com/", "List: https://a.example.com/"),
            ("item 2", "List: item 2"),
        ]

    def test_address_stands_at_one_of_two_items(self):
        listed = json.dumps([{"i": 1, "u": "https://a.example.com"}, {"i": 2, "u": "https://a.example.com"}]).encode()

        items = webhook_results.read("List", {"id": "/i", "url": "/u"}, fetch.Fetched(None, 200, {}, listed))

        assert [(item.key, item.url) for item in items] == [("1", "https://a.example.com/"), ("2", None)]

    def test_item_without_a_text_is_passed_over(self, site, make, run, stored):
        site.pages["/products"] = answer({"data": {"products": [PRODUCTS[0], {"id": 9, "text": " "}, {"id": 10}]}})
        source = run(make())

        assert (source.state, [title for title, _, _ in stored()]) == ("ok", ["Bread"])

    def test_text_is_stored_without_what_no_database_takes(self, site, make, run, stored):
        site.pages["/products"] = answer({"data": {"products": [{"id": 1, "title": "a\0b", "text": "c\0\ud800d"}]}})
        run(make())

        assert stored() == [("ab", "c?d", None)]

    def test_answer_that_nothing_can_be_read_of_fails(self, site, make, run):
        site.pages["/products"] = Page(b"GIF89a\0\0\0", "image/gif")
        source = run(make(documents=None))

        assert (source.state, source.failure_code) == ("failed", "nothing_readable")

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ({"data": {}}, "nothing_there"),
            ({"data": {"products": [{}] * 201}}, "too_many_items"),
        ],
    )
    def test_answer_in_another_form_fails_and_deletes_nothing(self, site, make, run, stored, value, code):
        source = make()
        run(source)
        site.pages["/products"] = answer(value)
        after = run(source)

        assert (after.state, after.failure_code, len(stored())) == ("failed", code, 2)

    def test_answer_that_is_no_json_fails(self, site, make, run):
        site.pages["/products"] = Page("[" * 100_000, "application/json")

        assert run(make()).failure_code == "no_json"


class TestFlow:
    def test_answers_feed_later_steps(self, site, make, run):
        site.pages |= {
            "/login": answer({"session": {"token": 'a"b'}, "shops": [{"id": 7}]}),
            "/list?shop=7&q=a%22b%20%26": answer([]),
        }
        steps = [
            {
                "name": "login",
                "url": f"{site.url}/login",
                "method": "POST",
                "body": '{"user": "{{user}}"}',
                "extract": {"token": "/session/token", "shop": "/shops/0/id"},
            },
            {
                "url": site.url + "/list?shop={{shop}}&q={{token}}%20%26",
                "headers": {"X-Token": "{{ token }}"},
                "body": '{"t": "{{token}}", "n": {{shop}}}',
                "method": "POST",
            },
        ]
        source = run(
            make(url=None, documents={}, steps=steps, flowInputs=[{"name": "user", "value": 'Ada "A" {{token}}'}])
        )

        first, second = site.visits
        assert source.state == "ok"
        assert json.loads(first.body) == {"user": 'Ada "A" {{token}}'}
        assert first.headers["content-type"] == "application/json"
        assert (second.path, second.headers["x-token"]) == ("/list?shop=7&q=a%22b%20%26", 'a"b')
        assert json.loads(second.body) == {"t": 'a"b', "n": 7}

    @pytest.mark.parametrize("value", ["../../admin", "a/b?c#d", "@evil.example.com", "é\n"])
    def test_value_cannot_change_what_is_asked(self, site, make, run, value):
        run(make(url=site.url + "/items/{{id}}/x", flowInputs=[{"name": "id", "value": value}]))

        [visit] = site.visits
        assert visit.path.startswith("/items/")
        assert visit.path.count("/") == 3
        assert visit.path.endswith("/x")

    def test_value_with_a_line_break_is_not_sent_as_a_header(self, site, make, run):
        site.pages["/login"] = answer("a\r\nX-Admin: 1")
        steps = [
            {"name": "who", "url": f"{site.url}/login", "extract": {"all": ""}},
            {"url": f"{site.url}/products", "headers": {"X-Who": "{{all}}"}},
        ]
        source = run(make(url=None, steps=steps))

        assert (source.failure_code, site.paths()) == ("invalid_header", ["/login"])

    def test_body_of_a_form_is_escaped_as_one(self, site, make, run):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        run(make(method="POST", headers=form, body="q={{q}}", flowInputs=[{"name": "q", "value": "a&b=c"}]))

        assert site.visits[0].body == b"q=a%26b%3Dc"

    @pytest.mark.parametrize(
        ("auth", "header", "sent"),
        [
            ({"type": "bearer", "token": TOKEN}, "authorization", f"Bearer {TOKEN}"),
            ({"type": "basic", "username": "ada", "password": "pä"}, "authorization", "Basic YWRhOnDDpA=="),
            ({"type": "header", "name": "X-Api-Key", "value": TOKEN}, "x-api-key", TOKEN),
        ],
    )
    def test_credentials_go_with_the_request_and_nowhere_else(self, tenant, site, make, run, auth, header, sent):
        source = run(make(auth=auth))

        assert site.visits[0].headers[header] == sent
        row = knowledge_sources.find(tenant, source.oid)
        secret = auth.get("token") or auth.get("password") or auth.get("value")
        assert secret not in json.dumps(row.__data__, default=str, ensure_ascii=False)
        entries = AuditEntry.of(tenant.account_id)
        assert secret not in "".join(str(entry.__data__) for entry in entries)

    def test_step_has_its_own_headers_and_credentials_before_the_common_ones(self, site, make, run):
        site.pages["/other"] = answer([])
        common = {"headers": {"X-A": "common", "X-B": "common"}, "auth": {"type": "bearer", "token": TOKEN}}
        steps = [
            {"url": f"{site.url}/other", "headers": {"x-a": "own"}, "auth": {"type": "none"}},
            {"url": f"{site.url}/products"},
        ]
        run(make(url=None, steps=steps, **common))

        first, second = (visit.headers for visit in site.visits)
        assert (first["x-a"], first["x-b"], first.get("authorization")) == ("own", "common", None)
        assert (second["x-a"], second["authorization"]) == ("common", f"Bearer {TOKEN}")

    @pytest.mark.parametrize(
        ("page", "code"),
        [
            (Page("", status=404), "http_404"),
            (Page("", status=500), "http_500"),
            (Page("x" * 100_001), "too_large"),
            (Page("", status=302, headers={"location": "http://169.254.169.254/"}), "test_environment"),
            (Page("", status=302, headers={"location": "https://www.example.com/"}), "test_environment"),
        ],
        ids=["missing", "broken", "too large", "led inside", "led away"],
    )
    def test_request_that_fails_is_told_in_our_words(self, site, make, run, page, code):
        site.pages["/products"] = page
        source = run(make())

        assert (source.state, source.failure_code, source.failures) == ("failed", code, 1)
        assert source.failure_message.startswith("Step 1: ")
        assert source.last_succeeded_at is None

    @pytest.mark.parametrize(
        ("value", "code"), [({}, "nothing_there"), ({"token": "x" * 10_001}, "value_too_long"), ("no json", "no_json")]
    )
    def test_step_that_does_not_find_what_it_looks_for_fails(self, site, make, run, value, code):
        site.pages["/login"] = Page("<p>no</p>") if value == "no json" else answer(value)
        steps = [
            {"name": "login", "url": f"{site.url}/login", "extract": {"token": "/token"}},
            {"url": f"{site.url}/products"},
        ]
        source = run(make(url=None, steps=[{k: v for k, v in step.items() if k != "name"} for step in steps]))

        assert (source.failure_code, site.paths()) == (code, ["/login"])

    @pytest.mark.parametrize(
        ("pointer", "found"),
        [("", {"a/b": [{"~": 1}], "": 2}), ("/", 2), ("/a~1b/0/~0", 1), ("/a~1b/0", {"~": 1})],
    )
    def test_pointer_leads_to_a_value(self, pointer, found):
        assert webhook_flow.pointed({"a/b": [{"~": 1}], "": 2}, pointer) == found

    @pytest.mark.parametrize("pointer", ["/x", "/a/1", "/a/-", "/a/01", "/a/-1", "/b/c", "/a/0/x"])
    def test_pointer_to_nothing_is_told(self, pointer):
        with pytest.raises(LookupError):
            webhook_flow.pointed({"a": [1], "b": "c"}, pointer)


class TestClock:
    def test_source_with_an_interval_is_asked_at_once_and_again(self, tenant, site, make, advance):
        source = make(intervalMinutes=60)
        assert poll(source) == 1
        assert poll(source) == 0

        advance(3601)

        assert poll(source) == 1
        assert (len(site.visits), knowledge_sources.find(tenant, source.oid).state) == (2, "ok")

    def test_source_without_one_is_asked_on_demand_only(self, site, make):
        source = make()

        assert (poll(source), source.next_run_at, site.visits) == (0, None, [])

    def test_new_interval_replaces_the_old_one(self, site, make, change, advance):
        source = make(intervalMinutes=60)
        poll(source)
        changed = change(source, intervalMinutes=600)
        poll(changed)
        asked = len(site.visits)
        advance(3601)

        assert (poll(source), poll(changed), len(site.visits)) == (1, 0, asked)

    def test_other_change_keeps_the_time(self, tenant, make, change):
        source = make(intervalMinutes=60)
        poll(source)
        planned = knowledge_sources.find(tenant, source.oid).next_run_at

        assert change(source, name="Anew").next_run_at == planned

    def test_disabled_source_is_not_asked(self, tenant, actor, base, site, make, change):
        source = make(intervalMinutes=60)
        changed = change(source, enabled=False)
        for each in (source, changed):
            poll(each)

        assert (site.visits, changed.next_run_at) == ([], None)
        with pytest.raises(Conflict):
            webhook_sources.trigger(tenant, base.oid, source.oid, actor=actor)

    def test_disabling_takes_a_wish_back(self, tenant, actor, base, site, make, change):
        source = make()
        webhook_sources.trigger(tenant, base.oid, source.oid, actor=actor)

        assert change(source, enabled=False).state == "new"
        worker.work_lane(webhook_sources.lane_of(source.oid))
        assert site.visits == []

    def test_failed_source_is_asked_sooner_then_less_and_less(self, tenant, site, make, advance):
        site.pages["/products"].status = 500
        source = make(intervalMinutes=60)
        poll(source)
        for seconds, calls in ((299, 0), (2, 1), (1199, 0), (2, 1), (3599, 0), (2, 1)):
            advance(seconds)
            assert poll(source) == calls

        assert knowledge_sources.find(tenant, source.oid).failures == 4

    def test_wish_is_fulfilled_once_and_leaves_the_clock_alone(self, tenant, actor, base, site, make, advance):
        source = make(intervalMinutes=60)
        poll(source)
        for _ in range(3):
            webhook_sources.trigger(tenant, base.oid, source.oid, actor=actor)
        worker.work_lane(webhook_sources.lane_of(source.oid))
        assert len(site.visits) == 2

        advance(3601)

        assert (poll(source), poll(source), len(site.visits)) == (1, 0, 3)

    def test_change_while_it_is_asked_makes_the_answer_void(self, tenant, site, make, change, run, stored):
        site.pages["/other"] = answer([])
        source = make()

        def meanwhile():
            site.pages["/products"].before = None
            change(source, url=f"{site.url}/other", documents=None)

        site.pages["/products"].before = meanwhile
        after = run(source)

        assert (site.paths(), after.state) == (["/products", "/other"], "ok")
        assert [title for title, _, _ in stored()] == ["Products"]

    def test_source_deleted_while_it_is_asked_leaves_nothing(self, tenant, actor, base, site, make, run, stored):
        source = make()
        site.pages["/products"].before = lambda: webhook_sources.delete(tenant, base.oid, source.oid, actor=actor)

        assert run(source) is None
        assert (stored(), outbox.parked(tenant)) == ([], [])

    @pytest.mark.parametrize("step", range(4))
    @pytest.mark.parametrize("place", ["fetch", "complete"])
    def test_worker_that_dies_is_replaced(self, monkeypatch, tenant, make, advance, stored, place, step):
        owner, name = {"fetch": (fetch.Fetcher, "fetch"), "complete": (outbox, "complete")}[place]
        real, calls = getattr(owner, name), itertools.count()
        source = make(intervalMinutes=60)

        def dying(*arguments, **named):
            result = real(*arguments, **named)
            if next(calls) == step:
                raise Killed
            return result

        monkeypatch.setattr(owner, name, dying)
        try:
            poll(source)
        except Killed:
            advance(webhook_runs.LEASE_S + 1)
            poll(source)

        after = knowledge_sources.find(tenant, source.oid)
        assert (after.state, after.documents, len(stored())) == ("ok", 2, 2)

    def test_error_of_our_own_fails_the_run_and_keeps_the_clock(self, monkeypatch, tenant, make, advance):
        monkeypatch.setattr(webhook_runs, "run", lambda *_: 1 / 0)
        source = make(intervalMinutes=60)
        for _ in range(4):
            poll(source)
            advance(120)

        after = knowledge_sources.find(tenant, source.oid)
        assert (after.state, after.failure_code, after.next_run_at is not None) == ("failed", "internal", True)

    def test_kind_is_known_to_every_worker(self):
        assert "engine.knowledge.webhook_runs" in registry.MODULES
        assert registry.of_kind("webhook_source") is not None


class TestChange:
    def test_partial_change_keeps_the_rest_and_its_secrets(self, site, make, change, run):
        source = make(auth={"type": "bearer", "token": TOKEN})
        changed = change(source, name="Anew", headers={"X-A": "b"})

        assert (changed.config["auth"], changed.config["url"]) == (
            {"type": "bearer", "token": "…6789"},
            f"{site.url}/products",
        )
        run(changed)
        assert site.visits[0].headers["authorization"] == f"Bearer {TOKEN}"

    def test_source_sent_back_as_it_was_shown_is_the_same(self, site, make, change, run):
        source = make(headers={"X-Api-Key": TOKEN}, auth={"type": "bearer", "token": TOKEN})
        run(change(source, **source.config))

        assert (site.visits[0].headers["x-api-key"], site.visits[0].headers["authorization"]) == (
            TOKEN,
            f"Bearer {TOKEN}",
        )

    def test_secrets_do_not_follow_to_another_host(self, site, make, change):
        source = make(auth={"type": "bearer", "token": TOKEN})

        with pytest.raises(Blocked) as refusal:
            change(source, url="https://evil.example.com/")
        assert refusal.value.code == "masked_secret"
        changed = change(source, url="https://api.example.com/", auth={"type": "bearer", "token": "another token here"})
        assert changed.config["auth"]["token"] == "…here"

    def test_url_replaces_steps_and_steps_replace_url(self, site, make, change):
        source = make(method="POST", body="x")
        stepped = change(source, steps=[{"url": f"{site.url}/products"}])
        assert {"url", "method", "body"}.isdisjoint(stepped.config)

        assert "steps" not in change(source, url=f"{site.url}/products").config

    def test_null_takes_a_member_away(self, make, change):
        source = make(auth={"type": "bearer", "token": TOKEN}, timeoutMs=5000, intervalMinutes=60)
        changed = change(source, auth=None, documents=None, timeoutMs=None, intervalMinutes=None)

        assert {"auth", "documents"}.isdisjoint(changed.config)
        assert (changed.secrets, changed.timeout_ms, changed.interval_minutes) == (None, 10_000, 0)

    def test_unsound_change_is_refused(self, make, change):
        source = make()

        with pytest.raises(Blocked):
            change(source, url=None)

    def test_secret_place_loses_its_filling(self, make, change, site):
        source = make(headers={"X-Key": "{{key}}"}, flowInputs=[{"name": "key", "value": TOKEN}])
        assert source.config["headers"] == {"X-Key": "{{key}}"}

        with pytest.raises(Blocked) as refusal:
            change(source, flowInputs=[])
        assert refusal.value.problems[0].path == "/headers/X-Key"

    def test_secrets_need_a_key_to_be_kept_under(self, make):
        vault.configure(None)

        make()
        with pytest.raises(Blocked) as refusal:
            make(auth={"type": "bearer", "token": TOKEN})
        assert refusal.value.code == "secret_key_missing"

    def test_secrets_that_cannot_be_opened_fail_the_run(self, make, run):
        source = make(auth={"type": "bearer", "token": TOKEN})
        vault.configure("f" * 32)

        assert run(source).failure_code == "secret_key_wrong"

    def test_documents_stay_when_the_source_goes(self, tenant, actor, base, make, run, stored):
        source = run(make())
        webhook_sources.delete(tenant, base.oid, source.oid, actor=actor)

        assert len(stored()) == 2

    def test_source_is_of_one_base_and_one_tenant(self, tenant, other_tenant, actor, base, make):
        source = make()
        foreign = documents.create_base(other_tenant, name="Other", description="", type_="internal", actor=actor)
        second = documents.create_base(tenant, name="Second", description="", type_="internal", actor=actor)

        for owner, where in ((other_tenant, foreign), (tenant, second)):
            for act in (webhook_sources.trigger, webhook_sources.delete):
                with pytest.raises(NotFound):
                    act(owner, where.oid, source.oid, actor=actor)

    def test_what_is_done_is_audited(self, tenant, actor, base, make, change, run):
        source = make()
        run(change(source, name="Anew"))
        webhook_sources.delete(tenant, base.oid, source.oid, actor=actor)

        entries = [entry.action for entry in AuditEntry.of(tenant.account_id) if entry.resource_id == source.oid]
        assert sorted(entries) == [
            "knowledge_webhook.created",
            "knowledge_webhook.deleted",
            "knowledge_webhook.triggered",
            "knowledge_webhook.updated",
        ]
