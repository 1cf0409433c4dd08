"""Reading files in processes of their own, which a hostile file may bring down: bounded in memory and in time.

A process reads file after file, for its libraries take half a second to load, and ends with whoever started it: its
input ends then. Both directions carry a length of four bytes, then JSON and for a file its bytes:

    → {"kind": media type} + file     ← {"text", "title"} or {"code", "message"}
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import selectors
import struct
import subprocess  # nosec: our own interpreter on our own module
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, cast

from .extract import Extracted, Unreadable, extract

TIMEOUT_S = 45.0
MAX_MEMORY_BYTES = 1024 * 1024 * 1024
AT_ONCE = 2
_FILES_EACH = 200  # then it is replaced: libraries leak
_START_S = 30.0
_LENGTH = struct.Struct(">II")

_TOO_MUCH = {
    "code": "too_complex",
    "message": "Reading the file takes more memory than is allowed. Split the document.",
}
_TOO_LONG = Unreadable("too_complex", "Reading the file takes too long. Split the document, or save it anew.")
_DIED = Unreadable("corrupt", "The file cannot be read: reading it failed at once")


class _Died(Exception):
    """The process ended in the middle."""


class _Slow(Exception):
    """The process did not answer in time."""


def _environment() -> dict[str, str]:
    """What a reader needs to know, without the secrets that our own environment holds."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}


class _Process:
    """A running reader."""

    def __init__(self) -> None:
        self.files = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.knowledge.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self._in, self._out = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def ask(self, data: bytes, media_type: str, timeout_s: float) -> dict[str, Any]:
        """What the reader says of a file. Raises _Died, _Slow."""
        self.files += 1
        deadline = time.monotonic() + timeout_s + (_START_S if self.files == 1 else 0.0)
        head = json.dumps({"kind": media_type}).encode()
        sender = threading.Thread(
            target=self._send, args=(_LENGTH.pack(len(head), len(data)) + head, data), daemon=True
        )
        sender.start()  # a process that hangs takes nothing more, which must not hang us
        length, _ = _LENGTH.unpack(self._take(_LENGTH.size, deadline))
        answer: dict[str, Any] = json.loads(self._take(length, deadline))
        return answer

    def _send(self, head: bytes, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # it died or was ended: whoever waits for its answer learns that
            self._in.write(head)
            self._in.write(data)
            self._in.flush()

    def _take(self, size: int, deadline: float) -> bytes:
        taken = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while len(taken) < size:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _Slow
                piece = os.read(self._out.fileno(), min(size - len(taken), 1 << 20))
                if not piece:
                    raise _Died
                taken += piece
        return bytes(taken)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._in, self._out):
            with contextlib.suppress(OSError):
                stream.close()


_slots = threading.BoundedSemaphore(AT_ONCE)
_idle: queue.LifoQueue[_Process] = queue.LifoQueue()


def read(
    data: bytes, media_type: str, *, timeout_s: float = TIMEOUT_S, started: Callable[[], object] | None = None
) -> Extracted:
    """The text of a file of this kind. Raises Unreadable.

    Waits for its turn, since few are read at once; `started` is called when it has come.
    """
    with _slots:
        if started is not None:
            started()
        try:
            answer = _ask(data, media_type, timeout_s)
        except _Slow:
            raise _TOO_LONG from None
        except _Died:
            raise _DIED from None
    if "code" in answer:
        raise Unreadable(answer["code"], answer["message"])
    return Extracted(answer["text"], answer["title"])


def _ask(data: bytes, media_type: str, timeout_s: float) -> dict[str, Any]:
    """The answer of a process that waits for work, or of a new one where there is none or it died meanwhile."""
    try:
        waiting = _idle.get_nowait()
    except queue.Empty:
        return _asked(_Process(), data, media_type, timeout_s)
    try:
        return _asked(waiting, data, media_type, timeout_s)
    except _Died:
        return _asked(_Process(), data, media_type, timeout_s)


def _asked(process: _Process, data: bytes, media_type: str, timeout_s: float) -> dict[str, Any]:
    try:
        answer = process.ask(data, media_type, timeout_s)
    except BaseException:
        process.end()
        raise
    if process.files >= _FILES_EACH or answer.get("code") == _TOO_MUCH["code"]:
        process.end()
    else:
        _idle.put(process)
    return answer


def close() -> None:
    """End the processes that wait for work."""
    with contextlib.suppress(queue.Empty):
        while True:
            _idle.get_nowait().end()


atexit.register(close)


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """The process's own loop: until there are no more requests."""
    while len(lengths := requests.read(_LENGTH.size)) == _LENGTH.size:
        head_size, data_size = _LENGTH.unpack(lengths)
        head = json.loads(requests.read(head_size))
        _limit_time()
        answer = json.dumps(_answer(requests.read(data_size), head["kind"])).encode()
        answers.write(_LENGTH.pack(len(answer), 0) + answer)
        answers.flush()


def _answer(data: bytes, media_type: str) -> dict[str, str]:
    try:
        found = extract(data, media_type)
        return {"text": found.text, "title": found.title}
    except Unreadable as error:
        return {"code": error.code, "message": error.message}
    except (MemoryError, RecursionError):
        return _TOO_MUCH
    except Exception:  # whatever a library trips over in a file is the file's fault
        return {"code": _DIED.code, "message": _DIED.message}


def _limit() -> None:
    """Bound what this process may take. Windows has no such limits, only the time is bounded there."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_time() -> None:
    """Bound the processor time of the next file, for the case that nobody is there any more to end this process."""
    with contextlib.suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime + 2 * TIMEOUT_S)
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    """Serve standard input and output; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _limit()
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
