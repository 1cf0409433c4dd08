"""What a provider's account consists of, channel by channel, in the contract's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine import vault
from engine.channels import endpoints
from storage.errors import Blocked, Problem
from storage.integrations import Integration

from . import verify_address


@dataclass(frozen=True, slots=True)
class Form:
    """One channel's account: members that are settings, members that are secrets, and those that it cannot lack.

    callback: the path under which the provider reaches us; `{id}` is the integration's.
    """

    settings: tuple[str, ...]
    secrets: tuple[str, ...]
    needed: tuple[str, ...]
    callback: str


FORMS: dict[str, Form] = {
    "whatsapp": Form(
        ("wabaId", "phoneNumberId", "defaultTemplate"),
        ("accessToken", "appSecret", "verifyToken"),
        ("wabaId", "phoneNumberId", "accessToken"),
        "/api/webhooks/whatsapp",
    ),
    "telegram": Form((), ("botToken",), ("botToken",), "/api/webhooks/telegram/{id}"),
    "email": Form(
        ("fromAddress", "fromName", "inboundDomain"),
        ("apiKey", "signingSecret"),
        ("fromAddress", "apiKey"),
        "/api/webhooks/email",
    ),
    "sms": Form(
        ("accountSid", "from", "messagingServiceSid"),
        ("authToken",),
        ("accountSid", "authToken"),
        "/api/webhooks/twilio/{id}",
    ),
}


def require_fitting(channel: str, body: Mapping[str, Any]) -> None:
    """Return if a body speaks of this channel and of no other. Raises Blocked (`wrong_channel`), naming each member."""
    form = FORMS[channel]
    known = {"channel", *form.settings, *form.secrets}
    problems = [Problem(f"/{name}", f"{name} is no member of {channel}") for name in body if name not in known]
    if body.get("channel", channel) != channel:
        problems.insert(0, Problem("/channel", f"channel must be {channel}, as in the path, or absent"))
    if problems:
        raise Blocked("wrong_channel", problems[0].message, problems=problems)


def require_complete(channel: str, members: Collection[str]) -> None:
    """Return if an account with these members can work. Raises Blocked (`integration_incomplete`)."""
    problems = [Problem(f"/{name}", f"{name} is required") for name in FORMS[channel].needed if name not in members]
    if channel == "sms" and not {"from", "messagingServiceSid"} & {*members}:
        problems.append(Problem("/from", "from or messagingServiceSid is required"))
    if problems:
        raise Blocked("integration_incomplete", problems[0].message, problems=problems)


def addresses(channel: str, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> set[str]:
    """What webhooks may call the account. A verify token is among them only as a fingerprint."""
    if channel == "whatsapp":
        marks = vault.fingerprints(secrets["verifyToken"]) if "verifyToken" in secrets else []
        return {settings["wabaId"], settings["phoneNumberId"], *map(verify_address, marks)}
    if channel == "email":
        domains = {settings["fromAddress"].rpartition("@")[2], settings.get("inboundDomain", "")}
        return {domain.lower() for domain in domains if domain}
    return set()


def webhook_url(integration: Integration) -> str | None:
    """Where the provider delivers its events, None while this server does not know its own public address."""
    base = endpoints().public_url
    path = FORMS[integration.channel].callback.format(id=integration.oid)
    return None if base is None else f"{base}{path}"
