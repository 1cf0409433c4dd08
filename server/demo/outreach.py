"""A campaign to everybody met at a fair, with two agents that share the leads between them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from .api import Api, expect
from .telling import Telling

Json = dict[str, Any]

TAG = "spring fair"
VISITORS = (
    *("Aiko", "Bence", "Carla", "Dario", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Luca"),
    *("Maren", "Nils", "Olga", "Pavel", "Rosa", "Sven", "Tara", "Umar", "Vera", "Wim"),
)
WITHOUT_PHONE = ("Xenia", "Yusuf")
MESSAGE = "Hello {{firstName}}, Mia here. What would you like to improve in your sales?"
ALL_AT_ONCE = {
    "id": "all-at-once",
    "name": "All at once",
    "order": 0,
    "prompt": "What would you like to improve, how many people are on your team, what budget have you set aside, "
    "and how soon would you like to start?",
    "transitionCriteria": "The lead has named the challenge, the team size, the budget and a timeline.",
    "nextStages": [],
    "position": {"x": 0, "y": 0},
}
_STALLED_AFTER_S = 120
_LOOK_S, _LOOK_AT_LEAST_EVERY_S = 0.2, 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a lead says to the campaign's message, and what the agent must conclude."""

    text: str
    verdict: str


ANSWERS = (
    Answer(
        "We lose leads after every fair. We are 12 people, have set $4,000 a month aside and want to start within two "
        "months. Please write to sales@example.com.",
        "qualified",
    ),
    Answer("Answer our customers faster. We're a team of 6, but $200 is all we can spend.", "disqualified"),
    Answer("Let me think about it.", "not judged"),
)
ANSWERED = 3 * len(ANSWERS)


@dataclass(frozen=True, slots=True)
class Outreach:
    """What is to be reckoned up. agents: names of the variants by id; campaign: as it ended; verdicts: of its leads."""

    test: Json
    agents: dict[str, str]
    campaign: Json
    verdicts: Counter[str]


def play(api: Api, telling: Telling, agent: Json, opted_out: Json) -> Outreach:
    """Start an A/B test and a campaign, and answer to it. Raises StepFailed at the first step that does not hold."""
    _gather(api, telling)
    telling.heading("An A/B test: one question at a time, or all at once?")
    rivals = {each["_id"]: each["name"] for each in (agent, _rival(api, agent))}
    test = _compare(api, telling, rivals)
    campaign = _draft(api, telling, opted_out)
    expected = _preview(api, telling, campaign)
    campaign = _run(api, telling, campaign)
    _check_stats(campaign, expected)
    verdicts = _answer(api, telling, _contacted(api, campaign), rivals)
    campaign = api.get(f"/api/campaigns/{campaign['_id']}")
    stats = campaign["stats"]
    shown = ("total", "sent", "delivered", "replied", "qualified", "disqualified", "failed", "skipped")
    telling.table(shown, [[stats[name] for name in shown]])
    counted = {"replied": verdicts.total(), **{each: verdicts[each] for each in ("qualified", "disqualified")}}
    expect(counted == {name: stats[name] for name in counted}, f"the campaign should count {counted}: {stats}")
    return Outreach(test, rivals, campaign, verdicts)


def _gather(api: Api, telling: Telling) -> None:
    telling.heading("Everybody met at a fair")
    people = [
        {"name": f"{name} Example", "phone": f"+1202555{100 + number:04}"} for number, name in enumerate(VISITORS)
    ]
    people += [{"name": f"{name} Example", "email": f"{name.lower()}@example.com"} for name in WITHOUT_PHONE]
    result = api.post("/api/leads/sync", {"source": "fair", "leads": [{**each, "tags": [TAG]} for each in people]})
    expect(result["failed"] == 0, f"none of the visitors should fail: {result['errors']}")
    telling.say(f"{len(people)} leads with the tag “{TAG}”, {len(WITHOUT_PHONE)} of them without a phone.")


def _rival(api: Api, agent: Json) -> Json:
    """A copy of the agent that asks everything in one question."""
    copy = api.post(f"/api/agent-config/{agent['_id']}/duplicate", status=201)
    changes = {"name": "All at once", "status": "active", "stages": [ALL_AT_ONCE]}
    return dict(api.patch(f"/api/agent-config/{copy['_id']}", changes))


def _compare(api: Api, telling: Telling, rivals: dict[str, str]) -> Json:
    """A running A/B test of these agents, by id and name."""
    variants = [{"agentConfigId": id_, "weight": 50} for id_ in rivals]
    test = api.post("/api/ab-tests", {"name": "Two ways to ask", "variants": variants}, status=201)
    test = api.patch(f"/api/ab-tests/{test['_id']}/status", {"status": "running"})
    expect(test["status"] == "running", f"the test should be running, not {test['status']}")
    names = " against ".join(f"“{name}”" for name in rivals.values())
    telling.say(f"{names}: each lead is drawn for one of them, and stays with it.")
    return dict(test)


def _draft(api: Api, telling: Telling, opted_out: Json) -> Json:
    telling.heading("A campaign to them, and to somebody who has opted out")
    draft = {
        "name": "After the fair",
        "channel": "sms",
        "message": MESSAGE,
        "leadFilter": {"tags": [TAG]},
        "leadIds": [opted_out["id"]],
    }
    return dict(api.post("/api/campaigns", draft, status=201))


def _preview(api: Api, telling: Telling, campaign: Json) -> Json:
    """What the campaign promises before it is started."""
    preview: Json = api.post(f"/api/campaigns/{campaign['_id']}/preview")
    left_out = {each["reason"]: each["count"] for each in preview["leftOut"]}
    telling.say(
        f"{preview['total']} leads, {preview['recipients']} to be contacted. Left out: "
        + ", ".join(f"{count} ({reason})" for reason, count in left_out.items())
    )
    expect(preview["recipients"] > 0, "the campaign has nobody to write to")
    expect(left_out.get("opted_out") == 1, f"who has opted out should be left out: {left_out}")
    return preview


def _run(api: Api, telling: Telling, campaign: Json) -> Json:
    """The campaign once it is completed. Raises StepFailed where it stops or stands still."""
    path = f"/api/campaigns/{campaign['_id']}"
    now: Json = api.post(f"{path}/start")
    pause, seen = _LOOK_S, now["stats"]
    deadline = time.monotonic() + _STALLED_AFTER_S
    while now["status"] != "completed":
        expect(now["status"] == "running", f"the campaign is {now['status']}: {now.get('pausedReason')}")
        expect(time.monotonic() < deadline, f"the campaign has stood still for {_STALLED_AFTER_S} s: {seen}")
        time.sleep(pause)
        pause = min(1.5 * pause, _LOOK_AT_LEAST_EVERY_S)
        now = api.get(path)
        if now["stats"] != seen:
            seen, deadline = now["stats"], time.monotonic() + _STALLED_AFTER_S
            telling.turn_of_events(f"{seen['sent']} sent, {seen['pending']} to go, {seen['skipped']} left out")
    return now


def _check_stats(campaign: Json, expected: Json) -> None:
    stats = campaign["stats"]
    counted = {"total": stats["total"], "recipients": stats["sent"], "skipped": stats["skipped"]}
    promised = {name: expected[name] for name in counted}
    expect(counted == promised, f"the preview promised {promised}, the campaign reached {counted}")
    expect(stats["delivered"] == stats["sent"], f"all that was sent should be delivered: {stats}")


def _contacted(api: Api, campaign: Json) -> list[Json]:
    """The campaign's conversations by lead: one for each that it reached, begun with the message worded for it."""
    talks = api.get("/api/conversations", campaignId=campaign["_id"], limit=100)
    sent = campaign["stats"]["sent"]
    leads = {talk["leadId"] for talk in talks}
    expect(len(leads) == len(talks) == sent, f"{sent} sent should be one conversation each with {len(leads)} leads")
    texts = {tuple(message["content"] for message in talk["messages"]) for talk in talks}
    expect(all(len(said) == 1 and "{{" not in said[0] for said in texts), f"one filled message each, not {texts}")
    expect(len(texts) == sent, f"each message should have the lead's own name: {texts}")
    return sorted(talks, key=lambda talk: int(talk["leadId"]))


def _answer(api: Api, telling: Telling, talks: list[Json], rivals: dict[str, str]) -> Counter[str]:
    """Have the first leads answer; how many were judged how."""
    telling.heading(f"{min(ANSWERED, len(talks))} of them answer")
    rows, verdicts = [], Counter[str]()
    telling.speech("agent", "Agent", talks[0]["messages"][0]["content"])
    for index, talk in enumerate(talks[:ANSWERED]):
        answer = ANSWERS[index % len(ANSWERS)]
        talk = api.post(f"/api/conversations/{talk['_id']}/simulate-reply", {"message": answer.text})
        verdict = _verdict(talk)
        expect(verdict == answer.verdict, f"lead {talk['leadId']} should be {answer.verdict}, not {verdict}")
        verdicts[verdict] += 1
        rows.append((talk["leadId"], rivals[talk["agentConfigId"]], verdict, answer.text))
    telling.table(("lead", "agent", "is", "says"), rows)
    return verdicts


def _verdict(talk: Json) -> str:
    result = talk.get("qualificationResult")
    if result is None:
        return "not judged"
    return "qualified" if result["qualified"] else "disqualified"
