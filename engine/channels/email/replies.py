"""A reply without what it quotes and without its signature: what the person wrote this time.

A quotation starts with a line that says who wrote (`On … wrote:`), with a block of headers, or with a separator. Where
its lines are marked by ">", what stands between them unmarked is an answer too; where they are not, all that follows
is quoted. Each line is looked at a fixed number of times, with patterns that cannot backtrack into each other: anybody
may send an email of any length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.channels.email.reply_words import HEADER_LABELS, MOBILE, OPENERS, PARTICLES, SENDER_LABELS, SIGN_OFFS, WROTE

_MOST_LINES = 4000
_LONGEST_INTRODUCTION = 400  # characters, over up to three lines
_LONGEST_SIGN_OFF = 40
_MOST_SIGNATURE_LINES = 8
_LONGEST_SIGNATURE_LINE = 80
_SEPARATOR = re.compile(r"-{4,20}[ ]?[^-]{3,60}[ ]?-{4,20}|Begin forwarded message:")
_RULE = re.compile(r"[_-]{20,200}")
_LABEL = re.compile(r"\*{0,2}([^\W\d_][\w ]{0,20}?)\*{0,2}[ ]{0,2}[:：]\*{0,2}")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.")
_DATED = re.compile(r"\d{1,2}[:.hH]\d{2}|\b(?:19|20)\d{2}\b|\d{4}年")


def own_words(body: str) -> str:
    """The new part of an email; "" where everything is quoted."""
    lines = [line.rstrip() for line in body.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ").split("\n")]
    kept = "\n".join(_without_signature(_unquoted(lines[:_MOST_LINES]))).strip()
    return re.sub(r"\n{3,}", "\n\n", kept)


def _unquoted(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    position = 0
    while position < len(lines):
        if _is_marked(lines[position]):
            position += 1
            continue
        length = _introduction(lines, position)
        if not length:
            kept.append(lines[position])
            position += 1
            continue
        position += length
        if not _is_marked(_next_words(lines, position)):
            break
    return kept


def _is_marked(line: str) -> bool:
    return line.lstrip().startswith(">")


def _next_words(lines: Sequence[str], position: int) -> str:
    return next((line for line in lines[position : position + 5] if line.strip()), "")


def _introduction(lines: Sequence[str], position: int) -> int:
    """How many lines introduce a quotation here; 0 where none starts."""
    first = lines[position].strip()
    if not first:
        return 0
    if _SEPARATOR.fullmatch(first) or (_RULE.fullmatch(first) and _headers(lines, position + 1)):
        return 1
    return _who_wrote(lines, position) or _headers(lines, position)


def _who_wrote(lines: Sequence[str], position: int) -> int:
    """How many lines, up to three, are `On 21 November Ada wrote:`, and no words of the person before it."""
    for length in range(1, 4):
        if not _says_who_wrote(lines, position, position + length):
            continue
        later = any(
            _says_who_wrote(lines, start, position + length) for start in range(position + 1, position + length)
        )
        return length if not later or (_DATED.search(lines[position]) and _opens(lines[position])) else 0
    return 0


def _says_who_wrote(lines: Sequence[str], start: int, end: int) -> bool:
    """In a known language with a time or an address, or in any with an address before lines that are marked."""
    told = [line.strip() for line in lines[start:end]]
    if len(told) < end - start or not all(told) or sum(map(len, told)) > _LONGEST_INTRODUCTION:
        return False
    joined = " ".join(told)
    if not joined.endswith((":", "：")):
        return False
    if any(word in joined.lower() for word in WROTE) and (_EMAIL.search(joined) or _DATED.search(joined)):
        return True
    return _EMAIL.search(joined) is not None and _is_marked(_next_words(lines, end))


def _opens(line: str) -> bool:
    return line.strip().lower().startswith(OPENERS)


def _headers(lines: Sequence[str], position: int) -> int:
    """`From: … Sent: … To: …`: who, and at least two more of these within the next lines."""
    if position >= len(lines) or _label(lines[position]) not in SENDER_LABELS:
        return 0
    found, last = {""}, position
    for index in range(position + 1, min(position + 8, len(lines))):
        label = _label(lines[index])
        if label in HEADER_LABELS and label not in found:
            found.add(label)
            last = index
    return last - position + 1 if len(found) > 2 else 0


def _label(line: str) -> str:
    match = _LABEL.match(line.strip())
    return match[1].strip().lower() if match else ""


def _without_signature(lines: list[str]) -> list[str]:
    """Without what follows "-- ", what a phone adds, and a short farewell with a name at the end."""
    for position, line in enumerate(lines):
        if line == "--" and position:
            lines = lines[:position]
            break
    lines = _trimmed(lines)
    while len(lines) > 1 and lines[-1].lower().startswith(MOBILE) and len(lines[-1]) <= _LONGEST_SIGNATURE_LINE:
        lines = _trimmed(lines[:-1])
    for position in range(max(1, len(lines) - _MOST_SIGNATURE_LINES), len(lines)):
        if _is_sign_off(lines[position]) and _is_signature(lines[position + 1 :]):
            return _trimmed(lines[:position])
    return lines


def _is_sign_off(line: str) -> bool:
    """A line that is nothing but the farewell: "Thanks, that helps" goes on."""
    return len(line) <= _LONGEST_SIGN_OFF and line.strip().strip(",.!;–- ").lower() in SIGN_OFFS


def _is_signature(lines: Sequence[str]) -> bool:
    """Nothing, or first a name and then only short lines: "Thanks" may also stand before what the person wants."""
    told = [line.strip() for line in lines if line.strip()]
    if not told:
        return True
    words = told[0].rstrip(",").split()
    is_name = len(words) <= 4 and not told[0].endswith((".", "?", "!", ":")) and not any(map(str.isdecimal, words))
    is_name = is_name and all(word in PARTICLES or word[0].upper() == word[0] for word in words)
    return is_name and all(len(line) <= _LONGEST_SIGNATURE_LINE for line in told)


def _trimmed(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]
