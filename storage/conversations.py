"""Conversations and their messages.

Whoever changes both a lead and a conversation locks the lead first: one order for everybody, hence no deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from peewee import (
    JOIN,
    SQL,
    BigIntegerField,
    BooleanField,
    Expression,
    IntegerField,
    JSONField,
    ModelSelect,
    TextField,
    fn,
)

from . import ab_tallies, bodies, campaign_ledger, clock, conversation_events, event_log
from .base import TenantModel
from .errors import Conflict, NotFound
from .ids import new_id
from .lead_text import holds_folded
from .leads import Lead, live, locked
from .paging import paginate
from .tenancy import Tenant

# What a message may become from where it is: it never goes back, and a provider that says `delivered` after `failed`
# has reached another of the person's devices.
_DELIVERY_MOVES = {
    "queued": ("sent", "delivered", "read", "failed"),
    "sent": ("delivered", "read", "failed"),
    "failed": ("delivered", "read"),
    "delivered": ("read",),
    "read": (),
}
LISTED_MESSAGES = 50
MOST_MESSAGES = 10_000  # of one conversation in one answer
_ACTIVE = SQL("'active'")  # a literal, as in the index that holds active conversations only


class Conversation(TenantModel):
    """One lead on one channel: active ⇄ handed_off → completed | dropped."""

    oid = TextField()
    lead_number = IntegerField()
    agent_config_id = TextField()
    channel = TextField()
    lead_phone = TextField(default="")
    lead_email = TextField(null=True)
    status = TextField(default="active")
    stage_index = IntegerField(default=0)
    stage_name = TextField(null=True)
    message_count = IntegerField(default=0)
    campaign_id = TextField(null=True)
    campaign_recipient_id = BigIntegerField(null=True)  # the row of the campaign's ledger that it was opened for
    ab_assignment_id = BigIntegerField(null=True)  # of its lead to the variant that leads it
    summary = TextField(null=True)
    qualification_result = JSONField(null=True)
    last_message_at = TextField(null=True)
    last_lead_message_at = TextField(null=True)
    ai_disclosed_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()


class Message(TenantModel):
    """What one side said; `seq` counts from 1 within the conversation."""

    oid = TextField()
    conversation_id = BigIntegerField()
    seq = IntegerField()
    role = TextField()  # agent | lead | human | system
    content = TextField()
    agent_config_id = TextField(null=True)
    stage_id = TextField(null=True)
    delivery_status = TextField(null=True)  # queued | sent | delivered | read | failed; None for what came in
    delivery_code = TextField(null=True)  # why it failed or waits: a rule of compliance, or the provider's code
    delivery_detail = TextField(null=True)
    held_until = TextField(null=True)
    provider_message_id = TextField(null=True)
    template = JSONField(null=True)  # of the provider, to be sent instead of the content: {name, language, parameters}
    subject = TextField(null=True)
    discloses_ai = BooleanField(default=False)
    agent_version = IntegerField(null=True)
    model = TextField(null=True)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cost_micros = BigIntegerField(null=True)  # millionths of a US dollar
    citations = JSONField(default=list)
    campaign_recipient_id = BigIntegerField(null=True)  # of the first message, whose delivery the ledger follows
    created_at = TextField()


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on conversations, combined with AND; None leaves one out."""

    status: str | None = None
    search: str | None = None
    lead_number: int | None = None
    channel: str | None = None
    campaign_id: str | None = None
    agent_config_id: str | None = None


def lock_lead(tenant: Tenant, number: int) -> Lead:
    """The lead with this number, held until the caller's transaction ends. Raises NotFound."""
    lead: Lead | None = locked(live(tenant).where(Lead.number == number)).first()
    if lead is None:
        raise NotFound("lead_not_found", "Lead not found")
    return lead


def get(tenant: Tenant, oid: str) -> Conversation:
    """The conversation with this id. Raises NotFound, for another tenant's conversation too."""
    return _found(Conversation.of(tenant).where(Conversation.oid == oid).first())


def lock(tenant: Tenant, oid: str) -> Conversation:
    """The conversation with this id, held until the caller's transaction ends. Raises NotFound."""
    return _found(locked(Conversation.of(tenant).where(Conversation.oid == oid)).first())


def by_row(tenant: Tenant, row_id: int) -> Conversation:
    """The conversation with this row id, as its messages name it. Raises NotFound."""
    return _found(Conversation.of(tenant).where(Conversation.id == row_id).first())


def _found(conversation: Conversation | None) -> Conversation:
    if conversation is None:
        raise NotFound("conversation_not_found", "Conversation not found")
    return conversation


def active_of(tenant: Tenant, lead_number: int, channel: str) -> Conversation | None:
    """The active conversation of this lead on this channel; there is at most one."""
    found: Conversation | None = _of_lead(tenant, lead_number, channel).where(Conversation.status == _ACTIVE).first()
    return found


def latest_of(tenant: Tenant, lead_number: int, channel: str) -> Conversation | None:
    """Where a message of this lead on this channel belongs: the active conversation, a handed-off one, the last one."""
    by_openness = [(Conversation.status == status).desc() for status in ("active", "handed_off")]
    found: Conversation | None = (
        _of_lead(tenant, lead_number, channel).order_by(*by_openness, Conversation.id.desc()).first()
    )
    return found


def _of_lead(tenant: Tenant, lead_number: int, channel: str) -> ModelSelect:
    same = (Conversation.lead_number == lead_number) & (Conversation.channel == channel)
    return Conversation.of(tenant).where(same)


def lock_open(tenant: Tenant, lead_number: int) -> list[Conversation]:
    """The lead's active and handed-off conversations on all channels, held until the caller's transaction ends."""
    is_open = (Conversation.lead_number == lead_number) & Conversation.status.in_(["active", "handed_off"])
    query: Any = Conversation.of(tenant).where(is_open).order_by(Conversation.id)
    return list(locked(query))


def are_led_by(tenant: Tenant, agent_config_id: str) -> bool:
    """Whether this agent leads a conversation that has not ended."""
    query = Conversation.of(tenant, Conversation.id).where(
        (Conversation.agent_config_id == agent_config_id) & Conversation.status.in_(["active", "handed_off"])
    )
    return query.first() is not None


def add(tenant: Tenant, lead: Lead, channel: str, agent_config_id: str, stage_name: str | None) -> Conversation:
    """Open a conversation; the caller holds the lead. Raises Conflict where one is active, its id in `details`."""
    active = active_of(tenant, lead.number, channel)
    if active is not None:
        raise already_active(active)
    moment = clock.stamp()
    return Conversation.add(
        tenant,
        oid=new_id(),
        lead_number=lead.number,
        agent_config_id=agent_config_id,
        channel=channel,
        lead_phone=lead.phone,
        lead_email=lead.email or None,
        stage_name=stage_name,
        created_at=moment,
        updated_at=moment,
    )


def already_active(active: Conversation) -> Conflict:
    """The refusal of a second active conversation with one lead on one channel."""
    message = "The lead already has an active conversation on this channel"
    return Conflict("conversation_active", message, details=active.oid)


def set_status(tenant: Tenant, conversation: Conversation, status: str) -> None:
    """Store the status of a held conversation; for `active` the caller holds the lead too.

    Raises Conflict if another conversation of that lead on that channel is active, its id in `details`.
    """
    if status == "active":
        active = active_of(tenant, conversation.lead_number, conversation.channel)
        if active is not None and active.id != conversation.id:
            raise already_active(active)
    conversation.store(status=status, updated_at=clock.stamp())
    if conversation.campaign_recipient_id is not None and status != "active" and conversation.message_count <= 1:
        _note_unsaid(tenant, conversation)
    conversation_events.record(tenant, conversation.id, "status", {"status": status})


def _note_unsaid(tenant: Tenant, conversation: Conversation) -> None:
    """Tell the campaign where the conversation ends before its first message: the note on a hand-off is none."""
    said = _messages_of(tenant, conversation).where(Message.campaign_recipient_id.is_null(False)).first()
    if said is None and conversation.campaign_recipient_id is not None:
        campaign_ledger.note_unsaid(tenant, conversation.campaign_recipient_id)


def set_stage(tenant: Tenant, conversation: Conversation, index: int, name: str | None) -> None:
    """Store where in its agent's script a held conversation stands."""
    if (conversation.stage_index, conversation.stage_name) == (index, name):
        return
    conversation.store(stage_index=index, stage_name=name, updated_at=clock.stamp())
    place = {"currentStageIndex": index} | ({"currentStageName": name} if name else {})
    conversation_events.record(tenant, conversation.id, "stage", place)


def append(tenant: Tenant, conversation: Conversation, role: str, content: str, **columns: Any) -> Message:
    """Add a message to a held conversation, under the next `seq`. columns: further ones of Message."""
    moment = clock.stamp()
    seq = conversation.message_count + 1
    if conversation.campaign_recipient_id is not None:
        if role == "lead":
            campaign_ledger.note_reply(tenant, conversation.campaign_recipient_id)
        elif role == "agent" and seq == 1:
            columns["campaign_recipient_id"] = conversation.campaign_recipient_id
    message = Message.add(
        tenant,
        oid=new_id(),
        conversation_id=conversation.id,
        seq=seq,
        role=role,
        content=content,
        created_at=moment,
        **columns,
    )
    if conversation.ab_assignment_id is not None:
        since = clock.parse(conversation.last_message_at or conversation.created_at)
        longer = round((clock.parse(moment) - since).total_seconds() * 1000)
        ab_tallies.note_message(tenant, conversation.ab_assignment_id, longer)
    by_lead = {"last_lead_message_at": moment} if role == "lead" else {}
    conversation.store(message_count=seq, last_message_at=moment, updated_at=moment, **by_lead)
    conversation_events.record(tenant, conversation.id, "message", {"messageId": message.oid})
    return message


def set_delivery(
    tenant: Tenant,
    message: Message,
    status: str,
    code: str | None = None,
    detail: str | None = None,
    provider_id: str | None = None,
) -> bool:
    """Note how far one of our messages has come; False where it is further already, for statuses come in any order.

    code, detail: why it failed. provider_id: is kept in any case.
    """
    if provider_id is not None and provider_id != message.provider_message_id:
        message.store(provider_message_id=provider_id)
    before = [source for source, targets in _DELIVERY_MOVES.items() if status in targets]
    values = {
        Message.delivery_status: status,
        Message.delivery_code: code,
        Message.delivery_detail: detail,
        Message.held_until: None,
    }
    of_message = (Message.id == message.id) & Message.delivery_status.in_(before)
    was = message.delivery_status
    if not Message.change(tenant, values).where(of_message).execute():
        return False
    for column, value in values.items():
        setattr(message, column.name, value)
    if message.campaign_recipient_id is not None:
        campaign_ledger.note_delivery(tenant, message.campaign_recipient_id, status, code)
    told = {"messageId": message.oid, "deliveryStatus": status} | ({"deliveryCode": code} if code else {})
    conversation_events.record(tenant, message.conversation_id, "delivery", told)
    if status == "failed" or was == "queued":
        tell_message(tenant, "message.failed" if status == "failed" else "message.sent", message)
    return True


def tell(tenant: Tenant, type_: str, conversation: Conversation) -> None:
    """Emit an event about a conversation, as a list shows it, in the caller's transaction."""

    def shown() -> dict[str, Any]:
        return bodies.conversation(tenant, conversation, messages(tenant, conversation, LISTED_MESSAGES))

    event_log.emit(tenant, type_, shown, lead=conversation.lead_number)


def tell_message(tenant: Tenant, type_: str, message: Message, conversation: Conversation | None = None) -> None:
    """Emit an event about a message, with the conversation that it is in, in the caller's transaction."""
    if not event_log.is_wanted(tenant, type_):
        return
    place = conversation or by_row(tenant, message.conversation_id)
    data = {
        "conversationId": place.oid,
        "leadId": str(place.lead_number),
        "channel": place.channel,
        "message": bodies.message(message),
    }
    event_log.emit(tenant, type_, lambda: data, lead=place.lead_number)


def messages_by_id(tenant: Tenant, oids: list[str]) -> list[Message]:
    """The messages with these ids, in no order."""
    query: Any = Message.of(tenant).where(Message.oid.in_(oids))
    return list(query) if oids else []


def by_provider_id(tenant: Tenant, channel: str, provider_id: str, *, is_ours: bool = False) -> Message | None:
    """The latest message that the provider of this channel knows under this id. is_ours: none that a lead wrote."""
    query: Any = (
        Message.of(tenant)
        .join(Conversation, JOIN.INNER, on=(Conversation.id == Message.conversation_id))
        .where((Message.provider_message_id == provider_id) & (Conversation.channel == channel))
        .order_by(Message.id.desc())
        .objects()
    )
    found: Message | None = (query.where(Message.role != "lead") if is_ours else query).first()
    return found


def message(tenant: Tenant, oid: str) -> Message:
    """The message with this id. Raises NotFound."""
    found: Message | None = Message.of(tenant).where(Message.oid == oid).first()
    if found is None:
        raise NotFound("message_not_found", "Message not found")
    return found


def messages(tenant: Tenant, conversation: Conversation, latest: int = MOST_MESSAGES) -> list[Message]:
    """The latest messages of a conversation, oldest first."""
    return list(
        _messages_of(tenant, conversation)
        .where(Message.seq > conversation.message_count - latest)
        .order_by(Message.seq)
    )


def messages_before(tenant: Tenant, conversation: Conversation, seq: int, latest: int) -> list[Message]:
    """What an agent that answers message `seq` knows: all but what the lead said after it; oldest first."""
    known = (Message.seq < seq) | ((Message.seq > seq) & (Message.role != "lead"))
    rows = _messages_of(tenant, conversation).where(known).order_by(Message.seq.desc()).limit(latest)
    return list(rows)[::-1]


def message_at(tenant: Tenant, conversation: Conversation, seq: int) -> Message | None:
    """The message with this `seq`."""
    found: Message | None = _messages_of(tenant, conversation).where(Message.seq == seq).first()
    return found


def unanswered(tenant: Tenant, conversation: Conversation) -> Message | None:
    """The lead's last message if nobody has spoken since; None otherwise."""
    spoken = _messages_of(tenant, conversation).where(Message.role != "system").order_by(Message.seq.desc()).first()
    return spoken if spoken is not None and spoken.role == "lead" else None


def message_page(
    tenant: Tenant,
    conversation: Conversation,
    *,
    descending: bool = False,
    limit: int,
    skip: int = 0,
    cursor: str | None = None,
) -> tuple[list[Message], str | None]:
    """A page of a conversation's messages, and the cursor of the next one or None."""
    return paginate(
        _messages_of(tenant, conversation),
        [Message.seq],
        order="newest" if descending else "oldest",
        limit=limit,
        skip=skip,
        cursor=cursor,
        descending=descending,
    )


def _messages_of(tenant: Tenant, conversation: Conversation) -> Any:
    return Message.of(tenant).where(Message.conversation_id == conversation.id)


def said_by_human_since(tenant: Tenant, conversation: Conversation, seq: int) -> bool:
    """Whether a person of the account wrote after the message with this `seq`."""
    later = (Message.seq > seq) & (Message.role == "human")
    return _messages_of(tenant, conversation).where(later).first() is not None


def count_in_stage(tenant: Tenant, conversation: Conversation, stage_id: str) -> int:
    """How many messages there are from the agent's first one in this visit of the stage on; 0 before that."""
    elsewhere = (
        _messages_of(tenant, conversation)
        .select(fn.MAX(Message.seq))
        .where(Message.stage_id.is_null(False) & (Message.stage_id != stage_id))
        .scalar()
    )
    began = (
        _messages_of(tenant, conversation)
        .select(fn.MIN(Message.seq))
        .where((Message.stage_id == stage_id) & (Message.seq > (elsewhere or 0)))
        .scalar()
    )
    return 0 if began is None else conversation.message_count - int(began) + 1


def latest_messages(tenant: Tenant, found: Iterable[Conversation]) -> dict[int, list[Message]]:
    """The last 50 messages of each of these conversations, oldest first, by the conversation's row id: one query."""
    by_id: dict[int, list[Message]] = {conversation.id: [] for conversation in found}
    if by_id:
        rows: Any = (
            Message.of(tenant)
            .join(Conversation, JOIN.INNER, on=(Conversation.id == Message.conversation_id))
            .where(Message.conversation_id.in_(list(by_id)))
            .where(Message.seq > Conversation.message_count - LISTED_MESSAGES)
            .order_by(Message.conversation_id, Message.seq)
        )
        for row in rows.objects():
            by_id[row.conversation_id].append(row)
    return by_id


def page(
    tenant: Tenant, filters: Filters, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[Conversation], int, str | None]:
    """A page of conversations, the newest first: (conversations, how many match, cursor of the next page or None)."""
    query = Conversation.of(tenant)
    for condition in _conditions(tenant, filters):
        query = query.where(condition)
    keys = [Conversation.created_at, Conversation.oid]
    rows, following = paginate(query, keys, order="conversations", limit=limit, skip=skip, cursor=cursor)
    return rows, query.count(), following


def _conditions(tenant: Tenant, filters: Filters) -> list[Any]:
    wanted: dict[Any, Any] = {
        Conversation.status: filters.status,
        Conversation.lead_number: filters.lead_number,
        Conversation.channel: filters.channel,
        Conversation.campaign_id: filters.campaign_id,
        Conversation.agent_config_id: filters.agent_config_id,
    }
    conditions = [column == value for column, value in wanted.items() if value is not None]
    if filters.search is not None:
        conditions.append(_mentions(tenant, filters.search))
    return conditions


def _mentions(tenant: Tenant, text: str) -> Expression:
    of_conversation = Message.conversation_id == Conversation.id
    said = Message.of(tenant, Message.id).where(of_conversation & holds_folded(Message.content, text))
    phone, email = (holds_folded(column, text) for column in (Conversation.lead_phone, Conversation.lead_email))
    return phone | email | fn.EXISTS(said)
