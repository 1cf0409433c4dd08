"""Messages to people who have started the bot."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from engine.channels import Credentials, Endpoints, Health, Outgoing, Said, SendError, Sent, Undeliverable
from engine.channels.members import mapping
from engine.channels.payloads import whole
from engine.channels.telegram import webhook
from engine.channels.telegram.api import Moved, call

LONGEST_TEXT = 4096
LONGEST_CALLBACK_BYTES = 64
_ANSWER_TIMEOUT_S = 5.0
_CHAT_ID = re.compile(r"-?[0-9]{1,18}")


def connect(credentials: Credentials, endpoints: Endpoints) -> Telegram:
    """The bot of this integration; nothing is called yet."""
    return Telegram(credentials, endpoints)


@dataclass(frozen=True, slots=True)
class Telegram:
    """The bot. Telegram knows no idempotency key and cannot be asked what was sent: a lost answer stays unknown."""

    credentials: Credentials
    endpoints: Endpoints
    repeats_safely: bool = False
    pace_s: float = 1 / 25  # about 30 a second over all chats, not published as exact
    recipient_pace_s: float = 1.0

    def send(self, message: Outgoing) -> Sent:
        """Write to the chat of the person. Raises SendError; Undeliverable where no chat is known."""
        chat_id = next((int(name) for name in message.identities if _CHAT_ID.fullmatch(name)), None)
        if chat_id is None:
            raise Undeliverable("telegram_not_started", "The person has not started the bot yet.")
        if not message.text:
            raise Undeliverable("telegram_no_text", "Telegram has no templates: only a text can be sent.")
        if len(message.text) > LONGEST_TEXT:
            raise Undeliverable("telegram_too_long", f"The text is longer than {LONGEST_TEXT} characters.")
        try:
            result = self._send_to(chat_id, message)
        except Moved as moved:
            chat_id = moved.chat_id
            result = self._send_to(chat_id, message)
        message_id = whole(mapping(result).get("message_id"))
        return Sent(None if message_id is None else f"{chat_id}:{message_id}")

    def find(self, message: Outgoing, since: datetime) -> Literal["unknown"]:
        """Telegram keeps no list that a bot may read."""
        del message, since
        return "unknown"

    def check(self) -> Health:
        """Whether the token works, and whether Telegram delivers to our webhook."""
        try:
            bot = mapping(call(self.credentials, self.endpoints, "getMe", {}))
            told = mapping(call(self.credentials, self.endpoints, "getWebhookInfo", {}))
        except SendError as error:
            return Health(False, error.detail)
        return webhook.health(bot, told, webhook.webhook_url(self.credentials, self.endpoints))

    def mark_read(self, provider_id: str) -> None:
        """A bot cannot tell that it has read."""

    def _send_to(self, chat_id: int, message: Outgoing) -> Any:
        body: dict[str, Any] = {
            "chat_id": chat_id,
            "text": message.text,
            "link_preview_options": {"is_disabled": True},
        }
        if labels := [label for label in message.buttons if label.strip()]:
            keyboard = [[{"text": label, "callback_data": callback_data(label)}] for label in labels]
            body["reply_markup"] = {"inline_keyboard": keyboard}
        return call(self.credentials, self.endpoints, "sendMessage", body)


def callback_data(label: str) -> str:
    """What a pressed button sends back: its label, as far as it fits."""
    return label.encode()[:LONGEST_CALLBACK_BYTES].decode(errors="ignore")


def fetch(credentials: Credentials, endpoints: Endpoints, said: Said) -> Said:
    """Tell Telegram that the button was seen, else it keeps spinning. Never raises: what was said stays said."""
    query_id = (said.fetch or {}).get("callback_query_id")
    if query_id:
        quick = replace(endpoints, timeout_s=min(endpoints.timeout_s, _ANSWER_TIMEOUT_S))
        with contextlib.suppress(SendError):  # too old a query, say: nothing is lost
            call(credentials, quick, "answerCallbackQuery", {"callback_query_id": query_id})
    return replace(said, fetch=None)
