"""Rows to leads: what each cell becomes, what is kept beside it, and when a row is an error."""

import csv
import io

import pytest

from engine.imports import LeadRow, RowError, open_text, rows_to_leads

PHONE = "+12025550147"


def read(mapping: dict[str, str] | None = None, **cells: str) -> LeadRow | RowError:
    """The outcome of a file with this one row; the columns map to their own names unless said otherwise."""
    text = io.StringIO()
    csv.writer(text).writerows([cells.keys(), cells.values()])
    (outcome,) = rows_to_leads(open_text(text.getvalue()), mapping or dict(zip(cells, cells, strict=True)), "US")
    return outcome


def test_row_becomes_a_lead():
    assert read(
        name=" Ada  Lovelace ",
        phone="(202) 555-0147",
        email="Ada <Ada@EXAMPLE.com>",
        tags="vip; new,vip",
        source="Web",
        externalId="l:17",
        status="Open - Not Contacted",
        timezone="europe/berlin",
        plan="gold",
        size="",
    ) == LeadRow(
        row=2,
        name="Ada Lovelace",
        phone=PHONE,
        phone_valid=True,
        email="Ada@example.com",
        tags=("vip", "new"),
        source="Web",
        external_id="l:17",
        status="new",
        timezone="Europe/Berlin",
        custom_fields={"plan": "gold", "statusRaw": "Open - Not Contacted"},
    )


@pytest.mark.parametrize(
    ("cells", "identity"),
    [
        ({"phone": PHONE, "email": "A@example.com", "externalId": "7"}, ("phone", PHONE)),
        ({"phone": "n/a", "email": "A@Example.com", "externalId": "7"}, ("email", "a@example.com")),
        ({"phone": "", "email": "-", "externalId": "7"}, ("externalId", "7")),
        ({"phone": "0000000000", "email": "a@example.com"}, ("email", "a@example.com")),  # many people "have" it
        ({"phone": "+1234567890"}, ("phone", "+1234567890")),
    ],
)
def test_lead_is_known_by_phone_else_email_else_id(cells, identity):
    assert read(**cells).identity == identity


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"phone": "", "name": "Ada"}, "no phone"),
        ({"phone": "unknown", "email": "not-an-email"}, "no phone, no valid e-mail"),
        ({"phone": "4.47701E+11"}, "spreadsheet rounded"),
        ({"phone": "911"}, "7 to 15 digits"),
        ({"phone": "0000000000"}, "stands in"),
        ({"name": "<test lead: dummy data for full_name>", "email": "test@example.com"}, "test lead"),
        ({"email": "a@example.com", "phone": "p:<test lead: dummy data for phone_number>"}, "test lead"),
        ({"phone": PHONE, "note": "x" * 2001}, "'note' has 2001 characters"),
        ({"externalId": "x" * 256}, "external id has 256 characters"),
        ({"phone": PHONE} | {f"c{n}": "x" for n in range(101)}, "101 custom fields"),
    ],
)
def test_row_that_cannot_be_imported_says_why(cells, message):
    outcome = read(**cells)

    assert isinstance(outcome, RowError)
    assert outcome.row == 2
    assert message in outcome.message


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ({"phone": "4.47701E+11", "email": "a@example.com"}, {"phoneRaw": "4.47701E+11"}),
        ({"phone": "call me", "externalId": "7"}, {"phoneRaw": "call me"}),
        ({"phone": f"{PHONE} / +12025550148"}, {"otherPhones": "+12025550148"}),
        ({"phone": PHONE, "email": "A@B@example.com"}, {"emailRaw": "A@B@example.com"}),
        ({"email": "a@example.com; b@example.com"}, {"otherEmails": "b@example.com"}),
        ({"phone": PHONE, "status": "Nurturing"}, {"statusRaw": "Nurturing"}),
        ({"phone": PHONE, "status": "NEW"}, {}),  # our own word
        ({"phone": PHONE, "timezone": "Moon/Base"}, {"timezoneRaw": "Moon/Base"}),
        ({"phone": PHONE, "tags": "x" * 51 + ";vip"}, {"tagsRaw": "x" * 51 + ";vip"}),
        ({"phone": PHONE, "name": "x" * 201}, {"nameRaw": "x" * 201}),
        ({"phone": PHONE, "source": "x" * 101}, {"sourceRaw": "x" * 101}),
        ({"phone": PHONE, "name": "Ada L.", "firstName": "Ada", "lastName": "Lovelace"}, {"lastName": "Lovelace"}),
        ({"phone": PHONE, "phoneRaw": "theirs", "email": "x"}, {"phoneRaw": "theirs", "emailRaw": "x"}),
        ({"phone": PHONE, "email": "[not provided]", "status": "", "born": "0/0/00"}, {}),
    ],
)
def test_what_does_not_fit_is_kept_beside_it(cells, kept):
    assert read(**cells).custom_fields == kept


def test_bounds_are_held():
    lead = read(phone=PHONE, name="x" * 300, tags=";".join(f"t{n}" for n in range(60)), source="y" * 300)

    assert (len(lead.name), len(lead.tags), len(lead.source)) == (200, 50, 100)
    assert lead.name.endswith("…")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  x\u00a0", "x"),
        ("\u202ax\u202c", "x"),
        ('="007"', "007"),
        ("'+1 for it", "+1 for it"),
        ("'t Hooft", "'t Hooft"),
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ('=HYPERLINK("http://example.com","x")', '=HYPERLINK("http://example.com","x")'),
        ("ag:23850000000000000", "23850000000000000"),
        ("c:drive", "c:drive"),
        ("see p:1234567890", "see p:1234567890"),
        ("one\r\ntwo", "one\ntwo"),
        ("unknown", "unknown"),
    ],
)
def test_cell_is_freed_of_what_spreadsheets_and_exports_add(raw, text):
    assert read(phone=PHONE, note=raw).custom_fields == {"note": text}


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ({"firstName": "Ada", "middleName": "King", "lastName": "Lovelace"}, "Ada King Lovelace"),
        ({"firstName": "", "lastName": "Lovelace"}, "Lovelace"),
        ({"firstName": "-", "lastName": "[not provided]"}, ""),
        ({"name": "Ada", "firstName": "ADA"}, "Ada"),
        ({"name": "T\r\nU"}, "T U"),
        ({"name": "Null"}, "Null"),  # people are called so
        ({"name": "’"}, ""),
    ],
)
def test_name_is_put_together(cells, name):
    assert read(phone=PHONE, **cells).name == name


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("NEW", "new"),
        ("CREATED", "new"),
        ("Open - Not Contacted", "new"),
        ("ATTEMPTED_TO_CONTACT", "contacted"),
        ("Working - Contacted", "contacted"),
        ("Closed - Converted", "qualified"),
        ("OPEN_DEAL", "qualified"),
        ("Closed - Not Converted", "disqualified"),
        ("UNQUALIFIED", "disqualified"),
        ("BAD_TIMING", ""),
    ],
)
def test_status_of_a_crm_is_understood(text, status):
    assert read(phone=PHONE, status=text).status == status


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("* myContacts ::: Leads 2026", ("Leads 2026",)),
        ("* starred", ("starred",)),
        ("Customer, VIP", ("Customer", "VIP")),
        ("a|b\nc", ("a", "b", "c")),
        (" ; ", ()),
    ],
)
def test_tags_are_split(text, tags):
    assert read(phone=PHONE, tags=text).tags == tags


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("mailto:a@example.com", "a@example.com"),
        ("<a@example.com>", "a@example.com"),
        ("jörg@bücher.example", "jörg@bücher.example"),
        ("a@example", ""),
        ("a..b@example.com", ""),
        ("a@-example.com", ""),
        ("a b@example.com", ""),
        (f"{'x' * 65}@example.com", ""),
        (f"a@{'x.' * 130}com", ""),
    ],
)
def test_email_must_be_an_address(text, email):
    assert read(phone=PHONE, email=text).email == email


def test_first_valid_phone_of_several_columns_wins():
    mapping = {"Work": "phone", "Home": "phone", "Mobile": "phone"}

    lead = read(mapping, Work="n/a", Home="1234567", Mobile="202-555-0147")

    assert (lead.phone, lead.custom_fields) == (PHONE, {"otherPhones": "+1234567"})


def test_columns_of_one_custom_field_are_joined():
    assert read({"P": "phone", "A": "city", "B": "city"}, P=PHONE, A="Bonn", B="Köln").custom_fields == {
        "city": "Bonn; Köln"
    }


def test_cells_beyond_the_header_are_kept():
    (lead,) = rows_to_leads(open_text("phone,x\n+12025550147,,more\n"), {"phone": "phone"})

    assert lead.custom_fields == {"Column 3": "more"}


def test_columns_outside_the_mapping_are_left_out():
    assert read({"phone": "phone"}, phone=PHONE, secret="x").custom_fields == {}


def test_errors_of_the_source_stand_among_the_leads():
    source = open_text("phone\n+12025550147\n2\x002\n+12025550148\n")

    assert [type(item) for item in rows_to_leads(source, {"phone": "phone"})] == [LeadRow, RowError, LeadRow]
