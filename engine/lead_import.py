"""Importing a file of leads: at once where it is short, as a job in the lane `import:<batch>` where it is long.

Of a long file each chunk is one row of the outbox and one transaction: leads, progress and the next chunk's row commit
together. Whenever a worker dies, the next one goes on after the last row that was committed, and no row counts twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from engine.imports import (
    CsvError,
    CsvSource,
    LeadRow,
    MappingError,
    Preview,
    RowError,
    SourceRow,
    open_csv,
    open_text,
    rows_to_leads,
)
from engine.imports import preview as look_at
from engine.jobs import doorbell
from engine.jobs.registry import Task, job
from storage import clock, imports, lead_import, outbox
from storage.database import after_commit, connection, is_sqlite, transaction
from storage.errors import Blocked
from storage.imports import ImportBatch, Order, RefusedRow
from storage.lead_import import ImportRow
from storage.leads import LeadChanges
from storage.tenancy import Actor, Tenant

AT_ONCE = 10_000  # rows; a longer file is left to the workers
CHUNK = 4096  # rows: some 200 ms of SQLite
_CHUNK_POSTGRESQL = 2048  # rows at most: it takes twice as long for each
LEASE_S = 30.0
MAX_COLUMN_NAME = 500
READ_BYTES = 64 * 1024

_LOOK_AT_LEASE_EVERY = 1000  # rows that are only counted or skipped
_KEPT_OPEN = 8
_PAUSE_S = 0.01
_INTERRUPTED = "The import was interrupted. The rows counted here are imported."
_STOPPED = "The import met an error again and again and was stopped. The rows counted here are imported."

Open = Callable[[], CsvSource]
ReadRow = ImportRow | RefusedRow


def preview(source: Open) -> Preview:
    """What a file holds. Raises Blocked: it cannot be read, or is too wide."""
    with _refused():
        return look_at(_opened(source))


def confirm_content(tenant: Tenant, content: str, order: Order, actor: Actor) -> ImportBatch:
    """Import a text: a completed batch, or a queued one where it is long. Raises Blocked."""

    def keep() -> int:
        step = imports.PIECE_BYTES // 4  # characters: UTF-8 has up to four bytes for each
        texts = (content[start : start + step] for start in range(0, len(content), step))
        return int(imports.keep(tenant, (text.encode() for text in texts)).id)

    return _confirm(tenant, partial(open_text, content), order, actor, keep)


def confirm_upload(tenant: Tenant, upload_oid: str, order: Order, actor: Actor) -> ImportBatch:
    """Import an upload: a completed batch, or a queued one where it is long. Raises Blocked, NotFound, Conflict."""
    with transaction():
        upload = imports.hold_upload(tenant, upload_oid)
        batch = _confirm(tenant, partial(_open_upload, tenant, upload.id), order, actor, lambda: upload.id)
        if batch.status == "completed":
            imports.discard(tenant, upload.id)
    return batch


def import_file(
    tenant: Tenant, path: Path, order: Order, actor: Actor, progress: Callable[[ImportBatch], object]
) -> ImportBatch:
    """Import a file from disk in this process, in the same memory however long it is; `progress` learns of each chunk.

    Each chunk is one transaction. Raises Blocked before anything is imported. Whatever else is raised leaves a failed
    batch of the chunks before it, to be undone or imported over.
    """
    source = partial(open_file, path)
    with _refused():
        total = sum(1 for _ in _opened(source))
        rows = rows_to_leads(_opened(source), order.mapping, order.region)
    batch = imports.open_batch(tenant, order, actor, total=total)
    try:
        reading = _Reading(batch, rows)
        is_last = False
        while not is_last:
            chunk = reading.take()
            with transaction():
                is_last = _store(tenant, batch, chunk)
            progress(batch)
            _let_others_write()
    except BaseException:
        with transaction():
            imports.fail(tenant, imports.get(tenant, batch.oid), _INTERRUPTED)
        raise
    return batch


def open_file(path: Path) -> CsvSource:
    """A CSV file on disk. Raises CsvError, OSError."""
    return open_csv(_chunks(path))


def lane_of(oid: str) -> str:
    """The lane of the outbox that the chunks of this batch go through."""
    return f"import:{oid}"


def _confirm(tenant: Tenant, source: Open, order: Order, actor: Actor, keep: Callable[[], int]) -> ImportBatch:
    with _refused(), transaction():
        total = sum(1 for _ in islice(_opened(source), AT_ONCE + 1))
        rows = rows_to_leads(_opened(source), order.mapping, order.region)
        if total > AT_ONCE:
            batch = imports.open_batch(tenant, order, actor, upload_id=keep())
            _put_next(tenant, batch)
            after_commit(partial(doorbell.ring, lane_of(batch.oid)))
        else:
            batch = imports.open_batch(tenant, order, actor, total=total)
            read = [_prepared(batch, row) for row in rows]  # all, before the first write holds up others
            for start in range(0, len(read) + 1, _chunk()):
                _store(tenant, batch, read[start : start + _chunk()])
    return batch


def _chunk() -> int:
    return CHUNK if is_sqlite() else min(CHUNK, _CHUNK_POSTGRESQL)


def _store(tenant: Tenant, batch: ImportBatch, chunk: Sequence[ReadRow]) -> bool:
    """Make leads of a chunk and count it, in the caller's transaction; True if it was the last one of the file."""
    outcome = lead_import.store(tenant, batch, [row for row in chunk if isinstance(row, ImportRow)])
    outcome.refused += [row for row in chunk if isinstance(row, RefusedRow)]
    outcome.refused.sort(key=lambda refused: refused.row)
    imports.advance(batch, outcome)
    if len(chunk) == _chunk():
        return False
    imports.complete(tenant, batch)
    return True


def _prepared(batch: ImportBatch, row: LeadRow | RowError) -> ReadRow:
    if isinstance(row, RowError):
        return RefusedRow(row.row, row.message)
    says: LeadChanges = {"custom_fields": row.custom_fields, "tags": row.tags}
    if row.phone:
        says["phone"], says["phone_valid"] = row.phone, row.phone_valid
    if row.name:
        says["name"] = row.name
    if row.email:
        says["email"] = row.email
    if row.status:
        says["status"] = row.status
    if row.source:
        says["source"] = row.source
    if row.external_id:
        says["external_id"] = row.external_id
    if row.timezone:
        says["timezone"] = row.timezone
    return lead_import.prepared(batch, row.row, says)


def stop(task: Task, reason: str) -> None:
    """After the last attempt the batch has failed; the reason stays on the outbox row, which no client reads."""
    del reason
    imports.fail(task.tenant, imports.get(task.tenant, task.payload["batch"]), _STOPPED)


@job("import", lease_s=LEASE_S, gave_up=stop)
def work(task: Task) -> None:
    """The next chunk of a batch, once its rows are counted: payload {batch}."""
    with connection():
        batch = imports.get(task.tenant, task.payload["batch"])
        try:
            if batch.total is None:
                _count(task, batch)
            else:
                _take_chunk(task, batch)
        except (CsvError, MappingError) as error:  # reading it again will not help
            with transaction():
                task.complete()
                imports.fail(task.tenant, batch, str(error))


def _count(task: Task, batch: ImportBatch) -> None:
    total = sum(1 for _ in _under_lease(task, _open_upload(task.tenant, batch.upload_id)))
    with transaction():
        task.complete()
        imports.begin(batch, total)
        _put_next(task.tenant, batch)


def _take_chunk(task: Task, batch: ImportBatch) -> None:
    reading = _open_readings.pop(batch) or _read_on(task, batch)
    chunk = reading.take()
    with transaction():
        task.complete()
        if not _store(task.tenant, batch, chunk):
            _put_next(task.tenant, batch)
            _open_readings.put(batch, reading)  # before others can see the next row; void if this is rolled back
    _let_others_write()


def _let_others_write() -> None:
    """A moment without SQLite's write lock: other processes look for it now and then, they do not queue up."""
    if is_sqlite():
        time.sleep(_PAUSE_S)


def _put_next(tenant: Tenant, batch: ImportBatch) -> None:
    """Nobody is rung for it: who worked on the last chunk has the file open and looks into the lane again."""
    outbox.put(tenant, "import", lane_of(batch.oid), {"batch": batch.oid})


def _read_on(task: Task, batch: ImportBatch) -> _Reading:
    """The file after the rows that are done; these are only skipped, not understood: that is twenty times as fast."""
    source = _open_upload(task.tenant, batch.upload_id)
    rows = iter(source)
    for _ in _under_lease(task, islice(rows, batch.processed)):
        pass
    order = imports.order_of(batch)
    return _Reading(batch, rows_to_leads(_Rest(source.headers, rows), order.mapping, order.region))


def _under_lease(task: Task, rows: Iterable[Any]) -> Iterator[Any]:
    """The rows, the lease prolonged while they last. Raises LeaseLost."""
    third = timedelta(seconds=LEASE_S / 3)
    due = clock.now() + third
    for number, row in enumerate(rows, 1):
        if number % _LOOK_AT_LEASE_EVERY == 0 and clock.now() >= due:
            outbox.extend(task.claim, clock.now(), LEASE_S)
            due = clock.now() + third
        yield row


class _Rest(CsvSource):
    """What is left of a source after its first rows."""

    def __init__(self, headers: tuple[str, ...], rows: Iterator[SourceRow | RowError]) -> None:
        self.headers = headers
        self._rows = rows

    def __iter__(self) -> Iterator[SourceRow | RowError]:
        return self._rows


class _Reading:
    """A file in the middle of being read, a chunk ahead of what is stored: in a thread, for databases leave the GIL."""

    def __init__(self, batch: ImportBatch, rows: Iterator[LeadRow | RowError]) -> None:
        self._batch = batch
        self._rows = rows
        self._next: Future[list[ReadRow]] | None = None
        self.position = batch.processed  # rows taken

    def take(self) -> list[ReadRow]:
        """The next chunk; a shorter one is the last. Raises what reading raises."""
        chunk = self._next.result() if self._next is not None else self._read()
        self.position += len(chunk)
        self._next = _readers.submit(self._read) if len(chunk) == _chunk() else None
        return chunk

    def _read(self) -> list[ReadRow]:
        with connection():
            return [_prepared(self._batch, row) for row in islice(self._rows, _chunk())]


class _OpenReadings:
    """The files that chunks of this process were read from last, so that the next chunk need not skip to its place."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}
        self._lock = threading.Lock()

    def pop(self, batch: ImportBatch) -> _Reading | None:
        """The reading that is where the batch is; None if there is none, or the batch went on without it."""
        with self._lock:
            reading = self._readings.pop(batch.oid, None)
        return reading if reading is not None and reading.position == batch.processed else None

    def put(self, batch: ImportBatch, reading: _Reading) -> None:
        """Keep a reading; of more than a few the oldest is let go."""
        with self._lock:
            self._readings[batch.oid] = reading
            while len(self._readings) > _KEPT_OPEN:
                del self._readings[next(iter(self._readings))]


_open_readings = _OpenReadings()
_readers = ThreadPoolExecutor(2, thread_name_prefix="import-reader")


def _opened(source: Open) -> CsvSource:
    opened = source()
    if too_long := next((name for name in opened.headers if len(name) > MAX_COLUMN_NAME), None):
        raise CsvError(
            f"The name of column '{too_long[:40]}…' has {len(too_long)} characters; {MAX_COLUMN_NAME} is the most."
        )
    return opened


def _open_upload(tenant: Tenant, upload_id: int | None) -> CsvSource:
    if upload_id is None:
        raise CsvError("The file is not here any more.")
    return open_csv(imports.pieces(tenant, upload_id))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (CsvError, MappingError) as error:
        raise Blocked("invalid_csv", str(error)) from error
