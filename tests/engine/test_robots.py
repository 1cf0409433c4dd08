"""robots.txt: what it lets us read, and what its absence means."""

from __future__ import annotations

import pytest

from engine.knowledge import robots
from engine.knowledge.fetch import Fetcher
from engine.knowledge.fetch_errors import BadAnswer, Unreachable
from engine.knowledge.reach import Reach
from engine.knowledge.robots import Robots, Rules
from engine.knowledge.urls import parse
from tests.support.web import Page, Site

LISTED = Fetcher(Reach(["127.0.0.1:*"]))


def rules(text):
    return Rules(Robots("rules", text))


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow: /private/", "/private/x", False),
        ("User-agent: *\nDisallow: /private/", "/public", True),
        ("User-agent: *\nDisallow: /\nAllow: /open", "/open/x", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x", True),
        ("User-agent: newleaf\nDisallow: /\n\nUser-agent: *\nAllow: /", "/", False),
        ("User-agent: NewLeaf/1.0\nDisallow: /x\n\nUser-agent: *\nDisallow: /", "/y", True),
        ("User-agent: other\nUser-agent: *\nDisallow: /x", "/x", False),
        ("User-agent: new\nDisallow: /", "/", True),
        ("User-agent: other\nDisallow: /", "/", True),
        ("USER-AGENT:*\nDISALLOW:/x # secret", "/x", False),
        ("User-agent: *\nDisallow: /%C3%BC", "/ü", False),
        ("<html>not found</html>", "/", True),
        ("\ufeffUser-agent: *\nDisallow: /x", "/x", False),
    ],
)
def test_rules_decide_over_pages(text, path, allowed):
    assert rules(text).allows(parse(f"http://site.example.com{path}")) is allowed


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [
        ("User-agent: *\nCrawl-delay: 2.5", 2.5),
        ("User-agent: *\nCrawl-delay: 86400", robots.LONGEST_DELAY_S),
        ("User-agent: *\nCrawl-delay: -1", 0.0),
        ("User-agent: *\nCrawl-delay: soon", 0.0),
        ("User-agent: newleaf\nCrawl-delay: 3\n\nUser-agent: *\nCrawl-delay: 9", 3.0),
        ("", 0.0),
    ],
)
def test_pause_is_the_one_asked_for_within_reason(text, delay_s):
    assert rules(text).delay_s == delay_s


def test_rules_of_very_many_robots_are_kept_once():
    names = "".join(f"User-agent: robot{number}\n" for number in range(12_000))
    lines = "".join(f"Disallow: /{number}\n" for number in range(12_000))

    found = rules(names + lines)

    assert found.allows(parse("http://site.example.com/1"))
    assert len(found._rules._user_agents) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_site_without_rules_is_open(status):
    with Site({"/robots.txt": Page("no", status=status)}) as site:
        told = robots.ask(LISTED, "live", parse(f"{site.url}/page"))

    assert told == Robots("open")
    assert Rules(told).allows(parse("http://site.example.com/"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_site_that_cannot_tell_is_asked_again_later(status):
    with Site({"/robots.txt": Page("no", status=status)}) as site, pytest.raises(BadAnswer):
        robots.ask(LISTED, "live", parse(f"{site.url}/page"))


def test_host_that_is_away_is_asked_again_later():
    with pytest.raises(Unreachable):
        robots.ask(Fetcher(Reach(), resolve=lambda _: []), "live", parse("https://nowhere.example.com/"))


@pytest.mark.parametrize(
    "page",
    [
        Page(b"#" * (robots.MAX_BYTES + 1), "text/plain"),
        Page(status=302, headers={"location": "http://169.254.169.254/"}),
        Page(status=302, headers={"location": "/robots.txt"}),
    ],
    ids=["too large", "led inside", "led in circles"],
)
def test_site_whose_rules_cannot_be_read_is_closed(page):
    with Site({"/robots.txt": page}) as site:
        told = robots.ask(LISTED, "live", parse(f"{site.url}/page"))

    assert told.state == "closed"
    assert not Rules(told).allows(parse("http://site.example.com/"))
