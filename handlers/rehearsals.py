"""Agents tried out over HTTP: the next turn, and conversations with played leads."""

from __future__ import annotations

from typing import Any

from engine import rehearsals
from engine.agents import HistoryMessage, LeadFacts, Passage, Usage
from engine.agents.simulation import Played
from engine.rehearsals import Rehearsed, Report
from storage.tenancy import Caller

from .answers import Answer

_MAX_TITLE = 500
SIMULATED_WITHIN_S = 45.0  # a turn that is under way then is still waited for


def test_agent(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """The agent's next turn, not stored. Raises NotFound, Conflict, Blocked, Unavailable."""
    rehearsal = rehearsals.of(user.tenant, id_)
    history = [HistoryMessage(message["role"], message["content"]) for message in body["messages"]]
    given = body.get("lead", {})
    lead = LeadFacts(
        name=given.get("name", ""),
        email=given.get("email", ""),
        status=given.get("status", "new"),
        custom_fields=given.get("customFields", {}),
    )
    return Answer({}, then=lambda: _turn(rehearsal.next_turn(history, lead, body.get("stageId"))))


def simulate_agent(id_: str, user: Caller, body: dict[str, Any]) -> Answer:
    """What came of conversations with played leads. Raises NotFound, Conflict, Blocked."""
    rehearsal = rehearsals.of(user.tenant, id_)
    expected = {each["persona"]: frozenset(each["outcomes"]) for each in body.get("expect", ())}

    def simulated() -> dict[str, Any]:
        return report_body(
            rehearsal.simulate(
                body.get("personas", ()),
                max_turns=body.get("maxTurns", rehearsals.USUAL_TURNS),
                expected=expected,
                within_s=SIMULATED_WITHIN_S,
            )
        )

    return Answer({}, then=simulated)


def report_body(report: Report) -> dict[str, Any]:
    """A SimulationReport of the contract."""
    passed = sum(each.passed for each in report.played)
    return {
        "agentConfigId": report.agent_oid,
        "agentVersion": report.version,
        "passed": report.passed,
        "totals": {
            "personas": len(report.played),
            "passed": passed,
            "failed": len(report.played) - passed,
            "turns": sum(each.turns for each in report.played),
            "violations": sum(len(each.violations) for each in report.played),
        },
        "usage": _usage(report.usage),
        "results": [_conversation(each) for each in report.played],
    }


def _conversation(played: Played) -> dict[str, Any]:
    model = {"model": played.usage.model, "usage": _usage(played.usage)} if played.usage.model else {}
    return {
        "persona": played.persona.id,
        "description": played.persona.description,
        "outcome": played.outcome,
        "expected": sorted(played.expected),
        "passed": played.passed,
        "reason": played.reason,
        "turns": played.turns,
        "stages": list(played.stages),
        "violations": [
            {"rule": violation.rule, "message": violation.message, "turn": violation.turn}
            for violation in played.violations
        ],
        "transcript": [{"role": message.role, "content": message.content} for message in played.transcript],
        **model,
    }


def _turn(rehearsed: Rehearsed) -> dict[str, Any]:
    """An AgentTurn of the contract; a member without a value is absent."""
    turn, used = rehearsed.turn, rehearsed.turn.passages_used
    optional = {
        "stageId": turn.stage.id if turn.stage else None,
        "qualificationResult": turn.qualification.model_dump() if turn.qualification else None,
        "handoffReason": turn.handoff_reason or None,
        "summary": turn.summary or None,
        "guardrail": turn.guardrail,
        "model": turn.usage.model or None,
        "usage": _usage(turn.usage) if turn.usage.model else None,
    }
    return {
        "reply": turn.reply,
        "stageChanged": turn.stage_changed,
        "conversationStatus": turn.conversation_status,
        "leadStatus": turn.lead_status,
        "extracted": dict(turn.extracted),
        "citations": rehearsed.citations,
        "passages": [_passage(passage, place in used) for place, passage in enumerate(rehearsed.passages)],
        "agentVersion": rehearsed.version,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _passage(passage: Passage, is_used: bool) -> dict[str, Any]:
    return {
        "documentId": passage.document_id,
        "chunkId": passage.chunk_id,
        "title": passage.title[:_MAX_TITLE],
        "text": passage.content,
        "used": is_used,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    tokens = {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens}
    return tokens if usage.cost_micros is None else {**tokens, "costUsd": usage.cost_micros / 1_000_000}
