"""Which links are found in a text, and which of them an agent may send."""

import time

import pytest

from engine.agents import AgentSpec, HistoryMessage, LeadFacts, Passage
from engine.agents.links import WITHHELD, foreign, links_in, without


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://evil.example/a?b=c#d.", ["evil.example/a?b=c#d"]),
        ("HTTPS://WWW.Evil.COM/Path/", ["evil.com/Path/"]),
        ("http://evil.com:80/ and evil.com", ["evil.com", "evil.com"]),
        ("(evil.com)", ["evil.com"]),
        ("[our offer](https://evil.com/x)", ["evil.com/x"]),
        ("[our offer][1]\n\n[1]: evil.com/x", ["evil.com/x"]),
        ("<a href='//evil.com'>offer</a>", ["evil.com"]),
        ("**evil.com**, _evil.org_", ["evil.com", "evil.org"]),
        ("ftp://evil.com/x", ["ftp://evil.com/x"]),
        ("whatever://evil", ["whatever://evil"]),
        ("https://good.com@evil.com/", ["good.com@evil.com"]),
        ("203.0.113.7/login", ["203.0.113.7/login"]),
        ("http://[2001:db8::1]/", ["[2001:db8::1]"]),
        ("http://2130706433/", ["2130706433"]),
        ("javascript:alert(1)", ["javascript:alert(1)"]),
        ("mailto:x@evil.com", ["mailto:x@evil.com"]),
        ("write to Sales@Evil.com.", ["sales@evil.com"]),
        ("sales@evil.com/offer", ["evil.com/offer"]),
        ("evil\u200b.com and ev\u00adil.org", ["evil.com", "evil.org"]),
        ("evil。com evil．net", ["evil.com", "evil.net"]),
        ("evil[.]com evil (dot) org", ["evil.com", "evil.org"]),
        ("evil dot com", ["evil.com"]),
        ("evil . com", ["evil.com"]),
        ("hxxps://evil.com", ["evil.com"]),
        ("evil&#46;com", ["evil.com"]),
        ("evil%2Ecom", ["evil.com"]),
        ("ｅｖｉｌ.ｃｏｍ", ["evil.com"]),
        ("аррӏе.com", ["аррӏе.com"]),
        ("xn--80ak6aa92e.com", ["xn--80ak6aa92e.com"]),
        ("пример.рф", ["пример.рф"]),
        ("look:evil.com.Then", ["evil.com.then"]),
        ("t.me/evil bit.ly/x", ["t.me/evil", "bit.ly/x"]),
    ],
)  # fmt: skip
def test_link_is_found(text, found):
    assert links_in(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Plans start at $49.50 a month, i.e. 3.5 % more. O.K.?",
        "We use Node.js v1.2.3, e.g. for U.S. customers at 9.30 a.m.",
        "Sure...great. Com. Thanks!Let's talk. It is 10:30, 24/7 and/or later.",
        "Your reference is AB-12.034/7. Room 3.14 at +1 202-555-0123.",
        "@ada, #1 and 50/50: yes.",
        "",
    ],
)
def test_ordinary_text_holds_no_link(text):
    assert links_in(text) == []


AGENT = AgentSpec("Mia", instructions="Send https://www.example.com/book to book. Help: help@example.com.")
PASSAGES = (
    Passage("Prices", "See prices.example.com.", source_url="https://docs.example.com/a"),
    Passage("B", "b.com"),
)


@pytest.mark.parametrize(
    ("reply", "cited", "expected"),
    [
        ("Book at example.com/book!", set(), []),
        ("Book at http://EXAMPLE.com/book", set(), []),
        ("Mail help@example.com", set(), []),
        ("example.com", set(), ["example.com"]),
        ("example.com/book/2", set(), ["example.com/book/2"]),
        ("example.com/book?leak=1", set(), ["example.com/book?leak=1"]),
        ("prices.example.com", {0}, []),
        ("https://docs.example.com/a", {0}, []),
        ("prices.example.com", set(), ["prices.example.com"]),
        ("prices.example.com", {1}, ["prices.example.com"]),
        ("We write to ada@lead.com and boss@lead.com", set(), []),
        ("We write to eve@evil.com", set(), ["eve@evil.com"]),
        ("Look at lead-site.com", set(), ["lead-site.com"]),
    ],
    ids=[
        "configured", "in another spelling", "configured email", "shorter", "longer", "with a query", "cited",
        "address of the cited document", "not cited", "another one is cited", "the lead's own emails",
        "another's email", "the lead's own link",
    ],
)  # fmt: skip
def test_link_is_foreign_unless_it_stands_where_it_may(make_context, reply, cited, expected):
    lead = LeadFacts(email="Ada@lead.com", custom_fields={"site": "evil.com"})
    history = (HistoryMessage("lead", "My boss is boss@lead.com, we are lead-site.com"),)
    context = make_context(agent=AGENT, passages=PASSAGES, lead=lead, history=history)

    assert foreign(context, reply, cited) == expected


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("Great! Visit evil.com for 90% off. How many are you?", "Great! How many are you?"),
        ("Great!\nhttps://evil.com\nBye", "Great! Bye"),
        ("Visit evil.com", WITHHELD),
        ("Go to evil.\ncom now", WITHHELD),
    ],
    ids=["a sentence", "a line", "all there was", "spread over two"],
)
def test_sentences_with_foreign_links_are_left_out(make_context, reply, left):
    assert without(make_context(), reply, set()) == left


@pytest.mark.parametrize("piece", ["a.", "a@", "x-", "evil.com", "()", "[.]", "http://", " dot com", "&#46;"])
def test_hostile_text_is_read_in_no_time(piece):
    began = time.process_time()

    links_in((piece * 4096)[:4096])

    assert time.process_time() - began < 1
