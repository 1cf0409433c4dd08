"""A newleaf that is served, with live integrations of providers on loopback, and what becomes of bodies there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from engine import integrations
from storage import accounts, conversations, database, identities, leads
from storage import integrations as stored
from storage.agents import AgentConfig
from storage.conversations import Conversation, Message
from storage.identities import ChannelIdentity
from storage.inbox import InboundEvent
from storage.leads import Lead, NewLead
from storage.outbox import OutboxRow
from storage.tenancy import SYSTEM, Tenant
from tests.conftest import SECRET_KEY, Party
from tests.support.live_server import ServerProcess
from tests.support.providers import resend, telegram, twilio, whatsapp

SAMPLES = Path(os.environ.get("NEWLEAF_SAMPLES", Path(__file__).parents[2] / ".." / "shared" / "samples"))
if not (SAMPLES / "whatsapp").is_dir():
    raise FileNotFoundError(
        f"The samples are not part of the repository: NEWLEAF_SAMPLES must name them, not {SAMPLES}"
    )

_SETTLED_S = 60


@dataclass(frozen=True)
class Expected:
    """What becomes of a body.

    fates: state and reason of each event, in order. said: the words of leads that agents read. lead: columns of the
    last lead. called: what the channel calls the leads. ours: the delivery status of our message. Before: the lead that
    is `known`, and the provider's id of the message of ours `about` which a status speaks.
    """

    fates: Sequence[str] = ("done",)
    said: Sequence[str] = ()
    lead: Mapping[str, Any] = field(default_factory=dict)
    called: Sequence[str] = ()
    ours: str | None = None
    known: Mapping[str, Any] | None = None
    about: str | None = None


class World:
    """A newleaf that is served, and the providers that it calls."""

    def __init__(self, stack: ExitStack, database_url: str, folder: Path) -> None:
        self.meta = stack.enter_context(whatsapp.WhatsAppServer())
        self.telegram = stack.enter_context(telegram.TelegramServer())
        self.resend = stack.enter_context(resend.ResendServer())
        self.twilio = stack.enter_context(twilio.TwilioServer())
        environment = {
            "NEWLEAF_DATABASE_URL": database_url,
            "NEWLEAF_RATE_LIMITS": "off",
            "NEWLEAF_LOG_LEVEL": "error",
            "NEWLEAF_SECRET_KEY": SECRET_KEY,
            "NEWLEAF_WHATSAPP_URL": self.meta.graph_url,
            "NEWLEAF_TELEGRAM_URL": self.telegram.url,
            "NEWLEAF_EMAIL_URL": self.resend.url,
            "NEWLEAF_SMS_URL": self.twilio.url,
        }
        self.server = stack.enter_context(ServerProcess(environment, cwd=folder))

    def account(self, channel: str, body: Mapping[str, Any]) -> House:
        """A new account with an active agent and this integration."""
        with database.transaction():
            account_id = accounts.create("Example", default_region="US").id
        house = House(self, Party(account_id, self.server.base_url), channel)
        with house.party.client("live") as client:
            client.post("/api/agent-config", json={"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Help."})
            assert client.put(f"/api/integrations/{channel}", json=dict(body)).status_code == 201
        return house


class House:
    """One account of the served newleaf, and what is in it."""

    def __init__(self, world: World, party: Party, channel: str) -> None:
        self.world = world
        self.party = party
        self.channel = channel

    @property
    def tenant(self) -> Tenant:
        return self.party.tenant("live")

    def secret(self, name: str) -> str:
        with database.connection():
            return integrations.opened(stored.get(self.tenant, self.channel))[1].secrets[name]

    def integration_id(self) -> str:
        with database.connection():
            return str(stored.get(self.tenant, self.channel).oid)

    def know(self, **columns: Any) -> Lead:
        """A lead that is there before, with these columns; `called`: what the channel calls it."""
        called, opted_out = columns.pop("called", None), columns.pop("opted_out", [])
        with database.transaction():
            lead = leads.create(self.tenant, NewLead(name="Known", **columns), SYSTEM)
            lead = conversations.lock_lead(self.tenant, lead.number)
            lead.store(opted_out=list(opted_out))
            if called is not None:
                identities.add(self.tenant, lead.number, self.channel, [called])
        return lead

    def say(self, lead: Lead, provider_id: str, conversation_oid: str | None = None) -> str:
        """A message of ours to this lead that the provider took under this id; returns its own id."""
        with database.transaction():
            [agent] = AgentConfig.of(self.tenant)
            conversation = conversations.add(self.tenant, lead, self.channel, agent.oid, None)
            if conversation_oid is not None:
                conversation.store(oid=conversation_oid)
            message = conversations.append(
                self.tenant, conversation, "agent", "Hello", delivery_status="queued", provider_message_id=provider_id
            )
            return str(message.oid)

    def settled(self) -> None:
        """Return once every event is processed and every turn is taken."""
        deadline = time.monotonic() + _SETTLED_S
        while time.monotonic() < deadline:
            with database.connection():
                waiting = OutboxRow.select().where(
                    (OutboxRow.tenant_id == self.tenant.id)
                    & OutboxRow.kind.in_(["inbound", "turn", "mark_read"])
                    & OutboxRow.state.in_(["pending", "claimed"])
                )
                if not waiting.exists():
                    return
            time.sleep(0.02)
        raise TimeoutError("events wait to be processed")

    def remove(self) -> None:
        """Let the next account have these addresses."""
        with self.party.client("live") as client:
            client.delete(f"/api/integrations/{self.channel}")

    def fates(self) -> tuple[str, ...]:
        with database.connection():
            events = InboundEvent.of(self.tenant).order_by(InboundEvent.id)
            return tuple(event.state if event.reason is None else f"{event.state}: {event.reason}" for event in events)

    def said(self) -> tuple[str, ...]:
        with database.connection():
            rows: Any = Message.of(self.tenant).where(Message.role == "lead").order_by(Message.id)
            return tuple(message.content for message in rows)

    def parked(self) -> list[Any]:
        with database.connection():
            failed = (OutboxRow.tenant_id == self.tenant.id) & (OutboxRow.state == "failed")
            return [(row.kind, row.error) for row in OutboxRow.select().where(failed)]

    def snapshot(self) -> dict[str, list[str]]:
        """Everything that an event may change."""
        found: dict[str, list[str]] = {}
        with database.connection():
            for model in (InboundEvent, Lead, ChannelIdentity):
                found[model.__name__] = [repr(row.__data__) for row in model.of(self.tenant).order_by(model.id)]
            for conversation in Conversation.of(self.tenant).order_by(Conversation.id):
                messages = conversations.messages(self.tenant, conversation)
                found[conversation.oid] = [conversation.status, *(f"{m.role} {m.content}" for m in messages)]
        return found


def replay(house: House, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """The answer to the body; then it comes eight times at once and twice more, and nothing may change."""

    def post(_: int = 0) -> httpx.Response:
        return httpx.post(url, content=body, headers=dict(headers), timeout=60, trust_env=False, verify=False)

    answer = post()
    house.settled()
    before = house.snapshot()
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(post, range(8)))
    again += [post(), post()]
    house.settled()

    assert {(each.status_code, each.text) for each in again} == {(answer.status_code, answer.text)}
    assert house.snapshot() == before
    assert house.parked() == []
    return answer


def found(house: House, message_oid: str | None = None) -> Expected:
    """What became of it, in the words of an expectation; lead: all columns of the last one."""
    with database.connection():
        people = list(Lead.of(house.tenant).order_by(Lead.number))
        called = [name for lead in people for name in identities.addresses(house.tenant, lead.number, house.channel)]
        ours = None if message_oid is None else conversations.message(house.tenant, message_oid).delivery_status
    last = dict(people[-1].__data__) if people else {}
    return Expected(house.fates(), house.said(), last, sorted(called), ours)
