"""Numbering plans, compiled: whether plain digits are a valid number, some twenty times as fast as the library says it.

Built at first use from the metadata of `phonenumbers` itself, a regular expression for each country code. What would
take more than that (carrier codes, a number that can be read in two ways) is declined, and left to the library; so
is every number that is not valid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata

_CODES = {str(code): code for code in COUNTRY_CODE_TO_REGION_CODE}
_LONGEST_CODE = 3
_TYPES = (
    *("fixed_line", "mobile", "premium_rate", "toll_free", "shared_cost"),
    *("voip", "personal_number", "pager", "uan", "voicemail"),
)


@dataclass(frozen=True, slots=True)
class _Country:
    """What follows a country code: the national prefix, which does not belong here, and the valid numbers."""

    national_prefix: re.Pattern[str] | None
    valid: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Region:
    """How numbers are dialled inside a region; `lengths` are those of whole national numbers.

    begins: how a number begins that is dialled to abroad, with a national prefix, or may have the country code.
    """

    code: str
    begins: re.Pattern[str]
    international_prefix: re.Pattern[str] | None
    national_prefix: re.Pattern[str] | None
    transforms: bool
    possible: re.Pattern[str]
    lengths: frozenset[int]
    country: _Country


def international(digits: str) -> str | None:
    """E.164 of the digits after a "+", if they are a valid number for certain."""
    for size in range(1, _LONGEST_CODE + 1):
        country = _country(digits[:size])
        if country is not None:
            number = digits[size:]
            if _may_be_prefixed(number, country.national_prefix):
                return None
            return "+" + digits if country.valid.fullmatch(number) else None
    return None


def national(digits: str, region: str) -> str | None:
    """E.164 of digits as they are dialled in this region (ISO country, upper case), if valid for certain."""
    plan = _region(region) if region in SUPPORTED_REGIONS else None
    if plan is None:
        return None
    if plan.begins.match(digits):
        return _prefixed(digits, plan)
    return f"+{plan.code}{digits}" if plan.country.valid.fullmatch(digits) else None


def _prefixed(digits: str, plan: _Region) -> str | None:
    if plan.international_prefix is not None and plan.international_prefix.match(digits):
        is_plain = plan.international_prefix.pattern == "00" and digits[2:3] != "0"
        return international(digits[2:]) if is_plain else None
    if digits.startswith(plan.code) and not (plan.possible.fullmatch(digits) and len(digits) in plan.lengths):
        return _without_plus(digits, plan)
    prefix = plan.national_prefix.match(digits) if plan.national_prefix is not None else None
    if prefix is not None:
        if plan.transforms and prefix.groups()[-1] is not None:
            return None
        digits = digits[prefix.end() :]
        if not (plan.possible.fullmatch(digits) and len(digits) in plan.lengths):
            return None
    return f"+{plan.code}{digits}" if plan.country.valid.fullmatch(digits) else None


def _without_plus(digits: str, plan: _Region) -> str | None:
    """A number that begins with its country code, if it can be nothing else."""
    rest = digits[len(plan.code) :]
    if plan.possible.fullmatch(digits) or _may_be_prefixed(rest, plan.national_prefix):
        return None
    return international(digits) if plan.possible.fullmatch(rest) else None


def _may_be_prefixed(number: str, prefix: re.Pattern[str] | None) -> bool:
    """Whether it begins like a number with national prefix; some patterns also match where there is nothing."""
    found = prefix.match(number) if prefix is not None else None
    return found is not None and (found.end() > 0 or any(group is not None for group in found.groups()))


@cache
def _country(code: str) -> _Country | None:
    if code not in _CODES:
        return None
    regions = COUNTRY_CODE_TO_REGION_CODE[_CODES[code]]
    plans: list[Any] = [PhoneMetadata.metadata_for_region_or_calling_code(_CODES[code], region) for region in regions]
    return _Country(_compiled(plans[0].national_prefix_for_parsing), re.compile(_valid(plans)))


@cache
def _region(region: str) -> _Region | None:
    plan: Any = PhoneMetadata.metadata_for_region(region, None)
    country = _country(str(plan.country_code))
    if country is None:
        return None
    begins = filter(None, (str(plan.country_code), plan.international_prefix, plan.national_prefix_for_parsing))
    return _Region(
        str(plan.country_code),
        re.compile("|".join(f"(?:{pattern})" for pattern in begins)),
        _compiled(plan.international_prefix),
        _compiled(plan.national_prefix_for_parsing),
        bool(plan.national_prefix_transform_rule),
        re.compile(plan.general_desc.national_number_pattern),
        frozenset(plan.general_desc.possible_length) - frozenset(plan.general_desc.possible_length_local_only),
        country,
    )


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None


def _valid(plans: list[Any]) -> str:
    """The valid numbers of the regions that share a code; leading digits, where given, say whose a number is."""
    if len(plans) == 1:
        return _kinds(plans[0])
    choices: list[str] = []
    for plan in reversed(plans):
        if plan.leading_digits is None:
            choices.insert(0, _kinds(plan))
        else:
            leads, others = f"(?:{plan.leading_digits})", "|".join(choices)
            choices = [f"(?={leads})(?:{_kinds(plan)})", *([f"(?!{leads})(?:{others})"] if others else [])]
    return "|".join(choices)


def _kinds(plan: Any) -> str:
    """The valid numbers of one region: of one of the types, and possible at all."""
    types = [
        _numbers(getattr(plan, name))
        for name in _TYPES
        if not (name == "mobile" and plan.same_mobile_and_fixed_line_pattern)
    ]
    distinct = "|".join(dict.fromkeys(filter(None, types)))
    return rf"(?=(?:{_numbers(plan.general_desc)})\Z)(?:{distinct or '(?!)'})"


def _numbers(kind: Any) -> str:
    if kind is None or not kind.national_number_pattern:
        return ""
    lengths = "|".join(f"[0-9]{{{length}}}" for length in kind.possible_length if length > 0)
    held = rf"(?=(?:{lengths})\Z)" if lengths else ""
    return f"{held}(?:{kind.national_number_pattern})"
