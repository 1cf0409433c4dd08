"""A sync: the leads that the items may mean are loaded, changed as objects, and flushed."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy import and_, func
from sqlalchemy.orm import Session

from tests.bench.references import texts

from .bodies import SyncError, SyncItem, SyncOutcome, SyncRequest
from .edge import Caller, Refusal
from .leads import audit, custom, derive, hold_counter, live
from .tables import Lead, LeadCounter


class _Batch:
    """The leads that the items of a sync may mean."""

    def __init__(self, session: Session, caller: Caller, items: list[SyncItem]) -> None:
        self.caller = caller
        self.region = caller.region
        ids = [item.lead_id for item in items if item.lead_id]
        phones = [texts.e164(item.phone, caller.region)[0] for item in items if item.phone]
        emails = [item.email.lower() for item in items if item.email and not item.lead_id]
        wanted = [
            and_(Lead.external_id.in_(ids), Lead.external_id.is_not(None)),
            and_(Lead.phone.in_(phones), Lead.phone != ""),
            func.lower(Lead.email).in_(emails),
        ]
        known = {lead.number: lead for condition in wanted for lead in session.scalars(live(caller).where(condition))}
        self.by_id = {lead.external_id: lead for lead in known.values() if lead.external_id}
        self.by_phone = {lead.phone: lead for lead in known.values() if lead.phone}
        self.by_email = {lead.email.lower(): lead for lead in known.values() if lead.email}

    def meant(self, item: SyncItem, phone: str) -> Lead | None:
        """The lead that the item is about. Raises Refusal."""
        holder = self.by_phone.get(phone)
        if item.lead_id is None:
            return holder or self.by_email.get(item.email.lower())
        known = self.by_id.get(item.lead_id)
        if holder is not None and holder is not known and (known is not None or holder.external_id):
            raise Refusal(409, "phone_conflict", "The phone belongs to another lead")
        return known or holder

    def say(self, lead: Lead, item: SyncItem, phone: str, is_valid: bool, moment: str) -> bool:
        """Make the lead what the item says; whether that changed it."""
        said: dict[str, Any] = {}
        if phone:
            said |= {"phone": phone, "phone_valid": is_valid}
        if item.name.strip():
            said["name"] = item.name.strip()
        if item.email:
            said["email"] = item.email
        if item.tags is not None:
            said["tags"] = list(dict.fromkeys(item.tags))
        if item.custom_fields:
            said["custom_fields"] = (lead.custom_fields or {}) | custom(item.custom_fields)
        if item.lead_id:
            said["external_id"] = item.lead_id
        changed = {name: value for name, value in said.items() if getattr(lead, name) != value}
        for name, value in changed.items():
            setattr(lead, name, value)
        if changed:
            lead.updated_at = moment
            derive(lead)
        self.by_phone[lead.phone] = lead
        if lead.external_id:
            self.by_id[lead.external_id] = lead
        return bool(changed)


def _new_lead(caller: Caller, counter: LeadCounter, source: str, moment: str) -> Lead:
    counter.last_number += 1
    counter.live += 1
    return Lead(
        tenant_id=caller.tenant_id,
        number=counter.last_number,
        name="Unknown",
        phone="",
        email="",
        tags=[],
        custom_fields={},
        source=source,
        created_at=moment,
        updated_at=moment,
    )


def sync(request: Request, session: Session, caller: Caller, body: SyncRequest) -> dict[str, Any]:
    """What became of each item."""
    counter = hold_counter(session, caller)
    batch = _Batch(session, caller, body.leads)
    moment = texts.stamp()
    errors, results = [], []
    for index, item in enumerate(body.leads):
        phone, is_valid = texts.e164(item.phone, caller.region) if item.phone else ("", True)
        try:
            lead = batch.meant(item, phone)
        except Refusal as error:
            refused = SyncError(index=index, lead_id=item.lead_id, code=error.body["code"], message=str(error))
            errors.append(refused)
            continue
        verb = "unchanged"
        if lead is None:
            lead = _new_lead(caller, counter, body.source, moment)
            session.add(lead)
            batch.say(lead, item, phone, is_valid, moment)
            verb = "created"
        elif batch.say(lead, item, phone, is_valid, moment):
            verb = "updated"
        results.append(SyncOutcome(index=index, lead_id=item.lead_id, id=lead.number, outcome=verb))
    verbs = [result.outcome for result in results]
    counts = {verb: verbs.count(verb) for verb in ("created", "updated", "unchanged")}
    if counts["created"] or counts["updated"]:
        details = {"source": body.source, **counts, "failed": len(errors)}
        audit(request, session, caller, "leads.synced", caller.account_id, details)
    session.commit()
    return {"total": len(body.leads), **counts, "failed": len(errors), "errors": errors, "results": results}
