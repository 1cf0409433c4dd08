"""Merging leads that are one person, at the wish of the account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from engine import conversations, waits
from storage import audit, lead_merge, leads
from storage.conversations import Conversation, lock_open
from storage.database import transaction
from storage.errors import Blocked, Problem
from storage.leads import Lead
from storage.tenancy import Actor, Tenant


def merge(tenant: Tenant, into: int, sources: Sequence[int], actor: Actor) -> Lead:
    """Make these leads one, and return it. Raises NotFound; Blocked: into itself, too many tags or custom fields."""
    if into in sources:
        message = "A lead cannot be merged into itself"
        raise Blocked("merge_into_itself", message, problems=[Problem(f"/from/{sources.index(into)}", message)])
    with transaction():
        target, others = lead_merge.hold(tenant, into, sources)
        _end_doubles(tenant, [target, *others], actor)
        lead_merge.merge(tenant, target, others)
        audit.record(tenant, actor, "lead.merged", into, {"from": [str(number) for number in sources]})
        leads.tell(tenant, "lead.updated", target)
        waits.reconsider(tenant, into)
    return target


def _end_doubles(tenant: Tenant, held: Sequence[Lead], actor: Actor) -> None:
    """Complete active conversations but the newest on each channel."""
    active: dict[str, list[Conversation]] = defaultdict(list)
    for lead in held:
        for conversation in lock_open(tenant, lead.number):
            if conversation.status == "active":
                active[conversation.channel].append(conversation)
    for several in active.values():
        for older in sorted(several, key=lambda each: (each.created_at, each.id))[:-1]:
            conversations.move(tenant, older, "completed", actor, reason="The lead was merged with another one.")
