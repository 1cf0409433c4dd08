"""Which column feeds which lead field: a suggestion from headers and samples, and the plan made of a chosen mapping.

A mapping is {column: target}. Targets are the lead's fields (`name`, `phone`, `email`, `tags`, `source`, `externalId`,
`status`, `timezone`), the parts `firstName`, `middleName`, `lastName` of a name, and anything else: a custom field of
that name (`customFields.<name>` where it would read like a field). Several columns may feed one target. A column that
is not in the mapping, or has an empty target, is not imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine import phones
from engine.imports import cells
from engine.imports.source import clean_headers

MAX_CUSTOM_KEY = 100

TARGETS = (
    *("name", "firstName", "middleName", "lastName", "phone", "email"),
    *("tags", "source", "externalId", "status", "timezone"),
)
_CUSTOM_PREFIX = "customFields."
_SPELLINGS = {target.lower(): target for target in TARGETS} | {"leadid": "externalId"}

_WHOSE = r"(?:(?:person|lead|contact|customer|client) )?"
_KIND = r"(?:(?:mobile|cell|cellular|home|work|business|primary|private|personal|other|main|car|direct|whatsapp) )?"
_PLACE = r"(?: \d)?(?: (?:value|work|home|mobile|other|private|personal|business))?(?: \d)?"
_PHONE_WORD = (
    r"(?:(?:tele)?phone|tel|mobile|cell|cell ?phone|whatsapp|msisdn|handy|mobil|telefon|telefono|teléfono|téléphone"
    r"|telefone|celular|móvil|movil|телефон|電話|电话|(?:telefon|handy|mobil|phone|rufnummer|mobilfunk)nummer)"
)
_EMAIL_WORD = r"(?:e ?mail|mail|courriel|correo(?: electr[oó]nico)?)"
_ID_OF = r"(?:external|lead|contact|person|customer|client|record|crm|external lead)"
_HEADERS = {
    "name": rf"{_WHOSE}(?:full |display )?name|fullname|nombre completo|nom complet|имя",
    "firstName": rf"{_WHOSE}(?:first|given) ?name|forename|fname|vorname|prénom|prenom|nombre|voornaam",
    "middleName": rf"{_WHOSE}(?:middle|additional) ?name",
    "lastName": rf"{_WHOSE}(?:last|family) ?name|surname|lname|nachname|nom de famille|apellidos?|cognome|achternaam",
    "phone": rf"{_WHOSE}{_KIND}{_PHONE_WORD}(?: (?:number|no|nr|num))?{_PLACE}",
    "email": rf"{_WHOSE}{_KIND}{_EMAIL_WORD}(?: \d)?(?: address| adresse)?{_PLACE}",
    "tags": rf"{_WHOSE}(?:tags?|labels?)|categories|group membership",
    "source": rf"{_WHOSE}source|original source",
    "externalId": rf"(?:{_ID_OF} )?id(?: contact| lead)?",
    "status": rf"{_WHOSE}status",
    "timezone": rf"{_WHOSE}time ?zone|tz|zeitzone",
}
_PATTERNS = {target: re.compile(pattern) for target, pattern in _HEADERS.items()}
_SINGLE = {"name", "firstName", "middleName", "lastName", "source", "externalId", "status", "timezone"}


class MappingError(ValueError):
    """The mapping does not fit the file; the message names the column or the missing field."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping resolved against the headers, in the order of the file: columns by target, columns by custom field."""

    fields: dict[str, tuple[str, ...]]
    custom: dict[str, tuple[str, ...]]

    def texts(self, target: str, row: Mapping[str, str]) -> list[str]:
        """The non-empty texts of this row that feed the target."""
        return [text for column in self.fields.get(target, ()) if (text := row.get(column, ""))]


def suggest_mapping(headers: Sequence[str], sample_rows: Iterable[Mapping[str, str]] = ()) -> dict[str, str]:
    """A mapping for these headers, every column in it: known columns by their names in the usual exports.

    Where no header tells, a column whose samples are all e-mail addresses, or all phones with "+", feeds that field.
    """
    rows = list(sample_rows)
    chosen: dict[str, str] = {}
    for header in headers:
        target = _target_of(header)
        if target and not (target in _SINGLE and target in chosen.values()):
            chosen[header] = target
    for target, reads in (("email", _reads_as_email), ("phone", _reads_as_phone)):
        if target not in chosen.values():
            found = [header for header in headers if header not in chosen and _all_samples(rows, header, reads)]
            chosen |= dict.fromkeys(found, target)
    return {header: chosen.get(header) or _custom_target(header) for header in headers}


def plan(headers: Sequence[str], mapping: Mapping[str, str]) -> Plan:
    """The mapping as a plan for these headers. Raises MappingError: unknown column, or nothing that names a person."""
    by_column = {_column(headers, column): target.strip() for column, target in mapping.items() if target}
    fields: dict[str, tuple[str, ...]] = {}
    custom: dict[str, tuple[str, ...]] = {}
    for column in headers:
        if not (target := by_column.get(column, "")):
            continue
        field = _SPELLINGS.get(re.sub(r"[^a-z]", "", target.lower())) if _is_field(target) else None
        group, key = (fields, field) if field else (custom, _custom_key(target))
        group[key] = (*group.get(key, ()), column)
    if not fields.keys() & {"phone", "email", "externalId"}:
        raise MappingError("Map at least one column to phone, email or externalId.")
    return Plan(fields, custom)


def _target_of(header: str) -> str | None:
    words = " ".join(re.findall(r"[^\W_]+", header.lower()))
    return next((target for target, pattern in _PATTERNS.items() if pattern.fullmatch(words)), None)


def _is_field(target: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z_ -]*", target) is not None


def _custom_target(header: str) -> str:
    key = _custom_key(header)
    reads_like_field = re.sub(r"[^a-z]", "", key.lower()) in _SPELLINGS and _is_field(key)
    return _CUSTOM_PREFIX + key if reads_like_field else key


def _custom_key(target: str) -> str:
    """The custom field's name; one over 100 characters (a survey question) is cut and ends in "…"."""
    key = target.removeprefix(_CUSTOM_PREFIX).strip()
    return key if len(key) <= MAX_CUSTOM_KEY else key[: MAX_CUSTOM_KEY - 1] + "…"


def _column(headers: Sequence[str], column: str) -> str:
    if column in headers:
        return column
    (cleaned,) = clean_headers([column])
    if cleaned in headers:
        return cleaned
    raise MappingError(f"The file has no column '{column[:100]}'.")


def _all_samples(rows: Sequence[Mapping[str, str]], header: str, reads: Callable[[str], bool]) -> bool:
    samples = [text for row in rows if (text := cells.fact(cells.clean(row.get(header, ""))))]
    return bool(samples) and all(reads(text) for text in samples)


def _reads_as_email(text: str) -> bool:
    return bool(cells.emails(text))


def _reads_as_phone(text: str) -> bool:
    try:
        return "+" in text and phones.first_of(text)[0].valid
    except phones.PhoneError:
        return False
