"""Messages over WhatsApp, against Graph's documented contract on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
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
    whatsapp,
)
from tests.support.providers import refusing_url
from tests.support.providers import whatsapp as meta

ADA = "12025550101"
USER_ID = "US.13491208655302741918"
MESSAGE_ID = "665f1c2e9b1d4a0012ab34f0"


@pytest.fixture
def provider() -> Iterator[meta.WhatsAppServer]:
    with meta.WhatsAppServer() as server:
        yield server


@pytest.fixture
def endpoints(provider: meta.WhatsAppServer) -> Endpoints:
    return Endpoints(whatsapp=provider.graph_url, timeout_s=5)


@pytest.fixture
def number(provider: meta.WhatsAppServer, endpoints: Endpoints) -> whatsapp.WhatsApp:
    return whatsapp.connect(provider.credentials(), endpoints)


def to_ada(text: str = "Hello Ada", **members: Any) -> Outgoing:
    known = {"phone": "+12025550101", "email": "", **members}
    return Outgoing(id=MESSAGE_ID, channel="whatsapp", text=text, **known)


class TestSend:
    def test_a_text_goes_out_with_our_id_and_the_account_s_token(self, number: Any, provider: Any) -> None:
        sent = number.send(to_ada())

        assert sent == Sent(provider.sent[0].id)
        assert provider.requests[0].headers["authorization"] == f"Bearer {meta.TOKEN}"
        assert provider.requests[0].json == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": ADA,
            "type": "text",
            "text": {"body": "Hello Ada", "preview_url": False},
            "biz_opaque_callback_data": MESSAGE_ID,
        }

    @pytest.mark.parametrize(
        ("members", "recipient"),
        [
            ({"identities": ("5215512345678",)}, {"to": "5215512345678"}),
            ({"identities": (USER_ID, ADA), "phone": ""}, {"to": ADA}),
            ({"identities": (USER_ID,)}, {"to": ADA}),
            ({"identities": (USER_ID,), "phone": ""}, {"recipient": USER_ID}),
        ],
        ids=["as WhatsApp calls the number", "number before user id", "phone before user id", "user id alone"],
    )
    def test_the_recipient_is_a_number_where_one_is_known(
        self, number: Any, provider: Any, members: dict[str, Any], recipient: dict[str, str]
    ) -> None:
        number.send(to_ada(**members))

        request = provider.requests[0].json
        assert {name: request[name] for name in ("to", "recipient") if name in request} == recipient

    def test_nobody_to_send_to_is_undeliverable_without_a_call(self, number: Any, provider: Any) -> None:
        with pytest.raises(Undeliverable, match="whatsapp_no_recipient"):
            number.send(to_ada(phone="", identities=("someone",)))

        assert provider.requests == []

    def test_answers_to_choose_from_are_buttons(self, number: Any, provider: Any) -> None:
        number.send(to_ada("Shall we call you?", buttons=("Yes", "No", "Yes", " ")))

        buttons = provider.requests[0].json["interactive"]["action"]["buttons"]
        assert [button["reply"]["title"] for button in buttons] == ["Yes", "No"]

    @pytest.mark.parametrize(
        "buttons",
        [("One", "Two", "Three", "Four"), ("A title of more than twenty characters",)],
        ids=["more than three", "too long"],
    )
    def test_answers_that_are_no_buttons_are_lines(self, number: Any, provider: Any, buttons: tuple[str, ...]) -> None:
        number.send(to_ada("Which one?", buttons=buttons))

        assert provider.sent[0].text == "\n".join(
            ["Which one?", "", *(f"{place}. {title}" for place, title in enumerate(buttons, 1))]
        )

    def test_a_template_is_filled_in_order(self, number: Any, provider: Any) -> None:
        number.send(to_ada(template=Template("first_contact", "en", ("Ada\nLovelace",))))

        assert provider.requests[0].json["template"] == {
            "name": "first_contact",
            "language": {"code": "en"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ada Lovelace"}]}],
        }

    def test_a_template_with_named_places_is_filled_by_name(self, number: Any, provider: Any) -> None:
        provider.templates.append(meta.template("follow_up", "{{first_name}}, how is {{company}}?", "de"))

        number.send(to_ada(template=Template("follow_up", "de", ("Ada", "Acme"), ("first_name", "company"))))

        parameters = provider.requests[-1].json["template"]["components"][0]["parameters"]
        assert [(value["parameter_name"], value["text"]) for value in parameters] == [
            ("first_name", "Ada"),
            ("company", "Acme"),
        ]

    def test_a_template_with_numbered_places_is_filled_in_order(self, number: Any, provider: Any) -> None:
        number.send(to_ada(template=Template("first_contact", parameters=("Ada",), places=("1",))))

        parameters = provider.requests[-1].json["template"]["components"][0]["parameters"]
        assert parameters == [{"type": "text", "text": "Ada"}]

    def test_a_held_template_counts_as_sent(self, number: Any, provider: Any) -> None:
        held = {"messages": [{"id": "wamid.held", "message_status": "held_for_quality_assessment"}]}
        provider.answers(200, held)

        assert number.send(to_ada(template=Template("first_contact"))) == Sent("wamid.held", "sent")


NEVER = [100, 131008, 131009, 131021, 131026, 131030, 131047, 131049, 130472, 131051, 131062]
TEMPLATES = [132000, 132001, 132005, 132007, 132012, 132015, 132016]
ACCOUNT = [0, 3, 10, 190, 200, 210, 299, 368, 131005, 131031, 131042, 131045, 131048, 131064, 133010]


class TestRefusals:
    @pytest.mark.parametrize("code", NEVER + TEMPLATES)
    def test_what_will_never_be_taken_is_undeliverable(self, number: Any, provider: Any, code: int) -> None:
        provider.refuses(ADA, code)

        with pytest.raises(Undeliverable) as refused:
            number.send(to_ada())

        assert (refused.value.code, refused.value.is_opt_out) == (f"whatsapp_{code}", False)

    @pytest.mark.parametrize("code", ACCOUNT)
    def test_what_only_a_person_can_mend_is_misconfigured(self, number: Any, provider: Any, code: int) -> None:
        provider.answers(400, {"error": {"code": code}})

        with pytest.raises(Misconfigured, match=f"whatsapp_{code}"):
            number.send(to_ada())

    @pytest.mark.parametrize(
        ("code", "scope"),
        [
            (1, "message"),
            (2, "message"),
            (131000, "message"),
            (131016, "message"),
            (133004, "message"),
            (131056, "recipient"),
            (4, "integration"),
            (80007, "integration"),
            (130429, "integration"),
            (131057, "integration"),
        ],
    )
    def test_what_may_be_taken_later_is_deferred_for_whom_it_concerns(
        self, number: Any, provider: Any, code: int, scope: str
    ) -> None:
        provider.refuses(ADA, code)

        with pytest.raises(Deferred) as deferred:
            number.send(to_ada())

        assert (deferred.value.code, deferred.value.scope) == (f"whatsapp_{code}", scope)
        assert scope == "message" or deferred.value.delay_s

    def test_a_person_who_stopped_marketing_has_opted_out(self, number: Any, provider: Any) -> None:
        provider.refuses(ADA, 131050)

        with pytest.raises(Undeliverable) as refused:
            number.send(to_ada())

        assert refused.value.is_opt_out

    def test_a_number_that_the_token_cannot_see_is_misconfigured(self, provider: Any, endpoints: Endpoints) -> None:
        with pytest.raises(Misconfigured, match="whatsapp_100"):
            whatsapp.connect(provider.credentials(phoneNumberId="1"), endpoints).send(to_ada())

    def test_throughput_and_pair_limit_end_when_meta_lifts_them(self, number: Any, provider: Any) -> None:
        provider.limits(per_recipient=1)
        number.send(to_ada())
        with pytest.raises(Deferred, match="whatsapp_131056"):
            number.send(to_ada())
        provider.limits(0)
        with pytest.raises(Deferred, match="whatsapp_130429"):
            number.send(to_ada())

        provider.limits()
        number.send(to_ada())

        assert provider.recipients() == [ADA, ADA]

    @pytest.mark.parametrize(
        ("status", "body", "error", "code"),
        [
            (400, {"error": {"code": 999999, "is_transient": True}}, Deferred, "whatsapp_999999"),
            (400, {"error": {"code": 999999}}, Undeliverable, "whatsapp_999999"),
            (500, {"error": {"code": 999999}}, Deferred, "whatsapp_999999"),
            (400, {"error": {"code": True}}, Undeliverable, "whatsapp_http_400"),
            (404, "gone", Undeliverable, "whatsapp_http_404"),
            (403, None, Misconfigured, "whatsapp_http_403"),
            (429, None, Deferred, "whatsapp_http_429"),
            (503, "<html>", Deferred, "whatsapp_http_503"),
            (502, "<html>", OutcomeUnknown, "whatsapp_http_502"),
            (504, None, OutcomeUnknown, "whatsapp_http_504"),
            (302, None, Misconfigured, "whatsapp_http_302"),
            (200, {"messages": []}, OutcomeUnknown, "whatsapp_no_id"),
            (200, "not JSON", OutcomeUnknown, "whatsapp_no_id"),
        ],
    )
    def test_without_a_known_code_the_status_decides(
        self, number: Any, provider: Any, status: int, body: Any, error: type[SendError], code: str
    ) -> None:
        provider.answers(status, body, {"Location": "https://example.com/"})

        with pytest.raises(error) as raised:
            number.send(to_ada())

        assert (type(raised.value), raised.value.code) == (error, code)

    def test_the_wait_that_meta_names_is_kept(self, number: Any, provider: Any) -> None:
        provider.answers(429, None, {"Retry-After": "7"})

        with pytest.raises(Deferred) as deferred:
            number.send(to_ada())

        assert (deferred.value.delay_s, deferred.value.scope) == (7, "integration")


class TestNetwork:
    def test_a_refused_connection_is_certainly_not_sent(self, provider: Any) -> None:
        number = whatsapp.connect(provider.credentials(), Endpoints(whatsapp=refusing_url(), timeout_s=5))

        with pytest.raises(Deferred, match="whatsapp_unreachable"):
            number.send(to_ada())

    def test_a_lost_answer_leaves_the_outcome_unknown_and_nothing_is_repeated(self, number: Any, provider: Any) -> None:
        provider.loses_answer()

        with pytest.raises(OutcomeUnknown, match="whatsapp_no_answer"):
            number.send(to_ada())

        assert provider.recipients() == [ADA]
        assert number.find(to_ada(), datetime.now(UTC)) == "unknown"

    def test_a_late_answer_leaves_the_outcome_unknown(self, provider: Any) -> None:
        provider.delays(30)
        number = whatsapp.connect(provider.credentials(), Endpoints(whatsapp=provider.graph_url, timeout_s=0.2))

        with pytest.raises(OutcomeUnknown, match="whatsapp_no_answer"):
            number.send(to_ada())

    def test_no_error_and_no_log_holds_a_secret_or_a_person(
        self, number: Any, provider: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        provider.refuses(ADA, 131026)
        provider.answers(401, {"error": {"code": 190, "message": f"bad token {meta.TOKEN} of +{ADA}"}})

        with pytest.raises(Misconfigured) as misconfigured:
            number.send(to_ada())
        with pytest.raises(Undeliverable) as undeliverable:
            number.send(to_ada())

        told = f"{misconfigured.value!r} {undeliverable.value!r} {provider.credentials()!r} {caplog.text}"
        assert meta.TOKEN not in told
        assert ADA not in told


class TestAccount:
    def test_a_working_account_tells_its_name_and_that_the_number_is_its_own(self, number: Any) -> None:
        health = number.check()

        assert health.is_healthy
        assert health.facts == {
            "displayPhoneNumber": "+1 202-555-0100",
            "verifiedName": "Example",
            "qualityRating": "GREEN",
            "wabaId": meta.WABA_ID,
        }

    def test_a_number_of_another_business_account_is_unhealthy(self, number: Any, provider: Any) -> None:
        provider.answers(200, {"data": [{"id": "1"}]}, path="phone_numbers")

        health = number.check()

        assert not health.is_healthy
        assert "wabaId" not in health.facts

    def test_a_bad_token_and_a_silent_provider_are_answers_not_errors(self, number: Any, provider: Any) -> None:
        provider.answers(401, {"error": {"code": 190}})
        assert not number.check().is_healthy

        provider.loses_answer()
        assert not number.check().is_healthy

    def test_a_message_is_marked_as_read(self, number: Any, provider: Any) -> None:
        number.mark_read("wamid.said000001")

        assert provider.read == ["wamid.said000001"]

    def test_an_unknown_message_cannot_be_marked_as_read(self, number: Any) -> None:
        with pytest.raises(Undeliverable, match="whatsapp_131009"):
            number.mark_read("665f1c2e9b1d4a0012ab34f0")


class TestTemplates:
    def test_all_pages_are_listed_without_following_addresses(self, provider: Any, endpoints: Endpoints) -> None:
        provider.page_size = 2
        provider.templates = [meta.template(f"template_{place}", "Hello {{1}}") for place in range(5)]

        listed = whatsapp.list_templates(provider.credentials(), endpoints)

        assert listed == provider.templates
        assert [request.query.get("after") for request in provider.requests] == [None, "2", "4"]
        assert all("access_token" not in request.query for request in provider.requests)

    def test_a_cursor_that_never_ends_does_end(self, provider: Any, endpoints: Endpoints) -> None:
        page = {"data": [], "paging": {"cursors": {"after": "again"}, "next": "https://example.com/"}}
        provider.answers(200, page, times=3)

        assert whatsapp.list_templates(provider.credentials(), endpoints) == []

    def test_a_refused_list_raises(self, provider: Any, endpoints: Endpoints) -> None:
        with pytest.raises(Misconfigured):
            whatsapp.list_templates(provider.credentials(wabaId="1"), endpoints)

    def test_what_has_no_name_or_language_is_left_out(self, provider: Any, endpoints: Endpoints) -> None:
        provider.answers(200, {"data": [{"name": "odd"}, {"name": "whole", "language": "en", "more": 1}, None]})

        assert whatsapp.list_templates(provider.credentials(), endpoints) == [{"name": "whole", "language": "en"}]
