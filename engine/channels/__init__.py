"""Ways to reach a lead. A channel is one module that meets `Channel` and stands in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from storage.tenancy import Tenant

CHANNELS = ("whatsapp", "telegram", "email", "sms")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to hand to a provider. id: our own for it, to recognise a repetition by. template: a name or None."""

    id: str
    channel: str
    phone: str
    email: str
    text: str
    template: str | None = None


class Undeliverable(Exception):
    """The provider will never take this message; trying again is useless."""


class Channel(Protocol):
    """A provider."""

    def send(self, message: Outgoing) -> Literal["sent", "delivered"]:
        """Hand the message over; how far it came. Raises Undeliverable; any other error is tried again later."""
        ...


def of(tenant: Tenant, channel: str) -> Channel | None:
    """What carries the tenant's messages on this channel; None where nothing is configured.

    Nothing of the test environment leaves the machine, so there every channel is the sandbox.
    """
    from engine.channels import sandbox

    if tenant.environment == "test" and channel in CHANNELS:
        return sandbox.Sandbox()
    return None
