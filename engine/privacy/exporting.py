"""What an account knows of a person, as an archive that is made while it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec

from engine.privacy import silence
from storage import clock, lead_export, lead_rows
from storage.lead_export import Objects
from storage.leads import Lead
from storage.tenancy import Tenant

SCHEMA_VERSION = 1
_LISTS = {
    "identities.json": lead_export.identities,
    "conversations.json": lead_export.conversations,
    "messages.json": lead_export.messages,
    "inbound_events.json": lead_export.inbound_events,
    "outbound_events.json": lead_export.outbound_events,
    "ab_tests.json": lead_export.ab_tests,
    "audit.json": lead_export.audit_entries,
}
_encode = msgspec.json.Encoder().encode


class _Sink:
    """A file that cannot be read or wound back: whoever sends it takes away what was written."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        return

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


def archive(tenant: Tenant, number: int) -> Iterator[bytes]:
    """The archive piece by piece, none empty; each reads some hundred rows as they stand then. Raises NotFound."""
    return _written(_files(tenant, lead_export.find(tenant, number)))


def _files(tenant: Tenant, lead: Lead) -> Iterator[tuple[str, Iterable[bytes]]]:
    about: dict[str, Any] = {
        "lead.json": lead_rows.of_lead(tenant, lead),
        "opt_outs.json": {"channels": lead.opted_out, "keptFromErasure": silence.kept_of(tenant, lead)},
        "provenance.json": lead_export.provenance(tenant, lead),
    }
    manifest = {
        "schemaVersion": SCHEMA_VERSION,
        "generatedAt": clock.stamp(),
        "accountId": tenant.account_id,
        "environment": tenant.environment,
        "leadId": lead.number,
        "deletedAt": lead.deleted_at,
        "files": [*about, *_LISTS],
    }
    for name, body in {"manifest.json": manifest, **about}.items():
        yield name, [_encode(body)]
    for name, listed in _LISTS.items():
        yield name, _listed(listed(tenant, lead))


def _listed(parts: Objects) -> Iterator[bytes]:
    yield b"["
    separator = b"\n"
    for part in parts:
        lines = [separator if place == 0 else b",\n" for place in range(len(part))]
        yield b"".join(line + _encode(each) for line, each in zip(lines, part, strict=True))
        separator = b",\n" if part else separator
    yield b"\n]\n"


def _written(files: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    sink: Any = _Sink()
    now = clock.now()
    with ZipFile(sink, "w") as archived:
        for name, pieces in files:
            about = ZipInfo(name, (now.year, now.month, now.day, now.hour, now.minute, now.second))
            about.compress_type = ZIP_DEFLATED
            with archived.open(about, "w") as member:
                for piece in pieces:
                    member.write(piece)
                    if taken := sink.taken():
                        yield taken
    yield sink.taken()
