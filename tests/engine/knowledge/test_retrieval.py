"""What is found, for whom, and what nobody else's documents change."""

from __future__ import annotations

import pytest

from engine.jobs import worker
from engine.knowledge import Filters, documents, index, search, vectors  # noqa: F401 (index declares the job)
from engine.knowledge.embed import Endpoint, configure
from storage import accounts, knowledge, knowledge_chunks
from storage.knowledge_chunks import KnowledgeChunk
from tests.support.providers import Answer, ProviderServer

DELIVERY = "Delivery costs 4.90 within the country and is free from 50 euros."
RETURNS = "Returns are free for 30 days after the parcel has arrived."
HOURS = "The shop in Main Street is open from nine to five on weekdays."
QUESTION = "What does delivery cost?"


@pytest.fixture(autouse=True)
def fresh():
    vectors.forget()
    yield
    vectors.forget()
    configure(None)


@pytest.fixture
def make(tenant, actor):
    """Makes a knowledge base of these texts, indexed."""

    def make(*texts, owner=tenant, **members):
        base = documents.create_base(owner, name="Shop", description="", type_="internal", actor=actor)
        for text in texts:
            add(owner, base, text, **members)
        return base.oid

    def add(owner, base, text, **members):
        document = documents.add_document(owner, base, title="Help", content=text, actor=actor, **members)
        worker.work_lane(documents.lane_of(document.oid))

    make.add = add
    return make


def texts(found):
    return [each.text for each in found]


class TestFinding:
    def test_best_passage_comes_first(self, tenant, make):
        base = make(HOURS, RETURNS, DELIVERY)

        found = search(tenant, [base], QUESTION)

        assert texts(found)[0] == DELIVERY
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)

    def test_each_sentence_is_looked_up(self, tenant, make):
        base = make(HOURS, RETURNS, DELIVERY)

        found = search(tenant, [base], f"Hi, I am Ada! {QUESTION} And when is the shop open on weekdays?", limit=2)

        assert set(texts(found)) == {DELIVERY, HOURS}

    def test_several_bases_are_searched_as_one(self, tenant, make):
        bases = [make(HOURS), make(DELIVERY), make(RETURNS)]

        assert texts(search(tenant, bases, QUESTION))[0] == DELIVERY
        assert texts(search(tenant, bases[::2], QUESTION)) == []

    @pytest.mark.parametrize("query", ["", " ", "?", "🙂", "the", '" OR *', "x" * 5000])
    def test_nothing_asked_is_nothing_found(self, tenant, make, query):
        assert search(tenant, [make(DELIVERY)], query) == []

    def test_no_base_and_an_empty_base_have_nothing(self, tenant, make):
        assert search(tenant, [], QUESTION) == []
        assert search(tenant, [make()], QUESTION) == []
        assert search(tenant, ["0f" * 12], QUESTION) == []

    def test_filters_count_before_the_best_are_chosen(self, tenant, make):
        base = make(*[f"{DELIVERY} Offer {number}." for number in range(60)], metadata={"language": "en"})
        make.add(tenant, knowledge.get(tenant, base), DELIVERY, metadata={"language": "es"})

        found = search(tenant, [base], QUESTION, filters=Filters(metadata=(("language", "es"),)))

        assert texts(found) == [DELIVERY]

    def test_many_candidates_are_ranked_by_their_rarest_words(self, tenant, make, monkeypatch):
        from engine.knowledge import retrieval

        base = make(*[f"Delivery of item {number}." for number in range(30)], DELIVERY)
        monkeypatch.setattr(retrieval, "_CANDIDATES", 5)

        assert texts(search(tenant, [base], "Is delivery within the country free?"))[0] == DELIVERY


class TestTenants:
    def test_base_of_another_tenant_is_passed_over(self, tenant, other_tenant, make):
        theirs = make(DELIVERY, owner=other_tenant)

        assert search(other_tenant, [theirs], QUESTION)
        assert search(tenant, [theirs], QUESTION) == []
        live = accounts.tenant_row(tenant.account_id, "live").tenant
        assert search(live, [make(DELIVERY)], QUESTION) == []

    def test_documents_of_another_tenant_change_no_score_and_no_order(self, tenant, other_tenant, make):
        mine = make(HOURS, RETURNS, DELIVERY)
        before = search(tenant, [mine], QUESTION, limit=10)

        make(*[f"Delivery costs {number} in country {number}." for number in range(30)], owner=other_tenant)
        vectors.forget()

        assert search(tenant, [mine], QUESTION, limit=10) == before

    def test_vectors_in_memory_are_only_given_to_their_tenant(self, tenant, other_tenant, make):
        theirs = make(DELIVERY, owner=other_tenant)
        base = knowledge.get(other_tenant, theirs)
        assert vectors.load(other_tenant, base, "wordllama-256").size == 1

        assert vectors.load(tenant, base, "wordllama-256").size == 0

    def test_storage_answers_nothing_of_another_tenant(self, tenant, other_tenant, make):
        base = knowledge.get(other_tenant, make(DELIVERY, owner=other_tenant))
        [chunk] = KnowledgeChunk.of(other_tenant)

        assert knowledge_chunks.ids(tenant, base.id) == []
        assert knowledge_chunks.stored(tenant, base.id, [chunk.id]) == []
        assert knowledge_chunks.holding(tenant, base.id, ["deliver", "delivery"], 10) == []
        assert knowledge_chunks.words_of(tenant, [chunk.id]) == {}
        assert knowledge_chunks.shown(tenant, [chunk.id]) == {}
        assert knowledge_chunks.documents_matching(tenant, [base.id], Filters()) == set()


class TestMemory:
    def test_only_what_is_new_is_read_again(self, tenant, make, monkeypatch):
        base = make(HOURS, RETURNS, HOURS)
        search(tenant, [base], QUESTION)
        asked = []
        present = knowledge_chunks.stored
        monkeypatch.setattr(knowledge_chunks, "stored", lambda *a: asked.append(a[2:]) or present(*a))

        make.add(tenant, knowledge.get(tenant, base), DELIVERY)

        assert texts(search(tenant, [base], QUESTION))[0] == DELIVERY
        [new] = KnowledgeChunk.of(tenant).where(KnowledgeChunk.text == DELIVERY)
        assert asked == [([new.id],)]
        search(tenant, [base], QUESTION)
        assert len(asked) == 1

    def test_what_was_deleted_is_gone(self, tenant, make, actor):
        base = make(HOURS, RETURNS, DELIVERY)
        [best] = search(tenant, [base], QUESTION, limit=1)

        documents.delete_document(tenant, base, best.document_id, actor=actor)

        assert DELIVERY not in texts(search(tenant, [base], QUESTION))

    def test_memory_is_bounded(self, tenant, make, monkeypatch):
        monkeypatch.setattr(vectors, "MAX_BYTES", 1500)
        bases = [make(DELIVERY) for _ in range(3)]

        for base in bases:
            assert search(tenant, [base], QUESTION)

        assert len(vectors._kept) == 1


class Embeddings(ProviderServer):
    """An OpenAI-compatible endpoint with vectors of three numbers: about costs, about hours, about anything else."""

    def respond(self, request):
        assert request.path == "/v1/embeddings"
        data = [{"index": place, "embedding": self._vector(text)} for place, text in enumerate(request.json["input"])]
        return Answer(200, {"object": "list", "data": data[::-1], "model": request.json["model"]})

    def _vector(self, text):
        text = text.lower()
        return [4.0 * ("cost" in text or "price" in text), 4.0 * ("open" in text), 0.5]


class TestEndpoint:
    @pytest.fixture
    def live(self, tenant):
        return accounts.tenant_row(tenant.account_id, "live").tenant

    @pytest.fixture
    def endpoint(self):
        with Embeddings() as server:
            configure(Endpoint(f"{server.url}/v1/", "sk-example", "small", timeout_s=5, min_similarity=0.5))
            yield server

    def test_vectors_come_from_the_endpoint(self, live, make, endpoint):
        base = make(HOURS, DELIVERY, owner=live)

        found = search(live, [base], "Which price?")

        assert texts(found) == [DELIVERY]  # which has another word for it
        assert endpoint.requests[0].headers["authorization"] == "Bearer sk-example"
        assert endpoint.requests[0].json["model"] == "small"
        assert {row.embedder for row in KnowledgeChunk.of(live)} == {f"{endpoint.url}/v1/ small"}

    def test_test_environment_asks_nobody(self, tenant, make, endpoint):
        base = make(HOURS, DELIVERY)

        assert texts(search(tenant, [base], QUESTION))[0] == DELIVERY
        assert endpoint.requests == []

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            pytest.param(429, {"error": {"message": "slow down"}}, id="rate limit"),
            pytest.param(500, "oops", id="broken"),
            pytest.param(200, {"data": []}, id="vectors missing"),
            pytest.param(200, "no json", id="no JSON"),
            pytest.param(200, {"data": [{"index": 0, "embedding": ["a"]}, {"index": 1}]}, id="no numbers"),
        ],
    )
    def test_search_without_the_endpoint_goes_by_words(self, live, make, endpoint, status, body):
        base = make(HOURS, DELIVERY, owner=live)
        endpoint.answers(status, body)

        assert texts(search(live, [base], QUESTION))[0] == DELIVERY

    def test_endpoint_that_cannot_be_reached_is_done_without(self, live, make, endpoint):
        base = make(HOURS, DELIVERY, owner=live)
        endpoint.stop()

        assert texts(search(live, [base], QUESTION))[0] == DELIVERY

    def test_documents_of_another_embedder_are_still_found_by_words(self, live, make, endpoint):
        base = make(HOURS, DELIVERY, owner=live)
        configure(None)

        assert texts(search(live, [base], QUESTION))[0] == DELIVERY
        make.add(live, knowledge.get(live, base), RETURNS)
        assert texts(search(live, [base], "Are returns free?"))[0] == RETURNS
