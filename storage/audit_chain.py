"""The audit log as a chain per account, so that what is changed in the database by hand is noticed.

Writers only insert. A sealer follows: under a lock on the account's head it gives the visible entries without a place
the next sequence numbers, and each the SHA-256 of all its columns and of the hash before it. Entries that commit late
come later. The head (last number and hash) is signed with HMAC-SHA-256 under a key that the database does not have:
who recomputes all hashes after a change cannot sign the head that they end in. Only heads are signed, so that another
key means signing them anew (`resign`), and old entries need no old key. Without a key nothing is signed, and the chain
shows only what was changed by somebody who did not recompute it.

What is not shown: changes of entries before they are sealed, and an account's log set back as a whole to an earlier
state, head included. For that, compare with a sequence number and hash that were noted elsewhere.

What may have to be forgotten (`PERSONAL`) enters as digests with the entry's salt. `redact` keeps the digests, blanks
values and salt, and writes an entry that names those it blanked; nothing else may look blanked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import BigIntegerField, ModelInsert, ModelSelect, ModelUpdate, TextField, fn

from . import audit, clock
from .audit import AuditEntry
from .base import AccountModel
from .database import database, is_sqlite, transaction
from .ids import new_id
from .statements import slot, statement
from .tenancy import Actor, Tenant

REDACTED = "audit.redacted"
PERSONAL = ("metadata", "actor_name", "actor_ip")
COVERED = (
    *("id", "account_id", "environment", "actor_type", "actor_id", "request_id"),
    *("action", "resource_type", "resource_id", "created_at"),
)
_BLANK: dict[str, Any] = {"metadata": "{}", "actor_name": "", "actor_ip": None, "salt": None}
_NAMES = [column.name for column in AuditEntry._meta.sorted_fields]
_VERSION = "newleaf audit v1"
_START = ""  # the hash before the first
_LOWEST = -(2**63)
_CHUNK = 500
_NAMED = 200  # entries that one `audit.redacted` names

_Entry = dict[str, Any]  # a row as the driver gives it


class AuditChain(AccountModel):
    """Where an account's chain ends; `seq` is also how many entries it has."""

    seq = BigIntegerField()
    hash = TextField()
    mac = TextField(null=True)  # which key and the signature, None without a key
    sealed_at = TextField()


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain stops to hold; without an id where there is no such entry."""

    sequence: int
    reason: str
    entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk over a chain found. head_hash and sealed_at are None where nothing was ever sealed."""

    entries: int
    head_hash: str | None
    sealed_at: str | None
    is_signed: bool
    first_broken: Broken | None


class HeadBroken(Exception):
    """To go on from this head would hide that it was changed."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.reason)
        self.broken = broken


def unsealed_accounts() -> Iterator[str]:
    """The accounts with entries that have no place yet."""
    last = ""
    while True:
        query = ModelSelect(AuditEntry, [fn.MIN(AuditEntry.account_id)])
        last = query.where(AuditEntry.seq.is_null(), AuditEntry.account_id > last).scalar()
        if last is None:
            return
        yield last


def seal(account_id: str, limit: int, keys: Sequence[bytes]) -> int:
    """Append up to `limit` entries to the account's chain, the oldest first; how many. The first key signs the head.

    Raises HeadBroken.
    """
    unsealed = AuditEntry.of(account_id).where(AuditEntry.seq.is_null())
    if not unsealed.exists():
        return 0
    with transaction():
        chain = _held(account_id)
        if broken := _broken_head(chain, keys) or _broken_end(chain):
            raise HeadBroken(broken)
        sealed, previous = [], chain.hash
        rows = _read(unsealed.order_by(AuditEntry.created_at, AuditEntry.id).limit(limit))
        for seq, row in enumerate(rows, start=chain.seq + 1):
            row["salt"] = row["salt"] or (None if row["digests"] else audit.new_salt())  # none: from before the chain
            previous = _hash(previous, seq, row, _kept(row) or _digests(row))
            sealed.append({"id": row["id"], "seq": seq, "hash": previous, "salt": row["salt"]})
        if sealed:
            statement("audit.seal", _sealing).run_many(sealed)
            _move(chain, keys, seq=chain.seq + len(sealed), hash=previous, sealed_at=clock.stamp())
        return len(sealed)


def verify(account_id: str, keys: Sequence[bytes]) -> Verdict:
    """Walk the chain from its start to the head that it has now, some hundred entries at a time."""
    chain: AuditChain | None = AuditChain.of(account_id).first()
    if chain is None:
        chain = AuditChain(account_id=account_id, seq=0, hash=_START, mac=None, sealed_at="")
    broken = _broken_entry(chain) or _broken_head(chain, keys) or _beyond(account_id)
    return Verdict(chain.seq, chain.hash or None, chain.sealed_at or None, chain.mac is not None, broken)


def redact(tenant: Tenant, actor: Actor, resource_type: str, resource_id: str | int) -> list[str]:
    """Blank what may be personal in the entries about this object, in the caller's transaction; the entries' ids.

    Entries about redactions stay as they are.
    """
    with transaction():
        _held(tenant.account_id)  # else a sealer could give an old entry another salt meanwhile
        query = AuditEntry.of(tenant.account_id).where(
            AuditEntry.environment == tenant.environment,
            AuditEntry.resource_type == resource_type,
            AuditEntry.resource_id == str(resource_id),
            AuditEntry.action != REDACTED,
            AuditEntry.digests.is_null(),
        )
        rows = _read(query)
        for some in (rows[start : start + _NAMED] for start in range(0, len(rows), _NAMED)):
            named = {"type": resource_type, "id": str(resource_id), "entries": [row["id"] for row in some]}
            by = audit.record(tenant, actor, REDACTED, resource_id, named)
            statement("audit.redact", _redacting).run_many({"id": row["id"], "digests": _keep(row, by)} for row in some)
        return [row["id"] for row in rows]


def resign(keys: Sequence[bytes]) -> int:
    """Sign every head with the first key that is not yet; how many. Heads that are broken stay as they are.

    A head that was never signed is taken as it stands: this is how a server that gets its first key begins.
    """
    done = 0
    for (account_id,) in database.execute(ModelSelect(AuditChain, [AuditChain.account_id])).fetchall():
        with transaction():
            chain = _held(account_id)
            is_current = chain.mac is not None and chain.mac.startswith(_name(keys[0]))
            if is_current or (chain.mac is not None and _broken_head(chain, keys)):
                continue
            _move(chain, keys)
            done += 1
    return done


def _held(account_id: str) -> AuditChain:
    first = {"id": new_id(), "account_id": account_id, "seq": 0, "hash": _START, "sealed_at": clock.stamp()}
    ModelInsert(AuditChain, first).on_conflict(action="NOTHING").execute()
    query: Any = AuditChain.of(account_id)
    held: AuditChain = (query if is_sqlite() else query.for_update()).get()
    return held


def _move(chain: AuditChain, keys: Sequence[bytes], **values: Any) -> None:
    for name, value in values.items():
        setattr(chain, name, value)
    chain.store(mac=_signed(chain, keys[0]) if keys else None, **values)


def _broken_entry(chain: AuditChain) -> Broken | None:
    """The first entry that is not what was sealed, or the head if it is not where the entries end."""
    expected, previous, redactions = 1, _START, _Redactions(chain.account_id)
    for row in _walk(chain.account_id):
        if expected > chain.seq:
            break
        if row["seq"] > expected:
            return Broken(expected, "entry_missing")
        if row["seq"] < expected:
            return Broken(row["seq"], "entry_unexpected", row["id"])
        previous = _hash(previous, expected, row, _kept(row) or _digests(row))
        if previous != row["hash"]:
            return Broken(expected, "entry_changed", row["id"])
        if row["digests"] is not None and not redactions.knows(row):
            return Broken(expected, "redaction_unknown", row["id"])
        expected += 1
    if expected <= chain.seq:
        return Broken(expected, "entry_missing")
    return None if previous == chain.hash else Broken(chain.seq, "head_changed")


def _broken_head(chain: AuditChain, keys: Sequence[bytes]) -> Broken | None:
    """Why the head is not one that was signed with one of these keys; where there are none, unsigned is right."""
    if chain.mac is None:
        return Broken(chain.seq, "head_unsigned") if keys and chain.seq else None
    key = next((key for key in keys if chain.mac.startswith(_name(key))), None)
    if key is None:
        return Broken(chain.seq, "key_unknown")
    return None if hmac.compare_digest(chain.mac.encode(), _signed(chain, key).encode()) else _changed(chain)


def _broken_end(chain: AuditChain) -> Broken | None:
    """Whether the last entry is not the head's, or others come after it."""
    last = AuditEntry.of(chain.account_id).where(AuditEntry.seq == chain.seq).first()
    if (last.hash if last else _START) != chain.hash:
        return _changed(chain)
    return _beyond(chain.account_id)


def _changed(chain: AuditChain) -> Broken:
    return Broken(chain.seq, "head_changed")


def _beyond(account_id: str) -> Broken | None:
    """The first entry after the head, asked in one statement: a sealer may be at work."""
    head = ModelSelect(AuditChain, [fn.COALESCE(fn.MAX(AuditChain.seq), 0)]).where(AuditChain.account_id == account_id)
    query = AuditEntry.of(account_id).where(AuditEntry.seq.is_null(False), AuditEntry.seq > head)
    found = query.order_by(AuditEntry.seq).first()
    return None if found is None else Broken(found.seq, "entry_unexpected", found.id)


def _walk(account_id: str) -> Iterator[_Entry]:
    """All entries with a place, in order. It asks again for the last number seen, so that none stands there twice."""
    last, seen = _LOWEST, None
    while True:
        query = AuditEntry.of(account_id).where(AuditEntry.seq.is_null(False), AuditEntry.seq >= last)
        rows = _read(query.order_by(AuditEntry.seq).limit(_CHUNK))
        yield from (row for row in rows if row["id"] != seen)
        if len(rows) < _CHUNK:
            return
        last, seen = rows[-1]["seq"], rows[-1]["id"]


def _read(query: Any) -> list[_Entry]:
    # As the driver gives them: what was edited by hand need not be what the model can read.
    return [dict(zip(_NAMES, row, strict=True)) for row in database.execute(query)]


def _hash(previous: str, seq: int, row: _Entry, digests: dict[str, str]) -> str:
    parts = [_VERSION, previous, seq, *(row[name] for name in COVERED), *(digests[name] for name in PERSONAL)]
    return hashlib.sha256(_encoded(parts)).hexdigest()


def _digests(row: _Entry) -> dict[str, str]:
    values = {**row, "metadata": _canonical(row["metadata"])}
    return {name: hashlib.sha256(_encoded([row["salt"], name, values[name]])).hexdigest() for name in PERSONAL}


def _encoded(parts: Sequence[Any]) -> bytes:
    """Each part with its length before it, so that no two lists read alike; None is like no text."""
    encoded = []
    for part in parts:
        raw = b"" if part is None else str(part).encode("utf-8", "surrogatepass")
        encoded.append(b"-;" if part is None else b"%d:%b;" % (len(raw), raw))
    return b"".join(encoded)


def _canonical(metadata: Any) -> str:
    """JSON in one way of writing: PostgreSQL keeps neither the order of members nor spaces."""
    try:
        value = json.loads(metadata) if is_sqlite() else metadata
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return json.dumps({"no JSON": repr(metadata)})


def _keep(row: _Entry, by: str) -> str:
    row["salt"] = row["salt"] or audit.new_salt()
    return json.dumps({**_digests(row), "by": by})


def _kept(row: _Entry) -> dict[str, str] | None:
    """The digests of an entry that is blank now; None for another, and for one that holds what it should not."""
    is_blank = row["digests"] is not None and _canonical(row["metadata"]) == "{}"
    if not is_blank or any(row[name] != _BLANK[name] for name in ("actor_name", "actor_ip", "salt")):
        return None
    try:
        kept = json.loads(row["digests"])
        return kept if all(isinstance(kept[name], str) for name in (*PERSONAL, "by")) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class _Redactions:
    """Which entries the log says were redacted; remembers the last `audit.redacted` that it looked at."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._last: tuple[str, Any] = ("", ())

    def knows(self, row: _Entry) -> bool:
        by = (_kept(row) or {}).get("by", "")
        if by != self._last[0]:
            query = AuditEntry.of(self._account_id).where(AuditEntry.id == by, AuditEntry.action == REDACTED)
            found = [json.loads(_canonical(entry["metadata"])) for entry in _read(query)]
            self._last = (by, found[0].get("entries", ()) if found else ())
        return row["id"] in self._last[1]


def _name(key: bytes) -> str:
    return hashlib.sha256(b"name of " + key).hexdigest()[:8] + "."


def _signed(chain: AuditChain, key: bytes) -> str:
    head = _encoded([_VERSION, "head", chain.id, chain.account_id, chain.seq, chain.hash, chain.sealed_at])
    return _name(key) + hmac.new(key, head, hashlib.sha256).hexdigest()


def _sealing() -> ModelUpdate:
    values = {AuditEntry.seq: slot("seq"), AuditEntry.hash: slot("hash"), AuditEntry.salt: slot("salt")}
    return ModelUpdate(AuditEntry, values).where(AuditEntry.id == slot("id"))


def _redacting() -> ModelUpdate:
    values: dict[Any, Any] = {AuditEntry.digests: slot("digests"), AuditEntry.metadata: {}, AuditEntry.actor_name: ""}
    values |= {AuditEntry.actor_ip: None, AuditEntry.salt: None}
    return ModelUpdate(AuditEntry, values).where(AuditEntry.id == slot("id"))
