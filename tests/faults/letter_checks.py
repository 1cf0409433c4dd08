"""What must be true after a storm of letters: each is heard once, answered once, and each answer sent at most once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from storage import usage
from storage.conversation_events import ConversationEvent
from storage.conversations import Conversation, Message
from storage.database import connection
from storage.deliveries import DeliveryAttempt
from storage.inbox import InboundEvent
from storage.outbox import OutboxRow
from tests.faults.house import House, once
from tests.faults.letters import KNOWN_PEOPLE, Letters
from tests.faults.people import Letter
from tests.faults.providers import Taken

_FURTHER = {  # what a message may become from where it is
    "queued": {"queued", "sent", "delivered", "read", "failed"},
    "sent": {"delivered", "read", "failed"},
    "failed": {"delivered", "read"},
    "delivered": {"read"},
    "read": set(),
}
_RANKS = ("sent", "failed", "delivered", "read")
_UNKNOWN = "outcome_unknown"
_SAYS_NOTHING = ("telegram", "whatsapp")  # whom nobody can ask, and who take the same message twice


@dataclass
class _World:
    """All that is stored, read once."""

    conversations: dict[int, Any]
    messages: dict[int, list[Any]]  # by conversation, in order
    events: list[Any]  # inbound, in the order of their acceptance
    deliveries: dict[str, list[str]]  # by message: what its conversation told of its delivery, in order
    attempts: dict[int, list[str]]  # by message: the states of its calls, in order
    unfinished: list[Any]  # rows of the outbox

    @classmethod
    def read(cls, house: House) -> _World:
        messages, attempts, told = defaultdict(list), defaultdict(list), defaultdict(list)
        with connection():
            for message in Message.of(house.tenant).order_by(Message.conversation_id, Message.seq):
                messages[message.conversation_id].append(message)
            for attempt in DeliveryAttempt.of(house.tenant).order_by(DeliveryAttempt.id):
                attempts[attempt.message_id].append(attempt.state)
            is_delivery = ConversationEvent.type == "delivery"
            for event in ConversationEvent.of(house.tenant).where(is_delivery).order_by(ConversationEvent.id):
                told[event.data["messageId"]].append(event.data["deliveryStatus"])
            left = (OutboxRow.state != "done") & (OutboxRow.kind != "idle")  # which waits for a day of silence
            return cls(
                {conversation.id: conversation for conversation in Conversation.of(house.tenant)},
                messages,
                list(InboundEvent.of(house.tenant).order_by(InboundEvent.id)),
                told,
                attempts,
                list(OutboxRow.select().where(left)),
            )


def check(house: House, letters: Letters) -> None:
    """Assert that nothing was lost, doubled or put out of order, whoever was killed and whatever providers did."""
    world = _World.read(house)
    heard = _check_inbox(world, letters)
    _check_people(house, world, heard)
    for conversation in world.conversations.values():
        _check_conversation(conversation, world, heard)
    _check_deliveries(world, letters)
    _check_usage(house, world)


def _check_inbox(world: _World, letters: Letters) -> list[Letter]:
    """What was acknowledged is there, nothing is twice, and all of it was done; the letters in order of acceptance."""
    assert {(event.state, event.reason) for event in world.events} <= {("done", None), ("done", "known_already")}
    said = [_name(event) for event in world.events if event.payload["kind"] == "Said"]
    known = {(letter.channel, letter.id): letter for letter in letters.town.letters}
    assert once(said)
    assert {name for name, letter in known.items() if letter.is_acknowledged} <= set(said) <= known.keys()
    statuses = [_name(event) for event in world.events if event.payload["kind"] == "Status"]
    reports = {(each.channel, each.provider_id, each.status): each for each in letters.couriers.reports}
    assert once(statuses)
    acknowledged = {name for name, report in reports.items() if report.parcel.is_acknowledged}
    assert acknowledged <= set(statuses) <= reports.keys()
    return [known[name] for name in said]


def _name(event: Any) -> tuple[str, ...]:
    """Channel, the provider's own id, and for a status the status, out of the provider's own words."""
    words, kind = event.payload["provider"], event.payload["kind"]
    names = {
        "whatsapp": lambda: words["id"],
        "telegram": lambda: str(words["update_id"]),
        "email": lambda: words["data"]["email_id"],
        "sms": lambda: words["MessageSid"],
    }
    name = (event.channel, names[event.channel]())
    return (*name, event.payload["what"]["status"]) if kind == "Status" else name


def _check_people(house: House, world: _World, heard: Sequence[Letter]) -> None:
    """Everybody is one lead, with one conversation on each channel that they wrote on."""
    leads = house.check_leads()
    of_person = defaultdict(set)
    places = defaultdict(set)
    for row_id, messages in world.messages.items():
        conversation = world.conversations[row_id]
        for message in messages:
            if message.role == "lead":
                place = message.content.removeprefix("Question ").partition(".")[0]
                of_person[int(place)].add(conversation.lead_number)
                places[int(place), conversation.channel].add(row_id)
    assert of_person.keys() == {letter.person.number for letter in heard}
    assert all(len(numbers) == 1 for numbers in of_person.values()), of_person
    assert once(number for (number,) in of_person.values())
    assert places.keys() == {(letter.person.number, letter.channel) for letter in heard}
    assert all(len(rows) == 1 for rows in places.values())
    assert len(world.conversations) == len(places)
    silent = {lead.number for lead in leads} - {number for (number,) in of_person.values()}
    assert silent <= set(range(1, KNOWN_PEOPLE + 1)), "somebody who never wrote became a lead"


def _check_conversation(conversation: Any, world: _World, heard: Sequence[Letter]) -> None:
    """Its letters stand in the order of their acceptance, hence of their writing, and each has its answer, in order."""
    messages = world.messages[conversation.id]
    assert [message.seq for message in messages] == list(range(1, conversation.message_count + 1))
    asked = [message.content for message in messages if message.role == "lead"]
    person = int(asked[0].removeprefix("Question ").partition(".")[0])
    mine = [letter for letter in heard if (letter.person.number, letter.channel) == (person, conversation.channel)]
    assert asked == [letter.text for letter in mine]
    turns = [letter.turn for letter in mine]
    assert turns == sorted(turns)
    answers = [message.content for message in messages if message.role == "agent"]
    assert answers == [f"re: {text}" for text in asked]
    assert {message.role for message in messages} == {"lead", "agent"}


def _check_deliveries(world: _World, letters: Letters) -> None:
    """Each message was taken at most once and in order, and what is stored of it is what its provider knows."""
    taken: dict[str, list[Taken]] = defaultdict(list)
    places: dict[str, int] = {}
    for place, each in enumerate(letters.town.providers.taken()):
        taken[each.text].append(each)
        places[each.text] = place
    stored = defaultdict(set)
    for event in world.events:
        if event.payload["kind"] == "Status":
            channel, provider_id, status = _name(event)
            stored[channel, provider_id].add(status)
    parked = {row.payload["message"]: row for row in world.unfinished}
    assert all(row.state == "failed" and row.kind == "deliver" for row in parked.values()), parked
    assert all(row.error.startswith(_UNKNOWN) for row in parked.values())
    for row_id, messages in world.messages.items():
        channel = world.conversations[row_id].channel
        ours = [message for message in messages if message.role == "agent"]
        for message in ours:
            found = taken.pop(message.content, [])
            statuses = stored[channel, found[0].provider_id] if found else set()
            _check_delivery(channel, message, found, statuses, is_parked=message.oid in parked)
            _check_course(world.deliveries[message.oid], message)
        order = [places[message.content] for message in ours if message.content in places]
        assert order == sorted(order), "messages of one conversation overtook each other"
    assert not taken, "providers have taken what nobody wrote"


def _check_delivery(channel: str, message: Any, taken: Sequence[Taken], statuses: set[str], *, is_parked: bool) -> None:
    told = f"{channel} {message.content}: {message.delivery_status} {message.delivery_code}, {taken}, {statuses}"
    assert len(taken) <= 1, told
    assert all(each.message in ("", message.oid) for each in taken), told
    if is_parked:
        assert channel in _SAYS_NOTHING, told
        if not statuses & {"delivered", "read"}:
            assert (message.delivery_status, message.delivery_code) == ("failed", _UNKNOWN), told
            return
    assert len(taken) == 1, told
    assert message.provider_message_id == taken[0].provider_id, told
    assert message.delivery_status == max({"sent"} | statuses, key=_RANKS.index), told
    assert message.delivery_status == "failed" or message.delivery_code is None, told


def _check_course(told: Sequence[str], message: Any) -> None:
    """It never went back."""
    course = ["queued", *told]
    assert all(after in _FURTHER[before] for before, after in pairwise(course)), (message.content, told)
    assert course[-1] == message.delivery_status


def _check_usage(house: House, world: _World) -> None:
    roles = Counter(message.role for messages in world.messages.values() for message in messages)
    accepted = sum("accepted" in states for states in world.attempts.values())
    with connection():
        [month] = usage.months(house.tenant, 1)
    assert month.messages_received == roles["lead"]
    assert month.turns == roles["agent"]
    assert month.messages_sent == accepted
