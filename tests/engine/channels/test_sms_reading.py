"""What Twilio's webhooks are read as, and which are believed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import channels
from engine.channels import Credentials, Endpoints, Event, Ignored, Preference, Request, Said, Sender, Status, sms
from tests.support.providers import Webhook, twilio

ADA = "+12025550101"
MESSAGE_ID = "665f1c2e9b1d4a0012ab34f0"
PATH = "/api/webhooks/twilio/665f1c2e9b1d4a0012ab3452"
HOOK = f"https://newleaf.example.com{PATH}"
ODD = st.characters() | st.sampled_from("\ud83d\x00")  # what no database takes, too
SERVER = twilio.TwilioServer()  # never started: it only writes what Twilio would
SENT = twilio.SentMessage("SM1", ADA, "Hello Ada", f"{HOOK}?message={MESSAGE_ID}", datetime(2026, 11, 24, tzinfo=UTC))


def request(webhook: Webhook, url: str = "") -> Request:
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    return Request(webhook.body, headers, url or webhook.url)


def only(webhook: Webhook) -> Event:
    events = sms.read(sms.payload_of(request(webhook)))
    assert len(events) == 1
    return events[0]


def said(words: str = "Hi!", sender: str = ADA, **fields: str) -> Any:
    return only(SERVER.said(sender, words, to=HOOK, **fields)).what


class TestMessages:
    def test_a_text_tells_who_wrote_what(self) -> None:
        event = only(SERVER.said(ADA, " 50% off & free? 👋 ", to=HOOK, MessageSid="SM2", FromCity=""))

        assert event.what == Said(Sender((ADA,), ADA), "50% off & free? 👋", "SM2")
        assert (event.id, event.contact, event.address) == ("SM2", ADA, "")

    def test_a_person_on_whatsapp_is_known_as_twilio_knows_them(self) -> None:
        sender = said(sender=f"whatsapp:{ADA}", ProfileName="Ada", ExternalUserId="US.1").sender

        assert sender == Sender(("whatsapp:US.1", f"whatsapp:{ADA}"), ADA, name="Ada")

    def test_a_person_on_whatsapp_may_have_no_number(self) -> None:
        assert said(sender="whatsapp:US.1").sender == Sender(("whatsapp:US.1",), "")

    @pytest.mark.parametrize("sender", ["ACMEBANK", "72345", "messenger:12345678901", ""])
    def test_what_takes_no_answer_is_no_person(self, sender: str) -> None:
        assert said(sender=sender) == Ignored("sender_not_a_person")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"NumMedia": "1", "MediaContentType0": "image/jpeg"}, "[image] Hi!"),
            (
                {"NumMedia": "2", "MediaContentType0": "video/mp4", "MediaContentType1": "text/x-vcard"},
                "[video] [contact] Hi!",
            ),
            ({"NumMedia": "1", "MediaContentType0": "application/pdf"}, "[document] Hi!"),
            ({"NumMedia": "many"}, "Hi!"),
            ({"Latitude": "1.5", "Longitude": "-2", "Label": "Shop"}, "[location] Shop (1.5, -2) Hi!"),
            ({"Body": ""}, "[unsupported message]"),
        ],
    )
    def test_media_is_put_into_words(self, fields: dict[str, str], words: str) -> None:
        assert said(**fields).text == words

    def test_an_answer_names_the_message_it_answers(self) -> None:
        assert said(OriginalRepliedMessageSid="SM1").reply_to == "SM1"

    @pytest.mark.parametrize(("told", "wish"), [("STOP", "stop"), ("START", "start"), ("stop", "stop")])
    def test_a_wish_that_twilio_has_answered_needs_no_second_answer(self, told: str, wish: Any) -> None:
        assert said("Stop", OptOutType=told) == Preference(Sender((ADA,), ADA), wish, is_confirmed=True)

    def test_a_cry_for_help_that_twilio_has_answered_is_ignored(self) -> None:
        assert said("HELP", OptOutType="HELP") == Ignored("answered_by_provider")

    def test_a_stop_that_twilio_has_not_answered_is_for_us(self) -> None:
        assert said("STOP").text == "STOP"


class TestStatuses:
    @pytest.mark.parametrize(
        ("told", "known"),
        [
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("read", "read"),
            ("failed", "failed"),
            ("undelivered", "failed"),
            ("canceled", "failed"),
        ],
    )
    def test_a_status_tells_how_far_which_of_our_messages_has_come(self, told: str, known: Any) -> None:
        event = only(SERVER.status(SENT, told))

        assert event.what == Status("SM1", known, MESSAGE_ID)
        assert (event.id, event.contact) == (f"SM1:{told}", ADA)

    @pytest.mark.parametrize("told", ["queued", "accepted", "scheduled", "sending"])
    def test_a_status_before_sent_is_no_news(self, told: str) -> None:
        assert only(SERVER.status(SENT, told)).what == Ignored("status_not_ours")

    @pytest.mark.parametrize(("code", "is_opt_out"), [(30003, False), (30007, False), (21610, True)])
    def test_a_failure_tells_why_in_our_words(self, code: int, is_opt_out: bool) -> None:
        failed = only(SERVER.status(SENT, "undelivered", code=code)).what

        assert (failed.code, failed.is_opt_out) == (f"sms_{code}", is_opt_out)
        assert failed.detail

    def test_a_failure_of_a_code_that_we_do_not_know_keeps_it(self) -> None:
        assert only(SERVER.status(SENT, "failed", code=99999)).what.code == "sms_99999"

    def test_an_address_without_our_id_names_no_message(self) -> None:
        events = sms.read({"MessageSid": "SM1", "MessageStatus": "sent", "message": "another"})

        assert events[0].what == Status("SM1", "sent")


class TestOddPayloads:
    @settings(max_examples=300, deadline=None)
    @given(
        st.none()
        | st.text()
        | st.dictionaries(
            st.sampled_from(
                ["MessageSid", "MessageStatus", "From", "To", "Body", "NumMedia", "ErrorCode", "OptOutType", "message"]
            )
            | st.text(max_size=5),
            st.text(ODD) | st.integers() | st.none() | st.lists(st.text()),
        )
    )
    def test_nothing_raises_or_yields_what_cannot_be_stored(self, payload: Any) -> None:
        for event in sms.read(payload):
            assert event.id
            f"{event.id}{event.contact}{event.what}".encode()

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80), st.text(ODD, max_size=40))
    def test_no_body_and_no_address_raises(self, body: bytes, words: str) -> None:
        for url in (f"https://newleaf.example.com:x/?{words}", f"https://{words}", f"https://[{words}/?message=1"):
            odd = Request(body, {"x-twilio-signature": words}, url)

            assert sms.read(sms.payload_of(odd))
            assert not sms.is_authentic(odd, SERVER.credentials())


class TestSignature:
    URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
    BODY = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    CREDENTIALS = Credentials("1", {}, {"authToken": "12345"})

    @pytest.fixture(autouse=True)
    def endpoints(self) -> Iterator[None]:
        before = channels.endpoints()
        channels.configure(Endpoints())
        yield
        channels.configure(before)

    def test_the_published_vector_of_a_form_is_authentic(self) -> None:
        headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}

        assert sms.is_authentic(Request(self.BODY, headers, self.URL), self.CREDENTIALS)

    def test_the_published_vector_of_json_is_authentic(self) -> None:
        url = f"{self.URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
        headers = {"x-twilio-signature": "a9nBmqA0ju/hNViExpshrM61xv4="}

        assert sms.is_authentic(Request(b'{"property": "value", "boolean": true}', headers, url), self.CREDENTIALS)
        assert not sms.is_authentic(Request(b'{"property": "other"}', headers, url), self.CREDENTIALS)

    @pytest.mark.parametrize(
        ("signed", "called"),
        [
            (f"https://newleaf.example.com:443{PATH}", HOOK),
            (HOOK, f"https://newleaf.example.com:443{PATH}"),
            (f"https://newleaf.example.com:8443{PATH}", f"https://newleaf.example.com:8443{PATH}"),
            (f"http://newleaf.example.com:80{PATH}", f"http://newleaf.example.com{PATH}"),
        ],
        ids=["signed with port", "called with port", "a port of its own", "plain HTTP"],
    )
    def test_the_port_may_be_signed_or_not(self, signed: str, called: str) -> None:
        assert sms.is_authentic(request(SERVER.said(ADA, "Hi!", to=signed), called), SERVER.credentials())

    @pytest.mark.parametrize("public_url", ["https://newleaf.example.com", "https://newleaf.example.com:443"])
    def test_behind_a_proxy_the_public_address_was_signed(self, public_url: str) -> None:
        channels.configure(Endpoints(public_url=public_url))
        webhook = SERVER.status(SENT, "sent")

        inside = f"http://127.0.0.1:8080{PATH}?message={MESSAGE_ID}"
        assert sms.is_authentic(request(webhook, inside), SERVER.credentials())

    def test_a_public_address_below_a_path_was_signed_with_it(self) -> None:
        channels.configure(Endpoints(public_url="https://example.com/newleaf"))
        webhook = SERVER.said(ADA, "Hi!", to=f"https://example.com/newleaf{PATH}")

        assert sms.is_authentic(request(webhook, f"http://127.0.0.1:8080{PATH}"), SERVER.credentials())
        assert sms.is_authentic(request(webhook, f"http://127.0.0.1:8080/newleaf{PATH}"), SERVER.credentials())

    def test_another_address_body_or_token_is_not_authentic(self) -> None:
        webhook = SERVER.status(SENT, "sent")
        other = Request(webhook.body + b"&Body=more", request(webhook).headers, webhook.url)

        assert not sms.is_authentic(request(webhook, f"{HOOK}?message={'0' * 24}"), SERVER.credentials())
        assert not sms.is_authentic(other, SERVER.credentials())
        assert not sms.is_authentic(request(webhook), self.CREDENTIALS)

    def test_without_a_token_or_a_signature_nothing_is(self) -> None:
        unsigned = Request(b"", {"x-twilio-signature": sms.signature("", HOOK)}, HOOK)

        assert not sms.is_authentic(unsigned, Credentials("1", {}, {}))
        assert not sms.is_authentic(Request(b"", {}, HOOK), self.CREDENTIALS)
