"""Ways to reach a lead. A channel is one module that meets `Channel` and stands in one table.

A module of a provider has three parts, and no state of its own:

    connect(credentials, endpoints) -> Channel       hands messages over, checks the account
    is_authentic(request, credentials) -> bool       whether the provider itself sent this webhook
    read(payload) -> list[Event]                      what a webhook says; pure, never raises for odd payloads

Two have a fourth, for a `Said` that has `fetch`: what is asked of the provider before the message is taken in. It may
find that there is nothing to take in. Raises SendError; asking again is always safe.

    fetch(credentials, endpoints, said) -> Said | Ignored

An event's id is made of the payload alone, never of the request that carried it: `read` sees no headers, and a
provider that repeats an event repeats its payload.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from storage.tenancy import Tenant

CHANNELS = ("whatsapp", "telegram", "email", "sms")

DeliveryStatus = Literal["sent", "delivered", "read", "failed"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where providers are, how long they may take, and where they reach us: settings, so that tests say loopback."""

    whatsapp: str = "https://graph.facebook.com/v25.0"
    telegram: str = "https://api.telegram.org"
    email: str = "https://api.resend.com"
    sms: str = "https://api.twilio.com"
    public_url: str | None = None  # of this server, without a slash at the end; callbacks are registered under it
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """An integration as its channel needs it; secrets are in the clear, so it is never logged or stored.

    settings: what is no secret, in the contract's member names (`phoneNumberId`, `fromAddress` …).
    secrets: in the same names (`accessToken`, `appSecret` …).
    """

    integration_id: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Template:
    """A message template of the provider: its name, its language and the values of its places.

    places: their names in the same order, as the provider's template has them: `1`, `2` … or words.
    """

    name: str
    language: str = "en"
    parameters: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to hand to a provider.

    id: our own (24 hex), to recognise a repetition by, and by which a status may name the message. identities: what
    the channel itself calls this person, the latest first (a chat id, a wa_id, a BSUID). template: instead of `text`.
    buttons: answers offered with the text. in_reply_to, references: Message-IDs of the thread of an email.
    """

    id: str
    channel: str
    phone: str
    email: str
    text: str
    identities: tuple[str, ...] = ()
    template: Template | None = None
    buttons: tuple[str, ...] = ()
    subject: str = ""
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the provider answered: its id of the message, and how far the message is already known to have come."""

    provider_id: str | None = None
    status: Literal["sent", "delivered"] = "sent"


class SendError(Exception):
    """The provider did not take the message. code: its own, prefixed by the channel (`whatsapp_131047`).

    detail: for the account's people, in our words; no secret, no address of a lead.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Undeliverable(SendError):
    """The provider will never take this message. is_opt_out: because this person has blocked us or said STOP."""

    def __init__(self, code: str, detail: str, *, is_opt_out: bool = False) -> None:
        super().__init__(code, detail)
        self.is_opt_out = is_opt_out


class Deferred(SendError):
    """It was certainly not sent and may be tried again. delay_s: not before; None leaves it to the usual backoff.

    scope: whom the provider wants slower: this message, this recipient, or everybody of this integration.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        delay_s: float | None = None,
        scope: Literal["message", "recipient", "integration"] = "message",
    ) -> None:
        super().__init__(code, detail)
        self.delay_s = delay_s
        self.scope = scope


class OutcomeUnknown(SendError):
    """It may have been sent: the answer was lost. Never to be repeated blindly."""


class Misconfigured(SendError):
    """The provider refuses the account itself: a person must act before anything is sent."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a real call. detail: in our words, without secrets. facts: what the provider calls this account."""

    is_healthy: bool
    detail: str
    facts: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """A provider, connected as one integration."""

    repeats_safely: bool
    """Whether handing over the same `Outgoing.id` again within a day sends nothing twice."""

    pace_s: float
    """Least seconds between two messages of one integration; 0 for no limit of ours."""

    recipient_pace_s: float
    """Least seconds between two messages to one person; 0 for none."""

    def send(self, message: Outgoing) -> Sent:
        """Hand the message over. Raises SendError, and nothing else for what a provider or a network may do."""
        ...

    def find(self, message: Outgoing, since: datetime) -> Sent | Literal["unknown"] | None:
        """Whether a message whose outcome is unknown was taken: as what, or None if certainly not."""
        ...

    def check(self) -> Health:
        """Ask the provider whether the account works. Never raises SendError: that is the answer."""
        ...

    def mark_read(self, provider_id: str) -> None:
        """Tell the person that their message was read, where the channel can. Raises SendError."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came in. headers: names in lower case. url: as the provider called it, behind proxies too."""

    body: bytes
    headers: Mapping[str, str]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote. identities: the channel's own names of the person, the most lasting first; phone: E.164 or ""."""

    identities: tuple[str, ...]
    phone: str = ""
    email: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a lead. text: what the agent reads; media is described in words: `[image] the caption`.

    reply_to: the provider's id of the message that it answers. fetch: what `Channel.fetch` of the module needs to get
    the body where the webhook has none. language: of the person, as an ISO code, where the channel tells.
    conversation_id: the conversation that the message itself names, as the address an email was sent to does; whoever
    knows an address may write to it, so it binds only a sender who is the conversation's lead. start_payload: what the
    link carried by which the person came.
    """

    sender: Sender
    text: str
    provider_id: str
    reply_to: str | None = None
    subject: str = ""
    fetch: Mapping[str, str] | None = None
    language: str = ""
    conversation_id: str = ""
    start_payload: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How far one of our messages has come, by the provider's id or by our own (`message_id`)."""

    provider_id: str
    status: DeliveryStatus
    message_id: str | None = None
    code: str | None = None
    detail: str | None = None
    is_opt_out: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """A person told the provider, not us, to be silent or to be heard again."""

    sender: Sender
    wish: Literal["stop", "start"]
    is_confirmed: bool = False  # the provider has answered it already


@dataclass(frozen=True, slots=True)
class Renamed:
    """The channel calls a person differently now."""

    previous: str
    current: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing of ours to do. reason: a stable code, such as `not_a_private_chat`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a webhook tells.

    id: unique within the integration's channel, the same when the provider repeats it. contact: what orders it:
    events of one contact are processed in the order of their arrival. address: whose integration it is for, such as
    a phone number id; "" where the webhook's path says it. payload: the provider's own words for this event alone.
    """

    id: str
    contact: str
    what: Said | Status | Preference | Renamed | Ignored
    address: str = ""
    at: datetime | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


# A provider's module by channel.
MODULES: dict[str, str] = {
    "whatsapp": "engine.channels.whatsapp",
    "telegram": "engine.channels.telegram",
    "email": "engine.channels.email",
    "sms": "engine.channels.sms",
}

_endpoints = Endpoints()


def configure(endpoints: Endpoints) -> None:
    """Choose where this process reaches its providers."""
    global _endpoints
    _endpoints = endpoints


def endpoints() -> Endpoints:
    """Where this process reaches its providers."""
    return _endpoints


def module(channel: str) -> Any:
    """The provider's module of a channel: `connect`, `is_authentic` and `read`."""
    return importlib.import_module(MODULES[channel])


def of(tenant: Tenant, channel: str) -> Channel | None:
    """What carries the tenant's messages on this channel; None where nothing is configured.

    Nothing of the test environment leaves the machine, so there every channel is the sandbox.
    """
    from engine.channels import sandbox

    if tenant.environment == "test":
        return sandbox.Sandbox() if channel in CHANNELS else None
    from engine import integrations

    credentials = integrations.credentials(tenant, channel)
    connected: Channel | None = None if credentials is None else module(channel).connect(credentials, _endpoints)
    return connected
