"""Public ids: 24 hex digits that sort by time of creation, in the layout of an ObjectId."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import threading
import time

_PATTERN = re.compile(r"[0-9a-f]{24}")
_counter = itertools.count(secrets.randbelow(1 << 24))
_lock = threading.Lock()
_process = b""
_pid = 0


def _process_part() -> bytes:
    global _process, _pid
    if _pid != os.getpid():
        with _lock:
            _process, _pid = secrets.token_bytes(5), os.getpid()
    return _process


def new_id() -> str:
    """A new id: 4 bytes of seconds, 5 random bytes of this process, a 3-byte counter, as 24 hex digits.

    Source of the layout: the BSON specification's ObjectId.
    """
    count = next(_counter) & 0xFFFFFF
    return (int(time.time()).to_bytes(4, "big") + _process_part() + count.to_bytes(3, "big")).hex()


def is_id(text: str) -> bool:
    """Whether this text has the form of an id."""
    return _PATTERN.fullmatch(text) is not None
