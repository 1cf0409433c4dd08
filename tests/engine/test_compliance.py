"""Who may be written to, and which words ask for silence."""

from __future__ import annotations

import pytest

from engine import compliance

LEAD = {"phone": "+12025550142", "phone_valid": True, "email": "ada@example.com", "opted_out": []}


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop.",
        " Stop! ",
        "StopAll",
        "STOP ALL",
        "Unsubscribe",
        "END",
        "quit",
        "Cancel",
        "REVOKE",
        "optout",
        "OPT-OUT",
        "opt out",
        "ARRÊT",
        "remove",
        "Please stop",
        "Stop texting me",
        "please stop messaging me!!",
        "Stop sending me messages",
        "Don't contact me again.",
        "don’t text me anymore",
        "do not write to me",
        "Please remove me from your list",
        "take me off the mailing list",
        "unsubscribe me please",
        "Leave me alone",
        "No more messages please",
    ],
)
def test_words_and_sentences_that_ask_for_silence(text):
    assert compliance.wish(text) == "stop"


@pytest.mark.parametrize("text", ["START", "unstop", "Subscribe!"])
def test_words_that_ask_to_be_written_to_again(text):
    assert compliance.wish(text) == "start"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I must cancel Monday's call",
        "We want to start in May",
        "Don't contact me before 5 pm",
        "Stop by our office tomorrow",
        "The end of the year suits us",
        "Can you remove the setup fee?",
        "stop " * 100,
    ],
)
def test_other_messages_ask_for_neither(text):
    assert compliance.wish(text) is None


@pytest.mark.parametrize(
    ("environment", "channel", "facts", "rule"),
    [
        ("live", "whatsapp", {}, None),
        ("live", "whatsapp", {"opted_out": ["whatsapp"]}, "opted_out"),
        ("live", "email", {"opted_out": ["whatsapp"]}, None),
        ("live", "sms", {"phone_valid": False}, "no_valid_phone"),
        ("test", "sms", {"phone_valid": False}, None),  # published examples use numbers that do not exist
        ("test", "whatsapp", {"phone": ""}, "no_valid_phone"),
        ("live", "email", {"phone": ""}, None),
        ("test", "email", {"email": ""}, "no_email"),
        ("live", "telegram", {"phone": "", "email": ""}, None),
    ],
)
def test_rule_that_forbids_a_message(environment, channel, facts, rule):
    refusal = compliance.forbids(environment, channel, **{**LEAD, **facts})

    assert (refusal and refusal.rule) == rule
