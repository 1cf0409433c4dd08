"""What a webhook source asks for, as the account writes it: what it must fulfil, and which parts of it are secret.

A configuration has `url` with `method` and `body`, or `steps` of them; `headers` and `auth` go with every request that
has none of its own; `flowInputs` are values for places. A place `{{name}}` in a path, query, header or body stands for
a flow input, for what an earlier step took out of its answer (`extract`), or for the whole answer of a named step.
Never in the part of an address that says whose it is: answers of a server must not choose who is asked next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from storage.errors import Blocked, Problem

from . import urls
from .fetch import is_sendable
from .fetch_errors import UrlRefused

Config = dict[str, Any]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
PLACE = re.compile(rf"\{{\{{\s*({_NAME.pattern})\s*\}}\}}")

_MASK = "…"
_SHOWN = 4
_LONG_ENOUGH = 12  # of a shorter one the last characters would be much of it
_SECRET_NAME = re.compile(r"auth|cookie|token|secret|passw|key|credential|session|signature", re.IGNORECASE)
_ONLY_PLACES = re.compile(rf"\s*(?:(?:bearer|basic|token)\s+)?(?:{PLACE.pattern}\s*)+", re.IGNORECASE)
_AUTHORITY = re.compile(r"[A-Za-z]+://([^/?#]*)")
_AUTH_NEEDS = {"bearer": ("token",), "basic": ("username", "password"), "header": ("name", "value"), "none": ()}
_AUTH_SECRETS = ("token", "password", "value")


def require_sound(config: Config) -> None:
    """Return if this can be asked. Raises Blocked (`invalid_webhook_source`), naming everything that is wrong."""
    found = list(_problems(config))
    if found:
        raise Blocked("invalid_webhook_source", found[0].message, problems=found)


def _problems(config: Config) -> Iterator[Problem]:
    steps = config.get("steps") or []
    if bool(steps) == bool(config.get("url")):
        yield Problem("/url", "Give either url or steps, and not both")
    known = _Names()
    for place, given in enumerate(config.get("flowInputs") or []):
        yield from known.take(given["name"], f"/flowInputs/{place}/name")
    yield from _asking_problems({"headers": config.get("headers"), "auth": config.get("auth")}, "", known)
    if config.get("url"):
        yield from _asking_problems({"url": config["url"], "body": config.get("body")}, "", known)
    for place, step in enumerate(steps):
        yield from _asking_problems(step, f"/steps/{place}", known)
        if step.get("name"):
            yield from known.take(step["name"], f"/steps/{place}/name")
        for name in step.get("extract") or {}:
            if not _NAME.fullmatch(name):
                yield Problem(f"/steps/{place}/extract", "A place is called by letters, digits, _ and - only")
            yield from known.take(name, f"/steps/{place}/extract/{name}")


class _Names:
    """The places that are filled so far."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def take(self, name: str, path: str) -> Iterator[Problem]:
        if name in self.known:
            yield Problem(path, f"The name {name} is taken already")
        self.known.add(name)


def _asking_problems(step: Mapping[str, Any], path: str, names: _Names) -> Iterator[Problem]:
    if step.get("url"):
        yield from _url_problems(step["url"], f"{path}/url")
        yield from _place_problems(step["url"], f"{path}/url", names)
    for name, value in (step.get("headers") or {}).items():
        if not is_sendable(name, PLACE.sub("x", value)):
            yield Problem(f"{path}/headers/{name}", "This header cannot be sent")
        yield from _place_problems(value, f"{path}/headers/{name}", names)
    yield from _place_problems(step.get("body") or "", f"{path}/body", names)
    auth = step.get("auth")
    if auth:
        for member in _AUTH_NEEDS[auth["type"]]:
            if not auth.get(member):
                yield Problem(f"{path}/auth/{member}", f"{member} is required for auth of type {auth['type']}")
        if auth["type"] == "header" and auth.get("name") and not is_sendable(auth["name"], "x"):
            yield Problem(f"{path}/auth/name", "This header cannot be sent")


def _url_problems(url: str, path: str) -> Iterator[Problem]:
    authority = _AUTHORITY.match(url)
    if authority and ("{" in authority[1] or "}" in authority[1]):
        yield Problem(path, "The host cannot come from a place")
        return
    try:
        urls.parse(PLACE.sub("x", url))
    except UrlRefused as error:
        yield Problem(path, error.message)


def _place_problems(text: str, path: str, names: _Names) -> Iterator[Problem]:
    for name in dict.fromkeys(PLACE.findall(text)):
        if name not in names.known:
            yield Problem(path, f"Nothing fills the place {{{{{name}}}}} before it is needed")


def origins(config: Config) -> set[str]:
    """Whom this asks. Raises UrlRefused."""
    asked = [config.get("url"), *(step.get("url") for step in config.get("steps") or [])]
    return {urls.parse(PLACE.sub("x", url)).origin for url in asked if url}


def parted(config: Config) -> tuple[Config, dict[str, str]]:
    """What may be shown, secrets cut to their last characters, and the secrets by where they stand."""
    secrets: dict[str, str] = {}

    def cut(value: str, place: str) -> str:
        secrets[place] = value
        return _cut(value)

    return _mapped(config, cut), secrets


def whole(shown: Config, secrets: Mapping[str, str]) -> Config:
    """The configuration again of which `parted` made these."""
    return _mapped(shown, lambda value, place: secrets.get(place, value))


def unmasked(config: Config, secrets: Mapping[str, str]) -> Config:
    """A configuration in which secrets stand as they were shown, with the secrets that were meant. Raises Blocked."""
    by_mask: dict[str, set[str]] = {}
    for value in secrets.values():
        by_mask.setdefault(_cut(value), set()).add(value)

    def meant(value: str, place: str) -> str:
        if not value.startswith(_MASK):
            return value
        if place in secrets and _cut(secrets[place]) == value:
            return secrets[place]
        candidates = by_mask.get(value, set())
        if len(candidates) != 1:
            path = f"/{place.replace('.', '/')}"
            message = "This is how a secret is shown, not the secret. Send it whole, as always where a host changes."
            raise Blocked("masked_secret", message, problems=[Problem(path, message)])
        return next(iter(candidates))

    return _mapped(config, meant)


def _is_secret(name: str, value: str) -> bool:
    """Whether what stands under this name is one; a place is not, what fills it may be."""
    return _SECRET_NAME.search(name) is not None and not _ONLY_PLACES.fullmatch(value)


def _cut(secret: str) -> str:
    return _MASK + secret[-_SHOWN:] if len(secret) >= _LONG_ENOUGH else _MASK


def _mapped(config: Config, change: Any) -> Config:
    """The configuration with each secret in it changed by `change(value, place)`."""
    mapped = _mapped_asking(config, "", change)
    if config.get("steps"):
        mapped["steps"] = [
            _mapped_asking(step, f"steps.{place}.", change) for place, step in enumerate(config["steps"])
        ]
    if config.get("flowInputs"):
        mapped["flowInputs"] = [
            {**given, "value": change(given["value"], f"flowInputs.{given['name']}")}
            if _is_secret(given["name"], given["value"])
            else given
            for given in config["flowInputs"]
        ]
    return mapped


def _mapped_asking(step: Mapping[str, Any], prefix: str, change: Any) -> dict[str, Any]:
    mapped = dict(step)
    if step.get("headers"):
        mapped["headers"] = {
            name: change(value, f"{prefix}headers.{name}") if _is_secret(name, value) else value
            for name, value in step["headers"].items()
        }
    if step.get("auth"):
        mapped["auth"] = {
            member: change(value, f"{prefix}auth.{member}") if member in _AUTH_SECRETS else value
            for member, value in step["auth"].items()
        }
    return mapped
