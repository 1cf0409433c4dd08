"""What a lead and a conversation count for: facts in, amounts out, nothing else.

A lead counts on the day that it was created, a conversation on the day that it was opened, an answer when it was given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from storage.analytics import Key
from storage.conversations import Conversation, Message
from storage.leads import Lead

QUARTER_S = 900
QUARTERS_OF_DAY = 96
STAGES = ("new", "contacted", "replied", "qualified")
_STEP = math.log(1.1)  # of a histogram of waits: a percentile is off by 5 % at most
Facts = list[Any]


def lead_facts(lead: Lead, conversations: Sequence[Conversation]) -> Facts:
    """[slot, source, tags, stage, is disqualified, [[subject, value, stage] of its agents, channels and campaigns]]."""
    stage = _stage(conversations)
    if stage == 0 and (lead.last_contacted_at is not None or lead.status == "contacted"):
        stage = 1
    if lead.status == "qualified":
        stage = 3
    tags = sorted(set(lead.tags))
    return [
        _slot(lead.created_at),
        lead.source,
        tags,
        stage,
        lead.status == "disqualified",
        _reached(lead, conversations),
    ]


def _reached(lead: Lead, conversations: Sequence[Conversation]) -> list[list[Any]]:
    by_value: dict[tuple[str, str], list[Conversation]] = {}
    if lead.assigned_agent_id is not None:
        by_value["agent", lead.assigned_agent_id] = []
    for each in conversations:
        by_value.setdefault(("agent", each.agent_config_id), []).append(each)
        by_value.setdefault(("channel", each.channel), []).append(each)
        if each.campaign_id is not None:
            by_value.setdefault(("campaign", each.campaign_id), []).append(each)
    return [[*value, _stage(those)] for value, those in sorted(by_value.items(), key=lambda item: item[0])]


def _stage(conversations: Sequence[Conversation]) -> int:
    """How far a lead came in these conversations: the place of a word of STAGES."""
    if any(_verdict(each) for each in conversations):
        return 3
    if any(each.last_lead_message_at is not None for each in conversations):
        return 2
    return 1 if conversations else 0


def _verdict(conversation: Conversation) -> bool | None:
    result = conversation.qualification_result
    return None if result is None else bool(result["qualified"])


def conversation_facts(conversation: Conversation, messages: Iterable[Message]) -> Facts:
    """[slot, channel, agent, campaign, status, verdict, messages, [[slot, who, agent, wait in ms] of its answers]]."""
    return [
        _slot(conversation.created_at),
        conversation.channel,
        conversation.agent_config_id,
        conversation.campaign_id,
        conversation.status,
        _verdict(conversation),
        conversation.message_count,
        _answers(conversation, messages),
    ]


def _answers(conversation: Conversation, messages: Iterable[Message]) -> list[list[Any]]:
    """Each first message after the other side's; it answers the first of those that had none yet."""
    found: list[list[Any]] = []
    waiting: datetime | None = None
    last_is_lead: bool | None = None
    for each in messages:
        if each.role == "system":
            continue
        is_lead = each.role == "lead"
        if is_lead is not last_is_lead:
            at = datetime.fromisoformat(each.created_at)
            if waiting is not None:
                wait_ms = max(0, round((at - waiting).total_seconds() * 1000))
                agent = each.agent_config_id or conversation.agent_config_id if each.role == "agent" else ""
                found.append([_slot(each.created_at), each.role, agent, wait_ms])
            waiting, last_is_lead = at, is_lead
    return found


def lead_amounts(facts: Facts) -> Counter[Key]:
    """The amounts of a lead, by quarters of an hour."""
    slot, source, tags, stage, is_disqualified, reached = facts
    values = [("leads", "", stage), ("source", source, stage), *(("tag", tag, stage) for tag in tags), *reached]
    amounts = Counter(
        Key(subject, "quarter", slot, value, STAGES[step]) for subject, value, far in values for step in range(far + 1)
    )
    if is_disqualified:
        amounts[Key("leads", "quarter", slot, "", "disqualified")] += 1
    return amounts


def conversation_amounts(facts: Facts) -> Counter[Key]:
    """The amounts of a conversation and of the answers in it, by quarters of an hour."""
    slot, channel, agent, campaign, status, verdict, messages, answers = facts
    measures = {"opened": 1, status: 1, "messages": messages}
    if verdict is not None:
        measures["qualified" if verdict else "disqualified"] = 1
    if verdict and status == "completed":
        measures["completed_qualified"] = 1
    amounts: Counter[Key] = Counter()
    for subject, value in (("by_channel", channel), ("by_agent", agent), ("by_campaign", campaign)):
        if value is not None:
            amounts.update({Key(subject, "quarter", slot, value, name): amount for name, amount in measures.items()})
    for at, who, by, wait_ms in answers:
        subject = f"answers_of_{who}"
        for name, amount in (("count", 1), ("ms", wait_ms), (f"b{bucket(wait_ms)}", 1)):
            amounts[Key(subject, "quarter", at, by, name)] += amount
    return amounts


def in_all_grains(amounts: Counter[Key]) -> Counter[Key]:
    """The same amounts for whole days of UTC and for all time, too."""
    total: Counter[Key] = Counter()
    for key, amount in amounts.items():
        if amount:
            total[key] += amount
            total[key._replace(grain="day", slot=key.slot // QUARTERS_OF_DAY)] += amount
            total[key._replace(grain="all", slot=0)] += amount
    return total


def bucket(wait_ms: int) -> int:
    """The place of a wait in the histogram; 0 is anything below a tenth of a second."""
    return 0 if wait_ms < 100 else 1 + int(math.log(wait_ms / 100) / _STEP)


def percentile_s(buckets: dict[int, int], share: float) -> float:
    """The wait in seconds that this share of them does not exceed: the geometric middle of its bucket."""
    wanted = share * sum(buckets.values())
    seen = 0
    for place in sorted(buckets):
        seen += buckets[place]
        if seen >= wanted:
            break
    return 0.05 if place == 0 else 0.1 * math.exp(_STEP * (place - 0.5))


def _slot(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp()) // QUARTER_S
