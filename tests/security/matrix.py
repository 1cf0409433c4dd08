"""The matrix: what an attacker is answered and what becomes of its victim, against what a bystander is answered.

Three things must hold of every call. Nothing of the victim is in the answer that was not in the request. Nothing that
the victim owns has changed. The answer is the one that is given where the victim does not exist.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx

from server.contract import Operation
from storage.tenancy import Environment

from . import worlds
from .calls import Call, Slot, calls_of, fill
from .worlds import MARK, Pair, Party, World

_MARKED = re.compile(MARK + r"[0-9a-f]{8}(?:[^\s\"\\,]*[^\s\"\\,.])?", re.IGNORECASE)
_PHONE = re.compile(r"\+\d+")
_GENERATED = (
    (re.compile(r"\b(?:nl_(?:live|test)_)?[0-9a-f]{64}\b"), "<key>"),
    (re.compile(r"\b(?:whk|inv)_[A-Za-z0-9_-]+"), "<token>"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), "<secret>"),
    (re.compile(r"\b(?:user_)?[0-9a-f]{24}\b"), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
)
# Members that differ from one world to the next, or with what the background worker has done already.
_VARYING = {"requestId", "keyHint", "lastUsedAt", "state", "failure", "lastTriggeredAt", "nextRunAt"}
_VARYING |= {"deliveryStatus", "deliveryCode", "deliveryDetail", "heldUntil"}
_VARYING_HEADERS = {"date", "etag", "x-request-id", "content-length", "server"}


@dataclass(frozen=True)
class Answer:
    """What one call was answered, as it came and without what differs from one world to the next.

    sent: all that had been sent by then, in lower case.
    """

    call: Call
    sent: str
    received: str
    status: int
    comparable: Any


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    call: Call
    what: str

    def __str__(self) -> str:
        return f"{self.call.operation.id}, {self.call.about}: {self.what}"


During = Callable[[], AbstractContextManager[object]]


class Matrix:
    """The matrix over one running server; this process is connected to its database."""

    def __init__(self, client: httpx.Client, during: During = nullcontext) -> None:
        self._client = client
        self._during = during  # is open while an attack lasts
        self._expected: dict[tuple[str, Environment], list[Answer]] = {}
        self._read_only: dict[Pair | Environment, World] = {}

    def expected(self, operation: Operation, environment: Environment) -> list[Answer]:
        """What a bystander is answered to the calls of this operation; asked once."""
        place = (operation.id, environment)
        if place not in self._expected:
            world = self._world(operation, environment)
            self._expected[place] = self._answers(world, calls_of(operation))
        return self._expected[place]

    def findings(self, operation: Operation, pair: Pair) -> list[Finding]:
        """What is wrong with this operation when this pair meets over it."""
        expected = self.expected(operation, pair.attacker)
        world = self._world(operation, pair)
        calls = calls_of(operation)
        if any(slot.kind == "cursor" for call in calls for slot in call.slots()):
            self._take_cursor(world, operation)
        before = worlds.snapshot(world)
        found: list[Finding] = []
        with self._during():
            answers = self._answers(world, calls)
        for answer, wanted in zip(answers, expected, strict=True):
            found += [Finding(answer.call, what) for what in _judge(world, answer, wanted)]
        changed = worlds.differences(before, worlds.snapshot(world))
        return found + [Finding(calls[-1], f"the victim's rows changed: {', '.join(changed)}")] * bool(changed)

    def forget(self) -> None:
        """Make new worlds from now on: the database was emptied."""
        self._read_only.clear()

    def _world(self, operation: Operation, who: Pair | Environment) -> World:
        """A world for this operation alone; one that only reads shares it with others of its kind."""
        if operation.method == "get" and who in self._read_only:
            return self._read_only[who]
        world = worlds.make(who) if isinstance(who, Pair) else worlds.bystanders(who)
        if operation.method == "get":
            self._read_only[who] = world
        return world

    def seen_by_itself(self, operation: Operation, pair: Pair) -> set[str]:
        """What of the victim's is in the answer when it asks for its own: the proof that the marks can be seen."""
        world = worlds.make(pair)
        assert world.victim is not None
        world = World(world.victim, world.victim, same_account=True)
        answers = self._answers(world, [call for call in calls_of(operation) if call.about == "own 0"])
        return {leak for answer in answers for leak in _leaks(world.attacker, answer)}

    def _take_cursor(self, world: World, operation: Operation) -> None:
        """A cursor of the victim's own list, as only the victim gets it."""
        assert world.victim is not None
        [own] = [call for call in calls_of(operation) if call.about == "own 0"]
        call = Call(operation, own.about, own.path, {**own.query, "limit": 1})
        answer = self._send(World(world.victim, None, same_account=False), call)
        link = answer.headers["link"]
        world.victim.values["cursor"] = [re.search(r"cursor=([^&>]+)", link).group(1)]  # type: ignore[union-attr]

    def _answers(self, world: World, calls: Sequence[Call]) -> list[Answer]:
        """One call after the other. What was sent once may come back later: it is in the attacker's own lead now."""
        answers: list[Answer] = []
        sent, given = "", set[str]()
        for call in calls:
            response = self._send(world, call)
            sent += f"{response.request.url!s} {_filled(world, call)}".casefold()
            given |= _given(world, call)
            received = f"{dict(response.headers)} {response.text}"
            comparable = _comparable(response, sorted(given, key=len, reverse=True))
            answers.append(Answer(call, sent, received, response.status_code, comparable))
        return answers

    def _send(self, world: World, call: Call) -> httpx.Response:
        path, query, headers, body = _filled(world, call)
        url = call.operation.path
        for name, value in path.items():
            url = url.replace(f"{{{name}}}", str(value))
        options: dict[str, Any] = {"headers": {**headers, "X-API-Key": world.attacker.key}, "params": query}
        if call.media_type == "multipart/form-data":
            options["files"] = {name: (f"{name}.csv", text) for name, text in body.items()}
        elif call.media_type is not None:
            options["json"] = body
        return _unpacked(self._client.request(call.operation.method.upper(), url, **options))


def _unpacked(response: httpx.Response) -> httpx.Response:
    """The answer; an archive as an object of the JSON in its files, for nothing can be seen in the archive itself."""
    if response.headers.get("content-type") != "application/zip":
        return response
    headers = [(name, value) for name, value in response.headers.items() if name != "content-type"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    content = {"content": json.dumps(files, ensure_ascii=False), "request": response.request}
    return httpx.Response(response.status_code, headers=[*headers, ("content-type", "application/json")], **content)


def _value(world: World, slot: Slot) -> Any:
    values = world.attacker.values if slot.whose == "own" else world.others
    if slot.kind == "cursor" and "cursor" not in values:
        return "bm9uZQ"
    return values[slot.kind][slot.index]


def _filled(world: World, call: Call) -> list[Any]:
    parts = (call.path, call.query, call.headers, call.body)
    return list(fill(parts, lambda slot: _value(world, slot)))


def _given(world: World, call: Call) -> set[str]:
    """The values of another's that the request has in it."""
    slots = [slot for slot in call.slots() if slot.whose != "own" and slot.kind not in ("filter", "cursor")]
    values: set[str] = set()
    for slot in slots:
        value = _value(world, slot)
        if slot.kind == "csv":
            values |= set(_PHONE.findall(value))
        else:
            values |= {*value.keys(), *value.values()} if isinstance(value, dict) else {str(value)}
    return values


def _comparable(response: httpx.Response, given: Sequence[str]) -> Any:
    headers = {name: _masked(value, given) for name, value in response.headers.items() if name not in _VARYING_HEADERS}
    is_json = response.headers.get("content-type", "").partition(";")[0].endswith("json")
    body = _masked(response.json(), given) if is_json else _masked(_events(response.text), given)
    return [response.status_code, headers, body]


def _events(text: str) -> Any:
    """Server-sent events as what they tell, without ids, which count those of all conversations; else the text.

    Of metrics, which count what everybody does, what is counted.
    """
    told = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    counted = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    return [json.loads(each) for each in told] if told else counted or text


def _masked(node: Any, given: Sequence[str]) -> Any:
    if isinstance(node, dict):
        return {_masked(name, given): _masked(value, given) for name, value in node.items() if name not in _VARYING}
    if isinstance(node, list):  # a number in one is a lead's; elsewhere it mostly counts
        return ["<given>" if isinstance(item, int) and str(item) in given else _masked(item, given) for item in node]
    if isinstance(node, str):
        for pattern, name in _GENERATED:
            node = pattern.sub(name, node)
        for value in given:
            node = "<given>" if node == value else node.replace(value, "<given>" if len(value) > 3 else value)
    return node


def _judge(world: World, answer: Answer, wanted: Answer) -> list[str]:
    assert world.victim is not None
    found = [f"the answer has {leak} in it" for leak in sorted(_leaks(world.victim, answer))]
    if answer.status >= 500:
        found.append(f"answered {answer.status}: {answer.received}")
    is_with_cursor = any(slot.kind == "cursor" for slot in answer.call.slots())
    if not is_with_cursor and answer.comparable != wanted.comparable:
        shown = [json.dumps(each.comparable, default=str) for each in (wanted, answer)]
        found.append("a bystander is answered otherwise:\n  {}\n  {}".format(*shown))
    return found


def _leaks(victim: Party, answer: Answer) -> set[str]:
    """What of the victim's is in the answer and was not in the request."""
    texts = set(_MARKED.findall(answer.received)) | {known for known in victim.secrets if known in answer.received}
    return {text for text in texts if text.casefold() not in answer.sent}
