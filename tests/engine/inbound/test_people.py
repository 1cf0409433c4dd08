"""Whose words they are: by identity, phone or email; a new lead where nobody is known, and never two of one person."""

from __future__ import annotations

import pytest

from engine import inbound
from engine.channels import Renamed, Sender
from engine.jobs import worker
from storage import conversations as rows
from storage import identities, leads
from storage.inbox import InboundEvent
from storage.leads import Lead
from storage.outbox import OutboxRow
from tests.engine.inbound.conftest import together

CHAT = Sender(("4711",), name="Ada")


@pytest.fixture(autouse=True)
def agent(make_agent):
    return make_agent()


def people(tenant):
    return list(Lead.of(tenant).order_by(Lead.number))


def test_stranger_becomes_a_lead_with_what_the_channel_tells(tenant, tell, event):
    tell(event("Hi"))

    [lead] = people(tenant)
    assert (lead.name, lead.phone, lead.phone_valid, lead.source) == ("Ada Example", "+12025550142", True, "whatsapp")
    assert identities.addresses(tenant, lead.number, "whatsapp") == ["12025550142"]


def test_stranger_without_a_phone_becomes_a_lead_too(tenant, tell, event):
    tell(event("Hi", sender=CHAT), channel="telegram")

    [lead] = people(tenant)
    assert (lead.name, lead.phone, lead.source) == ("Ada", "", "telegram")


def test_lead_is_found_by_identity_whatever_else_the_channel_tells(tenant, tell, event):
    tell(event("Hi", sender=CHAT), event("Hi", sender=Sender(("4711",), name="Mallory")), channel="telegram")

    assert [lead.name for lead in people(tenant)] == ["Ada"]


def test_first_known_of_several_identities_counts(tenant, tell, event):
    tell(event("Hi", sender=Sender(("US.1", "12025550142"), "+12025550142")))

    tell(event("Hi again", sender=Sender(("US.1",))))

    assert len(people(tenant)) == 1


def test_lead_is_found_by_phone(tenant, tell, event, make_lead):
    lead = make_lead(phone="+12025550142", name="Countess")

    tell(event("Hi"))

    assert [(each.number, each.name) for each in people(tenant)] == [(lead.number, "Countess")]


def test_lead_is_found_by_email_in_any_case(tenant, tell, event, make_lead):
    make_lead(email="Ada@example.com")

    tell(event("Hi", sender=Sender(("ada@example.com",), email="ada@example.com")), channel="email")

    assert len(people(tenant)) == 1


def test_another_tenants_lead_is_a_stranger(tenant, live_tenant, tell, event, make_lead):
    make_lead(live_tenant, phone="+12025550142")

    tell(event("Hi"))

    assert len(people(tenant)) == len(people(live_tenant)) == 1


def test_what_a_lead_lacks_is_filled_in(tenant, tell, event, make_lead):
    tell(event("Hi", sender=Sender(("4711",))), channel="telegram")

    tell(event("My number", sender=Sender(("4711",), "+12025550142", name="Ada")), channel="telegram")

    [lead] = people(tenant)
    assert (lead.name, lead.phone) == ("Ada", "+12025550142")


def test_phone_of_another_lead_stays_with_that_one(tenant, tell, event, make_lead):
    other = make_lead(phone="+12025550142")
    tell(event("Hi", sender=CHAT), channel="telegram")

    tell(event("My number", sender=Sender(("4711",), "+12025550142")), channel="telegram")

    assert [lead.phone for lead in people(tenant)] == [other.phone, ""]


@pytest.mark.parametrize("email", ["nobody", "a b@example.com", "a" * 300 + "@example.com"])
def test_address_that_is_none_is_left_out(tenant, tell, event, email):
    tell(event("Hi", sender=Sender(("4711",), email=email)), channel="telegram")

    assert [lead.email for lead in people(tenant)] == [""]


def test_first_words_on_every_channel_at_once_make_one_lead_with_a_conversation_on_each(tenant, event, work, model):
    person = Sender(("12025550142",), "+12025550142", "ada@example.com", "Ada")
    told = [
        (channel, event(f"{number} on {channel}", sender=person, contact=f"{number}"))
        for number in range(6)
        for channel in ("whatsapp", "telegram", "email", "sms")
    ]

    def accept_and_work(entry):
        channel, what = entry
        inbound.accept(tenant, channel, [what])
        while worker.work_next(f"in/{tenant.id}/{channel}/{what.contact}"):
            continue

    together(accept_and_work, told)
    work()

    assert len(people(tenant)) == 1
    opened = list(rows.Conversation.of(tenant))
    assert sorted(conversation.channel for conversation in opened) == ["email", "sms", "telegram", "whatsapp"]
    assert {event.state for event in InboundEvent.of(tenant)} == {"done"}


def test_storm_of_strangers_makes_one_lead_and_one_conversation_for_each(tenant, event, work, model):
    people_ = [Sender((f"chat-{number}",), name=f"Person {number}") for number in range(5)]
    bodies = [
        [event(f"{number}", sender=person, event_id=f"{person.name}-{number}") for person in people_]
        for number in range(8)
    ]

    def accept_and_work(body):
        inbound.accept(tenant, "telegram", body)
        work()

    together(accept_and_work, bodies * 2)
    work()

    assert [row.error for row in OutboxRow.select() if row.error] == []
    opened = list(rows.Conversation.of(tenant))
    assert sorted(conversation.lead_number for conversation in opened) == [lead.number for lead in people(tenant)]
    assert len(opened) == 5
    for conversation in opened:
        said = [message.content for message in rows.messages(tenant, conversation) if message.role == "lead"]
        stored = InboundEvent.of(tenant).where(
            InboundEvent.contact == identities.addresses(tenant, conversation.lead_number, "telegram")[0]
        )
        assert said == [row.payload["what"]["text"] for row in stored.order_by(InboundEvent.id)]
        assert len(said) == 8


class TestRenamed:
    def test_new_name_finds_the_lead(self, tenant, tell, event):
        tell(event("Hi", sender=CHAT), channel="telegram")

        tell(event(Renamed("4711", "-4712")), event("Hi", sender=Sender(("-4712",))), channel="telegram")

        [lead] = people(tenant)
        assert identities.addresses(tenant, lead.number, "telegram") == ["-4712"]

    def test_number_that_changed_is_the_leads_phone_from_then_on(self, tenant, tell, event):
        tell(event("Hi"))

        tell(event(Renamed("12025550142", "12025550143")), event("Hi", sender=Sender(("12025550143",), "+12025550143")))

        assert [lead.phone for lead in people(tenant)] == ["+12025550143"]

    def test_number_of_a_lead_who_never_wrote_changes_too(self, tenant, tell, event, make_lead, fates):
        lead = make_lead(phone="+12025550142")

        tell(event(Renamed("12025550142", "12025550143")))

        assert leads.get(tenant, lead.number).phone == "+12025550143"
        assert fates() == [("done", None)]

    def test_new_number_of_another_lead_stays_there(self, tenant, tell, event, make_lead):
        tell(event("Hi"))
        make_lead(phone="+12025550143")

        tell(event(Renamed("12025550142", "12025550143")))

        assert [lead.phone for lead in people(tenant)] == ["+12025550142", "+12025550143"]

    def test_user_id_is_no_number(self, tenant, tell, event, make_lead):
        lead = make_lead(phone="+13491208655")

        tell(event("Hi", sender=Sender(("US.13491208655",))), event(Renamed("US.13491208655", "US.24817305912")))

        assert leads.get(tenant, lead.number).phone == "+13491208655"

    def test_nobody_of_that_name_is_ignored(self, tell, event, fates):
        tell(event(Renamed("1", "2")))

        assert fates() == [("ignored", "unknown_lead")]


def test_identity_is_one_leads_only(tenant, make_lead):
    ada, other = make_lead(), make_lead()

    identities.add(tenant, ada.number, "telegram", ["4711", "4712"])
    identities.add(tenant, other.number, "telegram", ["4711", "4713"])

    assert sorted(identities.addresses(tenant, ada.number, "telegram")) == ["4711", "4712"]
    assert identities.addresses(tenant, other.number, "telegram") == ["4713"]
    assert identities.owner(tenant, "whatsapp", ["4711"]) is None


def test_latest_identity_is_the_first(tenant, make_lead):
    ada = make_lead()
    identities.add(tenant, ada.number, "telegram", ["4711"])
    identities.add(tenant, ada.number, "telegram", ["4712"])

    assert identities.addresses(tenant, ada.number, "telegram") == ["4712", "4711"]
