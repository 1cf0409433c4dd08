"""One call of the Bot API, and what each of its refusals means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.channels import Credentials, Deferred, Endpoints, Misconfigured, OutcomeUnknown, SendError, Undeliverable
from engine.channels.members import mapping
from engine.channels.payloads import line, whole
from engine.channels.wire import Answer, AnswerLost, Unreached, exchange

_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,200}")
_ASKED_TO_WAIT = re.compile(r"retry after (\d{1,6})", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{5,}")
_WAIT_S = 5.0
_LONGEST_WAIT_S = 86_400

_OPT_OUTS = {  # words of a 403 by which a person, not the account, has ended it
    "blocked by the user": ("telegram_blocked", "The person has blocked the bot."),
    "user is deactivated": ("telegram_deactivated", "The person's Telegram account no longer exists."),
}
_REFUSALS = {  # words of a 400 or 403 about this message or this person
    "can't initiate conversation": ("telegram_not_started", "The person has not started the bot yet."),
    "chat not found": ("telegram_chat_not_found", "Telegram does not know this chat; the person may have deleted it."),
    "message is too long": ("telegram_too_long", "The text is longer than 4096 characters."),
}


class Moved(Undeliverable):
    """The chat has another id now: `chat_id`."""

    def __init__(self, chat_id: int) -> None:
        super().__init__("telegram_chat_moved", "The chat has moved to another id.")
        self.chat_id = chat_id


def call(credentials: Credentials, endpoints: Endpoints, method: str, parameters: Mapping[str, Any]) -> Any:
    """The `result` of a method. Raises SendError; Moved where repeating it with another chat id helps."""
    token = credentials.secrets.get("botToken", "")
    if not _TOKEN.fullmatch(token):  # nor may it lead to another path
        raise Misconfigured("telegram_token_malformed", "The bot token does not look like one of BotFather's.")
    try:
        answer = exchange(
            "POST", f"{endpoints.telegram}/bot{token}/{method}", timeout_s=endpoints.timeout_s, body=dict(parameters)
        )
    except Unreached:
        raise Deferred("telegram_unreachable", "Telegram cannot be reached.") from None
    except AnswerLost:
        raise OutcomeUnknown("telegram_no_answer", "Telegram took the request but did not answer in time.") from None
    if answer.status == 200 and answer.body.get("ok") is True:
        return answer.body.get("result")
    raise refusal(answer)


def refusal(answer: Answer) -> SendError:
    """What an answer other than `ok` means for the message."""
    status, code = answer.status, f"telegram_{answer.status}"
    if answer.body.get("ok") is not False:
        return _not_telegram(status)
    parameters, description = mapping(answer.body, "parameters"), line(answer.body.get("description"))
    words = _NUMBER.sub("…", description)  # ids of people are nothing for a log
    if status == 429:
        # Telegram does not say whose limit it was, and a bot that goes on elsewhere is made to wait longer.
        return Deferred(code, "Telegram asks to wait.", _wait_s(parameters, description), "integration")
    if status >= 500:
        return Deferred(code, f"Telegram failed: {words}")
    if status in (401, 404):
        return Misconfigured(code, "Telegram does not know the bot token.")
    if moved_to := whole(parameters.get("migrate_to_chat_id")):
        return Moved(moved_to)
    if status not in (400, 403):
        return Misconfigured(code, f"Telegram refused the call: {words}")
    known = _match(_OPT_OUTS, description) if status == 403 else None
    if known:
        return Undeliverable(*known, is_opt_out=True)
    return Undeliverable(*(_match(_REFUSALS, description) or (code, f"Telegram refused the message: {words}")))


def _not_telegram(status: int) -> SendError:
    """A gateway's answer: whether one behind it got the message, only a refusal before it can tell."""
    if status == 429:
        return Deferred("telegram_429", "Telegram asks to wait.", _WAIT_S, "integration")
    if 300 <= status < 500:
        return Misconfigured(f"telegram_{status}", "What answers at Telegram's address is not Telegram.")
    return OutcomeUnknown(f"telegram_{status}", "Telegram's answer could not be understood.")


def _wait_s(parameters: Mapping[str, Any], description: str) -> float:
    asked = whole(parameters.get("retry_after"))
    if asked is None and (match := _ASKED_TO_WAIT.search(description)):
        asked = int(match[1])
    return float(min(max(asked, 1), _LONGEST_WAIT_S)) if asked is not None else _WAIT_S


def _match(known: Mapping[str, tuple[str, str]], description: str) -> tuple[str, str] | None:
    lowered = description.lower()
    return next((meaning for words, meaning in known.items() if words in lowered), None)
