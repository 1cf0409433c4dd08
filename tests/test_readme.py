"""The README does not lie: its commands run and print what it shows, and it names everything there is to name."""

from __future__ import annotations

import configparser
import re
import shutil

import click
import pytest

from server.cli import main
from server.contract import document
from server.settings import Settings
from tests.support.live_server import ROOT
from tests.support.readme import README, Command, Shell, commands

TEXT = README.read_text()
SECTIONS = (
    *("Start", "What works today", "One lead's story", "Running it", "The contract", "Speed", "Tests"),
    *("Contributing", "Licence"),
)


@pytest.mark.parametrize(
    "own_curl",
    [
        pytest.param(False, marks=pytest.mark.skipif(not shutil.which("curl"), reason="no curl here"), id="curl"),
        pytest.param(True, id="no curl"),
    ],
)
def test_every_command_of_the_readme_prints_what_it_shows(tmp_path, own_curl):
    wanted = [command for command in commands() if not command.installs]
    if own_curl:  # the demo brings a client of its own: once is enough
        wanted = [command for command in wanted if "newleaf demo" not in command.text]

    with Shell(tmp_path, own_curl=own_curl) as shell:
        for command in wanted:
            printed = shell.run(command)
            assert command.matches(printed), f"$ {command.text}\n{printed}"


def test_what_is_left_to_the_install_environment_is_just_this():
    assert [command.text for command in commands() if command.installs] == [
        "python3 -m venv .venv && . .venv/bin/activate && pip install .",
        "pip install tox",
        "tox",
    ]


def test_sections_stand_in_their_order():
    assert tuple(re.findall(r"^## (.+)$", TEXT, re.MULTILINE)) == SECTIONS


def _variable(name):
    return Settings.model_fields[name].validation_alias or f"NEWLEAF_{name.upper()}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_as_it_is(name):
    field = Settings.model_fields[name]
    value = field.get_default(call_default_factory=True)
    default = "none" if value in (None, "", {}) else f"`{value}`"

    assert f"| `{_variable(name)}` | {default} | {field.description} |" in TEXT


def test_no_setting_is_documented_that_does_not_exist():
    known = {_variable(name) for name in Settings.model_fields} | {"NEWLEAF_SAMPLES"}

    assert set(re.findall(r"NEWLEAF_\w+", TEXT)) - known == set()


def _leaves(command: click.Command, path: str) -> list[str]:
    if isinstance(command, click.Group):
        return [leaf for name, inner in command.commands.items() for leaf in _leaves(inner, f"{path} {name}")]
    return [path]


@pytest.mark.parametrize("command", _leaves(main, "newleaf"))
def test_every_command_is_documented(command):
    assert f"| `{command}` |" in TEXT


@pytest.mark.parametrize("tag", [tag["name"] for tag in document()["tags"]])
def test_every_domain_of_the_contract_is_in_the_table(tag):
    row = re.search(rf"^\| {re.escape(tag)} \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)

    assert row
    assert "on the way" not in row.group(2).partition(";")[0]


def test_every_path_of_the_table_is_in_the_contract():
    table = TEXT.partition("| domain |")[2].partition("\n\n")[0]
    named = re.findall(r"`(/[^`]+)`", table)

    known = [*document()["paths"], "/docs"]
    assert [path for path in named if not any(each.startswith(path) for each in known)] == []


def test_every_tox_environment_is_documented():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    usual = set(re.split(r"[,\s]+", tox["tox"]["env_list"]))
    others = {name.partition(":")[2] for name in tox.sections() if name.startswith("testenv:")} - usual

    assert set(re.findall(r"`tox -e (\w+)`", TEXT)) == others


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "compose.yaml", "Dockerfile"])
def test_papers_that_are_named_are_there(name):
    assert (ROOT / name).exists()


def test_output_with_an_ellipsis_matches_anything_there():
    assert Command("x", '{"a": 1, … "z": 2}').matches('{"a":1,"b":[3],"z":2}\n')
    assert not Command("x", '{"a": 1, … "z": 2}').matches('{"a":1,"z":3}')
