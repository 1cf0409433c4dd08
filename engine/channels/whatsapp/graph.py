"""Sending over Graph: a number's messages, and whether its account works."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

from engine.channels import Credentials, Deferred, Endpoints, Health, OutcomeUnknown, Outgoing, SendError, Sent, wire
from engine.channels.members import identifier, items, text
from engine.channels.whatsapp import outgoing
from engine.channels.whatsapp.errors import error_of

_MAX_BYTES = 8_000_000  # of an answer: a page of templates with their texts
_NUMBER_FIELDS = {
    "display_phone_number": "displayPhoneNumber",
    "verified_name": "verifiedName",
    "quality_rating": "qualityRating",
}


def connect(credentials: Credentials, endpoints: Endpoints) -> WhatsApp:
    """The number of these credentials; nothing is called yet."""
    return WhatsApp(credentials, endpoints)


class WhatsApp:
    """A business phone number. Meta counts 80 messages a second for it, one in 6 s to the same person."""

    repeats_safely = False
    pace_s = 1 / 80
    recipient_pace_s = 6.0

    def __init__(self, credentials: Credentials, endpoints: Endpoints) -> None:
        self._graph = Graph(credentials, endpoints)
        self._number_id = str(credentials.settings.get("phoneNumberId", ""))
        self._number = f"/{quote(self._number_id, safe='')}"
        self._waba_id = str(credentials.settings.get("wabaId", ""))

    def send(self, message: Outgoing) -> Sent:
        """Accepted by Meta, as this id. Raises SendError."""
        answer = self._graph.post(f"{self._number}/messages", outgoing.body_of(message))
        sent = items(answer, "messages")
        if not sent or not identifier(sent[0], "id"):
            raise OutcomeUnknown("whatsapp_no_id", "Meta accepted something, but did not say as which message.")
        return Sent(identifier(sent[0], "id"))

    def find(self, message: Outgoing, since: datetime) -> Literal["unknown"]:
        """Always unknown: Meta lists no messages. The statuses that name our id tell."""
        del message, since
        return "unknown"

    def check(self) -> Health:
        """Whether the token may use the number, and whether the number belongs to the business account."""
        try:
            number = self._graph.get(self._number, {"fields": ",".join(_NUMBER_FIELDS)})
            account = f"/{quote(self._waba_id, safe='')}"
            numbers = self._graph.get(f"{account}/phone_numbers", {"fields": "id", "limit": "500"})
        except SendError as error:
            return Health(False, error.detail)
        facts = {ours: text(number, theirs) for theirs, ours in _NUMBER_FIELDS.items() if text(number, theirs)}
        if self._number_id not in {text(other, "id") for other in items(numbers, "data")}:
            return Health(False, "The number does not belong to this business account. Check wabaId.", facts)
        return Health(True, "The number can send and receive.", {**facts, "wabaId": self._waba_id})

    def mark_read(self, provider_id: str) -> None:
        """Show the person that this message and those before it were read. Raises SendError."""
        body = {"messaging_product": "whatsapp", "status": "read", "message_id": provider_id}
        self._graph.post(f"{self._number}/messages", body)


class Graph:
    """Calls with the account's token; what is no success is raised as SendError."""

    def __init__(self, credentials: Credentials, endpoints: Endpoints) -> None:
        self._base = endpoints.whatsapp.rstrip("/")
        self._timeout_s = endpoints.timeout_s
        self._headers = {"Authorization": f"Bearer {credentials.secrets.get('accessToken', '')}"}

    def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """The answer's object."""
        return self._call("GET", f"{path}?{urlencode(query)}")

    def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer's object."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        try:
            answer = wire.exchange(
                method,
                self._base + path,
                headers=self._headers,
                body=body,
                timeout_s=self._timeout_s,
                max_bytes=_MAX_BYTES,
            )
        except wire.Unreached:
            raise Deferred("whatsapp_unreachable", "Meta's servers could not be reached.") from None
        except wire.AnswerLost:
            raise OutcomeUnknown("whatsapp_no_answer", "Meta was reached, but its answer was lost.") from None
        if not 200 <= answer.status < 300:
            raise error_of(answer.status, answer.body, answer.headers.get("retry-after", ""))
        return answer.body
