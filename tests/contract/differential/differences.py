"""Where the compiled spine means to decide otherwise than Connexion does, each with the reason.

A difference explains a request only if the request has what the difference is about, whatever the spines decided.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from server.contract import Operation, dereference, document, operations
from server.errors import MAX_ERRORS
from server.schemas import is_large

from .decisions import Decision
from .sent import Sent


@dataclass(frozen=True)
class Difference:
    """A trap of Connexion: why it is one, and whether it is what makes the spines differ about a request."""

    name: str
    reason: str
    explains: Callable[[Sent, Decision, Decision], bool]


def agree(ours: Decision, stock: Decision) -> bool:
    """Whether both decide the same; stock tells only the first problem, ours must tell that one too."""
    if ours.status != stock.status:
        return False
    if ours.operation or stock.operation:
        return (ours.operation, ours.arguments) == (stock.operation, stock.arguments)
    return set(stock.paths) <= set(ours.paths) and bool(stock.paths) == bool(ours.paths)


@functools.cache
def _operations() -> list[tuple[re.Pattern[str], Operation]]:
    spec = document()
    return [
        (
            re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(each.path))),
            Operation(each.method, each.path, dereference(spec, each.spec)),
        )
        for each in operations(spec)
    ]


def _at_path(sent: Sent) -> list[tuple[re.Match[str], Operation]]:
    """The operations at the request's path, whatever their methods; a fixed path comes before a template."""
    path = sent.scope()["path"]
    found = [(match, operation) for pattern, operation in _operations() if (match := pattern.fullmatch(path))]
    return [each for each in found if not each[0].groupdict()] or found


def _operation(sent: Sent) -> Operation | None:
    return next((each for _, each in _at_path(sent) if each.method.upper() == sent.method), None)


def _takes_body(sent: Sent) -> bool:
    operation = _operation(sent)
    return operation is not None and "requestBody" in operation.spec


def _in_path(sent: Sent) -> list[str]:
    """The texts in the path that stand for integers."""
    return [
        match[parameter["name"]]
        for match, operation in _at_path(sent)[:1]
        for parameter in operation.spec["parameters"]
        if parameter["in"] == "path" and parameter["schema"]["type"] == "integer"
    ]


def _in_query(sent: Sent, kind: str) -> list[str]:
    """The texts in the query that stand for values of this type."""
    operation = _operation(sent)
    if operation is None:
        return []
    names = {each["name"] for each in operation.spec["parameters"] if each["schema"]["type"] == kind}
    given = parse_qsl(sent.query.decode("latin-1"), keep_blank_values=True)
    return [value for name, value in given if name in names]


def _is_query_text(sent: Sent) -> bool:
    try:
        return len(parse_qsl(sent.query.decode("ascii"), keep_blank_values=True, errors="strict")) <= 200
    except ValueError:
        return False


def _is_python_integer(text: str) -> bool:
    """Whether `int` takes what is not a number as JSON writes it."""
    try:
        int(text)
    except ValueError:
        return False
    return not re.fullmatch(r"-?(0|[1-9][0-9]*)", text)


def _oddities(body: bytes) -> set[str]:
    """What is in this JSON that Python takes and RFC 8259 forbids or leaves open."""
    found: set[str] = set()

    def number(text: str) -> float:
        found.update({"infinite"} if math.isinf(float(text)) else ())
        return float(text)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.update({"repeat"} if len(dict(pairs)) < len(pairs) else ())
        return dict(pairs)

    try:
        value = json.loads(
            body, parse_constant=lambda _: found.add("NaN"), parse_float=number, object_pairs_hook=members
        )
        shown = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return found
    found.update({"surrogate"} if any(0xD800 <= ord(char) < 0xE000 for char in shown) else ())
    return found


def _is_text(sent: Sent) -> bool:
    try:
        sent.body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _media_type(sent: Sent) -> bytes | None:
    return sent.header(b"content-type")


def _is_large(sent: Sent) -> bool:
    try:
        return is_large(json.loads(sent.body))
    except (ValueError, RecursionError):
        return False


def _is_spelt_oddly(sent: Sent) -> bool:
    """Whether the media type is written so that Connexion, which splits at the semicolon, does not know it."""
    given = (_media_type(sent) or b"").partition(b";")[0]
    return given != given.strip().lower() or _media_type(sent) == b""


def _is_told_alone(sent: Sent, ours: Decision, stock: Decision) -> bool:
    unread = ours.status == 415 or ours.code.startswith("malformed_")
    return unread and stock.status == 400 and stock.paths != () and not stock.paths[0].startswith("/")


def _is_nearest_form(sent: Sent, ours: Decision, stock: Decision) -> bool:
    if not (ours.status == stock.status == 400 and re.search("by `(any|one)Of`", "".join(stock.messages))):
        return False
    return any(path.startswith(stock.paths[0] + "/") for path in ours.paths)


DIFFERENCES = [
    Difference(
        "a path that ends in a slash is no path",
        "Connexion redirects it with an empty body, even where the other path does not take the method",
        lambda sent, ours, stock: (ours.status, stock.status) == (404, 307) and sent.scope()["path"].endswith("/"),
    ),
    Difference(
        "HEAD is 405",
        "the document has no HEAD; Connexion runs the handler of GET",
        lambda sent, ours, stock: ours.status == 405 and sent.method == "HEAD",
    ),
    Difference(
        "a fixed path beats a template",
        "Connexion takes `GET /conversations/start` for the conversation named `start`",
        lambda sent, ours, stock: ours.status == 405 and any("{" not in each.path for _, each in _at_path(sent)),
    ),
    Difference(
        "a word for an integer in the path is 400",
        "Connexion routes integers only, so that anything else is 404 before a key is asked for",
        lambda sent, ours, stock: (
            stock.status == 404 and any(not re.fullmatch("[+-]?[0-9]+", each) for each in _in_path(sent))
        ),
    ),
    Difference(
        "a line feed in a path is a character",
        "Connexion's patterns end before one, and it then passes the request by its security",
        lambda sent, ours, stock: stock.status in (404, 405) and "\n" in sent.scope()["path"],
    ),
    Difference(
        "a number in the path has an end",
        "Python refuses to read more than 4,300 digits, which Connexion answers with 500",
        lambda sent, ours, stock: stock.status == 500 and any(len(each) > 4300 for each in _in_path(sent)),
    ),
    Difference(
        "a query is UTF-8 of at most 200 parameters",
        "Connexion puts replacement characters where it is not",
        lambda sent, ours, stock: ours.code == "malformed_query" and not _is_query_text(sent),
    ),
    Difference(
        "an integer is written in digits",
        "Connexion takes what Python's `int` takes: signs, underscores, leading zeros, blanks, digits of other scripts",
        lambda sent, ours, stock: (
            ours.status == 400 and any(map(_is_python_integer, _in_path(sent) + _in_query(sent, "integer")))
        ),
    ),
    Difference(
        "a boolean is `true` or `false`",
        "Connexion takes capitals too",
        lambda sent, ours, stock: (
            ours.status == 400
            and any(text.lower() in ("true", "false") and text != text.lower() for text in _in_query(sent, "boolean"))
        ),
    ),
    Difference(
        "what cannot be read is told alone",
        "a body or query in no known form is refused before it is judged; Connexion judges parameters first",
        _is_told_alone,
    ),
    Difference(
        "NaN and infinity are no JSON",
        "Connexion lets them through to handlers and databases",
        lambda sent, ours, stock: ours.code == "malformed_json" and bool(_oddities(sent.body) & {"NaN", "infinite"}),
    ),
    Difference(
        "a name occurs once",
        "Connexion takes the last of several members of one name",
        lambda sent, ours, stock: ours.code == "malformed_json" and "repeat" in _oddities(sent.body),
    ),
    Difference(
        "a surrogate never stands alone",
        "Connexion passes on text that cannot be encoded",
        lambda sent, ours, stock: ours.code == "malformed_text" and "surrogate" in _oddities(sent.body),
    ),
    Difference(
        "NUL is 422 where no schema refuses it",
        "Connexion passes on what PostgreSQL cannot store",
        lambda sent, ours, stock: (ours.status, stock.status) == (422, 200) and rb"\u0000" in sent.body,
    ),
    Difference(
        "JSON is UTF-8",
        "Connexion answers other bytes with 500",
        lambda sent, ours, stock: ours.code == "malformed_json" and stock.status == 500 and not _is_text(sent),
    ),
    Difference(
        "JSON is not nested without end",
        "Python's parser gives up, which Connexion answers with 500",
        lambda sent, ours, stock: ours.code == "malformed_json" and stock.status == 500 and b"[" * 900 in sent.body,
    ),
    Difference(
        "a number in JSON has an end",
        "Python refuses to read more than 4,300 digits, which Connexion answers with 500",
        lambda sent, ours, stock: ours.code == "malformed_json" and stock.status == 500 and b"9" * 4301 in sent.body,
    ),
    Difference(
        "a media type is a media type however it is spelt",
        "Connexion knows none with capitals or blanks: it answers 415, or checks nothing and hands on bytes",
        lambda sent, ours, stock: (
            (stock.status == 415 or stock.operation != "") and _takes_body(sent) and _is_spelt_oddly(sent)
        ),
    ),
    Difference(
        "a body without a media type is JSON to the end",
        "Connexion checks it as JSON, and then hands it on as bytes",
        lambda sent, ours, stock: (
            stock.operation != ""
            and "('body', b" in stock.arguments
            and _media_type(sent) is None
            and _takes_body(sent)
        ),
    ),
    Difference(
        "JSON has no charset",
        "Connexion decodes by the parameter `charset`, and answers one it does not know with 500",
        lambda sent, ours, stock: _takes_body(sent) and b"charset=" in (_media_type(sent) or b"").lower(),
    ),
    Difference(
        "a body that may be absent may be absent",
        "Connexion refuses the empty body that the document allows",
        lambda sent, ours, stock: ours.operation != "" and stock.status == 400 and not sent.body and _takes_body(sent),
    ),
    Difference(
        "where no body is wanted, its media type does not matter",
        "Connexion parses a form that no operation asked for, and fails at a media type without a slash",
        lambda sent, ours, stock: ours.operation != "" and _media_type(sent) is not None and not _takes_body(sent),
    ),
    Difference(
        "a form that is none is 400",
        "Connexion answers 500",
        lambda sent, ours, stock: ours.code == "malformed_multipart" and stock.status == 500,
    ),
    Difference(
        "a form says each thing once",
        "Connexion judges a form of which a field or a file is repeated",
        lambda sent, ours, stock: ours.code == "malformed_multipart" and stock.status in (200, 400),
    ),
    Difference(
        "an empty form lacks its fields",
        "Connexion says that there is no body",
        lambda sent, ours, stock: (
            ours.status == stock.status == 400
            and not sent.body
            and (_media_type(sent) or b"").startswith(b"multipart/form-data")
        ),
    ),
    Difference(
        "a list of problems has an end",
        "Connexion tells the one that it finds first, which may be beyond that end",
        lambda sent, ours, stock: (
            ours.status == stock.status == 400 and (len(ours.paths) == MAX_ERRORS or _is_large(sent))
        ),
    ),
    Difference(
        "a member without a name is told at its object",
        "jsonschema-rs leaves a name that is empty out of the path of an error",
        lambda sent, ours, stock: (
            ours.status == stock.status == 400
            and stock.paths != ()
            and "" in stock.paths[0].split("/")[1:]
            and stock.paths[0].rstrip("/") in ours.paths
        ),
    ),
    Difference(
        "of several forms the nearest is told",
        "Connexion says only that none of them fits",
        _is_nearest_form,
    ),
    Difference(
        "a pattern ends where the text ends",
        "in Python `$` fits before a last line feed too",
        lambda sent, ours, stock: ours.status == 400 and stock.status == 200 and b'\\n"' in sent.body,
    ),
]


def explained(sent: Sent, ours: Decision, stock: Decision) -> Difference | None:
    """The first difference that makes the spines decide differently about this request, None if none does."""
    return next((each for each in DIFFERENCES if each.explains(sent, ours, stock)), None)
