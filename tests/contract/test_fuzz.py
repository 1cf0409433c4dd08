"""Schemathesis over the running server: all checks, all phases, every operation, 0 failures.

By default it is the edition that is part of every run; `tox -e fuzz` sizes the long one with
FUZZ_EXAMPLES (generated cases per operation), FUZZ_SEQUENCES (walks along links), FUZZ_PHASES and FUZZ_SEED. While one
works on a domain, FUZZ_PATHS (a regular expression) keeps it to the operations whose path it finds.
"""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.contract import document, operations
from storage import ab_tests, accounts, clock, database
from storage.ab_tallies import AbTally
from storage.event_log import EventDelivery
from tests.conftest import ENGINE, Party, Served
from tests.support.contract_client import ContractClient

HERE = Path(__file__).parent / "fuzz"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
MORE_EXAMPLES = "40"  # for operations that those brought to no success
SEQUENCES = os.environ.get("FUZZ_SEQUENCES", "40")
PHASES = os.environ.get("FUZZ_PHASES", "examples,coverage,fuzzing,stateful")
SEED = os.environ.get("FUZZ_SEED", "20260101")
PATHS = os.environ.get("FUZZ_PATHS", "^/")
INTEGRATIONS = {
    "whatsapp": {"wabaId": "1", "phoneNumberId": "2", "accessToken": "a-token-of-a-test"},
    "telegram": {"botToken": "110201543:bot-token-of-a-test-QbXw"},
    "sms": {"accountSid": f"AC{'0' * 31}1", "from": "+12025550150", "authToken": "auth-token-of-a-test-5e3a"},
    "email": {"fromAddress": "mia@example.com", "inboundDomain": "in.example.com", "apiKey": "re_a_key_of_a_test"},
}


def _run(
    served: Served, party: Party, reached: Path, *selection: str, phases: str = PHASES, examples: str = EXAMPLES
) -> subprocess.CompletedProcess[str]:
    folder = reached.parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[2]),
        "SCHEMATHESIS_HOOKS": "tests.contract.fuzz.hooks",
        "FUZZ_BASE_URL": served.base_url,
        "FUZZ_DATABASE_URL": served.database_url,
        "FUZZ_ACCOUNT": party.account_id,
        "FUZZ_REACHED": str(reached),
    }
    sizes = {"fuzzing": examples, "stateful": SEQUENCES}
    config = folder / "schemathesis.toml"
    config.write_text(
        (HERE / "schemathesis.toml").read_text()
        + "".join(f"\n[phases.{phase}.generation]\nmax-examples = {size}\n" for phase, size in sizes.items())
    )
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"]
    command += [f"{served.base_url}/openapi.json", "--checks=all", f"--phases={phases}"]
    command += [f"--seed={SEED}", "--continue-on-failure", "--no-color", *selection]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("engine_name", os.environ.get("FUZZ_ENGINES", ENGINE).split(","))
def test_schemathesis_finds_no_failure_and_reaches_every_operation(
    serve_on: Callable[[str], Served], tmp_path: Path, engine_name: str
) -> None:
    served = serve_on(engine_name)
    opened = database.connect(served.database_url)
    with database.transaction():
        party = Party(accounts.create("Fuzz", default_region="US").id, served.base_url)
    _populate(party, series=1)

    reached = tmp_path / "reached.jsonl"
    outcomes = [_run(served, party, reached, f"--include-path-regex={PATHS}")]
    if missed := _never_successful(reached):  # by then most objects are in a state that allows little
        _populate(party, series=2)
        chosen = [f"--include-operation-id={operation}" for operation in missed]
        outcomes.append(_run(served, party, reached, *chosen, phases="fuzzing", examples=MORE_EXAMPLES))
    opened.close_all()

    for outcome in outcomes:
        assert outcome.returncode == 0, outcome.stdout[-20_000:] + outcome.stderr[-5_000:]
    assert _never_successful(reached) == {}


def _populate(party: Party, series: int) -> None:
    """Some objects of each kind, which the first answers of each list then tell the hooks about."""
    agent = {"name": "Mia", "systemPrompt": "You are Mia.", "goal": "Find out."}
    with party.client("live") as live:
        for number in range(30):
            _add_member(live, f"guest{series}-{number}@example.com", number)
    with party.client() as client:
        pair = [client.post("/api/agent-config", json=agent).json()["_id"] for _ in range(2)]
        for number in range(12):
            _add_subscription(client, number)
        for channel, settings in INTEGRATIONS.items():
            client.put(f"/api/integrations/{channel}", json=settings)
        variants = [{"agentConfigId": each, "weight": 1} for each in pair]
        tests = [client.post("/api/ab-tests", json={"name": "Test", "variants": variants}).json() for _ in range(12)]
        _add_campaigns(client, series)
        for test in tests[:10]:
            _decide(party, test["_id"])
        for number in range(12):
            client.post("/api/agent-config", json={**agent, "status": "inactive"})
            lead = client.post("/api/leads", json={"phone": f"+12025{series}501{number:02}"}).json()
            client.post("/api/conversations/start", json={"leadId": lead["id"], "channel": "sms", "message": "Hello"})
        for number in range(5):
            _add_knowledge(client)
            client.post("/api/api-keys", json={"name": "spare", "scopes": ["leads:view"], "environment": "test"})
            file = {"content": f"Phone\n+12025{series}5020{number}\n", "mapping": {"Phone": "phone"}}
            client.post("/api/leads/upload/confirm", json=file)
    _give_up_deliveries(party)


def _add_member(live: ContractClient, email: str, number: int) -> None:
    """Invite somebody; half of them accept."""
    guest = {"email": email, "roles": ["owner" if number < 4 else "analyst"]}
    token = live.post("/api/accounts/current/invitations", json=guest).json()["token"]
    if number % 2 == 0:
        live.post(f"/api/accounts/invitations/{token}/accept", json={"firstName": "Ada"})


def _add_subscription(client: ContractClient, number: int) -> None:
    """An address that nobody listens at, and a ping on its way there."""
    given = {"url": f"http://127.0.0.1:9/{number}", "events": ["*"], "isActive": True}
    made = client.post("/api/event-subscriptions", json=given).json()["_id"]
    client.post(f"/api/event-subscriptions/{made}/test")


def _add_campaigns(client: ContractClient, series: int) -> None:
    """Drafts, and some that run for days, for there are more leads than they may contact on one."""
    for number in range(12):
        client.post("/api/leads", json={"phone": f"+12025{series}504{number:02}"})
    slow = {"name": "Slow", "channel": "sms", "message": "Hello", "leadFilter": {}, "schedule": {"dailyCap": 1}}
    for number in range(12):
        campaign = client.post("/api/campaigns", json=slow).json()["_id"]
        for verb in ("start", "pause")[: number // 4]:
            client.post(f"/api/campaigns/{campaign}/{verb}")


def _add_knowledge(client: ContractClient) -> None:
    base = client.post("/api/knowledge-bases", json={"name": "Prices"}).json()["_id"]
    place = f"/api/knowledge-bases/{base}"
    client.post(f"{place}/documents", json={"title": "Plans", "content": "The Team plan costs $390 a month."})
    client.post(f"{place}/webhooks", json={"name": "Stock", "url": "http://127.0.0.1:9/stock"})
    client.post(f"{place}/crawl-sitemap", json={"urls": ["http://127.0.0.1:9/page"], "recrawlIntervalHours": 24})


# What no generated request can bring to a success, and where it is shown that others do.
SIGNED = {
    "receive_telegram_update": "wants the integration's secret token; tests/handlers/test_webhooks.py",
    "receive_email_event": "wants a signature over its bytes; tests/handlers/test_webhooks.py",
    "receive_twilio_event": "wants a signature over its bytes; tests/handlers/test_webhooks.py",
    "verify_whatsapp_webhook": "wants a verify token; tests/handlers/test_webhooks.py",
}


def _decide(party: Party, oid: str) -> None:
    """Complete an A/B test with a winner, which takes thousands of conversations else."""
    with database.connection():
        test = ab_tests.get(party.tenant(), oid)
        parts = ab_tests.variants(party.tenant(), [test])[test.id]
        for variant, qualified in zip(parts, (100, 300), strict=True):
            AbTally.add(party.tenant(), variant_id=variant.id, leads=1000, qualified_leads=qualified)
        ab_tests.set_status(test, "completed")


def _give_up_deliveries(party: Party) -> None:
    """What was sent to nobody failed, which takes three days else; only then may it be replayed."""
    with database.connection(), database.transaction():
        given_up = {EventDelivery.state: "failed", EventDelivery.finished_at: clock.stamp()}
        EventDelivery.change(party.tenant(), given_up).execute()


def _never_successful(reached: Path) -> dict[str, Any]:
    """Operations that no case brought to a success, each with the statuses that it answered instead."""
    statuses: dict[str, Any] = collections.defaultdict(collections.Counter)
    for line in reached.read_text().splitlines():
        operation, status = json.loads(line)
        statuses[operation][status] += 1
    return {
        operation.id: dict(statuses[operation.id])
        for operation in operations(document())
        if re.search(PATHS, operation.path)
        and operation.id not in SIGNED
        and not any(200 <= status < 300 for status in statuses[operation.id])
    }
