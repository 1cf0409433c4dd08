"""What a single cell means: absent or not, e-mail addresses, tags, a status of ours, a time zone.

Exports put marks into cells: spreadsheets a leading apostrophe or `="…"` to keep text as text, CRMs "[not provided]",
Outlook "0/0/00" for no date, ad platforms `l:` in front of ids. Formulas are text like any other.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import cache, lru_cache

MAX_EMAIL = 254
MAX_LOCAL = 64  # of it before the @
TEST_LEAD = "<test lead: dummy data"

_EDGES = " \t\r\n\f\v\u00a0\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_FORMULA_TEXT = re.compile(r'="(.*)"', re.DOTALL)
_TEXT_MARK = re.compile(r"'(?=[=+\-@\d])")  # not the apostrophe of 't Hooft
_AD_ID = re.compile(r"^(?:ag|as|[lpfc]):(?=\d{10,}$)")
_ABSENT_ANYWHERE = {"[not provided]", "(not provided)", "not provided", "0/0/00"}
_ABSENT_FACTS = {"n/a", "na", "none", "null", "nil", "unknown", "undefined", "#n/a"}
_BETWEEN = "\x00"  # the texts of a row, none of which has it
_MAY_NEED_CLEANING = re.compile(
    rf"(?:\A|\x00)(?:[{_EDGES}]|=\"|'|[\[(]?[nN][oO][tT] |0/0|[^\x00]{{1,2}}:)|[{_EDGES}](?:\x00|\Z)"
)
_EMAIL_SEPARATOR = re.compile(r":::|[;,|\n\r]")
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_EMAIL = re.compile(
    r"(?P<local>[^\s@<>\"',;:()\[\]\\.]+(?:\.[^\s@<>\",;:()\[\]\\.]+)*)@"
    r"(?P<domain>(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,})"
)
_PLAIN_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
)
_TAG_SEPARATOR = re.compile(r":::|[;,|\n\r]")
_REMEMBERED = 200  # characters of a text that may come again in many rows

_STATUSES = {
    "new": "new, open, created, open not contacted, not contacted, uncontacted, untouched, fresh",
    "contacted": "contacted, working, working contacted, in progress, attempted to contact, attempting, connected, "
    "engaged",
    "qualified": "qualified, open deal, closed converted, converted, sales qualified, sql, won, closed won, customer",
    "disqualified": "disqualified, unqualified, not qualified, closed not converted, not converted, lost, closed lost, "
    "junk, junk lead, not interested, dead, rejected",
}
_STATUS_OF = {text: status for status, texts in _STATUSES.items() for text in texts.split(", ")}


def clean_all(texts: list[str]) -> list[str]:
    """Each of the texts, clean. Most need nothing; that is seen at a glance."""
    return texts if _MAY_NEED_CLEANING.search(_BETWEEN.join(texts)) is None else [clean(text) for text in texts]


def clean(raw: str) -> str:
    """The text a person meant: trimmed, spreadsheet marks removed, "" where the export says that there is none."""
    text = raw.strip(_EDGES)
    if formula := _FORMULA_TEXT.fullmatch(text):
        text = formula[1].replace('""', '"').strip(_EDGES)
    text = _AD_ID.sub("", _TEXT_MARK.sub("", text, count=1) if text.startswith("'") else text)
    return "" if text.lower() in _ABSENT_ANYWHERE else text


def fact(text: str) -> str:
    """A clean text, or "" where it only stands for a missing fact: "n/a", "unknown", "-". Not for names (Mr. Null)."""
    return text if has_content(text) and text.lower() not in _ABSENT_FACTS else ""


def has_content(text: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return text[:1].isalnum() or any(map(str.isalnum, text))


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def emails(text: str) -> tuple[str, ...]:
    """The valid addresses of a cell (`a@example.com; Bo <b@example.com>`), their domains in lower case."""
    if len(text) <= MAX_EMAIL and _PLAIN_EMAIL.fullmatch(text):
        local, _, domain = text.partition("@")
        if len(local) <= MAX_LOCAL:
            return (text if domain.islower() else f"{local}@{domain.lower()}",)
        return ()
    found = [_email(part) for part in _EMAIL_SEPARATOR.split(text)]
    return tuple(dict.fromkeys(address for address in found if address))


def _email(part: str) -> str:
    bracketed = _IN_BRACKETS.search(part)
    address = (bracketed[1] if bracketed else part).strip(_EDGES + "'\"").removeprefix("mailto:")
    match = _EMAIL.fullmatch(address) if len(address) <= MAX_EMAIL else None
    if not match or len(match["local"]) > MAX_LOCAL:
        return ""
    return f"{match['local']}@{match['domain'].lower()}"


def tags(text: str) -> tuple[str, ...]:
    """Tags in order, without repeats; separated by ";", ",", "|", ":::" or line breaks.

    Google marks its system groups with "* ": the mark goes, and so does "* myContacts", which stands at everybody.
    """
    return _tags(text) if len(text) <= _REMEMBERED else _tags.__wrapped__(text)


@lru_cache(maxsize=1024)
def _tags(text: str) -> tuple[str, ...]:
    parts = [one_line(part).strip(_EDGES) for part in _TAG_SEPARATOR.split(text)]
    return tuple(dict.fromkeys(part.removeprefix("* ") for part in parts if part and part != "* myContacts"))


def status(text: str) -> str:
    """Our status for a CRM's word ("Open - Not Contacted" → new), or "" for a word that tells nothing certain."""
    return _status(text) if len(text) <= _REMEMBERED else _status.__wrapped__(text)


@lru_cache(maxsize=1024)
def _status(text: str) -> str:
    return _STATUS_OF.get(" ".join(re.findall(r"[^\W_]+", text.lower())), "")


def timezone(text: str) -> str:
    """The IANA name ("Europe/Berlin") in its own spelling, or "" if there is no such zone."""
    return _zones().get(text.lower().replace("_slash_", "/").replace(" ", "_"), "")


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in zoneinfo.available_timezones()}
