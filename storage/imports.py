"""Uploaded files, and the import batches that files become leads by.

    queued → running → completed → undone
                └→ failed ─────────┘

What an undone batch made is deleted, and readers find the batch no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from peewee import BigIntegerField, BlobField, IntegerField, JSONField, ModelDelete, ModelSelect, ModelUpdate, TextField

from . import audit, clock
from .base import TenantModel
from .database import after_commit, connection, database, is_sqlite, transaction
from .errors import Conflict, NotFound
from .ids import new_id
from .leads import Lead, enter, locked, move_counter
from .tenancy import Actor, Tenant

PIECE_BYTES = 256 * 1024
UPLOAD_KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(hours=1)  # a chunk takes a second
MANY = 10_000  # leads: of so many more in a go the database should know
MAX_ERROR_ROWS = 100
MAX_MESSAGE = 1000

OnDuplicate = Literal["skip", "update"]


class Upload(TenantModel):
    """A CSV file waiting to be confirmed, kept in pieces so that any worker reads it in bounded memory."""

    oid = TextField()
    size_bytes = BigIntegerField(default=0)
    created_at = TextField()


class UploadPiece(TenantModel):
    """One piece of an upload; pieces in order of `seq` are the file."""

    upload_id = BigIntegerField()
    seq = IntegerField()
    data = BlobField()


class ImportBatch(TenantModel):
    """One confirmed import. Without an upload its file is read from disk by the process that runs it."""

    oid = TextField()
    upload_id = BigIntegerField(null=True)
    status = TextField(default="queued")
    mapping = JSONField(default=dict)
    tags = JSONField(default=list)
    on_duplicate = TextField(default="skip")
    default_region = TextField(null=True)
    total = IntegerField(null=True)
    processed = IntegerField(default=0)  # rows whose effects are committed: where a restart goes on
    imported = IntegerField(default=0)
    updated = IntegerField(default=0)
    duplicates_skipped = IntegerField(default=0)
    errors = IntegerField(default=0)
    error_rows = JSONField(default=list)
    failure = TextField(null=True)
    actor = JSONField(default=dict)
    created_at = TextField()
    updated_at = TextField()


@dataclass(frozen=True, slots=True)
class Order:
    """What was confirmed: what the columns mean, what all leads are tagged with, what becomes of known leads.

    region: the country whose national notation of phones is read.
    """

    mapping: Mapping[str, str]
    tags: Sequence[str] = ()
    on_duplicate: OnDuplicate = "skip"
    region: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that could not become a lead; `row` counts like a spreadsheet: the header is 1."""

    row: int
    message: str


@dataclass(slots=True)
class Outcome:
    """What became of some rows."""

    imported: int = 0
    updated: int = 0
    skipped: int = 0
    refused: list[RefusedRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return self.imported + self.updated + self.skipped + len(self.refused)


def keep(tenant: Tenant, chunks: Iterable[bytes]) -> Upload:
    """Store a file whole or not at all, for 24 hours or until it is imported."""
    with transaction():
        upload = Upload.add(tenant, oid=new_id(), size_bytes=0, created_at=clock.stamp())
        size_bytes = 0
        for seq, data in enumerate(_pieces_of(chunks)):
            UploadPiece.add(tenant, upload_id=upload.id, seq=seq, data=data)
            size_bytes += len(data)
        upload.store(size_bytes=size_bytes)
    return upload


def hold_upload(tenant: Tenant, oid: str) -> Upload:
    """The upload, which nobody else confirms until the transaction ends.

    Raises NotFound (unknown, expired, imported), Conflict (an import is reading it).
    """
    upload: Upload | None = locked(Upload.of(tenant).where(Upload.oid == oid)).first()
    if upload is None:
        raise NotFound("upload_not_found", "Upload not found. It may have expired: send the file again.")
    reading = ImportBatch.of(tenant, ImportBatch.oid).where(ImportBatch.upload_id == upload.id, _is_open())
    if batch := reading.scalar():
        raise Conflict("upload_in_use", "This upload is being imported already", details=batch)
    return upload


def pieces(tenant: Tenant, upload_id: int) -> Iterator[bytes]:
    """The bytes of an upload, a piece at a time; each is a query of its own, so any thread may ask for the next."""
    seq = 0
    while piece := UploadPiece.of(tenant).where(UploadPiece.upload_id == upload_id, UploadPiece.seq == seq).first():
        yield bytes(piece.data)
        seq += 1


def discard(tenant: Tenant, upload_id: int) -> None:
    """Delete an upload."""
    Upload.remove(tenant).where(Upload.id == upload_id).execute()


def open_batch(
    tenant: Tenant, order: Order, actor: Actor, *, upload_id: int | None = None, total: int | None = None
) -> ImportBatch:
    """A new batch: queued where workers shall read an upload, else running, its rows in the caller's hands."""
    moment = clock.stamp()
    return ImportBatch.add(
        tenant,
        oid=new_id(),
        upload_id=upload_id,
        status="running" if upload_id is None else "queued",
        mapping=dict(order.mapping),
        tags=list(order.tags),
        on_duplicate=order.on_duplicate,
        default_region=order.region,
        total=total,
        actor=asdict(actor),
        created_at=moment,
        updated_at=moment,
    )


def order_of(batch: ImportBatch) -> Order:
    """What this batch was confirmed with."""
    return Order(batch.mapping, batch.tags, cast(OnDuplicate, batch.on_duplicate), batch.default_region)


def get(tenant: Tenant, oid: str) -> ImportBatch:
    """The batch. Raises NotFound, for an undone one too."""
    return _found(_present(tenant, oid).first())


def begin(batch: ImportBatch, total: int) -> None:
    """Say that the batch is running, and of how many rows."""
    batch.store(status="running", total=total, updated_at=clock.stamp())


def advance(batch: ImportBatch, outcome: Outcome) -> None:
    """Count these rows as done, in the transaction of their effects."""
    shown = [{"row": each.row, "message": each.message[:MAX_MESSAGE]} for each in outcome.refused]
    batch.store(
        processed=batch.processed + outcome.rows,
        imported=batch.imported + outcome.imported,
        updated=batch.updated + outcome.updated,
        duplicates_skipped=batch.duplicates_skipped + outcome.skipped,
        errors=batch.errors + len(outcome.refused),
        error_rows=[*batch.error_rows, *shown][:MAX_ERROR_ROWS],
        updated_at=clock.stamp(),
    )


def complete(tenant: Tenant, batch: ImportBatch) -> None:
    """Close the batch after its last row: its upload goes, the audit log learns of it."""
    batch.store(status="completed", total=batch.processed, updated_at=clock.stamp())
    if batch.upload_id is not None:
        discard(tenant, batch.upload_id)
    _audit(tenant, batch)
    if batch.imported >= MANY and not is_sqlite():
        after_commit(_count_anew)


def _count_anew() -> None:
    """Let PostgreSQL learn how the leads look now: its plans go by what it knows, and by itself it looks later."""
    with connection():
        database.execute_sql("ANALYZE lead")


def fail(tenant: Tenant, batch: ImportBatch, reason: str) -> None:
    """Close the batch where it stands; the leads that it made stay. `reason` is for the person who confirmed it."""
    batch.store(status="failed", failure=reason[:MAX_MESSAGE], updated_at=clock.stamp())
    _audit(tenant, batch)


def undo(tenant: Tenant, oid: str, actor: Actor) -> int:
    """Delete the leads that the batch made, as `leads.delete` does one, and the batch with them; returns how many.

    Leads that it only updated stay as they are. Raises NotFound (also the second time), Conflict (not through yet).
    """
    with transaction():
        enter(tenant)
        batch = _found(locked(_present(tenant, oid)).first())
        if batch.status in ("queued", "running"):
            raise Conflict("import_running", "The import is not finished yet. Undo it when it is.")
        moment = clock.stamp()
        made = (Lead.import_batch_id == oid) & Lead.deleted_at.is_null()
        deleted = int(Lead.change(tenant, {Lead.deleted_at: moment}).where(made).execute())
        move_counter(tenant, leads=-deleted)
        batch.store(status="undone", updated_at=moment)
        audit.record(tenant, actor, "lead.import_undone", oid, {"deleted": deleted})
    return deleted


def purge(batch: int = 100) -> int:
    """Delete uploads that nobody confirmed within 24 hours, at most `batch`; returns how many.

    Also closes imports from disk whose process died: a batch without upload that has not moved for an hour.
    """
    now = clock.now()
    with transaction():
        ModelUpdate(
            ImportBatch,
            {
                ImportBatch.status: "failed",
                ImportBatch.failure: "The process that read the file ended before the file did",
                ImportBatch.updated_at: clock.iso(now),
            },
        ).where(
            (ImportBatch.status == "running")
            & ImportBatch.upload_id.is_null()
            & (ImportBatch.updated_at < clock.iso(now - ABANDONED_AFTER))
        ).execute()
        in_use = ModelSelect(ImportBatch, [ImportBatch.upload_id]).where(_is_open() & ~ImportBatch.upload_id.is_null())
        old: Any = (
            ModelSelect(Upload, [Upload.id])
            .where((Upload.created_at < clock.iso(now - UPLOAD_KEPT_FOR)) & Upload.id.not_in(in_use))
            .limit(batch)
            .tuples()
        )
        upload_ids = [upload_id for (upload_id,) in list(old)]
        return int(ModelDelete(Upload).where(Upload.id.in_(upload_ids)).execute())


def _pieces_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES; only the last may be smaller."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= PIECE_BYTES:
            yield bytes(pending[:PIECE_BYTES])
            del pending[:PIECE_BYTES]
    if pending:
        yield bytes(pending)


def _present(tenant: Tenant, oid: str) -> ModelSelect[ImportBatch]:
    query: Any = ImportBatch.of(tenant)
    present: ModelSelect[ImportBatch] = query.where(ImportBatch.oid == oid, ImportBatch.status != "undone")
    return present


def _is_open() -> Any:
    return ImportBatch.status.in_(["queued", "running"])


def _found(batch: ImportBatch | None) -> ImportBatch:
    if batch is None:
        raise NotFound("import_not_found", "Import not found")
    return batch


def _audit(tenant: Tenant, batch: ImportBatch) -> None:
    counts = {name: getattr(batch, name) for name in ("imported", "updated", "duplicates_skipped", "errors")}
    audit.record(tenant, Actor(**batch.actor), "lead.imported", batch.oid, {"status": batch.status, **counts})
