"""What a provider's refusal means for a message: one table of codes per provider, one way from there to an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.channels import Deferred, Misconfigured, OutcomeUnknown, SendError, Undeliverable

Scope = Literal["message", "recipient", "integration"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """kind: what follows; detail: in our words, since providers' texts change and may name a person."""

    kind: Literal["never", "opt_out", "later", "account"]
    detail: str
    delay_s: float | None = None
    scope: Scope = "message"

    def error(self, code: str) -> SendError:
        """The error to raise."""
        if self.kind == "later":
            return Deferred(code, self.detail, self.delay_s, self.scope)
        if self.kind == "account":
            return Misconfigured(code, self.detail)
        return Undeliverable(code, self.detail, is_opt_out=self.kind == "opt_out")


def never(detail: str) -> Meaning:
    """This message will not be taken, however often it is tried."""
    return Meaning("never", detail)


def opt_out(detail: str) -> Meaning:
    """This person wants no messages."""
    return Meaning("opt_out", detail)


def later(detail: str, delay_s: float | None = None, scope: Scope = "message") -> Meaning:
    """It was not taken now."""
    return Meaning("later", detail, delay_s, scope)


def account(detail: str) -> Meaning:
    """A person must mend the account first."""
    return Meaning("account", detail)


def by_status(code: str, status: int, *, says_error: bool, retry_after: str = "") -> SendError:
    """The error where no code of the provider helps.

    says_error: whether the body is the provider's own error; without it a 5xx is a gateway that gave up waiting, and
    what stands behind it may have acted. retry_after: the header of that name, in seconds.
    """
    if status == 429:
        wait_s = min(float(retry_after), 3600.0) if retry_after.isascii() and retry_after.isdecimal() else 30.0
        return later("The provider wants fewer calls.", wait_s, "integration").error(code)
    if status == 503 or (status >= 500 and says_error):
        return later("A temporary failure at the provider.").error(code)
    if status >= 500:
        return OutcomeUnknown(code, "The provider failed without saying whether it took the message.")
    if status in (401, 403):
        return account("The provider does not accept these credentials.").error(code)
    if status < 400:
        return account("The provider's address answered with a redirection. Check the configured address.").error(code)
    return never("The provider refused this message.").error(code)
