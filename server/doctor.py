"""`newleaf doctor`: is everything there that `newleaf serve` needs, and if not, what mends it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import click
from peewee import PeeweeException

from engine import integrations, vault
from engine.agents.models import SCRIPTED, ModelConfig, ModelMisconfigured, provider_model
from storage import database, migrate

from . import startup
from .settings import Settings

_TIMEOUT_S = 3
_SHARED = ("redis", "rediss", "valkey", "valkeys")


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do about it ("" where all is well)."""

    name: str
    says: str
    fix: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.fix

    def body(self) -> dict[str, str | bool]:
        """The check for JSON."""
        body: dict[str, str | bool] = {"name": self.name, "ok": self.is_ok, "says": self.says}
        return body | {"fix": self.fix} if self.fix else body


def examine() -> list[Check]:
    """Every check that can be made, in the order in which one mends them. Leaves nothing behind."""
    try:
        chosen = startup.read()
    except click.ClickException as error:
        return [Check("settings", error.message, "Correct the variable, in the environment or in .env.")]
    stored = _database(chosen)
    secrets = _secrets(chosen, is_stored=all(check.is_ok for check in stored))
    looks: list[Callable[[Settings], Check]] = [_queue, _limits, _model, _sandbox_model]
    return [Check("settings", "can be read"), *stored, secrets, *(look(chosen) for look in looks)]


def _database(chosen: Settings) -> list[Check]:
    os.environ["PGCONNECT_TIMEOUT"] = str(_TIMEOUT_S)
    try:
        path = database.sqlite_path(chosen.database_url)
        if path is not None and not path.exists():  # looking would create it
            return [Check("database", f"{path} does not exist", "Run `newleaf migrate`, which creates it.")]
        opened = database.connect(chosen.database_url, pool_size=1)
    except ValueError as error:
        return [Check("database", str(error), "Set NEWLEAF_DATABASE_URL.")]
    try:
        missing = migrate.pending()
    except (PeeweeException, sqlite3.Error) as error:
        text = " ".join(str(error).split())[:300]
        return [Check("database", f"does not answer: {text}", "Start it, or correct NEWLEAF_DATABASE_URL.")]
    finally:
        opened.close_all()
    answers = Check("database", f"answers ({path if path is not None else 'PostgreSQL'})")
    if missing:
        return [answers, Check("migrations", f"{len(missing)} pending", "Run `newleaf migrate`.")]
    return [answers, Check("migrations", "all applied")]


def _queue(chosen: Settings) -> Check:
    if chosen.queue_url is None:
        return Check("queue", "beside the database")
    return _shared("queue", chosen.queue_url, "NEWLEAF_QUEUE_URL")


def _limits(chosen: Settings) -> Check:
    if chosen.rate_limits == "off":
        return Check("limits", "off: for tests and benchmarks only")
    if chosen.limits_url is None:
        return Check("limits", "in memory, each server process for itself")
    return _shared("limits", chosen.limits_url, "NEWLEAF_LIMITS_URL")


def _shared(name: str, url: str, setting: str) -> Check:
    """Whether a Redis or Valkey answers."""
    from redis import Redis, RedisError

    scheme, _, rest = url.partition("://")
    if scheme not in _SHARED:
        return Check(name, f"unknown URL scheme {scheme!r}", f"Set {setting} to redis://… or valkey://….")
    secure = "s" if scheme in ("rediss", "valkeys") else ""
    try:
        client = Redis.from_url(f"redis{secure}://{rest}", socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        client.ping()
        client.close()
    except ValueError as error:
        return Check(name, str(error), f"Correct {setting}.")
    except RedisError as error:
        return Check(name, f"does not answer: {type(error).__name__}", f"Start it, or correct {setting}.")
    return Check(name, "answers")


def _secrets(chosen: Settings, *, is_stored: bool) -> Check:
    """Whether integrations can be saved and, where there is a database, those in it be opened."""
    try:
        vault.configure(chosen.secret_key.get_secret_value() if chosen.secret_key else None)
    except ValueError as error:
        return Check("secrets", str(error), "Correct NEWLEAF_SECRET_KEY.")
    shut = old = 0
    if is_stored:
        shut, old = integrations.opening()
        database.database.close_all()
    if shut:
        fix = "Add the key that they were saved under to NEWLEAF_SECRET_KEY, or save them anew."
        return Check("secrets", f"integrations that cannot be opened: {shut}", fix)
    if not vault.is_configured():
        return Check("secrets", "no NEWLEAF_SECRET_KEY: integrations cannot be saved")
    return Check("secrets", f"a key is set; integrations under an older one: {old}" if old else "a key is set")


def _model(chosen: Settings) -> Check:
    return _configured("model", chosen.model, chosen)


def _sandbox_model(chosen: Settings) -> Check:
    return _configured("sandbox", chosen.sandbox_model, chosen)


def _configured(name: str, model: str, chosen: Settings) -> Check:
    """Whether everything is set that the model needs; it is not called, which may cost money."""
    setting = "NEWLEAF_MODEL" if name == "model" else "NEWLEAF_SANDBOX_MODEL"
    key = chosen.model_api_key.get_secret_value() if chosen.model_api_key else None
    try:
        config = ModelConfig.parse(model, base_url=chosen.model_base_url, api_key=key)
        if config.provider != SCRIPTED:
            provider_model(config, None)
    except ValueError as error:
        return Check(name, str(error), f"Correct {setting}.")
    except ModelMisconfigured as error:
        return Check(name, error.message, "Set NEWLEAF_MODEL_API_KEY or NEWLEAF_MODEL_BASE_URL.")
    return Check(name, f"{config.label} is configured")
