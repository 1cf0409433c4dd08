"""Secrets at rest: sealed under a key that the settings hold and the database never sees.

AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D); its key comes from NEWLEAF_SECRET_KEY by HKDF-SHA256
(RFC 5869), which also gives one for fingerprints and one for audit chains. What is sealed is bound to its tenant and
owner, so that a row moved to another tenant opens nothing. Of several keys, comma-separated, the first seals and all of
them open: that is how a key is changed.

    v1.<which key>.<base64url of nonce and ciphertext>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import Blocked
from storage.tenancy import Tenant

MIN_KEY_LENGTH = 32
MAKE_ONE = "python3 -c 'import os; print(os.urandom(32).hex())'"

_VERSION = "v1"
_NONCE_BYTES = 12
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    sealing: bytes = field(repr=False)
    marking: bytes = field(repr=False)
    chaining: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> _Key:
        derived = HKDF(SHA256(), 2 * _KEY_BYTES, None, b"newleaf secrets at rest, v1").derive(text.encode())
        chaining = HKDF(SHA256(), _KEY_BYTES, None, b"newleaf audit chain, v1").derive(text.encode())
        return cls(hashlib.sha256(derived).hexdigest()[:8], derived[:_KEY_BYTES], derived[_KEY_BYTES:], chaining)


_keys: tuple[_Key, ...] = ()


def configure(key: str | None) -> None:
    """Use this key, or these, separated by commas; None or "" for none.

    Raises ValueError for one that is shorter than MIN_KEY_LENGTH characters, in words that do not repeat it.
    """
    global _keys
    texts = [text.strip() for text in (key or "").split(",") if text.strip()]
    if any(len(text) < MIN_KEY_LENGTH for text in texts):
        raise ValueError(f"NEWLEAF_SECRET_KEY needs at least {MIN_KEY_LENGTH} characters. Make one: {MAKE_ONE}")
    _keys = tuple(map(_Key.of, texts))


def is_configured() -> bool:
    """Whether secrets can be sealed."""
    return bool(_keys)


def require_key() -> None:
    """Return if secrets can be sealed. Raises Blocked (`secret_key_missing`), which says what to set."""
    if not _keys:
        raise Blocked(
            "secret_key_missing",
            "This server has no key to keep secrets under. Set NEWLEAF_SECRET_KEY and start it again.",
            details=f"Make a key: {MAKE_ONE}",
        )


def seal(tenant: Tenant, owner: str, values: Mapping[str, str]) -> str:
    """These secrets as text that opens only for this tenant and owner (an id). Raises Blocked without a key."""
    require_key()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_keys[0].sealing).encrypt(nonce, json.dumps(dict(values)).encode(), _bound_to(tenant, owner))
    return f"{_VERSION}.{_keys[0].id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def open_(tenant: Tenant, owner: str, sealed: str) -> dict[str, str]:
    """The secrets that `seal` was given for this tenant and owner.

    Raises Blocked: `secret_key_missing` without a key, `secret_key_wrong` without the one that sealed them,
    `secrets_damaged` where the text is not what was sealed.
    """
    require_key()
    key_id, text = _parts(sealed)
    key = next((key for key in _keys if key.id == key_id), None)
    if key is None:
        raise Blocked(
            "secret_key_wrong",
            "The stored secrets were sealed under another key. Add that key to NEWLEAF_SECRET_KEY, after a comma, and "
            "start the server again, or save the integration anew.",
        )
    try:
        raw = base64.urlsafe_b64decode(text)
        cipher = AESGCM(key.sealing)
        opened = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(tenant, owner))
    except (InvalidTag, binascii.Error, ValueError):
        raise _damaged() from None
    values: dict[str, str] = json.loads(opened)
    return values


def is_current(sealed: str) -> bool:
    """Whether this was sealed under the first key, so that the others are not needed for it."""
    return bool(_keys) and sealed.startswith(f"{_VERSION}.{_keys[0].id}.")


def fingerprints(text: str) -> list[str]:
    """What a secret can be looked up by, one for each key, the first key's first; empty without a key.

    Without the key a fingerprint tells nothing, even of a text that could be guessed.
    """
    return [hmac.new(key.marking, text.encode(), hashlib.sha256).hexdigest() for key in _keys]


def chain_keys() -> list[bytes]:
    """What heads of audit chains are signed with, one for each key, the first key's first; empty without a key."""
    return [key.chaining for key in _keys]


def _parts(sealed: str) -> tuple[str, str]:
    version, _, rest = sealed.partition(".")
    key_id, _, text = rest.partition(".")
    if version != _VERSION or not text:
        raise _damaged()
    return key_id, text


def _damaged() -> Blocked:
    message = "The stored secrets are damaged or were moved from elsewhere. Save the integration anew."
    return Blocked("secrets_damaged", message)


def _bound_to(tenant: Tenant, owner: str) -> bytes:
    return f"{tenant.id}\n{owner}".encode()
