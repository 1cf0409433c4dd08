"""The main job, played by a client.

Leads come in, an agent that has a document to look things up in talks to one of them on each channel, and each
conversation ends differently. Then a campaign goes out to many at once, and all of it is reckoned up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import outreach, reckoning
from .api import Api, StepFailed, expect
from .telling import Telling

Json = dict[str, Any]

TEMPLATE = "sales-qualifier"
_IMPORT_TIMEOUT_S = 600
_INDEX_TIMEOUT_S = 60
_LOOK_S = 0.2

SYNC_REQUEST = {
    "source": "crm",
    "leads": [
        {
            "lead_id": "crm-1042",
            "name": "Lena Brandt",
            "phone": "+12025550190",
            "email": "lena.brandt@example.com",
            "tags": ["customer"],
            "customFields": {"deal_value": 50000},
        },
        {"lead_id": "crm-1043", "name": "Marek Nowak", "phone": "+12025550191"},
        {"lead_id": "crm-1044", "name": "Typo", "phone": "12"},
    ],
}
TELEGRAM_LEAD = {"name": "Tomas Silva", "phone": "+12025550196", "tags": ["referral"]}
PRICES = {
    "title": "Prices and terms",
    "sourceType": "text",
    "sourceUrl": "https://example.com/prices",
    "content": (
        "# Plans\n\nThe Starter plan costs $49 a month and includes 3 seats. The Team plan costs $390 a month and "
        "includes 15 seats; each further seat is $20 a month.\n\n# Terms\n\nEvery plan can be cancelled by the end "
        "of a month. Data is exported on request and erased 30 days after the end of a contract.\n\n# Support\n\n"
        "Questions are answered from Monday to Friday, 9:00 to 17:00 UTC. The Team plan has a named contact.\n"
    ),
}
FORM = {"name": "Noor Haddad", "phone": "+1 202-555-0194", "tags": ["website"], "interest": "enterprise plan"}


@dataclass(frozen=True, slots=True)
class Ending:
    """What one lead says, and how the conversation must end for it."""

    title: str
    replies: tuple[str, ...]
    conversation: str
    lead: str
    qualified: bool | None
    cites: str | None = None
    opted_out: bool = False


QUALIFIED = Ending(
    "qualified",
    (
        "Hi Mia! After every trade fair we lose half of the leads because nobody calls them back in time.",
        "We are 12 people.",
        "Around $4,000 a month.",
        "Within the next two months, before the autumn fair.",
        "sales@example.com is fine.",
    ),
    conversation="completed",
    lead="qualified",
    qualified=True,
)
DISQUALIFIED = Ending(
    "disqualified",
    ("We want to answer our customers faster.", "We're a team of 6, but $200 is all we can spend."),
    conversation="completed",
    lead="disqualified",
    qualified=False,
)
HANDED_OFF = Ending(
    "handed off",
    ("We need a tool for our support team.", "Can I talk to a real person, please?"),
    conversation="handed_off",
    lead="contacted",
    qualified=None,
)
ANSWERED = Ending(
    "answered from a document, then opted out",
    ("What does the Team plan cost a month?", "Thanks. Please stop writing to me."),
    conversation="dropped",
    lead="contacted",
    qualified=None,
    cites="Prices and terms",
    opted_out=True,
)


def play(api: Api, telling: Telling, csv: Path) -> None:
    """Play everything and tell it. Raises StepFailed at the first step that does not hold."""
    _arrive(api, telling)
    imported = _import(api, telling, csv)
    synced = _sync(api, telling)
    received = _receive(api, telling)
    agent = _create_agent(api, telling)
    _teach(api, telling, agent)
    _converse(api, telling, agent, imported or synced[1], "whatsapp", QUALIFIED)
    _converse(api, telling, agent, synced[0], "email", DISQUALIFIED)
    _converse(api, telling, agent, received, "sms", HANDED_OFF)
    opted_out = api.post("/api/leads", TELEGRAM_LEAD, status=201)
    _converse(api, telling, agent, opted_out, "telegram", ANSWERED)
    _total(api, telling)
    reckoning.play(api, telling, outreach.play(api, telling, agent, opted_out))


def _arrive(api: Api, telling: Telling) -> None:
    telling.heading("A server, and a key of its test environment")
    expect(api.get("/readyz")["status"] == "ready", "the server is not ready")
    account = api.get("/api/accounts/current")
    paths = api.get("/openapi.json")["paths"]
    telling.say(f"Account “{account['name']}”, {account['environment']} environment: nothing leaves this machine.")
    telling.say(f"The contract describes {sum(len(item) for item in paths.values())} operations on {len(paths)} paths.")


def _import(api: Api, telling: Telling, csv: Path) -> Json | None:
    """Import the file; a new lead of it that can be written to, None if there is none."""
    telling.heading(f"Leads from a CSV file: {csv.name}")
    preview = api.post("/api/leads/upload/preview", files={"file": (csv.name, csv.read_bytes(), "text/csv")})
    telling.say(f"{preview['totalRows']} rows. This is what the columns seem to mean:")
    first = (preview["previewRows"] or [{}])[0]
    expect(bool(preview["mapping"]), f"{csv.name} has no columns")
    rows = [(column, field, " ".join(first.get(column, "").split())) for column, field in preview["mapping"].items()]
    telling.table(("column", "becomes", "first row"), rows)

    order = {"uploadId": preview["uploadId"], "mapping": preview["mapping"], "tags": ["demo"]}
    result = api.post("/api/leads/upload/confirm", order, status=(200, 202))
    result = _finished(api, result["importBatchId"], preview["totalRows"])
    telling.say(
        f"{result['imported']} new leads, {result['updated']} updated by a repeated row, "
        f"{result['duplicatesSkipped']} skipped, {result['errors']} refused."
    )
    if result["errorRows"]:
        telling.table(("row", "refused because"), [(each["row"], each["message"]) for each in result["errorRows"]])

    batch = result["importBatchId"]
    found = api.get("/api/leads", importBatchId=batch, limit=100)
    listed = found["total"]
    expect(listed == result["imported"], f"the import made {result['imported']} leads, but {listed} are listed")
    reachable = [lead for lead in found["leads"] if lead["phone"] and lead["status"] == "new"]
    return reachable[-1] if reachable else None


def _finished(api: Api, batch: str, rows: int) -> Json:
    """The import once it is through. Raises StepFailed where it fails, loses a row or takes too long."""
    deadline = time.monotonic() + _IMPORT_TIMEOUT_S
    while True:
        job: Json = api.get(f"/api/leads/imports/{batch}")
        if job["status"] == "completed":
            break
        expect(job["status"] in ("queued", "running"), f"the import is {job['status']}: {job.get('failure')}")
        expect(time.monotonic() < deadline, f"the import is still {job['status']} after {_IMPORT_TIMEOUT_S} s")
        time.sleep(_LOOK_S)
    counted = job["imported"] + job["updated"] + job["duplicatesSkipped"] + job["errors"]
    expect(counted == rows, f"{rows} rows went in, {counted} came out")
    return job


def _sync(api: Api, telling: Telling) -> list[Json]:
    """Sync a batch twice; its leads."""
    telling.heading("A batch from the CRM")
    result = api.post("/api/leads/sync", SYNC_REQUEST)
    expect((result["created"], result["failed"]) == (2, 1), f"2 of the batch should be created, 1 fail: {result}")
    refused = result["errors"][0]
    telling.say(
        f"{result['created']} created; {refused['lead_id']} alone was refused: {refused['message'].rstrip('.')}."
    )
    again = api.post("/api/leads/sync", SYNC_REQUEST)
    expect(again["unchanged"] == 2, f"the same batch again should change nothing: {again}")
    leads = [api.get(f"/api/leads/{each['id']}") for each in result["results"]]
    lead = leads[0]
    expect(lead["customFields"] == {"deal_value": "50000"}, f"deal_value is missing: {lead['customFields']}")
    telling.say(f"Sent again it changes nothing. {lead['name']} is lead {lead['id']}, {_fields(lead)}.")
    return leads


def _receive(api: Api, telling: Telling) -> Json:
    """Send a web form to the account's webhook; the lead that it made."""
    telling.heading("A web form, through the account's webhook")
    token = api.get("/api/accounts/current")["webhookToken"]
    received = api.post(f"/api/webhooks/leads/{token}", FORM, status=201)
    expect(received["created"], "the webhook should have made a new lead")
    lead: Json = api.get(f"/api/leads/{received['leadId']}")
    expect(lead["phone"] == "+12025550194", f"the phone should be in E.164, not {lead['phone']}")
    telling.say(f"{lead['name']} is lead {lead['id']}, {lead['phone']}, {_fields(lead)}.")
    return lead


def _fields(lead: Json) -> str:
    return ", ".join(f"{name}: {value}" for name, value in lead["customFields"].items())


def _create_agent(api: Api, telling: Telling) -> Json:
    """An active agent made from a template."""
    telling.heading("An agent from a template")
    config = api.post("/api/agent-config/apply-template", {"templateId": TEMPLATE})
    members = {name: value for name, value in config.items() if name in _WRITABLE}
    agent: Json = api.post("/api/agent-config", members, status=201)
    expect(agent["status"] == "active", f"the agent should be active, not {agent['status']}")
    stages = " → ".join(stage["name"] for stage in agent["stages"])
    telling.say(f"“{agent['name']}” works through {stages}.")
    telling.say(f"It qualifies a lead if: {agent['qualificationCriteria']}")
    return agent


_WRITABLE = (
    *("name", "systemPrompt", "goal", "status", "language", "instructions", "qualificationCriteria"),
    *("handoffMessage", "stages", "guardrails"),
)


def _teach(api: Api, telling: Telling, agent: Json) -> None:
    """Give the agent a document to look things up in."""
    telling.heading("A document for the agent to answer from")
    base = api.post("/api/knowledge-bases", {"name": "Sales handbook"}, status=201)
    documents = f"/api/knowledge-bases/{base['_id']}/documents"
    document = api.post(documents, PRICES, status=201)
    deadline = time.monotonic() + _INDEX_TIMEOUT_S
    while document["status"] != "ready":
        expect(document["status"] != "failed", f"the document failed: {document.get('failure')}")
        expect(time.monotonic() < deadline, f"the document is still {document['status']} after {_INDEX_TIMEOUT_S} s")
        time.sleep(_LOOK_S)
        document = api.get(f"{documents}/{document['_id']}")
    api.post(f"/api/agent-config/{agent['_id']}/knowledge-bases/{base['_id']}")
    telling.say(f"“{document['title']}” is indexed, and “{agent['name']}” may quote it.")


def _converse(api: Api, telling: Telling, agent: Json, lead: Json, channel: str, ending: Ending) -> None:
    """Let the agent talk to a lead until it ends as it must."""
    name = lead["name"].split()[0] if lead["name"] != "Unknown" else "The lead"
    telling.heading(f"{lead['name']} on {channel}: {ending.title}")
    start = {"leadId": lead["id"], "channel": channel, "agentConfigId": agent["_id"]}
    talk = api.post("/api/conversations/start", start, status=201)
    shown = _tell(telling, talk, name, 0)
    for reply in ending.replies:
        if talk["status"] != "active":
            break
        before = talk
        talk = api.post(f"/api/conversations/{talk['_id']}/simulate-reply", {"message": reply})
        shown = _tell(telling, talk, name, shown)
        _tell_moves(telling, before, talk)
    _check(api, telling, talk, lead, ending)


def _tell(telling: Telling, talk: Json, name: str, shown: int) -> int:
    """Print the messages after the first `shown`; returns how many there are."""
    speakers = {"agent": "Agent", "lead": name, "human": "Colleague", "system": "newleaf"}
    for message in talk["messages"][shown:]:
        telling.speech(message["role"], speakers[message["role"]], message["content"])
        for citation in message.get("citations", ()):
            place = f"characters {citation['start']} to {citation['end']}"
            telling.turn_of_events(f"from “{citation['title']}”, {citation['sourceUrl']}, {place}")
    return len(talk["messages"])


def _tell_moves(telling: Telling, before: Json, after: Json) -> None:
    if before.get("currentStageName") != after.get("currentStageName"):
        telling.turn_of_events(f"stage {before.get('currentStageName')} → {after.get('currentStageName')}")
    if before["status"] != after["status"]:
        telling.turn_of_events(f"conversation {before['status']} → {after['status']}")


def _check(api: Api, telling: Telling, talk: Json, lead: Json, ending: Ending) -> None:
    expect(talk["status"] == ending.conversation, f"the conversation is {talk['status']}, not {ending.conversation}")
    verdict = talk.get("qualificationResult")
    if ending.qualified is None:
        expect(verdict is None, f"there should be no verdict, but: {verdict}")
    elif verdict is None or verdict["qualified"] is not ending.qualified:
        raise StepFailed(f"the verdict should be qualified: {ending.qualified}, but is {verdict}")
    lead = api.get(f"/api/leads/{lead['id']}")
    status = lead["status"]
    expect(status == ending.lead, f"the lead is {status}, not {ending.lead}")
    expect(bool(lead["optedOut"]) is ending.opted_out, f"the lead should have opted out: {lead['optedOut']}")
    cited = {citation["title"] for message in talk["messages"] for citation in message.get("citations", ())}
    expect(ending.cites is None or ending.cites in cited, f"no answer cites {ending.cites}")
    telling.turn_of_events(f"lead {lead['id']} is {status}" + (f": {verdict['reason']}" if verdict else ""))
    telling.turn_of_events(f"summary: {talk.get('summary')}")


def _total(api: Api, telling: Telling) -> None:
    telling.heading("So far")
    statuses = ("new", "contacted", "qualified", "disqualified")
    leads = {status: api.count("/api/leads", statuses=status) for status in statuses}
    endings = ("completed", "handed_off", "dropped")
    ended = {status: api.count("/api/conversations", status=status) for status in endings}
    telling.table(("leads", *statuses), [(sum(leads.values()), *leads.values())])
    telling.table(("conversations", *ended), [(sum(ended.values()), *ended.values())])
    expect(leads["qualified"] >= 1, "no lead is qualified")
    expected = {"completed": 2, "handed_off": 1, "dropped": 1}
    expect(ended == expected, f"four conversations should have ended, not {ended}")
    expect(sum(leads.values()) == api.count("/api/leads"), "the statuses do not add up to all leads")
