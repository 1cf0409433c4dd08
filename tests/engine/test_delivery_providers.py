"""The live environment over providers on loopback: whatever they do, the person gets each message once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from engine import channels, conversations, waits
from engine.channels import Endpoints
from engine.channels.sms import twilio as twilio_module
from engine.delivery import doubts, outcomes
from engine.inbound.accepting import accept, lane_of
from engine.inbound.events import contact_of
from engine.integrations import changes
from engine.jobs import worker
from storage import accounts, deliveries, identities, integrations, leads, outbox
from storage import conversations as rows
from storage.database import transaction
from storage.errors import Blocked
from tests.conftest import ACTOR
from tests.support.providers import FOR_EVER, refusing_url, whatsapp
from tests.support.providers.resend import ResendServer
from tests.support.providers.telegram import TelegramServer
from tests.support.providers.twilio import TwilioServer
from tests.support.providers.whatsapp import WhatsAppServer

CHAT = 7001


@pytest.fixture
def tenant(live_tenant):
    """Here it is the live environment, at a time of day when nobody sleeps anywhere."""
    accounts.get(live_tenant.account_id).store(settings={"quietHours": {"start": "00:00", "end": "00:00"}})
    return live_tenant


@pytest.fixture
def live_tenant(database):
    return accounts.tenant_row(accounts.create("Example").id, "live").tenant


@pytest.fixture
def connect(tenant, secret_key, monkeypatch) -> Callable[..., Any]:
    """Configures a provider on loopback as the tenant's integration of a channel."""

    def connect(channel: str, provider: Any, url: str | None = None) -> None:
        credentials = provider.credentials()
        body = {**credentials.settings, **credentials.secrets}
        form = changes.FORMS[channel]
        known = {name: value for name, value in body.items() if name in (*form.settings, *form.secrets)}
        changes.configure(tenant, channel, known, actor=ACTOR)
        monkeypatch.setattr(channels, "_endpoints", Endpoints(**{channel: url or provider.url}, timeout_s=5))

    return connect


@pytest.fixture
def meta(connect):
    with WhatsAppServer() as meta:
        connect("whatsapp", meta, meta.graph_url)
        yield meta


@pytest.fixture
def twilio(connect):
    with TwilioServer() as twilio:
        connect("sms", twilio)
        yield twilio


@pytest.fixture
def telegram(connect):
    with TelegramServer() as telegram:
        connect("telegram", telegram)
        yield telegram


@pytest.fixture
def resend(connect):
    with ResendServer() as resend:
        connect("email", resend)
        yield resend


@pytest.fixture
def open_(tenant, make_agent, make_lead):
    """An empty conversation with a new lead, who wrote just now."""

    def open_(channel: str):
        make_agent(tenant)
        lead = make_lead(tenant, email="ada@example.com")
        with transaction():
            identities.add(tenant, lead.number, "telegram", [str(CHAT)])
            held = rows.lock_lead(tenant, lead.number)
            agent = conversations.choose_agent(tenant, held)
            conversation = conversations.open_with(tenant, held, channel, agent, ACTOR)
            rows.append(tenant, conversation, "lead", "Hi")
        return conversation

    return open_


@pytest.fixture
def say(tenant):
    def say(conversation, text="Hello Ada"):
        with transaction():
            return conversations.say(tenant, rows.lock(tenant, conversation.oid), "agent", text)

    return say


@pytest.fixture
def work(tenant):
    """Works a conversation's lane; returns the message as it is then."""

    def work(conversation, message):
        worker.work_lane(deliveries.lane_of(conversation.oid))
        return rows.message(tenant, message.oid)

    return work


@pytest.fixture
def hear(tenant):
    """Takes in what a provider tells, and does what follows from it."""

    def hear(channel, payload):
        events = channels.module(channel).read(payload)
        accept(tenant, channel, events)
        for event in events:
            worker.work_lane(lane_of(tenant, channel, contact_of(event)))

    return hear


class TestWhatsApp:
    def test_message_arrives(self, meta, open_, say, work):
        conversation = open_("whatsapp")

        message = work(conversation, say(conversation))

        assert (message.delivery_status, message.provider_message_id) == ("sent", meta.sent[0].id)
        assert (meta.sent[0].text, meta.sent[0].message_id) == ("Hello Ada", message.oid)

    def test_outside_the_window_only_a_template_goes(self, tenant, meta, make_agent, make_lead):
        make_agent(tenant)
        lead = make_lead(tenant)

        with pytest.raises(Blocked) as refusal:
            conversations.start(tenant, lead.number, "whatsapp", actor=ACTOR, text="Hello")

        assert refusal.value.code == "whatsapp_window_closed"

    def test_integrations_own_template_opens_where_free_text_may_not_be_sent(
        self, tenant, meta, make_agent, make_lead, work
    ):
        make_agent(tenant)
        meta.templates = [whatsapp.template("first_contact", "Hello, this is about {{1}}.", "en_US")]
        integration = integrations.find(tenant, "whatsapp")
        own = {"name": "first_contact", "language": "en_US"}
        integration.store(settings={**integration.settings, "defaultTemplate": own})
        lead = make_lead(tenant, timezone="America/New_York")

        conversation = conversations.start(tenant, lead.number, "whatsapp", actor=ACTOR, text="your quote").conversation
        [message] = rows.messages(tenant, conversation)
        sent = work(conversation, message)

        assert (sent.delivery_status, sent.delivery_code) == ("sent", None)
        assert meta.sent[0].request["template"]["name"] == "first_contact"

    def test_window_that_closes_while_a_message_waits_makes_it_fail(self, meta, open_, say, work, advance):
        conversation = open_("whatsapp")
        message = say(conversation)
        advance(24 * 3600)

        assert work(conversation, message).delivery_code == "whatsapp_window_closed"
        assert not meta.sent

    def test_lost_answer_is_made_good_by_a_status(self, meta, open_, say, work, hear, advance):
        meta.loses_answer()
        conversation = open_("whatsapp")
        waiting = work(conversation, say(conversation))
        later = say(conversation, "Still there?")
        hear("whatsapp", _statuses(meta, "delivered"))
        advance(outcomes.FIRST_LOOK_S)

        message = work(conversation, waiting)

        assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "whatsapp_no_answer")
        assert (message.delivery_status, message.provider_message_id) == ("delivered", meta.sent[0].id)
        assert work(conversation, later).delivery_status == "sent"
        assert [each.text for each in meta.sent] == ["Hello Ada", "Still there?"]

    def test_lost_request_is_parked_and_not_repeated(self, meta, open_, say, work, advance):
        meta.loses_request()
        conversation = open_("whatsapp")
        message = say(conversation)
        work(conversation, message)
        advance(doubts.PATIENCE.total_seconds())

        assert work(conversation, message).delivery_code == outcomes.UNKNOWN
        assert not meta.sent

    def test_pair_limit_is_kept_by_pace(self, meta, open_, say, work, advance):
        conversation = open_("whatsapp")
        first, second = say(conversation), say(conversation, "Still there?")
        work(conversation, first)
        early = work(conversation, second)
        advance(6)

        assert early.delivery_status == "queued"
        assert work(conversation, second).delivery_status == "sent"
        assert len(meta.requests_to("/messages")) == 2

    def test_expired_token_holds_messages_until_a_good_one_is_there(self, tenant, meta, open_, say, work, advance):
        meta.answers(401, {"error": {"code": 190, "message": "expired"}}, times=FOR_EVER)
        conversation = open_("whatsapp")
        waiting = work(conversation, say(conversation))
        unhealthy = integrations.get(tenant, "whatsapp").health
        meta.forget()

        advance(6)  # the refused call has used the pair's place
        waits.resume(tenant, "whatsapp")
        message = work(conversation, waiting)

        assert (waiting.delivery_status, unhealthy) == ("queued", "unhealthy")
        assert (message.delivery_status, integrations.get(tenant, "whatsapp").health) == ("sent", "healthy")

    def test_server_that_is_away_is_tried_again(self, meta, open_, say, work, advance):
        conversation = open_("whatsapp")
        message = say(conversation)
        meta.stop()
        waiting = work(conversation, message)
        meta.start()
        advance(6)

        assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "whatsapp_unreachable")
        assert work(conversation, message).delivery_status == "sent"
        assert len(meta.sent) == 1

    def test_failure_that_is_told_later_counts(self, meta, open_, say, work, hear):
        conversation = open_("whatsapp")
        message = work(conversation, say(conversation))
        hear("whatsapp", _statuses(meta, "failed", 131026))

        assert work(conversation, message).delivery_status == "failed"


class TestTwilio:
    def test_lost_answer_is_found_in_the_list(self, twilio, open_, say, work, advance):
        twilio.loses_answer(path="/Messages.json")
        conversation = open_("sms")
        message = say(conversation)
        work(conversation, message)
        advance(outcomes.FIRST_LOOK_S)

        found = work(conversation, message)

        assert (found.delivery_status, found.provider_message_id) == ("sent", twilio.sent[0].sid)
        assert len(twilio.sent) == 1

    def test_lost_request_is_sent_again_once_the_list_would_have_it(
        self, twilio, open_, say, work, advance, monkeypatch
    ):
        twilio.loses_request(path="/Messages.json")
        conversation = open_("sms")
        message = say(conversation)
        work(conversation, message)
        advance(outcomes.FIRST_LOOK_S)
        waiting = work(conversation, message)
        monkeypatch.setattr(twilio_module, "_SETTLES", timedelta(days=-1))
        advance(doubts.LOOK_AGAIN.total_seconds())

        assert waiting.delivery_status == "queued"
        assert work(conversation, message).delivery_status == "sent"
        assert len(twilio.sent) == 1

    def test_person_who_said_stop_to_the_carrier_has_opted_out(self, tenant, twilio, open_, say, work):
        conversation = open_("sms")
        twilio.opted_out.add(conversation.lead_phone)

        message = work(conversation, say(conversation))

        assert message.delivery_status == "failed"
        assert leads.get(tenant, conversation.lead_number).opted_out == list(channels.CHANNELS)

    def test_rate_limit_is_obeyed(self, twilio, open_, say, work, advance):
        twilio.limits(0)
        conversation = open_("sms")
        message = say(conversation)
        waiting = work(conversation, message)
        twilio.limits()
        advance(11)

        assert waiting.delivery_status == "queued"
        assert work(conversation, message).delivery_status == "sent"


class TestTelegram:
    def test_retry_after_is_obeyed(self, telegram, open_, say, work, advance):
        telegram.starts(CHAT, "Ada")
        conversation = open_("telegram")
        message = say(conversation)
        telegram.answers(
            429,
            {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 30}},
        )
        work(conversation, message)
        advance(29)
        early = work(conversation, message)
        advance(2)

        assert early.delivery_status == "queued"
        assert work(conversation, message).delivery_status == "sent"
        assert len(telegram.sent) == 1

    def test_person_who_blocked_the_bot_has_opted_out(self, tenant, telegram, open_, say, work):
        telegram.starts(CHAT, "Ada")
        telegram.answers(403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"})
        conversation = open_("telegram")

        assert work(conversation, say(conversation)).delivery_status == "failed"
        assert leads.get(tenant, conversation.lead_number).opted_out


class TestResend:
    def test_lost_answer_is_asked_for_again_under_the_same_key(self, resend, open_, say, work, advance):
        resend.loses_answer(path="/emails")
        conversation = open_("email")
        message = say(conversation)
        waiting = work(conversation, message)
        advance(outbox.FIRST_DELAY_S)

        again = work(conversation, message)

        assert waiting.delivery_status == "queued"
        assert (again.delivery_status, again.provider_message_id) == ("sent", resend.sent[0].id)
        assert (len(resend.sent), len(resend.requests_to("/emails"))) == (1, 2)

    def test_quota_of_the_day_stops_the_whole_channel(self, resend, open_, say, work):
        resend.answers(429, {"statusCode": 429, "name": "daily_quota_exceeded", "message": "Used up"})
        one, other = open_("email"), open_("email")
        work(one, say(one))

        waiting = work(other, say(other))

        assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "provider_paused")
        assert len(resend.requests_to("/emails")) == 1


def test_provider_that_nobody_reaches_loses_nothing(tenant, connect, open_, say, work, advance):
    with TwilioServer() as twilio:
        connect("sms", twilio, refusing_url())
        conversation = open_("sms")
        message = say(conversation)

        for _ in range(5):
            waiting = work(conversation, message)
            advance(outbox.LONGEST_DELAY_S)

    assert (waiting.delivery_status, waiting.delivery_code) == ("queued", "sms_unreachable")


def _statuses(meta: WhatsAppServer, status: str, code: int | None = None) -> dict[str, Any]:
    changes = [meta.status_change(message, status, code) for message in meta.sent]
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}
