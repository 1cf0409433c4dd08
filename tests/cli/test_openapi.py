from __future__ import annotations

import json

import yaml

from server.contract import document


def test_export_is_the_document_that_the_server_serves(newleaf):
    assert yaml.safe_load(newleaf("openapi", "export").stdout) == document()
    assert json.loads(newleaf("openapi", "export", "--format", "json").stdout) == document()


def test_export_of_31_says_so(newleaf):
    assert (
        json.loads(newleaf("openapi", "export", "--format", "json", "--version", "3.1").stdout)["openapi"][:3] == "3.1"
    )


def test_lint_is_silent_about_our_own_contract(newleaf):
    ran = newleaf("openapi", "lint", "--json")

    assert json.loads(ran.stdout) == {"problems": []}
    assert ran.returncode == 0


def test_diff_with_itself_breaks_nothing(newleaf):
    ran = newleaf("openapi", "diff", "-", stdin=json.dumps(document()))

    assert ran.stdout == "Nothing breaks.\n"
    assert ran.returncode == 0


def test_diff_names_what_is_gone_and_exits_1(newleaf):
    old = document()
    old["paths"]["/api/gone"] = {"get": {"operationId": "gone", "responses": {}}}

    ran = newleaf("openapi", "diff", "-", "--json", stdin=yaml.safe_dump(old))

    assert json.loads(ran.stdout) == {"breaking": ["/api/gone: the path is gone"]}
    assert ran.returncode == 1


def test_diff_with_what_is_no_document_is_a_usage_error(newleaf):
    assert newleaf("openapi", "diff", "-", stdin="[1, 2]").returncode == 2
