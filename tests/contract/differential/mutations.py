"""Making many requests of one: each mutation changes one thing in a way that clients and attackers do."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from .sent import Sent


class Chance(Random):
    """A source of chance that also knows values to put in place of others."""

    def __init__(self, seed: int, generated: list[Any], bounds: list[int]) -> None:
        super().__init__(seed)
        self._pools: list[list[Any]] = [_VALUES, generated, bounds, ["x" * bound for bound in bounds if bound <= 6000]]
        self._bounds = bounds

    def value(self) -> Any:
        """Some value, the caller's own."""
        return copy.deepcopy(self.choice(self.choice(self._pools)))

    def bound(self) -> int:
        """A number at a bound of the contract or beside one."""
        return self.choice(self._bounds)


def bounds(node: Any) -> set[int]:
    """Every bound in a document, with its neighbours."""
    found: set[int] = set()
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in _BOUNDS and isinstance(value, int):
            found |= {max(value - 1, 0), value, value + 1}
        found |= bounds(value)
    return found


Mutation = Callable[[Sent, Chance], Sent]

_TEXTS = [
    *[
        "",
        " ",
        "a",
        "null",
        "None",
        "true",
        "0",
        "é",
        "😀",
        "a\n",
        "a\tb",
        "\u2028",
        "\u0130",
        "٣",
        "<script>",
        "../..",
    ],
    *["+12025550101", "+12025550101\n", "a@example.com", "http://example.com/ä b", "Europe/Berlin", "new"],
    *["2027-01-01", "2027-02-30", "2027-01-01T00:00:00", "2027-01-01T00:00:00Z", "2027-01-01t00:00:00z"],
    *["2027-02-30T00:00:00Z", "2027-01-01T24:00:00Z", "2027-01-01T00:00:00+25:00", "2027-06-30T23:59:60Z"],
    *["665f1c2e9b1d4a0012ab34cd", "665f1c2e9b1d4a0012ab34cd\n", "665F1C2E9B1D4A0012AB34CD"],
    *["x" * 101, "x" * 300, "x" * 5001],
]
_NUMBERS = [0, -1, 1, 2, 7, 42, 100, 101, 1000, 1001, 2**31 - 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30]
_NUMBERS += [0.0, 1.0, 1.5, -0.0, 1e300, 1e-7]
_OTHERS = [None, True, False, [], {}, [[]], [None], {"": None}, [1, 1], [1, 1.0, True], ["a", "a"], {"a": {"b": [1]}}]
_BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_VALUES: list[Any] = [*_TEXTS, *_NUMBERS, *_OTHERS]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a value: one path for each member and item at any depth, and () for itself."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(inner, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    _at(value, path[:-1])[path[-1]] = new
    return value


def _json(sent: Sent) -> Any:
    """The JSON in the body. Raises ValueError if there is none."""
    return json.loads(sent.body)


def _with_json(sent: Sent, value: Any) -> Sent:
    return replace(sent, body=json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _replace_value(sent: Sent, draw: Chance) -> Sent:
    value = _json(sent)
    return _with_json(sent, _put(value, draw.choice(list(_places(value))), draw.value()))


def _near_value(sent: Sent, draw: Chance) -> Sent:
    """A value that nearly stays as it is: a text with something after it, a number one off."""
    value = _json(sent)
    path = draw.choice([path for path in _places(value) if not isinstance(_at(value, path), dict | None)] or [()])
    old = _at(value, path)
    if isinstance(old, bool) or old is None:
        new: Any = str(old).lower()
    elif isinstance(old, int | float):
        new = draw.choice([old + 1, old - 1, -old, float(old), str(old)])
    elif isinstance(old, str):
        new = draw.choice(
            [old + "\n", old + " ", " " + old, old.upper(), old[:-1], old[1:], old * 50, old + "\0", [old]]
        )
    elif isinstance(old, list):
        new = draw.choice([old + old, old[:-1], old[:1] * 2, old * 30, dict(enumerate(old))])
    else:
        new = [old]
    return _with_json(sent, _put(value, path, new))


def _line_feed(sent: Sent, draw: Chance) -> Sent:
    """A text with a line feed at its end, which some patterns overlook."""
    value = _json(sent)
    texts = [path for path in _places(value) if isinstance(_at(value, path), str)]
    if not texts:
        return _near_value(sent, draw)
    path = draw.choice(texts)
    return _with_json(sent, _put(value, path, _at(value, path) + "\n"))


def _drop_member(sent: Sent, draw: Chance) -> Sent:
    value = _json(sent)
    places = [path for path in _places(value) if path]
    if not places:
        return sent
    path = draw.choice(places)
    del _at(value, path[:-1])[path[-1]]
    return _with_json(sent, value)


def _add_member(sent: Sent, draw: Chance) -> Sent:
    value = _json(sent)
    objects = [path for path in _places(value) if isinstance(_at(value, path), dict)]
    if not objects:
        return sent
    target = _at(value, draw.choice(objects))
    name = draw.choice(
        ["surprise", "id", "_id", "", "a/b~c", "createdAt", "__proto__", "é", "x" * 200, "phone", "status"]
    )
    target[name] = draw.value()
    return _with_json(sent, value)


def _nameless_member(sent: Sent, draw: Chance) -> Sent:
    """An object in which the name of a member is empty."""
    value = _json(sent)
    objects = [path for path in _places(value) if isinstance(_at(value, path), dict)]
    if not objects:
        return sent
    _at(value, draw.choice(objects))[""] = draw.choice([[], {"a": 1}, "\0", draw.value()])
    return _with_json(sent, value)


def _move_member(sent: Sent, draw: Chance) -> Sent:
    """A member of another place of the same body."""
    value = _json(sent)
    places = list(_places(value))
    return _with_json(sent, _put(value, draw.choice(places), copy.deepcopy(_at(value, draw.choice(places)))))


def _spoil_text(sent: Sent, draw: Chance) -> Sent:
    """The body with something in it that JSON has not, or that some parsers take and others do not."""
    body = sent.body
    at = draw.randrange(len(body) + 1)
    odd = [
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"NaN",
        b"Infinity",
        b"1e400",
        b"01",
        rb"\ud83d",
        rb"\u0000",
    ]
    odd += [b",", b"}", b"]", b'"', b"'", b"\\", b"/**/", b"\n"]
    choices = [
        lambda: body[:at] + draw.choice(odd) + body[at:],
        lambda: body[:at],
        lambda: body[at:],
        lambda: body + draw.choice(odd),
        lambda: draw.choice(odd) + body,
        lambda: body + body,
        lambda: body.decode("utf-8", "replace").encode("utf-16"),
        lambda: body.decode("utf-8", "replace").encode("latin-1", "replace"),
        lambda: b"",
        lambda: b" ",
        lambda: b"null",
        lambda: b" \n" + body + b"\t\r\n",
        lambda: b"[" * 3000,
        lambda: b"[" * 900 + b"]" * 900,
        lambda: body[:at] + body[at : at + 1] + body[at:],
    ]
    return replace(sent, body=draw.choice(choices)())


def _odd_token(sent: Sent, draw: Chance) -> Sent:
    """A value that parsers of JSON differ about, in place of a proper one."""
    value = _json(sent)
    token = draw.choice(
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "9" * 5000,
            r'"\ud83d"',
            r'"\u0000"',
            r'"\ude00\ud83d"',
            "1.0",
            "1E2",
        ]
    )
    marked = _put(value, draw.choice(list(_places(value))), "«here»")
    text = json.dumps(marked, ensure_ascii=False).replace('"«here»"', token)
    return replace(sent, body=text.encode("utf-8", "surrogatepass"))


def _repeat_name(sent: Sent, draw: Chance) -> Sent:
    """An object that has one name twice."""
    value = _json(sent)
    objects = [path for path in _places(value) if isinstance(_at(value, path), dict) and _at(value, path)]
    if not objects:
        return sent
    target = _at(value, draw.choice(objects))
    name = draw.choice(list(target))
    target["«again»"] = draw.choice([target[name], draw.value()])
    text = json.dumps(value, ensure_ascii=False).replace('"«again»"', json.dumps(name))
    return replace(sent, body=text.encode("utf-8", "surrogatepass"))


def _pairs(sent: Sent) -> list[bytes]:
    return sent.query.split(b"&") if sent.query else []


def _query_value(draw: Chance) -> bytes:
    if draw.random() < 0.3:
        return b"%d" % draw.bound()
    if draw.random() < 0.15:
        return draw.choice([b"true", b"false", b"TRUE", b"False"])
    raw = [
        b"%FF",
        b"%ED%A0%80",
        b"%00",
        b"%",
        b"%zz",
        b"+",
        b"1_0",
        b"%201",
        b"1%20",
        b"TRUE",
        b"False",
        b"1e3",
        b"007",
        b"+5",
    ]
    raw += [
        b"9" * 30,
        b"9" * 5000,
        b"new,contacted",
        b"new,",
        b",",
        b"a,b,a",
        b"-createdAt",
        b"asc",
        b"\xc3\xa9",
        b"%0A",
    ]
    raw += [b"%2C", b"-0", b"0", b"50", b"101", b"-1", b"1.0", b"sms", b"%EF%BC%91"]
    return draw.choice([*raw, quote_from_bytes(draw.choice(_TEXTS).encode()).encode()])


def _change_query(sent: Sent, draw: Chance) -> Sent:
    pairs = _pairs(sent)
    names = [*[pair.partition(b"=")[0] for pair in pairs], *sent.takes * 2, b"limit", b"q", b"id"]
    name = draw.choice(names)
    pair = name + b"=" + _query_value(draw)
    at = draw.randrange(len(pairs) + 1)
    choices = [
        lambda: [*pairs[:at], pair, *pairs[at:]],
        lambda: [each for each in pairs if not each.startswith(name + b"=")] + [pair],
        lambda: pairs[:at] + pairs[at + 1 :],
        lambda: pairs + pairs[at : at + 1],
        lambda: [
            *pairs,
            draw.choice(
                [b"surprise=1", b"=", b"", b"&", b"limit", b"limit=", b"%FF=1", b"limit[]=1", b"q[a]=1", b"LIMIT=1"]
            ),
        ],
        lambda: [*pairs, name + b"%5Ba%5D=1"],
        lambda: [b"a%d=1" % number for number in range(300)],
    ]
    return replace(sent, query=b"&".join(draw.choice(choices[:-1] if draw.random() < 0.95 else choices)()))


def _other_case(sent: Sent, draw: Chance) -> Sent:
    """One value of the query in capitals, or with one."""
    pairs = _pairs(sent)
    if not pairs:
        return _change_query(sent, draw)
    at = draw.randrange(len(pairs))
    name, _, value = pairs[at].partition(b"=")
    pairs[at] = name + b"=" + draw.choice([value.upper(), value.title()])
    return replace(sent, query=b"&".join(pairs))


def _other_digits(sent: Sent, draw: Chance) -> Sent:
    """A whole number of the path or the query, written otherwise."""
    target = sent.path + b"?" + sent.query
    numbers = list(re.finditer(rb"(?<=[/=])[0-9]+(?=[/&?]|$)", target))
    if not numbers:
        return _change_query(sent, draw)
    start, end = draw.choice(numbers).span()
    digits = target[start:end]
    other = draw.choice(
        [
            b"+" + digits,
            b"0" + digits,
            digits + b"_0",
            b"%20" + digits,
            digits + b".0",
            b"-" + digits,
            digits + b"%D9%A3",
        ]
    )
    path, _, query = (target[:start] + other + target[end:]).partition(b"?")
    return replace(sent, path=path, query=query)


def _repeat_part(sent: Sent, draw: Chance) -> Sent:
    """A multipart form with one of its parts twice, or without it."""
    boundary = (sent.header(b"content-type") or b"").partition(b"boundary=")[2]
    if not boundary:
        return _spoil_text(sent, draw)
    parts = sent.body.split(b"--" + boundary)
    at = draw.randrange(len(parts))
    return replace(
        sent, body=(b"--" + boundary).join(draw.choice([parts[: at + 1] + parts[at:], parts[:at] + parts[at + 1 :]]))
    )


def _empty_body(sent: Sent, draw: Chance) -> Sent:
    bare = replace(sent, body=b"")
    return draw.choice([bare, bare.without_header(b"content-type")])


def _change_segment(sent: Sent, draw: Chance) -> Sent:
    parts = sent.path.split(b"/")
    at = draw.randrange(1, len(parts))
    raw = [
        b"%00",
        b"%FF",
        b"%2F",
        b"%0A",
        b".",
        b"..",
        b"%20",
        b"+1",
        b"-1",
        b"0",
        b"01",
        b"1",
        b"2147483648",
        b"9" * 400,
        b"9" * 5000,
    ]
    raw += [
        b"start",
        b"current",
        b"templates",
        b"search",
        b"sync",
        b"imports",
        b"%D9%A3",
        b"1.5",
        b"1_0",
        b"A" * 24,
        b"f" * 24,
    ]
    new = draw.choice(
        [
            *raw,
            parts[at] + b"%0A",
            parts[at].upper(),
            parts[at] + b"x",
            quote_from_bytes(draw.choice(_TEXTS).encode()).encode(),
        ]
    )
    return replace(sent, path=b"/".join([*parts[:at], new, *parts[at + 1 :]]))


def _change_path(sent: Sent, draw: Chance) -> Sent:
    path = sent.path
    new = [
        path + b"/",
        path + b"//",
        b"/" + path,
        path + b"/x",
        path.rpartition(b"/")[0] or b"/",
        path[1:] or b"*",
        b"/",
        b"/nowhere",
        b"*",
    ]
    new += [
        path + b"%0A",
        path + b"%20",
        path.replace(b"/api", b"/API"),
        path.replace(b"/", b"//"),
        path + b"%3Fa",
        path + b";a=1",
    ]
    return replace(sent, path=draw.choice(new))


def _change_method(sent: Sent, draw: Chance) -> Sent:
    return replace(
        sent, method=draw.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "BREW"])
    )


def _change_media_type(sent: Sent, draw: Chance) -> Sent:
    json_type = b"application/json"
    types = [
        b"",
        b"text/plain",
        b"text/json",
        b"json",
        b"application/xml",
        b"application/x-www-form-urlencoded",
        b"*/*",
        b"/",
        b";",
    ]
    types += [
        b"multipart/form-data",
        b"multipart/form-data; boundary=x",
        b"application/json/x",
        b"application/problem+json",
    ]
    types += [
        b"Application/JSON",
        json_type + b"; charset=utf-8",
        json_type + b";charset=UTF-8",
        json_type + b"; charset=latin-1",
    ]
    types += [
        json_type + b";charset=latin-1",
        json_type + b";charset=utf-16",
        json_type + b";charset=none",
        json_type + b" ",
    ]
    types += [
        b"application/vnd.api+json",
        b"application/*",
        json_type + b", text/plain",
        b"\xff",
        json_type + b'; charset="utf-8"',
    ]
    if draw.random() < 0.1:
        return sent.without_header(b"content-type")
    return sent.with_header(b"content-type", draw.choice(types))


def _change_header(sent: Sent, draw: Chance) -> Sent:
    values = [
        b"",
        b"a",
        b"a b",
        b'""',
        b'"a"',
        b'"open',
        b"x" * 255,
        b"x" * 256,
        b"x" * 1001,
        b"\xe4",
        b"a\tb",
        b"*",
        b'"a", "b"',
        b"\0",
        b" a ",
    ]
    name = draw.choice([b"idempotency-key", b"if-match"])
    value = draw.choice(values)
    if draw.random() < 0.2:
        return replace(sent, headers=(*sent.headers, (name, b"first"), (name, value)))
    return sent.with_header(name, value)


def _change_key(sent: Sent, draw: Chance) -> Sent:
    key = sent.header(b"x-api-key") or b"wrong"
    bare = sent.without_header(b"x-api-key")
    tokens = [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Bearer " + key,
        b"bearer " + key,
        b"BEARER  " + key,
        b"Basic eDp5",
        key,
    ]
    tokens += [b"Bearer\t" + key, b"Bearer " + key + b" ", b"Bearer " + key + b" x", b" Bearer " + key, b"\xff \xff"]
    choices = [
        lambda: bare,
        lambda: sent.with_header(
            b"x-api-key",
            draw.choice([b"", b"wrong", b"\xff", b"nl_test_" + b"0" * 64, key + b" ", b" " + key, key.upper()]),
        ),
        lambda: bare.with_header(b"authorization", draw.choice(tokens)),
        lambda: sent.with_header(b"authorization", draw.choice(tokens)),
        lambda: sent.with_header(b"x-api-key", b"wrong").with_header(b"authorization", b"Bearer " + key),
    ]
    return draw.choice(choices)()


def _add_header(sent: Sent, draw: Chance) -> Sent:
    extra = [
        (b"accept", b"application/problem+json"),
        (b"x-request-id", b"a b"),
        (b"cookie", b"a=b; c"),
        (b"x-api-key", b"second"),
    ]
    extra += [
        (b"content-type", b"text/plain"),
        (b"expect", b"100-continue"),
        (b"x-http-method-override", b"DELETE"),
        (b"range", b"bytes=0-1"),
    ]
    return replace(sent, headers=(*sent.headers, draw.choice(extra)))


def _body_where_none_is(sent: Sent, draw: Chance) -> Sent:
    return replace(sent, body=draw.choice([b"{}", b"\xff\0", b'{"a": 1}', b"[]", b"a=b"]))


_OF_JSON: list[Mutation] = [
    _replace_value,
    _near_value,
    _line_feed,
    _drop_member,
    _add_member,
    _move_member,
    _odd_token,
    _repeat_name,
]
_OF_BODIES: list[Mutation] = [*_OF_JSON * 4, *[_spoil_text, _change_media_type, _empty_body, _repeat_part] * 2]
_OF_ALL: list[Mutation] = [
    *[_change_query] * 5,
    *[_change_segment, _change_header, _other_case, _other_digits] * 2,
    *[_change_path, _change_method, _change_key, _add_header, _body_where_none_is, _change_media_type],
]


def systematic(sent: Sent) -> Iterator[Sent]:
    """Each query parameter with each of some texts, and each object of the body with a member without a name."""
    for name in sent.takes:
        for text in (b"", b"0", b"+5", b"05", b"-1", b"true", b"TRUE", b"False", b"null", b"a,b", b"%0A", b"%00"):
            yield replace(sent, query=name + b"=" + text)
    try:
        places = list(_places(_json(sent)))
    except ValueError:
        return
    for path in places:
        value = _json(sent)
        if isinstance(_at(value, path), dict):
            _at(value, path)[""] = {"a": 1}
            yield _with_json(sent, value)


def mutated(sent: Sent, draw: Chance) -> Sent:
    """The request with one to three things changed."""
    for _ in range(draw.choice([1, 1, 1, 1, 2, 3])):
        has_body = sent.body and draw.random() < 0.75
        mutation = draw.choice(_OF_BODIES if has_body else _OF_ALL)
        try:
            sent = mutation(sent, draw)
        except (ValueError, RecursionError):  # the body is a form, or not JSON any more
            sent = (_repeat_part if b"boundary=" in (sent.header(b"content-type") or b"") else _change_header)(
                sent, draw
            )
    return sent
