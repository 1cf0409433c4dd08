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

What retention removes leaves a checkpoint beside the head, signed like it: the number and hash of the last entry that
is gone, and when it went. The rest is proven from there on. The head says with which checkpoint it goes, so that what
is gone cannot come back with an old one. `purge` verifies entries before it removes them, so that it takes away no
trace of a change.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import BigIntegerField, ModelDelete, ModelInsert, ModelSelect, ModelUpdate, TextField, fn

from . import accounts, audit, clock
from .audit import AuditEntry
from .base import AccountModel
from .database import database, is_sqlite, transaction
from .ids import new_id
from .statements import slot, statement
from .tenancy import SYSTEM, Actor, Tenant

REDACTED = "audit.redacted"
PURGED = "audit.purged"
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
    """Where an account's chain ends, and where what is left of it begins; `seq` is also how many entries it had."""

    seq = BigIntegerField()
    hash = TextField()
    mac = TextField(null=True)  # which key and the signature, None without a key
    sealed_at = TextField()
    gone_seq = BigIntegerField(default=0)  # the checkpoint
    gone_hash = TextField(default=_START)
    gone_at = TextField(default="")
    gone_mac = TextField(null=True)


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain stops to hold; without an id where there is no such entry."""

    sequence: int
    reason: str
    entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last entry that retention removed, and when; `sequence` is also how many are gone."""

    sequence: int
    hash: str
    removed_at: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk over a chain found. head_hash and sealed_at are None where nothing was ever sealed."""

    entries: int
    head_hash: str | None
    sealed_at: str | None
    is_signed: bool
    checkpoint: Checkpoint | None
    first_broken: Broken | None


class ChainBroken(Exception):
    """To go on from here would hide that something was changed."""

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

    Raises ChainBroken.
    """
    unsealed = AuditEntry.of(account_id).where(AuditEntry.seq.is_null())
    if not unsealed.exists():
        return 0
    with transaction():
        chain = _held(account_id)
        if broken := _broken_ends(chain, keys) or _broken_end(chain):
            raise ChainBroken(broken)
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
    """Walk the chain from its start or checkpoint to the head that it has now, some hundred entries at a time."""
    chain, broken = _walked(account_id, keys)
    while broken and _noted(account_id).gone_seq != chain.gone_seq:  # retention removed what the walk stood before
        chain, broken = _walked(account_id, keys)
    gone = Checkpoint(chain.gone_seq, chain.gone_hash, chain.gone_at) if chain.gone_seq else None
    return Verdict(chain.seq, chain.hash or None, chain.sealed_at or None, chain.mac is not None, gone, broken)


def purge(account_id: str, before: str, limit: int, keys: Sequence[bytes]) -> int:
    """Remove the first up to `limit` sealed entries as far as they are from before this moment; how many.

    An entry that says what was redacted stays as long as what it names. Raises ChainBroken.
    """
    if not _begins_before(account_id, before):
        return 0
    with transaction():
        chain = _held(account_id)
        last = _last_before(chain, before, limit)
        if broken := _broken_ends(chain, keys) or _broken_entry(chain, last):
            raise ChainBroken(broken)
        last = _last_unneeded(chain, last)
        count = last - chain.gone_seq
        if count:
            gone_hash = _hash_of(chain, last)
            ModelDelete(AuditEntry).where(_next(chain, last)).execute()
            _move(chain, keys, gone_seq=last, gone_hash=gone_hash, gone_at=clock.stamp())
            live = accounts.tenant_row(account_id, "live").tenant
            audit.record(live, SYSTEM, PURGED, account_id, {"entries": count, "through": last, "before": before})
        return count


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
    """Sign every head and checkpoint with the first key; how many chains were not. Broken ones stay as they are.

    A head that was never signed is taken as it stands: this is how a server that gets its first key begins.
    """
    done = 0
    for (account_id,) in database.execute(ModelSelect(AuditChain, [AuditChain.account_id])).fetchall():
        with transaction():
            chain = _held(account_id)
            is_current = chain.mac is not None and chain.mac.startswith(_name(keys[0]))
            if is_current or (chain.mac is not None and _broken_ends(chain, keys)):
                continue
            _move(chain, keys)
            done += 1
    return done


def _begins_before(account_id: str, moment: str) -> bool:
    sealed = ModelSelect(AuditEntry, [AuditEntry.created_at]).where(AuditEntry.account_id == account_id)
    oldest = sealed.where(AuditEntry.seq.is_null(False)).order_by(AuditEntry.seq).limit(1).scalar()
    return oldest is not None and oldest < moment


def _next(chain: AuditChain, last: int) -> Any:
    between = (AuditEntry.seq > chain.gone_seq) & (AuditEntry.seq <= last)
    return (AuditEntry.account_id == chain.account_id) & between


def _last_before(chain: AuditChain, moment: str, limit: int) -> int:
    """Up to which of the next `limit` entries all are from before this moment; the checkpoint's number for none."""
    last = min(chain.gone_seq + limit, chain.seq)
    young = ModelSelect(AuditEntry, [fn.MIN(AuditEntry.seq)]).where(AuditEntry.created_at >= moment)
    first_kept = young.where(_next(chain, last)).scalar()
    return last if first_kept is None else first_kept - 1


def _last_unneeded(chain: AuditChain, last: int) -> int:
    """The last entry, this or before, without which the blankness of all that stay is still explained."""
    redactions = AuditEntry.of(chain.account_id).where(_next(chain, last), AuditEntry.action == REDACTED)
    for row in _read(redactions.order_by(AuditEntry.seq.desc())):
        kept = AuditEntry.of(chain.account_id).where(AuditEntry.seq.is_null() | (AuditEntry.seq > last))
        if kept.where(AuditEntry.id.in_(_named(row))).exists():
            last = row["seq"] - 1
    return last


def _walked(account_id: str, keys: Sequence[bytes]) -> tuple[AuditChain, Broken | None]:
    chain = _noted(account_id)
    broken = _broken_checkpoint(chain, keys) or _broken_entry(chain, chain.seq) or _broken_head(chain, keys)
    return chain, broken or _beyond(account_id)


def _noted(account_id: str) -> AuditChain:
    chain: AuditChain | None = AuditChain.of(account_id).first()
    return chain or AuditChain(account_id=account_id, seq=0, hash=_START, mac=None, sealed_at="")


def _held(account_id: str) -> AuditChain:
    first = {"id": new_id(), "account_id": account_id, "seq": 0, "hash": _START, "sealed_at": clock.stamp()}
    ModelInsert(AuditChain, first).on_conflict(action="NOTHING").execute()
    query: Any = AuditChain.of(account_id)
    held: AuditChain = (query if is_sqlite() else query.for_update()).get()
    return held


def _move(chain: AuditChain, keys: Sequence[bytes], **values: Any) -> None:
    for name, value in values.items():
        setattr(chain, name, value)
    mac = _signed(_head(chain), keys[0]) if keys else None
    gone_mac = _signed(_checkpoint(chain), keys[0]) if keys and chain.gone_seq else None
    chain.store(**values, mac=mac, gone_mac=gone_mac)


def _broken_entry(chain: AuditChain, last: int) -> Broken | None:
    """The first entry up to this one that is not what was sealed, or the head if it is not where the entries end."""
    expected, previous, redactions = chain.gone_seq + 1, chain.gone_hash, _Redactions(chain.account_id)
    for row in _walk(chain.account_id):
        if expected > last:
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
    if expected <= last:
        return Broken(expected, "entry_missing")
    return None if last != chain.seq or previous == chain.hash else _changed(chain)


def _broken_ends(chain: AuditChain, keys: Sequence[bytes]) -> Broken | None:
    return _broken_checkpoint(chain, keys) or _broken_head(chain, keys)


def _broken_checkpoint(chain: AuditChain, keys: Sequence[bytes]) -> Broken | None:
    """Why the checkpoint is not one that was signed with one of these keys; the untouched one where nothing is gone."""
    if chain.gone_seq:
        return _broken_note(chain.gone_seq, chain.gone_mac, _checkpoint(chain), keys)
    is_untouched = (chain.gone_hash, chain.gone_at, chain.gone_mac) == (_START, "", None)
    return None if is_untouched else Broken(0, "checkpoint_changed")


def _broken_head(chain: AuditChain, keys: Sequence[bytes]) -> Broken | None:
    """Why the head is not one that was signed with one of these keys; of no entries there may be none."""
    return _broken_note(chain.seq, chain.mac, _head(chain), keys) if chain.seq or chain.mac else None


def _broken_note(sequence: int, mac: str | None, note: Sequence[Any], keys: Sequence[bytes]) -> Broken | None:
    """Why this is not the note's signature under one of these keys; where there are none, unsigned is right."""
    if mac is None:
        return Broken(sequence, f"{note[0]}_unsigned") if keys else None
    key = next((key for key in keys if mac.startswith(_name(key))), None)
    if key is None:
        return Broken(sequence, "key_unknown")
    is_signed = hmac.compare_digest(mac.encode(), _signed(note, key).encode())
    return None if is_signed else Broken(sequence, f"{note[0]}_changed")


def _broken_end(chain: AuditChain) -> Broken | None:
    """Whether the last entry is not the head's, or others come after it."""
    if (_hash_of(chain, chain.seq) or chain.gone_hash) != chain.hash:
        return _changed(chain)
    return _beyond(chain.account_id)


def _hash_of(chain: AuditChain, seq: int) -> str | None:
    query = ModelSelect(AuditEntry, [AuditEntry.hash]).where(AuditEntry.account_id == chain.account_id)
    found: str | None = query.where(AuditEntry.seq == seq).scalar()
    return found


def _changed(chain: AuditChain) -> Broken:
    return Broken(chain.seq, "head_changed")


def _beyond(account_id: str) -> Broken | None:
    """The first entry after the head, asked in one statement: a sealer may be at work."""
    head = ModelSelect(AuditChain, [fn.COALESCE(fn.MAX(AuditChain.seq), 0)]).where(AuditChain.account_id == account_id)
    query = AuditEntry.of(account_id).where(AuditEntry.seq.is_null(False), AuditEntry.seq > head)
    found = next(iter(_read(query.order_by(AuditEntry.seq).limit(1))), None)
    return None if found is None else Broken(found["seq"], "entry_unexpected", found["id"])


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


def _named(row: _Entry) -> Sequence[str]:
    """The entries that an `audit.redacted` names; none if it was edited so that it says nothing."""
    told = json.loads(_canonical(row["metadata"]))
    named = told.get("entries") if isinstance(told, dict) else None
    return named if isinstance(named, list) else ()


class _Redactions:
    """Which entries the log says were redacted; remembers the last `audit.redacted` that it looked at."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._last: tuple[str, Any] = ("", ())

    def knows(self, row: _Entry) -> bool:
        by = (_kept(row) or {}).get("by", "")
        if by != self._last[0]:
            query = AuditEntry.of(self._account_id).where(AuditEntry.id == by, AuditEntry.action == REDACTED)
            found = _read(query)
            self._last = (by, _named(found[0]) if found else ())
        return row["id"] in self._last[1]


def _name(key: bytes) -> str:
    return hashlib.sha256(b"name of " + key).hexdigest()[:8] + "."


def _head(chain: AuditChain) -> list[Any]:
    gone = [chain.gone_seq] if chain.gone_seq else []  # so heads from before there were checkpoints stay signed
    return ["head", chain.id, chain.account_id, chain.seq, chain.hash, chain.sealed_at, *gone]


def _checkpoint(chain: AuditChain) -> list[Any]:
    return ["checkpoint", chain.id, chain.account_id, chain.gone_seq, chain.gone_hash, chain.gone_at]


def _signed(parts: Sequence[Any], key: bytes) -> str:
    return _name(key) + hmac.new(key, _encoded([_VERSION, *parts]), hashlib.sha256).hexdigest()


def _sealing() -> ModelUpdate:
    values = {AuditEntry.seq: slot("seq"), AuditEntry.hash: slot("hash"), AuditEntry.salt: slot("salt")}
    return ModelUpdate(AuditEntry, values).where(AuditEntry.id == slot("id"))


def _redacting() -> ModelUpdate:
    values: dict[Any, Any] = {AuditEntry.digests: slot("digests"), AuditEntry.metadata: {}, AuditEntry.actor_name: ""}
    values |= {AuditEntry.actor_ip: None, AuditEntry.salt: None}
    return ModelUpdate(AuditEntry, values).where(AuditEntry.id == slot("id"))
