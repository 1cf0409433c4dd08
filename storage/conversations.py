"""Conversations and their messages."""

from __future__ import annotations

from peewee import BigIntegerField, IntegerField, JSONField, TextField

from .base import TenantModel


class Conversation(TenantModel):
    """One lead on one channel: active ⇄ handed_off → completed | dropped."""

    oid = TextField()
    lead_number = IntegerField()
    agent_config_id = TextField()
    channel = TextField()
    lead_phone = TextField(default="")
    lead_email = TextField(null=True)
    status = TextField(default="active")
    stage_index = IntegerField(default=0)
    stage_name = TextField(null=True)
    message_count = IntegerField(default=0)
    campaign_id = TextField(null=True)
    summary = TextField(null=True)
    qualification_result = JSONField(null=True)
    last_message_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class Message(TenantModel):
    """What one side said; `seq` counts from 1 within the conversation."""

    oid = TextField()
    conversation_id = BigIntegerField()
    seq = IntegerField()
    role = TextField()  # agent | lead | human | system
    content = TextField()
    agent_config_id = TextField(null=True)
    stage_id = TextField(null=True)
    delivery_status = TextField(null=True)  # queued | sent | delivered | read | failed; None for what came in
    citations = JSONField(default=list)
    created_at = TextField()
