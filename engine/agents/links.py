"""Which links a reply may carry: those that stand in the agent's configuration or in a passage that it cites.

A link is whatever an app would make tappable, or a person would type into one: addresses of any scheme, bare host
names and numeric addresses, email addresses, also where they are disguised. Too much is found rather than too little:
a model is asked to rewrite what was meant otherwise.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from engine.agents.types import AgentSpec, Passage, TurnContext

WITHHELD = "I can't share links here, but a colleague will gladly help you with that."

_END = r"\s<>\"“”„«»`\\^|"
_LINK = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]{{1,30}}://[^{_END}]*)"
    rf"|(?<![\w.-])(?P<opaque>(?:mailto|tel|sms|javascript|data|vbscript|file|tg|skype|whatsapp|intent):[^{_END}]+)"
    r"|(?P<email>[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?![\w-]*[/:?#]\w))"
    rf"|(?P<host>[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,30}}(?::\d{{1,5}})?(?:[/?#][^{_END}]*)?)",
    re.I,
)
_NUMERIC = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
# Ways to write a dot that an app or a person reads as one.
_DOTS = re.compile(r"\s*[(\[{]\s*(?:\.|dot)\s*[)\]}]\s*|%2e|[。．｡․]", re.I)
_SPOKEN_DOT = re.compile(r"\s+dot\s+(?=(?:com|net|org|info|biz|io|co|xyz|app|dev|me|shop|site)\b)", re.I)
_LONELY_DOT = re.compile(r"\s*\.\s*(?=(?:com|net|org)\b)")
_EMAIL = re.compile(r"[^@\s/:]+@[^@\s/:]+")
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def foreign(context: TurnContext, reply: str, cited: Collection[int]) -> list[str]:
    """The links of a reply that the agent may not send. cited: positions, from 0, in the context's passages."""
    found = links_in(reply)
    if not found:
        return []
    allowed = _allowed(context, cited)
    return [link for link in found if link not in allowed]


def without(context: TurnContext, reply: str, cited: Collection[int]) -> str:
    """The reply without the sentences that hold a link the agent may not send; other words where nothing is left."""
    allowed = _allowed(context, cited)
    sentences = [part for part in _SENTENCE.split(reply) if part.strip() and allowed.issuperset(links_in(part))]
    kept = " ".join(sentences)
    return kept if kept and allowed.issuperset(links_in(kept)) else WITHHELD


def links_in(text: str) -> list[str]:
    """The links of a text in one spelling: without http(s) and www, hosts in lower case."""
    return list(_links(_plain(text)))


def _links(text: str) -> Iterator[str]:
    for match in _LINK.finditer(text):
        link = _trimmed(match.group())
        match match.lastgroup:
            case "scheme":
                yield _canonical(link)
            case "host" if _is_address(re.split(r"[/?#:]", link, maxsplit=1)[0]):
                yield _canonical(link)
            case "opaque" | "email":
                yield link.casefold()


def _allowed(context: TurnContext, cited: Collection[int]) -> frozenset[str]:
    """The links that stand where the account or a cited document put them, and the lead's own email addresses."""
    passages = [passage for number, passage in enumerate(context.passages) if number in cited]
    granted = [*_configured(context.agent), *(text for passage in passages for text in _texts(passage))]
    said = [message.content for message in context.history if message.role == "lead"]
    own = {link for text in (context.lead.email, *said) for link in links_in(text) if _EMAIL.fullmatch(link)}
    return frozenset(link for text in granted for link in links_in(text)) | own


def _configured(agent: AgentSpec) -> Iterable[str]:
    yield from (agent.name, agent.system_prompt, agent.goal, agent.instructions)
    yield from (agent.qualification_criteria, agent.handoff_message)
    for stage in agent.stages:
        yield from (stage.name, stage.prompt, stage.transition_criteria)
        yield from (way.condition for way in stage.next_stages)


def _texts(passage: Passage) -> Iterable[str]:
    return passage.title, passage.content, passage.source_url or ""


def _plain(text: str) -> str:
    """The text as it is seen: entities resolved, compatibility forms and invisible characters gone, dots as dots."""
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = re.sub(r"\bhxxp", "http", _DOTS.sub(".", text), flags=re.I)
    return _LONELY_DOT.sub(".", _SPOKEN_DOT.sub(".", text))


def _trimmed(link: str) -> str:
    """Without the punctuation of the sentence around it; closing brackets only where they were not opened within."""
    while link:
        last = link[-1]
        if last in ".,;:!?…'’*_~" or (last in _BRACKETS and link.count(last) > link.count(_BRACKETS[last])):
            link = link[:-1]
        else:
            break
    return link


def _canonical(link: str) -> str:
    scheme, separator, rest = link.partition("://")
    if not separator:
        scheme, rest = "https", link
    host, tail = re.fullmatch(r"([^/?#]*)(.*)", rest, re.S).groups()  # type: ignore[union-attr]  # matches any text
    host = re.sub(r":(?:80|443)$", "", host.casefold().lstrip("_*~-").removeprefix("www.")).rstrip(".")
    prefix = "" if scheme.casefold() in ("http", "https") else f"{scheme.casefold()}://"
    return prefix + host + ("" if tail == "/" else tail)


def _is_address(host: str) -> bool:
    """Whether one of the labels but the first is a top-level domain, so that glued-on words hide nothing."""
    labels = host.casefold().split(".")
    return bool(_NUMERIC.fullmatch(host)) or any(_is_top_level(label) for label in labels[1:])


@lru_cache(maxsize=4096)
def _is_top_level(label: str) -> bool:
    from tld import is_tld  # loads the list of suffixes that ships with it

    return not label.isdigit() and bool(label) and bool(is_tld(label))
