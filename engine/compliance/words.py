"""May this lead be written to on this channel, and does this message ask for silence? Decisions only.

After an opt-out a person gets one confirmation and then silence on every channel, until they ask to hear from us again.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from storage.tenancy import Environment

CONFIRMATION = "You will get no more messages from us. Reply START if you change your mind."

_STOP_WORDS = {"stop", "stopall", "unsubscribe", "end", "quit", "cancel", "revoke", "optout", "arret", "remove"}
_START_WORDS = {"start", "unstop", "subscribe", "optin"}
_PERSON = r"(?:me|us|this number|this address)"
_FOR_GOOD = r"(?:(?:any ?more|again|ever|any longer|please)\s*)*"
_SENTENCES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:please )?stop(?: please| it| this| now)*",
        rf"(?:please )?stop (?:texting|messaging|contacting|writing|emailing|calling|bothering|spamming)(?: to)? "
        rf"{_PERSON}\s*{_FOR_GOOD}",
        r"(?:please )?stop (?:sending|all)(?: me)?(?: these| any| your| the)? (?:messages|texts|emails|mails)"
        rf"\s*{_FOR_GOOD}",
        rf"(?:please )?(?:do not|dont|never) (?:ever )?(?:contact|text|message|email|write to|write|call) {_PERSON}"
        rf"\s*{_FOR_GOOD}",
        r"(?:please )?(?:unsubscribe|opt) me(?: out)?(?: of this| from this)?(?: please)?",
        r"(?:i want to |i would like to |please )?(?:opt out|unsubscribe)(?: please)?",
        r"(?:please )?(?:take|remove|delete) (?:me|my (?:number|address|email|data)) (?:off|from) (?:your|the|this) "
        r"(?:mailing |contact )?(?:list|database|system)(?: please)?",
        r"(?:please )?leave me alone(?: please| now)?",
        r"no more (?:messages|texts|emails|mails)(?: please)?",
    )
)


class Refusal(NamedTuple):
    """The rule that forbids a message, and what to tell the account."""

    rule: Literal["opted_out", "no_valid_phone", "no_email"]
    message: str


def forbids(
    environment: Environment, channel: str, *, phone: str, phone_valid: bool, email: str, opted_out: list[str]
) -> Refusal | None:
    """What forbids a message to this lead on this channel; None if it may go.

    In the test environment a number need not exist, since nothing is sent to it.
    """
    if channel in opted_out:
        return Refusal("opted_out", "The lead has opted out of this channel")
    reachable = phone != "" and (phone_valid or environment == "test")
    if channel in ("whatsapp", "sms") and not reachable:
        return Refusal("no_valid_phone", "The lead has no valid phone number")
    if channel == "email" and not email:
        return Refusal("no_email", "The lead has no email address")
    return None


def wish(text: str) -> Literal["stop", "start"] | None:
    """Whether a lead's message asks for silence, or to be written to again; None for any other message.

    A word counts only alone: "I must cancel Monday's call" is no opt-out.
    """
    said = _plain(text)
    word = said.replace(" ", "")
    if word in _STOP_WORDS or any(sentence.fullmatch(said) for sentence in _SENTENCES):
        return "stop"
    return "start" if word in _START_WORDS else None


def _plain(text: str) -> str:
    """Lower case, without accents, apostrophes and punctuation, single spaces; empty for anything long."""
    if len(text) > 120:  # a long message is more than an opt-out: the agent reads it
        return ""
    folded = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(char for char in folded if not unicodedata.combining(char) and char not in "'’`")
    return " ".join(re.sub(r"[^\w]+|_+", " ", letters).split())
