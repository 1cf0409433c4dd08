"""Stored answers are sealed: some hold a secret that is shown only once, such as a new API key.

The key is derived from the credential that the request carried, which the database does not have, so a copy of the
database opens none of them. AES-256-GCM with a random 96-bit nonce, which leads the stored bytes (NIST SP 800-38D).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import Conflict

_NONCE_BYTES = 12


class AnswerSeal:
    """Closes and opens the answer to one request."""

    def __init__(self, credential: str, idempotency_key: str) -> None:
        self._key = hmac.new(credential.encode("utf-8", "surrogateescape"), idempotency_key.encode(), hashlib.sha256)

    def close(self, body: bytes) -> bytes:
        """The sealed body."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key.digest()).encrypt(nonce, body, None)

    def open(self, sealed: bytes) -> bytes:
        """The body. Raises Conflict where another credential closed it: the effect is there, its answer is not ours."""
        try:
            return AESGCM(self._key.digest()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            raise Conflict(
                "idempotency_other_key", "This Idempotency-Key was used with another API key; its effect is done"
            ) from None
