"""Worlds of two parties: a victim with one of everything, all of it marked, and an attacker with objects of its own.

Both are written straight into the database, since live environments have no channel to open a conversation on. The
attacker's objects are the same in every world, down to their numbers: so what it is answered can be compared with what
a bystander is answered where there is no victim.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from engine import agent_configs, vault
from engine.events import signing
from storage import (
    ab_tallies,
    ab_tests,
    accounts,
    agents,
    api_keys,
    campaign_ledger,
    campaigns,
    clock,
    conversations,
    database,
    event_log,
    event_subscriptions,
    idempotency,
    imports,
    inbox,
    integrations,
    knowledge,
    knowledge_crawls,
    knowledge_documents,
    knowledge_sources,
    leads,
    members,
    outbox,
    roles,
)
from storage.ab_tallies import AbTally
from storage.ab_tests import NewVariant
from storage.accounts import Member
from storage.campaign_ledger import CampaignRecipient
from storage.conversations import Conversation
from storage.idempotency import Stored
from storage.ids import new_id
from storage.imports import Order, Outcome, RefusedRow
from storage.inbox import NewEvent
from storage.integrations import Integration
from storage.leads import Lead, NewLead
from storage.tenancy import SYSTEM, Actor, Environment, Tenant

from .kinds import UNKNOWN, csv, filters

MARK = "zqv"  # begins every text of a victim and no other text
_FIRST_PHONE = {"own": 101, "victim": 181}


@dataclass(frozen=True)
class Pair:
    """Who attacks whom."""

    name: str
    victim: Environment
    attacker: Environment
    same_account: bool


PAIRS = (
    Pair("another account, live", "live", "live", same_account=False),
    Pair("another account, test", "test", "test", same_account=False),
    Pair("the account's own test key", "live", "test", same_account=True),
)


@dataclass
class Party:
    """A tenant with its objects. values: by kind, what an id of it may be filled with; key: an owner's API key."""

    tenant: Tenant
    key: str
    values: dict[str, list[Any]]
    secrets: set[str] = field(default_factory=set)  # what must be seen by nobody else, texts that begin with MARK aside


@dataclass
class World:
    """An attacker, and its victim unless it is a bystander's world."""

    attacker: Party
    victim: Party | None
    same_account: bool

    @property
    def others(self) -> dict[str, list[Any]]:
        """What stands in for another's ids."""
        return UNKNOWN if self.victim is None else self.victim.values


def make(pair: Pair) -> World:
    """A world with a victim, who was there first."""
    mark = f"{MARK}{secrets.token_hex(4)}"
    with database.transaction():
        name = "Own account" if pair.same_account else f"{mark} account"
        account = accounts.create(name, default_region="US").id
        victim = _populate(account, pair.victim, mark)
        if not pair.same_account:
            victim.secrets.add(account)
            _add_team(victim, mark)
            account = accounts.create("Own account", default_region="US").id
        attacker = _populate(account, pair.attacker, None)
        _add_team(attacker, "own")
        if pair.same_account:  # whose team is one
            victim.values |= {kind: UNKNOWN[kind] for kind in ("member", "invitation")}
        return World(attacker, victim, pair.same_account)


def bystanders(environment: Environment) -> World:
    """A world without a victim."""
    with database.transaction():
        account = accounts.create("Own account", default_region="US").id
        attacker = _populate(account, environment, None)
        _add_team(attacker, "own")
        return World(attacker, None, same_account=False)


def _add_team(party: Party, word: str) -> None:
    """An analyst and an owner, the one known by id, the other by the identity provider's name, and an invitation."""
    account_id, made = party.tenant.account_id, list[str]()
    for role, day in (("owner", 1), ("analyst", 2)):
        oid, email = secrets.token_hex(12), f"{word}{role}@example.com"
        row = {
            "email": email,
            "first_name": f"{word} {role}",
            "roles": [role],
            "created_at": f"2026-03-0{day}T00:00:00.000Z",
        }
        Member.add(account_id, id=oid, clerk_user_id=f"user_{oid}", **row)
        made.append(oid)
    expires_at = clock.now() + timedelta(days=7)
    invited, waiting = (
        members.invite(account_id, email=f"{word}guest{n}@example.com", roles=["analyst"], expires_at=expires_at)
        for n in range(2)
    )
    party.values |= {
        "member": [made[1], f"user_{made[0]}"],
        "invitation": [invited.row.id],
        "invitationToken": [invited.token],
    }
    party.secrets |= {*made, invited.row.id, invited.token, waiting.row.id}


_MOMENT = "2026-03-14T09:26:53.589Z"


def _populate(account_id: str, environment: Environment, mark: str | None) -> Party:
    """One object of every kind, two where a list has pages. With a mark all texts carry it, and leads are more."""
    row = accounts.tenant_row(account_id, environment)
    tenant, word = row.tenant, mark or "own"
    bases = [knowledge.add(tenant, name=f"{word} base", description=f"{word} facts").oid for _ in range(2)]
    known_facts = _add_facts(tenant, word, bases[0])
    script = [_add_agent(tenant, word, status, bases[:1]) for status in ("active", "inactive")]
    batch = _add_import(tenant, word)
    people = _add_leads(tenant, word, batch, script[0], is_victim=mark is not None)
    spoken = _add_conversations(tenant, word, people, script[0])
    compared = [script[0], _add_agent(tenant, word, "active", bases[:1])]
    ab_tests_made = _add_ab_tests(tenant, word, compared, spoken[0])
    campaigns_made = _add_campaigns(tenant, word, script[0], spoken[0])
    upload = imports.keep(tenant, [csv_of(word).encode()])
    keys = [api_keys.issue(tenant, SYSTEM, name=f"{word} key {n}", scopes=["leads:view"]) for n in range(2)]
    keys[1].row.store(status="revoked")
    owner = api_keys.issue(tenant, SYSTEM, name=f"{word} owner", scopes=roles.scopes_of(["owner"]), roles=["owner"])
    heard = _add_events(tenant, word)
    connected = [_add_integration(tenant, word, each) for each in (["whatsapp", "telegram"] if mark else ["whatsapp"])]
    _add_traces(tenant, word)
    named = people[3:] if mark else people
    values = {
        "ab test": ab_tests_made,
        "account": [account_id],
        "agent": script,
        "api key": [key.row.id for key in keys],
        "campaign": campaigns_made,
        "channel": ["telegram" if mark else "whatsapp"],
        "integration": [connected[-1].oid],
        "conversation": [conversation.oid for conversation in spoken[:2]],
        "csv": [csv(people[0].phone)],  # of the victim's first lead, whose number the attacker has too
        "custom fields": [{f"{word} field": f"{word} value"}],
        "email": [named[0].email],
        **heard,
        "external id": [lead.external_id for lead in (named[0], named[-1])],
        "idempotency key": [f"{word}-request"],
        "import batch": [batch],
        "knowledge base": bases,
        **known_facts,
        "lead": [lead.number for lead in named],
        "phone": [lead.phone for lead in (named[0], named[-1])],
        "tag": [f"{word} tag"],
        "text": [f"{word} lead", f"{word} words", named[0].phone[-7:]],
        "token": [row.webhook_token],
        "upload": [upload.oid],
        "version": [1, 2, 1],
    }
    values["filter"] = filters(values)
    known = {
        row.webhook_token,
        owner.full_key,
        batch,
        upload.oid,
        *script,
        *compared,
        *ab_tests_made,
        *campaigns_made,
        *bases,
        *(oid for oids in (*known_facts.values(), *heard.values()) for oid in oids),
        *(key.row.id for key in keys),
        owner.row.id,
    }
    known |= {key.full_key for key in keys} | {conversation.oid for conversation in spoken}
    known |= {integration.oid for integration in connected}
    known |= {lead.phone for lead in people} | {spoken[0].campaign_id or ""}
    known |= {said.oid for each in spoken for said in conversations.messages(tenant, each)}
    return Party(tenant, owner.full_key, values, known)


def csv_of(word: str) -> str:
    """A file with this word in it."""
    return f"Name,Mobile\n{word} row,+12025550171\n"


def _add_agent(tenant: Tenant, word: str, status: str, bases: list[str]) -> str:
    body = {
        "name": f"{word} agent",
        "systemPrompt": f"{word} prompt",
        "goal": f"{word} goal",
        "instructions": f"{word} instructions",
        "stages": [{"id": "stage-1", "name": f"{word} stage"}],
        "knowledgeBaseIds": bases,
        "status": status,
    }
    author = Actor("api_key", secrets.token_hex(12), f"{word} author")
    agent = agent_configs.create(tenant, body, actor=author)
    agent_configs.update(tenant, agent.oid, {"goal": f"{word} goal again"}, actor=author)
    if word != "own":  # newer than any of the attacker's
        agents.get(tenant, agent.oid).store(created_at="2999-01-01T00:00:00.000Z")
    return agent.oid


def _add_facts(tenant: Tenant, word: str, base_oid: str) -> dict[str, list[str]]:
    """Two documents, crawls with a page each and webhook sources of a knowledge base, by kind."""
    base = knowledge.get(tenant, base_oid)
    found: dict[str, list[str]] = {"document": [], "crawl job": [], "webhook source": []}
    for n in range(2):
        url = f"https://{word}.example.com/{n}"
        columns = {"title": f"{word} document", "content": f"{word} facts", "status": "ready", "source_url": url}
        document = knowledge_documents.add(tenant, base, columns).oid
        crawl = knowledge_crawls.add(
            tenant,
            base,
            sitemap_url=url,
            urls=[],
            max_pages=10,
            uses_llm_distill=True,
            recrawl_hours=1,
            actor=SYSTEM,
        )
        knowledge_crawls.list_pages(tenant, crawl, [url, f"{url}?b"])
        page = knowledge_crawls.next_page(tenant, crawl)
        assert page is not None
        page.store(document_oid=document, outcome="indexed")
        knowledge_crawls.save(crawl, status="completed", next_crawl_at=_MOMENT)
        config = {"url": url, "headers": {"X-A": f"{word} header"}}
        source = {"name": f"{word} source", "config": config, "timeout_ms": 1000}
        webhook = knowledge_sources.add(tenant, base, new_id(), actor=SYSTEM, **source)
        for kind, oid in (("document", document), ("crawl job", crawl.oid), ("webhook source", webhook.oid)):
            found[kind].append(oid)
    return found


def _add_import(tenant: Tenant, word: str) -> str:
    order = Order({f"{word} column": "phone"}, [f"{word} tag"])
    batch = imports.open_batch(tenant, order, SYSTEM, total=2)
    imports.advance(batch, Outcome(imported=1, refused=[RefusedRow(3, f"{word} row is refused")]))
    imports.complete(tenant, batch)
    return batch.oid


def _add_leads(tenant: Tenant, word: str, batch: str, agent: str, *, is_victim: bool) -> list[Lead]:
    """Two leads and a deleted one; a victim has another two of which one is deleted, whose numbers no attacker has."""
    first_phone = _FIRST_PHONE["victim" if is_victim else "own"]
    people = []
    for n in range(5 if is_victim else 3):
        new = NewLead(
            phone=f"+12025550{first_phone + n}",
            name=f"{word} lead",
            email=f"{word}{n + 1}@example.com",
            tags=[f"{word} tag"],
            custom_fields={f"{word} field": f"{word} value"},
            external_id=f"{word}-{n + 1}",
            assigned_agent_id=None if n == 1 else agent,
            import_batch_id=batch,
        )
        people.append(leads.create(tenant, new, SYSTEM))
    for lead in people:
        if lead.number in (3, 5):
            leads.delete(tenant, lead.number, SYSTEM)
    return people


def _add_conversations(tenant: Tenant, word: str, people: list[Lead], agent: str) -> list[Conversation]:
    """An active and a handed-off conversation first; the attacker's second lead is spoken to by the victim alone."""
    talks = [(people[-2] if len(people) > 3 else people[0], channel) for channel in ("whatsapp", "email")]
    if len(people) > 3:
        talks += [(people[0], "whatsapp"), (people[1], "whatsapp")]
    opened = []
    for n, (lead, channel) in enumerate(talks):
        conversation = conversations.add(tenant, lead, channel, agent, f"{word} stage")
        by_agent = {"agent_config_id": agent, "stage_id": "stage-1"}
        for said in (
            conversations.append(tenant, conversation, "agent", f"{word} words", **by_agent),
            conversations.append(tenant, conversation, "human", f"{word} words of a person"),
            conversations.append(tenant, conversation, "lead", f"{word} words back"),
        ):
            said.store(created_at=conversation.created_at)  # reports tell how long answers took: alike in every world
        verdict = {"qualified": True, "reason": f"{word} reason"}
        campaign = f"0{n}{secrets.token_hex(11)}"  # and they are in the order of the ids
        conversation.store(summary=f"{word} summary", qualification_result=verdict, campaign_id=campaign)
        opened.append(conversation)
    conversations.set_status(tenant, opened[1], "handed_off")
    return opened


def _add_campaigns(tenant: Tenant, word: str, agent: str, conversation: Conversation) -> list[str]:
    """One that is over, of which the conversation is and whose leads are two; a draft; and one that is paused."""
    made = []
    for status in ("completed", "draft", "paused"):
        columns = {"name": f"{word} campaign", "message": f"{word} words", "agent_config_id": agent}
        reason = {"completed": "finished", "paused": "requested"}.get(status)
        campaign = campaigns.add(tenant, {**columns, "channel": "whatsapp", "lead_filter": {}, "reason": reason})
        campaigns.change(campaign, status=status, is_frozen=int(status != "draft"), run=1)
        made.append(campaign)
    shared = {"campaign_id": made[0].id, "updated_at": _MOMENT}
    told = {"state": "delivered", "status": "qualified", "replied": 1, "verdict": "qualified"}
    row = CampaignRecipient.add(tenant, **shared, **told, lead_number=conversation.lead_number)
    skipped = {"state": "skipped", "status": "skipped", "reason": "lead_not_found"}
    CampaignRecipient.add(tenant, **shared, **skipped, lead_number=900009)
    campaign_ledger.count(tenant, made[0].id, total=2, sent=1, delivered=1, replied=1, qualified=1, skipped=1)
    conversation.store(campaign_id=made[0].oid, campaign_recipient_id=row.id)
    return [campaign.oid for campaign in made]


def _add_ab_tests(tenant: Tenant, word: str, agent_ids: list[str], conversation: Conversation) -> list[str]:
    """One that is running, of which the conversation is, a draft, and one that is completed and was won.

    The first agent gets every lead, so that the same happens in every world.
    """
    made = []
    for status, weight in (("running", 1e-9), ("draft", 1e-9), ("completed", 1e9)):
        weights = zip(agent_ids, (1e9, weight), strict=True)
        parts = [NewVariant(oid, f"{word} agent", each) for oid, each in weights]
        test = ab_tests.add(tenant, f"{word} test", f"{word} question", parts)
        ab_tests.set_status(test, status)
        made.append(test)
    first, _ = ab_tests.variants(tenant, made)[made[0].id]
    assignment_id = ab_tallies.assign(tenant, first.test_id, first.id, conversation.lead_number)
    conversation.store(ab_assignment_id=assignment_id)
    leads.get(tenant, conversation.lead_number).store(ab_test_id=made[0].oid)
    for variant, qualified in zip(ab_tests.variants(tenant, made)[made[2].id], (300, 100), strict=True):
        AbTally.add(tenant, variant_id=variant.id, leads=1000, qualified_leads=qualified)
    return [test.oid for test in made]


def _add_integration(tenant: Tenant, word: str, channel: str) -> Integration:
    """One of a channel, with everything there is to know of it; only a victim has one of Telegram."""
    settings = {"wabaId": "1", "phoneNumberId": "2"} if channel == "whatsapp" else {}
    name = "accessToken" if channel == "whatsapp" else "botToken"
    oid = new_id()
    integration = integrations.add(
        tenant,
        channel,
        oid=oid,
        settings=settings,
        secrets=vault.seal(tenant, oid, {name: f"{word} token"}),
        secret_hints={name: "…oken"},
    )
    integrations.set_addresses(tenant, integration, settings.values())
    integrations.note_health(tenant, integration, "healthy", f"{word} health", {"name": f"{word} name"}, ["2"])
    template = {"id": "1", "name": f"{word} template", "language": "en", "status": "APPROVED", "category": "UTILITY"}
    integrations.store_templates(integration, [{**template, "buttons": [], "parameters": []}])
    return integration


def _add_events(tenant: Tenant, word: str) -> dict[str, list[str]]:
    """Two subscriptions, of which one is active, and of each one of two deliveries, which are done, by kind."""
    found: dict[str, list[str]] = {"event subscription": [], "event delivery": []}
    for state in ("active", "inactive"):
        oid, secret = new_id(), signing.new_secret()
        columns = {
            "url": f"https://{word}.example.com/",
            "description": f"{word} hook",
            "events": "event_subscription.disabled",
            "state": state,
        }
        sealed = vault.seal(tenant, oid, {"current": secret})
        subscription = event_subscriptions.add(tenant, oid=oid, secrets=sealed, **columns)
        for _ in range(2):  # of which a list has a next page
            delivery = event_log.emit_to(tenant, subscription, "ping", {"subscriptionId": oid, "word": word})
            attempt = event_log.begin_attempt(tenant, delivery)
            attempt.store(outcome="accepted", status_code=200, answer=f"{word} answer")
            delivery.store(state="delivered", finished_at=_MOMENT, next_attempt_at=None)
        outbox.OutboxRow.update(state="done", finished_at=_MOMENT).where(
            outbox.OutboxRow.lane == event_log.lane_of(oid)
        ).execute()
        found["event subscription"].append(oid)
        found["event delivery"].append(delivery.oid)
    return found


def _add_traces(tenant: Tenant, word: str) -> None:
    """What no operation shows yet: an inbound event, an outbox row that is done, an answer kept for a repetition."""
    inbox.store(tenant, "whatsapp", [NewEvent(f"{word}-event", f"{word}-contact", {"text": f"{word} words"})])
    row = outbox.put(tenant, "deliver", f"{word}-lane", {"message": f"{word} words"})
    outbox.OutboxRow.get_by_id(row).store(state="failed", error=f"{word} error", finished_at=_MOMENT)
    kept = Stored(200, {"Content-Type": "application/json"}, f"{word} answer".encode())
    idempotency.complete(f"tenant:{tenant.id}", f"{word}-request", f"{word} hash", kept)


_BY_TABLE = {
    "account": "id = '{account}'",
    "account_environment": "id = {tenant}",
    "idempotency_record": "owner = 'tenant:{tenant}'",
}
# Huey's tables hold names of lanes, and only in passing; indexes of text follow leads and chunks by themselves,
# and analytics is counted from leads and conversations in the background.
_SHARED = ("account", "member", "invitation")  # by the tenants of an account
_WITHOUT_TENANT = re.compile("schema_migration|sqlite_.*|huey_.*|lead_text.*|knowledge_text.*|analytics_.*")


def snapshot(world: World) -> dict[str, list[Any]]:
    """Every row that belongs to the victim, by table, byte for byte. What an account shares is not one tenant's."""
    assert world.victim is not None
    tenant = world.victim.tenant
    rows: dict[str, list[Any]] = {}
    for table, condition in _conditions(world.same_account):
        where = condition.format(tenant=tenant.id, account=tenant.account_id, environment=tenant.environment)
        found = database.database.execute_sql(f"SELECT * FROM {table} WHERE {where}").fetchall()
        rows[table] = sorted(map(repr, found))
    return rows


@functools.cache
def _conditions(same_account: bool) -> list[tuple[str, str]]:
    """How to find a tenant's rows, table by table: the schema is the same in every database."""
    return list(_each_condition(same_account))


def _each_condition(same_account: bool) -> Iterator[tuple[str, str]]:
    for table in sorted(database.database.get_tables()):
        if _WITHOUT_TENANT.fullmatch(table) or (same_account and table in _SHARED):
            continue
        columns = {column.name for column in database.database.get_columns(table)}
        if table in _BY_TABLE:
            yield table, _BY_TABLE[table]
        elif "tenant_id" in columns:
            yield table, "tenant_id = {tenant}"
        elif "account_id" in columns:
            in_environment = same_account and "environment" in columns
            yield table, "account_id = '{account}'" + (" AND environment = '{environment}'" if in_environment else "")
        else:
            raise AssertionError(f"whose are the rows of {table}? Say so in {__name__}")


def differences(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> list[str]:
    """The tables whose rows are not what they were."""
    return [table for table, rows in after.items() if rows != before[table]]
