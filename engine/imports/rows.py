"""Rows of a file as leads, or as errors a person can act on.

A row needs a phone, an e-mail address or an external id. What does not fit its field is never lost silently: it stands
in a custom field beside it. `phoneRaw`, `emailRaw`, `statusRaw`, `timezoneRaw` hold text that could not be read (a
status also where our word differs from theirs); `nameRaw`, `sourceRaw`, `tagsRaw` the whole of a text that was too
long; `otherPhones`, `otherEmails` the further ones; `firstName`, `lastName` parts that the full name does not contain;
"Column 8" a cell beyond the header. A custom value over 2,000 characters, or over 100 of them, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine import phones
from engine.imports import cells
from engine.imports.mapping import plan
from engine.imports.source import CsvSource, RowError, SourceRow
from engine.phones import Phone, PhoneError

MAX_NAME = 200
MAX_SOURCE = 100
MAX_EXTERNAL_ID = 200
MAX_TAG = 50
MAX_TAGS = 50
MAX_CUSTOM_FIELDS = 100
MAX_CUSTOM_VALUE = 2000


class LeadRow(msgspec.Struct, frozen=True):
    """A lead as its row tells it; "" where the row says nothing (a new lead without a name is the job's to name)."""

    row: int
    name: str = ""
    phone: str = ""
    phone_valid: bool = False
    email: str = ""
    tags: tuple[str, ...] = ()
    source: str = ""
    external_id: str = ""
    status: str = ""
    timezone: str = ""
    custom_fields: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two rows the same lead: ("phone", E.164), else ("email", lower case), else ("externalId", id)."""
        if self.phone:
            return "phone", self.phone
        if self.email:
            return "email", self.email.lower()
        return "externalId", self.external_id


def rows_to_leads(
    source: CsvSource, mapping: Mapping[str, str], region: str | None = None
) -> Iterator[LeadRow | RowError]:
    """A LeadRow or a RowError for each row, in order, read lazily; repeated leads are not looked for.

    region: the account's country for national phone notation. Raises MappingError at once for a mapping that does not
    fit the file, CsvError while iterating.
    """
    read = _Layout(source.headers, mapping, region).read
    return (row if isinstance(row, RowError) else read(row) for row in source)


class _UnusableError(ValueError):
    """The row is not imported; the message is for its RowError."""


class _Layout:
    """A mapping made out for one file: the places of the columns that feed each target."""

    def __init__(self, headers: Sequence[str], mapping: Mapping[str, str], region: str | None) -> None:
        chosen = plan(headers, mapping)
        place = {header: number for number, header in enumerate(headers)}
        of = {target: tuple(place[column] for column in columns) for target, columns in chosen.fields.items()}
        self.width = len(headers)
        self.region = region
        self.custom = [(key, tuple(place[column] for column in columns)) for key, columns in chosen.custom.items()]
        self.phone, self.email, self.tags = of.get("phone", ()), of.get("email", ()), of.get("tags", ())
        self.external_id, self.name, self.source = of.get("externalId", ()), of.get("name", ()), of.get("source", ())
        self.status, self.timezone = of.get("status", ()), of.get("timezone", ())
        self.name_parts = [(part, of[part]) for part in ("firstName", "middleName", "lastName") if part in of]

    def read(self, row: SourceRow) -> LeadRow | RowError:
        texts = cells.clean_all(row.texts)
        if cells.TEST_LEAD in "\n".join(texts):
            return RowError(row.number, "A test lead of the ad platform.")
        if len(texts) < self.width:
            texts = [*texts, *[""] * (self.width - len(texts))]
        custom = self._custom_fields(texts)
        try:
            lead = self._lead(row.number, texts, custom)
            _check_custom_fields(custom)
        except _UnusableError as problem:
            return RowError(row.number, str(problem))
        return lead

    def _lead(self, number: int, texts: Sequence[str], custom: dict[str, str]) -> LeadRow:
        phone, phone_problem = _phone(_fed(self.phone, texts), custom, self.region) if self.phone else (None, "")
        email = _email(_fed(self.email, texts), custom) if self.email else ""
        external_id = _external_id(_first(self.external_id, texts))
        if not (phone or email or external_id):
            raise _UnusableError(phone_problem or "The row has no phone, no valid e-mail address and no external id.")
        return LeadRow(
            row=number,
            name=self._name(texts, custom),
            phone=phone.e164 if phone else "",
            phone_valid=phone is not None and phone.valid,
            email=email,
            tags=self._tags(texts, custom) if self.tags else (),
            source=self._source(texts, custom) if self.source else "",
            external_id=external_id,
            status=_status(_first(self.status, texts), custom) if self.status else "",
            timezone=_timezone(_first(self.timezone, texts), custom) if self.timezone else "",
            custom_fields=custom,
        )

    def _name(self, texts: Sequence[str], custom: dict[str, str]) -> str:
        full = _spoken(_first(self.name, texts))
        if self.name_parts:
            parts = {part: _spoken(_first(places, texts)) for part, places in self.name_parts}
            if full:
                for part, text in parts.items():
                    if text.lower() not in full.lower():
                        _keep(custom, part, [text])
            else:
                full = " ".join(filter(None, parts.values()))
        return _fitting(full, MAX_NAME, "nameRaw", custom)

    def _tags(self, texts: Sequence[str], custom: dict[str, str]) -> tuple[str, ...]:
        text = texts[self.tags[0]]
        if len(self.tags) == 1 and len(text) <= MAX_TAG:  # so short, it is never too much
            return cells.tags(text)
        return _tags(_fed(self.tags, texts), custom)

    def _source(self, texts: Sequence[str], custom: dict[str, str]) -> str:
        return _fitting(cells.one_line(_first(self.source, texts)), MAX_SOURCE, "sourceRaw", custom)

    def _custom_fields(self, texts: list[str]) -> dict[str, str]:
        custom: dict[str, str] = {}
        for key, places in self.custom:
            text = texts[places[0]] if len(places) == 1 else "; ".join(dict.fromkeys(_fed(places, texts)))
            if text:
                custom[key] = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        if len(texts) > self.width:
            beyond = enumerate(texts[self.width :], self.width + 1)
            custom.update((f"Column {place}", text) for place, text in beyond if text)
        return custom


def _fed(places: Sequence[int], texts: Sequence[str]) -> list[str]:
    """What there is in the columns that feed a target."""
    if len(places) == 1:
        text = texts[places[0]]
        return [text] if text else []
    return [text for place in places if (text := texts[place])]


def _first(places: Sequence[int], texts: Sequence[str]) -> str:
    for place in places:
        if text := texts[place]:
            return text
    return ""


def _check_custom_fields(custom: Mapping[str, str]) -> None:
    if len(custom) > MAX_CUSTOM_FIELDS:
        raise _UnusableError(
            f"The row has {len(custom)} custom fields; {MAX_CUSTOM_FIELDS} is the most. Map fewer columns."
        )
    for key, text in custom.items():
        if len(text) > MAX_CUSTOM_VALUE:
            raise _UnusableError(f"'{key}' has {len(text)} characters; a custom field holds {MAX_CUSTOM_VALUE}.")


def _phone(texts: Sequence[str], custom: dict[str, str], region: str | None) -> tuple[Phone | None, str]:
    """The phone to write to, and what was wrong with the first cell that gave none."""
    if len(texts) == 1 and (phone := phones.known_at_once(texts[0], region)):
        return phone, ""
    found: list[Phone] = []
    unreadable: list[str] = []
    problem = ""
    for text in filter(None, map(cells.fact, texts)):
        try:
            first, others = phones.first_of(text, region)
        except PhoneError as error:
            unreadable.append(text)
            problem = problem or str(error)
        else:
            real = [phone for phone in (first, *others) if not _is_placeholder(phone)]
            found += real
            if not real:
                unreadable.append(text)
                problem = problem or f"'{first.e164[1:]}' only stands in for a phone number."
    found = sorted(dict.fromkeys(found), key=lambda phone: not phone.valid)
    _keep(custom, "otherPhones", [phone.e164 for phone in found[1:]])
    _keep(custom, "phoneRaw", unreadable)
    return (found[0] if found else None), problem


def _is_placeholder(phone: Phone) -> bool:
    """Whether it is one digit repeated, like 0000000000: many people "have" it, so it would make them one lead."""
    return not phone.valid and len(set(phone.e164[1:])) == 1


def _email(texts: Sequence[str], custom: dict[str, str]) -> str:
    if len(texts) == 1 and len(addresses := cells.emails(texts[0])) == 1:
        return addresses[0]
    found: list[str] = []
    unreadable: list[str] = []
    for text in filter(None, map(cells.fact, texts)):
        addresses = cells.emails(text)
        found += addresses
        if not addresses:
            unreadable.append(text)
    found = list(dict.fromkeys(found))
    _keep(custom, "otherEmails", found[1:])
    _keep(custom, "emailRaw", unreadable)
    return found[0] if found else ""


def _external_id(text: str) -> str:
    if len(text) > MAX_EXTERNAL_ID:
        raise _UnusableError(f"The external id has {len(text)} characters; {MAX_EXTERNAL_ID} is the most.")
    return text


def _spoken(text: str) -> str:
    """The text on one line, or "" where it holds nothing to say: "-", "’"."""
    return cells.one_line(text) if cells.has_content(text) else ""


def _tags(texts: Sequence[str], custom: dict[str, str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(tag for text in texts for tag in cells.tags(text)))
    fitting = tuple(tag for tag in found if len(tag) <= MAX_TAG)[:MAX_TAGS]
    if fitting != found:
        _keep(custom, "tagsRaw", texts)
    return fitting


def _status(text: str, custom: dict[str, str]) -> str:
    status = cells.status(text)
    if status != text.lower():
        _keep(custom, "statusRaw", [text])
    return status


def _timezone(text: str, custom: dict[str, str]) -> str:
    zone = cells.timezone(text)
    if not zone:
        _keep(custom, "timezoneRaw", [text])
    return zone


def _fitting(text: str, limit: int, raw_key: str, custom: dict[str, str]) -> str:
    if len(text) > limit:
        _keep(custom, raw_key, [text])
        text = text[: limit - 1] + "…"
    return text


def _keep(custom: dict[str, str], key: str, texts: Sequence[str]) -> None:
    """Add a custom field, unless there is nothing to keep; one the file itself has stays as it is."""
    if kept := "; ".join(filter(None, texts)):
        custom.setdefault(key, kept)
