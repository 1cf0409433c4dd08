"""Asking the provider: whether an account works, and, of Telegram, to deliver its events to us."""

from __future__ import annotations

from collections.abc import Callable

from engine import channels
from engine.channels import Channel, Credentials, Deferred, Health, OutcomeUnknown, SendError
from engine.channels.sandbox import Sandbox
from engine.jobs.registry import Retry, Task, job
from storage import integrations
from storage.database import connection, transaction
from storage.errors import Blocked
from storage.integrations import Integration
from storage.tenancy import Tenant

from . import keep_health, opened


@job("set_up_integration")
def set_up(task: Task) -> None:
    """Make an integration ready that was saved: payload {channel, revision}; nothing to do once it changed again."""
    with connection():
        integration = _at_revision(task, integrations.find)
    if integration is None:
        with transaction():
            task.complete()
        return
    health, may_pass = _asked(task.tenant, integration, registers=True)
    with transaction():
        if not may_pass:
            task.complete()
        _keep(task, health)
    if may_pass:
        raise Retry(health.detail)


def _at_revision(task: Task, find: Callable[[Tenant, str], Integration | None]) -> Integration | None:
    integration = find(task.tenant, task.payload["channel"])
    is_same = integration is not None and integration.updated_at == task.payload["revision"]
    return integration if is_same else None


def _keep(task: Task, health: Health) -> None:
    integration = _at_revision(task, integrations.lock_if_there)
    if integration is not None:
        keep_health(task.tenant, integration, health)


def _asked(tenant: Tenant, integration: Integration, *, registers: bool = False) -> tuple[Health, bool]:
    """What the provider says of the account, and whether trying again may help; no connection is held meanwhile.

    registers: have Telegram deliver its events to us first. Of the test environment nothing leaves the machine.
    """
    if tenant.environment == "test":
        return Sandbox().check(), False
    try:
        with connection():
            credentials = opened(integration)[1]
        if registers and integration.channel == "telegram":
            channels.module("telegram").register_webhook(credentials, channels.endpoints())
        return _connected(integration.channel, credentials).check(), False
    except Blocked as error:
        return Health(False, error.message), False
    except SendError as error:
        return Health(False, error.detail), isinstance(error, Deferred | OutcomeUnknown)


def _connected(channel: str, credentials: Credentials) -> Channel:
    connected: Channel = channels.module(channel).connect(credentials, channels.endpoints())
    return connected


def check(tenant: Tenant, channel: str) -> Integration:
    """Ask the provider now, and the integration with its answer kept; not within a transaction. Raises NotFound."""
    with connection():
        integration = integrations.get(tenant, channel)
    health, _ = _asked(tenant, integration)
    with transaction():
        present = integrations.lock(tenant, channel)
        if present.updated_at == integration.updated_at:
            keep_health(tenant, present, health)
    return present
