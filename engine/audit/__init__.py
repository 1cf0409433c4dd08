"""The proof that the audit log was not changed: sealing it in the background, verifying it, and its retention."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import structlog

from engine import vault
from storage import accounts, audit_chain, clock
from storage.audit_chain import ChainBroken, Verdict
from storage.database import without_haste

_AT_ONCE = 500  # entries of one transaction
_ROUND_S = 5.0  # a backlog takes several rounds of housekeeping

_log = structlog.get_logger(__name__)


def seal_all(within_s: float = _ROUND_S) -> int:
    """Seal what is not sealed yet, of every account, and stop after this time; how many entries."""
    until, done = time.monotonic() + within_s, 0
    for account_id in audit_chain.unsealed_accounts():
        if time.monotonic() >= until:
            break
        done += seal(account_id, until)
    return done


def seal(account_id: str, until: float | None = None) -> int:
    """Seal what the account has unsealed; how many entries. A broken head is left alone, for `verify` to tell."""
    done = 0
    try:
        while until is None or time.monotonic() < until:
            sealed = audit_chain.seal(account_id, _AT_ONCE, vault.chain_keys())
            done += sealed
            if sealed < _AT_ONCE:
                break
    except ChainBroken as error:
        _tell(account_id, error)
    return done


def purge_all(within_s: float = _ROUND_S) -> int:
    """Remove what accounts keep no longer in their logs, whole days in UTC, and stop after this time; how many entries.

    A broken chain is left alone, for `verify` to tell.
    """
    until, done = time.monotonic() + within_s, 0
    for account_id, days in accounts.audit_retentions():
        before = (clock.now() - timedelta(days=days)).date().isoformat()
        try:
            while time.monotonic() < until and (gone := _purge(account_id, before)):
                done += gone
        except ChainBroken as error:
            _tell(account_id, error)
    return done


def verify(account_id: str) -> Verdict:
    """Seal what the account has unsealed, then walk its chain: whether it holds, and where not."""
    without_haste()
    seal(account_id)
    return audit_chain.verify(account_id, vault.chain_keys())


def verdict_body(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the API and the command line answer it."""
    body: dict[str, Any] = {"valid": verdict.first_broken is None, "entries": verdict.entries}
    body |= {"signed": verdict.is_signed, "sealedAt": verdict.sealed_at, "headHash": verdict.head_hash}
    if gone := verdict.checkpoint:
        body["checkpoint"] = {"sequence": gone.sequence, "hash": gone.hash, "removedAt": gone.removed_at}
    if broken := verdict.first_broken:
        told = {"entryId": broken.entry_id, "sequence": broken.sequence, "reason": broken.reason}
        body["firstBroken"] = {name: value for name, value in told.items() if value is not None}
    return {name: value for name, value in body.items() if value is not None}


def resign() -> int:
    """Sign every chain's head under the first key of NEWLEAF_SECRET_KEY; how many were not. Raises Blocked."""
    vault.require_key()
    return audit_chain.resign(vault.chain_keys())


def _purge(account_id: str, before: str) -> int:
    return audit_chain.purge(account_id, before, _AT_ONCE, vault.chain_keys())


def _tell(account_id: str, error: ChainBroken) -> None:
    _log.error("audit_chain_broken", account=account_id, seq=error.broken.sequence, reason=error.broken.reason)
