"""What came of it: the A/B test's results, the analytics, and the proof that the audit log is what was written."""

from __future__ import annotations

import re
import time
from typing import Any

from .api import Api, expect
from .outreach import Outreach
from .telling import Telling

Json = dict[str, Any]

_COUNT_TIMEOUT_S = 300
_LOOK_S = 1.0
_HASH = re.compile("[0-9a-f]{64}")


def play(api: Api, telling: Telling, outreach: Outreach) -> None:
    """Tell and check all numbers. Raises StepFailed at the first one that does not hold."""
    _results(api, telling, outreach)
    _analytics(api, telling)
    _agents(api, telling, outreach)
    _audit(api, telling, outreach.campaign)
    prove(api, telling)


def _results(api: Api, telling: Telling, outreach: Outreach) -> None:
    telling.heading(f"What the A/B test says: {outreach.test['name']}")
    results: Json = api.get(f"/api/ab-tests/{outreach.test['_id']}/results")
    variants, srm, winner = results["variants"], results["srm"], results["winner"]
    telling.table(("variant", "leads", "qualified", "disqualified", "rate", "95 % interval"), map(_variant, variants))
    spread = f"chi-square p = {srm['pValue']:.3f}" if "pValue" in srm else "too few leads to check it"
    telling.say(f"Leads are {'not ' if srm['mismatch'] else ''}spread as the weights say ({spread}).")
    telling.say(f"Winner: {outreach.agents[winner] if winner else 'none'}. {results['recommendation']}")
    sent, qualified = outreach.campaign["stats"]["sent"], outreach.verdicts["qualified"]
    drawn = [sum(each[name] for each in variants) for name in ("totalLeads", "qualifiedLeads")]
    expect(drawn == [sent, qualified], f"the test should have {sent} leads, {qualified} qualified, not {drawn}")
    expect(winner is None, f"{sent} leads are too few for a winner")


def _variant(result: Json) -> tuple[str, ...]:
    interval = result["interval"]
    return (
        result["agentConfigName"],
        *(str(result[name]) for name in ("totalLeads", "qualified", "disqualified")),
        f"{result['leadQualificationRate']:.1f} %",
        f"{interval['low']:.1f} to {interval['high']:.1f} %",
    )


def _analytics(api: Api, telling: Telling) -> None:
    """Tell overview and funnel, and compare both with what the lists hold."""
    telling.heading("Analytics")
    listed = {
        "totalLeads": api.count("/api/leads"),
        "qualifiedLeads": api.count("/api/leads", statuses="qualified"),
        "totalConversations": api.count("/api/conversations"),
        "activeConversations": api.count("/api/conversations", status="active"),
    }
    overview = _counted(api, listed)
    channels = ", ".join(f"{number} on {channel}" for channel, number in overview["channelBreakdown"].items())
    telling.say(f"{overview['totalLeads']} leads, {overview['totalConversations']} conversations: {channels}.")

    funnel = api.get("/api/analytics/funnel", by="source")
    stages = funnel["stages"]
    rows = [(group["value"], *(group[stage] for stage in stages)) for group in funnel["groups"]]
    telling.table(("source", *stages), [*rows, ("all", *stages.values())])
    ends = {"totalLeads": stages["new"], "qualifiedLeads": stages["qualified"]}
    expect(ends == {name: listed[name] for name in ends}, f"the lists say {listed}, the funnel says {stages}")


def _counted(api: Api, listed: Json) -> Json:
    """The overview once it says the same as the lists: after a long import it is behind for a while."""
    deadline = time.monotonic() + _COUNT_TIMEOUT_S
    while True:
        overview: Json = api.get("/api/analytics/overview")
        counted = {name: overview[name] for name in listed}
        if counted == listed:
            return overview
        expect(time.monotonic() < deadline, f"the lists say {listed}, the overview says {counted}")
        time.sleep(_LOOK_S)


def _agents(api: Api, telling: Telling, outreach: Outreach) -> None:
    found = api.get("/api/analytics/agents")["agents"]
    columns = ("conversations", "active", "handedOff", "completed", "dropped", "qualified")
    rows = [(outreach.agents.get(each["agentConfigId"]), *(each[name] for name in columns)) for each in found]
    telling.table(("agent", "opened", "active", "handed off", "completed", "dropped", "qualified"), rows)
    opened = {each["agentConfigId"]: each["conversations"] for each in found}
    expect(opened.keys() <= outreach.agents.keys(), f"only {outreach.agents} talk, not {opened}")
    total = api.count("/api/conversations")
    expect(sum(opened.values()) == total, f"the agents should have opened {total} conversations: {opened}")


def _audit(api: Api, telling: Telling, campaign: Json) -> None:
    telling.heading("The audit log, and the proof that it is unchanged")
    found = api.get("/api/audit-logs", resourceType="campaign")["data"]
    entries = [entry for entry in reversed(found) if entry["resource"]["id"] == campaign["_id"]]
    rows = [(each["timestamp"], each["actor"]["displayName"], each["action"]) for each in entries]
    telling.table(("at", "who", "did"), rows)
    expect("campaign.started" in {each["action"] for each in entries}, f"the start should be logged: {found}")


def prove(api: Api, telling: Telling) -> None:
    """Tell that the audit log is unchanged, and where it ends. Raises StepFailed where it is not what was written."""
    written = api.count("/api/audit-logs")
    proof: Json = api.get("/api/audit-logs/verify")
    expect(proof["valid"], f"the audit log is not what was written: {proof.get('firstBroken')}")
    expect(proof["entries"] >= written, f"{written} entries are listed, only {proof['entries']} are in the chain")
    expect(_HASH.fullmatch(proof.get("headHash", "")) is not None, f"the chain has no hash at its end: {proof}")
    how = "signed" if proof["signed"] else "not signed, for the demo has no NEWLEAF_SECRET_KEY"
    telling.say(f"Verified: {proof['entries']} entries, each with the hash of the one before it. The end is {how}.")
    telling.say(f"Last hash: {proof['headHash']}")
