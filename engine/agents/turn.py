"""One turn of an agent: guardrails, model, decision.

    context → before_model ──hand off──────────────────────→ Turn
                  └→ ask the model → check ⇄ correct → decide → Turn

`take_turn` blocks for as long as the model thinks: call it from a worker thread, outside any transaction.
"""

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from engine.agents import guardrails, links, models, pricing, prompt
from engine.agents.models import ModelConfig
from engine.agents.result import (
    ConversationStatus,
    StagePosition,
    Turn,
    TurnResult,
    Usage,
)
from engine.agents.stages import position, ways_out
from engine.agents.types import LeadStatus, Stage, TurnContext

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model


@dataclass(frozen=True)
class Answer:
    """A model's checked result and what it took."""

    result: TurnResult
    usage: Usage


def take_turn(context: TurnContext, config: ModelConfig) -> Turn:
    """The agent's next turn. Raises ModelUnavailable, ModelRefused, ModelMalformed, ModelMisconfigured.

    RuntimeError when called from a thread that runs an event loop.
    """
    if verdict := guardrails.before_model(context):
        return handed_off(context, verdict)
    return decide(context, ask(context, config))


def ask(context: TurnContext, config: ModelConfig) -> Answer:
    """The model's answer to this context, checked against the stage graph and corrected by the model if need be."""
    chosen = config.for_agent(context.agent.model)
    _refuse_event_loop()
    meter = pricing.Meter(chosen)
    try:
        return Answer(asyncio.run(_run(context, chosen, meter)), meter.usage)
    except Exception as error:
        failure = models.typed_error(error, chosen)
        if failure is None:
            raise
    failure.usage = meter.usage
    raise failure  # here, not in the handler: a chained provider error could show the key in a traceback


def problem(context: TurnContext, result: TurnResult) -> str | None:
    """What the model must correct in a result of the right shape, in words for it; None when the result may stand."""
    stage = context.stage
    allowed = [way.id for way in ways_out(context.agent, stage)] if stage else []
    wanted = result.next_stage_id
    if wanted is not None and wanted not in allowed and not (stage and wanted == stage.id):
        return f"next_stage_id must be null or one of: {', '.join(allowed) or '(nothing: this is the last stage)'}."
    shown = min(len(context.passages), prompt.MAX_PASSAGES)
    unknown = [number for number in result.used_passages if not 1 <= number <= shown]
    if unknown:
        return f"used_passages names passages that do not exist; there are {shown}."
    return None


def decide(context: TurnContext, answer: Answer) -> Turn:
    """The turn that follows from a checked answer."""
    result, agent = answer.result, context.agent
    reply, rule = result.reply, None
    index, moved_by = _next_index(context, result)
    if result.handoff:
        reply = agent.handoff_message
    elif guardrails.forbidden_topic(reply, agent.guardrails):
        reply, rule = guardrails.DEFLECTION, "forbidden_topic"
    elif links.foreign(context, reply, _cited(result)):
        reply, rule = links.without(context, reply, _cited(result)), "foreign_link"
    return Turn(
        reply=reply,
        stage=_position(context, index),
        stage_changed=context.stage is not None and context.stage is not agent.stages[index],
        lead_status=lead_status(context, result),
        conversation_status=conversation_status(result),
        qualification=result.qualification,
        handoff_reason=(result.handoff_reason or "The agent asked for a person.") if result.handoff else "",
        summary=result.summary,
        extracted=dict(result.extracted),
        passages_used=tuple(sorted(_cited(result))),
        guardrail=rule or moved_by,
        usage=answer.usage,
        language=result.language,
    )


def _cited(result: TurnResult) -> set[int]:
    """The positions, from 0, of the passages that a checked result relies on."""
    return {number - 1 for number in result.used_passages}


def handed_off(context: TurnContext, verdict: guardrails.HandOff) -> Turn:
    """The turn in which a guardrail gives the conversation to a person, without a model."""
    return Turn(
        reply=context.agent.handoff_message,
        stage=_position(context, context.stage_index),
        stage_changed=False,
        lead_status="contacted" if context.lead.status == "new" else context.lead.status,
        conversation_status="handed_off",
        handoff_reason=verdict.reason,
        guardrail=verdict.rule,
    )


def lead_status(context: TurnContext, result: TurnResult) -> LeadStatus:
    """The lead's status after the turn: a verdict counts; otherwise a new lead is now contacted and others stay."""
    if result.qualification:
        return "qualified" if result.qualification.qualified else "disqualified"
    return "contacted" if context.lead.status == "new" else context.lead.status


def conversation_status(result: TurnResult) -> ConversationStatus:
    """The conversation's status after the turn; a hand-off outweighs an end, since a person still has to act."""
    if result.handoff:
        return "handed_off"
    return "completed" if result.end else "active"


def _next_index(context: TurnContext, result: TurnResult) -> tuple[int, str | None]:
    """(stage index after the turn, the guardrail that moved it). A spent stage is left even if the model stays."""
    stage, agent = context.stage, context.agent
    if stage is None:
        return 0, None
    if result.next_stage_id is not None:
        return position(agent, result.next_stage_id), None
    ways = ways_out(agent, stage)
    if ways and _is_spent(stage, context) and not (result.end or result.handoff):
        return position(agent, ways[0].id), "stage_max_messages"
    return agent.stages.index(stage), None


def _is_spent(stage: Stage, context: TurnContext) -> bool:
    return 0 < stage.max_messages <= context.messages_in_stage


def _position(context: TurnContext, index: int) -> StagePosition | None:
    stages = context.agent.stages
    if not stages:
        return None
    index = max(0, min(index, len(stages) - 1))
    return StagePosition(index, stages[index].id, stages[index].name)


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("A turn blocks: it cannot be taken inside a running event loop.")


async def _run(context: TurnContext, config: ModelConfig, meter: pricing.Meter) -> TurnResult:
    if config.provider == models.SCRIPTED:
        from engine.agents.scripted import scripted_model

        return await _answer(context, config, scripted_model(context), meter)
    async with models.http_client(config) as client:
        return await _answer(context, config, models.provider_model(config, client), meter)


async def _answer(context: TurnContext, config: ModelConfig, model: "Model", meter: pricing.Meter) -> TurnResult:
    run = await _turn_agent().run(
        prompt.data(context),
        model=model,
        deps=context,
        instructions=prompt.instructions(context),
        model_settings=models.request_settings(config, context.agent.model),
        retries=config.retries,
        usage=meter.run,
    )
    return run.output


@cache
def _turn_agent() -> "Agent[TurnContext, TurnResult]":
    """Built on first use: the library takes most of a second to import."""
    from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput

    agent = Agent(
        deps_type=TurnContext,
        output_type=ToolOutput(TurnResult, name="take_turn", description="Give the agent's next turn."),
        name="newleaf",
    )

    @agent.output_validator
    def checked(run: RunContext[TurnContext], result: TurnResult) -> TurnResult:
        if wrong := problem(run.deps, result):
            raise ModelRetry(wrong)
        if result.handoff or run.last_attempt:  # not said, or mended by `decide`
            return result
        if topic := guardrails.forbidden_topic(result.reply, run.deps.agent.guardrails):
            raise ModelRetry(f"The reply mentions {topic!r}, which is forbidden. Rewrite it without that topic.")
        if foreign := links.foreign(run.deps, result.reply, _cited(result)):
            raise ModelRetry(
                f"The reply holds {', '.join(foreign[:5])}, which stands neither in the instructions nor in a passage "
                "named in used_passages. Rewrite it without that."
            )
        return result

    return agent
