"""Telling a person that the agent has read their message: a courtesy, which nothing waits for and nobody misses."""

from __future__ import annotations

import structlog

from engine import channels
from engine.channels import SendError
from engine.conversations import ring_after_commit
from engine.jobs.registry import Retry, Task, job
from storage import outbox
from storage.database import connection, transaction
from storage.errors import Blocked
from storage.tenancy import Tenant

ATTEMPTS = 2
_CHANNELS = ("whatsapp",)  # those that show it

_log = structlog.get_logger(__name__)


def put(tenant: Tenant, channel: str, contact: str, provider_id: str) -> None:
    """Queue the mark for a message that the agent is about to answer, in a lane of its own."""
    if channel not in _CHANNELS or not provider_id or tenant.environment == "test":
        return
    lane = f"read/{tenant.id}/{channel}/{contact}"
    outbox.put(tenant, "mark_read", lane, {"channel": channel, "message": provider_id})
    ring_after_commit(lane)


@job("mark_read", lease_s=60.0)
def mark(task: Task) -> None:
    """Set the mark: payload {channel, message: the provider's id}. After the second failure it is left unset."""
    try:
        with connection():
            channel = channels.of(task.tenant, task.payload["channel"])
        if channel is not None:
            channel.mark_read(task.payload["message"])
    except (SendError, Blocked) as error:
        if task.claim.failures + 1 < ATTEMPTS:
            raise Retry(str(error)) from error
        _log.info("not_marked_read", channel=task.payload["channel"], code=error.code)
    with transaction():
        task.complete()
