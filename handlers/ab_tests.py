"""A/B tests over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.ab_tests import lifecycle
from storage import ab_tests, bodies
from storage.ab_tests import AbTest
from storage.tenancy import Caller, Tenant

from .answers import Answer, Page

if TYPE_CHECKING:
    from engine.ab_tests.results import Compared, Results

_DIGITS = 4  # after the point, of rates and averages


def list_ab_tests(
    user: Caller, status: str | None = None, skip: int = 0, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of tests, the newest first."""
    found, total, following = ab_tests.page(user.tenant, status=status, limit=limit, skip=skip, cursor=cursor)
    variants = ab_tests.variants(user.tenant, found)
    return Page([bodies.ab_test(user.tenant, test, variants[test.id]) for test in found], total, following)


def create_ab_test(user: Caller, body: dict[str, Any]) -> Answer:
    """A new draft. Raises NotFound (agent), Blocked."""
    test = lifecycle.create(user.tenant, body, actor=user.actor)
    return Answer(_whole(user.tenant, test), status=201, location=f"/api/ab-tests/{test.oid}")


def get_ab_test(id_: str, user: Caller) -> dict[str, Any]:
    """One test. Raises NotFound."""
    return _whole(user.tenant, ab_tests.get(user.tenant, id_))


def update_ab_test(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The test with what the body names changed. Raises NotFound, Conflict, Blocked."""
    return _whole(user.tenant, lifecycle.update(user.tenant, id_, body, actor=user.actor))


def replace_ab_test(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The same as `update_ab_test`: both methods are partial."""
    return update_ab_test(id_, user, body)


def delete_ab_test(id_: str, user: Caller) -> dict[str, bool]:
    """Remove a test. Raises NotFound, Conflict."""
    lifecycle.delete(user.tenant, id_, actor=user.actor)
    return {"success": True}


def change_ab_test_status(id_: str, user: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """The test in its new status. Raises NotFound, Conflict."""
    return _whole(user.tenant, lifecycle.change_status(user.tenant, id_, body["status"], actor=user.actor))


def get_ab_test_results(id_: str, user: Caller) -> dict[str, Any]:
    """What the test says now. Raises NotFound."""
    from engine.ab_tests.results import results  # here, for it takes a second

    return _results(results(user.tenant, id_))


def promote_ab_test_winner(id_: str, user: Caller) -> dict[str, Any]:
    """The completed test, whose winner is the default agent now. Raises NotFound, Conflict."""
    return _whole(user.tenant, lifecycle.promote(user.tenant, id_, actor=user.actor))


def _whole(tenant: Tenant, test: AbTest) -> dict[str, Any]:
    return bodies.ab_test(tenant, test, ab_tests.variants(tenant, [test])[test.id])


def _results(found: Results) -> dict[str, Any]:
    judged, p_value = found.judgement, found.srm_p_value
    body: dict[str, Any] = {
        "testId": found.test.oid,
        "status": found.test.status,
        "totalConversations": sum(each.tally.conversations for each in found.variants),
        "variants": [_compared(each) for each in found.variants],
        "winner": None if found.winner is None else found.winner.oid,
        "confidenceLevel": None if judged is None else judged.confidence,
        "totalLeads": sum(each.tally.leads for each in found.variants),
        "srm": {"mismatch": found.is_mismatched} | ({} if p_value is None else {"pValue": p_value}),
        "recommendation": found.recommendation,
    }
    if judged is not None:
        body["sequential"] = {
            "agentConfigId": found.variants[judged.leader].oid,
            "comparedWith": found.variants[judged.rival].oid,
            "difference": _percent(judged.difference),
            "low": _percent(judged.low),
            "high": _percent(judged.high),
        }
    return body


def _compared(variant: Compared) -> dict[str, Any]:
    tally = variant.tally
    low, high = variant.interval
    return {
        "agentConfigId": variant.oid,
        "agentConfigName": variant.name,
        "weight": bodies.plain(variant.weight),
        "totalConversations": tally.conversations,
        "qualified": tally.qualified,
        "disqualified": tally.disqualified,
        "qualificationRate": _percent(_ratio(tally.qualified, tally.conversations)),
        "avgMessagesPerConversation": round(_ratio(tally.messages, tally.conversations), _DIGITS),
        "avgConversationDuration": round(_ratio(max(0, tally.duration_ms) / 1000, tally.conversations), _DIGITS),
        "totalLeads": tally.leads,
        "qualifiedLeads": tally.qualified_leads,
        "leadQualificationRate": _percent(_ratio(tally.qualified_leads, tally.leads)),
        "interval": {"low": _percent(low), "high": _percent(high)},
    }


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _percent(fraction: float) -> float:
    return round(100 * fraction, _DIGITS)
