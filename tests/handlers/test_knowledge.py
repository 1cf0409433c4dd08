"""Knowledge over HTTP: anonymous and unscoped callers are the security tests' business."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from engine.jobs import worker
from engine.knowledge import documents
from storage import outbox
from tests.support.contract_client import ContractClient

BASES = "/api/knowledge-bases"
UNKNOWN = "665f1c2e9b1d4a0012ab34ff"
DELIVERY = "Delivery costs 4.90 within the country and is free from 50 euros."
RETURNS = "Returns are free for 30 days after the parcel has arrived."


@pytest.fixture
def base(client: ContractClient) -> dict[str, Any]:
    return client.post(BASES, json={"name": "Shop"}).json()


def add(client: ContractClient, base: dict[str, Any], content: str = DELIVERY, **members: Any) -> dict[str, Any]:
    return client.post(f"{BASES}/{base['_id']}/documents", json={"title": "Help", "content": content, **members}).json()


def upload(client: ContractClient, base: dict[str, Any], *file: Any, **fields: str) -> Any:
    return client.post(f"{BASES}/{base['_id']}/documents", files={"file": file}, data=fields)


def find(client: ContractClient, base: dict[str, Any], query: str, **members: Any) -> dict[str, Any]:
    return client.post(f"{BASES}/{base['_id']}/search", json={"query": query, **members}).json()


def indexed(client: ContractClient, base: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document once nobody has work with it, be it the server's worker or this process."""
    lane = documents.lane_of(document["_id"])
    row = outbox.last_unfinished(lane)
    assert row is None or worker.settle(lane, row)
    return client.get(f"{BASES}/{base['_id']}/documents/{document['_id']}").json()


class TestBases:
    def test_new_base_is_listed_and_read(self, client, party):
        answer = client.post(BASES, json={"name": "Shop", "description": "All of it.", "type": "external"})

        base = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{BASES}/{base['_id']}"
        assert (base["name"], base["description"], base["type"]) == ("Shop", "All of it.", "external")
        assert (base["accountId"], base["documentCount"]) == (party.account_id, 0)
        assert client.get(BASES).json() == [base]
        assert client.get(f"{BASES}/{base['_id']}").json() == base

    def test_changes_leave_what_they_do_not_name(self, client, base):
        changed = client.patch(f"{BASES}/{base['_id']}", json={"description": "Prices"}).json()

        assert (changed["name"], changed["description"]) == ("Shop", "Prices")
        assert client.get(f"{BASES}/{base['_id']}").json() == changed

    def test_change_of_a_base_that_moved_on_is_refused(self, client, base):
        place = f"{BASES}/{base['_id']}"
        tag = client.get(place).headers["etag"]
        client.patch(place, json={"name": "Other"})

        assert client.patch(place, json={"name": "Mine"}, headers={"If-Match": tag}).status_code == 412

    def test_base_is_deleted_with_its_documents(self, client, base):
        add(client, base)

        assert client.delete(f"{BASES}/{base['_id']}").json() == {"success": True}
        assert client.get(f"{BASES}/{base['_id']}").status_code == 404
        assert client.get(f"{BASES}/{base['_id']}/documents").status_code == 404

    def test_base_that_agents_use_stays(self, client, base):
        members = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Sell.", "knowledgeBaseIds": [base["_id"]]}
        agent = client.post("/api/agent-config", json=members).json()

        answer = client.delete(f"{BASES}/{base['_id']}")

        assert (answer.status_code, answer.json()["code"]) == (409, "knowledge_base_in_use")
        assert answer.json()["details"] == "1"
        client.delete(f"/api/agent-config/{agent['_id']}")
        assert client.delete(f"{BASES}/{base['_id']}").status_code == 200

    def test_pages_continue(self, client):
        made = [client.post(BASES, json={"name": str(number)}).json()["_id"] for number in range(3)]

        first = client.get(BASES, params={"limit": 2})
        rest = client.get(first.links["next"]["url"])

        assert [each["_id"] for each in first.json() + rest.json()] == made[::-1]
        assert first.headers["x-total-count"] == "3"

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            pytest.param({}, "name is required", id="nothing"),
            pytest.param({"name": " "}, "name is required", id="blank name"),
        ],
    )
    def test_what_cannot_be_is_named(self, client, body, message):
        answer = client.post(BASES, json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, message)


class TestTexts:
    def test_text_is_ready_when_it_is_answered(self, client, base, party):
        answer = client.post(
            f"{BASES}/{base['_id']}/documents",
            json={"title": "Help", "content": DELIVERY, "sourceType": "text", "sourceUrl": "https://example.com/help"},
        )

        document = answer.json()
        assert answer.status_code == 201
        assert (document["title"], document["content"], document["sourceType"]) == ("Help", DELIVERY, "text")
        assert (document["knowledgeBaseId"], document["accountId"]) == (base["_id"], party.account_id)
        assert (document["sourceUrl"], document["status"]) == ("https://example.com/help", "ready")
        assert (document["chunkCount"], document["sizeBytes"]) == (1, len(DELIVERY))
        assert client.get(answer.headers["location"]).json() == document
        assert client.get(f"{BASES}/{base['_id']}").json()["documentCount"] == 1

    def test_list_leaves_the_content_out(self, client, base):
        document = add(client, base)

        [listed] = client.get(f"{BASES}/{base['_id']}/documents", params={"status": "ready"}).json()

        assert listed == {name: value for name, value in document.items() if name != "content"}
        assert client.get(f"{BASES}/{base['_id']}/documents", params={"status": "failed"}).json() == []

    def test_new_content_is_found_instead_of_the_former(self, client, base):
        document = add(client, base)
        place = f"{BASES}/{base['_id']}/documents/{document['_id']}"

        changed = client.patch(place, json={"content": RETURNS, "metadata": {"language": "en"}}).json()

        assert (changed["status"], changed["content"], changed["metadata"]) == ("ready", RETURNS, {"language": "en"})
        assert find(client, base, "Is returning a parcel free?")["passages"][0]["text"] == RETURNS
        assert not find(client, base, "What does delivery cost?")["relevant"]

    def test_markdown_says_its_headings(self, client, base):
        text = f"---\ntitle: Orders\n---\n\n# Shipping\n\n{{% note %}}{DELIVERY}\n"
        document = client.post(
            f"{BASES}/{base['_id']}/documents", json={"content": text, "mediaType": "text/markdown"}
        ).json()

        document = indexed(client, base, document)

        assert (document["title"], document["content"]) == ("Orders", f"# Shipping\n\n{DELIVERY}")
        [passage] = find(client, base, "What does delivery cost?")["passages"]
        assert passage["heading"] == "Shipping"

    def test_deleted_document_is_not_found_any_more(self, client, base):
        document = add(client, base)

        assert client.delete(f"{BASES}/{base['_id']}/documents/{document['_id']}").json() == {"success": True}

        assert find(client, base, "What does delivery cost?") == {"relevant": False, "passages": []}
        assert client.get(f"{BASES}/{base['_id']}/documents/{document['_id']}").status_code == 404

    def test_ready_document_is_indexed_again(self, client, base):
        document = add(client, base)

        answer = client.post(f"{BASES}/{base['_id']}/documents/{document['_id']}/retry")

        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        assert answer.json()["updatedAt"] > document["updatedAt"]

    def test_document_of_another_base_is_unknown(self, client, base):
        document = add(client, base)
        other = client.post(BASES, json={"name": "Other"}).json()

        assert client.get(f"{BASES}/{other['_id']}/documents/{document['_id']}").status_code == 404
        assert client.get(f"{BASES}/{base['_id']}/documents/{UNKNOWN}").json()["code"] == "document_not_found"
        answer = client.post(f"{BASES}/{UNKNOWN}/documents", json={"content": DELIVERY})
        assert (answer.status_code, answer.json()["code"]) == (404, "knowledge_base_not_found")

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            pytest.param({"title": "Help"}, "content is required", id="no content"),
            pytest.param({"content": " \n"}, "content is required", id="blank content"),
        ],
    )
    def test_what_cannot_be_is_named(self, client, base, body, message):
        answer = client.post(f"{BASES}/{base['_id']}/documents", json=body)

        assert (answer.status_code, answer.json()["error"]) == (400, message)

    def test_repeated_request_adds_nothing(self, client, base):
        place, headers = f"{BASES}/{base['_id']}/documents", {"Idempotency-Key": "one"}

        first, second = (client.post(place, json={"content": DELIVERY}, headers=headers) for _ in range(2))

        assert first.json() == second.json()
        assert second.headers["idempotent-replayed"] == "true"
        assert len(client.get(place).json()) == 1


class TestFiles:
    def test_csv_is_read_row_by_row(self, client, base):
        sent = "Product;Price\nHaircut;30 euros\nShave;15 euros\n".encode("utf-16")
        answer = upload(client, base, "prices.csv", sent, "text/csv", metadata='{"language": "en"}')

        assert (answer.status_code, answer.json()["status"], answer.json()["content"]) == (201, "pending", "")
        document = indexed(client, base, answer.json())
        assert document["content"] == "Product: Haircut; Price: 30 euros\nProduct: Shave; Price: 15 euros"
        assert (document["title"], document["fileName"]) == ("prices", "prices.csv")
        assert (document["mediaType"], document["sourceType"]) == ("text/csv", "file")
        assert (document["metadata"], document["sizeBytes"]) == ({"language": "en"}, len(sent))

    def test_page_is_reduced_to_its_content(self, client, base):
        page = f"<html><head><title>Help</title></head><body><nav><a href=/>Home</a></nav><main><h1>Shipping</h1>\
            <p>{DELIVERY}</p><p>{RETURNS}</p></main><footer>Imprint</footer></body></html>"
        document = upload(client, base, "page.html", page, "text/html").json()

        document = indexed(client, base, document)

        assert (document["title"], document["status"]) == ("Help", "ready")
        assert DELIVERY in document["content"]
        assert "Imprint" not in document["content"]

    def test_file_without_text_fails_and_says_why(self, client, base):
        import pypdf

        blank = pypdf.PdfWriter()
        blank.add_blank_page(200, 200)
        written = io.BytesIO()
        blank.write(written)
        document = upload(client, base, "scan.pdf", written.getvalue(), "application/pdf").json()

        document = indexed(client, base, document)

        assert (document["status"], document["failure"]["code"]) == ("failed", "no_text")
        assert "OCR" in document["failure"]["message"]
        [listed] = client.get(f"{BASES}/{base['_id']}/documents", params={"status": "failed"}).json()
        assert listed["failure"] == document["failure"]

    @pytest.mark.parametrize(
        ("file", "code"),
        [
            pytest.param(("empty.txt", b""), "empty_file", id="empty"),
            pytest.param(("blank.txt", b" \n"), "empty_file", id="blank"),
            pytest.param(("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100)), "unsupported_file", id="picture"),
            pytest.param(("photo.txt", b"\x89PNG\r\n\x1a\n" + bytes(100)), "unsupported_file", id="disguised picture"),
            pytest.param(("x.zip", b"PK\x03\x04" + bytes(100)), "unsupported_file", id="archive"),
        ],
    )
    def test_what_no_file_can_be_is_refused_at_once(self, client, base, file, code):
        answer = upload(client, base, *file)

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert client.get(f"{BASES}/{base['_id']}/documents").json() == []

    def test_file_over_twenty_mebibytes_is_refused(self, client, base):
        answer = upload(client, base, "long.txt", b"x" * (20 * 1024 * 1024 + 1), "text/plain")

        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")

    @pytest.mark.parametrize("metadata", ["{", "[]", '{"a": 1}', json.dumps({"a": "x" * 501})])
    def test_metadata_must_be_texts(self, client, base, metadata):
        answer = upload(client, base, "a.txt", b"Hello", "text/plain", metadata=metadata)

        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "/metadata")


class TestSearch:
    def test_passage_cites_its_place(self, client, base):
        document = add(client, base, f"# Returns\n\n{RETURNS}", sourceUrl="https://example.com/returns")

        found = find(client, base, "Hello there! For how many days can I return a parcel?")

        assert found["relevant"]
        [passage] = found["passages"]
        citation = passage["citation"]
        assert document["content"][citation["start"] : citation["end"]] == passage["text"]
        assert (citation["documentId"], citation["title"]) == (document["_id"], "Help")
        assert citation["sourceUrl"] == "https://example.com/returns"
        assert 0.36 <= passage["score"] <= 1

    def test_nothing_relevant_is_said(self, client, base):
        add(client, base)

        assert find(client, base, "Which wine goes with salmon?") == {"relevant": False, "passages": []}

    def test_filters_choose_documents(self, client, base):
        one = add(client, base, metadata={"language": "en", 'odd "name': "x"})
        two = add(client, base, metadata={"language": "es"})

        def cited(**filters: Any) -> set[str]:
            found = find(client, base, "What does delivery cost?", filters=filters)
            return {passage["citation"]["documentId"] for passage in found["passages"]}

        assert cited() == {one["_id"], two["_id"]}
        assert cited(metadata={"language": "es"}) == {two["_id"]}
        assert cited(metadata={"language": "en", 'odd "name': "x"}) == {one["_id"]}
        assert cited(metadata={"language": "en", "more": "x"}) == set()
        assert cited(documentIds=[one["_id"]], sourceTypes=["text", "file"]) == {one["_id"]}
        assert cited(sourceTypes=["sitemap"]) == set()

    def test_limit_is_kept(self, client, base):
        for _ in range(3):
            add(client, base)

        assert len(find(client, base, "What does delivery cost?", limit=2)["passages"]) == 2

    @pytest.mark.parametrize("query", ["?!", "🙂", "x", "'; DROP TABLE lead; --", '"', "OR AND NOT NEAR(", "{}[]()*:^"])
    def test_odd_questions_are_answered(self, client, base, query):
        add(client, base)

        assert find(client, base, query)["relevant"] is False
