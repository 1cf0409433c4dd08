"""Ten thousand lives of leads: whatever happens in whatever order, nothing is sent that must not be.

A history is simulated in memory: the real decision over a model of time, of lanes and of what waits in them. What was
sent is then held against the rules as a person would put them, by a judge who knows nothing of the decision.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from engine import compliance
from engine.compliance import Allowed, Facts, FrequencyCap, Held, QuietHours

HISTORIES, PARTS = 12_000, 8
STEPS = (6, 16)
CHANNELS = ("whatsapp", "telegram", "email", "sms")
WHEREABOUTS = {  # what is known of a person's clock, and where they may be
    ("+12125550142", None): ["America/New_York"],
    ("+12125550142", "Asia/Tokyo"): ["Asia/Tokyo"],
    ("+34612345678", None): ["Europe/Madrid", "Atlantic/Canary"],
    ("+4915112345678", None): ["Europe/Berlin"],
    ("", "Australia/Lord_Howe"): ["Australia/Lord_Howe"],
    ("", None): [],
}
STARTS = [  # two of them the day before a clock jumps
    datetime(2026, 3, 7, 17, 0, tzinfo=UTC),
    datetime(2026, 10, 24, 9, 0, tzinfo=UTC),
    datetime(2026, 6, 10, 3, 30, tzinfo=UTC),
]
WAITS = [timedelta(minutes=minutes) for minutes in (1, 9, 45, 61, 200, 700, 1440, 1500)]
SAYINGS = {
    "stop": ["STOP", "Please stop texting me", "Dejen de escribirme", "Ne me contactez plus", "Laat me met rust"],
    "start": ["START", "You can text me again", "Ya pueden escribirme"],
    None: ["Hi", "How much is it?", "I must cancel Monday's call", "Stop by our office"],
}
Kind = Literal["text", "template", "confirmation"]


@dataclass(frozen=True)
class Rules:
    """What the account wants."""

    environment: Literal["live", "test"]
    quiet_hours: QuietHours | None
    cap: FrequencyCap | None


@dataclass(frozen=True)
class Happened:
    """One entry of a history; detail: what was said, the kind of what was sent, or where the person is now."""

    at: datetime
    what: Literal["said", "sent", "moved"]
    channel: str = ""
    detail: Any = None


@dataclass
class Waiting:
    """A message in its lane, looked at when it is due."""

    kind: Kind
    due: datetime


@dataclass
class Life:
    """A person, the messages on their way to them, and all that happened."""

    random: Random
    rules: Rules
    now: datetime
    phone: str
    timezone: str | None
    opted_out: bool = False
    heard: dict[str, datetime] = field(default_factory=dict)
    sent_at: list[datetime] = field(default_factory=list)
    lanes: dict[str, deque[Waiting]] = field(default_factory=lambda: defaultdict(deque))
    happened: list[Happened] = field(default_factory=list)

    def live(self) -> None:
        """A few steps, then three days in which what waits may go."""
        self._tell("moved", detail=(self.phone, self.timezone))
        for _ in range(self.random.randint(*STEPS)):
            step = self.random.choices([self._say, self._hear, self._wait, self._move], [5, 4, 6, 1])[0]
            step()
            self._work()
        self._wait_until(self.now + timedelta(days=3))

    def _say(self) -> None:
        kind = self.random.choices(["text", "template"], [4, 1])[0]
        self.lanes[self.random.choice(CHANNELS)].append(Waiting(kind, self.now))

    def _hear(self) -> None:
        channel = self.random.choice(CHANNELS)
        text = self.random.choice(SAYINGS[self.random.choices(["stop", "start", None], [2, 1, 5])[0]])
        self.heard[channel] = self.now
        self._tell("said", channel, text)
        wish = compliance.wish(text)
        if wish == "stop" and not self.opted_out:
            self.opted_out = True
            self.lanes[channel].append(Waiting("confirmation", self.now))
        elif wish == "start":
            self.opted_out = False
        self._look_again()

    def _wait(self) -> None:
        self._wait_until(self.now + self.random.choice(WAITS))

    def _wait_until(self, end: datetime) -> None:
        while due := [lane[0].due for lane in self.lanes.values() if lane and lane[0].due <= end]:
            self.now = max(self.now, min(due))
            self._work()
        self.now = end

    def _move(self) -> None:
        self.phone, self.timezone = self.random.choice(list(WHEREABOUTS))
        self._tell("moved", detail=(self.phone, self.timezone))
        self._look_again()

    def _look_again(self) -> None:
        for lane in self.lanes.values():
            if lane:
                lane[0].due = self.now

    def _work(self) -> None:
        """What a worker does with each lane: the first message, then the next, until one waits."""
        for channel, lane in self.lanes.items():
            while lane and lane[0].due <= self.now:
                self._deliver(channel, lane)

    def _deliver(self, channel: str, lane: deque[Waiting]) -> None:
        match compliance.decide(self._facts(channel, lane[0].kind), self.now):
            case Held(until=until):
                assert until > self.now
                lane[0].due = until
            case Allowed() if self.random.random() < 0.1:  # the provider is away: later, and decided on again
                lane[0].due = self.now + timedelta(seconds=self.random.choice([2, 600, 3600]))
            case Allowed():
                self._tell("sent", channel, lane.popleft().kind)
                self.sent_at.append(self.now)
            case _:
                lane.popleft()

    def _facts(self, channel: str, kind: Kind) -> Facts:
        return Facts(
            environment=self.rules.environment,
            channel=channel,
            kind=kind,
            opted_out=CHANNELS if self.opted_out else (),
            phone=self.phone,
            email="ada@example.com",
            identities=("7001",),
            timezone=self.timezone,
            heard_at=max(self.heard.values(), default=None),
            heard_here_at=self.heard.get(channel),
            sent_at=self.sent_at,
            quiet_hours=self.rules.quiet_hours,
            frequency_cap=self.rules.cap,
        )

    def _tell(self, what: Any, channel: str = "", detail: Any = None) -> None:
        self.happened.append(Happened(self.now, what, channel, detail))


def rules(random: Random) -> Rules:
    if random.random() < 0.1:
        return Rules("test", None, None)
    hours = random.choice(
        [
            QuietHours(),
            QuietHours(replies_allowed=False),
            QuietHours(time(19, 30), time(9)),
            QuietHours(time(1), time(5)),
        ]
    )
    return Rules("live", hours, random.choice([FrequencyCap(), FrequencyCap(1, 24), FrequencyCap(2, 5), None]))


class Judge:
    """Reads a history from its beginning, and knows at each message what must not be."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.wants_silence = False
        self.confirmations_due = 0
        self.whereabouts: Sequence[str] = ()
        self.heard: dict[str, datetime] = {}
        self.unanswered: list[datetime] = []

    def read(self, happened: Sequence[Happened]) -> int:
        """Assert that nothing was sent that must not be; how much was sent."""
        for each in happened:
            getattr(self, f"_{each.what}")(each)
        return sum(each.what == "sent" for each in happened)

    def _moved(self, each: Happened) -> None:
        self.whereabouts = WHEREABOUTS[each.detail]

    def _said(self, each: Happened) -> None:
        self.heard[each.channel] = each.at
        self.unanswered = []
        if each.detail in SAYINGS["stop"]:
            self.confirmations_due += not self.wants_silence
            self.wants_silence = True
        elif each.detail in SAYINGS["start"]:
            self.wants_silence = False

    def _sent(self, each: Happened) -> None:
        if each.detail == "confirmation":
            assert self.wants_silence, "a confirmation of nothing"
            self.confirmations_due -= 1
            assert self.confirmations_due >= 0, "confirmed twice"
        else:
            assert not self.wants_silence, "sent to somebody who asked for silence"
            self._judge_frequency(each)
        if self.rules.environment == "live":
            self._judge_window(each)
            self._judge_hour(each)
        self.unanswered.append(each.at)

    def _judge_window(self, each: Happened) -> None:
        if each.channel == "whatsapp" and each.detail != "template":
            heard = self.heard.get("whatsapp")
            assert heard is not None, "free text on WhatsApp to somebody who never wrote there"
            assert each.at - heard < timedelta(hours=24), "free text after WhatsApp's window closed"

    def _judge_hour(self, each: Happened) -> None:
        hours = self.rules.quiet_hours
        heard = self.heard.get(each.channel)
        if hours is None or (hours.replies_allowed and heard and each.at - heard <= timedelta(hours=1)):
            return
        assert self.whereabouts, "sent to somebody whose clock nobody knows"
        for name in self.whereabouts:
            there = each.at.astimezone(ZoneInfo(name))
            minute, start, end = (moment.hour * 60 + moment.minute for moment in (there, hours.start, hours.end))
            asleep = start <= minute < end if start < end else not end <= minute < start
            assert not asleep, f"sent at {there:%H:%M} in {name}"

    def _judge_frequency(self, each: Happened) -> None:
        cap = self.rules.cap
        if cap is None:
            return
        recent = [at for at in self.unanswered if each.at - at < timedelta(hours=cap.hours)]
        assert len(recent) < cap.messages, "one too many to somebody who does not answer"


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_ever_sent_that_must_not_be(part):
    sent = 0
    for seed in range(part, HISTORIES, PARTS):
        random = Random(seed)
        phone, timezone = random.choice(list(WHEREABOUTS))
        life = Life(random, rules(random), random.choice(STARTS), phone, timezone)
        life.live()
        try:
            sent += Judge(life.rules).read(life.happened)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {wrong}; {life.rules}; {life.happened}") from wrong
    assert sent > HISTORIES // PARTS  # else silence would prove nothing


def test_judge_would_notice():
    """Each rule in turn is broken in a history of its own."""
    night, day = datetime(2026, 6, 10, 4, 0, tzinfo=UTC), datetime(2026, 6, 10, 16, 0, tzinfo=UTC)
    live = Rules("live", QuietHours(), FrequencyCap(1, 24))
    here = Happened(night, "moved", detail=("+12125550142", None))
    broken = {
        "asked for silence": [Happened(day, "said", "sms", "STOP"), Happened(day, "sent", "sms", "text")],
        "confirmed twice": [Happened(day, "said", "sms", "STOP"), *[Happened(day, "sent", "sms", "confirmation")] * 2],
        "confirmation of nothing": [Happened(day, "sent", "sms", "confirmation")],
        "never wrote there": [Happened(day, "sent", "whatsapp", "text")],
        "window closed": [
            Happened(day - timedelta(days=1), "said", "whatsapp", "Hi"),
            Happened(day, "sent", "whatsapp", "text"),
        ],
        "00:00 in America/New_York": [Happened(night, "sent", "sms", "text")],
        "clock nobody knows": [Happened(day, "moved", detail=("", None)), Happened(day, "sent", "sms", "text")],
        "one too many": [Happened(day, "sent", "sms", "text"), Happened(day, "sent", "email", "text")],
    }
    for complaint, happened in broken.items():
        with pytest.raises(AssertionError, match=complaint):
            Judge(live).read([here, *happened])
