"""What updates of Telegram say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from engine.channels import Event, Ignored, Preference, Renamed, Said
from engine.channels.telegram import read
from tests.support.odd_payloads import ANYTHING, near
from tests.support.providers.telegram import TelegramServer

ADA = 12345678


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        server.starts(ADA, "Ada")
        yield server


def only(update: Any) -> Any:
    (event,) = read(update)
    return event.what


def message(**content: Any) -> dict[str, Any]:
    person = {"id": ADA, "is_bot": False, "first_name": "Ada", "last_name": "Byron", "language_code": "pt-br"}
    chat = {"id": ADA, "type": "private"}
    return {"message_id": 7, "from": person, "chat": chat, "date": 1_795_000_000, **content}


def test_text_tells_who_said_what_when() -> None:
    (event,) = read({"update_id": 9, "message": message(text="Hi!", reply_to_message=message(message_id=5))})

    assert (event.id, event.contact, event.at) == ("9", str(ADA), datetime.fromtimestamp(1_795_000_000, UTC))
    assert isinstance(event.what, Said)
    assert event.what.sender.identities == (str(ADA),)
    assert event.what.sender.name == "Ada Byron"
    assert (event.what.text, event.what.language) == ("Hi!", "pt")
    assert (event.what.provider_id, event.what.reply_to) == (f"{ADA}:7", f"{ADA}:5")


@pytest.mark.parametrize(
    ("text", "payload"),
    [("/start", ""), ("/start lead_7Qm2-x", "lead_7Qm2-x"), ("/start@newleaf_test_bot abc", "abc")],
)
def test_pressing_start_is_a_wish_and_words(text: str, payload: str) -> None:
    wish, said = read({"update_id": 9, "message": message(text=text)})

    assert (wish.id, said.id) == ("9/start", "9")
    assert isinstance(wish.what, Preference)
    assert (wish.what.wish, wish.what.is_confirmed) == ("start", True)
    assert isinstance(said.what, Said)
    assert (said.what.text, said.what.start_payload) == ("/start", payload)


def test_another_command_is_read_as_it_stands() -> None:
    assert only({"update_id": 9, "message": message(text="/started it")}).text == "/started it"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"photo": [{"file_id": "a"}], "caption": "the roof"}, "[image] the roof"),
        ({"photo": [{"file_id": "a"}]}, "[image]"),
        ({"voice": {"duration": 2}}, "[voice message: 2 s]"),
        ({"document": {"file_name": "plan.pdf"}, "caption": "as agreed"}, "[document: plan.pdf] as agreed"),
        ({"animation": {}, "document": {"file_name": "a.mp4"}}, "[animation]"),
        ({"audio": {"performer": "Ada", "title": "Waltz"}}, "[audio: Ada, Waltz]"),
        ({"sticker": {"emoji": "👍"}}, "[sticker: 👍]"),
        ({"location": {"latitude": 41.9, "longitude": 12.5}}, "[location] 41.9, 12.5"),
        (
            {"venue": {"title": "Shop", "location": {"latitude": 1.5, "longitude": 2.5}}, "location": {}},
            "[location] Shop (1.5, 2.5)",
        ),
        ({"contact": {"first_name": "Bob", "phone_number": "12025550102"}}, "[contact] Bob 12025550102"),
        ({"dice": {"emoji": "🎲", "value": 5}}, "[dice: 🎲 5]"),
    ],
)
def test_media_is_told_in_words(content: dict[str, Any], words: str) -> None:
    assert only({"update_id": 9, "message": message(**content)}).text == words


@pytest.mark.parametrize(
    ("contact", "phone"),
    [
        ({"user_id": ADA, "phone_number": "12025550102"}, "+12025550102"),
        ({"user_id": ADA, "phone_number": "+1 202 555 0102"}, "+12025550102"),
        ({"user_id": 99, "phone_number": "12025550102"}, ""),  # a card of somebody else
        ({"phone_number": "12025550102"}, ""),
        ({"user_id": ADA, "phone_number": "911"}, ""),
        ({"user_id": ADA, "phone_number": None}, ""),
    ],
)
def test_only_ones_own_contact_gives_a_phone(contact: dict[str, Any], phone: str) -> None:
    assert only({"update_id": 9, "message": message(contact=contact)}).sender.phone == phone


def test_edited_message_is_said_again_in_answer_to_itself() -> None:
    said = only({"update_id": 9, "edited_message": message(text="stop", edit_date=1_795_000_060)})

    assert (said.text, said.reply_to, said.provider_id) == ("stop", f"{ADA}:7", f"{ADA}:7:1795000060")


def test_button_is_read_as_its_label(telegram: TelegramServer) -> None:
    keyboard = [[{"text": "Yes, please", "callback_data": "y"}, {"text": "No", "callback_data": "n"}]]
    shown = message(reply_markup={"inline_keyboard": keyboard})
    query = {"id": "77", "from": message()["from"], "message": shown, "data": "n"}

    said = only({"update_id": 9, "callback_query": query})

    assert (said.text, said.reply_to, said.fetch) == ("No", f"{ADA}:7", {"callback_query_id": "77"})


@pytest.mark.parametrize("shown", [None, {"message_id": 7, "chat": {"id": ADA, "type": "private"}, "date": 0}])
def test_button_of_a_message_that_is_gone_is_read_as_its_data(shown: Any) -> None:
    query = {"id": "77", "from": message()["from"], "message": shown, "data": "Yes"}

    assert only({"update_id": 9, "callback_query": query}).text == "Yes"


@pytest.mark.parametrize(
    ("was", "now", "wish"), [("member", "kicked", "stop"), ("kicked", "member", "start"), ("left", "member", "start")]
)
def test_blocking_and_unblocking_are_wishes(telegram: TelegramServer, was: str, now: str, wish: str) -> None:
    what = only(telegram.membership(ADA, was, now))

    assert isinstance(what, Preference)
    assert (what.wish, what.sender.identities) == (wish, (str(ADA),))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"message": message(text="Hi", chat={"id": -5, "type": "group"})}, "not_a_private_chat"),
        ({"message": {**message(text="Hi"), "from": {"id": 5, "is_bot": True}}}, "from_a_bot"),
        ({"message": message(text="Hi", **{"from": None})}, "no_sender"),
        ({"message": message(pinned_message={})}, "no_content"),
        ({"message": message(poll={})}, "poll"),
        ({"channel_post": message(text="Hi")}, "not_a_private_chat"),
        ({"business_message": message(text="Hi")}, "business"),
        ({"message_reaction": {}}, "reaction"),
        ({"poll_answer": {}}, "poll"),
        ({"chat_join_request": {}}, "not_a_private_chat"),
        ({"edited_message": message(location={}, edit_date=1)}, "live_location"),
        ({"callback_query": {"id": "7", "from": {"id": ADA}, "game_short_name": "chess"}}, "no_content"),
        ({"my_chat_member": {**message(), "new_chat_member": {"status": "administrator"}}}, "membership_unchanged"),
        ({"something_of_next_year": {}}, "unknown_update"),
    ],
)
def test_what_is_no_leads_message_is_ignored_with_its_reason(content: dict[str, Any], reason: str) -> None:
    assert only({"update_id": 9, **content}) == Ignored(reason)


def test_chat_that_moves_is_renamed() -> None:
    assert only({"update_id": 9, "message": message(migrate_to_chat_id=-1005)}) == Renamed(str(ADA), "-1005")


def test_update_without_a_number_is_no_event() -> None:
    assert read({"message": message(text="Hi")}) == []


@given(
    near(
        [
            {"update_id": 9, "message": message(text="Hi", contact={"user_id": ADA, "phone_number": "12025550102"})},
            {
                "update_id": 9,
                "callback_query": {"id": "7", "from": message()["from"], "message": message(), "data": "y"},
            },
            {"update_id": 9, "my_chat_member": {**message(), "new_chat_member": {"status": "kicked"}}},
            {"update_id": 9, "edited_message": message(venue={"location": {"latitude": 1.0}}, edit_date=5)},
        ]
    )
    | ANYTHING
)
@settings(max_examples=300, deadline=None)
def test_odd_updates_are_read_without_complaint(update: Any) -> None:
    events = read(update)

    assert all(isinstance(event, Event) and event.id for event in events)
    for event in events:
        str(event.what).encode()  # nothing that a database refuses
        assert "\x00" not in str(event.what)
