"""Indexing as a job: once, whatever dies, and only what was asked for last."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.jobs import registry, worker
from engine.knowledge import documents, index, put_document, search
from engine.knowledge.embed import EmbeddingsUnavailable
from storage import audit, clock, knowledge, knowledge_chunks, knowledge_documents, outbox
from storage.errors import NotFound
from storage.knowledge_chunks import KnowledgeChunk
from tests.support import files

DELIVERY = "Delivery costs 4.90 within the country and is free from 50 euros."
RETURNS = "Returns are free for 30 days after the parcel has arrived."


class Killed(BaseException):
    """The process ends here: nobody catches it, nobody cleans up."""


@pytest.fixture
def base(tenant, actor):
    return documents.create_base(tenant, name="Shop", description="", type_="internal", actor=actor)


@pytest.fixture
def add(tenant, actor, base):
    def store(content=DELIVERY, **members):
        return documents.add_document(tenant, base, content=content, actor=actor, **members)

    return store


@pytest.fixture
def read(tenant, base):
    return lambda document: knowledge_documents.get(tenant, base, document.oid)


def work(document) -> int:
    return worker.work_lane(documents.lane_of(document.oid))


def claim(document):
    held = outbox.claim(clock.now(), registry.lease_s, documents.lane_of(document.oid))
    assert held is not None
    return held


def texts(tenant, document) -> list[str]:
    rows = KnowledgeChunk.of(tenant).where(KnowledgeChunk.document_id == document.id)
    return [row.text for row in rows.order_by(KnowledgeChunk.seq)]


def test_file_becomes_text_and_is_dropped(tenant, base, add, read):
    document = add(files.docx("# Delivery", DELIVERY, title="Help"), file_name="help.docx", source_type="file")
    assert (document.title, document.status) == ("help", "pending")

    work(document)

    document = read(document)
    assert (document.title, document.status, document.content) == ("Help", "ready", f"# Delivery\n\n{DELIVERY}")
    assert knowledge_documents.file_of(tenant, document) is None
    assert knowledge.get(tenant, base.oid).version == 1


def test_title_that_was_given_stays(add, read):
    document = add(files.pdf([DELIVERY], title="untitled"), title="Mine")
    other = add(files.pdf([DELIVERY], title="untitled"), file_name="list.pdf")

    work(document)
    work(other)

    assert (read(document).title, read(other).title) == ("Mine", "list")


def test_file_that_cannot_be_read_fails_at_once_and_is_kept(tenant, add, read, database):
    document = add(files.pdf([DELIVERY], password="secret"))

    assert work(document) == 1

    document = read(document)
    assert (document.status, document.failure_code) == ("failed", "encrypted")
    assert "password" in document.failure_message
    assert knowledge_documents.file_of(tenant, document) is not None
    [entry] = audit.AuditEntry.of(tenant.account_id).where(audit.AuditEntry.action == "knowledge_document.failed")
    assert entry.metadata == {"reason": "encrypted"}


@pytest.mark.parametrize("place", ["read", "replace", "touch"])
def test_death_at_any_place_leaves_nothing_and_the_next_worker_does_it_once(
    tenant, base, add, read, monkeypatch, place
):
    document = add()
    held = claim(document)

    def die(*_arguments, **_options):
        raise Killed

    where = {"read": index, "replace": knowledge_chunks, "touch": knowledge}[place]
    monkeypatch.setattr(where, {"read": "split"}.get(place, place), die)
    with pytest.raises(Killed):
        worker.work(held)
    monkeypatch.undo()

    assert (read(document).status, texts(tenant, document)) == ("indexing", [])
    assert work(document) == 0
    moved = clock.now() + timedelta(seconds=index.LEASE_S + 1)
    again = outbox.claim(moved, registry.lease_s, documents.lane_of(document.oid))
    worker.work(again)
    assert (read(document).status, texts(tenant, document)) == ("ready", [DELIVERY])
    assert knowledge.get(tenant, base.oid).version == 1


def test_worker_that_lost_its_lease_changes_nothing(tenant, add, read, monkeypatch):
    document = add()
    slow = claim(document)
    moved = clock.now() + timedelta(seconds=index.LEASE_S + 1)
    worker.work(outbox.claim(moved, registry.lease_s, documents.lane_of(document.oid)))
    first = [row.oid for row in KnowledgeChunk.of(tenant)]

    worker.work(slow)

    assert [row.oid for row in KnowledgeChunk.of(tenant)] == first
    assert read(document).status == "ready"


def test_change_while_it_is_indexed_wins(tenant, base, add, read, actor, monkeypatch):
    document = add()
    present = index.split

    def split(text):
        if text == DELIVERY:
            documents.update_document(tenant, base.oid, document.oid, {}, content=RETURNS, actor=actor)
        return present(text)

    monkeypatch.setattr(index, "split", split)

    assert work(document) == 2

    assert (read(document).status, texts(tenant, document)) == ("ready", [RETURNS])


def test_document_deleted_while_it_is_indexed_stays_deleted(tenant, base, add, actor, monkeypatch):
    document = add()
    present = index.split

    def split(text):
        documents.delete_document(tenant, base.oid, document.oid, actor=actor)
        return present(text)

    monkeypatch.setattr(index, "split", split)

    assert work(document) == 1

    assert texts(tenant, document) == []
    with pytest.raises(NotFound):
        knowledge_documents.get(tenant, base, document.oid)


def test_passage_that_says_the_same_keeps_its_id(tenant, base, add, actor):
    text = f"# Delivery\n\n{DELIVERY * 9}\n\n# Returns\n\n{RETURNS * 9}"
    document = add(text)
    work(document)
    before = {row.text: row.oid for row in KnowledgeChunk.of(tenant)}

    documents.update_document(
        tenant, base.oid, document.oid, {}, content=f"{text}\n\n# Jobs\n\n{'We hire. ' * 90}", actor=actor
    )
    work(document)

    after = {row.text: row.oid for row in KnowledgeChunk.of(tenant)}
    assert after.items() >= before.items()
    assert len(after) > len(before)


class TestPut:
    def put(self, tenant, base, actor, content=DELIVERY, **members):
        given = {"title": "Help", "source_type": "sitemap", "source_url": "https://example.com/help", **members}
        return put_document(tenant, base, content=content, actor=actor, **given)

    def test_same_address_and_content_is_nothing_to_do(self, tenant, base, actor):
        first = self.put(tenant, base, actor)
        work(first)

        second = self.put(tenant, base, actor)

        assert (second.oid, second.status, second.revision) == (first.oid, "ready", 1)
        assert work(second) == 0

    def test_new_content_is_indexed_and_until_then_the_former_found(self, tenant, base, actor):
        page = f"<html><body><main><h1>Help</h1><p>{DELIVERY}</p><p>{RETURNS}</p></main></body></html>"
        first = self.put(tenant, base, actor)
        work(first)

        second = self.put(tenant, base, actor, page.encode(), media_type="text/html")

        assert (second.oid, second.status) == (first.oid, "pending")
        assert search(tenant, [base.oid], "What does delivery cost?")[0].text == DELIVERY
        work(second)
        assert RETURNS in knowledge_documents.get(tenant, base, first.oid).content

    def test_metadata_alone_indexes_nothing(self, tenant, base, actor):
        first = self.put(tenant, base, actor)
        work(first)

        second = self.put(tenant, base, actor, metadata={"language": "en"})

        assert (second.metadata, second.status) == ({"language": "en"}, "ready")


class TestRetry:
    def test_failed_document_is_read_again(self, tenant, base, add, read, actor, monkeypatch):
        document = add(files.pdf([DELIVERY], password="secret"))
        work(document)
        monkeypatch.setattr(index.reader, "read", lambda *_arguments, **_options: index.Extracted(DELIVERY))

        documents.retry_document(tenant, base.oid, document.oid, actor=actor)
        work(document)

        document = read(document)
        assert (document.status, document.failure_code, document.content) == ("ready", None, DELIVERY)

    def test_document_in_work_is_not_queued_twice(self, tenant, base, add, actor):
        document = add()

        same = documents.retry_document(tenant, base.oid, document.oid, actor=actor)

        assert (same.status, same.revision) == ("pending", 1)
        assert work(document) == 1


class TestEmbeddings:
    @pytest.fixture(autouse=True)
    def unavailable(self, monkeypatch):
        class Away:
            name = "away"

            def embed(self, texts):
                raise EmbeddingsUnavailable("The embeddings endpoint answered 503")

        monkeypatch.setattr(index, "embedder_of", lambda _tenant: Away())

    def test_endpoint_that_is_away_is_asked_again(self, add, read):
        document = add()

        assert work(document) == 1

        assert (read(document).status, read(document).failure_code) == ("indexing", None)
        assert outbox.lane_moves_at(documents.lane_of(document.oid)) is not None

    def test_endpoint_that_stays_away_fails_the_document(self, add, read, advance):
        document = add()

        for _ in range(registry.MAX_ATTEMPTS):
            work(document)
            advance(outbox.LONGEST_DELAY_S)

        assert (read(document).status, read(document).failure_code) == ("failed", "embeddings_unavailable")


def test_error_that_stays_fails_the_document_in_our_words(add, read, advance, monkeypatch):
    def broken(_text):
        raise ValueError("secret detail")

    monkeypatch.setattr(index, "split", broken)
    document = add()

    for _ in range(registry.MAX_ATTEMPTS):
        work(document)
        advance(outbox.LONGEST_DELAY_S)

    document = read(document)
    assert (document.status, document.failure_code) == ("failed", "internal")
    assert "secret" not in document.failure_message
