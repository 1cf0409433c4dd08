"""Who may be written to, when and on what: the decision as a table, and the facts it is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from engine import compliance
from engine.compliance import Allowed, Facts, FrequencyCap, Held, QuietHours, Refused
from engine.compliance.decision import LOOK_AGAIN
from storage import accounts, clock, deliveries, identities, leads, usage
from storage import conversations as rows
from storage.database import transaction
from tests.conftest import ACTOR

NOON = datetime(2026, 6, 10, 16, 0, tzinfo=UTC)  # 12:00 in New York
NIGHT = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)  # 00:00 there
MORNING = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)  # 08:00 there
CAP = FrequencyCap(messages=3, hours=24)
LIVE = Facts(
    environment="live",
    channel="sms",
    phone="+12125550142",
    email="ada@example.com",
    identities=("7001",),
    quiet_hours=QuietHours(),
    frequency_cap=CAP,
)
OFFICE = QuietHours(time(18), time(9))
TEST = replace(LIVE, environment="test", quiet_hours=None, frequency_cap=None)


def ago(**duration):
    return NOON - timedelta(**duration)


class TestRefused:
    @pytest.mark.parametrize(
        ("facts", "rule"),
        [
            (LIVE, None),
            (replace(LIVE, opted_out=["sms"]), "opted_out"),
            (replace(TEST, opted_out=["sms"]), "opted_out"),
            (replace(LIVE, opted_out=["email"]), None),
            (replace(LIVE, is_configured=False), "channel_not_configured"),
            (replace(LIVE, phone_valid=False), "no_valid_phone"),
            (replace(LIVE, phone=""), "no_valid_phone"),
            (replace(TEST, phone_valid=False), None),  # published examples use numbers that do not exist
            (replace(TEST, phone=""), "no_valid_phone"),
            (replace(LIVE, channel="whatsapp", kind="template", phone_valid=False, identities=()), "no_valid_phone"),
            (replace(LIVE, channel="whatsapp", kind="template", phone="", timezone="America/New_York"), None),
            (replace(LIVE, channel="telegram", identities=()), "no_identity"),
            (replace(LIVE, channel="telegram", phone="", timezone="America/New_York"), None),
            (replace(TEST, channel="telegram", identities=()), None),
            (replace(LIVE, channel="email", phone="", timezone="America/New_York"), None),
            (replace(LIVE, channel="email", email="", identities=("ada@example.com",)), None),
            (replace(LIVE, channel="email", email="", identities=()), "no_email"),
            (replace(TEST, channel="email", email="", identities=()), "no_email"),
            (replace(LIVE, exhausted_budget="monthlyMessages"), "budget_exhausted"),
            (replace(TEST, exhausted_budget="monthlyMessages"), "budget_exhausted"),
        ],
    )
    def test_rule_of_consent_reach_or_budget(self, facts, rule):
        decision = compliance.decide(facts, NOON)

        assert (decision.rule if isinstance(decision, Refused) else None) == rule
        assert rule is not None or decision == Allowed()

    @pytest.mark.parametrize(
        ("kind", "heard_here_at", "is_open"),
        [
            ("text", None, False),
            ("text", ago(hours=23, minutes=59), True),
            ("text", ago(hours=24), False),  # Meta counts from the message on
            ("text", ago(days=3), False),
            ("template", None, True),
            ("template", ago(days=3), True),
        ],
    )
    def test_free_text_on_whatsapp_needs_a_message_of_the_last_day(self, kind, heard_here_at, is_open):
        facts = replace(LIVE, channel="whatsapp", kind=kind, heard_at=ago(minutes=1), heard_here_at=heard_here_at)

        decision = compliance.decide(facts, NOON)

        assert (decision == Allowed()) is is_open
        assert is_open or decision.rule == "whatsapp_window_closed"

    def test_sandbox_has_no_window(self):
        assert compliance.decide(replace(TEST, channel="whatsapp"), NOON) == Allowed()

    def test_refusal_comes_before_a_wait(self):
        assert compliance.decide(replace(LIVE, opted_out=["sms"]), NIGHT).rule == "opted_out"


class TestConfirmation:
    """The one message that goes to somebody who wants none."""

    FACTS = replace(LIVE, kind="confirmation", opted_out=["sms"], heard_here_at=ago(minutes=1), heard_at=ago(minutes=1))

    def test_it_goes_in_spite_of_the_opt_out(self):
        assert compliance.decide(self.FACTS, NOON) == Allowed()

    def test_neither_cap_nor_budget_keeps_it_back(self):
        facts = replace(self.FACTS, sent_at=[NOON] * 9, exhausted_budget="monthlyMessages")

        assert compliance.decide(facts, NOON) == Allowed()

    def test_it_is_void_once_they_are_back(self):
        assert compliance.decide(replace(self.FACTS, opted_out=()), NOON).rule == "opted_in_again"

    def test_it_waits_for_the_day_if_it_is_late(self):
        late = replace(self.FACTS, heard_here_at=NIGHT - timedelta(hours=2))

        assert compliance.decide(late, NIGHT).rule == "quiet_hours"


class TestQuietHours:
    @pytest.mark.parametrize(
        ("now", "until"),
        [
            (NOON, None),
            (datetime(2026, 6, 11, 0, 59, 59, tzinfo=UTC), None),  # 20:59:59
            (datetime(2026, 6, 11, 1, 0, tzinfo=UTC), datetime(2026, 6, 11, 12, 0, tzinfo=UTC)),  # 21:00
            (NIGHT, MORNING),
            (MORNING - timedelta(seconds=1), MORNING),
            (MORNING, None),
        ],
    )
    def test_are_those_of_the_leads_own_clock(self, now, until):
        decision = compliance.decide(LIVE, now)

        assert decision == Allowed() if until is None else (decision.rule, decision.until) == ("quiet_hours", until)

    def test_follow_the_field_before_the_number(self):
        in_tokyo = replace(LIVE, timezone="Asia/Tokyo")  # noon in New York is one at night there

        decision = compliance.decide(in_tokyo, NOON)

        assert decision.until == datetime(2026, 6, 10, 23, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("hours", "is_quiet"),
        [
            (QuietHours(), True),
            (None, False),
            (QuietHours(QuietHours().start, QuietHours().start), False),  # no hours at all
            (QuietHours(time(0), time(6)), True),
            (QuietHours(time(1), time(6)), False),
        ],
    )
    def test_are_the_accounts_own(self, hours, is_quiet):
        decision = compliance.decide(replace(LIVE, quiet_hours=hours), NIGHT)

        assert isinstance(decision, Held) is is_quiet

    @pytest.mark.parametrize(
        ("heard_here_ago", "replies_allowed", "goes"),
        [
            (timedelta(minutes=5), True, True),
            (timedelta(minutes=60), True, True),
            (timedelta(minutes=61), True, False),
            (timedelta(minutes=5), False, False),
            (None, True, False),
        ],
    )
    def test_do_not_keep_back_an_answer(self, heard_here_ago, replies_allowed, goes):
        heard = None if heard_here_ago is None else NIGHT - heard_here_ago
        facts = replace(
            LIVE, quiet_hours=QuietHours(replies_allowed=replies_allowed), heard_at=heard, heard_here_at=heard
        )

        assert (compliance.decide(facts, NIGHT) == Allowed()) is goes

    def test_message_on_another_channel_is_no_reason_to_answer_here(self):
        assert compliance.decide(replace(LIVE, heard_at=NIGHT), NIGHT).rule == "quiet_hours"


class TestSpringAndAutumn:
    """The wall clock jumps; quiet hours end when it shows so, however long the night was."""

    @pytest.mark.parametrize(
        ("zone", "evening", "until"),
        [
            # New York skips 02:00-03:00 on 8 March: the night is an hour shorter
            ("America/New_York", datetime(2026, 3, 8, 3, 0, tzinfo=UTC), datetime(2026, 3, 8, 12, 0, tzinfo=UTC)),
            # and repeats 01:00-02:00 on 1 November
            ("America/New_York", datetime(2026, 11, 1, 2, 0, tzinfo=UTC), datetime(2026, 11, 1, 13, 0, tzinfo=UTC)),
            ("Europe/Berlin", datetime(2026, 3, 28, 21, 0, tzinfo=UTC), datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
            ("Europe/Berlin", datetime(2026, 10, 24, 20, 0, tzinfo=UTC), datetime(2026, 10, 25, 7, 0, tzinfo=UTC)),
            ("Australia/Lord_Howe", datetime(2026, 4, 4, 12, 0, tzinfo=UTC), datetime(2026, 4, 4, 21, 30, tzinfo=UTC)),
        ],
    )
    def test_night_ends_by_the_clock_on_the_wall(self, zone, evening, until):
        assert compliance.decide(replace(LIVE, timezone=zone), evening).until == until

    def test_end_that_the_clock_skips_comes_with_the_jump(self):
        hours = QuietHours(time(22), time(2, 30))
        facts = replace(LIVE, timezone="America/New_York", quiet_hours=hours)

        until = compliance.decide(facts, datetime(2026, 3, 8, 5, 0, tzinfo=UTC)).until

        assert until == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
        assert compliance.decide(facts, until) == Allowed()

    def test_hour_that_comes_twice_is_quiet_twice(self):
        hours = QuietHours(time(22), time(1, 30))
        facts = replace(LIVE, timezone="America/New_York", quiet_hours=hours)
        first_0130, second_0100 = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 0, tzinfo=UTC)

        assert compliance.decide(facts, first_0130) == Allowed()
        assert compliance.decide(facts, second_0100).until == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)

    def test_every_wait_ends_in_the_open(self):
        for zone in ("America/New_York", "Europe/Lisbon", "America/Santiago", "Asia/Kathmandu", "Africa/Casablanca"):
            facts = replace(LIVE, timezone=zone)
            for hour in range(0, 24 * 366, 5):
                now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
                decision = compliance.decide(facts, now)
                if isinstance(decision, Held):
                    assert now < decision.until <= now + timedelta(hours=13)
                    assert compliance.decide(facts, decision.until) == Allowed()


class TestUnknownZone:
    @pytest.mark.parametrize(
        "facts",
        [
            replace(LIVE, channel="email", phone=""),
            replace(LIVE, channel="email", phone="+1234567890"),  # no such area
            replace(LIVE, phone="+18005550142", quiet_hours=OFFICE),  # from Guam to St. John's: some always sleep
            replace(LIVE, channel="email", phone="", timezone="Mars/Olympus_Mons"),
            replace(LIVE, channel="email", phone="", timezone="../../etc/passwd"),
        ],
        ids=["no number", "unknown number", "toll-free number", "unknown zone", "no zone"],
    )
    def test_message_waits_and_is_looked_at_every_hour(self, facts):
        assert compliance.decide(facts, NOON) == Held(
            "unknown_timezone",
            "Nobody knows what time it is where the lead is. Set the lead's timezone.",
            NOON + LOOK_AGAIN,
        )

    def test_answer_goes_all_the_same(self):
        facts = replace(LIVE, channel="telegram", phone="", heard_at=NOON, heard_here_at=NOON)

        assert compliance.decide(facts, NOON) == Allowed()

    def test_without_quiet_hours_nobody_needs_to_know(self):
        assert compliance.decide(replace(LIVE, channel="email", phone="", quiet_hours=None), NOON) == Allowed()

    def test_number_of_several_zones_is_written_to_when_all_are_awake(self):
        spanish = replace(LIVE, phone="+34612345678")  # Madrid, and the Canaries an hour behind
        in_madrid = {hour: datetime(2026, 6, 10, hour - 2, 0, tzinfo=UTC) for hour in (8, 9, 20, 21)}

        decisions = {hour: compliance.decide(spanish, now) for hour, now in in_madrid.items()}

        assert decisions[8].until == in_madrid[9]
        assert decisions[9] == decisions[20] == Allowed()
        assert decisions[21].until == in_madrid[9] + timedelta(days=1)


class TestFrequency:
    @pytest.mark.parametrize(
        ("sent_hours_ago", "heard_hours_ago", "wait_hours"),
        [
            ([], None, None),
            ([1, 2], None, None),
            ([1, 2, 3], None, 21),
            ([1, 2, 3, 20], None, 21),  # the third of the last: only two more may go before
            ([1, 2, 24], None, None),
            ([1, 2, 3], 2.5, None),
            ([1, 2, 3], 30, 21),
        ],
    )
    def test_person_who_does_not_answer_is_spared(self, sent_hours_ago, heard_hours_ago, wait_hours):
        heard = None if heard_hours_ago is None else ago(hours=heard_hours_ago)
        facts = replace(LIVE, sent_at=[ago(hours=hours) for hours in sent_hours_ago], heard_at=heard)

        decision = compliance.decide(facts, NOON)

        if wait_hours is None:
            assert decision == Allowed()
        else:
            assert (decision.rule, decision.until) == ("frequency_cap", NOON + timedelta(hours=wait_hours))

    def test_longest_wait_counts(self):
        facts = replace(LIVE, sent_at=[NIGHT - timedelta(hours=23)] * 3)

        assert compliance.decide(facts, NIGHT).rule == "quiet_hours"


class TestFacts:
    """What is read for a lead: `tenant` is the test environment here, `live_tenant` the same account's other half."""

    def test_account_that_set_nothing_has_the_usual_rules_in_live_and_none_in_test(
        self, tenant, live_tenant, make_lead
    ):
        live, test = (
            compliance.facts_of(each, make_lead(each), "sms", is_configured=True) for each in (live_tenant, tenant)
        )

        assert (live.quiet_hours, live.frequency_cap) == (QuietHours(), FrequencyCap())
        assert (test.quiet_hours, test.frequency_cap) == (None, None)

    def test_accounts_own_rules_hold_in_both(self, tenant, live_tenant, make_lead):
        own = {
            "quietHours": {"start": "22:30", "end": "06:00", "repliesAllowed": False},
            "frequencyCap": {"messages": 2},
        }
        accounts.get(tenant.account_id).store(settings=own)

        for each in (tenant, live_tenant):
            facts = compliance.facts_of(each, make_lead(each), "sms", is_configured=True)
            assert facts.quiet_hours == QuietHours(time(22, 30), time(6), replies_allowed=False)
            assert facts.frequency_cap == FrequencyCap(2, 24)

    def test_person_is_what_the_lead_says(self, live_tenant, make_lead):
        lead = make_lead(live_tenant, email="ada@example.com", timezone="Europe/Berlin")
        with transaction():
            identities.add(live_tenant, lead.number, "telegram", ["7001"])
            lead.store(opted_out=["email"])

        facts = compliance.facts_of(live_tenant, lead, "telegram", kind="template", is_configured=False)

        assert (facts.phone, facts.phone_valid, facts.email) == (lead.phone, True, "ada@example.com")
        assert (facts.identities, facts.timezone, facts.opted_out) == (["7001"], "Europe/Berlin", ["email"])
        assert (facts.environment, facts.channel, facts.kind, facts.is_configured) == (
            "live",
            "telegram",
            "template",
            False,
        )

    def test_what_was_heard_is_known_by_channel(self, tenant, make_lead, make_agent):
        lead, agent = make_lead(email="ada@example.com"), make_agent()
        sms, email = (rows.add(tenant, lead, channel, agent.oid, None) for channel in ("sms", "email"))
        sms.store(last_lead_message_at="2026-06-10T09:00:00.000Z")
        email.store(last_lead_message_at="2026-06-10T10:00:00.000Z")

        facts = compliance.facts_of(tenant, lead, "sms")

        assert facts.heard_here_at == datetime(2026, 6, 10, 9, tzinfo=UTC)
        assert facts.heard_at == datetime(2026, 6, 10, 10, tzinfo=UTC)

    def test_messages_on_every_channel_count_but_each_once_and_not_the_one_in_question(
        self, live_tenant, make_lead, make_agent
    ):
        lead, other = make_lead(live_tenant, email="ada@example.com"), make_lead(live_tenant)
        agent = make_agent(live_tenant)
        sent = []
        for number, (person, channel) in enumerate([(lead, "sms"), (lead, "email"), (other, "sms")]):
            conversation = rows.add(live_tenant, person, channel, agent.oid, None)
            sent.append(rows.append(live_tenant, conversation, "agent", "Hi", delivery_status="queued"))
            for attempt in range(2):
                at = NOON + timedelta(minutes=10 * number + attempt)
                deliveries.finish(deliveries.begin(live_tenant, sent[-1], at), "accepted")
        refused = rows.append(live_tenant, rows.latest_of(live_tenant, lead.number, "sms"), "agent", "Hi")
        deliveries.finish(deliveries.begin(live_tenant, refused, NOON), "refused", "sms_21610", "STOP")
        now = NOON + timedelta(hours=1)

        def sent_at(message=None):
            return compliance.facts_of(live_tenant, lead, "sms", message=message, now=now, is_configured=True).sent_at

        assert sent_at() == [NOON + timedelta(minutes=11), NOON + timedelta(minutes=1)]
        assert sent_at(sent[0]) == [NOON + timedelta(minutes=11)]

    def test_budget_for_messages_is_known(self, tenant, make_lead):
        accounts.get(tenant.account_id).store(settings={"budgets": {"monthlyMessages": 1, "monthlyTokens": 1}})
        usage.add(tenant, clock.now(), input_tokens=5)
        lead = make_lead()
        before = compliance.facts_of(tenant, lead, "sms").exhausted_budget
        usage.add(tenant, clock.now(), messages_sent=1)

        assert before is None  # what is worded already costs no tokens
        assert compliance.facts_of(tenant, lead, "sms").exhausted_budget == "monthlyMessages"

    def test_permission_is_the_decision_on_them(self, tenant, make_lead):
        lead = make_lead()
        leads.update(tenant, lead.number, {"phone": ""}, ACTOR)

        assert compliance.permission(tenant, leads.get(tenant, lead.number), "sms").rule == "no_valid_phone"
