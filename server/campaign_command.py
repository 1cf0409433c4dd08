"""`newleaf campaign`: what a campaign is doing, in the terminal."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from . import startup

if TYPE_CHECKING:
    from storage.tenancy import Environment

Show = Callable[[dict[str, Any]], None]

_LOOK_EVERY_S = 0.5
_TOLD = ("_id", "name", "status", "pausedReason", "completedReason", "stats", "startedAt", "completedAt")
_COUNTED = ("sent", "delivered", "replied", "qualified", "disqualified", "failed")


@click.group()
def campaign() -> None:
    """Campaigns."""


@campaign.command()
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.option("--account", "account_id", metavar="ID", required=True, help="The account's id.")
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--once", is_flag=True, help="Print one line on where it stands, and end.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for every change.")
def watch(campaign_id: str, account_id: str, environment: Environment, once: bool, as_json: bool) -> None:
    """Show the progress of the campaign with the id CAMPAIGN until it is over: a bar, or lines outside of a terminal.

    Who watches changes nothing, and may stop with Ctrl-C. A campaign that is scheduled or paused is waited for.
    """
    from storage import accounts, campaign_bodies, campaigns
    from storage.database import connection
    from storage.errors import NewleafError

    startup.migrated()

    def look() -> dict[str, Any]:
        with connection():
            tenant = accounts.tenant_row(account_id, environment).tenant
            return campaign_bodies.campaign(tenant, campaigns.get(tenant, campaign_id))

    with startup.said_plainly():
        try:
            found = look()
            if found["status"] == "draft" and not once:
                raise click.ClickException("The campaign is a draft: start it first.")
            with _lines(as_json) if once or as_json else _bar() as show:
                show(found)
                while not once and found["status"] != "completed":
                    time.sleep(_LOOK_EVERY_S)
                    found = look()
                    show(found)
        except NewleafError as error:
            raise click.ClickException(error.message) from None


@contextlib.contextmanager
def _lines(as_json: bool) -> Iterator[Show]:
    """To be told how the campaign stands; prints what has changed."""
    last = ""

    def show(found: dict[str, Any]) -> None:
        nonlocal last
        line = json.dumps({name: found[name] for name in _TOLD if name in found}) if as_json else _said(found)
        if line != last:
            click.echo(line)
        last = line

    yield show


@contextlib.contextmanager
def _bar() -> Iterator[Show]:
    """The same as a bar with the line above it; only lines where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    console = Console()
    with _lines(as_json=False) as show_line:
        if not console.is_terminal:
            yield show_line
            return
        columns = ("{task.description}", BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        last: dict[str, Any] = {}
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=None, visible=False)

            def show(found: dict[str, Any]) -> None:
                nonlocal last
                last = found
                stats = found["stats"]
                counted = f"{stats['sent']} sent, {stats['replied']} replied, {stats['failed']} failed"
                total = stats["total"] or None  # not known while the audience is put down
                progress.update(bar, total=total, completed=stats["total"] - stats["pending"])
                progress.update(bar, description=f"{_status(found)}: {counted}", visible=True)

            yield show
        show_line(last)


def _said(found: dict[str, Any]) -> str:
    stats = found["stats"]
    counted = ", ".join(f"{stats[name]} {name}" for name in _COUNTED if stats[name] or name == "sent")
    done = f"{stats['total'] - stats['pending']} of {stats['total']} leads done"
    return f"{found['name']}: {_status(found)}, {done}: {counted}, {stats['skipped']} left out"


def _status(found: dict[str, Any]) -> str:
    reason = found.get("pausedReason") or found.get("completedReason")
    return f"{found['status']} ({reason})" if reason else str(found["status"])
