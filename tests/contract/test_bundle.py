import openapi_spec_validator
import pytest
import yaml

from server import contract

ENTRY = """
openapi: 3.0.3
info: {title: Notes, version: 1.0.0}
paths:
  /notes/{id}: {$ref: 'paths/notes.yaml#/note'}
"""
PATHS = """
note:
  parameters: [{$ref: '../components/parameters.yaml#/NoteId'}]
  get:
    operationId: get_note
    security: []
    responses:
      "200":
        description: The note.
        content: {application/json: {schema: {$ref: '../components/schemas/notes.yaml#/Note'}}}
  patch:
    operationId: update_note
    x-required-scopes: ['notes:edit']
    parameters: [{name: at, in: query, schema: {type: string}}]
    responses: {"204": {description: It is changed.}}
"""
PARAMETERS = """
NoteId: {name: id, in: path, required: true, schema: {$ref: 'schemas/notes.yaml#/Id'}}
"""
NOTES = """
Id: {type: integer}
Note:
  type: object
  properties: {id: {$ref: '#/Id'}, day: {type: string, example: 2026-03-14}, author: {$ref: 'people.yaml#/Person'}}
Unused: {type: string}
"""
PEOPLE = """
Person: {type: object, properties: {name: {type: string}}}
"""


@pytest.fixture
def tree(tmp_path):
    files = {
        "openapi.yaml": ENTRY,
        "paths/notes.yaml": PATHS,
        "components/parameters.yaml": PARAMETERS,
        "components/security.yaml": "Key: {type: http, scheme: bearer}",
        "components/schemas/notes.yaml": NOTES,
        "components/schemas/people.yaml": PEOPLE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_contract_is_legal_openapi():
    openapi_spec_validator.validate(contract.document())


def test_bundle_survives_yaml():
    document = contract.document()

    assert yaml.safe_load(yaml.safe_dump(document)) == document


def test_bundle_has_every_path_of_the_table_in_its_order():
    table = yaml.safe_load((contract.ROOT / "openapi.yaml").read_text("utf-8"))["paths"]

    assert list(contract.document()["paths"]) == list(table)


def test_bundle_gathers_what_is_referred_to_under_its_name(tree):
    components = contract.bundle(tree)["components"]

    assert list(components["schemas"]) == ["Id", "Note", "Person"]
    assert list(components["parameters"]) == ["NoteId"]


def test_bundle_refers_to_components_by_name(tree):
    note = contract.bundle(tree)["components"]["schemas"]["Note"]["properties"]

    assert note["id"] == {"$ref": "#/components/schemas/Id"}
    assert note["author"] == {"$ref": "#/components/schemas/Person"}


def test_bundle_keeps_security_schemes_that_nothing_refers_to(tree):
    assert list(contract.bundle(tree)["components"]["securitySchemes"]) == ["Key"]


def test_date_in_an_example_stays_a_string(tree):
    note = contract.bundle(tree)["components"]["schemas"]["Note"]["properties"]

    assert note["day"]["example"] == "2026-03-14"


def test_reference_to_a_missing_file_is_refused(tree):
    (tree / "components/schemas/people.yaml").unlink()

    with pytest.raises(contract.ContractError, match=r"components/schemas/people\.yaml does not exist"):
        contract.bundle(tree)


def test_reference_to_a_missing_fragment_is_refused(tree):
    (tree / "components/schemas/people.yaml").write_text("Group: {type: object}", "utf-8")

    with pytest.raises(contract.ContractError, match="has no /Person"):
        contract.bundle(tree)


def test_two_components_of_one_name_are_refused(tree):
    (tree / "components/schemas/people.yaml").write_text(PEOPLE.replace("string", "integer") + "Id: {}", "utf-8")
    paths = (tree / "paths/notes.yaml").read_text("utf-8")
    (tree / "paths/notes.yaml").write_text(
        paths.replace("schema: {type: string}", "schema: {$ref: '../components/schemas/people.yaml#/Id'}"), "utf-8"
    )

    with pytest.raises(contract.ContractError, match="two components are named Id"):
        contract.bundle(tree)


def test_operation_has_the_parameters_of_its_path_first(tree):
    update = list(contract.operations(contract.bundle(tree)))[1]

    assert update.id == "update_note"
    assert [parameter.get("name", "of the path") for parameter in update.spec["parameters"]] == ["of the path", "at"]


def test_operation_tells_who_may_call_it(tree):
    get, update = contract.operations(contract.bundle(tree))

    assert (get.is_public, get.scopes) == (True, ())
    assert (update.is_public, update.scopes) == (False, ("notes:edit",))


def test_dereference_leaves_no_reference(tree):
    document = contract.bundle(tree)

    note = contract.dereference(document, document["components"]["schemas"]["Note"])

    assert note["properties"]["id"] == {"type": "integer"}
    assert "$ref" not in str(note)


def test_document_is_the_callers_own():
    contract.document()["paths"].clear()

    assert contract.document()["paths"]
