"""`newleaf audit`: the proof that the audit log is unchanged, and the blanking of what is personal in it."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from . import startup
from .openapi_commands import json_option

_account = click.option("--account", "account_id", metavar="ID", required=True, help="The account's id.")


@click.group()
def audit() -> None:
    """The audit log."""


@audit.command()
@_account
@json_option
def verify(account_id: str, as_json: bool) -> None:
    """Say whether the account's audit log is what was written; exit 1 and name the first broken entry if not."""
    from engine import audit as chain
    from engine import vault
    from storage import accounts
    from storage.database import connection
    from storage.errors import NewleafError

    chosen = startup.migrated()
    try:
        with startup.said_plainly(), connection():
            vault.configure(chosen.secret_key.get_secret_value() if chosen.secret_key else None)
            accounts.tenant_row(account_id, "live")
            body = chain.verdict_body(chain.verify(account_id))
    except NewleafError as error:
        raise click.ClickException(error.message) from None
    click.echo(json.dumps(body, indent=2) if as_json else _said(body))
    if not body["valid"]:
        sys.exit(1)


def _said(body: dict[str, Any]) -> str:
    how = "signed" if body["signed"] else "not signed: there is no NEWLEAF_SECRET_KEY"
    if body["valid"]:
        told = f"{body['entries']} entries, unchanged ({how}). Last hash: {body.get('headHash', 'none')}"
        if gone := body.get("checkpoint"):
            told += f"\nRetention removed those up to number {gone['sequence']}, the last at {gone['removedAt']}."
        return told
    broken = body["firstBroken"]
    return f"Broken at number {broken['sequence']}, entry {broken.get('entryId', 'none')}: {broken['reason']}"


@audit.command()
@_account
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--type", "resource_type", required=True, help="The type of the object, such as lead.")
@click.option("--id", "resource_id", required=True, help="The object's id, as the log has it.")
@json_option
def redact(account_id: str, environment: Any, resource_type: str, resource_id: str, as_json: bool) -> None:
    """Blank metadata, actor's name and address in all entries about an object; that this was done is logged."""
    from storage import accounts, audit_chain
    from storage.database import transaction
    from storage.errors import NewleafError
    from storage.tenancy import SYSTEM

    startup.migrated()
    try:
        with startup.said_plainly(), transaction():
            tenant = accounts.tenant_row(account_id, environment).tenant
            done = len(audit_chain.redact(tenant, SYSTEM, resource_type, resource_id))
    except NewleafError as error:
        raise click.ClickException(error.message) from None
    click.echo(json.dumps({"redacted": done}) if as_json else f"{done} redacted")
