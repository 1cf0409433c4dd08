"""`newleaf simulate`: an agent tried on played leads, as a gate of a build."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from . import startup

if TYPE_CHECKING:
    from storage.tenancy import Environment


def _known(_context: click.Context, _parameter: click.Parameter, ids: tuple[str, ...]) -> tuple[str, ...]:
    if ids:
        from engine.agents.leads import PERSONAS

        unknown = [id_ for id_ in ids if id_ not in PERSONAS]
        if unknown:
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(PERSONAS)}.")
    return ids


@click.command("simulate")
@click.argument("agent_id")
@click.option("--account", "account_id", metavar="ID", required=True, help="The account's id.")
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--persona", "personas", multiple=True, callback=_known, help="Only this lead; give it again for more.")
@click.option("--max-turns", default=12, show_default=True, type=click.IntRange(1, 20), help="The agent's turns, each.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, with all that was said.")
def simulate_command(
    agent_id: str,
    account_id: str,
    environment: Environment,
    personas: tuple[str, ...],
    max_turns: int,
    as_json: bool,
) -> None:
    """Have played leads talk to an agent; exit 1 if it fails one of them.

    Nothing is stored or sent. The agent's own model is asked, and its tokens count to the account's usage.
    """
    from engine import rehearsals
    from handlers.rehearsals import report_body
    from storage import accounts
    from storage.database import connection
    from storage.errors import NewleafError

    startup.ready()
    with startup.said_plainly():
        try:
            with connection():
                rehearsal = rehearsals.of(accounts.tenant_row(account_id, environment).tenant, agent_id)
            report = report_body(rehearsal.simulate(personas, max_turns=max_turns))
        except NewleafError as error:
            raise click.ClickException(error.message) from None
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(report)))
    if not report["passed"]:
        sys.exit(1)


def _lines(report: dict[str, Any]) -> list[str]:
    """The report for people: a line per lead, below it what was wrong."""
    lines = []
    for each in report["results"]:
        verdict = "ok  " if each["passed"] else "FAIL"
        lines.append(f"{verdict}  {each['persona']:15} {each['outcome']:13} {each['turns']:2} turns  {each['reason']}")
        if each["outcome"] not in each["expected"]:
            lines.append(f"      {'':15} expected {' or '.join(each['expected'])}")
        lines += [f"      {'':15} {broken['rule']}: {broken['message']}" for broken in each["violations"]]
    totals = report["totals"]
    lines.append(f"{totals['passed']} of {totals['personas']} passed, version {report['agentVersion']}")
    return lines
