"""Scopes and the roles that bundle them, as the contract lists them."""

from __future__ import annotations

from collections.abc import Iterable

_OWNER, _INTEGRATOR, _ARCHITECT, _OPERATOR, _ANALYST = (
    "owner",
    "integrator",
    "ai_architect",
    "operator",
    "analyst",
)

SCOPES: dict[str, tuple[str, ...]] = {
    "dashboard:view": (_OWNER, _INTEGRATOR, _ARCHITECT, _OPERATOR, _ANALYST),
    "leads:view": (_OWNER, _OPERATOR, _ANALYST),
    "leads:import": (_OWNER, _OPERATOR),
    "leads:start_conversation": (_OWNER, _OPERATOR),
    "leads:sync_create": (_OWNER, _INTEGRATOR),
    "leads:sync_delete": (_OWNER,),
    "conversations:view": (_OWNER, _ARCHITECT, _OPERATOR, _ANALYST),
    "conversations:edit": (_OWNER, _OPERATOR),
    "conversations:send_message": (_OWNER, _OPERATOR),
    "conversations:change_status": (_OWNER, _OPERATOR),
    "agent_config:view": (_OWNER, _ARCHITECT, _ANALYST),
    "agent_config:edit": (_OWNER, _INTEGRATOR, _ARCHITECT),
    "knowledge:view": (_OWNER, _INTEGRATOR, _ARCHITECT, _ANALYST),
    "knowledge:upload": (_OWNER, _INTEGRATOR, _ARCHITECT),
    "knowledge:delete": (_OWNER, _ARCHITECT),
    "campaigns:view": (_OWNER, _OPERATOR, _ANALYST),
    "campaigns:create": (_OWNER, _OPERATOR),
    "campaigns:edit": (_OWNER, _OPERATOR),
    "campaigns:launch": (_OWNER, _OPERATOR),
    "ab_testing:view": (_OWNER, _ARCHITECT, _ANALYST),
    "ab_testing:manage": (_OWNER, _ARCHITECT),
    "analytics:view": (_OWNER, _OPERATOR, _ANALYST),
    "team:view": (_OWNER,),
    "team:invite": (_OWNER,),
    "team:remove": (_OWNER,),
    "team:change_role": (_OWNER,),
    "integrations:view": (_OWNER, _INTEGRATOR),
    "integrations:manage": (_OWNER, _INTEGRATOR),
    "api_keys:view": (_OWNER, _INTEGRATOR),
    "api_keys:manage": (_OWNER, _INTEGRATOR),
    "audit:view": (_OWNER, _INTEGRATOR),
    "audit:export": (_OWNER, _INTEGRATOR),
    "account:edit": (_OWNER,),
    "webhooks:manage": (_OWNER, _INTEGRATOR),
    "privacy:manage": (_OWNER,),
}

ROLES: dict[str, str] = {
    _OWNER: "Everything, the team and the keys included.",
    _INTEGRATOR: "Connects other systems: lead sync, keys, integrations, agents and knowledge.",
    _ARCHITECT: "Designs agents, their knowledge and A/B tests.",
    _OPERATOR: "Works with leads, conversations and campaigns day by day.",
    _ANALYST: "Reads everything that tells how well it goes.",
}


def scopes_of(roles: Iterable[str]) -> list[str]:
    """The scopes that these roles hold together, in the contract's order. Raises KeyError for an unknown role."""
    held = set(roles)
    unknown = held - ROLES.keys()
    if unknown:
        raise KeyError(min(unknown))
    return [scope for scope, holders in SCOPES.items() if held & set(holders)]
