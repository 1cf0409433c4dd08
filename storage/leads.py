"""Leads: the model, its counters, and the queries over one lead."""

from __future__ import annotations

from peewee import BooleanField, IntegerField, JSONField, TextField

from .base import Row, TenantModel


class Lead(TenantModel):
    """A person an account wants to talk to; `number` is the public id, sequential per tenant."""

    number = IntegerField()
    name = TextField(default="Unknown")
    phone = TextField(default="")  # E.164, or "" when the channel gave none
    phone_valid = BooleanField(default=True)
    email = TextField(default="")
    status = TextField(default="new")
    source = TextField(default="api")
    tags = JSONField(default=list)
    assigned_agent_id = TextField(null=True)
    ab_test_id = TextField(null=True)
    agent_assigned_by = TextField(default="auto")
    custom_fields = JSONField(default=dict)
    external_id = TextField(null=True)
    timezone = TextField(null=True)
    opted_out = JSONField(default=list)  # channels on which the person asked for silence
    import_batch_id = TextField(null=True)
    last_contacted_at = TextField(null=True)
    search_text = TextField(default="")  # what `q` looks through, case-folded, one value a line
    created_at = TextField()
    updated_at = TextField()
    deleted_at = TextField(null=True)


class LeadCounter(Row):
    """A tenant's last lead number and how many leads it has, moved in the transaction that moves the leads."""

    tenant_id = IntegerField(primary_key=True)
    last_number = IntegerField(default=0)
    live = IntegerField(default=0)
