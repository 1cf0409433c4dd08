"""Twilio's signature: HMAC-SHA1 over the address as Twilio knows it and the form's fields.

Source: https://www.twilio.com/docs/usage/security
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from engine import channels
from engine.channels import Credentials, Request

_DEFAULT_PORTS = {"https": 443, "http": 80}


def signature(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """The value of the header `X-Twilio-Signature`: of the whole address, then each name and value, sorted."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(auth_token.encode(), signed.encode("utf-8", "replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_authentic(request: Request, credentials: Credentials) -> bool:
    """Whether Twilio signed this; never without a token. A body that is no form is signed by its hash in the query."""
    auth_token = credentials.secrets.get("authToken", "")
    given = request.headers.get("x-twilio-signature", "").encode("utf-8", "replace")
    if not auth_token or not given:
        return False
    fields = fields_of(request.body)
    body_hash = query_of(request.url).get("bodySHA256")
    if body_hash is not None:
        if body_hash != hashlib.sha256(request.body).hexdigest():  # no secret: the signature covers it
            return False
        fields = []
    expected = [signature(auth_token, url, fields).encode() for url in _addresses(request.url)]
    return any(hmac.compare_digest(given, one) for one in expected)


def query_of(url: str) -> dict[str, str]:
    """The last value of each name in the query of an address."""
    try:
        return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:  # the host, which comes from a header, may be anything
        return {}


def fields_of(body: bytes) -> list[tuple[str, str]]:
    """The names and values of a form-encoded body, empty ones too."""
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    except ValueError:
        return []


def _addresses(url: str) -> Iterator[str]:
    """What Twilio may have called: behind a proxy the public base, and everywhere with or without the port."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    public = urlsplit(channels.endpoints().public_url or "")
    yield url  # to the letter
    bases = [parts]
    if public.netloc:
        prefix = "" if parts.path.startswith(f"{public.path}/") else public.path
        bases.append(parts._replace(scheme=public.scheme, netloc=public.netloc, path=prefix + parts.path))
    for base in bases:
        yield urlunsplit(base)
        yield _with_other_port(base)


def _with_other_port(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        return urlunsplit(parts)
    if port is not None:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{_DEFAULT_PORTS.get(parts.scheme, 443)}"))
