"""`newleaf openapi`: the contract as one document, the house rules, and what would break its clients."""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def openapi() -> None:
    """The contract: export it, check it, compare it."""


@openapi.command()
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Of the text."
)
@click.option(
    "--version", type=click.Choice(["3.0", "3.1"]), default="3.0", show_default=True, help="Version of OpenAPI."
)
def export(form: str, version: str) -> None:
    """Print the contract as one document."""
    from . import contract
    from .openapi31 import to_31

    document = contract.document()
    if version == "3.1":
        document = to_31(document)
    click.echo(json.dumps(document, indent=2) if form == "json" else contract.to_yaml(document))


@openapi.command()
@json_option
def lint(as_json: bool) -> None:
    """Check the contract against the house rules; exit 1 if one is broken."""
    from . import contract, rules

    try:
        problems = rules.problems(contract.document())
    except contract.ContractError as error:
        problems = [str(error)]
    _report("problems", problems, "The contract keeps the house rules.", as_json)


@openapi.command()
@click.argument("old", type=click.File("rb"))
@json_option
def diff(old: BinaryIO, as_json: bool) -> None:
    """List what breaks clients of the document OLD (YAML or JSON, `-` for stdin); exit 1 if anything does."""
    from . import contract
    from .openapi_diff import breaking_changes

    _report("breaking", breaking_changes(_read(old), contract.document()), "Nothing breaks.", as_json)


def _read(file: BinaryIO) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise click.BadParameter("is no OpenAPI document in YAML or JSON.", param_hint="OLD")
    return document


def _report(name: str, lines: list[str], fine: str, as_json: bool) -> None:
    click.echo(json.dumps({name: lines}, indent=2) if as_json else "\n".join(lines) or fine)
    if lines:
        sys.exit(1)
