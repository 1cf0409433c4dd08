"""Phone numbers in any notation to E.164, and the digits a search compares.

Spreadsheets, forms and CRMs write one number in many ways. `normalize` reads one number, `first_of` a cell that may
hold several. A number the library calls valid wins; what is merely 7 to 15 digits is kept as "+digits" and marked
invalid, so that nothing is lost and nothing is sent to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec
import phonenumbers
from phonenumbers import re_util

from engine import phone_plans

MIN_DIGITS = 7
MAX_DIGITS = 15
MAX_TEXT = 1000  # characters of a cell; more is prose, and slow to search for separators

_LABEL = re.compile(r"^[A-Za-z]{1,12}:\s*")  # tel:, p: (lead ads), whatsapp:, Mobile:
_URI_PARAMETER = re.compile(r";[a-z-]+=[^;,\s]*", re.IGNORECASE)  # ;ext=4 ;phone-context=+1
_FORMULA_TEXT = re.compile(r'^="([^"]*)"$')
_EXTENSION = re.compile(
    r"(?<=\d)[\s,;)]*(?:extension|extn?|x|#|доб|durchwahl|anexo|interno|poste)\s*[.:]?\s*\d{1,7}\s*$", re.IGNORECASE
)
_SCIENTIFIC = re.compile(r"^\+?(\d)(?:[.,](\d*))?E\+?(\d{1,2})$", re.IGNORECASE)
_FLOAT = re.compile(r"^(\+?\d{7,15})[.,]0+$")  # a number column that went through a data frame
_VANITY = re.compile(r"^\+?\d[\d\s().-]{2,}[A-Z][A-Z\d\s.-]{2,}$")
_TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")
_PLAIN = re.compile(  # nothing but a number, in the signs that group digits; no trunk zero in brackets
    r"(?=[+(0-9])\+?[0-9 .-]*+(?:\([0-9][0-9 .-]*[0-9]\)[0-9 .-]*+)?(?<=[0-9])"
)
_LONGEST_PLAIN = 40  # characters
_NO_DIGITS = str.maketrans("", "", "+ ().-")
_HARD_SEPARATOR = re.compile(r"\s*(?::::|[;,|\n\r])\s*|(?<=\d)\s+(?=\+)|\s+(?:or|and|oder|und)\s+")
_SLASH = re.compile(r"\s*/\s*")

if hasattr(re_util, "enable_pattern_cache"):  # else numbers from many countries compile their patterns every time
    re_util.enable_pattern_cache()


class PhoneError(ValueError):
    """The text holds no phone number; the message tells the person who typed it why."""


class Phone(msgspec.Struct, frozen=True):
    """`e164` starts with "+"; `valid` says whether it is a number that exists in the numbering plans."""

    e164: str
    valid: bool


def digits(raw: str) -> str:
    """The digits of a text as ASCII, whatever script they are written in; "" when there is none."""
    return "".join(str(unicodedata.decimal(char)) for char in raw if char.isdecimal())


def normalize(raw: str, region: str | None = None) -> Phone:
    """One phone number as E.164, its extension dropped.

    region: ISO country ("US") whose national notation is read; without it digits without "+" count as international.
    7 to 15 digits that are no valid number come back as "+digits", invalid. Raises PhoneError for fewer or more
    digits, and for a number that a spreadsheet rounded (4.47701E+11).
    """
    return known_at_once(raw, region) or _understood(raw, region)


def known_at_once(raw: str, region: str | None) -> Phone | None:
    """A valid number in plain notation; None where it takes more to tell, or it is none."""
    if len(raw) > _LONGEST_PLAIN or not _PLAIN.fullmatch(raw) or ("." in raw and _FLOAT.match(raw)):
        return None
    number = raw.translate(_NO_DIGITS)
    if len(number) < MIN_DIGITS:
        return None
    if raw[0] == "+":
        e164 = phone_plans.international(number)
    elif region:
        e164 = phone_plans.national(number, region.upper())
    else:
        e164 = phone_plans.international(number[2:] if number.startswith("00") else number)
    return Phone(e164, True) if e164 else None


def _understood(raw: str, region: str | None) -> Phone:
    text = _plain(raw)
    text = _expand_scientific(text)
    dialled = _EXTENSION.sub("", _URI_PARAMETER.sub("", text))
    text = dialled if len(digits(dialled)) >= MIN_DIGITS else text  # else it was no extension but most of the number
    country = region.upper() if region else None
    for reading in _readings(text, country):
        if e164 := _valid_e164(reading, country):
            return Phone(e164, True)
    return Phone("+" + _kept_digits(text, raw), False)


def first_of(raw: str, region: str | None = None) -> tuple[Phone, tuple[Phone, ...]]:
    """The first valid phone of a cell that may hold several (else the first kept one), and the others without repeats.

    Separators are ":::", ";", ",", "|", line breaks, "or", "and", and "/" between whole numbers: "030 / 23 125 300"
    stays one number. Raises PhoneError when no part holds a number.
    """
    if phone := known_at_once(raw, region):
        return phone, ()
    text = _EXTENSION.sub("", _URI_PARAMETER.sub("", _plain(raw)))
    rounded = _SCIENTIFIC.match(text)  # its comma is no separator
    parts = [text] if rounded else _rejoin([part for part in _HARD_SEPARATOR.split(text) if digits(part)])
    found, problems = _read_all([piece for part in parts for piece in _split_slash(part, region)], region)
    if not found:
        raise problems[0] if problems else PhoneError(f"There is no phone number in {_shown(raw)}.")
    found = list(dict.fromkeys(sorted(found, key=lambda phone: not phone.valid)))
    return found[0], tuple(found[1:])


def _plain(raw: str) -> str:
    """ASCII digits, simple spaces and signs; wrappers of spreadsheets and labels in front of the number removed."""
    if len(raw) > MAX_TEXT:
        raise PhoneError(f"{_shown(raw)} is too long for phone numbers: {len(raw)} characters.")
    text = unicodedata.normalize("NFKC", raw)
    text = "".join(
        str(unicodedata.decimal(char)) if char.isdecimal() else "-" if unicodedata.category(char) == "Pd" else char
        for char in text
        if unicodedata.category(char) != "Cf"  # direction marks, zero-width characters
    ).strip()
    if wrapped := _FORMULA_TEXT.match(text):
        text = wrapped[1].strip()
    text = _LABEL.sub("", text.lstrip("'’` "))
    return _FLOAT.sub(r"\1", text.strip())


def _expand_scientific(text: str) -> str:
    match = _SCIENTIFIC.match(text)
    if not match:
        return text
    lead, fraction, exponent = match[1], match[2] or "", int(match[3])
    if len(fraction) != exponent:
        raise PhoneError(
            f"A spreadsheet rounded this number to {_shown(text)}, its last digits are lost. "
            "Format the column as text and export again."
        )
    return lead + fraction


def _readings(text: str, region: str | None) -> Iterator[str]:
    """Ways to understand the text, the most literal first; only the one that gives a valid number is taken."""
    number = digits(text)
    literal = "+" + number if text.startswith("+") else number
    dialled = _TRUNK_ZERO.sub("", text)
    if len(number) >= MIN_DIGITS:
        yield text if _TRUNK_ZERO.search(text) else literal
        yield from _international(literal, region)
        if dialled != text:
            without_zero = ("+" if text.startswith("+") else "") + digits(dialled)
            yield without_zero
            yield from _international(without_zero, region)
    if _VANITY.match(text):
        yield text


def _international(number: str, region: str | None) -> Iterator[str]:
    """Other spellings of an international number: 00 in front, a prefix put before a prefix, no prefix at all."""
    if number.startswith("00") and number[2:3] != "0":
        yield "+" + number[2:]
    if doubled := re.match(r"\+[1-9]\d{0,2}?00([1-9]\d{7,})$", number):  # "+1" + "001 202 …" from a form's country list
        yield "+" + doubled[1]
    if not number.startswith(("+", "0")) and (region is None or _too_long(number, region)):
        yield "+" + number


def _parse(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _too_long(number: str, region: str) -> bool:
    parsed = _parse(number, region)
    too_long = phonenumbers.ValidationResult.TOO_LONG
    return parsed is not None and phonenumbers.is_possible_number_with_reason(parsed) == too_long


def _valid_e164(text: str, region: str | None) -> str | None:
    parsed = _parse(text, region)
    if parsed is None or not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _kept_digits(text: str, raw: str) -> str:
    if text.startswith(("+", "00")):
        text = _TRUNK_ZERO.sub("", text)
    number = digits(text)
    if number.startswith("00") and number[2:3] not in ("", "0") and len(number) >= MIN_DIGITS + 2:
        number = number[2:]
    if not number:
        raise PhoneError(f"There is no phone number in {_shown(raw)}.")
    if not MIN_DIGITS <= len(number) <= MAX_DIGITS:
        raise PhoneError(f"A phone number has {MIN_DIGITS} to {MAX_DIGITS} digits, {_shown(raw)} has {len(number)}.")
    return number


def _rejoin(parts: list[str]) -> list[str]:
    """The parts, an area code put back: "+49 171, 3920004" is one number, its end alone would be a stranger's."""
    joined: list[str] = []
    for part in parts:
        starts_number = part.startswith(("+", "0"))
        if joined and not starts_number and joined[-1].startswith(("+", "0")) and len(digits(joined[-1])) < MIN_DIGITS:
            joined[-1] += " " + part
        else:
            joined.append(part)
    return joined


def _split_slash(part: str, region: str | None) -> list[str]:
    """The numbers around slashes, or the part unchanged where the slash only groups the digits of one number."""
    pieces = _SLASH.split(part)
    if len(pieces) == 1 or any(len(digits(piece)) < MIN_DIGITS for piece in pieces):
        return [part]
    whole, _ = _read_all([part], region)
    return [part] if any(phone.valid for phone in whole) else pieces


def _read_all(parts: list[str], region: str | None) -> tuple[list[Phone], list[PhoneError]]:
    found: list[Phone] = []
    problems: list[PhoneError] = []
    for part in parts:
        try:
            found.append(normalize(part, region))
        except PhoneError as problem:
            problems.append(problem)
    return found, problems


def _shown(raw: str) -> str:
    text = " ".join(raw.split())
    return f"'{text[:39]}…'" if len(text) > 40 else f"'{text}'"
