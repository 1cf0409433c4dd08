"""Invented people, as many as are asked for and always the same: the n-th of one run is the n-th of the next."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import phonenumbers

_FIRST = (
    *("Ada", "Ben", "Cleo", "Dara", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun"),
    *("Kai", "Lena", "Milo", "Nora", "Otis", "Pia", "Quin", "Rosa", "Sam", "Tess"),
)
_LAST = (
    *("Abara", "Berg", "Castillo", "Dorn", "Eaton", "Fonseca", "Grau", "Haas"),
    *("Iqbal", "Jansen", "Kato", "Lund", "Moreau", "Novak", "Ortiz", "Park"),
)
_CITIES = ("Lisbon", "Porto", "Madrid", "Paris", "Berlin", "Rome", "London", "Dublin", "Oslo", "Warsaw")
_STATUSES = ("new", "contacted", "qualified", "disqualified")
_TAGS = [*("newsletter", "trade fair", "customer", "partner", "vip", "demo"), *(f"list {n}" for n in range(30))]
_NUMBERS_OF_AN_AREA = 10_000

COLUMNS = ("Name", "Mobile", "Email", "Status", "Labels", "CRM id", "Company", "City")
MAPPING = {
    "Name": "name",
    "Mobile": "phone",
    "Email": "email",
    "Status": "status",
    "Labels": "tags",
    "CRM id": "externalId",
    "Company": "company",
    "City": "city",
}
COMMON_WORD = "smith"  # in the name of one in twelve
RARE_WORD = "quillfeather"  # of exactly one
STATUS = "qualified"  # a quarter of all
TAG = "vip"


def _has_phones(area: int) -> bool:
    number = phonenumbers.PhoneNumber(country_code=1, national_number=area * 10**7 + 5550100)
    return phonenumbers.is_valid_number(number)


_AREAS = [area for area in range(201, 990) if _has_phones(area)]


def phone(index: int) -> str:
    """The phone of the n-th person in E.164: exchange 555, where nobody lives; no two in some three million alike."""
    spread = index * 611_953 % (_NUMBERS_OF_AN_AREA * len(_AREAS))  # as in life, not in the order of an index
    return f"+1{_AREAS[spread // _NUMBERS_OF_AN_AREA]}555{spread % _NUMBERS_OF_AN_AREA:04}"


def _written(e164: str, style: int) -> str:
    area, exchange, line = e164[2:5], e164[5:8], e164[8:]
    return (e164, f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", e164)[style]


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """The first `count` people as rows of a file with COLUMNS."""
    draw = random.Random(20260101)
    for index in range(count):
        name = f"{draw.choice(_FIRST)} {draw.choice(_LAST) if index % 12 else 'Smith'}"
        if index == 500:
            name = f"Ada {RARE_WORD.title()}"
        tags = draw.sample(_TAGS, draw.randrange(4))
        yield (
            name,
            _written(phone(index), draw.randrange(4)),
            f"{name.lower().replace(' ', '.')}.{index}@example.com",
            draw.choice(_STATUSES),
            ", ".join(tags),
            f"crm-{index}",
            f"Example {draw.randrange(1000)} GmbH",
            draw.choice(_CITIES),
        )


def write_csv(path: Path, count: int) -> Path:
    """A file of the first `count` people."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(count))
    return path
