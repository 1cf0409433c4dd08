"""May this message go to this lead on this channel now? A pure decision over facts, named by the rule that decides.

Allowed
Held(rule, until)    not now: the same question again at `until`, or as soon as a fact changes
Refused(rule)        never: the message has failed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.compliance.hours import QuietHours, loud_at, zones_of
from storage.tenancy import Environment

Kind = Literal["text", "template", "confirmation"]

WINDOW = timedelta(hours=24)  # WhatsApp takes free text this long after the person's last message
REPLY_WITHIN = timedelta(minutes=60)  # who wrote that recently is awake and waits
LOOK_AGAIN = timedelta(hours=1)  # where only a person can change what is unknown


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most so many messages in so many hours to a person who does not answer."""

    messages: int = 5
    hours: float = 24.0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision hangs on.

    kind: free text, a provider's template, or the one confirmation of an opt-out. heard_at: when the person last wrote,
    on any channel; heard_here_at: on this one. sent_at: when messages went to them on all channels, as far back as the
    cap reaches. None for quiet_hours or cap: there are none.
    """

    environment: Environment
    channel: str
    kind: Kind = "text"
    is_configured: bool = True
    opted_out: Sequence[str] = ()
    phone: str = ""
    phone_valid: bool = True
    email: str = ""
    identities: Sequence[str] = ()
    timezone: str | None = None
    heard_at: datetime | None = None
    heard_here_at: datetime | None = None
    sent_at: Sequence[datetime] = ()
    quiet_hours: QuietHours | None = None
    frequency_cap: FrequencyCap | None = None
    exhausted_budget: str | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The message may go now."""


@dataclass(frozen=True, slots=True)
class Held:
    """The message waits; `message` tells the account's people why."""

    rule: str
    message: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The message must not go; `message` tells the account's people why, and what to do."""

    rule: str
    message: str


Decision = Allowed | Held | Refused

LEAD_GONE = Refused("lead_deleted", "The lead was deleted")


def decide(facts: Facts, now: datetime) -> Decision:
    """Whether the message may go now. Refusals come before waits, and of several waits the longest counts."""
    refused = _of_consent(facts) or _of_reach(facts) or _of_window(facts, now) or _of_budget(facts)
    if refused is not None:
        return refused
    waits = [held for held in (_of_frequency(facts, now), _of_quiet(facts, now)) if held is not None]
    return max(waits, key=lambda held: held.until) if waits else Allowed()


def _of_consent(facts: Facts) -> Refused | None:
    if facts.kind == "confirmation":
        if facts.opted_out:
            return None
        return Refused("opted_in_again", "The lead asked to be written to again before the confirmation went out")
    if facts.channel in facts.opted_out:
        return Refused("opted_out", "The lead has opted out of this channel")
    return None


def _of_reach(facts: Facts) -> Refused | None:
    if not facts.is_configured:
        advice = f"No integration is configured for {facts.channel}. Configure one first."
        return Refused("channel_not_configured", advice)
    in_test = facts.environment == "test"  # nothing is sent there, so a number need not exist nor a chat be open
    has_phone = facts.phone != "" and (facts.phone_valid or in_test)
    if facts.channel == "sms" and not has_phone:
        return Refused("no_valid_phone", "The lead has no valid phone number")
    if facts.channel == "whatsapp" and not has_phone and not facts.identities:
        return Refused("no_valid_phone", "The lead has no valid phone number")
    if facts.channel == "telegram" and not facts.identities and not in_test:
        return Refused("no_identity", "The lead has not pressed Start in a chat with the Telegram bot")
    if facts.channel == "email" and not facts.email and not facts.identities:
        return Refused("no_email", "The lead has no email address")
    return None


def _of_window(facts: Facts, now: datetime) -> Refused | None:
    if facts.channel != "whatsapp" or facts.environment == "test" or facts.kind == "template":
        return None
    if facts.heard_here_at is not None and now < facts.heard_here_at + WINDOW:
        return None
    advice = "The lead has not written on WhatsApp in the last 24 hours: only a template may be sent."
    return Refused("whatsapp_window_closed", advice)


def _of_budget(facts: Facts) -> Refused | None:
    if facts.exhausted_budget is None or facts.kind == "confirmation":
        return None
    advice = f"The account's budget {facts.exhausted_budget} is used up. Raise it, or wait for the next month."
    return Refused("budget_exhausted", advice)


def _of_frequency(facts: Facts, now: datetime) -> Held | None:
    cap = facts.frequency_cap
    if cap is None or facts.kind == "confirmation":
        return None
    length = timedelta(hours=cap.hours)
    unanswered = sorted(
        at for at in facts.sent_at if at > now - length and (facts.heard_at is None or at >= facts.heard_at)
    )
    if len(unanswered) < cap.messages:
        return None
    advice = f"The lead got {len(unanswered)} messages in {cap.hours:g} hours and has not answered"
    return Held("frequency_cap", advice, unanswered[-cap.messages] + length)


def _of_quiet(facts: Facts, now: datetime) -> Held | None:
    hours = facts.quiet_hours
    if hours is None or hours.start == hours.end or (hours.replies_allowed and _is_reply(facts, now)):
        return None
    zones = zones_of(facts.timezone, facts.phone)
    loud = loud_at(hours, zones, now) if zones else None
    if loud is None:
        advice = "Nobody knows what time it is where the lead is. Set the lead's timezone."
        return Held("unknown_timezone", advice, now + LOOK_AGAIN)
    if loud == now:
        return None
    advice = f"It is between {hours.start:%H:%M} and {hours.end:%H:%M} where the lead is"
    return Held("quiet_hours", advice, loud)


def _is_reply(facts: Facts, now: datetime) -> bool:
    return facts.heard_here_at is not None and now - facts.heard_here_at <= REPLY_WITHIN
