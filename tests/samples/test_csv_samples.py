"""Real exports: what each sample file must give.

The numbers were derived without this code: with the csv module, the encoding named in the samples' README, the columns
picked by hand, and phonenumbers on each cell, then checked by eye. How, per file, stands beside its row. Rows are not
counted when blank. "valid" are leads whose phone the library calls valid; it exceeds phone-facts.json, which reads
plain cells only, by what the comment says.

The second table, IMPORTED, follows from the first: an import makes the distinct leads, skips or updates by the others.
"""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from starlette.datastructures import UploadFile

from engine import lead_import
from engine.imports import LeadRow, RowError, open_csv, open_text, preview, rows_to_leads
from engine.jobs import worker
from handlers import imports
from storage import leads as stored_leads
from storage.database import transaction

FOLDER = Path(os.environ.get("NEWLEAF_SAMPLES", Path(__file__).parents[2] / ".." / "shared" / "samples")) / "csv"

if not FOLDER.is_dir():
    raise FileNotFoundError(f"The samples are not part of the repository: NEWLEAF_SAMPLES must name them, not {FOLDER}")


@dataclass(frozen=True)
class Expected:
    encoding: str
    delimiter: str
    headers: int
    rows: int
    leads: int
    distinct: int
    valid: int
    error_rows: tuple[int, ...] = ()
    region: str = "US"


FILES = {
    # 7 by e-mail: no phone, "call me" (2), 12345 (2), 4.47701E+11, +44. Valid: 79 plain + 20 written with 00 (001,
    # 0049, 00971), which is no prefix to a US reader.
    "hubspot-all-contacts.csv": Expected("utf-8", ",", 12, 120, 120, 107, 99),
    # 60 records of 19 cells, 2 empty lines, 5 records of one cell (the footer). 7 by e-mail: 12345, unknown,
    # 4.47701E+11, "-", "call me", +44, (not provided). Valid: 37 plain + 10 with 00.
    "salesforce-leads-report.csv": Expected("cp1252", ",", 19, 60, 60, 53, 47),
    # Lines without the header. Valid: 30 in the Work column, and ids 1, 25, 31 with a fictitious or rounded Work phone
    # and a German one under Mobile.
    "pipedrive-people-semicolon-bom.csv": Expected("utf-8", ";", 11, 40, 40, 32, 33, region="DE"),
    # 82 lines without the header; line 2 is the test lead, the last repeats another. Valid: 71 plain + 9 "p:+1001…",
    # all but 0171/3920050.
    "facebook-lead-ads-utf16le.csv": Expected("utf-16-le", "\t", 18, 82, 81, 76, 80, error_rows=(2,)),
    # 1 by e-mail: 4.47701E+11. Valid: 26 plain + 10 with 00, one of them behind an apostrophe.
    "linkedin-lead-gen-bom.csv": Expected("utf-8", ",", 18, 40, 40, 38, 36),
    # 102 records, one of them only commas. Row 94 has "-" and not-an-email, row 103 only a company. 8 by e-mail: n/a,
    # unknown (2), (not provided) (3), 0000000000, +44. Valid: 57 plain + 21 whose first number has 00, marks or a ":::"
    # behind it + 6 whose second number is the valid one.
    "google-contacts.csv": Expected("utf-8", ",", 34, 101, 99, 79, 84, error_rows=(94, 103)),
    # Only Business Phone and Mobile Phone are ever filled. 1 by e-mail: "-". Valid: 12 plain + 3 with 00.
    "outlook-contacts-cp1252.csv": Expected("cp1252", ",", 92, 30, 30, 25, 15),
    # Counted by eye: 21 rows with text. 2 by e-mail: H (rounded), Q (911). N repeats M. Not valid: P (fictitious).
    "edge-cases.csv": Expected("utf-8", ",", 7, 21, 21, 20, 18),
    # Ada and Bob.
    "cr-only-no-final-newline.csv": Expected("utf-8", ",", 2, 2, 2, 2, 2),
    "header-only.csv": Expected("utf-8", ",", 3, 0, 0, 0, 0),
    # Five lines, one of them empty, the last repeats the first.
    "one-column-phones.csv": Expected("utf-8", ",", 1, 4, 4, 3, 4),
}
each_file = pytest.mark.parametrize(("name", "expected"), FILES.items(), ids=list(FILES))


def chunks(name: str) -> Iterator[bytes]:
    with (FOLDER / name).open("rb") as file:
        while chunk := file.read(4096):
            yield chunk


def outcomes(name: str) -> list[LeadRow | RowError]:
    mapping = preview(open_csv(chunks(name))).mapping
    return list(rows_to_leads(open_csv(chunks(name)), mapping, FILES[name].region))


def leads(name: str) -> dict[int, LeadRow]:
    return {item.row: item for item in outcomes(name) if isinstance(item, LeadRow)}


# total, imported, duplicatesSkipped, errors
IMPORTED = {
    name: (expected.rows, expected.distinct, expected.leads - expected.distinct, len(expected.error_rows))
    for name, expected in FILES.items()
}
each_import = pytest.mark.parametrize(("name", "counts"), IMPORTED.items(), ids=list(IMPORTED))


def test_every_sample_is_expected():
    assert {path.name for path in FOLDER.glob("*.csv")} == FILES.keys() | {"empty.csv"}


@each_file
def test_file_is_understood(name, expected):
    source = open_csv(chunks(name))
    seen = preview(source)

    assert (source.encoding, source.delimiter) == (expected.encoding, expected.delimiter)
    assert (len(seen.headers), seen.total_rows) == (expected.headers, expected.rows)
    assert seen.mapping.keys() == set(seen.headers)


@each_file
def test_rows_become_leads(name, expected):
    found = leads(name)

    assert len(found) == expected.leads
    assert len({lead.identity for lead in found.values()}) == expected.distinct
    assert sum(lead.phone_valid for lead in found.values()) == expected.valid
    assert tuple(item.row for item in outcomes(name) if isinstance(item, RowError)) == expected.error_rows


FACTS = json.loads((FOLDER / "phone-facts.json").read_text())["files"] if FOLDER.is_dir() else {}


@pytest.mark.parametrize("name", FACTS)
def test_no_phone_is_lost_that_plain_reading_finds(name):
    facts, expected = FACTS[name], FILES[name]
    blank_rows = {"google-contacts.csv": 1}

    assert facts["region"] == expected.region
    assert facts["rows"] == expected.rows + blank_rows.get(name, 0)
    assert facts["valid"] <= expected.valid


def test_empty_file_is_empty():
    source = open_csv(chunks("empty.csv"))

    assert (source.headers, list(source)) == ((), [])


def test_same_text_in_json_gives_the_same_rows():
    data = (FOLDER / "pipedrive-people-semicolon-bom.csv").read_bytes()

    assert list(open_text(data.decode("utf-8"))) == list(open_csv([data]))


def test_hubspot_names_ids_and_statuses():
    lead = leads("hubspot-all-contacts.csv")[5]

    assert (lead.name, lead.external_id, lead.status) == ("Marí́a सिन्हा", "20000003", "qualified")
    assert (lead.phone, lead.email) == ("", "user3@example.org")
    assert lead.custom_fields["phoneRaw"] == "4.47701E+11"
    assert lead.custom_fields["statusRaw"] == "OPEN_DEAL"


def test_salesforce_not_provided_is_no_name():
    found = leads("salesforce-leads-report.csv")

    assert found[9].name == ""
    assert found[22].name == "María"  # "[not provided]" as last name
    assert found[5].custom_fields["Description"] == "Line one\nLine two\nLine three"


def test_pipedrive_cells_with_several_phones():
    lead = leads("pipedrive-people-semicolon-bom.csv")[8]

    assert lead.phone == "+491713920076"
    assert lead.custom_fields["otherPhones"] == "+493023125781; +491713920073"
    assert lead.external_id == "7"


def test_facebook_prefixes_are_gone():
    lead = leads("facebook-lead-ads-utf16le.csv")[4]

    assert (lead.external_id, lead.phone, lead.status) == ("900000000000001", "+12125550172", "new")
    assert lead.custom_fields["ad_id"] == "23850000000000001"


def test_google_several_values_and_labels():
    lead = leads("google-contacts.csv")[2]

    assert (lead.name, lead.phone, lead.tags) == ("Łukasz Ström", "+5511955555962", ())
    assert lead.custom_fields["otherPhones"] == "+14155550109; +14155550156"
    assert leads("google-contacts.csv")[3].tags == ("Leads 2026",)


def test_outlook_dates_that_are_none_are_left_out():
    lead = leads("outlook-contacts-cp1252.csv")[2]

    assert (lead.name, lead.phone) == ("Okgüçlü Mansz", "+447700900944")
    assert "Birthday" not in lead.custom_fields


@pytest.fixture
def user(caller):
    """The caller of the handlers, for a file of a certain region."""
    return lambda name: replace(caller, default_region=FILES[name].region)


def uploaded(user, name: str) -> dict:
    data = (FOLDER / name).read_bytes()
    return imports.preview_upload(user, {"file": UploadFile(io.BytesIO(data), size=len(data), filename=name)})


def confirmed(user, **body) -> dict:
    with transaction():
        return imports.confirm_upload(user, body)


def counted(result: dict) -> tuple[int, ...]:
    return tuple(result[count] for count in ("total", "imported", "duplicatesSkipped", "errors"))


@each_import
def test_upload_is_imported(tenant, user, name, counts):
    seen = uploaded(user(name), name)

    result = confirmed(user(name), uploadId=seen["uploadId"], mapping=seen["mapping"], onDuplicate="skip")

    assert seen["totalRows"] == counts[0]
    assert counted(result) == counts
    assert result["updated"] == 0
    assert tuple(row["row"] for row in result["errorRows"]) == FILES[name].error_rows
    assert stored_leads.count(tenant) == counts[1]


@each_import
def test_same_text_is_imported_alike(tenant, user, name, counts):
    text = (FOLDER / name).read_bytes().decode("utf-16" if "utf-16" in FILES[name].encoding else FILES[name].encoding)
    mapping = imports.preview_upload(user(name), {"content": text})["mapping"]

    assert counted(confirmed(user(name), content=text, mapping=mapping)) == counts


@each_import
def test_second_import_updates_every_row(tenant, user, name, counts):
    total, distinct, repeated, errors = counts
    for _ in range(2):
        seen = uploaded(user(name), name)
        result = confirmed(user(name), uploadId=seen["uploadId"], mapping=seen["mapping"])

    assert counted(result) == (total, 0, 0, errors)
    assert result["updated"] == distinct + repeated
    assert stored_leads.count(tenant) == distinct


@each_import
def test_job_imports_alike(tenant, user, name, counts, monkeypatch):
    monkeypatch.setattr(lead_import, "AT_ONCE", -1)
    monkeypatch.setattr(lead_import, "CHUNK", 7)
    seen = uploaded(user(name), name)

    job = confirmed(user(name), uploadId=seen["uploadId"], mapping=seen["mapping"], onDuplicate="skip").body
    worker.work_lane(lead_import.lane_of(job["importBatchId"]))

    done = imports.get_import(user(name), job["importBatchId"])
    assert (done["status"], done["processed"], counted(done)) == ("completed", counts[0], counts)
