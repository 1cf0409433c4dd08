"""A provider's template reads as it will be read, and is refused where it cannot be filled."""

from __future__ import annotations

import pytest

from engine import conversations, message_templates
from engine.message_templates import Choice
from storage import conversations as rows
from storage import integrations
from storage.errors import Blocked
from storage.tenancy import SYSTEM

TEMPLATES = [
    {
        "name": "first_contact",
        "language": "en_US",
        "status": "APPROVED",
        "body": "Hello {{1}}, this is about {{2}}.",
        "footer": "Reply STOP to end this",
        "parameters": ["1", "2"],
    },
    {"name": "first_contact", "language": "de", "status": "PAUSED", "body": "Hallo {{1}}", "parameters": ["1"]},
    {
        "name": "named",
        "language": "en",
        "status": "APPROVED",
        "body": "Hello {{ first_name }}",
        "parameters": ["first_name"],
    },
]


@pytest.fixture
def integrate(tenant):
    """Gives the tenant a WhatsApp integration with these templates, None for never synced."""

    def make(templates=TEMPLATES, **settings):
        return integrations.add(
            tenant,
            "whatsapp",
            settings={"phoneNumberId": "1", "wabaId": "2", **settings},
            secrets="",
            secret_hints={},
            templates=templates,
        )

    return make


@pytest.fixture
def word(tenant, make_lead):
    lead = make_lead(name="Ada Example")
    return lambda choice, message=None: message_templates.word(tenant, "whatsapp", choice, lead, message)


def test_places_are_filled_in_text_and_for_the_provider(integrate, word):
    integrate()

    worded = word(Choice("first_contact", "en_US", ("Ada", "your quote")))

    assert worded.text == "Hello Ada, this is about your quote.\nReply STOP to end this"
    assert worded.template == {
        "name": "first_contact",
        "language": "en_US",
        "parameters": ["Ada", "your quote"],
        "places": ["1", "2"],
    }


def test_message_fills_the_last_place_and_the_name_the_one_before(integrate, word):
    integrate()

    assert word(Choice("first_contact"), "your quote").text.startswith("Hello Ada, this is about your quote.")


def test_one_place_left_over_takes_the_leads_name(integrate, word):
    integrate()

    assert word(Choice("named")).text == "Hello Ada"


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (Choice("unknown"), "template_unknown"),
        (Choice("first_contact", "fr"), "template_unknown"),
        (Choice("first_contact", "de"), "template_not_approved"),
        (Choice("first_contact"), "template_parameters"),
        (Choice("named", None, ("a", "b")), "template_parameters"),
    ],
    ids=["no such name", "no such language", "paused", "too few values", "too many values"],
)
def test_template_that_cannot_be_sent_is_refused(integrate, word, choice, code):
    integrate()

    with pytest.raises(Blocked) as refusal:
        word(choice)

    assert refusal.value.code == code


def test_before_templates_were_synced_the_provider_is_left_to_judge(integrate, word):
    integrate(templates=None)

    worded = word(Choice("first_contact"), "your quote")

    assert worded.text == "[template first_contact] your quote"
    assert worded.template == {"name": "first_contact", "language": "en", "parameters": ["your quote"]}


def test_conversation_opened_with_a_template_shows_what_the_lead_reads(tenant, make_agent, make_lead, integrate, model):
    integrate()
    make_agent()
    lead = make_lead(name="Ada")

    changed = conversations.start(tenant, lead.number, "whatsapp", actor=SYSTEM, template=Choice("named"))

    [message] = rows.messages(tenant, changed.conversation)
    assert (message.content, message.template["language"]) == ("Hello Ada", "en")
    assert changed.turn_row is None
    assert not model.asked
