"""What the endpoints share: queries and rows of leads."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.bench.references import texts

from .bodies import LeadOut
from .edge import Caller
from .tables import AuditEntry, Lead, LeadCounter


def out(lead: Lead, caller: Caller) -> LeadOut:
    """The lead as it is answered."""
    return LeadOut(
        id=lead.number,
        account_id=caller.account_id,
        name=lead.name,
        phone=lead.phone,
        phone_valid=lead.phone_valid,
        email=lead.email,
        status=lead.status,
        source=lead.source,
        tags=lead.tags,
        assigned_agent_id=lead.assigned_agent_id,
        ab_test_id=lead.ab_test_id,
        agent_assigned_by=lead.agent_assigned_by,
        custom_fields=lead.custom_fields,
        opted_out=lead.opted_out,
        timezone=lead.timezone,
        external_id=lead.external_id,
        import_batch_id=lead.import_batch_id,
        last_contacted_at=lead.last_contacted_at,
        created_at=lead.created_at,
        updated_at=lead.updated_at,
    )


def live(caller: Caller) -> Any:
    """A query over the leads that are not deleted."""
    return select(Lead).where(Lead.tenant_id == caller.tenant_id, Lead.deleted_at.is_(None))


def derive(lead: Lead) -> None:
    """Fill what a name is sorted by and what a search looks through."""
    lead.name_key = texts.key(lead.name)[:100]
    lead.search_text = texts.searched([lead.name, lead.phone, lead.email, lead.external_id or "", *lead.tags])


def custom(fields: dict[str, Any]) -> dict[str, str]:
    """Custom fields as they are stored."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def audit(
    request: Request, session: Session, caller: Caller, action: str, resource_id: Any, details: dict[str, Any]
) -> None:
    """Add an entry to the audit log."""
    session.add(
        AuditEntry(
            id=texts.object_id(),
            account_id=caller.account_id,
            environment=caller.environment,
            actor_type="api_key",
            actor_id=caller.key_id,
            actor_name=caller.name,
            actor_ip=request.client.host if request.client else None,
            request_id=request.state.id,
            action=action,
            resource_type=action.partition(".")[0],
            resource_id=str(resource_id),
            details=details,
            created_at=texts.stamp(),
        )
    )


def hold_counter(session: Session, caller: Caller) -> LeadCounter:
    """The counter, which nobody else moves until the commit."""
    return session.scalars(select(LeadCounter).where(LeadCounter.tenant_id == caller.tenant_id).with_for_update()).one()
