"""Lists of conversations and messages: filters, search, pages, and never another tenant's."""

from __future__ import annotations

import itertools

import pytest

from engine import conversations as engine
from engine import inbound
from storage import conversations
from storage.conversations import Filters
from storage.database import transaction
from storage.errors import NotFound
from storage.tenancy import Actor

ACTOR = Actor("api_key", "key-1", "tests")


@pytest.fixture
def oids(tenant):
    """Ids of the conversations that meet some filters, the newest first."""
    return lambda **filters: [row.oid for row in conversations.page(tenant, Filters(**filters), limit=50)[0]]


def test_newest_comes_first_page_by_page(tenant, make_conversation):
    made = [make_conversation().oid for _ in range(5)]
    seen, cursor = [], None

    for _ in range(3):
        rows, total, cursor = conversations.page(tenant, Filters(), limit=2, cursor=cursor)
        seen += [row.oid for row in rows]

    assert (seen, total, cursor) == (made[::-1], 5, None)


def test_filters_combine(tenant, make_lead, make_conversation, oids):
    lead = make_lead(email="ada@example.com")
    chat, mail = make_conversation(lead), make_conversation(lead, "email")
    other = make_conversation()
    engine.change_status(tenant, mail.oid, "completed", actor=ACTOR)

    assert oids(lead_number=lead.number) == [mail.oid, chat.oid]
    assert oids(lead_number=lead.number, status="active") == [chat.oid]
    assert oids(channel="email") == [mail.oid]
    assert oids(agent_config_id=other.agent_config_id) == [other.oid]
    assert oids(campaign_id="665f1c2e9b1d4a0012ab34d9") == []


@pytest.mark.parametrize(
    ("search", "is_found"),
    [
        ("5550199", True),
        ("ADA@example.ORG", True),
        ("straße", True),
        ("STRASSE", True),  # case folding, on both engines
        ("50%", True),
        ("5%0", False),  # no wildcards
        ("a_a", False),
        ("nothing of it", False),
    ],
)
def test_search_looks_at_phone_email_and_messages(make_lead, make_conversation, oids, search, is_found):
    lead = make_lead(phone="+12025550199", email="ada@example.org")
    conversation = make_conversation(lead, text="Is the Straße office 50% off?")
    make_conversation(text="Something else")

    assert oids(search=search) == ([conversation.oid] if is_found else [])


def test_listed_conversations_carry_their_last_fifty_messages(tenant, make_conversation):
    long, short = make_conversation(), make_conversation()
    with transaction():
        held = conversations.lock(tenant, long.oid)
        for number in range(60):
            conversations.append(tenant, held, "lead", f"message {number}")

    rows, _, _ = conversations.page(tenant, Filters(), limit=50)
    said = conversations.latest_messages(tenant, rows)

    assert [message.content for message in said[long.id]] == [f"message {number}" for number in range(10, 60)]
    assert len(said[short.id]) == 1


def test_messages_come_in_pages_either_way(tenant, make_conversation):
    conversation = make_conversation(text="0")
    for number in range(1, 5):
        inbound.simulate(tenant, conversation.oid, str(number))

    def contents(*, descending):
        cursor = None
        for _ in itertools.count():
            rows, cursor = conversations.message_page(
                tenant, conversation, descending=descending, limit=2, cursor=cursor
            )
            yield from (row.content for row in rows)
            if cursor is None:
                return

    assert list(contents(descending=False)) == ["0", "1", "2", "3", "4"]
    assert list(contents(descending=True)) == ["4", "3", "2", "1", "0"]


def test_another_tenants_conversations_do_not_exist(tenant, live_tenant, make_conversation):
    conversation = make_conversation()
    message = conversations.messages(tenant, conversation)[0]

    assert conversations.page(live_tenant, Filters(), limit=50)[:2] == ([], 0)
    assert conversations.messages(live_tenant, conversation) == []
    for look in (
        lambda: conversations.get(live_tenant, conversation.oid),
        lambda: conversations.message(live_tenant, message.oid),
        lambda: engine.send(live_tenant, conversation.oid, "Hi", actor=ACTOR),
        lambda: engine.change_status(live_tenant, conversation.oid, "dropped", actor=ACTOR),
    ):
        with pytest.raises(NotFound):
            look()
