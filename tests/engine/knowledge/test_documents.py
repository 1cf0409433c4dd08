"""Documents from their arrival to what is found in them."""

from __future__ import annotations

from engine.jobs import worker
from engine.knowledge import documents, index, search  # noqa: F401 (declares the job)
from storage import knowledge_documents


def test_text_is_found_with_its_span(tenant, actor):
    base = documents.create_base(tenant, name="Prices", description="", type_="internal", actor=actor)
    text = "# Prices\n\nA haircut costs 30 euros.\n\n# Opening hours\n\nWe are open from nine to five on weekdays."
    document = documents.add_document(tenant, base, title="Salon", content=text, actor=actor)

    assert worker.work_lane(documents.lane_of(document.oid)) == 1

    document = knowledge_documents.get(tenant, base, document.oid)
    assert (document.status, document.chunk_count, document.content) == ("ready", 1, text)
    [found] = search(tenant, [base.oid], "How much is a haircut?")
    assert found.text == text[found.start : found.end]
    assert (found.title, found.document_id) == ("Salon", document.oid)
