"""Which language model answers, and how its failures are told apart.

ModelError ─ ModelUnavailable    try again later: overload, 5xx, rate limit, timeout, no connection
           ├ ModelRefused        the provider's safety system declined this conversation
           ├ ModelMalformed      no usable answer, even after the retries
           └ ModelMisconfigured  a person must act: key, model name, quota, setting

No error carries the provider's own text, nor is chained to one: some providers quote the key in it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.agents.result import Usage
from engine.agents.types import ModelChoice

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

SCRIPTED = "scripted"
OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 5.0
MAX_RETRY_AFTER_S = 3600.0


class ModelError(Exception):
    """The model gave no turn."""

    code = "model_error"
    usage: Usage | None = None  # what was spent all the same

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ModelUnavailable(ModelError):
    """Try again later. retry_after_s: what the provider asked for, at most an hour; None if it said nothing."""

    code = "model_unavailable"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = None if retry_after_s is None else min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S)


class ModelRefused(ModelError):
    """The provider declined to answer; the same conversation will be declined again."""

    code = "model_refused"


class ModelMalformed(ModelError):
    """The model answered, but never in the shape asked for."""

    code = "model_malformed"


class ModelMisconfigured(ModelError):
    """Retrying is useless until somebody changes a setting, a key or a plan."""

    code = "model_misconfigured"


@dataclass(frozen=True)
class ModelConfig:
    """The deployment's model.

    provider: scripted, openai, or openai-compatible (any server that speaks OpenAI chat completions at base_url).
    timeout_s: of one request, all in. retries: how often a malformed answer may be corrected within a turn.
    is_fixed: agents cannot choose another model; for tenants whose conversations must not leave the machine.
    """

    provider: str = SCRIPTED
    name: str = SCRIPTED
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    retries: int = 2
    is_fixed: bool = False

    @classmethod
    def parse(cls, model: str, **settings: Any) -> ModelConfig:
        """From a setting such as `scripted` or `openai:gpt-4o-mini`. Raises ValueError."""
        provider, _, name = model.strip().partition(":")
        if provider == SCRIPTED and not name:
            return cls(**settings)
        if provider not in _PROVIDERS or not name:
            raise ValueError(f"Model must be 'scripted' or one of {', '.join(_PROVIDERS)} followed by ':<model name>'.")
        return cls(provider=provider, name=name, **settings)

    @property
    def label(self) -> str:
        """As `parse` reads it."""
        return SCRIPTED if self.provider == SCRIPTED else f"{self.provider}:{self.name}"

    def for_agent(self, choice: ModelChoice) -> ModelConfig:
        """The model an agent gets: its own choice, unless it made none or may not. Raises ModelMisconfigured."""
        if self.is_fixed or choice.provider is None:
            return self
        if choice.provider == SCRIPTED:
            return replace(self, provider=SCRIPTED, name=SCRIPTED)
        if choice.provider not in _PROVIDERS:
            raise ModelMisconfigured(f"Unknown model provider: {choice.provider[:64]}.")
        if not choice.name:
            raise ModelMisconfigured(f"The agent names the provider {choice.provider} but no model.")
        return replace(self, provider=choice.provider, name=choice.name)


def http_client(config: ModelConfig) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    """A client with strict timeouts and no redirects, so that the key only ever reaches base_url; to be closed."""
    import httpx2

    from engine import authorities

    timeout = httpx2.Timeout(config.timeout_s, connect=min(CONNECT_TIMEOUT_S, config.timeout_s))
    return httpx2.AsyncClient(verify=authorities.usual(), timeout=timeout, follow_redirects=False)


def provider_model(config: ModelConfig, client: Any) -> Model:
    """The model behind an HTTP provider, using this client. Raises ModelMisconfigured."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    if config.provider == "openai-compatible":
        if not config.base_url:
            raise ModelMisconfigured("An openai-compatible model needs a base URL.")
        compatible = OpenAICompatibleProvider(
            config.provider, base_url=config.base_url, api_key=config.api_key or "none", http_client=client
        )
        return OpenAIChatModel(config.name, provider=compatible)
    if not config.api_key and not config.base_url:
        raise ModelMisconfigured("The model provider openai needs an API key.")
    # Both arguments are always given: left out, the library would read OPENAI_* from the environment.
    openai = OpenAIProvider(
        base_url=config.base_url or OPENAI_URL, api_key=config.api_key or "none", http_client=client
    )
    return OpenAIChatModel(config.name, provider=openai)


def request_settings(config: ModelConfig, choice: ModelChoice) -> ModelSettings:
    """Per-request settings. The provider's SDK never retries: waiting is for the queue, not for a worker thread."""
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings(request_timeout=config.timeout_s)
    if config.provider == SCRIPTED:
        return settings
    settings["timeout"] = config.timeout_s
    settings["max_retries"] = 0
    if choice.temperature is not None:
        settings["temperature"] = choice.temperature
    if choice.max_tokens is not None:
        settings["max_tokens"] = choice.max_tokens
    return settings


def typed_error(error: Exception, config: ModelConfig) -> ModelError | None:
    """Our error for one of the library's; None for what is not a model's failure and must be raised as it is."""
    from pydantic_ai import exceptions as ai

    label = config.label
    match error:
        case ModelError():
            return error
        case ai.ContentFilterError():
            return ModelRefused(f"{label} declined to answer.")
        case ai.OutputTokenLimitExceeded():
            return ModelMalformed(f"{label} ran out of output tokens before its answer was complete.")
        case ai.UnexpectedModelBehavior():
            return ModelMalformed(f"{label} gave no answer of the expected shape.")
        case ai.ModelAPIError():
            return _api_error(error, label)
    return None


def _api_error(error: Any, label: str) -> ModelError:
    from pydantic_ai import exceptions as ai

    # The library types a redirect as an error without a status; the SDK's own error beneath has it.
    status = getattr(error, "status_code", None) or getattr(error.__cause__, "status_code", None)
    cause = f"HTTP {status}" if status else type(error).__name__
    if error.provider_error_code in ("content_filter", "content_policy_violation"):
        return ModelRefused(f"{label} declined to answer.")
    match error:
        case ai.ModelAuthenticationError():
            return ModelMisconfigured(f"{label} did not accept the API key ({cause}).")
        case ai.ModelNotFoundError():
            return ModelMisconfigured(f"{label} is unknown at this address: check model name and base URL ({cause}).")
        case ai.ModelQuotaExceededError():
            return ModelMisconfigured(f"{label}: the provider's quota or credit is used up ({cause}).")
        case ai.ModelRequestRejectedError():
            return ModelMisconfigured(f"{label} rejected the request ({cause}).")
    if status and status < 500 and status not in _WORTH_RETRYING:
        return ModelMisconfigured(f"{label} did not answer as a model: check the base URL ({cause}).")
    return ModelUnavailable(f"{label} is not available right now ({cause}).", error.retry_after)


_PROVIDERS = ("openai", "openai-compatible")
_WORTH_RETRYING = frozenset({408, 409, 425, 429})
