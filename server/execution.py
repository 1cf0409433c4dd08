"""Running a handler: thread, connection, transaction, idempotency, conditional writes, and the answer's bytes.

A write and the stored answer to its `Idempotency-Key` commit together, so a crash leaves both or neither.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from peewee import OperationalError
from starlette.types import Receive, Scope, Send

from handlers.answers import Answer, Page, Stream
from storage import idempotency
from storage.database import TooSlow, at_once, connection, database, is_sqlite, transaction
from storage.errors import Stale
from storage.idempotency import Stored

from .arguments import ArgumentPlan
from .contract import ContractError, Operation
from .requests import RequestState, header, state
from .seal import AnswerSeal
from .streams import pour
from .threads import Threads, WriterThread

_encode = msgspec.json.Encoder().encode
_ATTEMPTS = 4
# A read from SQLite takes less than a hop to a thread and back. It is begun on the event loop, and begun again on a
# thread if it is one of the few that take longer. Writes to SQLite go to the one thread that commits them in groups.
_AT_ONCE_S = 0.004
_PAUSE_S = 0.05  # short, for it may only have been the processor that was busy elsewhere
_PASSING = {"lastUsedAt", "health"}  # of an API key that is used, of an integration whose provider was asked
_SMALL_BODY = 64 * 1024
# PostgreSQL: serialization_failure, deadlock_detected
_RETRYABLE = ("40001", "40P01")

_in_flight: set[tuple[str, str]] = set()
_in_flight_lock = threading.Lock()

Handler = Callable[..., Any]
Outcome = tuple[
    Any, Callable[[], Any] | None
]  # a Stored answer or a Stream, and what makes it complete after the commit


@dataclass(frozen=True, slots=True)
class Request:
    """What running a handler needs to know of the request."""

    state: RequestState
    target: str
    query: str
    idempotency_key: str | None
    if_match: str | None
    arguments: dict[str, Any]

    @property
    def owner(self) -> str:
        """Whose idempotency keys these are: the tenant's, or for calls without a key those of the path's token."""
        caller = self.state.caller
        return f"tenant:{caller.tenant.id}" if caller else hashlib.sha256(self.target.encode()).hexdigest()

    @property
    def seal(self) -> AnswerSeal:
        """What the stored answer is closed with: a secret that the caller has and the database has not."""
        return AnswerSeal(self.state.credential or self.target, self.idempotency_key or "")


class Execution:
    """One operation, ready to run."""

    def __init__(
        self,
        operation: Operation,
        handler: Handler,
        plan: ArgumentPlan,
        threads: Threads,
        writer: WriterThread,
    ) -> None:
        self.operation = operation
        self.handler = handler
        self.takes_user = _accepts(operation, handler, plan)
        self.plan = plan
        self.threads = threads
        self.writer = writer
        self.read_one: Handler | None = None  # reads the object that If-Match speaks of
        self.has_effect = operation.method != "get" and operation.spec.get("x-effect") != "none"
        # Health and the contract are answered without a database, for they must be when there is none.
        self.is_service = operation.spec["tags"] == ["Service"]
        headers = operation.spec["responses"].get("200", {}).get("headers", {})
        self.has_etag = operation.method == "get" and "ETag" in headers
        self._waits_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the arguments, run the handler, send what it answers."""
        try:
            await self._serve(scope, receive, send)
        finally:
            for file in state(scope).files:
                await file.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_state = state(scope)
        arguments = await self.plan.read(scope, receive)
        if self.takes_user:
            arguments["user"] = request_state.caller
        request = Request(
            request_state,
            scope["path"],
            scope["query_string"].decode("ascii"),
            _unquoted(header(scope, b"idempotency-key")) if self.operation.method != "get" else None,
            header(scope, b"if-match"),
            arguments,
        )
        if request.idempotency_key is None:
            stored = await self._answer(request)
        else:
            with _claim(request.owner, request.idempotency_key):
                stored = await self._answer(request)
        if isinstance(stored, Stream):
            await pour(stored, self.threads, receive, send)
            return
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in stored.headers.items()]
        headers.append((b"content-length", b"%d" % len(stored.body)))
        await send({"type": "http.response.start", "status": stored.status, "headers": headers})
        await send({"type": "http.response.body", "body": stored.body})

    async def _answer(self, request: Request) -> Stored | Stream:
        """Run it where that is cheapest, then what it left to do after the commit, for which no connection is held."""
        if self.is_service:
            return await self.threads.run(lambda: self._finish(request, self.handler(**request.arguments)))
        is_small = is_sqlite() and request.state.body_size <= _SMALL_BODY
        is_write = self.has_effect or request.idempotency_key is not None
        done = self._at_once(request) if is_small and not is_write else None
        if done is None and is_small and is_write:
            done = await self.writer.run(self._once, request)
        elif done is None:
            done = await self.threads.run(self._attempt, request)
        answer, then = done
        return answer if then is None else await self.threads.run(self._complete, request, answer, then)

    def _at_once(self, request: Request) -> Outcome | None:
        """Run a read on the event loop; None if it takes too long for that, as the next ones are then taken to do."""
        if time.monotonic() < self._waits_until:
            return None
        try:
            with at_once(_AT_ONCE_S):
                return self._finished(request, self.handler(**request.arguments))
        except TooSlow:
            self._waits_until = time.monotonic() + _PAUSE_S
            return None

    def _complete(self, request: Request, answer: Stored, then: Callable[[], Any]) -> Stored:
        answer = Stored(answer.status, answer.headers, _encode(then()))
        if request.idempotency_key is not None:
            with transaction():
                self._remember(request, answer)
        return answer

    def _attempt(self, request: Request) -> Outcome:
        """Run it, again where PostgreSQL asks for that because two transactions met."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with connection():
                    return self._once(request)
            except OperationalError as error:
                if attempt == _ATTEMPTS or _sqlstate(error) not in _RETRYABLE:
                    raise
        raise AssertionError("unreachable")

    def _once(self, request: Request) -> Outcome:
        if not self.has_effect and request.idempotency_key is None:
            return self._finished(request, self.handler(**request.arguments))
        with transaction(repeatable=request.if_match is not None):
            if request.idempotency_key is not None:
                earlier = self._replay(request, request.idempotency_key)
                if earlier is not None:
                    return earlier, None
            if request.if_match is not None and self.read_one is not None:
                self._check_unchanged(request, request.if_match)
            answer, then = self._finished(request, self.handler(**request.arguments))
            if self.has_effect or then is None:  # without an effect there is nothing to repeat but the whole answer
                self._remember(request, answer)
        return answer, then

    def _finished(self, request: Request, result: Any) -> Outcome:
        return self._finish(request, result), result.then if isinstance(result, Answer) else None

    def _hash(self, request: Request) -> str:
        parts = (self.operation.id, request.target, request.query, request.state.body_hash)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _replay(self, request: Request, key: str) -> Stored | None:
        _lock_across_processes(request.owner, key)
        stored = idempotency.replay(request.owner, key, self._hash(request))
        if stored is None:
            return None
        body = request.seal.open(stored.body)
        return Stored(stored.status, {**stored.headers, "Idempotent-Replayed": "true"}, body)

    def _remember(self, request: Request, answer: Stored) -> None:
        if request.idempotency_key is not None:
            sealed = Stored(answer.status, answer.headers, request.seal.close(answer.body))
            idempotency.complete(request.owner, request.idempotency_key, self._hash(request), sealed)

    def _check_unchanged(self, request: Request, if_match: str) -> None:
        """Raises Stale unless the object still has one of these tags, and whatever reading it raises."""
        assert self.read_one is not None
        taken = self.read_one.__code__.co_varnames[: self.read_one.__code__.co_argcount]
        present = self.read_one(**{name: value for name, value in request.arguments.items() if name in taken})
        if if_match != "*" and etag(present) not in (tag.strip() for tag in if_match.split(",")):
            raise Stale("precondition_failed", "The object has changed since its ETag was read; read it again")

    def _finish(self, request: Request, result: Any) -> Any:
        """The answer's bytes; a Stream as it is."""
        if isinstance(result, Stream):
            return result
        if isinstance(result, Page):
            headers = {"X-Total-Count": str(result.total)}
            if result.next_cursor is not None:
                headers["Link"] = _next_link(request, result.next_cursor)
            return _json(200, headers, result.body)
        if isinstance(result, Answer):
            headers = {"Location": result.location} if result.location else {}
            if isinstance(result.body, bytes):
                return Stored(result.status, {**headers, "Content-Type": result.media_type}, result.body)
            return _json(result.status, headers, result.body)
        answer = _json(200, {}, result)
        if self.has_etag:
            answer.headers["ETag"] = etag(result)
        return answer


def _accepts(operation: Operation, handler: Handler, plan: ArgumentPlan) -> bool:
    """Whether the handler wants the caller. Raises ContractError unless it takes what the contract gives it."""
    taken = inspect.signature(handler).parameters
    wanted = {name for name, parameter in taken.items() if parameter.default is parameter.empty}
    surprising = (plan.names - taken.keys()) | (wanted - plan.names - {"user"})
    if surprising or ("user" in wanted and operation.is_public):
        raise ContractError(f"{operation.id} of the contract and its handler differ in {', '.join(sorted(surprising))}")
    return "user" in taken


def _json(status: int, headers: dict[str, str], body: Any) -> Stored:
    return Stored(status, {**headers, "Content-Type": "application/json"}, _encode(body))


def etag(body: Any) -> str:
    """A validator of this object: it changes with any member, except those that change without anybody's doing."""
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if name not in _PASSING}
    return f'"{hashlib.sha256(_encode(body)).hexdigest()[:32]}"'


def _unquoted(key: str | None) -> str | None:
    if key is not None and len(key) > 2 and key[0] == key[-1] == '"':
        return key[1:-1]
    return key


def _next_link(request: Request, cursor: str) -> str:
    parts = [part for part in request.query.split("&") if part and part.split("=")[0] not in ("cursor", "skip")]
    return f'<{request.target}?{"&".join([*parts, urlencode({"cursor": cursor})])}>; rel="next"'


def _sqlstate(error: OperationalError) -> str | None:
    cause = error.__cause__ or getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None)


@contextmanager
def _claim(owner: str, key: str) -> Iterator[None]:
    """Raises Conflict while another request of this process works under the same key."""
    with _in_flight_lock:
        if (owner, key) in _in_flight:
            raise idempotency.in_flight()
        _in_flight.add((owner, key))
    try:
        yield
    finally:
        with _in_flight_lock:
            _in_flight.discard((owner, key))


def _lock_across_processes(owner: str, key: str) -> None:
    """The same between processes: SQLite's write lock makes them wait, PostgreSQL is asked for a lock of its own."""
    if is_sqlite():
        return
    number = int.from_bytes(hashlib.sha256(f"{owner}\n{key}".encode()).digest()[:8], "big", signed=True)
    if not database.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()[0]:
        raise idempotency.in_flight()
