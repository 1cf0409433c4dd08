"""Agent configurations: the AI of an account and its script."""

from __future__ import annotations

from peewee import IntegerField, JSONField, TextField

from .base import TenantModel


class AgentConfig(TenantModel):
    """A prompt, a goal, stages and guardrails; `body` parts are stored in the contract's own JSON shape."""

    oid = TextField()
    name = TextField()
    system_prompt = TextField(default="")
    goal = TextField(default="")
    status = TextField(default="active")
    language = TextField(default="English")
    instructions = TextField(default="")
    qualification_criteria = TextField(default="")
    handoff_message = TextField()
    stages = JSONField(default=list)
    guardrails = JSONField(default=dict)
    knowledge_base_ids = JSONField(default=list)
    model = JSONField(null=True)
    version = IntegerField(default=1)
    created_at = TextField()
    updated_at = TextField()
