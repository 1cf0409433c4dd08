"""`newleaf secrets`: everything that is kept sealed, when the key that it is kept under is changed."""

from __future__ import annotations

import json

import click

from . import startup


@click.group()
def secrets() -> None:
    """Secrets of integrations, webhook sources and event subscriptions."""


@secrets.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def reseal(as_json: bool) -> None:
    """Seal every secret, and sign the audit logs, under the first key of NEWLEAF_SECRET_KEY, so that others can go."""
    from engine import audit, vault
    from engine.events import signing
    from engine.integrations import changes
    from engine.knowledge import webhook_sources
    from storage.database import connection
    from storage.errors import NewleafError

    chosen = startup.migrated()
    try:
        with startup.said_plainly(), connection():
            vault.configure(chosen.secret_key.get_secret_value() if chosen.secret_key else None)
            vault.require_key()
            done = changes.reseal() + webhook_sources.reseal() + signing.reseal() + audit.resign()
    except NewleafError as error:
        raise click.ClickException(error.message) from None
    click.echo(json.dumps({"resealed": done}) if as_json else f"{done} resealed")
