"""Conversations over HTTP."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from engine import conversations as engine
from engine import inbound
from engine.conversations import Changed
from engine.jobs import worker
from engine.message_templates import Choice
from storage import bodies, conversation_events, conversations
from storage.conversation_events import ConversationEvent
from storage.conversations import Conversation, Filters, Message
from storage.database import connection
from storage.errors import NotFound
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page, Stream

_KEEP_OPEN_S = 15.0  # proxies close a connection on which nothing is said
_encode = msgspec.json.Encoder().encode
TURN_WAIT_S = 20.0  # an answer is given by then, with or without the agent's message
_LARGEST_LEAD_NUMBER = 2_147_483_647


def list_conversations(
    user: Caller,
    status: str | None = None,
    search: str | None = None,
    lead_id: int | None = None,
    channel: str | None = None,
    campaign_id: str | None = None,
    agent_config_id: str | None = None,
    skip: int = 0,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """A page of conversations, the newest first, each with its last 50 messages."""
    filters = Filters(status, search, lead_id, channel, campaign_id, agent_config_id)
    found, total, following = conversations.page(user.tenant, filters, limit=limit, skip=skip, cursor=cursor)
    said = conversations.latest_messages(user.tenant, found)
    return Page([bodies.conversation(user.tenant, row, said[row.id]) for row in found], total, following)


def get_conversation(id_: str, user: Caller) -> dict[str, Any]:
    """One conversation with all its messages. Raises NotFound."""
    return _full(user.tenant, conversations.get(user.tenant, id_))


def list_messages(
    id_: str, user: Caller, order: str = "asc", skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of a conversation's messages. Raises NotFound."""
    conversation = conversations.get(user.tenant, id_)
    found, following = conversations.message_page(
        user.tenant, conversation, descending=order == "desc", limit=limit, skip=skip, cursor=cursor
    )
    return Page([bodies.message(message) for message in found], conversation.message_count, following)


def start_conversation(user: Caller, body: dict[str, Any]) -> Answer:
    """A new conversation with its first message. Raises NotFound, Conflict, Blocked."""
    changed = engine.start(
        user.tenant,
        _lead_number(body["leadId"]),
        body["channel"],
        actor=user.actor,
        agent_config_id=body.get("agentConfigId"),
        text=body.get("message"),
        template=_template(body),
    )
    return _after_turn(user.tenant, changed, status=201)


def send_message(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The conversation with a person's message in it. Raises NotFound, Conflict, Blocked."""
    sent = engine.send(user.tenant, id_, body["message"], actor=user.actor, template=_template(body))
    return _full(user.tenant, sent.conversation)


def update_conversation(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The conversation with what the body names corrected. Raises NotFound, Conflict, Blocked."""
    return _full(user.tenant, engine.update(user.tenant, id_, body, actor=user.actor).conversation)


def follow_conversation(id_: str, user: Caller, last_event_id: str | None = None) -> Stream:
    """What happens in a conversation, as it happens. Raises NotFound."""
    conversation = conversations.get(user.tenant, id_)
    seen = conversation_events.latest(user.tenant, conversation.id) if last_event_id is None else int(last_event_id)
    return Stream("text/event-stream", _Follower(user.tenant, conversation.id, seen).pull, is_live=True)


def preflight_message(id_: str, user: Caller, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Whether a message may be sent now. Raises NotFound, Conflict."""
    return engine.preflight(user.tenant, id_, is_template=bool((body or {}).get("template")))


def simulate_reply(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """The conversation after the agent's answer to a reply of the lead. Raises NotFound, Conflict."""
    return _after_turn(user.tenant, inbound.simulate(user.tenant, id_, body["message"]))


def change_conversation_status(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The conversation in its new status. Raises NotFound, Conflict."""
    return _full(user.tenant, engine.change_status(user.tenant, id_, body["status"], actor=user.actor).conversation)


class _Follower:
    """Events of one conversation in the form of server-sent events, those after `seen`."""

    def __init__(self, tenant: Tenant, conversation_id: int, seen: int) -> None:
        self._tenant = tenant
        self._conversation_id = conversation_id
        self._seen = seen
        self._spoke_at = float("-inf")  # so that the first piece opens the stream at once

    def pull(self) -> bytes:
        """What happened since the last pull; nothing most of the time."""
        events = conversation_events.after(self._tenant, self._conversation_id, self._seen)
        moment = time.monotonic()
        if not events:
            if moment - self._spoke_at < _KEEP_OPEN_S:
                return b""
            self._spoke_at = moment
            return b":\n\n"
        self._seen, self._spoke_at = events[-1].id, moment
        told = [event.data["messageId"] for event in events if event.type == "message"]
        messages = {message.oid: message for message in conversations.messages_by_id(self._tenant, told)}
        return b"".join(self._event(event, messages) for event in events)

    @staticmethod
    def _event(event: ConversationEvent, messages: dict[str, Message]) -> bytes:
        said = messages.get(event.data.get("messageId", "")) if event.type == "message" else None
        data = event.data if said is None else bodies.message(said)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), _encode(data))


def _after_turn(tenant: Tenant, changed: Changed, status: int = 200) -> Answer:
    """The conversation once the agent has taken the turn that was queued, by this very thread if nobody else has it."""
    oid, row_id = changed.conversation.oid, changed.turn_row

    def settled() -> dict[str, Any]:
        if row_id is not None:
            worker.settle(oid, row_id, TURN_WAIT_S)
        with connection():
            return _full(tenant, conversations.get(tenant, oid))

    location = f"/api/conversations/{oid}" if status == 201 else None
    return Answer(_full(tenant, changed.conversation), status=status, location=location, then=settled)


def _template(body: dict[str, Any]) -> Choice | None:
    if "template" not in body:
        return None
    return Choice(body["template"], body.get("templateLanguage"), tuple(body.get("templateParameters", ())))


def _lead_number(reference: int | str) -> int:
    number = int(reference)
    if number > _LARGEST_LEAD_NUMBER:
        raise NotFound("lead_not_found", "Lead not found")
    return number


def _full(tenant: Tenant, conversation: Conversation) -> dict[str, Any]:
    return bodies.conversation(tenant, conversation, conversations.messages(tenant, conversation))
