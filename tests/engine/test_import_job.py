"""Imports as jobs: what is done at once, what is left to workers, and what remains of it when they die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import lead_import
from engine.jobs import worker
from storage import audit, imports, leads, outbox
from storage.database import transaction
from storage.errors import Blocked, Conflict, NotFound
from storage.imports import ImportBatch, Order
from storage.leads import Lead
from storage.outbox import LeaseLost
from storage.tenancy import Tenant

MAPPING = {"Name": "name", "Mobile": "phone", "Mail": "email"}


class Killed(BaseException):
    """The process ends here: nobody catches it, nobody cleans up."""


def line(number: int) -> str:
    return f"Lead {number},+1202555{number:04},lead{number}@example.com"


def csv(*lines: str) -> str:
    return "\n".join(["Name,Mobile,Mail", *lines]) + "\n"


FILE = csv(*(line(number) for number in range(25)), "Nobody,,", line(3), line(24))  # 28 rows


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Files over ten rows are long, and imported seven rows at a time."""
    monkeypatch.setattr(lead_import, "AT_ONCE", 10)
    monkeypatch.setattr(lead_import, "CHUNK", 7)


@pytest.fixture
def confirm(tenant, actor):
    def run(content: str = FILE, mapping: Any = MAPPING, **order: Any) -> ImportBatch:
        with transaction():
            return lead_import.confirm_content(tenant, content, Order(mapping, region="US", **order), actor)

    return run


@pytest.fixture
def state(tenant) -> Callable[[ImportBatch], tuple[Any, ...]]:
    """Status and counts of a batch: total, processed, imported, updated, skipped, errors."""

    def read(batch: ImportBatch) -> tuple[Any, ...]:
        row = imports.get(tenant, batch.oid)
        return (
            row.status,
            row.total,
            row.processed,
            row.imported,
            row.updated,
            row.duplicates_skipped,
            row.errors,
        )

    return read


def work(batch: ImportBatch) -> int:
    return worker.work_lane(lead_import.lane_of(batch.oid))


def new_process() -> None:
    lead_import._open_readings.__init__()


def numbers(tenant: Tenant) -> list[int]:
    return [lead.number for lead in leads.live(tenant).order_by(Lead.number)]


class TestAtOnce:
    def test_short_file_is_imported_before_the_answer(self, tenant, confirm, state):
        batch = confirm(csv(*map(line, range(9)), line(3)), tags=["fair"])

        assert state(batch) == ("completed", 10, 10, 9, 0, 1, 0)
        assert numbers(tenant) == list(range(1, 10))
        assert leads.get(tenant, 1).tags == ["fair"]
        assert outbox.lane_moves_at(lead_import.lane_of(batch.oid)) is None

    def test_file_without_rows_is_imported(self, confirm, state):
        assert state(confirm(csv())) == ("completed", 0, 0, 0, 0, 0, 0)

    def test_crash_leaves_nothing(self, tenant, confirm, monkeypatch):
        advance = imports.advance

        def die_at_second(batch: ImportBatch, outcome: Any) -> None:
            if batch.processed:
                raise Killed
            advance(batch, outcome)

        monkeypatch.setattr(imports, "advance", die_at_second)
        with pytest.raises(Killed):
            confirm(csv(*map(line, range(10))))

        assert (numbers(tenant), leads.count(tenant)) == ([], 0)
        assert list(ImportBatch.of(tenant)) == []

    @pytest.mark.parametrize(
        ("content", "mapping", "message"),
        [
            pytest.param(FILE, {"Nix": "phone"}, "The file has no column 'Nix'.", id="unknown column"),
            pytest.param(
                FILE, {"Name": "name"}, "Map at least one column to phone, email or externalId.", id="no identity"
            ),
            pytest.param(
                ",".join(f"c{n}" for n in range(201)),
                MAPPING,
                "The file has 201 columns; 200 is the most.",
                id="too wide",
            ),
            pytest.param(
                "Phone\n" + "x" * 1_100_000,
                {"Phone": "phone"},
                "A line is longer than 1 MiB. This does not look like a CSV file.",
                id="no text",
            ),
        ],
    )
    def test_file_that_makes_no_sense_is_refused(self, tenant, confirm, content, mapping, message):
        with pytest.raises(Blocked) as refusal:
            confirm(content, mapping)

        assert (refusal.value.code, refusal.value.message) == ("invalid_csv", message)
        assert list(ImportBatch.of(tenant)) == []

    def test_column_with_an_endless_name_is_refused(self, confirm):
        with pytest.raises(Blocked, match="has 600 characters; 500 is the most"):
            confirm("Phone," + "x" * 600, {"Phone": "phone"})

    def test_id_that_no_client_could_read_is_an_error_row(self, tenant, confirm):
        batch = confirm(f"Id\n{'x' * 201}\n7\n", {"Id": "externalId"})

        assert batch.error_rows == [{"row": 2, "message": "The external id has 201 characters; 200 is the most."}]
        assert numbers(tenant) == [1]


class TestInTheBackground:
    def test_long_file_waits_for_a_worker(self, tenant, confirm, state):
        batch = confirm()

        assert state(batch) == ("queued", None, 0, 0, 0, 0, 0)
        assert numbers(tenant) == []

    def test_worker_imports_it_chunk_by_chunk(self, tenant, confirm, state):
        batch = confirm()
        lane = lead_import.lane_of(batch.oid)
        seen = []

        while worker.work_next(lane):
            seen.append(state(batch))

        assert seen == [
            ("running", 28, 0, 0, 0, 0, 0),
            ("running", 28, 7, 7, 0, 0, 0),
            ("running", 28, 14, 14, 0, 0, 0),
            ("running", 28, 21, 21, 0, 0, 0),
            ("running", 28, 28, 25, 0, 2, 1),
            ("completed", 28, 28, 25, 0, 2, 1),
        ]
        assert imports.get(tenant, batch.oid).error_rows[0]["row"] == 27
        assert numbers(tenant) == list(range(1, 26))
        assert leads.count(tenant) == 25

    def test_upload_goes_with_the_last_chunk(self, tenant, confirm):
        batch = confirm()

        work(batch)

        assert list(imports.pieces(tenant, batch.upload_id)) == []

    def test_second_import_may_update(self, tenant, confirm, state):
        work(confirm())

        batch = confirm(on_duplicate="update", tags=["again"])
        work(batch)

        assert state(batch) == ("completed", 28, 28, 0, 27, 0, 1)
        assert {tuple(lead.tags) for lead in leads.live(tenant)} == {("again",)}
        assert leads.count(tenant) == 25

    def test_batch_is_audited_once_with_who_confirmed_it(self, tenant, confirm, actor):
        batch = confirm()

        work(batch)

        [entry] = audit.AuditEntry.of(tenant.account_id)
        assert (entry.action, entry.resource_id, entry.actor_id) == ("lead.imported", batch.oid, actor.id)
        assert entry.metadata["imported"] == 25

    def test_unfinished_import_cannot_be_undone(self, tenant, confirm, actor):
        batch = confirm()
        for _ in range(3):
            with pytest.raises(Conflict):
                imports.undo(tenant, batch.oid, actor)
            worker.work_next(lead_import.lane_of(batch.oid))

        work(batch)

        assert imports.undo(tenant, batch.oid, actor) == 25
        assert leads.count(tenant) == 0

    def test_file_that_stops_making_sense_fails_before_the_first_lead(self, tenant, actor, state):
        good = csv("Renée,+12025559998,", *(line(number) for number in range(8000))).encode()
        upload = imports.keep(tenant, [good, b"Jos\xe9,+12025559999,\n"])
        with transaction():
            batch = lead_import.confirm_upload(tenant, upload.oid, Order(MAPPING), actor)

        work(batch)

        assert state(batch)[0] == "failed"
        assert "(0xE9) is no UTF-8 text" in imports.get(tenant, batch.oid).failure
        assert leads.count(tenant) == 0
        assert imports.hold_upload(tenant, upload.oid)


class TestUploads:
    @pytest.fixture
    def upload(self, tenant):
        return imports.keep(tenant, [FILE.encode("utf-16")])

    def confirm(self, tenant: Tenant, oid: str, actor: Any) -> ImportBatch:
        with transaction():
            return lead_import.confirm_upload(tenant, oid, Order(MAPPING, region="US"), actor)

    def test_long_upload_is_read_by_workers(self, tenant, actor, upload, state):
        batch = self.confirm(tenant, upload.oid, actor)
        with pytest.raises(Conflict):
            self.confirm(tenant, upload.oid, actor)

        work(batch)

        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)
        with pytest.raises(NotFound):
            self.confirm(tenant, upload.oid, actor)

    def test_short_upload_is_imported_and_gone(self, tenant, actor, upload, state, monkeypatch):
        monkeypatch.setattr(lead_import, "AT_ONCE", 28)

        batch = self.confirm(tenant, upload.oid, actor)

        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)
        with pytest.raises(NotFound):
            self.confirm(tenant, upload.oid, actor)

    def test_refused_mapping_keeps_the_upload(self, tenant, actor, upload):
        with pytest.raises(Blocked), transaction():
            lead_import.confirm_upload(tenant, upload.oid, Order({"Nix": "phone"}), actor)

        assert self.confirm(tenant, upload.oid, actor).status == "queued"


# The instants of a chunk at which its worker dies.
INSTANTS = {
    "before the leads": ("storage.lead_import.store", "before"),
    "after the leads": ("storage.lead_import.store", "after"),
    "after the progress": ("storage.imports.advance", "after"),
    "after the next row": ("storage.outbox.put", "after"),
    "after the last row": ("storage.imports.complete", "after"),
}


@pytest.mark.parametrize(("target", "when"), INSTANTS.values(), ids=list(INSTANTS))
class TestKilled:
    @pytest.fixture
    def dying(self, target, when, monkeypatch) -> Callable[[], None]:
        """From now on every other pass of this instant is the worker's last."""

        def arm() -> None:
            module, _, name = target.rpartition(".")
            found = {
                "storage.lead_import": lead_import.lead_import,
                "storage.imports": imports,
                "storage.outbox": outbox,
            }
            do = getattr(found[module], name)
            passes = [0]

            def die(*args: Any, **kwargs: Any) -> Any:
                passes[0] += 1
                done = do(*args, **kwargs) if when == "after" or passes[0] % 2 == 0 else None
                if passes[0] % 2:
                    raise Killed
                return done

            monkeypatch.setattr(found[module], name, die)

        return arm

    def test_import_goes_on_where_the_last_commit_ended(self, tenant, confirm, state, dying, advance):
        batch, kills = confirm(), 0
        dying()

        for _ in range(20):
            try:
                work(batch)
                break
            except Killed:
                kills += 1
                new_process()
                assert not work(batch), "the lease of the dead worker is respected"
                advance(lead_import.LEASE_S + 1)

        assert kills
        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)
        assert numbers(tenant) == list(range(1, 26))
        assert leads.count(tenant) == 25


class TestTrouble:
    def test_another_process_goes_on(self, tenant, confirm, state):
        batch = confirm()
        lane = lead_import.lane_of(batch.oid)

        while worker.work_next(lane):
            new_process()

        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)

    def test_stale_reading_is_not_used(self, tenant, confirm, state):
        batch = confirm()
        lane = lead_import.lane_of(batch.oid)
        for _ in range(2):
            worker.work_next(lane)
        stale = lead_import._open_readings._readings.copy()
        worker.work_next(lane)
        lead_import._open_readings._readings = stale

        work(batch)

        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)

    def test_worker_that_lost_its_lease_stores_nothing(self, tenant, confirm, state, advance, monkeypatch):
        batch = confirm()
        lane = lead_import.lane_of(batch.oid)
        worker.work_next(lane)
        store, overtaken = lead_import._store, []

        def overtake(*args: Any) -> bool:
            if not overtaken:
                overtaken.append(True)
                raise LeaseLost
            return store(*args)

        monkeypatch.setattr(lead_import, "_store", overtake)
        worker.work_next(lane)
        assert state(batch) == ("running", 28, 0, 0, 0, 0, 0)
        advance(lead_import.LEASE_S + 1)
        work(batch)

        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)

    def test_lease_is_prolonged_while_rows_are_skipped(self, confirm, advance, monkeypatch):
        monkeypatch.setattr(lead_import, "_LOOK_AT_LEASE_EVERY", 5)
        extended = []
        extend = outbox.extend
        monkeypatch.setattr(outbox, "extend", lambda *args: (extended.append(args), extend(*args)))
        rows_read = lead_import._under_lease

        def slowly(task: Any, rows: Any) -> Any:
            for row in rows_read(task, rows):
                advance(lead_import.LEASE_S / 8)
                yield row

        monkeypatch.setattr(lead_import, "_under_lease", slowly)
        batch = confirm()

        assert worker.work_next(lead_import.lane_of(batch.oid))

        assert len(extended) == 5

    def test_import_that_always_fails_is_given_up(self, tenant, confirm, state, advance, monkeypatch):
        batch = confirm()
        for _ in range(2):
            worker.work_next(lead_import.lane_of(batch.oid))

        def fail(*_: Any) -> None:
            raise RuntimeError("secret of the database")

        monkeypatch.setattr(lead_import, "_store", fail)
        while state(batch)[0] == "running":
            work(batch)
            advance(outbox.LONGEST_DELAY_S)

        assert state(batch) == ("failed", 28, 7, 7, 0, 0, 0)
        assert "secret" not in imports.get(tenant, batch.oid).failure
        assert outbox.parked(tenant)[0].error == "secret of the database"


class TestFromDisk:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "leads.csv"
        path.write_text(FILE)
        return path

    def test_chunks_are_told(self, tenant, actor, file, state):
        told = []

        batch = lead_import.import_file(
            tenant, file, Order(MAPPING, region="US"), actor, lambda batch: told.append(batch.processed)
        )

        assert told == [7, 14, 21, 28, 28]
        assert state(batch) == ("completed", 28, 28, 25, 0, 2, 1)

    def test_interruption_keeps_the_chunks_before_it(self, tenant, actor, file):
        def interrupt(batch: ImportBatch) -> None:
            if batch.processed == 14:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lead_import.import_file(tenant, file, Order(MAPPING, region="US"), actor, interrupt)

        [batch] = ImportBatch.of(tenant)
        assert (batch.status, batch.processed, batch.imported) == ("failed", 14, 14)
        assert numbers(tenant) == list(range(1, 15))
        assert imports.undo(tenant, batch.oid, actor) == 14

    def test_refused_file_leaves_no_batch(self, tenant, actor, file):
        with pytest.raises(Blocked):
            lead_import.import_file(tenant, file, Order({"Nix": "phone"}), actor, lambda _: None)

        assert list(ImportBatch.of(tenant)) == []


def test_two_files_are_imported_side_by_side(tenant, confirm, state):
    first, second = confirm(), confirm(csv(*(line(number) for number in range(100, 150))))

    while worker.work_next():
        continue

    assert state(first) == ("completed", 28, 28, 25, 0, 2, 1)
    assert state(second) == ("completed", 50, 50, 50, 0, 0, 0)
    assert numbers(tenant) == list(range(1, 76))
    assert leads.count(tenant) == 75
