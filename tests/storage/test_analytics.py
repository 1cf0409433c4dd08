"""Whatever happens, the sums that were kept say what counting everything anew says, and what a count by hand says."""

from __future__ import annotations

import contextlib
import random

import pytest

from engine.analytics import folding
from storage import analytics, conversations, leads
from storage.analytics import AnalyticsTally
from storage.conversation_events import ConversationEvent
from storage.conversations import Conversation, Message
from storage.database import transaction
from storage.errors import Conflict, NotFound
from storage.leads import Lead
from tests.storage.test_lead_tallies import EVERYTHING

AGENTS = ("1a" * 12, "2a" * 12)
CHANNELS = ("whatsapp", "telegram", "email", "sms")


def sums(tenant):
    """All sums that are not zero."""
    fields = ("subject", "grain", "slot", "value", "measure")
    return {tuple(getattr(row, name) for name in fields): row.amount for row in AnalyticsTally.of(tenant) if row.amount}


def fold(tenant):
    while folding.fold(tenant, 7):
        continue


def open_one(tenant, actor, draw):
    lead = leads.get(tenant, draw.randrange(1, 60))
    conversations.add(tenant, lead, draw.choice(CHANNELS), draw.choice(AGENTS), None)


def some(tenant, draw):
    found = list(Conversation.of(tenant).order_by(Conversation.id))
    if not found:
        raise NotFound("conversation_not_found", "There is none yet")
    return draw.choice(found)


def say(tenant, actor, draw):
    conversations.append(tenant, some(tenant, draw), draw.choice(["agent", "lead", "human", "system"]), "Hello")


def judge(tenant, actor, draw):
    verdict = draw.choice([None, {"qualified": True, "reason": "x"}, {"qualified": False, "reason": "x"}])
    some(tenant, draw).store(qualification_result=verdict, status=draw.choice(["completed", "dropped", "handed_off"]))


def give_away(tenant, actor, draw):
    some(tenant, draw).store(lead_number=draw.randrange(1, 5), status="completed", campaign_id="3a" * 12)


def erase(tenant, actor, draw):
    gone = some(tenant, draw)
    Message.remove(tenant).where(Message.conversation_id == gone.id).execute()
    if draw.random() < 0.5:
        ConversationEvent.remove(tenant).where(ConversationEvent.conversation_id == gone.id).execute()
        Conversation.remove(tenant).where(Conversation.id == gone.id).execute()


TALKS = (open_one, open_one, say, say, say, judge, give_away, erase)


def test_sums_kept_are_those_counted_anew_after_anything(tenant, other_tenant, actor):
    for seed in range(3):
        draw = random.Random(seed)
        for step in range(120):
            with contextlib.suppress(Conflict, NotFound), transaction():
                draw.choice([*EVERYTHING, *TALKS])(tenant, actor, draw)
            if step % 20 == 0:
                folding.fold(tenant, draw.randrange(1, 30))
        fold(tenant)
        kept = sums(tenant)

        folding.rebuild(tenant)

        assert kept == sums(tenant)
        assert len(kept) > 50
        ever = analytics.sums(tenant, ["leads", "by_channel"], [analytics.EVER])
        assert ever["leads", "", "new"] == leads.live(tenant).count()
        opened = sum(amount for (_, _, name), amount in ever.items() if name == "opened")
        assert opened == Conversation.of(tenant).count()
    assert sums(other_tenant) == {}


def test_change_of_what_no_number_depends_on_is_not_noted(tenant, actor, make_lead):
    lead = make_lead()
    fold(tenant)

    leads.update(tenant, lead.number, {"name": "Ada Example", "email": "ada@example.com"}, actor)

    assert not analytics.is_behind(tenant)


@pytest.mark.parametrize("is_gone", [False, True], ids=["deleted", "erased"])
def test_lead_that_is_gone_counts_for_nothing_and_counts_again_once_restored(tenant, actor, make_lead, is_gone):
    lead = make_lead(tags=["vip"])
    fold(tenant)
    before = sums(tenant)

    leads.delete(tenant, lead.number, actor)
    if is_gone:
        Lead.remove(tenant).execute()
    fold(tenant)

    assert before
    assert sums(tenant) == {}
    if not is_gone:
        leads.restore(tenant, lead.number, actor)
        fold(tenant)
        assert sums(tenant) == before
