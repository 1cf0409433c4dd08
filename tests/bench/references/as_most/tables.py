"""newleaf's tables as SQLAlchemy models, and a session for each request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Integer, Text, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_Json = JSON().with_variant(JSONB(), "postgresql")
_Pk = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """All tables; the migrations are newleaf's."""

    type_annotation_map = {str: Text, int: BigInteger, bool: Boolean, list[str]: _Json, dict[str, Any]: _Json}  # noqa: RUF012


class Account(Base):
    """An organization."""

    __tablename__ = "account"
    id: Mapped[str] = mapped_column(primary_key=True)
    default_region: Mapped[str | None]


class ApiKey(Base):
    """A credential."""

    __tablename__ = "api_key"
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    tenant_id: Mapped[int]
    environment: Mapped[str]
    name: Mapped[str]
    key_hash: Mapped[str]
    scopes: Mapped[list[str]]
    status: Mapped[str]
    expires_at: Mapped[str | None]
    last_used_at: Mapped[str | None]


class LeadCounter(Base):
    """A tenant's last lead number and how many leads it has."""

    __tablename__ = "lead_counter"
    tenant_id: Mapped[int] = mapped_column(primary_key=True)
    last_number: Mapped[int]
    live: Mapped[int]


class Lead(Base):
    """A person."""

    __tablename__ = "lead"
    id: Mapped[int] = mapped_column(_Pk, primary_key=True)
    tenant_id: Mapped[int]
    number: Mapped[int]
    name: Mapped[str] = mapped_column(default="Unknown")
    name_key: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    phone_valid: Mapped[bool] = mapped_column(default=True)
    email: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="new")
    source: Mapped[str] = mapped_column(default="api")
    tags: Mapped[list[str]] = mapped_column(default=list)
    assigned_agent_id: Mapped[str | None]
    ab_test_id: Mapped[str | None]
    agent_assigned_by: Mapped[str] = mapped_column(default="auto")
    custom_fields: Mapped[dict[str, Any]] = mapped_column(default=dict)
    external_id: Mapped[str | None]
    timezone: Mapped[str | None]
    opted_out: Mapped[list[str]] = mapped_column(default=list)
    import_batch_id: Mapped[str | None]
    last_contacted_at: Mapped[str | None]
    search_text: Mapped[str] = mapped_column(default="")
    created_at: Mapped[str]
    updated_at: Mapped[str]
    deleted_at: Mapped[str | None]


class AuditEntry(Base):
    """Who did what."""

    __tablename__ = "audit_entry"
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    environment: Mapped[str]
    actor_type: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    actor_ip: Mapped[str | None]
    request_id: Mapped[str | None]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[str]


_url = os.environ["NEWLEAF_DATABASE_URL"]
IS_SQLITE = _url.startswith("sqlite")
_engine = create_engine(
    _url if IS_SQLITE else _url.replace("postgresql://", "postgresql+psycopg://"),
    **({"connect_args": {"timeout": 30}} if IS_SQLITE else {"pool_size": 16}),
)
_writing = _engine.execution_options(begin="BEGIN IMMEDIATE")
_PRAGMAS = ("journal_mode = wal", "synchronous = full", "cache_size = -65536", "temp_store = memory")

if IS_SQLITE:

    @event.listens_for(_engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def reading() -> Iterator[Session]:
    """A session for a request that reads."""
    with Session(_engine) as session:
        yield session


def writing() -> Iterator[Session]:
    """A session for a request that writes, to be committed by it."""
    with Session(_writing, expire_on_commit=False) as session:
        yield session
