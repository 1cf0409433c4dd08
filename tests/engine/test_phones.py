"""Phones: every notation that exports and forms use, and what becomes of it."""

import pytest

from engine.phones import Phone, PhoneError, digits, first_of, normalize

ADA = "+12025550147"
BOB = "+12025550148"


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("(202) 555-0147", "US"),
        ("(202) 555-0147", "us"),
        ("202.555.0147", "US"),
        ("12025550147", "US"),
        ("12025550147", None),  # digits alone count as international where no country is known
        ("12025550147", "GB"),  # too long for a number of the region
        ("+1 202 555 0147", "DE"),
        ("٢٠٢٥٥٥٠١٤٧", "US"),
        ("＋１ ２０２ ５５５ ０１４７", None),
        ("+1\u00a0202\u202f555\u20110147", None),
        ("\u202a+1 202 555 0147\u202c", None),
        ("tel:+1-202-555-0147", None),
        ("tel:+1-202-555-0147;ext=4", None),
        ("p:+12025550147", None),
        ("WhatsApp: +1 202 555 0147", None),
        ("'+12025550147", None),
        ('="+12025550147"', None),
        ('="2025550147"', "US"),
        ("+1 (202) 555-0147 ext. 4", None),
        ("202-555-0147 x12", "US"),
        ("202-555-0147, extension 9", "US"),
        ("001 202 555 0147", "US"),  # 00 is not how the US dials out, and is meant all the same
        ("0012025550147", None),
        ("+1001 202 555 0147", "US"),  # a form's country list put +1 before a number that had its prefix
        ("+1 (0) 202 555 0147", None),
        ("12025550147.0", "US"),  # a number column that went through a data frame
        ("1.2025550147E+10", "US"),  # scientific, but no digit is lost
        ("2025550147 (Ada, office)", "US"),
    ],
)
def test_notation_is_understood(raw, region):
    assert normalize(raw, region) == Phone(ADA, True)


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("0049 (0)171-3920016", "US", "+491713920016"),
        ("0171/3920004", "DE", "+491713920004"),
        ("030 / 23 125 300", "DE", "+493023125300"),
        ("+39 (0)6 12345678", None, "+390612345678"),  # Italy keeps the zero
        ("1-800-FLOWERS", "US", "+18003569377"),
    ],
)
def test_national_customs_are_known(raw, region, e164):
    assert normalize(raw, region) == Phone(e164, True)


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("+1234567890", None, "+1234567890"),  # published requests use these two
        ("+0987654321", None, "+0987654321"),
        ("0987654321", "US", "+0987654321"),
        ("512 555 878", "US", "+512555878"),  # one digit short of a US number, not a Peruvian one
        ("+999 123 456", "US", "+999123456"),
        ("00999123456", "US", "+999123456"),
        ("+44 (0) 7700 900123", "US", "+447700900123"),
        ("0000000000", "US", "+0000000000"),
        ("1234567", None, "+1234567"),
        ("123456789012345", None, "+123456789012345"),
    ],
)
def test_seven_to_fifteen_digits_are_kept_as_invalid(raw, region, e164):
    assert normalize(raw, region) == Phone(e164, False)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "There is no phone number in ''."),
        ("call me", "There is no phone number in 'call me'."),
        ("911", "A phone number has 7 to 15 digits, '911' has 3."),
        ("+44", "A phone number has 7 to 15 digits, '+44' has 2."),
        ("1234567890123456", "has 16."),
        ("4.47701E+11", "A spreadsheet rounded this number to '4.47701E+11'"),
        ("4,47701E+11", "A spreadsheet rounded this number"),
        ("9" * 500, "…' has 500."),
        ("1" + " " * 100_000 + "2", "is too long for phone numbers"),
    ],
)
def test_anything_else_is_an_error_that_says_why(raw, message):
    with pytest.raises(PhoneError) as caught:
        normalize(raw, "US")

    assert message in str(caught.value)


def test_unknown_region_reads_international_numbers():
    assert normalize("+12025550147", "XX") == Phone(ADA, True)
    assert normalize("2025550147", "XX") == Phone("+2025550147", False)


@pytest.mark.parametrize(
    "raw",
    [
        "202-555-0147 ::: 202-555-0148",
        "\u202a+1 202 555 0147 ::: +1 202 555 0148\u202c",
        "202-555-0147; 202-555-0148",
        "202-555-0147,202-555-0148",
        "202-555-0147 | 202-555-0148",
        "202-555-0147\n202-555-0148",
        "+12025550147 / +12025550148",
        "202-555-0147/202-555-0148",
        "202-555-0147 or 202-555-0148",
        "+1 202 555 0147 +1 202 555 0148",
        "call, 202-555-0147, 202-555-0148",
        "202-555-0147, 202-555-0148, (202) 555-0147",  # a repeat
    ],
)
def test_cell_with_two_phones_gives_both(raw):
    assert first_of(raw, "US") == (Phone(ADA, True), (Phone(BOB, True),))


@pytest.mark.parametrize(
    "raw",
    [
        "0171/3920004",
        "0171 / 3920004",
        "+49 171, 3920004",
        "0171, 3920004",
        "0171/3920004, ext. 4",
        "tel:0171-3920004;ext=4",
    ],
)
def test_single_number_stays_single(raw):
    assert first_of(raw, "DE") == (Phone("+491713920004", True), ())


def test_valid_phone_goes_before_an_invalid_one():
    assert first_of("0000000000 ::: +1 202 555 0147", "US") == (Phone(ADA, True), (Phone("+0000000000", False),))


def test_slash_number_beside_another_is_split_at_the_comma_only():
    first, others = first_of("030 / 23 125 300, 0171/3920004", "DE")

    assert [first.e164, *(phone.e164 for phone in others)] == ["+493023125300", "+491713920004"]


@pytest.mark.parametrize("raw", ["n/a", "", "call me; or not", "12 ::: 34", "4,47701E+11"])
def test_cell_without_phone_is_an_error(raw):
    with pytest.raises(PhoneError):
        first_of(raw, "US")


@pytest.mark.parametrize(
    ("raw", "expected"), [("+1 (202) 555", "1202555"), ("٢٠٢", "202"), ("５５５", "555"), ("none", ""), ("²", "")]
)
def test_digits_of_any_script_come_out_as_ascii(raw, expected):
    assert digits(raw) == expected
