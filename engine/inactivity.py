"""A conversation that has fallen silent is dropped.

Each active conversation has one row in the outbox, due when it would have been silent for as long as its agent allows.
The row that finds it lively puts the next one.
"""

from __future__ import annotations

from datetime import datetime

from engine.conversations import idle_after, move, watch
from engine.jobs.registry import Task, job
from storage import agents, clock, conversations
from storage.database import transaction


@job("idle")
def drop_if_idle(task: Task) -> None:
    """Drop a conversation that was silent for too long: payload {conversation}."""
    tenant = task.tenant
    with transaction():
        task.complete()
        conversation = conversations.lock(tenant, task.payload["conversation"])
        if conversation.status != "active":
            return
        allowed = idle_after(agents.get(tenant, conversation.agent_config_id))
        silent_since = datetime.fromisoformat(conversation.last_message_at or conversation.created_at)
        if clock.now() < silent_since + allowed:
            watch(tenant, conversation, silent_since + allowed)
            return
        minutes = int(allowed.total_seconds() // 60)
        move(tenant, conversation, "dropped", reason=f"Nobody wrote for {minutes} minutes.")
