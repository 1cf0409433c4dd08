"""Uploaded files and the import batches made from them."""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, IntegerField, JSONField, TextField

from .base import TenantModel


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
    """One confirmed import: queued → running → completed | failed, completed → undone."""

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
