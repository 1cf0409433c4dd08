import copy
import re

import pytest

from server import contract, rules
from server.rules import operations, schemas


@pytest.fixture
def document():
    return contract.document()


def operation(document, operation_id):
    found = [each for each in contract.operations(document) if each.id == operation_id]
    return document["paths"][found[0].path][found[0].method]


def response(document, name):
    return document["components"]["responses"][name]


def schema(document, name):
    return document["components"]["schemas"][name]


def test_contract_keeps_the_rules_of_the_house(document):
    assert rules.problems(document) == []


def test_scopes_are_the_published_ones_and_our_two():
    scopes = contract.document()["components"]["schemas"]["Scope"]["enum"]

    ours = {"webhooks:manage", "privacy:manage"}

    assert len(scopes) == len(set(scopes))
    assert len(set(scopes) - ours) == 33


def point_nowhere(document):
    operation(document, "get_agent")["responses"]["404"] = {"$ref": "#/components/responses/Gone"}


def point_outside(document):
    schema(document, "NewApiKey")["properties"]["apiKey"] = {"$ref": "api_keys.yaml#/ApiKey"}


def swap_keys(document):
    found = operation(document, "get_agent")
    found["summary"] = found.pop("summary")


def invent_key(document):
    operation(document, "get_agent")["x-internal"] = True


def forget(key):
    def change(document):
        del operation(document, "get_agent")[key]

    return change


def set_on(operation_id, key, value):
    def change(document):
        operation(document, operation_id)[key] = value

    return change


def require_unknown_scope(document):
    operation(document, "get_agent")["x-required-scopes"] = ["agent_config:read"]


def write_security_in_full(document):
    found = operation(document, "check_health")
    found["security"] = [{"ApiKey": []}]


def forget_scopes_and_security(document):
    del operation(document, "check_health")["security"]


def repeat_parameter(document):
    found = operation(document, "list_agents")["parameters"]
    found.append(found[0])


def describe_no_parameter(document):
    del operation(document, "list_agents")["parameters"][0]["description"]


def show_no_parameter(document):
    del operation(document, "list_agents")["parameters"][0]["example"]


def forget_path_parameter(document):
    del document["paths"]["/api/agent-config/{id}"]["parameters"]


def forget_parameter(operation_id, name):
    def change(document):
        found = operation(document, operation_id)
        found["parameters"] = [each for each in found["parameters"] if not each.get("$ref", "").endswith(f"/{name}")]

    return change


def forget_status(operation_id, status):
    def change(document):
        del operation(document, operation_id)["responses"][status]

    return change


def swap_statuses(document):
    found = operation(document, "get_agent")["responses"]
    found["400"] = found.pop("400")


def add_unneeded_status(document):
    found = operation(document, "get_agent")["responses"]
    late = {status: found.pop(status) for status in ("429", "500")}
    found |= {"412": {"$ref": "#/components/responses/PreconditionFailed"}, **late}


def write_response_in_place(document):
    found = operation(document, "get_agent")["responses"]
    found["200"] = copy.deepcopy(response(document, "Agent"))


def forget_header(response_name, header):
    def change(document):
        del response(document, response_name)["headers"][header]

    return change


def write_header_in_place(document):
    response(document, "Agent")["headers"]["X-Extra"] = {"schema": {"type": "string", "maxLength": 9}}


def answer_other_error(document):
    content = response(document, "NotFound")["content"]
    content["application/json"]["schema"] = {"$ref": "#/components/schemas/Success"}


def answer_no_problem_details(document):
    del response(document, "NotFound")["content"]["application/problem+json"]


def show_other_status(document):
    response(document, "NotFound")["content"]["application/problem+json"]["example"]["status"] = 400


def answer_schema_in_place(document):
    response(document, "Agent")["content"]["application/json"]["schema"] = {"type": "array", "maxItems": 1}


def show_no_answer(document):
    del response(document, "Agent")["content"]["application/json"]["example"]


def show_no_request(document):
    del operation(document, "send_message")["requestBody"]["content"]["application/json"]["example"]


def nest_object(document):
    schema(document, "ApiKey")["properties"]["owner"] = {
        "type": "object",
        "additionalProperties": False,
        "description": "Who made it.",
    }


def open_object(document):
    del schema(document, "SendMessage")["additionalProperties"]


def unbound_map(document):
    del schema(document, "CustomFields")["maxProperties"]


def unbound(name, key):
    def change(document):
        del schema(document, name)[key]

    return change


def unbound_parameter(document):
    del document["components"]["parameters"]["Limit"]["schema"]["maximum"]


def unbound_nested_string(document):
    del schema(document, "LeadReference")["anyOf"][1]["maxLength"]


def take_nul(document):
    schema(document, "ConversationId")["pattern"] = "^[^,]+$"


def describe_no_property(document):
    del schema(document, "ApiKey")["properties"]["name"]["description"]


def show_no_property(document):
    del schema(document, "ApiKey")["properties"]["name"]["example"]


def show_no_item(document):
    del schema(document, "Scope")["example"]


def show_invalid(place):
    def change(document):
        place(document)["example"] = {"surprise": True}

    return change


def answer_media(document):
    return response(document, "ApiKey")["content"]["application/json"]


def request_media(document):
    return operation(document, "send_message")["requestBody"]["content"]["application/json"]


def shared_parameter(document):
    return document["components"]["parameters"]["Limit"]


def shared_header(document):
    return document["components"]["headers"]["ETag"]


def property_of_key(document):
    return schema(document, "ApiKey")["properties"]["name"]


def show_null_for_what_is_never_null(document):
    answer_media(document)["example"]["createdAt"] = None


def show_bad_date(document):
    answer_media(document)["example"]["createdAt"] = "yesterday"


def show_invalid_by_name(document):
    content = operation(document, "sync_leads")["requestBody"]["content"]["application/json"]
    next(iter(content["examples"].values()))["value"] = {}


def link_to_nothing(document):
    response(document, "Agent")["links"]["update"]["operationId"] = "alter_agent"


def link_unknown_parameter(document):
    response(document, "Agent")["links"]["update"]["parameters"] = {"agentId": "$response.body#/_id"}


def link_expression(expression):
    def change(document):
        response(document, "Agent")["links"]["update"]["parameters"] = {"id": expression}

    return change


def link_with_object(document):
    response(document, "Agent")["links"]["update"]["requestBody"] = {"status": "active"}


def forget_link(response_name, link):
    def change(document):
        del response(document, response_name)["links"][link]

    return change


def put_templated_path_first(document):
    item = document["paths"].pop("/api/agent-config/{id}")
    document["paths"] = {"/api/agent-config/{id}": item, **document["paths"]}


@pytest.mark.parametrize(
    ("breach", "complaint"),
    [
        pytest.param(point_nowhere, "no such component", id="a reference to nothing"),
        pytest.param(point_outside, "no such component", id="a reference out of the bundle"),
        pytest.param(swap_keys, "in this order", id="keys out of order"),
        pytest.param(invent_key, "in this order", id="an unknown key"),
        pytest.param(forget("operationId"), "operationId is missing", id="no operationId"),
        pytest.param(forget("x-openapi-router-controller"), "controller is missing", id="no controller"),
        pytest.param(forget("tags"), "tags is missing", id="no tag"),
        pytest.param(forget("summary"), "summary is missing", id="no summary"),
        pytest.param(forget("description"), "description is missing", id="no description"),
        pytest.param(forget("x-required-scopes"), "needs either", id="no scopes"),
        pytest.param(forget_scopes_and_security, "needs either", id="neither public nor scoped"),
        pytest.param(set_on("get_agent", "operationId", "getAgent"), "not snake_case", id="camelCase"),
        pytest.param(set_on("get_agent", "operationId", "get_lead"), "used twice", id="an operationId twice"),
        pytest.param(
            set_on("get_agent", "x-openapi-router-controller", "server.agents"), "module of handlers", id="controller"
        ),
        pytest.param(set_on("get_agent", "tags", ["Bots"]), "needs one tag", id="an undeclared tag"),
        pytest.param(set_on("get_agent", "tags", ["Agents", "Leads"]), "needs one tag", id="two tags"),
        pytest.param(set_on("get_agent", "summary", "Get an agent."), "the summary", id="a full stop"),
        pytest.param(set_on("get_agent", "summary", "Agent"), "the summary", id="a summary without a verb"),
        pytest.param(set_on("get_agent", "summary", "Get " + "a" * 46), "the summary", id="a long summary"),
        pytest.param(
            set_on("get_agent", "description", "Get it."), "the description", id="a description that says less"
        ),
        pytest.param(set_on("get_agent", "description", "It answers one agent, always"), "sentences", id="no sentence"),
        pytest.param(set_on("sync_leads", "x-rate-limit-tier", "bulk"), "can only be sync", id="an unknown tier"),
        pytest.param(set_on("preview_upload", "x-body-limit", "big"), "can only be upload", id="an unknown body limit"),
        pytest.param(set_on("preview_leads", "x-effect", "some"), "can only be none", id="an unknown effect"),
        pytest.param(require_unknown_scope, "agent_config:read is no scope", id="an unknown scope"),
        pytest.param(write_security_in_full, "security must be", id="other security"),
        pytest.param(repeat_parameter, "there twice", id="a parameter twice"),
        pytest.param(describe_no_parameter, "needs a description", id="a parameter without description"),
        pytest.param(show_no_parameter, "needs an example", id="a parameter without example"),
        pytest.param(forget_path_parameter, "do not fit the path", id="no path parameter"),
        pytest.param(forget_parameter("send_message", "IdempotencyKey"), "takes Idempotency-Key", id="not idempotent"),
        pytest.param(forget_parameter("update_agent", "IfMatch"), "takes If-Match", id="a patch without If-Match"),
        pytest.param(
            forget_parameter("change_conversation_status", "IfMatch"),
            "takes If-Match",
            id="a sub-patch without If-Match",
        ),
        pytest.param(forget_status("list_agents", "400"), "400 is missing", id="no 400 beside a parameter"),
        pytest.param(forget_status("get_current_account", "400"), "400 is missing", id="no 400 without a parameter"),
        pytest.param(forget_status("get_agent", "401"), "401 is missing", id="no 401"),
        pytest.param(forget_status("get_agent", "403"), "403 is missing", id="no 403"),
        pytest.param(forget_status("get_agent", "404"), "404 is missing", id="no 404 beside an id"),
        pytest.param(forget_status("delete_agent", "409"), "409 is missing", id="a write without 409"),
        pytest.param(forget_status("delete_agent", "412"), "412 is missing", id="If-Match without 412"),
        pytest.param(forget_status("send_message", "413"), "413 is missing", id="a body without 413"),
        pytest.param(forget_status("send_message", "415"), "415 is missing", id="a body without 415"),
        pytest.param(forget_status("delete_agent", "422"), "422 is missing", id="a write without 422"),
        pytest.param(forget_status("list_agents", "422"), "422 is missing", id="a cursor without 422"),
        pytest.param(forget_status("check_health", "429"), "429 is missing", id="no 429 on a public one"),
        pytest.param(forget_status("check_health", "500"), "500 is missing", id="no 500 on a public one"),
        pytest.param(forget_status("get_agent", "200"), "has no success", id="no success"),
        pytest.param(swap_statuses, "must ascend", id="statuses out of order"),
        pytest.param(add_unneeded_status, "412 needs If-Match", id="412 without If-Match"),
        pytest.param(write_response_in_place, "must be a named response", id="a response in place"),
        pytest.param(forget_header("Agent", "X-Request-Id"), "X-Request-Id must be", id="no request id"),
        pytest.param(forget_header("NotFound", "RateLimit-Reset"), "RateLimit-Reset must be", id="no rate limit"),
        pytest.param(forget_header("Agent", "ETag"), "ETag must be", id="get-one without ETag"),
        pytest.param(forget_header("AgentCreated", "Location"), "Location must be", id="201 without Location"),
        pytest.param(
            forget_header("AgentDeleted", "Idempotent-Replayed"), "Idempotent-Replayed must be", id="no replay"
        ),
        pytest.param(forget_header("ConversationList", "Link"), "Link must be", id="a list without Link"),
        pytest.param(forget_header("MessageList", "X-Total-Count"), "X-Total-Count must be", id="a list without count"),
        pytest.param(forget_header("Unauthorized", "WWW-Authenticate"), "WWW-Authenticate must be", id="a bare 401"),
        pytest.param(forget_header("TooManyRequests", "Retry-After"), "Retry-After must be", id="a bare 429"),
        pytest.param(write_header_in_place, "must be a named one", id="a header in place"),
        pytest.param(forget_parameter("list_api_keys", "Cursor"), "a list takes cursor", id="a list without cursor"),
        pytest.param(forget_parameter("list_agents", "Skip"), "a list takes skip", id="a list or one without skip"),
        pytest.param(answer_other_error, "must be an Error", id="an error of another shape"),
        pytest.param(answer_no_problem_details, "must be an Error", id="an error without problem details"),
        pytest.param(show_other_status, "shows another status", id="an error example with another status"),
        pytest.param(answer_schema_in_place, "must be a named one", id="an answer's schema in place"),
        pytest.param(show_no_answer, "an example is missing", id="an answer without example"),
        pytest.param(show_no_request, "an example is missing", id="a request without example"),
        pytest.param(nest_object, "must be a component", id="an object in place"),
        pytest.param(open_object, "must be closed", id="an open object"),
        pytest.param(unbound_map, "must be closed", id="an endless map"),
        pytest.param(unbound("MessageText", "maxLength"), "maxLength is missing", id="an endless string"),
        pytest.param(unbound("MessageList", "maxItems"), "maxItems is missing", id="an endless array"),
        pytest.param(unbound("LeadNumber", "minimum"), "minimum is missing", id="an integer without minimum"),
        pytest.param(unbound_parameter, "maximum is missing", id="a parameter without maximum"),
        pytest.param(unbound_nested_string, "maxLength is missing", id="an endless string in a choice"),
        pytest.param(unbound("ConversationId", "pattern"), "pattern or format is missing", id="a string of any form"),
        pytest.param(take_nul, "the pattern takes NUL", id="a string with NUL"),
        pytest.param(describe_no_property, "ApiKey.name: a description", id="a property without description"),
        pytest.param(show_no_property, "ApiKey.name: an example", id="a property without example"),
        pytest.param(show_no_item, "ApiKey.scopes: an example", id="items without example"),
        pytest.param(show_invalid(answer_media), "response ApiKey", id="an invalid answer"),
        pytest.param(show_invalid(request_media), "the example is invalid", id="an invalid request"),
        pytest.param(show_invalid(shared_parameter), "parameter limit: the example", id="an invalid parameter"),
        pytest.param(show_invalid(shared_header), "header ETag: the example", id="an invalid header"),
        pytest.param(show_invalid(property_of_key), "ApiKey.name: the example", id="an invalid property"),
        pytest.param(show_invalid_by_name, "'leads' is a required property", id="an invalid named example"),
        pytest.param(show_null_for_what_is_never_null, "at /createdAt", id="null where none may be"),
        pytest.param(show_bad_date, "at /createdAt", id="a date that is none"),
        pytest.param(link_to_nothing, "no such operation", id="a link to nothing"),
        pytest.param(link_unknown_parameter, "has no parameter agentId", id="a link with an unknown parameter"),
        pytest.param(link_expression("$response.body#/0/_id"), "finds nothing", id="a link into another shape"),
        pytest.param(link_expression("$request.path.token"), "finds nothing", id="a link from an unknown parameter"),
        pytest.param(link_expression("42"), "finds nothing", id="a link that is a constant"),
        pytest.param(link_with_object, "requestBody must be a string", id="a link with a body"),
        pytest.param(forget_link("AgentCreated", "agent"), "no link to get_agent", id="a create without get"),
        pytest.param(forget_link("AgentCreated", "update"), "no link to update_agent", id="a create without update"),
        pytest.param(forget_link("AgentCreated", "delete"), "no link to delete_agent", id="a create without delete"),
        pytest.param(forget_link("ConversationStarted", "conversation"), "no link to get_conversation", id="a start"),
        pytest.param(forget_link("ApiKeyList", "api_key"), "no link to get_api_key", id="a list without its item"),
        pytest.param(put_templated_path_first, "must stand before", id="a path that swallows others"),
    ],
)
def test_rule_complains_about(document, breach, complaint):
    breach(document)

    problems = rules.problems(document)

    assert any(complaint in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("exemptions", "name"),
    [
        pytest.param(exemptions, name, id=name)
        for exemptions in (
            operations.UNCONDITIONAL,
            operations.UNPAGED,
            operations.WITHOUT_EXAMPLE,
            schemas.OPEN_OBJECTS,
        )
        for name in exemptions
    ],
)
def test_exemption_is_still_needed(document, monkeypatch, exemptions, name):
    monkeypatch.delitem(exemptions, name)

    assert rules.problems(document) != []


def test_nullable_example_may_be_null(document):
    answer_media(document)["example"]["expiresAt"] = None

    assert rules.problems(document) == []


def test_problem_says_where(document):
    unbound("MessageText", "maxLength")(document)

    assert rules.problems(document) == ["schema MessageText: maxLength is missing"]


def test_every_rule_says_what_it_asks():
    for rule in (*rules.PRECONDITIONS, *rules.RULES):
        assert re.fullmatch(r"[A-Z`].*\.", rule.__doc__)
