"""Telegram's Bot API on loopback: one bot, its chats, its limits, and the webhook it was told.

with TelegramServer() as telegram:
    telegram.starts(12345678, "Ada")                  # she pressed Start: the bot may write to her
    …
    assert telegram.sent[0].text == "Hello Ada"
    update = telegram.text("Hi!", chat_id=12345678)   # an update, numbered; the same object is a repetition of it
    telegram.webhook(update, to=base_url).post()      # with the secret that setWebhook got
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.channels import Credentials
from tests.support.providers import Answer, ProviderServer, Received, Webhook

TOKEN = "222222222:loopback-bot-token_0001"
SECRET = "loopback-secret_1"
USERNAME = "newleaf_test_bot"
_METHOD = re.compile(r"/bot([^/]+)/(\w+)")
_LONGEST_TEXT = 4096
_DATE = 1_795_000_000  # of all messages: November 2026


@dataclass(frozen=True)
class SentMessage:
    """A message that the bot has sent, as the person sees it. buttons: their labels."""

    chat_id: int
    message_id: int
    text: str
    buttons: tuple[str, ...] = ()


class TelegramServer(ProviderServer):
    """A bot and the people who may be written to."""

    def __init__(self, token: str = TOKEN) -> None:
        super().__init__()
        self.token = token
        self.sent: list[SentMessage] = []
        self.answered: list[str] = []  # ids of callback queries
        self.hook: dict[str, Any] = {}  # what setWebhook got
        self.pending = 0
        self.last_error: tuple[int, str] | None = None  # when a delivery to us failed, and how
        self._people: dict[int, str] = {}
        self._refusals: dict[int, tuple[int, str]] = {}
        self._moved: dict[int, int] = {}
        self._last_update = 100_000
        self._last_message = 500

    def credentials(self, **settings: Any) -> Credentials:
        """An integration with this bot."""
        secrets = {"botToken": self.token, "secretToken": SECRET}
        return Credentials("665f1c2e9b1d4a0012ab34c9", settings, secrets)

    @property
    def recipients(self) -> list[int]:
        """To which chats messages were sent, in order."""
        return [message.chat_id for message in self.sent]

    def starts(self, chat_id: int, name: str = "Ada") -> None:
        """The person has pressed Start, or lets the bot write again."""
        self._people[chat_id] = name
        self._refusals.pop(chat_id, None)

    def blocks(self, chat_id: int) -> None:
        """The person has blocked the bot."""
        self._refusals[chat_id] = (403, "Forbidden: bot was blocked by the user")

    def deactivates(self, chat_id: int) -> None:
        """The person has deleted the account."""
        self._refusals[chat_id] = (403, "Forbidden: user is deactivated")

    def moves(self, chat_id: int, to: int) -> None:
        """The chat has another id from now on."""
        self._moved[chat_id] = to
        self.starts(to)

    def limits(self, retry_after: int, *, times: int = 1) -> None:
        """The next messages are too many."""
        refusal = _refusal(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
        self.answers(429, refusal.body, times=times, path="/sendMessage")

    def respond(self, request: Received) -> Answer:
        match = _METHOD.fullmatch(request.path)
        if not match:
            return _refusal(404, "Not Found")
        if match[1] != self.token:
            return _refusal(401, "Unauthorized")
        method = getattr(self, f"_{_snake(match[2])}", None)
        return _refusal(404, "Not Found") if method is None else method(request.json if request.body else {})

    def _send_message(self, body: Mapping[str, Any]) -> Answer:
        chat_id, text = body.get("chat_id"), body.get("text")
        if not isinstance(chat_id, int):
            return _refusal(400, "Bad Request: chat_id is empty")
        if not isinstance(text, str) or not text.strip():
            return _refusal(400, "Bad Request: message text is empty")
        if len(text) > _LONGEST_TEXT:
            return _refusal(400, "Bad Request: message is too long")
        if moved_to := self._moved.get(chat_id):
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            return _refusal(400, words, {"migrate_to_chat_id": moved_to})
        if chat_id in self._refusals:
            return _refusal(*self._refusals[chat_id])
        if chat_id not in self._people:
            return _refusal(400, "Bad Request: chat not found")
        rows = body.get("reply_markup", {}).get("inline_keyboard", [])
        if any(len(button["callback_data"].encode()) > 64 for row in rows for button in row):
            return _refusal(400, "Bad Request: BUTTON_DATA_INVALID")
        labels = tuple(button["text"] for row in rows for button in row)
        message = SentMessage(chat_id, self._number(), text, labels)
        self.sent.append(message)
        return _ok(
            {
                "message_id": message.message_id,
                "from": self._bot(),
                "chat": self._chat(chat_id),
                "date": _DATE,
                "text": text,
            }
        )

    def _answer_callback_query(self, body: Mapping[str, Any]) -> Answer:
        self.answered.append(body["callback_query_id"])
        return _ok(True)

    def _get_me(self, body: Mapping[str, Any]) -> Answer:
        return _ok(self._bot())

    def _set_webhook(self, body: Mapping[str, Any]) -> Answer:
        address = urlsplit(body.get("url", ""))
        is_loopback = address.hostname == "127.0.0.1"  # Telegram itself wants HTTPS of everybody
        if address.scheme != "https" and not is_loopback:
            return _refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", body.get("secret_token", "")):
            return _refusal(400, "Bad Request: secret token contains unallowed characters")
        self.hook = dict(body)
        return _ok(True, "Webhook was set")

    def _delete_webhook(self, body: Mapping[str, Any]) -> Answer:
        self.hook = {}
        return _ok(True, "Webhook was deleted")

    def _get_webhook_info(self, body: Mapping[str, Any]) -> Answer:
        told = {
            "url": self.hook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": self.pending,
            "max_connections": 40,
        }
        if self.last_error is not None:
            told |= {"last_error_date": self.last_error[0], "last_error_message": self.last_error[1]}
        return _ok(told)

    def update(self, **content: Any) -> dict[str, Any]:
        """The next update, with this content."""
        self._last_update += 1
        return {"update_id": self._last_update, **content}

    def message(self, chat_id: int, **content: Any) -> dict[str, Any]:
        """An update with a message of a person in the private chat with the bot."""
        return self.update(message=self._written_by(chat_id, **content))

    def said(self, chat_id: int, words: str, *, to: str) -> Webhook:
        """The call with a text of a person."""
        return self.webhook(self.text(words, chat_id), to)

    def text(self, text: str, chat_id: int) -> dict[str, Any]:
        """An update with a text."""
        return self.message(chat_id, text=text)

    def presses(self, button: str, chat_id: int) -> dict[str, Any]:
        """An update with a press of this button of the bot's latest message to the person that has it."""
        shown = next(sent for sent in reversed(self.sent) if sent.chat_id == chat_id and button in sent.buttons)
        keyboard = [[{"text": label, "callback_data": label}] for label in shown.buttons]
        message = {
            "message_id": shown.message_id,
            "from": self._bot(),
            "chat": self._chat(chat_id),
            "date": _DATE,
            "text": shown.text,
            "reply_markup": {"inline_keyboard": keyboard},
        }
        query = {"id": f"77{self._number()}", "from": self._person(chat_id), "message": message, "data": button}
        return self.update(callback_query=query)

    def membership(self, chat_id: int, was: str, now: str) -> dict[str, Any]:
        """An update with a change of what the bot is in the private chat: `member`, or `kicked` when blocked."""
        change = {
            "chat": self._chat(chat_id),
            "from": self._person(chat_id),
            "date": _DATE,
            "old_chat_member": {"user": self._bot(), "status": was},
            "new_chat_member": {"user": self._bot(), "status": now},
        }
        return self.update(my_chat_member=change)

    def webhook(self, update: Mapping[str, Any], to: str | None = None, secret: str | None = None) -> Webhook:
        """The call with this update as setWebhook ordered it. to: another server's base URL; secret: a wrong one."""
        url = self.hook["url"] if to is None else to + urlsplit(self.hook["url"]).path
        token = self.hook.get("secret_token", "") if secret is None else secret
        headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": token}
        return Webhook(url, json.dumps(update).encode(), headers)

    def _written_by(self, chat_id: int, **content: Any) -> dict[str, Any]:
        author = {"from": self._person(chat_id), "chat": self._chat(chat_id)}
        return {"message_id": self._number(), **author, "date": _DATE, **content}

    def _bot(self) -> dict[str, Any]:
        return {"id": 222222222, "is_bot": True, "first_name": "Newleaf", "username": USERNAME}

    def _person(self, chat_id: int) -> dict[str, Any]:
        name = self._people.get(chat_id, "Ada")
        return {"id": chat_id, "is_bot": False, "first_name": name, "language_code": "en"}

    def _chat(self, chat_id: int) -> dict[str, Any]:
        return {"id": chat_id, "first_name": self._people.get(chat_id, "Ada"), "type": "private"}

    def _number(self) -> int:
        self._last_message += 1
        return self._last_message


def _ok(result: Any, description: str | None = None) -> Answer:
    return Answer(200, {"ok": True, "result": result} | ({} if description is None else {"description": description}))


def _refusal(status: int, description: str, parameters: Mapping[str, int] | None = None) -> Answer:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return Answer(status, body | ({} if parameters is None else {"parameters": dict(parameters)}))


def _snake(method: str) -> str:
    return re.sub(r"[A-Z]", lambda capital: "_" + capital[0].lower(), method)
