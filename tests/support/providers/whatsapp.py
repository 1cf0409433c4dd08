"""Meta's Graph API on loopback: one business phone number, its templates, its people, and signed webhooks.

with WhatsAppServer() as meta:
    channel = whatsapp.connect(meta.credentials(), Endpoints(whatsapp=meta.graph_url))
    meta.refuses("12025550101", 131026)               # for good; `answers` and the like are for the next requests
    …
    assert meta.sent[0].text == "Hello Ada"
    meta.status(meta.sent[0], "delivered", to=base_url).post()
    meta.said("12025550101", "Hi!", to=base_url, name="Ada").post()
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.channels import Credentials
from tests.support.providers import Answer, ProviderServer, Received, Webhook

VERSION = "v25.0"
NUMBER_ID = "106540352242922"
WABA_ID = "102290129340398"
TOKEN = "EAAloopback-access-token"
APP_SECRET = "loopback-app-secret"
VERIFY_TOKEN = "loopback-verify-token"
WEBHOOK_PATH = "/api/webhooks/whatsapp"
_DATE = 1_795_000_000  # of all webhooks: November 2026
_PAUSED = {"PAUSED": 132015, "DISABLED": 132016}


@dataclass(frozen=True)
class SentMessage:
    """A message that Meta has accepted. recipient: the number or the user id; text: what the person reads first."""

    id: str
    recipient: str
    text: str
    request: Mapping[str, Any] = field(repr=False)

    @property
    def message_id(self) -> str:
        """Our own id of it."""
        return str(self.request.get("biz_opaque_callback_data", ""))


class WhatsAppServer(ProviderServer):
    """A number and the people who may be written to: everybody who is not refused."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[SentMessage] = []
        self.read: list[str] = []  # ids of messages that were marked as read
        self.templates: list[dict[str, Any]] = [template("first_contact", "Hello {{1}}!")]
        self.page_size = 100  # at most, whatever is asked for
        self._refusals: dict[str, int] = {}
        self._limit: int | None = None
        self._limit_per_recipient: int | None = None
        self._counted = 0  # in `sent`, when the limits were last lifted
        self._sent_ids = itertools.count(1)
        self._said_ids = itertools.count(1)

    @property
    def graph_url(self) -> str:
        """What `Endpoints.whatsapp` is to say."""
        return f"{self.url}/{VERSION}"

    def credentials(self, **settings: Any) -> Credentials:
        """An integration that this server accepts, with other settings where given."""
        secrets = {"accessToken": TOKEN, "appSecret": APP_SECRET, "verifyToken": VERIFY_TOKEN}
        known = {"phoneNumberId": NUMBER_ID, "wabaId": WABA_ID, **settings}
        return Credentials("665f1c2e9b1d4a0012ab3451", known, secrets)

    def recipients(self) -> list[str]:
        """Who was written to, a name for each message."""
        return [message.recipient for message in self.sent]

    def refuses(self, recipient: str, code: int) -> None:
        """Answer every message to this number or user id with this error."""
        self._refusals[recipient] = code

    def limits(self, total: int | None = None, *, per_recipient: int | None = None) -> None:
        """From now on take so many messages, and so many to the same person; called again, from then on anew."""
        self._limit, self._limit_per_recipient, self._counted = total, per_recipient, len(self.sent)

    def respond(self, request: Received) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return error(190, 401, "Error validating access token")
        path = request.path.removeprefix(f"/{VERSION}")
        if (request.method, path) == ("POST", f"/{NUMBER_ID}/messages"):
            return self._post(request.json)
        if (request.method, path) == ("GET", f"/{NUMBER_ID}"):
            number = {"display_phone_number": "+1 202-555-0100", "verified_name": "Example", "quality_rating": "GREEN"}
            return Answer(200, {"id": NUMBER_ID, **number})
        if (request.method, path) == ("GET", f"/{WABA_ID}/phone_numbers"):
            return Answer(200, {"data": [{"id": NUMBER_ID}]})
        if (request.method, path) == ("GET", f"/{WABA_ID}/message_templates"):
            return self._list_templates(request)
        return error(100, 400, "Unsupported request: no such object", subcode=33)

    def _post(self, body: Mapping[str, Any]) -> Answer:
        if body.get("status") == "read":
            if not str(body.get("message_id", "")).startswith("wamid."):
                return error(131009, 400, "Invalid message id")
            self.read.append(body["message_id"])
            return Answer(200, {"success": True})
        recipient = str(body.get("to") or body.get("recipient") or "")
        refusal = self._refusals.get(recipient) or _problem(body) or self._template_problem(body)
        if not refusal and (exceeded := self._exceeded(recipient)):
            return error(exceeded, 429 if exceeded == 130429 else 400)
        if refusal:
            return error(refusal, 404 if refusal == 132001 else 400)
        message = SentMessage(f"wamid.sent{next(self._sent_ids):06}", recipient, _text_of(body), body)
        self.sent.append(message)
        contact = {"input": recipient, "wa_id": "" if "recipient" in body else recipient}
        return Answer(200, {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": message.id}]})

    def _exceeded(self, recipient: str) -> int:
        """The code of the limit that one more message to this person would break, 0 for none."""
        counted = self.recipients()[self._counted :]
        if self._limit is not None and len(counted) >= self._limit:
            return 130429
        limit = self._limit_per_recipient
        return 131056 if limit is not None and counted.count(recipient) >= limit else 0

    def _template_problem(self, body: Mapping[str, Any]) -> int:
        if body["type"] != "template":
            return 0
        wanted = body["template"]
        for known in self.templates:
            if (known["name"], known["language"]) == (wanted["name"], wanted["language"]["code"]):
                parts = [part for part in wanted.get("components", []) if part["type"] == "body"]
                given = [value.get("parameter_name", "") for part in parts for value in part["parameters"]]
                return _PAUSED.get(known["status"], 0) or _misfit(known, given)
        return 132001

    def _list_templates(self, request: Received) -> Answer:
        start = int(request.query.get("after") or 0)
        end = start + min(int(request.query.get("limit") or 25), self.page_size)
        page: dict[str, Any] = {"data": self.templates[start:end]}
        if page["data"]:
            page["paging"] = {"cursors": {"before": str(start), "after": str(end)}}
            if end < len(self.templates):
                page["paging"]["next"] = (
                    f"{self.graph_url}/{WABA_ID}/message_templates?access_token={TOKEN}&after={end}"
                )
        return Answer(200, page)

    def said(
        self, sender: str, words: str, *, to: str, name: str = "Ada", user_id: str = "", message_id: str = ""
    ) -> Webhook:
        """A text of this number, or of this user id if there is no number. The same object again is a repetition."""
        message: dict[str, Any] = {"type": "text", "text": {"body": words}}
        return self.webhook(to, [self.message(message, sender, name=name, user_id=user_id, message_id=message_id)])

    def message(
        self, message: Mapping[str, Any], sender: str, *, name: str = "Ada", user_id: str = "", message_id: str = ""
    ) -> dict[str, Any]:
        """A change that tells of a message: its type and content are given, who wrote it and its id are added."""
        wrote = {"from": sender, "from_user_id": user_id}
        known = {"wa_id": sender, "user_id": user_id}
        said_id = message_id or f"wamid.said{next(self._said_ids):06}"
        value = {
            "contacts": [{"profile": {"name": name}, **{key: text for key, text in known.items() if text}}],
            "messages": [
                {
                    "id": said_id,
                    "timestamp": str(_DATE),
                    **{key: text for key, text in wrote.items() if text},
                    **message,
                }
            ],
        }
        return change(value)

    def status(self, message: SentMessage, status: str, *, to: str, code: int | None = None) -> Webhook:
        """How far a sent message has come. code: of the error, for `failed`."""
        return self.webhook(to, [self.status_change(message, status, code)])

    def status_change(self, message: SentMessage, status: str, code: int | None = None) -> dict[str, Any]:
        """The same as a change, to put several into one body."""
        told: dict[str, Any] = {
            "id": message.id,
            "status": status,
            "timestamp": str(_DATE),
            "recipient_id": message.recipient,
            "biz_opaque_callback_data": message.message_id,
        }
        if code is not None:
            told["errors"] = [{"code": code, "title": "An error", "error_data": {"details": "Details of an error"}}]
        return change({"statuses": [told]})

    def webhook(self, to: str, changes: Sequence[Mapping[str, Any]]) -> Webhook:
        """A signed body with these changes, for the server at this base address."""
        return signed(to, {"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": list(changes)}]})


def signed(to: str, payload: Any, secret: str = APP_SECRET) -> Webhook:
    """Any body, signed as Meta does."""
    body = json.dumps(payload).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
    return Webhook(to + WEBHOOK_PATH, body, headers)


def change(value: Mapping[str, Any], field_name: str = "messages") -> dict[str, Any]:
    """A change of our number, with this value."""
    metadata = {"display_phone_number": "12025550100", "phone_number_id": NUMBER_ID}
    return {"field": field_name, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


def template(name: str, text: str, language: str = "en", status: str = "APPROVED") -> dict[str, Any]:
    """A message template as Graph lists it; `{{first_name}}` in its text makes it one of named places."""
    return {
        "id": str(zlib.crc32(f"{name}/{language}".encode())),
        "name": name,
        "language": language,
        "status": status,
        "category": "MARKETING",
        "parameter_format": "POSITIONAL" if "{{1}}" in text or "{{" not in text else "NAMED",
        "components": [{"type": "BODY", "text": text}],
    }


def error(code: int, status: int = 400, message: str = "An error", *, subcode: int = 0, **more: Any) -> Answer:
    """An error as Graph answers it."""
    told: dict[str, Any] = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, **more}
    told["error_data"] = {"messaging_product": "whatsapp", "details": "Details of +12025550101"}
    if subcode:
        told["error_subcode"] = subcode
    return Answer(status, {"error": told})


def _problem(body: Mapping[str, Any]) -> int:
    """The code of what is wrong with a message, 0 for nothing."""
    kind = str(body.get("type", ""))
    content = body.get(kind)
    if body.get("messaging_product") != "whatsapp" or not isinstance(content, dict):
        return 100
    if not body.get("to") and not body.get("recipient"):
        return 131008
    if kind == "text" and not 0 < len(content.get("body", "")) <= 4096:
        return 100
    if kind == "interactive":
        titles = [button["reply"]["title"] for button in content["action"]["buttons"]]
        fits = len(titles) <= 3 and len(set(titles)) == len(titles) and all(0 < len(title) <= 20 for title in titles)
        return 0 if fits and 0 < len(content["body"]["text"]) <= 1024 else 131009
    return 0


def _misfit(known: Mapping[str, Any], given: Sequence[str]) -> int:
    """132000 for another number of values than places, 100 for names that are not the template's."""
    places = re.findall(r"\{\{(\w+)\}\}", known["components"][0]["text"])
    if len(given) != len(places):
        return 132000
    return 100 if known["parameter_format"] == "NAMED" and sorted(given) != sorted(places) else 0


def _text_of(body: Mapping[str, Any]) -> str:
    if body["type"] == "text":
        return str(body["text"]["body"])
    if body["type"] == "interactive":
        return str(body["interactive"]["body"]["text"])
    return str(body["template"]["name"])
