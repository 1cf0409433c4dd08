"""Mappings: what is suggested for the usual exports, and what a chosen one means."""

import pytest

from engine.imports import MappingError, open_text, rows_to_leads, suggest_mapping
from engine.imports.mapping import plan


def test_every_column_gets_a_target():
    assert suggest_mapping(["Full name", "Shoe size"]) == {"Full name": "name", "Shoe size": "Shoe size"}


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("phone", "Phone|Phone Number|phone_number|Mobile|Mobile Phone Number|Cell|Telephone|WhatsApp Number|Telefon"),
        (
            "phone",
            "Home Phone 2|Business Phone|Primary Phone|Phone 1 - Value|Person - Phone - Work|Téléphone|Handynummer",
        ),
        ("email", "Email|E-Mail|email address|E-mail 2 Address|E-mail 1 - Value|Person - Email - Work|Work Email"),
        ("name", "Name|Full Name|full_name|Display Name|Person - Name|Contact name"),
        ("firstName", "First Name|FirstName|Given Name|first_name|Person - First name|Vorname|Prénom"),
        ("lastName", "Last Name|Surname|Family Name|last_name|Nachname"),
        ("middleName", "Middle Name|Additional Name"),
        ("tags", "Tags|Labels|Categories|Person - Label|Group Membership"),
        ("source", "Source|Lead Source|Original Source"),
        ("externalId", "id|Record ID|Lead ID|Person - ID|Contact ID|External ID|lead_id|Record ID - Contact"),
        ("status", "Status|Lead Status|lead_status"),
        ("timezone", "Timezone|Time Zone|TZ"),
    ],
)
def test_header_is_known(target, headers):
    for header in headers.split("|"):
        assert suggest_mapping([header]) == {header: target}


OTHER_HEADERS = (
    "Business Fax|Pager|Assistant's Phone|Company Main Phone|Phone 1 - Label|E-mail Type|E-mail Display Name"
    "|Email Opt Out|Company Name|Account ID|Campaign ID|Government ID Number|Manager's Name|Phonetic First Name"
    "|Marketing contact status|Contact owner|Account Name"
)


@pytest.mark.parametrize("header", OTHER_HEADERS.split("|"))
def test_header_that_only_resembles_a_field_is_a_custom_field(header):
    assert suggest_mapping([header]) == {header: header}


def test_field_with_one_value_takes_one_column():
    assert suggest_mapping(["Record ID", "Lead ID", "Phone", "Mobile"]) == {
        "Record ID": "externalId",
        "Lead ID": "customFields.Lead ID",  # as it reads like the field
        "Phone": "phone",
        "Mobile": "phone",
    }


def test_samples_tell_where_headers_do_not():
    rows = [{"Reach": "a@example.com", "Call": "+12025550147"}, {"Reach": "", "Call": "+1 202 555 0148"}]

    assert suggest_mapping(["Reach", "Call"], rows) == {"Reach": "email", "Call": "phone"}


def test_samples_do_not_overrule_a_header():
    rows = [{"Email": "n/a", "Invited by": "b@example.com"}]

    assert suggest_mapping(["Email", "Invited by"], rows) == {"Email": "email", "Invited by": "Invited by"}


def test_long_question_is_cut_visibly():
    (target,) = suggest_mapping(["Why " * 40]).values()

    assert len(target) == 100
    assert target.endswith("…")


def test_plan_groups_columns_in_the_order_of_the_file():
    made = plan(
        ["Mobile", "Phone", "Hobby", "Town", "City", "Secret"],
        {
            "Phone": "phone",
            "Mobile": "Phone",
            "Town": "city",
            "City": "customFields.city",
            "Hobby": "hobby",
            "Secret": "",
        },
    )

    assert made.fields == {"phone": ("Mobile", "Phone")}
    assert made.custom == {"hobby": ("Hobby",), "city": ("Town", "City")}


@pytest.mark.parametrize("target", ["externalId", "external_id", "ExternalId", "lead_id"])
def test_target_may_be_spelt_as_clients_do(target):
    assert plan(["Key"], {"Key": target}).fields == {"externalId": ("Key",)}


def test_column_may_be_named_as_the_file_writes_it():
    assert plan(["Name", "Phone"], {"\ufeff Name ": "name", " Phone": "phone"}).fields.keys() == {"name", "phone"}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"Fax": "phone"}, "no column 'Fax'"),
        ({"Name": "name"}, "at least one column"),
        ({}, "at least one column"),
        ({"Name": "customFields.phone"}, "at least one column"),
    ],
)
def test_mapping_that_does_not_fit_is_refused_at_once(mapping, message):
    with pytest.raises(MappingError, match=message):
        rows_to_leads(open_text("Name,Phone\nAda,+12025550147\n"), mapping)
