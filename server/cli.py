"""The command line: `newleaf serve`, `worker`, `migrate`, `account`, `key`, `import`, `openapi`, `doctor`, `demo`.

Exit codes: 0 done, 1 it could not be done or something is wrong, 2 the command itself was wrong.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

import click
import yaml

from . import contract, rules
from .settings import Settings, settings


def _out(text: str) -> None:
    click.echo(text)


def _answer(data: dict[str, Any], plain: str, as_json: bool) -> None:
    _out(json.dumps(data, indent=2) if as_json else plain)


_json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="newleaf")
def main() -> None:
    """Leads in, AI agents talk, qualified leads out."""


def _prepare() -> Settings:
    from . import app

    try:
        app.prepare(settings())
    except app.SchemaOutdated as error:
        raise click.ClickException(str(error)) from None
    return settings()


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 128), help="Server processes.")
@click.option("--no-worker", is_flag=True, help="Leave background work to `newleaf worker`.")
def serve(host: str, port: int, workers: int, no_worker: bool) -> None:
    """Serve the API, with the background worker inside."""
    import uvicorn

    chosen = _prepare()
    uvicorn.run(
        "server.app:serving" if no_worker else "server.app:serving_with_worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=chosen.trusted_proxies,
        timeout_graceful_shutdown=30,
        h11_max_incomplete_event_size=64 * 1024,
    )


@main.command()
@click.option("--concurrency", type=click.IntRange(1, 64), help="Jobs at once; the setting decides if it is not given.")
def worker(concurrency: int | None) -> None:
    """Do background work until SIGTERM or SIGINT; run any number, on any host."""
    from engine.jobs.worker import Worker

    chosen = _prepare()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    background = Worker(concurrency=concurrency or chosen.worker_concurrency)
    background.start()
    stop.wait()
    background.stop()


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a migration is pending.")
@_json_option
def migrate(check: bool, as_json: bool) -> None:
    """Create or upgrade the database."""
    from storage import database
    from storage import migrate as migrations

    database.connect(settings().database_url)
    names = migrations.pending() if check else migrations.upgrade()
    verb = "pending" if check else "applied"
    _answer({verb: names}, "\n".join(f"{verb} {name}" for name in names) or "The database is up to date.", as_json)
    if check and names:
        sys.exit(1)


@main.group()
def account() -> None:
    """Accounts."""


@account.command("create")
@click.argument("name")
@click.option("--owner", "owner_email", help="Email address of the first owner.")
@click.option("--region", help="ISO 3166 code of the region that phones without a country code belong to.")
@_json_option
def account_create(name: str, owner_email: str | None, region: str | None, as_json: bool) -> None:
    """Create an account and print its id."""
    from storage import accounts
    from storage.database import transaction

    _prepare()
    with transaction():
        created = accounts.create(name, owner_email=owner_email, default_region=region)
    _answer({"_id": created.id, "name": created.name}, created.id, as_json)


@main.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option("--account", "account_id", required=True, help="The account's id.")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--environment", required=True, type=click.Choice(["live", "test"]), help="Which half of the account.")
@click.option("--scopes", help="Comma-separated scopes.")
@click.option("--role", help="A role, whose scopes the key gets.")
def key_create(account_id: str, name: str, environment: Any, scopes: str | None, role: str | None) -> None:
    """Create an API key and print it, once."""
    from storage import accounts, api_keys, roles
    from storage.database import transaction
    from storage.errors import NewleafError
    from storage.tenancy import SYSTEM

    if (scopes is None) == (role is None):
        raise click.UsageError("Give either --scopes or --role.")
    try:
        granted = roles.scopes_of([role]) if role else [scope.strip() for scope in (scopes or "").split(",")]
    except KeyError:
        raise click.UsageError(f"Unknown role {role!r}: one of {', '.join(roles.ROLES)}.") from None
    unknown = [scope for scope in granted if scope not in roles.SCOPES]
    if unknown:
        raise click.UsageError(f"Unknown scope {unknown[0]!r}: one of {', '.join(roles.SCOPES)}.")
    _prepare()
    try:
        with transaction():
            tenant = accounts.tenant_row(account_id, environment).tenant
            made = api_keys.issue(tenant, SYSTEM, name=name, scopes=granted, roles=[role] if role else [])
    except NewleafError as error:
        raise click.ClickException(error.message) from None
    _out(made.full_key)


@main.group()
def openapi() -> None:
    """The contract."""


@openapi.command("export")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--version", type=click.Choice(["3.0", "3.1"]), default="3.0", show_default=True)
def openapi_export(form: str, version: str) -> None:
    """Print the contract as one document."""
    from .openapi31 import to_31

    document = contract.document()
    if version == "3.1":
        document = to_31(document)
    _out(json.dumps(document, indent=2) if form == "json" else yaml.safe_dump(document, sort_keys=False))


@openapi.command("lint")
@_json_option
def openapi_lint(as_json: bool) -> None:
    """Check the contract against the house rules; exit 1 if one is broken."""
    try:
        problems = rules.problems(contract.document())
    except contract.ContractError as error:
        problems = [str(error)]
    _answer({"problems": problems}, "\n".join(problems) or "The contract keeps the house rules.", as_json)
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
