"""One call of Resend's API, and what each of its refusals means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.channels import Credentials, Deferred, Endpoints, Misconfigured, OutcomeUnknown, SendError
from engine.channels.meanings import Meaning, account, by_status, later, never
from engine.channels.payloads import line
from engine.channels.wire import Answer, AnswerLost, Unreached, exchange

_USER_AGENT = "newleaf"  # Resend refuses calls without one
_QUARTER_DAY_S = 6 * 3600.0

_MEANINGS: dict[str, Meaning] = {
    "missing_api_key": account("There is no API key."),
    "invalid_api_key": account("Resend does not know the API key."),
    "restricted_api_key": account("The API key may only send. Reading emails takes one with full access."),
    "suspended_api_key": account("The API key is suspended."),
    "invalid_from_address": account("Resend does not accept the from address."),
    "missing_required_field": never("Resend misses something in the email."),
    "invalid_idempotency_key": never("Resend does not accept the message's id."),
    "concurrent_idempotent_requests": later("The same email is being handed over at this moment.", 5.0),
    "daily_quota_exceeded": later("The account's daily quota is used up.", _QUARTER_DAY_S, "integration"),
    "monthly_quota_exceeded": account("The account's monthly quota is used up."),
    "not_found": never("Resend does not know this email."),
}
_NOT_VERIFIED = account("Resend does not let this account send so. Is the domain of the from address verified?")


def call(
    credentials: Credentials,
    endpoints: Endpoints,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    max_bytes: int = 1_000_000,
) -> Mapping[str, Any]:
    """What Resend answers. Raises SendError."""
    key = credentials.secrets.get("apiKey", "")
    if not key or not key.isascii() or not key.isprintable():
        raise Misconfigured("email_key_malformed", "The API key does not look like one of Resend's.")
    headers = {"Authorization": f"Bearer {key}", "User-Agent": _USER_AGENT}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    url = f"{endpoints.email.rstrip('/')}{path}"
    try:
        answer = exchange(method, url, timeout_s=endpoints.timeout_s, headers=headers, body=body, max_bytes=max_bytes)
    except Unreached:
        raise Deferred("email_unreachable", "Resend cannot be reached.") from None
    except AnswerLost:
        raise OutcomeUnknown("email_no_answer", "Resend took the request but did not answer in time.") from None
    if answer.status in (200, 201) and answer.body:
        return answer.body
    raise refusal(answer)


def refusal(answer: Answer) -> SendError:
    """What an answer other than success means."""
    name = line(answer.body.get("name"), 64)
    code = f"email_{name or answer.status}"
    if name == "invalid_idempotent_request":  # an email of this id was taken before, with other words
        return OutcomeUnknown(code, "Resend has taken an email of this id before, with other content.")
    if name == "validation_error" and answer.status == 403:
        return _NOT_VERIFIED.error(code)
    if known := _MEANINGS.get(name):
        return known.error(code)
    if answer.status < 300:
        return OutcomeUnknown(code, "Resend's answer could not be understood.")
    wait = answer.headers.get("retry-after") or answer.headers.get("ratelimit-reset") or ""
    return by_status(code, answer.status, says_error=bool(name), retry_after=wait)
