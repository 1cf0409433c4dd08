"""The command line: `newleaf serve`, `worker`, `migrate`, `account`, `key`, `import`, `analytics`, `doctor`, …

Exit codes: 0 done, 1 it could not be done or something is wrong, 2 the command or a setting cannot be read.

Modules are imported where they are used, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import json
import re
import signal
import sys
import threading
from typing import Any

import click

from . import startup
from .audit_command import audit
from .campaign_command import campaign
from .demo.command import demo
from .import_command import import_command
from .openapi_commands import json_option, openapi
from .secrets_command import secrets
from .simulate_command import simulate_command


def _answer(data: dict[str, Any], plain: str, as_json: bool) -> None:
    click.echo(json.dumps(data, indent=2) if as_json else plain)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="newleaf")
def main() -> None:
    """Leads in, AI agents talk, qualified leads out."""


main.add_command(audit)
main.add_command(campaign)
main.add_command(openapi)
main.add_command(demo)
main.add_command(import_command)
main.add_command(secrets)
main.add_command(simulate_command)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 128), help="Server processes.")
@click.option("--no-worker", is_flag=True, help="Leave background work to `newleaf worker`.")
def serve(host: str, port: int, workers: int, no_worker: bool) -> None:
    """Serve the API, with the background worker inside."""
    gc.disable()  # until all is loaded: `app` turns it on again
    from . import listening

    chosen = startup.ready()
    startup.release()  # each server process connects for itself
    listening.serve(chosen, host, port, workers=workers, with_worker=not no_worker)


@main.command()
@click.option("--concurrency", type=click.IntRange(1, 64), help="Jobs at once; the setting decides if it is not given.")
def worker(concurrency: int | None) -> None:
    """Do background work until SIGTERM or SIGINT; run any number, on any host."""
    import structlog

    from engine.jobs.worker import Worker

    chosen = startup.ready()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    background = Worker(concurrency=concurrency or chosen.worker_concurrency)
    background.start()
    log = structlog.get_logger("newleaf.worker")
    log.info("worker started")
    stop.wait()
    log.info("worker stopped", is_idle=background.stop())
    startup.release()


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a migration is pending.")
@json_option
def migrate(check: bool, as_json: bool) -> None:
    """Create or upgrade the database."""
    from storage import migrate as migrations

    startup.connect()
    with startup.said_plainly():
        names = migrations.pending() if check else migrations.upgrade()
    verb = "pending" if check else "applied"
    _answer({verb: names}, "\n".join(f"{verb} {name}" for name in names) or "The database is up to date.", as_json)
    if check and names:
        sys.exit(1)


@main.group()
def account() -> None:
    """Accounts."""


def _region(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[A-Z]{2}", value):
        raise click.BadParameter("is no ISO 3166 code of two capital letters, such as US.")
    return value


@account.command("create")
@click.argument("name")
@click.option("--owner", "owner_email", metavar="EMAIL", help="Email address of the first owner.")
@click.option("--region", callback=_region, help="Country whose national notation of phones is read, such as US.")
@json_option
def account_create(name: str, owner_email: str | None, region: str | None, as_json: bool) -> None:
    """Create an account and print its id."""
    from storage import accounts
    from storage.database import transaction

    startup.migrated()
    with startup.said_plainly(), transaction():
        created = accounts.create(name, owner_email=owner_email, default_region=region)
    _answer({"_id": created.id, "name": created.name}, created.id, as_json)


@main.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option("--account", "account_id", metavar="ID", required=True, help="The account's id.")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--scopes", help="Comma-separated scopes.")
@click.option("--role", help="A role, whose scopes the key gets.")
@json_option
def key_create(
    account_id: str, name: str, environment: Any, scopes: str | None, role: str | None, as_json: bool
) -> None:
    """Create an API key and print it, once."""
    from storage import accounts, api_keys
    from storage.database import transaction
    from storage.errors import NewleafError
    from storage.tenancy import SYSTEM

    granted = _granted(scopes, role)
    startup.migrated()
    try:
        with startup.said_plainly(), transaction():
            tenant = accounts.tenant_row(account_id, environment).tenant
            made = api_keys.issue(tenant, SYSTEM, name=name, scopes=granted, roles=[role] if role else [])
    except NewleafError as error:
        raise click.ClickException(error.message) from None
    _answer({"_id": made.row.id, "fullKey": made.full_key, "scopes": granted}, made.full_key, as_json)


def _granted(scopes: str | None, role: str | None) -> list[str]:
    """The scopes that the options ask for. Raises UsageError."""
    from storage import roles

    if (scopes is None) == (role is None):
        raise click.UsageError("Give either --scopes or --role.")
    if role is not None:
        if role not in roles.ROLES:
            raise click.UsageError(f"Unknown role {role!r}: one of {', '.join(roles.ROLES)}.")
        return roles.scopes_of([role])
    granted = [scope.strip() for scope in (scopes or "").split(",")]
    unknown = [scope for scope in granted if scope not in roles.SCOPES]
    if unknown:
        raise click.UsageError(f"Unknown scope {unknown[0]!r}: one of {', '.join(roles.SCOPES)}.")
    return granted


@main.group()
def analytics() -> None:
    """The numbers that are kept about leads and conversations."""


@analytics.command("rebuild")
@json_option
def analytics_rebuild(as_json: bool) -> None:
    """Count all leads and conversations anew. Until it is through, reports know only a part."""
    from engine.analytics import folding
    from storage import accounts
    from storage.database import connection

    startup.ready()
    with startup.said_plainly(), connection():
        tenants = accounts.all_tenants()
        for tenant in tenants:
            folding.rebuild(tenant)
    _answer({"tenants": len(tenants)}, f"Counted anew for {len(tenants)} environments.", as_json)


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check settings, database, queue, limits and model, and say the fix; exit 1 if something is wrong."""
    from . import doctor as checks

    found = checks.examine()
    lines = [f"{'ok  ' if check.is_ok else 'FAIL'}  {check.name:10}  {check.says}" for check in found]
    for index, check in reversed(list(enumerate(found, start=1))):
        if not check.is_ok:
            lines.insert(index, f"      {'':10}  fix: {check.fix}")
    is_ok = all(check.is_ok for check in found)
    _answer({"ok": is_ok, "checks": [check.body() for check in found]}, "\n".join(lines), as_json)
    if not is_ok:
        sys.exit(1)


if __name__ == "__main__":
    main()
