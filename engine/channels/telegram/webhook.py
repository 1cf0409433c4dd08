"""Where Telegram tells us what people say: asking it to, asking it not to, and whether it can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from engine.channels import Credentials, Endpoints, Health, Misconfigured
from engine.channels.payloads import line, moment, text, whole
from engine.channels.telegram.api import call
from storage import clock

UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONNECTIONS = 40
_RECENT = timedelta(minutes=15)


def webhook_url(credentials: Credentials, endpoints: Endpoints) -> str | None:
    """Where this integration wants its updates; None where this server does not know its own public address."""
    if not endpoints.public_url:
        return None
    return f"{endpoints.public_url}/api/webhooks/telegram/{credentials.integration_id}"


def register_webhook(credentials: Credentials, endpoints: Endpoints) -> str:
    """Have Telegram send updates to us, with our secret; the URL it got. Asking again changes nothing.

    Raises SendError: Misconfigured without a public URL or a secret, and where Telegram refuses the token or the URL.
    """
    url = webhook_url(credentials, endpoints)
    if url is None:
        raise Misconfigured("telegram_no_public_url", "Set NEWLEAF_PUBLIC_URL: Telegram calls this server under it.")
    secret = credentials.secrets.get("secretToken", "")
    if not _SECRET.fullmatch(secret):
        raise Misconfigured("telegram_no_secret", "The webhook's secret must be 1 to 256 of A-Z a-z 0-9 _ and -.")
    wanted = {
        "url": url,
        "secret_token": secret,
        "allowed_updates": list(UPDATES),
        "max_connections": _CONNECTIONS,
        "drop_pending_updates": False,
    }
    call(credentials, endpoints, "setWebhook", wanted)
    return url


def unregister_webhook(credentials: Credentials, endpoints: Endpoints) -> None:
    """Have Telegram send nothing more. Raises SendError."""
    call(credentials, endpoints, "deleteWebhook", {"drop_pending_updates": False})


def health(bot: Mapping[str, Any], told: Mapping[str, Any], wanted_url: str | None) -> Health:
    """What getMe and getWebhookInfo mean together; wanted_url: where our webhook is, None if unknown."""
    url, pending = text(told.get("url"), 2000), whole(told.get("pending_update_count")) or 0
    facts = {"botUsername": line(bot.get("username"), 64), "webhookUrl": url, "pendingUpdates": str(pending)}
    failed_at = moment(told.get("last_error_date"))
    if not url:
        return Health(False, "The bot works, but Telegram has no webhook of it: save the integration again.", facts)
    if wanted_url is not None and url != wanted_url:
        return Health(False, "The bot works, but its webhook leads to another server.", facts)
    if pending and failed_at is not None and clock.now() - failed_at < _RECENT:
        problem = line(told.get("last_error_message"))
        return Health(False, f"Telegram cannot deliver to this server: {problem}", facts)
    return Health(True, f"The bot @{facts['botUsername']} answers and its webhook is set.", facts)
