"""`newleaf import`: a CSV file from disk into an account, with a progress bar."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import startup

if TYPE_CHECKING:
    from storage.imports import ImportBatch, OnDuplicate
    from storage.tenancy import Environment


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--account", "account_id", required=True, help="The account's id.")
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--mapping", help='JSON object, column to lead property: \'{"Mobile": "phone"}\'. Guessed if not given.')
@click.option(
    "--on-duplicate",
    default="skip",
    show_default=True,
    type=click.Choice(["skip", "update"]),
    help="What becomes of a row whose lead exists.",
)
@click.option("--tags", default="", help="Comma-separated tags for every lead of the file.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def import_command(
    file: Path,
    account_id: str,
    environment: Environment,
    mapping: str | None,
    on_duplicate: OnDuplicate,
    tags: str,
    as_json: bool,
) -> None:
    """Import the leads of a CSV file, of any length.

    What is imported stays if it is interrupted: run it again, rows that are there already are duplicates. The
    importBatchId it prints takes the import back, with DELETE /api/leads/imports/ID.
    """
    from engine import lead_import
    from storage import accounts
    from storage.database import connection
    from storage.errors import NewleafError
    from storage.imports import Order
    from storage.tenancy import SYSTEM

    tag_list = _tags(tags)
    chosen = None if mapping is None else _mapping(mapping)
    startup.ready()
    with startup.said_plainly(), connection():
        try:
            region = accounts.get(account_id).default_region
            tenant = accounts.tenant_row(account_id, environment).tenant
            if chosen is None:
                chosen = lead_import.preview(lambda: lead_import.open_file(file)).mapping
                click.echo(f"Mapping: {json.dumps(chosen, ensure_ascii=False)}", err=True)
            order = Order(chosen, tag_list, on_duplicate, region)
            with _progress_bar() as show:
                batch = lead_import.import_file(tenant, file, order, SYSTEM, show)
        except NewleafError as error:
            raise click.ClickException(error.message) from None
        except OSError as error:
            raise click.ClickException(f"The file cannot be read: {error.strerror}") from None
    _report(batch, as_json)


def _mapping(text: str) -> dict[str, str]:
    try:
        mapping = json.loads(text)
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict) or not all(isinstance(target, str) for target in mapping.values()):
        raise click.UsageError('--mapping is no JSON object of texts, like {"Mobile": "phone"}.')
    return mapping


def _tags(text: str) -> list[str]:
    tags = [tag for part in text.split(",") if (tag := part.strip())]
    if len(tags) > 50 or any(len(tag) > 50 for tag in tags):
        raise click.UsageError("A lead has at most 50 tags of at most 50 characters.")
    return tags


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[ImportBatch], None]]:
    """A bar on stderr, where that is a terminal; to be told how far a batch has come."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        "Importing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        bar = progress.add_task("import", total=None)
        yield lambda batch: progress.update(bar, total=batch.total, completed=batch.processed)


def _report(batch: ImportBatch, as_json: bool) -> None:
    counts: dict[str, Any] = {
        "total": batch.total,
        "imported": batch.imported,
        "updated": batch.updated,
        "duplicatesSkipped": batch.duplicates_skipped,
        "errors": batch.errors,
        "importBatchId": batch.oid,
    }
    if as_json:
        click.echo(json.dumps({**counts, "errorRows": batch.error_rows}, indent=2, ensure_ascii=False))
        return
    for refused in batch.error_rows:
        click.echo(f"row {refused['row']}: {refused['message']}", err=True)
    if batch.errors > len(batch.error_rows):
        click.echo(f"… and {batch.errors - len(batch.error_rows)} more rows", err=True)
    click.echo("\n".join(f"{name}: {value}" for name, value in counts.items()))
