"""Counting what changed: facts of now against facts of before, and the difference into the sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from storage import accounts, analytics
from storage.analytics import Key, Kind
from storage.database import transaction, without_haste
from storage.tenancy import Tenant

from . import counting
from .counting import Facts

OF_A_READ = 500  # changes that a read counts before it answers
_BATCH = 2_000

_encode = msgspec.json.Encoder().encode


def fold(tenant: Tenant, most: int = _BATCH) -> bool:
    """Count the oldest changes of a tenant, at most so many, in one transaction; False where there was nothing."""
    with transaction():
        analytics.count_alone(tenant)
        numbers, ids = analytics.take_changes(tenant, most)
        if not numbers and not ids:
            return False
        moved = _recount(tenant, "lead", _leads(tenant, numbers), counting.lead_amounts)
        moved.update(_recount(tenant, "conversation", _conversations(tenant, ids), counting.conversation_amounts))
        analytics.move(tenant, counting.in_all_grains(moved))
    return True


def catch_up(tenant: Tenant) -> None:
    """Count what changed, where that is not much, so that a read sees it. Raises TooSlow where a read must be quick."""
    if analytics.is_behind(tenant):
        without_haste()
        fold(tenant, OF_A_READ)


def fold_next() -> bool:
    """Count some of what changed first, for whomever; False where there was nothing."""
    tenant_id = analytics.next_behind()
    return tenant_id is not None and fold(accounts.tenant_by_id(tenant_id))


def rebuild(tenant: Tenant) -> None:
    """Drop what was counted and count everything anew. Until it is through, answers know only a part."""
    with transaction():
        analytics.count_alone(tenant)
        analytics.forget(tenant)
    while fold(tenant):
        continue


def _leads(tenant: Tenant, numbers: set[int]) -> dict[int, Facts | None]:
    talks = defaultdict(list)
    for conversation in analytics.conversations_of(tenant, numbers):
        talks[conversation.lead_number].append(conversation)
    found: dict[int, Facts | None] = dict.fromkeys(numbers)
    found.update(
        {lead.number: counting.lead_facts(lead, talks[lead.number]) for lead in analytics.leads(tenant, numbers)}
    )
    return found


def _conversations(tenant: Tenant, ids: set[int]) -> dict[int, Facts | None]:
    said = defaultdict(list)
    for message in analytics.messages(tenant, ids):
        said[message.conversation_id].append(message)
    found: dict[int, Facts | None] = dict.fromkeys(ids)
    found.update(
        {each.id: counting.conversation_facts(each, said[each.id]) for each in analytics.conversations(tenant, ids)}
    )
    return found


def _recount(
    tenant: Tenant, kind: Kind, now: dict[int, Facts | None], amounts: Callable[[Any], Counter[Key]]
) -> Counter[Key]:
    """Keep these facts and answer what they add to the facts of before."""
    before = analytics.facts(tenant, kind, now)
    texts = {ref: None if facts is None else _encode(facts).decode() for ref, facts in now.items()}
    changed = {ref: text for ref, text in texts.items() if text != before.get(ref)}
    moved: Counter[Key] = Counter()
    for ref, text in changed.items():
        if text is not None:
            moved.update(amounts(now[ref]))
        if ref in before:
            moved.subtract(amounts(msgspec.json.decode(before[ref])))
    analytics.set_facts(tenant, kind, changed)
    return moved
