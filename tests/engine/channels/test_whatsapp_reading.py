"""What Meta's webhooks are read as, and which are believed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels import Credentials, Event, Ignored, Preference, Renamed, Request, Said, Sender, Status, whatsapp
from tests.support.providers import whatsapp as meta

ADA = "12025550101"
USER_ID = "US.13491208655302741918"
SERVER = meta.WhatsAppServer()  # never started: it only writes what Meta would
MESSAGE_ID = "665f1c2e9b1d4a0012ab34f0"
SENT = meta.SentMessage("wamid.sent1", ADA, "Hello Ada", {"biz_opaque_callback_data": MESSAGE_ID})


def body(*changes: Any, waba_id: str = meta.WABA_ID) -> dict[str, Any]:
    return {"object": "whatsapp_business_account", "entry": [{"id": waba_id, "changes": list(changes)}]}


def only(*changes: Any) -> Event:
    events = whatsapp.read(body(*changes))
    assert len(events) == 1
    return events[0]


def said(message: dict[str, Any], **members: Any) -> Any:
    return only(SERVER.message(message, ADA, **members)).what


class TestMessages:
    def test_a_text_tells_who_wrote_what_to_which_number_and_when(self) -> None:
        event = only(
            SERVER.message({"type": "text", "text": {"body": "Hi!"}}, ADA, user_id=USER_ID, message_id="wamid.1")
        )

        assert event.what == Said(Sender((USER_ID, ADA), f"+{ADA}", name="Ada"), "Hi!", "wamid.1")
        assert (event.id, event.contact, event.address) == ("wamid.1", ADA, meta.NUMBER_ID)
        assert event.at == datetime.fromtimestamp(1_795_000_000, UTC)

    def test_a_person_without_a_number_is_known_by_the_user_id(self) -> None:
        event = only(SERVER.message({"type": "text", "text": {"body": "Hi!"}}, "", user_id=USER_ID))

        assert event.what.sender == Sender((USER_ID,), "", name="Ada")
        assert event.contact == USER_ID

    def test_another_person_of_the_same_body_lends_no_name(self) -> None:
        change = SERVER.message({"type": "text", "text": {"body": "Hi!"}}, ADA)
        change["value"]["contacts"] = [{"wa_id": "12025550102", "user_id": USER_ID, "profile": {"name": "Bob"}}]

        assert only(change).what.sender == Sender((ADA,), f"+{ADA}")

    @pytest.mark.parametrize(
        ("wa_id", "phone"),
        [("5215512345678", "+525512345678"), ("551187654321", "+5511987654321"), ("5491123456789", "+5491123456789")],
        ids=["Mexico", "Brazil", "Argentina"],
    )
    def test_old_forms_of_numbers_become_the_number_that_people_dial(self, wa_id: str, phone: str) -> None:
        sender = only(SERVER.message({"type": "text", "text": {"body": "Hi!"}}, wa_id)).what.sender

        assert (sender.identities, sender.phone) == ((wa_id,), phone)

    @pytest.mark.parametrize(
        ("message", "words"),
        [
            ({"type": "image", "image": {"id": "1", "caption": "our shop"}}, "[image] our shop"),
            ({"type": "video", "video": {"id": "1"}}, "[video]"),
            ({"type": "sticker", "sticker": {"id": "1"}}, "[sticker]"),
            ({"type": "audio", "audio": {"id": "1", "voice": True}}, "[voice message]"),
            ({"type": "audio", "audio": {"id": "1"}}, "[audio]"),
            (
                {"type": "document", "document": {"filename": "offer.pdf", "caption": "see"}},
                "[document: offer.pdf] see",
            ),
            ({"type": "location", "location": {"latitude": 1.5, "longitude": -2}}, "[location] 1.5, -2"),
            (
                {"type": "location", "location": {"latitude": 1, "longitude": 2, "name": "Shop", "address": "Main St"}},
                "[location] Shop, Main St (1, 2)",
            ),
            (
                {
                    "type": "contacts",
                    "contacts": [{"name": {"formatted_name": "Bob"}, "phones": [{"phone": "+1 202"}]}],
                },
                "[contact] Bob +1 202",
            ),
            (
                {"type": "order", "order": {"product_items": [{"product_retailer_id": "TEA", "quantity": 3}]}},
                "[order] 3 × TEA",
            ),
            ({"type": "button", "button": {"payload": "yes", "text": "Yes, please"}}, "Yes, please"),
            ({"type": "interactive", "interactive": {"button_reply": {"id": "y", "title": "Yes"}}}, "Yes"),
            ({"type": "interactive", "interactive": {"list_reply": {"id": "l", "title": "Large"}}}, "Large"),
            (
                {"type": "interactive", "interactive": {"nfm_reply": {"response_json": '{"flow_token":"t","size":4}'}}},
                "[form] size: 4",
            ),
            (
                {"type": "interactive", "interactive": {"nfm_reply": {"response_json": "{", "body": "Sent"}}},
                "[form] Sent",
            ),
            ({"type": "interactive"}, "[unsupported message]"),
            ({"type": "unsupported", "errors": [{"code": 131051}]}, "[unsupported message]"),
            ({"type": "text", "text": {"body": "half \ud83d and \x00"}}, "half ? and "),
        ],
    )
    def test_what_is_no_plain_text_is_put_into_words(self, message: dict[str, Any], words: str) -> None:
        assert said(message).text == words

    def test_an_answer_names_the_message_it_answers(self) -> None:
        message = {"type": "text", "text": {"body": "Yes"}, "context": {"id": "wamid.sent1"}}

        assert said(message).reply_to == "wamid.sent1"

    def test_an_edit_says_the_new_words_about_the_old_message(self) -> None:
        new = {"type": "text", "text": {"body": "at five"}}

        edited = said(
            {"type": "edit", "edit": {"original_message_id": "wamid.1", "message": new}}, message_id="wamid.2"
        )

        assert (edited.text, edited.reply_to, edited.provider_id) == ("at five", "wamid.1", "wamid.2")

    def test_a_reaction_is_an_answer(self) -> None:
        reacted = said({"type": "reaction", "reaction": {"message_id": "wamid.sent1", "emoji": "👍"}})

        assert (reacted.text, reacted.reply_to) == ("[reaction] 👍", "wamid.sent1")

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ({"type": "reaction", "reaction": {"message_id": "wamid.1"}}, "reaction_removed"),
            ({"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}, "message_deleted"),
            ({"type": "request_welcome"}, "chat_opened"),
            ({"type": "text", "text": {"body": "Hi all"}, "group_id": "G1"}, "not_a_private_chat"),
            ({"type": "system", "system": {"type": "customer_identity_changed"}}, "system_message"),
            (
                {"type": "system", "system": {"type": "user_changed_user_id", "user_id": USER_ID}},
                "previous_name_unknown",
            ),
        ],
    )
    def test_what_asks_for_no_answer_is_ignored(self, message: dict[str, Any], reason: str) -> None:
        assert said(message) == Ignored(reason)

    def test_a_message_of_nobody_is_ignored(self) -> None:
        assert only(meta.change({"messages": [{"id": "wamid.1", "type": "text"}]})).what == Ignored("sender_unknown")

    def test_whom_a_body_is_for_is_known_without_reading_it(self) -> None:
        told = SERVER.message({"type": "text", "text": {"body": "Hi!"}}, ADA)
        payload = body(told, told, {"field": "account_update", "value": None})

        assert whatsapp.addresses(payload) == [meta.NUMBER_ID, meta.WABA_ID]
        assert {event.address for event in whatsapp.read(payload)} == set(whatsapp.addresses(payload))

    def test_one_body_may_tell_of_several_accounts_messages_and_statuses(self) -> None:
        first = body(SERVER.message({"type": "text", "text": {"body": "1"}}, ADA), SERVER.status_change(SENT, "read"))
        second = body(SERVER.message({"type": "text", "text": {"body": "2"}}, ADA), waba_id="2")

        events = whatsapp.read({"entry": first["entry"] + second["entry"]})

        assert [type(event.what) for event in events] == [Said, Status, Said]
        assert len({event.id for event in events}) == 3


class TestStatuses:
    @pytest.mark.parametrize(
        ("told", "known"), [("sent", "sent"), ("delivered", "delivered"), ("read", "read"), ("played", "read")]
    )
    def test_a_status_tells_how_far_which_of_our_messages_has_come(self, told: str, known: Any) -> None:
        event = only(SERVER.status_change(SENT, told))

        assert event.what == Status("wamid.sent1", known, MESSAGE_ID)
        assert (event.id, event.contact) == (f"wamid.sent1:{told}", ADA)

    def test_a_failure_tells_why_in_our_words(self) -> None:
        failed = only(SERVER.status_change(SENT, "failed", 131026)).what

        assert (failed.status, failed.code, failed.is_opt_out) == ("failed", "whatsapp_131026", False)
        assert "cannot be reached" in failed.detail

    def test_a_failure_may_tell_of_an_opt_out(self) -> None:
        assert only(SERVER.status_change(SENT, "failed", 131050)).what.is_opt_out

    def test_a_failure_of_a_code_that_we_do_not_know_keeps_it(self) -> None:
        assert only(SERVER.status_change(SENT, "failed", 999999)).what.code == "whatsapp_999999"

    def test_callback_data_of_others_is_no_id_of_ours(self) -> None:
        other = meta.SentMessage("wamid.2", ADA, "", {"biz_opaque_callback_data": "some data"})

        assert only(SERVER.status_change(other, "sent")).what.message_id is None

    def test_a_status_of_a_user_id_has_no_number(self) -> None:
        status = {"id": "wamid.1", "status": "delivered", "recipient_user_id": USER_ID}

        assert only(meta.change({"statuses": [status]})).contact == USER_ID

    def test_a_status_that_we_do_not_know_is_ignored(self) -> None:
        assert only(SERVER.status_change(SENT, "warmed")).what == Ignored("status_not_ours")


class TestPeople:
    @pytest.mark.parametrize(("value", "wish"), [("stop", "stop"), ("resume", "start"), ("signup", "start")])
    def test_a_preference_is_a_wish_that_whatsapp_has_confirmed(self, value: str, wish: Any) -> None:
        item = {"wa_id": ADA, "value": value, "category": "marketing_messages", "timestamp": 1795000000}

        preference = only(meta.change({"user_preferences": [item]}, "user_preferences"))

        assert preference.what == Preference(Sender((ADA,), f"+{ADA}"), wish, is_confirmed=True)
        assert preference.at is not None

    def test_a_later_preference_is_another_event(self) -> None:
        items = [{"wa_id": ADA, "value": "stop", "timestamp": second} for second in (1, 2, 1)]

        events = whatsapp.read(body(meta.change({"user_preferences": items}, "user_preferences")))

        assert len({event.id for event in events}) == 2

    def test_a_new_number_is_a_new_name_of_the_number_and_of_the_user_id(self) -> None:
        system = {
            "type": "user_changed_number",
            "wa_id": "12025550102",
            "user_id": "US.2",
            "previous_user_id": "US.1",
            "body": "Ada changed",
        }
        message = {"id": "wamid.1", "from": ADA, "type": "system", "system": system}

        events = whatsapp.read(body(meta.change({"messages": [message]})))

        assert [event.what for event in events] == [Renamed(ADA, "12025550102"), Renamed("US.1", "US.2")]
        assert [event.id for event in events] == ["wamid.1", "wamid.1:user_id"]
        assert {event.contact for event in events} == {"12025550102"}

    def test_a_new_user_id_alone_is_a_new_name(self) -> None:
        update = {"user_id": {"previous": "US.1", "current": "US.2"}}

        renamed = only(meta.change({"user_id_update": [update]}, "user_id_update"))

        assert (renamed.what, renamed.contact) == (Renamed("US.1", "US.2"), "US.2")

    def test_what_staff_writes_in_the_app_is_no_lead_s_word(self) -> None:
        echo = {"id": "wamid.echo", "from": "12025550100", "to": ADA, "type": "text", "text": {"body": "Hello"}}

        event = only(meta.change({"message_echoes": [echo]}, "smb_message_echoes"))

        assert (event.what, event.contact) == (Ignored("written_by_staff"), ADA)

    def test_news_of_the_account_are_ignored_under_its_id(self) -> None:
        event = only({"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}})

        assert (event.what, event.address) == (Ignored("field_not_ours"), meta.WABA_ID)

    def test_an_error_without_a_message_is_ignored(self) -> None:
        assert only(meta.change({"errors": [{"code": 131000}]})).what == Ignored("provider_error")


ODD = st.characters() | st.sampled_from("\ud83d\x00")  # what no database takes, too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
NAMES = ("id", "from", "from_user_id", "type", "text", "system", "status", "errors", "timestamp", "value", "wa_id")
ITEM = st.dictionaries(st.sampled_from([*NAMES, "reaction", "edit", "interactive", "contacts", "user_id"]), JSON)
LISTS = ("messages", "statuses", "contacts", "user_preferences", "message_echoes", "user_id_update", "metadata")
FIELDS = ("messages", "user_preferences", "smb_message_echoes", "user_id_update", "other")
TYPES = ("text", "image", "system", "edit", "reaction", "interactive", "contacts", "order", "location", "button")
TYPED = st.builds(lambda item, kind: {**item, "type": kind}, ITEM, st.sampled_from(TYPES))
VALUE = st.dictionaries(st.sampled_from(LISTS), JSON | st.lists(ITEM | TYPED | JSON, max_size=3))
CHANGE = st.fixed_dictionaries({"field": st.sampled_from(FIELDS), "value": VALUE | JSON})


class TestOddPayloads:
    @settings(max_examples=300, deadline=None)
    @given(JSON | st.lists(CHANGE | JSON, max_size=3).map(lambda changes: body(*changes)))
    def test_nothing_that_json_can_say_raises_or_yields_what_cannot_be_stored(self, payload: Any) -> None:
        for event in whatsapp.read(payload):
            assert event.id
            assert event.address in whatsapp.addresses(payload)
            f"{event.id}{event.contact}{event.address}{event.what}".encode()

    def test_a_body_too_deep_to_be_written_is_read(self) -> None:
        deep: Any = {}
        for _ in range(5000):
            deep = {"x": deep}

        assert only({"field": "account_update", "value": deep}).id


class TestSignature:
    CREDENTIALS = Credentials("1", {}, {"appSecret": "secret"})

    def test_the_published_vector_is_authentic(self) -> None:
        given = "sha256=0329a06b62cd16b33eb6792be8c60b158d89a2ee3a876fce9a881ebb488c0914"

        assert whatsapp.signature("secret", b"test") == given
        assert whatsapp.is_authentic(Request(b"test", {"x-hub-signature-256": given}), self.CREDENTIALS)

    @pytest.mark.parametrize(
        "header",
        ["", "sha256=", "sha1=0329", "sha256=" + "0" * 64, "sha256=é"],
        ids=["none", "empty", "sha1", "wrong", "odd"],
    )
    def test_anything_else_is_not(self, header: str) -> None:
        assert not whatsapp.is_authentic(Request(b"test", {"x-hub-signature-256": header}), self.CREDENTIALS)

    def test_without_a_secret_nothing_is(self) -> None:
        request = Request(b"test", {"x-hub-signature-256": whatsapp.signature("", b"test")})

        assert not whatsapp.is_authentic(request, Credentials("1", {}, {}))

    def test_the_loopback_server_signs_as_meta_does(self) -> None:
        webhook = SERVER.said(ADA, "Hi!", to="http://127.0.0.1:1")
        headers = {name.lower(): value for name, value in webhook.headers.items()}

        assert whatsapp.is_authentic(Request(webhook.body, headers), SERVER.credentials())
