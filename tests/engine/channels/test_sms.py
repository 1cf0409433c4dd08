"""Text messages over Twilio, against its documented contract on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.channels import (
    Deferred,
    Endpoints,
    Misconfigured,
    OutcomeUnknown,
    Outgoing,
    SendError,
    Sent,
    Template,
    Undeliverable,
    sms,
)
from storage import clock
from tests.support.providers import refusing_url, twilio

ADA = "+12025550101"
MESSAGE_ID = "665f1c2e9b1d4a0012ab34f0"
PUBLIC_URL = "https://newleaf.example.com"
CALLBACK = f"{PUBLIC_URL}/api/webhooks/twilio/{twilio.INTEGRATION_ID}?message={MESSAGE_ID}"
SERVICE = "MG00000000000000000000000000000001"


@pytest.fixture
def provider() -> Iterator[twilio.TwilioServer]:
    with twilio.TwilioServer() as server:
        yield server


@pytest.fixture
def endpoints(provider: twilio.TwilioServer) -> Endpoints:
    return Endpoints(sms=provider.url, public_url=PUBLIC_URL, timeout_s=5)


@pytest.fixture
def number(provider: twilio.TwilioServer, endpoints: Endpoints) -> sms.Sms:
    return sms.connect(provider.credentials(), endpoints)


def to_ada(text: str = "Hello Ada", **members: Any) -> Outgoing:
    known = {"phone": ADA, "email": "", **members}
    return Outgoing(id=MESSAGE_ID, channel="sms", text=text, **known)


class TestSend:
    def test_a_text_goes_out_as_a_form_with_our_id_in_the_callback(self, number: Any, provider: Any) -> None:
        sent = number.send(to_ada())

        assert sent == Sent(provider.sent[0].sid)
        assert provider.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"
        assert provider.requests[0].form == {
            "To": ADA,
            "From": twilio.SENDER,
            "Body": "Hello Ada",
            "StatusCallback": CALLBACK,
        }

    def test_without_a_public_address_there_is_no_callback(self, provider: Any) -> None:
        sms.connect(provider.credentials(), Endpoints(sms=provider.url)).send(to_ada())

        assert "StatusCallback" not in provider.requests[0].form

    def test_a_messaging_service_chooses_the_number(self, provider: Any, endpoints: Endpoints) -> None:
        sms.connect(provider.credentials(messagingServiceSid=SERVICE), endpoints).send(to_ada())

        form = provider.requests[0].form
        assert (form.get("From"), form["MessagingServiceSid"]) == (None, SERVICE)

    @pytest.mark.parametrize(
        ("sender", "members", "recipient"),
        [
            ("whatsapp:+12025550100", {}, f"whatsapp:{ADA}"),
            ("whatsapp:+12025550100", {"phone": "", "identities": ("whatsapp:US.1",)}, "whatsapp:US.1"),
            ("+12025550100", {"phone": "", "identities": (ADA,)}, ADA),
            ("+12025550100", {"identities": (f"whatsapp:{ADA}",)}, ADA),
            ("", {"identities": (f"whatsapp:{ADA}",)}, f"whatsapp:{ADA}"),
        ],
        ids=["WhatsApp", "WhatsApp without a number", "no phone", "a number's sender", "a service's WhatsApp"],
    )
    def test_a_whatsapp_sender_writes_to_whatsapp(
        self, provider: Any, endpoints: Endpoints, sender: str, members: dict[str, Any], recipient: str
    ) -> None:
        credentials = provider.credentials(**{"from": sender}, messagingServiceSid="" if sender else SERVICE)
        provider.answers(201, {"sid": "SM1"})

        sms.connect(credentials, endpoints).send(to_ada(**members))

        assert provider.requests[0].form["To"] == recipient

    def test_answers_to_choose_from_are_lines(self, number: Any, provider: Any) -> None:
        number.send(to_ada("Shall we call?", buttons=("Yes", "No")))

        assert provider.sent[0].text == "Shall we call?\n\n1. Yes\n2. No"

    def test_a_content_template_goes_by_its_sid(self, number: Any, provider: Any) -> None:
        number.send(to_ada(template=Template("HX0001", parameters=("Ada", "Acme"))))

        form = provider.requests[0].form
        assert (form["ContentSid"], form["ContentVariables"]) == ("HX0001", '{"1": "Ada", "2": "Acme"}')
        assert "Body" not in form

    def test_another_template_is_its_text(self, number: Any, provider: Any) -> None:
        number.send(to_ada("Hello Ada", template=Template("first_contact")))

        assert provider.requests[0].form["Body"] == "Hello Ada"

    @pytest.mark.parametrize(
        ("members", "code"),
        [({"text": " "}, "sms_empty"), ({"phone": "", "identities": ("whatsapp:US.1",)}, "sms_no_recipient")],
        ids=["no text", "nobody"],
    )
    def test_nothing_to_send_or_nobody_is_undeliverable_without_a_call(
        self, number: Any, provider: Any, members: dict[str, Any], code: str
    ) -> None:
        with pytest.raises(Undeliverable, match=code):
            number.send(to_ada(**members))

        assert provider.requests == []

    def test_no_sender_is_misconfigured(self, provider: Any, endpoints: Endpoints) -> None:
        with pytest.raises(Misconfigured, match="sms_no_sender"):
            sms.connect(provider.credentials(**{"from": ""}), endpoints).send(to_ada())


class TestRefusals:
    @pytest.mark.parametrize(
        "code",
        [21211, 21217, 21408, 21602, 21604, 21608, 21612, 21614, 21617, 21635, 30003, 30004, 63003, 63016, 63024],
    )
    def test_what_will_never_be_taken_is_undeliverable(self, number: Any, provider: Any, code: int) -> None:
        provider.refuses(ADA, code)

        with pytest.raises(Undeliverable) as refused:
            number.send(to_ada())

        assert (refused.value.code, refused.value.is_opt_out) == (f"sms_{code}", False)

    def test_a_person_who_said_stop_has_opted_out(self, number: Any, provider: Any) -> None:
        provider.opted_out.add(ADA)

        with pytest.raises(Undeliverable, match="sms_21610") as refused:
            number.send(to_ada())

        assert refused.value.is_opt_out

    @pytest.mark.parametrize(
        "code", [10001, 20003, 20005, 20404, 21212, 21603, 21606, 21609, 21659, 21701, 21703, 30002]
    )
    def test_what_only_a_person_can_mend_is_misconfigured(self, number: Any, provider: Any, code: int) -> None:
        provider.refuses(ADA, code)

        with pytest.raises(Misconfigured, match=f"sms_{code}"):
            number.send(to_ada())

    @pytest.mark.parametrize("code", [20429, 20500, 20503, 21611, 30001, 63018])
    def test_what_may_be_taken_later_is_deferred(self, number: Any, provider: Any, code: int) -> None:
        provider.refuses(ADA, code)

        with pytest.raises(Deferred, match=f"sms_{code}"):
            number.send(to_ada())

    def test_a_limit_slows_the_whole_integration_until_it_is_lifted(self, number: Any, provider: Any) -> None:
        provider.limits(0)
        with pytest.raises(Deferred, match="sms_20429") as deferred:
            number.send(to_ada())
        assert (deferred.value.scope, deferred.value.delay_s) == ("integration", 10)

        provider.limits()
        number.send(to_ada())

        assert provider.recipients() == [ADA]

    @pytest.mark.parametrize(
        ("status", "body", "error", "code"),
        [
            (400, {"code": 99999}, Undeliverable, "sms_99999"),
            (500, {"code": 99999}, Deferred, "sms_99999"),
            (403, None, Misconfigured, "sms_http_403"),
            (429, None, Deferred, "sms_http_429"),
            (502, "<html>", OutcomeUnknown, "sms_http_502"),
            (503, None, Deferred, "sms_http_503"),
            (201, {}, OutcomeUnknown, "sms_no_sid"),
            (201, {"sid": "SM1", "status": "failed", "error_code": 21610}, Undeliverable, "sms_21610"),
        ],
    )
    def test_without_a_known_code_the_status_decides(
        self, number: Any, provider: Any, status: int, body: Any, error: type[SendError], code: str
    ) -> None:
        provider.answers(status, body)

        with pytest.raises(error) as raised:
            number.send(to_ada())

        assert (type(raised.value), raised.value.code) == (error, code)

    def test_no_error_and_no_log_holds_a_secret_or_a_person(
        self, number: Any, provider: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        provider.refuses(ADA, 21211)

        with pytest.raises(Undeliverable) as refused:
            number.send(to_ada())

        told = f"{refused.value!r} {provider.credentials()!r} {caplog.text}"
        assert twilio.AUTH_TOKEN not in told
        assert ADA not in told


class TestLostAnswers:
    def test_a_refused_connection_is_certainly_not_sent(self, provider: Any) -> None:
        with pytest.raises(Deferred, match="sms_unreachable"):
            sms.connect(provider.credentials(), Endpoints(sms=refusing_url(), timeout_s=5)).send(to_ada())

    def test_a_message_whose_answer_was_lost_is_found(self, number: Any, provider: Any) -> None:
        provider.loses_answer()
        with pytest.raises(OutcomeUnknown, match="sms_no_answer"):
            number.send(to_ada())
        number.send(to_ada("Something else"))

        assert number.find(to_ada(), clock.now()) == Sent(provider.sent[0].sid)

    def test_a_late_answer_leaves_the_outcome_unknown(self, provider: Any) -> None:
        provider.delays(30)

        with pytest.raises(OutcomeUnknown, match="sms_no_answer"):
            sms.connect(provider.credentials(), Endpoints(sms=provider.url, timeout_s=0.2)).send(to_ada())

    def test_a_message_that_was_never_taken_is_not_found_once_the_list_has_settled(
        self, number: Any, provider: Any
    ) -> None:
        provider.loses_request()
        with pytest.raises(OutcomeUnknown):
            number.send(to_ada())

        assert number.find(to_ada(), clock.now()) == "unknown"
        assert number.find(to_ada(), clock.now() - timedelta(minutes=3)) is None

    def test_the_same_words_of_another_day_or_to_another_person_are_not_found(self, number: Any, provider: Any) -> None:
        number.send(to_ada())
        provider.happened_at(provider.sent[0], datetime(2026, 11, 1, tzinfo=UTC))
        number.send(to_ada(phone="+12025550102"))

        assert number.find(to_ada(), clock.now() - timedelta(minutes=3)) is None

    def test_a_message_is_found_on_a_later_page(self, number: Any, provider: Any) -> None:
        provider.page_size = 1
        for words in ("Hello Ada", "How are you?", "Bye"):
            number.send(to_ada(words))

        assert number.find(to_ada(), clock.now()) == Sent(provider.sent[0].sid)

    def test_a_list_that_is_too_long_or_leads_elsewhere_tells_nothing(self, number: Any, provider: Any) -> None:
        since = clock.now() - timedelta(minutes=3)
        provider.page_size = 1
        for place in range(7):
            number.send(to_ada(f"Message {place}"))
        assert number.find(to_ada(), since) == "unknown"

        provider.answers(200, {"messages": [], "next_page_uri": "https://example.com/steal"})
        assert number.find(to_ada(), since) == "unknown"

    def test_words_that_twilio_makes_itself_cannot_be_looked_for(self, number: Any, provider: Any) -> None:
        assert number.find(to_ada(template=Template("HX0001")), clock.now()) == "unknown"
        assert provider.requests == []


class TestAccount:
    def test_an_active_account_with_a_sender_is_healthy(self, number: Any) -> None:
        health = number.check()

        assert (health.is_healthy, health.facts) == (True, {"friendlyName": "Example", "type": "Full"})

    def test_a_suspended_account_is_not(self, number: Any, provider: Any) -> None:
        provider.account_status = "suspended"

        assert not number.check().is_healthy

    def test_an_account_without_a_sender_is_not(self, provider: Any, endpoints: Endpoints) -> None:
        assert not sms.connect(provider.credentials(**{"from": ""}), endpoints).check().is_healthy

    def test_bad_credentials_and_a_silent_provider_are_answers_not_errors(
        self, number: Any, provider: Any, endpoints: Endpoints
    ) -> None:
        assert not sms.connect(provider.credentials(accountSid="AC2"), endpoints).check().is_healthy

        provider.loses_answer()
        assert not number.check().is_healthy

    def test_marking_as_read_does_nothing(self, number: Any, provider: Any) -> None:
        number.mark_read("SM1")

        assert provider.requests == []
