"""An agent's turn: facts in, what to say and store out. No storage and no HTTP framework in here.

spec = AgentSpec.from_config(config)
turn = take_turn(TurnContext(agent=spec, lead=LeadFacts(name="Ada"), now=now, opening=True), ModelConfig())
"""

from engine.agents.models import (
    ModelConfig,
    ModelError,
    ModelMalformed,
    ModelMisconfigured,
    ModelRefused,
    ModelUnavailable,
)
from engine.agents.result import Qualification, StagePosition, Turn, TurnResult, Usage
from engine.agents.templates import get_template, list_templates
from engine.agents.turn import take_turn
from engine.agents.types import (
    AgentSpec,
    Guardrails,
    HistoryMessage,
    LeadFacts,
    ModelChoice,
    NextStage,
    Passage,
    Stage,
    TurnContext,
)

__all__ = [
    "AgentSpec",
    "Guardrails",
    "HistoryMessage",
    "LeadFacts",
    "ModelChoice",
    "ModelConfig",
    "ModelError",
    "ModelMalformed",
    "ModelMisconfigured",
    "ModelRefused",
    "ModelUnavailable",
    "NextStage",
    "Passage",
    "Qualification",
    "Stage",
    "StagePosition",
    "Turn",
    "TurnContext",
    "TurnResult",
    "Usage",
    "get_template",
    "list_templates",
    "take_turn",
]
