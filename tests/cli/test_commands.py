from __future__ import annotations

import json
import re

import click
import pytest

from server.cli import main


def _commands(command: click.Command, *path: str) -> list[tuple[str, ...]]:
    if isinstance(command, click.Group):
        found = [_commands(inner, *path, name) for name, inner in command.commands.items()]
        return [path, *(each for group in found for each in group)]
    return [path]


@pytest.mark.parametrize("command", _commands(main), ids=" ".join)
def test_every_command_explains_itself(command):
    context = click.Context(main)
    found: click.Command = main
    for name in command:
        assert isinstance(found, click.Group)
        found = found.commands[name]
        context = click.Context(found, context, info_name=name)

    text = found.get_help(context)

    assert found.help
    assert all(option.help for option in found.params if isinstance(option, click.Option)), text


def test_migrate_creates_a_database_once(newleaf):
    assert newleaf("migrate", "--check").returncode == 1
    assert newleaf("migrate").returncode == 0

    again = newleaf("migrate", "--json")

    assert json.loads(again.stdout) == {"applied": []}
    assert newleaf("migrate", "--check").returncode == 0


@pytest.mark.usefixtures("has_database")
def test_account_and_key_are_alone_on_stdout(newleaf):
    account = newleaf("account", "create", "Example", "--owner", "owner@example.com", "--region", "US").stdout.strip()

    made = newleaf("key", "create", "--account", account, "--name", "k", "--environment", "test", "--role", "owner")

    assert re.fullmatch("[0-9a-f]{24}", account)
    assert re.fullmatch("nl_test_[0-9a-f]{64}\n", made.stdout)


@pytest.mark.usefixtures("has_database")
def test_key_of_named_scopes_as_json(newleaf):
    account = json.loads(newleaf("account", "create", "Example", "--json").stdout)["_id"]
    options = ("--account", account, "--name", "k", "--environment", "live", "--scopes", "leads:view, leads:import")

    made = json.loads(newleaf("key", "create", *options, "--json").stdout)

    assert made["scopes"] == ["leads:view", "leads:import"]
    assert made["fullKey"].startswith("nl_live_")


@pytest.mark.usefixtures("has_database")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--scopes", "leads:fly"), 2, "Unknown scope 'leads:fly'"),
        (("--role", "king"), 2, "Unknown role 'king'"),
        ((), 2, "either --scopes or --role"),
        (("--role", "owner"), 1, "Account not found"),
    ],
    ids=["unknown scope", "unknown role", "neither", "unknown account"],
)
def test_key_that_cannot_be_made_says_why(newleaf, options, code, said):
    ran = newleaf("key", "create", "--account", "0" * 24, "--name", "k", "--environment", "test", *options)

    assert ran.returncode == code
    assert said in ran.stderr
    assert ran.stdout == ""


def test_region_that_is_no_country_code_is_refused(newleaf):
    assert newleaf("account", "create", "Example", "--region", "usa").returncode == 2


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({}, 1, "Error: The database lacks 0001_foundation, 0002_lead_indexes, "),
        ({"NEWLEAF_DATABASE_URL": "mysql://u:secret@h/d"}, 2, "Error: Unknown database URL scheme 'mysql'"),
        ({"NEWLEAF_DATABASE_URL": "sqlite:////no/such/folder/x.db"}, 1, "Error: The database cannot be used"),
        ({"NEWLEAF_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d"}, 1, "Error: The database cannot be used"),
        ({"NEWLEAF_THREADS": "secret"}, 2, "Error: NEWLEAF_THREADS: "),
    ],
    ids=["no schema", "unknown engine", "no folder", "no server", "no number"],
)
def test_server_that_cannot_start_says_so_in_one_line(newleaf, settings, code, said):
    ran = newleaf("serve", "--port", "0", **settings)

    assert ran.returncode == code
    assert ran.stderr.startswith(said)
    assert ran.stderr.count("\n") == 1
    assert "secret" not in ran.stderr
    assert ran.stdout == ""


@pytest.mark.usefixtures("has_database")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"NEWLEAF_MODEL": "magic"}, "Error: Model must be 'scripted'"),
        ({"NEWLEAF_QUEUE_URL": "amqp://h"}, "Error: Unknown queue URL scheme 'amqp'"),
    ],
    ids=["model", "queue"],
)
def test_setting_without_meaning_is_named_before_serving(newleaf, settings, said):
    ran = newleaf("serve", "--port", "0", **settings)

    assert ran.returncode == 2
    assert ran.stderr.startswith(said)
