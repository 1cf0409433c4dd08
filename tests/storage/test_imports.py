"""Uploads, batches, and what a row of an imported file does to the leads there are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from storage import audit, clock, database, imports, lead_import, lead_text, leads
from storage.errors import Conflict, NotFound
from storage.imports import ImportBatch, Order, Outcome, RefusedRow
from storage.lead_import import ImportRow
from storage.leads import Lead

A, B, C = "+12025550191", "+12025550192", "+12025550193"


@pytest.fixture
def batch(tenant, actor) -> Callable[..., ImportBatch]:
    def make(**order: Any) -> ImportBatch:
        return imports.open_batch(tenant, Order(mapping={"Phone": "phone"}, **order), actor)

    return make


@pytest.fixture
def store(tenant, batch):
    """Stores rows, given as what they say, numbered from 2; answers imported, updated, skipped, refused."""

    def run(*says: Any, chunk: int = 100, **order: Any) -> tuple[int, int, int, list[RefusedRow]]:
        made, total = batch(**order), Outcome()
        rows = [ImportRow(number, each) for number, each in enumerate(says, 2)]
        for start in range(0, len(rows), chunk):
            outcome = lead_import.store(tenant, made, rows[start : start + chunk])
            total.imported += outcome.imported
            total.updated += outcome.updated
            total.skipped += outcome.skipped
            total.refused += outcome.refused
        return total.imported, total.updated, total.skipped, total.refused

    return run


def dated_back(row: Any, **columns: timedelta) -> None:
    row.store(**{name: clock.iso(clock.now() - age) for name, age in columns.items()})


class TestUploads:
    def test_file_comes_back_as_it_was_in_pieces(self, tenant, monkeypatch):
        monkeypatch.setattr(imports, "PIECE_BYTES", 10)
        data = bytes(range(256))

        upload = imports.keep(tenant, [data[:3], b"", data[3:140], data[140:]])

        pieces = list(imports.pieces(tenant, upload.id))
        assert b"".join(pieces) == data
        assert [len(piece) for piece in pieces] == [10] * 25 + [6]
        assert upload.size_bytes == 256

    def test_upload_of_another_tenant_is_not_found(self, tenant, other_tenant):
        upload = imports.keep(other_tenant, [b"Phone\n"])

        with pytest.raises(NotFound):
            imports.hold_upload(tenant, upload.oid)
        assert list(imports.pieces(tenant, upload.id)) == []

    def test_upload_is_read_by_one_import_at_a_time(self, tenant, actor):
        upload = imports.keep(tenant, [b"Phone\n"])
        order = Order({"Phone": "phone"})
        batch = imports.open_batch(tenant, order, actor, upload_id=upload.id)

        with pytest.raises(Conflict) as refusal:
            imports.hold_upload(tenant, upload.oid)
        imports.fail(tenant, batch, "no")

        assert refusal.value.details == batch.oid
        assert imports.hold_upload(tenant, upload.oid) == upload

    def test_purge_takes_old_uploads_that_nobody_reads(self, tenant, other_tenant, actor):
        fresh, old, read, foreign = (
            imports.keep(owner, [b"Phone\n"]) for owner in (tenant, tenant, tenant, other_tenant)
        )
        imports.open_batch(tenant, Order({}), actor, upload_id=read.id)
        for upload in (old, read, foreign):
            dated_back(upload, created_at=timedelta(hours=25))

        assert imports.purge(batch=1) == 1
        assert imports.purge() == 1

        assert imports.hold_upload(tenant, fresh.oid)
        assert list(imports.pieces(tenant, old.id)) == []
        assert list(imports.pieces(tenant, read.id)) == [b"Phone\n"]

    def test_import_from_disk_whose_process_died_fails(self, tenant, batch):
        dead, alive = batch(), batch()
        dated_back(dead, updated_at=timedelta(hours=2))

        imports.purge()

        assert imports.get(tenant, dead.oid).status == "failed"
        assert imports.get(tenant, alive.oid).status == "running"


class TestRows:
    def test_new_leads_are_numbered_and_counted(self, tenant, make_lead, batch):
        make_lead()
        made = batch(tags=["fair"])

        lead_import.store(
            tenant,
            made,
            [
                ImportRow(2, {"phone": A, "phone_valid": True, "tags": ("x", "fair")}),
                ImportRow(3, {"email": "b@example.com"}),
            ],
        )

        first, second = leads.get(tenant, 2), leads.get(tenant, 3)
        assert (first.name, first.source, first.tags, first.import_batch_id) == (
            "Unknown",
            "import",
            ["fair", "x"],
            made.oid,
        )
        assert first.search_text == f"\nunknown\n{A}\nfair\nx\n"
        assert (second.phone, second.email) == ("", "b@example.com")
        assert leads.count(tenant) == 3

    def test_everything_a_row_says_is_stored(self, tenant, store):
        says = {
            "name": "Ada",
            "phone": A,
            "phone_valid": False,
            "email": "ada@example.com",
            "status": "qualified",
            "source": "fair",
            "tags": ("a",),
            "custom_fields": {"x": "ä\n\u2028"},
            "external_id": "7",
            "timezone": "Europe/Berlin",
        }

        store(says)

        lead = leads.get(tenant, 1)
        assert {name: getattr(lead, name) for name in says} == {**says, "tags": ["a"]}

    @pytest.mark.parametrize(
        "says",
        [
            {"name": "Ada  Lovelace", "external_id": "A 1", "tags": ("VIP", "Straße")},
            {"name": " Ada\u2003", "external_id": "7\u2003", "tags": ("x ", "\u2003", " y")},
            {"name": "İpek ﬁ", "email": "İpek@example.com", "external_id": "\u2003"},
            {"name": "x" * 150, "external_id": "7"},
        ],
    )
    def test_lead_is_searched_and_sorted_like_any_other(self, tenant, store, says):
        store(says)

        lead = leads.get(tenant, 1)
        said = [lead.name, lead.phone, lead.email, lead.external_id, *lead.tags]
        assert (lead.name_key, lead.search_text) == (lead_text.name_key(lead.name), lead_text.search_text(said))

    @pytest.mark.parametrize("chunk", [1, 2, 100])
    @pytest.mark.parametrize(
        ("rows", "numbers"),
        [
            pytest.param([{"phone": A}, {"phone": A}, {"phone": B}], [1, 1, 2], id="phone"),
            pytest.param(
                [{"phone": A, "email": "x@example.com"}, {"phone": B, "email": "x@example.com"}],
                [1, 2],
                id="phone before email",
            ),
            pytest.param(
                [{"phone": A, "email": "x@example.com"}, {"email": "X@Example.com"}],
                [1, 1],
                id="email where there is no phone",
            ),
            pytest.param(
                [{"email": "x@example.com"}, {"phone": A, "email": "x@example.com"}],
                [1, 2],
                id="a phone is never given to an email",
            ),
            pytest.param(
                [{"external_id": "7"}, {"external_id": "7"}, {"external_id": "8"}], [1, 1, 2], id="external id"
            ),
            pytest.param(
                [{"phone": A, "external_id": "7"}, {"phone": B, "external_id": "7"}], [1, 1], id="known id, new phone"
            ),
            pytest.param(
                [{"email": "x@example.com", "external_id": "7"}, {"email": "y@example.com", "external_id": "7"}],
                [1, 1],
                id="known id, new email",
            ),
            pytest.param(
                [
                    {"phone": A, "email": "x@example.com"},
                    {"phone": B, "email": "x@example.com", "external_id": "7"},
                    {"email": "x@example.com", "external_id": "7"},
                ],
                [1, 2, 2],
                id="of equal emails the one with the id",
            ),
        ],
    )
    @pytest.mark.parametrize("on_duplicate", ["skip", "update"])
    def test_row_means_the_lead(self, tenant, store, chunk, rows, numbers, on_duplicate):
        says = [{**row, "custom_fields": {f"row {place}": "here"}} for place, row in enumerate(rows)]

        imported, updated, skipped, refused = store(*says, chunk=chunk, on_duplicate=on_duplicate)

        known = len(rows) - len(set(numbers))
        assert (imported, updated, skipped) == (
            len(set(numbers)),
            *((0, known) if on_duplicate == "skip" else (known, 0)),
        )
        assert refused == []
        if on_duplicate == "update":
            found = [
                next(lead.number for lead in Lead.of(tenant) if f"row {place}" in lead.custom_fields)
                for place in range(len(rows))
            ]
            assert found == numbers

    def test_skipped_row_changes_nothing(self, tenant, store, make_lead):
        before = leads.get(tenant, make_lead(phone=A, name="Ada").number).__data__

        assert store({"phone": A, "name": "Bob", "tags": ("x",)}) == (0, 0, 1, [])

        assert leads.get(tenant, 1).__data__ == before

    def test_update_keeps_what_the_row_does_not_say(self, tenant, store, make_lead):
        make_lead(phone=A, name="Ada", email="a@example.com", tags=["old"], custom_fields={"x": "1", "y": "2"})

        answer = store(
            {"phone": A, "status": "contacted", "tags": ("new",), "custom_fields": {"y": "3"}},
            on_duplicate="update",
            tags=["fair"],
        )

        lead = leads.get(tenant, 1)
        assert answer == (0, 1, 0, [])
        assert (lead.name, lead.email, lead.status, lead.source) == ("Ada", "a@example.com", "contacted", "api")
        assert (lead.tags, lead.custom_fields) == (["old", "fair", "new"], {"x": "1", "y": "3"})
        assert lead.import_batch_id is None
        assert "new" in lead.search_text
        assert leads.count(tenant) == 1

    @pytest.mark.parametrize("chunk", [1, 2, 100])
    def test_phones_move_from_lead_to_lead(self, tenant, store, make_lead, chunk):
        make_lead(phone=A, external_id="1")
        make_lead(phone=B, external_id="2")

        answer = store(
            {"external_id": "1", "phone": C},
            {"external_id": "2", "phone": A},
            {"external_id": "3", "phone": B},
            on_duplicate="update",
            chunk=chunk,
        )

        assert answer == (1, 2, 0, [])
        assert {lead.external_id: lead.phone for lead in leads.live(tenant)} == {"1": C, "2": A, "3": B}

    @pytest.mark.parametrize("chunk", [1, 100])
    def test_id_of_another_lead_is_refused(self, tenant, store, make_lead, chunk):
        make_lead(phone=A, external_id="1")
        make_lead(phone=B)

        *counts, refused = store({"phone": C}, {"phone": B, "external_id": "1"}, on_duplicate="update", chunk=chunk)

        assert counts == [1, 0, 0]
        assert refused == [RefusedRow(3, "The external id belongs to another lead than the row means")]
        assert store({"phone": B, "external_id": "1"}) == (0, 0, 1, [])

    def test_lead_with_too_much_is_refused_alone(self, store):
        tags = tuple(f"tag {number}" for number in range(50))

        *counts, refused = store({"phone": A, "tags": tags}, {"phone": B}, tags=["one more"])

        assert counts == [1, 0, 0]
        assert refused == [RefusedRow(2, "A lead has at most 50 tags")]

    def test_deleted_and_foreign_leads_are_not_known(self, tenant, other_tenant, store, make_lead, actor):
        leads.delete(tenant, make_lead(phone=A, email="a@example.com", external_id="1").number, actor)
        make_lead(other_tenant, phone=B)

        assert store({"phone": A}, {"phone": B}, {"email": "a@example.com"}, {"external_id": "1"}) == (4, 0, 0, [])
        assert leads.count(tenant) == 4

    def test_hundreds_of_rows_fill_whole_statements_and_the_rest(self, tenant, store):
        rows = [{"phone": f"+1202555{number:04}", "name": f"Lead {number}"} for number in range(250)]

        assert store(*rows, chunk=250) == (250, 0, 0, [])
        assert store(*({**row, "source": "again"} for row in rows), chunk=250, on_duplicate="update") == (0, 250, 0, [])

        stored = list(leads.live(tenant).order_by(Lead.number))
        assert [(lead.number, lead.name, lead.source) for lead in stored] == [
            (number + 1, f"Lead {number}", "again") for number in range(250)
        ]


class TestUndo:
    def test_leads_of_the_batch_are_deleted_and_the_batch_is_gone(self, tenant, store, batch, make_lead, actor):
        kept = make_lead(phone=A)
        made = batch(on_duplicate="update")
        lead_import.store(tenant, made, [ImportRow(2, {"phone": A, "name": "Ada"}), ImportRow(3, {"phone": B})])
        imports.complete(tenant, made)

        assert imports.undo(tenant, made.oid, actor) == 1

        assert [lead.number for lead in leads.live(tenant)] == [kept.number]
        assert leads.count(tenant) == 1
        for again in (imports.get, lambda *args: imports.undo(*args, actor)):
            with pytest.raises(NotFound):
                again(tenant, made.oid)
        assert leads.restore(tenant, 2, actor).phone == B

    def test_lead_that_was_deleted_before_is_not_counted_twice(self, tenant, batch, actor):
        made = batch()
        lead_import.store(tenant, made, [ImportRow(2, {"phone": A}), ImportRow(3, {"phone": B})])
        imports.complete(tenant, made)
        leads.delete(tenant, 1, actor)

        assert imports.undo(tenant, made.oid, actor) == 1
        assert leads.count(tenant) == 0

    def test_unfinished_batch_is_kept(self, tenant, batch, actor):
        made = batch()

        with pytest.raises(Conflict) as refusal:
            imports.undo(tenant, made.oid, actor)

        assert refusal.value.code == "import_running"

    def test_failed_batch_can_be_undone(self, tenant, batch, actor):
        made = batch()
        lead_import.store(tenant, made, [ImportRow(2, {"phone": A})])
        imports.fail(tenant, made, "no")

        assert imports.undo(tenant, made.oid, actor) == 1

    def test_foreign_batch_is_not_found(self, other_tenant, batch, actor):
        made = batch()

        for refuse in (imports.get, lambda *args: imports.undo(*args, actor)):
            with pytest.raises(NotFound):
                refuse(other_tenant, made.oid)


def test_counts_add_up_and_the_first_hundred_errors_are_kept(tenant, batch):
    made = batch()
    refused = [RefusedRow(number, "no" * 1000) for number in range(2, 82)]

    imports.advance(made, Outcome(imported=1, refused=refused))
    imports.advance(made, Outcome(updated=2, skipped=3, refused=refused))

    stored = imports.get(tenant, made.oid)
    assert (stored.processed, stored.imported, stored.updated, stored.duplicates_skipped) == (166, 1, 2, 3)
    assert (stored.errors, len(stored.error_rows)) == (160, 100)
    assert stored.error_rows[0] == {"row": 2, "message": "no" * 500}


def test_batch_is_audited_once(tenant, batch, actor):
    made = batch()
    imports.advance(made, Outcome(imported=2))
    imports.complete(tenant, made)

    imports.undo(tenant, made.oid, actor)

    imported, undone = audit.AuditEntry.of(tenant.account_id).order_by(audit.AuditEntry.id)
    assert (imported.action, imported.resource_id, imported.actor_ip) == ("lead.imported", made.oid, actor.ip)
    assert imported.metadata == {
        "status": "completed",
        "imported": 2,
        "updated": 0,
        "duplicates_skipped": 0,
        "errors": 0,
    }
    assert (undone.action, undone.metadata) == ("lead.import_undone", {"deleted": 0})


@pytest.mark.parametrize("column", ["phone", "email", "external_id"])
def test_known_leads_are_found_by_index(sqlite_tenant, column, monkeypatch):
    asked: list[tuple[str, Any]] = []
    run = database.database.obj.execute_sql

    def listen(sql: str, params: Any = None) -> Any:
        asked.append((sql, params))
        return run(sql, params)

    monkeypatch.setattr(database.database.obj, "execute_sql", listen)
    lead_import._candidates(sqlite_tenant, [ImportRow(2, {column: A}), ImportRow(3, {column: B})])
    monkeypatch.undo()

    [(sql, params)] = asked
    plan = str(database.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall())
    assert f"_lead_{column}" in plan
