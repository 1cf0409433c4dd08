"""CSV imports: look at a file, import it, follow the import, take it back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine import lead_import
from engine.imports import CsvSource, Preview, open_csv, open_text
from storage import imports
from storage.errors import TooLarge
from storage.imports import ImportBatch, Order
from storage.tenancy import Caller

from .answers import Answer, Body

MAX_FILE_BYTES = 50 * 1024 * 1024
_MAX_CELL = 2000
_MAX_CELLS = 200


def preview_upload(user: Caller, body: dict[str, Any]) -> Body:
    """What the file holds; one that came as a file is kept, under `uploadId`. Raises Blocked, TooLarge."""
    if "content" in body:
        return _preview(lead_import.preview(partial(open_text, body["content"])))
    file = _File(body["file"])
    seen = lead_import.preview(file.open)
    upload = imports.keep(user.tenant, file.chunks())
    return {**_preview(seen), "columns": seen.headers, "rows": _rows(seen), "uploadId": upload.oid}


def confirm_upload(user: Caller, body: dict[str, Any]) -> Body | Answer:
    """What became of the rows, or 202 where the file is long. Raises Blocked, NotFound, Conflict."""
    upload_oid = body.get("uploadId")
    order = Order(
        mapping=body["mapping"],
        tags=body.get("tags", ()),
        on_duplicate=body.get("onDuplicate", "update" if upload_oid else "skip"),
        region=user.default_region,
    )
    if upload_oid:
        batch = lead_import.confirm_upload(user.tenant, upload_oid, order, user.actor)
    else:
        batch = lead_import.confirm_content(user.tenant, body["content"], order, user.actor)
    if batch.status == "completed":
        return {"total": batch.total, **_counts(batch)}
    return Answer(_job(batch), 202, f"/api/leads/imports/{batch.oid}")


def get_import(user: Caller, import_batch_id: str) -> Body:
    """How far the import has come. Raises NotFound, after it was undone, too."""
    return _job(imports.get(user.tenant, import_batch_id))


def undo_import(user: Caller, import_batch_id: str) -> Body:
    """How many leads were deleted again. Raises NotFound (also the second time), Conflict: it is not finished."""
    return {"success": True, "deleted": imports.undo(user.tenant, import_batch_id, user.actor)}


class _File:
    """A file of a multipart body; a field without a file name arrives as text."""

    def __init__(self, sent: Any) -> None:
        self._sent = sent
        size_bytes = len(sent.encode()) if isinstance(sent, str) else sent.size
        if size_bytes > MAX_FILE_BYTES:
            raise TooLarge("payload_too_large", f"The file is too large: at most {MAX_FILE_BYTES} bytes are accepted")

    def open(self) -> CsvSource:
        return open_csv(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes from its start."""
        if isinstance(self._sent, str):
            yield self._sent.encode()
            return
        self._sent.file.seek(0)
        while chunk := self._sent.file.read(lead_import.READ_BYTES):
            yield chunk


def _preview(seen: Preview) -> dict[str, Any]:
    return {
        "headers": seen.headers,
        "previewRows": _rows(seen),
        "totalRows": seen.total_rows,
        "mapping": {column: target for column, target in seen.mapping.items() if target},
    }


def _rows(seen: Preview) -> list[dict[str, str]]:
    """The first rows, cut to what a person looks at."""
    return [{name: cell[:_MAX_CELL] for name, cell in list(row.items())[:_MAX_CELLS]} for row in seen.preview_rows]


def _counts(batch: ImportBatch) -> dict[str, Any]:
    return {
        "imported": batch.imported,
        "updated": batch.updated,
        "duplicatesSkipped": batch.duplicates_skipped,
        "errors": batch.errors,
        "importBatchId": batch.oid,
        "errorRows": batch.error_rows,
    }


def _job(batch: ImportBatch) -> Body:
    body = {
        "status": batch.status,
        "total": batch.total,
        "processed": batch.processed,
        **_counts(batch),
        "failure": batch.failure,
        "createdAt": batch.created_at,
        "updatedAt": batch.updated_at,
    }
    return {name: value for name, value in body.items() if value is not None}
