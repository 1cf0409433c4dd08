"""API keys: `nl_live_` or `nl_test_`, 56 random hex digits, 8 of checksum; only the SHA-256 of a key is stored.

active ─→ revoked ─→ (deleted)
   └────→ expired ─→ revoked        `expired` is not stored, it follows from `expires_at`

A rotation makes a new key on the old one's terms, and revokes the old one or lets it expire after an overlap.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, cast

import structlog
from peewee import IntegerField, JSONField, ModelDelete, ModelSelect, ModelUpdate, PeeweeException, TextField

from . import addresses, audit, clock
from .accounts import Account, tenant_row
from .base import AccountModel
from .database import after_commit, database, is_sqlite, transaction
from .errors import Blocked, Conflict, Forbidden, Invalid, NotFound, Problem, Unauthenticated
from .ids import new_id
from .paging import paginate
from .roles import SCOPES
from .tenancy import Actor, Caller, Environment, Tenant

Status = Literal["active", "revoked", "expired"]

_FORM = re.compile(r"nl_(?:live|test)_[0-9a-f]{64}")
_CHECKSUM_DIGITS = 8
_TOUCH_EVERY = timedelta(minutes=1)

_REMEMBERED_S = 1.0  # so long at most does a key live on in other processes that was revoked in this one
_MOST_REMEMBERED = 10_000

_log = structlog.get_logger("newleaf.api_keys")
_touched: dict[str, datetime] = {}
_touching = threading.Lock()


class ApiKey(AccountModel):
    """A credential of an account for one of its environments."""

    tenant_id = IntegerField()
    environment = TextField()
    name = TextField()
    key_hash = TextField()
    key_hint = TextField()
    scopes = JSONField(default=list)
    roles = JSONField(default=list)
    status = TextField(default="active")  # active | revoked; `expired` follows from expires_at
    ip_allowlist = JSONField(default=list)
    expires_at = TextField(null=True)
    last_used_at = TextField(null=True)
    created_at = TextField()

    @property
    def tenant(self) -> Tenant:
        """The environment that the key opens."""
        return Tenant(self.tenant_id, self.account_id, cast(Environment, self.environment))

    def status_at(self, now: datetime) -> Status:
        """What the key is at this moment; a revoked one stays revoked when its time is over."""
        if self.status == "revoked":
            return "revoked"
        return "expired" if _is_over(self.expires_at, now) else "active"


class NewKey(NamedTuple):
    """A key just made: its only appearance in full, and its row."""

    full_key: str
    row: ApiKey


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):0{_CHECKSUM_DIGITS}x}"


def generate(environment: Environment) -> str:
    """A new key: 224 random bits, and a checksum by which typos and scanners are served without a database."""
    body = f"nl_{environment}_{secrets.token_hex(28)}"
    return body + _checksum(body)


def checksum_ok(key: str) -> bool:
    """Whether this has the form of a key and its last eight digits are the CRC32 of what stands before them."""
    return _FORM.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM_DIGITS]) == key[-_CHECKSUM_DIGITS:]


def hash_key(key: str) -> str:
    """What a key is stored and looked up as."""
    return hashlib.sha256(key.encode()).hexdigest()


class Credential(NamedTuple):
    """What a stored key tells: whether it is good, from where, and who it is."""

    key_id: str
    tenant: Tenant
    name: str
    scopes: frozenset[str]
    roles: tuple[str, ...]
    status: str
    ip_allowlist: Sequence[str]
    expires_at: str | None
    default_region: str | None


class _Memory:
    """Keys as they were found in the database less than a second ago, by their hash.

    A change of a key in this process forgets them all, what another thread is just reading included.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Credential]] = {}
        self.generation = 0

    def recall(self, digest: str) -> Credential | None:
        at, found = self._found.get(digest, (0.0, None))
        return found if found is not None and time.monotonic() - at < _REMEMBERED_S else None

    def keep(self, digest: str, found: Credential, read_at: float, generation: int) -> None:
        """`read_at`, `generation`: taken before the database was asked."""
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
        if generation == self.generation:
            self._found[digest] = (read_at, found)

    def forget(self) -> None:
        self.generation += 1
        self._found.clear()


_memory = _Memory()


def forget() -> None:
    """Have this process read every key anew, and what of its account goes along with it."""
    _memory.forget()


_BY_HASH = (
    ModelSelect(
        ApiKey,
        [
            ApiKey.id,
            ApiKey.account_id,
            ApiKey.tenant_id,
            ApiKey.environment,
            ApiKey.name,
            ApiKey.key_hash,
            ApiKey.scopes,
            ApiKey.roles,
            ApiKey.status,
            ApiKey.ip_allowlist,
            ApiKey.expires_at,
            Account.default_region,
        ],
    )
    .join(Account, on=(Account.id == ApiKey.account_id))
    .where(ApiKey.key_hash == "")
)
_compiled: dict[type, str] = {}


def _stored(digest: str) -> Credential | None:
    # Building the query takes fifty times as long as running it.
    engine = type(database.obj)
    sql = _compiled.get(engine)
    if sql is None:
        sql = _compiled[engine] = _BY_HASH.sql()[0]
    row = database.execute_sql(sql, (digest,)).fetchone()
    if row is None:
        return None
    key_id, account_id, tenant_id, environment, name, key_hash, scopes, roles, status, allowed, expires_at, region = row
    if not hmac.compare_digest(key_hash, digest):
        return None
    tenant = Tenant(tenant_id, account_id, environment)
    held = frozenset(_words(scopes))
    return Credential(key_id, tenant, name, held, tuple(_words(roles)), status, _words(allowed), expires_at, region)


def _words(column: Any) -> list[str]:
    # SQLite hands JSON out as text, psycopg as what it says.
    words: list[str] = json.loads(column) if isinstance(column, str) else column
    return words


def recall(key: str) -> Credential | None:
    """What this process has known of the key for less than a second; None: ask `look_up`. Never waits."""
    return _memory.recall(hash_key(key))


def look_up(key: str) -> Credential | None:
    """What the database knows of the key, None if it is unknown; `recall` knows it too for a while."""
    digest, read_at, generation = hash_key(key), time.monotonic(), _memory.generation
    found = _stored(digest)
    if found is not None:
        _memory.keep(digest, found, read_at, generation)
    return found


def admit(found: Credential | None, ip: str | None, request_id: str | None, *, now: datetime | None = None) -> Caller:
    """Who calls from this address with this credential.

    Raises Unauthenticated, the same for a key that is unknown, revoked or expired, and Forbidden for an address outside
    the key's allow-list.
    """
    if found is None or found.status != "active" or _is_over(found.expires_at, now or clock.now()):
        raise Unauthenticated("invalid_api_key", "Invalid or expired API key")
    if found.ip_allowlist and not addresses.is_within(ip, found.ip_allowlist):
        raise Forbidden("address_not_allowed", "This API key may not be used from this address.")
    return Caller(
        tenant=found.tenant,
        key_id=found.key_id,
        scopes=found.scopes,
        roles=found.roles,
        actor=Actor("api_key", found.key_id, found.name, ip, request_id),
        default_region=found.default_region,
    )


def authenticate(key: str, ip: str | None, request_id: str | None, *, now: datetime | None = None) -> Caller:
    """Who calls with this key from this address, as the database says; notes that the key was used.

    Raises what `admit` raises.
    """
    now = now or clock.now()
    caller = admit(look_up(key) if checksum_ok(key) else None, ip, request_id, now=now)
    touch(caller.key_id, now)
    return caller


def touch(key_id: str, now: datetime) -> None:
    """Note that the key was used, at most once a minute in this process; a note that cannot be written is let go."""
    with _touching:
        last = _touched.get(key_id)
        if last is not None and now - last < _TOUCH_EVERY:
            return
        _touched[key_id] = now
    moment = clock.iso(now)
    is_news = ApiKey.last_used_at.is_null() | (ApiKey.last_used_at < moment)
    try:
        with transaction():
            ModelUpdate(ApiKey, {ApiKey.last_used_at: moment}).where((ApiKey.id == key_id) & is_news).execute()
    except PeeweeException as error:  # the request may only read, which a busy or read-only database still allows
        _log.warning("use of key not noted", key=key_id, error=type(error).__name__)


def _is_over(expires_at: str | None, now: datetime) -> bool:
    return expires_at is not None and expires_at <= clock.iso(now)


def permissions(caller: Caller) -> list[str]:
    """What the caller may do, in the contract's order."""
    return [scope for scope in SCOPES if scope in caller.scopes]


def visible(caller: Caller) -> ModelSelect:
    """The keys that exist for this caller: the account's, but for a test key only its own environment's."""
    keys = ApiKey.of(caller.tenant.account_id)
    return keys.where(ApiKey.environment == "test") if caller.tenant.environment == "test" else keys


def get(caller: Caller, key_id: str) -> ApiKey:
    """The key with this id. Raises NotFound."""
    return _only(visible(caller).where(ApiKey.id == key_id))


def page(
    caller: Caller, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[ApiKey], int, str | None]:
    """A page of the visible keys, newest first, how many there are, and the next page's cursor."""
    rows, next_cursor = paginate(
        visible(caller), [ApiKey.created_at, ApiKey.id], order="created", limit=limit, skip=skip, cursor=cursor
    )
    return rows, visible(caller).count(), next_cursor


def issue(
    tenant: Tenant,
    actor: Actor,
    *,
    name: str,
    scopes: Sequence[str],
    roles: Sequence[str] = (),
    ip_allowlist: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key without asking who may grant what: for the operator's command line; requests use `create`.

    Raises Blocked for an expiry that is not in the future, Invalid for an unknown scope or a malformed address range.
    """
    now = clock.now()
    if expires_at is not None and expires_at <= now:
        raise Blocked("expires_in_past", "expiresAt must be in the future")
    _require_known(scopes, ip_allowlist)
    terms = {
        "name": name,
        "scopes": list(scopes),
        "roles": list(roles),
        "ip_allowlist": list(ip_allowlist),
        "expires_at": None if expires_at is None else clock.iso(expires_at),
    }
    return _insert(tenant, actor, now, terms)


def create(
    caller: Caller,
    environment: Environment,
    *,
    name: str,
    scopes: Sequence[str],
    ip_allowlist: Sequence[str] = (),
    expires_at: str | None = None,
) -> NewKey:
    """Make a key on behalf of a caller, who can grant only what it holds and from test only test keys.

    expires_at: RFC 3339, in the future. Raises Forbidden, Blocked (`expires_in_past`, `expires_at_unusable`).
    """
    if caller.tenant.environment == "test" and environment == "live":
        raise Forbidden("live_key_from_test", "A test key can create only test keys.")
    _require_held(caller, scopes)
    return issue(
        tenant_row(caller.tenant.account_id, environment).tenant,
        caller.actor,
        name=name,
        scopes=scopes,
        ip_allowlist=ip_allowlist,
        expires_at=None if expires_at is None else _moment(expires_at),
    )


def revoke(caller: Caller, key_id: str) -> ApiKey:
    """End the key for good; one that is revoked already is returned as it is. Raises NotFound."""
    with transaction():
        row = _claimed(caller, key_id)
        if row.status != "revoked":
            row.store(status="revoked")
            after_commit(_memory.forget)
            audit.record(row.tenant, caller.actor, "api_key.revoked", row.id, {"name": row.name})
    return row


def rotate(caller: Caller, key_id: str, *, overlap_s: int = 0) -> NewKey:
    """A new key with the name, scopes, roles, allow-list and lifetime of this one, which ends now or after the overlap.

    Raises NotFound, Conflict unless the key is active, Forbidden if it can do what the caller cannot.
    """
    now = clock.now()
    with transaction():
        old = _claimed(caller, key_id)
        if old.status_at(now) != "active":
            raise Conflict("api_key_not_active", "Only an active API key can be rotated. Create a new one.")
        _require_held(caller, old.scopes)
        terms = {column: getattr(old, column) for column in ("name", "scopes", "roles", "ip_allowlist")}
        terms["expires_at"] = _renewed_expiry(old, now)
        new = _insert(old.tenant, caller.actor, now, terms, replaces=old.id)
        if overlap_s:
            end = clock.iso(now + timedelta(seconds=overlap_s))
            old.store(expires_at=min(end, old.expires_at or end))  # an overlap never prolongs a key
        else:
            old.store(status="revoked")
        after_commit(_memory.forget)
        told = {"name": old.name, "replacedBy": new.row.id, "overlapSeconds": overlap_s}
        audit.record(old.tenant, caller.actor, "api_key.rotated", old.id, told)
    return new


def delete(caller: Caller, key_id: str) -> None:
    """Remove a revoked key; the audit log keeps its history. Raises NotFound, Conflict unless it is revoked."""
    with transaction():
        row = _claimed(caller, key_id)
        if row.status != "revoked":
            raise Conflict("api_key_not_revoked", "Only a revoked API key can be deleted. Revoke it first.")
        ModelDelete(ApiKey).where(ApiKey.id == row.id).execute()
        after_commit(_memory.forget)
        audit.record(row.tenant, caller.actor, "api_key.deleted", row.id, {"name": row.name})


def _insert(tenant: Tenant, actor: Actor, now: datetime, terms: dict[str, Any], replaces: str | None = None) -> NewKey:
    full_key = generate(tenant.environment)
    with transaction():
        row = ApiKey.add(
            tenant.account_id,
            id=new_id(),
            tenant_id=tenant.id,
            environment=tenant.environment,
            key_hash=hash_key(full_key),
            key_hint=full_key[-4:],
            created_at=clock.iso(now),
            **terms,
        )
        told = {
            "name": row.name,
            "scopes": row.scopes,
            "roles": row.roles,
            "ipAllowlist": row.ip_allowlist,
            "expiresAt": row.expires_at,
        }
        audit.record(tenant, actor, "api_key.created", row.id, told | ({"replaces": replaces} if replaces else {}))
    return NewKey(full_key, row)


def _renewed_expiry(row: ApiKey, now: datetime) -> str | None:
    """When a key made now on this one's terms ends: a key for 90 days is followed by one for 90 days."""
    if row.expires_at is None:
        return None
    lifetime = clock.parse(row.expires_at) - clock.parse(row.created_at)
    try:
        return clock.iso(now + lifetime)
    except OverflowError:
        return row.expires_at


def _moment(text: str) -> datetime:
    try:
        return clock.parse(text)
    except (ValueError, OverflowError):  # a leap second, or a moment whose year in UTC is none of 1 to 9999
        raise Blocked("expires_at_unusable", "expiresAt must be a moment that exists in UTC before 10000") from None


def _claimed(caller: Caller, key_id: str) -> ApiKey:
    """The key with this id, which nobody else changes before this transaction ends."""
    query = visible(caller).where(ApiKey.id == key_id)
    return _only(query if is_sqlite() else query.for_update())


def _only(query: ModelSelect) -> ApiKey:
    row: ApiKey | None = query.first()
    if row is None:
        raise NotFound("api_key_not_found", "API key not found")
    return row


def _require_held(caller: Caller, scopes: Sequence[str]) -> None:
    for scope in scopes:
        if scope not in caller.scopes:
            raise Forbidden("scope_not_held", f"API key does not have the required scope (requires: {scope}).")


def _require_known(scopes: Sequence[str], ip_allowlist: Sequence[str]) -> None:
    problems = [
        Problem(f"/scopes/{index}", f"Unknown scope: {scope}")
        for index, scope in enumerate(scopes)
        if scope not in SCOPES
    ]
    for index, text in enumerate(ip_allowlist):
        try:
            addresses.network(text)
        except ValueError:
            problems.append(Problem(f"/ipAllowlist/{index}", f"Not an address or a range in CIDR notation: {text}"))
    if problems:
        raise Invalid("validation_failed", problems[0].message, problems=problems)
