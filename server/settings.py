"""Settings: environment variables `NEWLEAF_*` or a `.env` file, each with a default that works on one machine."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that can be set; the description of a field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="NEWLEAF_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = Field(default="sqlite:///newleaf.db", description="`sqlite:///file` or `postgresql://…`.")
    database_pool: int = Field(default=16, ge=1, le=500, description="PostgreSQL connections per process, at most.")
    threads: int = Field(default=12, ge=1, le=400, description="Handlers that run at once in one process.")
    queue_url: str | None = Field(
        default=None, description="`redis://` or `valkey://` for the doorbell; beside the database otherwise."
    )
    limits_url: str | None = Field(
        default=None, description="`redis://` or `valkey://` to share rate limits between processes; memory otherwise."
    )
    rate_limits: Literal["on", "off"] = Field(default="on", description="`off` is for tests and benchmarks only.")
    limit_global: int = Field(default=1000, ge=1, description="Requests a minute from one address.")
    limit_key: int = Field(default=500, ge=1, description="Requests a minute with one API key.")
    limit_sync: int = Field(default=50, ge=1, description="Lead sync requests a minute with one API key.")
    limit_account: int = Field(default=2000, ge=1, description="Requests a minute of one account.")
    body_limit_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="Largest request body, uploads aside.")
    upload_limit_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="Largest request body of an upload.")
    trusted_proxies: str = Field(
        default="127.0.0.1", description="Addresses whose `X-Forwarded-For` is believed, comma-separated; `*` for any."
    )
    model: str = Field(
        default="scripted",
        description="Language model of agents that name none: `scripted`, `openai:NAME` or `openai-compatible:NAME`.",
    )
    sandbox_model: str = Field(
        default="scripted", description="The same for the test environment, which otherwise never leaves the machine."
    )
    model_base_url: str | None = Field(default=None, description="Base URL of an OpenAI-compatible API.")
    model_api_key: SecretStr | None = Field(default=None, description="Key for that API.")
    model_prices: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="Own prices in US dollars a million tokens, as JSON: "
        '`{"openai-compatible:NAME": {"input": 0.1, "output": 0.4}}`.',
    )
    embeddings_url: str | None = Field(
        default=None,
        description="Base URL of an OpenAI-compatible embeddings API; without it vectors are made on this machine.",
    )
    embeddings_model: str = Field(default="text-embedding-3-small", description="The embeddings model of that API.")
    embeddings_min_similarity: float = Field(
        default=0.35,
        ge=-1,
        le=1,
        description="Cosine from which on a passage has to do with a question.",
    )
    embeddings_api_key: SecretStr | None = Field(default=None, description="Key for that API.")
    fetch_allows_private: str = Field(
        default="",
        description="Private addresses that crawls and webhook sources may ask, comma-separated: `10.0.0.0/8`, "
        "`wiki.example.com`, `127.0.0.1:8931`. The test environment asks these and no others.",
    )
    fetch_ports: str = Field(default="80,443", description="Ports that they may ask anywhere, comma-separated.")
    fetch_timeout_s: float = Field(default=20.0, gt=0, le=60, description="Seconds that a page may take in all.")
    fetch_max_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="Largest page, decompressed.")
    crawl_delay_s: float = Field(
        default=1.0, ge=0, le=60, description="Seconds between two pages of one site; its robots.txt may ask for more."
    )
    model_timeout_s: float = Field(default=30.0, gt=0, le=600, description="Seconds to wait for the language model.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+(/[^\s]*[^\s/])?$",
        description="Where providers and clients reach this server, such as `https://leads.example.com`.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="What secrets of integrations are kept under: 32 characters or more. Several, separated by commas, "
        "to change it: the first seals, all of them open.",
    )
    whatsapp_url: str = Field(
        default="https://graph.facebook.com/v25.0", description="Base URL of WhatsApp's Cloud API."
    )
    telegram_url: str = Field(default="https://api.telegram.org", description="Base URL of Telegram's Bot API.")
    email_url: str = Field(default="https://api.resend.com", description="Base URL of Resend's API.")
    sms_url: str = Field(default="https://api.twilio.com", description="Base URL of Twilio's API.")
    provider_timeout_s: float = Field(default=20.0, gt=0, le=120, description="Seconds to wait for such a provider.")
    meta_webhook_verify_token: SecretStr | None = Field(
        default=None,
        validation_alias="META_WEBHOOK_VERIFY_TOKEN",
        description="Answers WhatsApp's verification for integrations without a token of their own.",
    )
    fb_app_secret: SecretStr | None = Field(
        default=None,
        validation_alias="FB_APP_SECRET",
        description="Checks WhatsApp's signatures for integrations without an app secret of their own.",
    )
    unsigned_webhooks: Literal["refused", "accepted"] = Field(
        default="refused", description="`accepted` takes WhatsApp events where no secret is known: development only."
    )
    spine: Literal["compiled", "stock"] = Field(
        default="compiled", description="`stock` serves through Connexion's own routing and validation, for comparison."
    )
    stream_s: float = Field(
        default=300.0, gt=0, le=3600, description="Seconds after which an event stream ends and its client reconnects."
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="Bearer token that opens `/metrics`; without it only this machine is answered."
    )
    worker_concurrency: int = Field(default=2, ge=1, le=64, description="Background jobs at once in one worker.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line logged."
    )
    log_format: Literal["json", "console"] = Field(default="json", description="JSON lines, or lines for people.")


@functools.cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
