"""Asking what a webhook source is told to ask, step by step, each with what the steps before it have found out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from storage.tenancy import Tenant

from .fetch import Fetched, fetcher
from .fetch_errors import FetchError
from .webhook_config import PLACE, Config

MAX_VALUE = 10_000  # characters of what a place stands for

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class FlowError(Exception):
    """The flow cannot go on. `code` is a stable word; `message` names the step and holds no secret."""

    def __init__(self, code: str, message: str, *, is_temporary: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.is_temporary = is_temporary


def run(tenant: Tenant, config: Config, timeout_s: float, before_step: Callable[[], object]) -> Fetched:
    """The answer of the last step. config: whole and sound. before_step: runs before each. Raises FlowError."""
    values = {given["name"]: given["value"] for given in config.get("flowInputs") or []}
    steps = config.get("steps") or [config]
    answer: Fetched | None = None
    for place, step in enumerate(steps):
        before_step()
        title = f"Step {step['name']}" if config.get("steps") and step.get("name") else f"Step {place + 1}"
        answer = _asked(tenant, {**step, **_shared(config, step)}, values, timeout_s, title)
        if place + 1 < len(steps):
            values |= _learned(step, answer, title)
    assert answer is not None
    return answer


def _shared(config: Config, step: Mapping[str, Any]) -> dict[str, Any]:
    """What a step sends besides its own: headers that it does not set itself, and the common credentials."""
    own = {name.lower() for name in step.get("headers") or {}}
    common = {name: value for name, value in (config.get("headers") or {}).items() if name.lower() not in own}
    return {"headers": {**common, **(step.get("headers") or {})}, "auth": step.get("auth") or config.get("auth")}


def _asked(tenant: Tenant, step: Mapping[str, Any], values: Mapping[str, str], timeout_s: float, title: str) -> Fetched:
    headers = {name: _filled(value, values, str) for name, value in step["headers"].items()}
    body = step.get("body")
    sent = None
    if body:
        kind = _kind_of(body, headers)
        sent = _filled(body, values, _ESCAPES.get(kind, str)).encode()
    headers = _authorized(headers, step.get("auth"))
    url = _filled(step["url"], values, lambda value: quote(value, safe=""))
    try:
        answer = fetcher().fetch(
            tenant.environment, url, method=step.get("method") or "GET", headers=headers, body=sent, timeout_s=timeout_s
        )
    except FetchError as error:
        raise FlowError(error.code, f"{title}: {error.message}", is_temporary=error.is_temporary) from error
    if not answer.is_success:
        is_temporary = answer.status == 429 or answer.status >= 500
        message = f"{title}: {answer.url.host} answers status {answer.status}."
        raise FlowError(f"http_{answer.status}", message, is_temporary=is_temporary)
    return answer


def _filled(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """The text with its places filled, once: what fills a place is not looked into for further ones."""
    return PLACE.sub(lambda place: escape(values[place[1]]), text)


def _kind_of(body: str, headers: dict[str, str]) -> str:
    """What the body is, by its header; without one it gets one."""
    told = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    if told is None:
        told = _JSON if body.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8"
        headers["Content-Type"] = told
    kind = told.partition(";")[0].strip().lower()
    return _JSON if kind.endswith("+json") else kind


_ESCAPES: dict[str, Callable[[str], str]] = {
    _JSON: lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    _FORM: lambda value: quote(value, safe=""),
}


def _authorized(headers: dict[str, str], auth: Mapping[str, str] | None) -> dict[str, str]:
    kind = auth["type"] if auth else "none"
    if auth is None or kind == "none":
        return headers
    if kind == "header":
        return {**headers, auth["name"]: auth["value"]}
    if kind == "bearer":
        return {**headers, "Authorization": f"Bearer {auth['token']}"}
    pair = f"{auth['username']}:{auth['password']}".encode()
    return {**headers, "Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _learned(step: Mapping[str, Any], answer: Fetched, title: str) -> dict[str, str]:
    """What later steps may use of this answer. Raises FlowError."""
    learned = {}
    if step.get("name"):
        learned[step["name"]] = _short(text_of(answer).strip(), title)
    wanted = step.get("extract") or {}
    found = as_json(answer, title) if wanted else None
    for name, pointer in wanted.items():
        try:
            learned[name] = _short(as_text(pointed(found, pointer)), title)
        except LookupError as error:
            raise FlowError("nothing_there", f"{title}: its answer has nothing at {pointer!r}.") from error
    return learned


def _short(value: str, title: str) -> str:
    if len(value) > MAX_VALUE:
        raise FlowError("value_too_long", f"{title}: a value for later steps is longer than {MAX_VALUE} characters.")
    return value


def text_of(answer: Fetched) -> str:
    """The body as text, in the encoding that it names, else UTF-8; what no database takes is left out."""
    try:
        text = answer.body.decode(answer.charset or "utf-8", errors="replace")
    except LookupError:
        text = answer.body.decode(errors="replace")
    return text.removeprefix("\ufeff").replace("\0", "")


def as_json(answer: Fetched, title: str) -> Any:
    """What the body says in JSON. Raises FlowError."""
    try:
        return json.loads(text_of(answer))
    except (ValueError, RecursionError) as error:
        raise FlowError("no_json", f"{title}: {answer.url.host} does not answer JSON.") from error


def as_text(value: Any) -> str:
    """A string as it is, everything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("\0", "").encode(errors="replace").decode()


def pointed(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to. Raises LookupError."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and _INDEX.fullmatch(name):
            document = document[int(name)]
        elif isinstance(document, dict):
            document = document[name]
        else:
            raise LookupError(pointer)
    return document
