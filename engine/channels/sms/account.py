"""Calls to a Twilio account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from engine.channels import Credentials, Deferred, Endpoints, OutcomeUnknown, wire
from engine.channels.sms.errors import error_of

_MAX_BYTES = 4_000_000  # of an answer: a page of messages


class Account:
    """Calls below the account's address, with its SID and token; what is no success is raised as SendError."""

    def __init__(self, credentials: Credentials, endpoints: Endpoints) -> None:
        sid = str(credentials.settings.get("accountSid") or "")
        self._path = f"/2010-04-01/Accounts/{quote(sid, safe='')}"
        self._base = endpoints.sms.rstrip("/")
        self._auth = (sid, credentials.secrets.get("authToken", ""))
        self._timeout_s = endpoints.timeout_s

    def call(self, method: str, path: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The answer's object. path: what follows the account's address."""
        return self._exchange(method, path, form).body

    def page(self, path: str) -> tuple[Mapping[str, Any], datetime | None]:
        """The answer's object, and the time at which Twilio gave it."""
        answer = self._exchange("GET", path)
        return answer.body, date_of(answer.headers.get("date", ""))

    def path_of(self, uri: str) -> str:
        """What follows the account's address in a URI of Twilio's, "" where that is of something else."""
        return uri.removeprefix(self._path) if uri.startswith(f"{self._path}/") else ""

    def _exchange(self, method: str, path: str, form: Mapping[str, str] | None = None) -> wire.Answer:
        url = self._base + self._path + path
        try:
            answer = wire.exchange(
                method, url, form=form, auth=self._auth, timeout_s=self._timeout_s, max_bytes=_MAX_BYTES
            )
        except wire.Unreached:
            raise Deferred("sms_unreachable", "Twilio's servers could not be reached.") from None
        except wire.AnswerLost:
            raise OutcomeUnknown("sms_no_answer", "Twilio was reached, but its answer was lost.") from None
        if not 200 <= answer.status < 300:
            raise error_of(answer.status, answer.body, answer.headers.get("retry-after", ""))
        return answer


def date_of(text: str) -> datetime | None:
    """The time of a date as in headers of mail and HTTP, None where there is none."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else None
