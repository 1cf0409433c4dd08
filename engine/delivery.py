"""Messages leave through here: one outbox row, one message, one channel."""

from __future__ import annotations

from engine import channels
from engine.channels import Outgoing, Template, Undeliverable
from engine.jobs.registry import Task, job
from storage import conversations
from storage.conversations import Conversation, Message
from storage.database import connection, transaction


def mark_failed(task: Task, reason: str) -> None:
    """After the last attempt the message counts as failed; the reason stays on the outbox row."""
    del reason
    conversations.message(task.tenant, task.payload["message"]).store(delivery_status="failed")


@job("deliver", gave_up=mark_failed)
def deliver(task: Task) -> None:
    """Hand a queued message to its channel: payload {message, template}."""
    with connection():
        message = conversations.message(task.tenant, task.payload["message"])
        conversation = conversations.by_row(task.tenant, message.conversation_id)
    status = _send(task, message, conversation)
    with transaction():
        task.complete()
        message.store(delivery_status=status)


def _send(task: Task, message: Message, conversation: Conversation) -> str:
    channel = channels.of(task.tenant, conversation.channel)
    if channel is None:  # its integration was removed after the message was queued
        return "failed"
    template = (message.template or {}).get("name")
    outgoing = Outgoing(
        id=message.oid,
        channel=conversation.channel,
        phone=conversation.lead_phone,
        email=conversation.lead_email or "",
        text=message.content,
        template=Template(template) if template else None,
    )
    try:
        return channel.send(outgoing).status
    except Undeliverable:
        return "failed"
