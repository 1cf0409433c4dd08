"""The compiled numbering plans against the library they are compiled from: where they answer, both say the same.

Numbers of every region and type, whole and spoilt, in several notations, read from several regions. Declining is no
error, but it costs: of the valid numbers in plain notation few may be declined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata, PhoneNumberType

from engine import phones
from engine.phones import Phone, PhoneError

NUMBERS = 120_000
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
READERS = ["US", "DE", "GB", "BR", "IT", "IN", "AR", "RU", "CA", "XX", None]


def examples() -> list[tuple[str, str, str]]:
    """Region, country code and national number of one number of each type and region, and those of no region."""
    found = []
    for region in REGIONS:
        for kind in PhoneNumberType.values():
            if number := phonenumbers.example_number_for_type(region, kind):
                national = phonenumbers.national_significant_number(number)
                found.append((region, str(number.country_code), national))
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        number = phonenumbers.example_number_for_non_geo_entity(code)
        found.append(("001", str(code), phonenumbers.national_significant_number(number)))
    return sorted(set(found))


def drawn(random: Random) -> Iterator[tuple[str, str | None]]:
    """Endless numbers, with the region they are read from."""
    known = examples()
    prefixes = {
        region: PhoneMetadata.metadata_for_region(region, None).national_prefix or "0" for region in REGIONS
    } | {"001": "0"}
    while True:
        region, code, national = random.choice(known)
        national = spoilt(random, national)
        prefix = prefixes[region]
        number = random.choice(
            [
                "+" + code + national,
                "+" + code + national,
                "+" + code + prefix + national,
                code + national,
                "00" + code + national,
                "011" + code + national,
                national,
                national,
                prefix + national,
                "0" + national,
            ]
        )
        yield grouped(random, number), random.choice([region, region, None, random.choice(READERS)])


def spoilt(random: Random, national: str) -> str:
    """As it is, or with other digits, one more or one less."""
    how = random.randrange(6)
    if how < 3:  # mostly another valid number
        keep = random.randint(2, len(national) - 1)
        return national[:keep] + "".join(random.choices("0123456789", k=len(national) - keep))
    if how == 3:
        place = random.randrange(len(national))
        return national[:place] + random.choice("0123456789") + national[place + 1 :]
    if how == 4:
        return national[:-1] if random.random() < 0.5 else national + random.choice("0123456789")
    return national


def grouped(random: Random, number: str) -> str:
    """In one of the notations that people use."""
    plus, digits = ("+", number[1:]) if number.startswith("+") else ("", number)
    sign = random.choice(["", "", " ", "-", ".", "  ", " - "])
    if not sign:
        return number
    first, second = sorted(random.sample(range(1, len(digits)), 2)) if len(digits) > 4 else (1, 2)
    parts = [digits[:first], digits[first:second], digits[second:]]
    if random.random() < 0.3:
        place = random.randrange(2)
        parts[place] = f"({parts[place]})"
    return plus + sign.join(parts)


def outcome(read: object, raw: str, region: str | None) -> Phone | str:
    try:
        return read(raw, region)  # type: ignore[operator]
    except PhoneError as error:
        return str(error)


def test_plans_agree_with_the_library():
    answered: Counter[bool] = Counter()
    for raw, region in islice(drawn(Random(20261124)), NUMBERS):
        at_once = phones.known_at_once(raw, region)
        answered[at_once is not None] += 1
        if at_once is not None:
            assert outcome(phones._understood, raw, region) == at_once, (raw, region)

    assert answered[True] > NUMBERS / 3


@pytest.mark.parametrize("region", REGIONS)
def test_numbers_of_every_region_areknown_at_once(region):
    """The usual ones, in international notation."""
    kinds = [PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE]
    for number in filter(None, (phonenumbers.example_number_for_type(region, kind) for kind in kinds)):
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

        assert phones.known_at_once(e164, None) == phones._understood(e164, None) == Phone(e164, True)


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("+12025550147", None, "+12025550147"),
        ("(202) 555-0147", "us", "+12025550147"),
        ("202.555.0147", "US", "+12025550147"),
        ("1-202-555-0147", "US", "+12025550147"),
        ("12025550147", None, "+12025550147"),
        ("0012025550147", None, "+12025550147"),
        ("0171 3920004", "DE", "+491713920004"),
        ("0049 171 3920004", "DE", "+491713920004"),
        ("+49 171 3920004", "US", "+491713920004"),
        ("06 12345678", "IT", "+390612345678"),
        ("98765 43210", "IN", "+919876543210"),
        ("(11) 91234-5678", "BR", "+5511912345678"),
    ],
)
def test_usual_notations_areknown_at_once(raw, region, e164):
    assert phones.known_at_once(raw, region) == phones._understood(raw, region) == Phone(e164, True)


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("2025550147.0", "US"),
        ("+44 (0)20 7946 0958", "GB"),
        ("+1 202 555 0147 +1 202 555 0148", "US"),
        ("030 / 23 125 300", "DE"),
        ("4.47701E+11", "US"),
        ("202-555-0147 x12", "US"),
        ("+1234567890", None),
        ("٢٠٢٥٥٥٠١٤٧", "US"),
    ],
)
def test_what_takes_more_is_left_to_the_library(raw, region):
    assert phones.known_at_once(raw, region) is None
