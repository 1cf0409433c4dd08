"""One request for each difference that shows it, so that whether it still is one does not hang on chance."""

from __future__ import annotations

from .sent import Headers, Sent

_ID = b"665f1c2e9b1d4a0012ab34cd"
_JSON = ((b"content-type", b"application/json"),)
_FORM = ((b"content-type", b"multipart/form-data; boundary=x"),)
_FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nPhone\r\n'


def _get(path: bytes, query: bytes = b"", headers: Headers = (), method: str = "GET") -> Sent:
    return Sent(method, path, query, headers)


def _post(path: bytes, body: bytes, headers: Headers = _JSON, query: bytes = b"") -> Sent:
    return Sent("POST", path, query, headers, body)


def _lead(members: bytes = b"", headers: Headers = _JSON, query: bytes = b"") -> Sent:
    return _post(b"/api/leads", b'{"phone": "+12025550101"' + members + b"}", headers, query)


_SHOWN = {
    "a path that ends in a slash is no path": _get(b"/api/leads/"),
    "HEAD is 405": _get(b"/api/leads", method="HEAD"),
    "a fixed path beats a template": _get(b"/api/conversations/start"),
    "a word for an integer in the path is 400": _get(b"/api/leads/abc"),
    "a line feed in a path is a character": _get(b"/api/agent-config/a%0A"),
    "a number in the path has an end": _get(b"/api/leads/" + b"9" * 5000),
    "a query is UTF-8 of at most 200 parameters": _get(b"/api/leads", b"q=ab%FF"),
    "an integer is written in digits": _get(b"/api/leads", b"limit=05"),
    "a boolean is `true` or `false`": _get(b"/api/agent-config", b"single=TRUE"),
    "what cannot be read is told alone": _lead(headers=((b"content-type", b"text/plain"),), query=b"surprise=1"),
    "NaN and infinity are no JSON": _lead(b', "customFields": {"a": NaN}'),
    "a name occurs once": _lead(b', "phone": "+12025550102"'),
    "a surrogate never stands alone": _lead(rb', "customFields": {"\ud83d": "a"}'),
    "NUL is 422 where no schema refuses it": _lead(rb', "customFields": {"a\u0000": "b"}'),
    "JSON is UTF-8": _lead(b', "name": "\xff"'),
    "JSON is not nested without end": _post(b"/api/leads", b"[" * 100_000),
    "a number in JSON has an end": _lead(b', "customFields": {"a": ' + b"9" * 5000 + b"}"),
    "a media type is a media type however it is spelt": _lead(headers=((b"content-type", b"Application/JSON"),)),
    "a body without a media type is JSON to the end": _lead(headers=()),
    "JSON has no charset": _lead(headers=((b"content-type", b"application/json;charset=none"),)),
    "a body that may be absent may be absent": _post(b"/api/api-keys/" + _ID + b"/rotate", b""),
    "where no body is wanted, its media type does not matter": _get(b"/api/leads", headers=((b"content-type", b"x"),)),
    "a form that is none is 400": _post(b"/api/leads/upload/preview", b"null", _FORM),
    "a form says each thing once": _post(b"/api/leads/upload/preview", _FILE + _FILE + b"--x--\r\n", _FORM),
    "an empty form lacks its fields": _post(b"/api/leads/upload/preview", b"", _FORM),
    "a member without a name is told at its object": _lead(b', "customFields": {"": []}'),
    "of several forms the nearest is told": _post(
        b"/api/leads/preview", b'{"filters": {"conditions": [{"field": "status", "operator": "x", "value": "new"}]}}'
    ),
    "a pattern ends where the text ends": _post(b"/api/agent-config/apply-template", rb'{"templateId": "a\n"}'),
}


def witnesses(key: bytes) -> dict[str, Sent]:
    """The requests that show the differences, by the differences' names, with this key."""
    return {name: sent.with_header(b"x-api-key", key) for name, sent in _SHOWN.items()}
