"""What a turn's tokens cost: the deployment's own prices, else the public ones that ship with the model library.

Nothing is fetched: a model that is younger than the installed list has no known price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from engine.agents.models import SCRIPTED, ModelConfig
from engine.agents.result import Usage

if TYPE_CHECKING:
    from pydantic_ai.usage import RunUsage

_MICROS = Decimal(1_000_000)
_own: dict[str, Price] = {}


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    input_usd: Decimal
    output_usd: Decimal


def configure(prices: Mapping[str, Mapping[str, Any]]) -> None:
    """Choose prices by model label: `{"openai-compatible:llama3": {"input": 0.1, "output": 0.4}}`, in USD a million.

    Raises ValueError where a price is missing or is no amount.
    """
    read = {
        label: Price(_amount(label, price, "input"), _amount(label, price, "output")) for label, price in prices.items()
    }
    _own.clear()
    _own.update(read)


def _amount(label: str, price: Mapping[str, Any], name: str) -> Decimal:
    try:
        amount = Decimal(str(price[name]))
    except (KeyError, TypeError, ArithmeticError):
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"The price of {label} needs `input` and `output`, in US dollars for a million tokens.")
    return amount


def _new_run() -> RunUsage:
    from pydantic_ai.usage import RunUsage

    return RunUsage()


@dataclass
class Meter:
    """Counts what one turn takes, also when it fails in the end."""

    config: ModelConfig
    run: RunUsage = field(default_factory=_new_run)

    @property
    def usage(self) -> Usage:
        """Tokens and cost so far."""
        if self.config.provider == SCRIPTED:  # the library estimates tokens for local functions; none were bought
            return Usage(model=SCRIPTED, cost_micros=0)
        tokens_in, tokens_out = self.run.input_tokens, self.run.output_tokens
        own = _own.get(self.config.label)
        cost = self.run.cost if own is None else (own.input_usd * tokens_in + own.output_usd * tokens_out) / _MICROS
        micros = None if cost is None else int((cost * _MICROS).to_integral_value(ROUND_CEILING))
        return Usage(tokens_in, tokens_out, self.config.label, micros)
