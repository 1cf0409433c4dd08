"""What the names in the contract stand for: one table from a name to a kind of object, and a value of each kind.

Whoever adds an operation with an id under a new name must say here what it names; until then the matrix refuses to run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storage.lead_filters import _FIELDS as LEAD_FIELDS

# Names of parameters and of properties of bodies. A bare `id` of a body is written with the property it stands in.
KINDS: dict[str, str] = {
    "_id": "agent",
    "accountId": "account",
    "actorId": "api key",
    "agentConfigId": "agent",
    "assignedAgentId": "agent",
    "campaignId": "campaign",
    "content": "csv",
    "cursor": "cursor",
    "customFields": "custom fields",
    "defaultAgentId": "agent",
    "documentId": "document",
    "documentIds": "document",
    "email": "email",
    "externalId": "external id",
    "filters": "filter",
    "eventDeliveryId": "event delivery",
    "Idempotency-Key": "idempotency key",
    "importBatchId": "import batch",
    "jobId": "crawl job",
    "kbId": "knowledge base",
    "knowledgeBaseId": "knowledge base",
    "knowledgeBaseIds": "knowledge base",
    "leadId": "lead",
    "leadIds": "lead",
    "lead_id": "external id",
    "lead_ids": "external id",
    "phone": "phone",
    "q": "text",
    "search": "text",
    "tags": "tag",
    "uploadId": "upload",
    "userId": "member",
    "whId": "webhook source",
}

# Names of parameters in paths that name an object there and something else in bodies.
IN_PATHS: dict[str, str] = {"channel": "channel", "integration": "integration"}

# `id` in a path, by what stands before it; the longest that fits counts.
PATHS: dict[str, str] = {
    "/api/ab-tests/": "ab test",
    "/api/accounts/current/invitations/": "invitation",
    "/api/agent-config/": "agent",
    "/api/api-keys/": "api key",
    "/api/campaigns/": "campaign",
    "/api/conversations/": "conversation",
    "/api/event-subscriptions/": "event subscription",
    "/api/knowledge-bases/": "knowledge base",
    "/api/leads/": "lead",
}

# Names that look like ids of a tenant's objects and are none, each with what they are.
NO_IDS: dict[str, str] = {
    "accessToken": "a credential with a provider",
    "authToken": "a credential with a provider",
    "botToken": "a credential with a provider",
    "documents.id": "where an id stands in what somebody else's server answers",
    "hub.verify_token": "a credential with a provider",
    "If-Match": "a digest of the object that the path names",
    "invitationToken": "a credential: whoever has it is the member to be",
    "nextStageIds": "stages of the agent in the same body",
    "nextStages.id": "a stage of the agent in the same body",
    "phoneNumberId": "the provider's: whoever has its token may claim it",
    "stageId": "a stage of the agent that the path names",
    "stages.id": "a name within the agent in the same body",
    "templateId": "a template of newleaf's own, the same for every account",
    "token": "a credential: whoever has it is its tenant",
    "verifyToken": "a credential with a provider",
    "wabaId": "the provider's: whoever has its token may claim it",
}

# Fields of a lead filter that hold ids or texts which only one tenant has.
FILTER_KINDS: dict[str, str] = {
    "abTestId": "ab test",
    "assignedAgentId": "agent",
    "email": "email",
    "externalId": "external id",
    "id": "lead",
    "importBatchId": "import batch",
    "name": "text",
    "phone": "phone",
    "tags": "tag",
}

_LOOKS_LIKE_AN_ID = re.compile(r"(.*[._-])?(id|ids|key|token|cursor)|.*(Id|Ids|Token|Cursor|Reference)|.*[._-]Key")


class UnknownName(Exception):
    """The contract has an id-like name that `tests/security/kinds.py` does not know."""


def kind_of(name: str) -> str | None:
    """The kind that a name stands for, None for one that names nothing of a tenant's. Raises UnknownName."""
    if name in KINDS:
        return KINDS[name]
    if name not in NO_IDS and _LOOKS_LIKE_AN_ID.fullmatch(name):
        raise UnknownName(f"{name} looks like an id: add it to KINDS or NO_IDS in {__name__}")
    return None


def kind_of_path_id(path: str) -> str:
    """The kind that `id` in this path stands for. Raises UnknownName."""
    fitting = [prefix for prefix in PATHS if path.startswith(prefix)]
    if not fitting:
        raise UnknownName(f"{path} has an id of nothing known: add its prefix to PATHS in {__name__}")
    return PATHS[max(fitting, key=len)]


def filters(values: Mapping[str, Sequence[Any]], fields: Sequence[str] = tuple(LEAD_FIELDS)) -> list[dict[str, Any]]:
    """A filter for each of a lead's fields that can be asked for one of these values. Raises UnknownName."""
    conditions = []
    for field in fields:
        kind = FILTER_KINDS.get(field)
        if kind is None and kind_of(field) is not None:
            raise UnknownName(f"{field} can be filtered by: add it to FILTER_KINDS in {__name__}")
        if kind is not None:
            operator = "includes_any_of" if field == "tags" else "is"
            value = values[kind][0]
            conditions.append({"field": field, "operator": operator, "value": [value] if field == "tags" else value})
    [(name, value)] = values["custom fields"][0].items()
    conditions.append({"field": f"customFields.{name}", "operator": "is", "value": value})
    conditions.append({"field": "name", "operator": "contains", "value": values["text"][0]})
    return [{"conditions": [condition]} for condition in conditions]


def csv(phone: str) -> str:
    """A file with a lead that every attacker has, its first, and one of this phone."""
    return f"Name,Mobile,Company\nown lead,+12025550101,Example GmbH\nAda Example,{phone},Example GmbH\n"


# Well-formed values that nobody has.
UNKNOWN: dict[str, list[Any]] = {
    "ab test": ["0e" * 12, "1e" * 12, "2e" * 12],
    "account": ["0f" * 12],
    "agent": ["1f" * 12, "2f" * 12],
    "api key": ["3f" * 12, "4f" * 12],
    "campaign": ["5f" * 12, "5e" * 12, "5d" * 12],
    "channel": ["telegram"],
    "conversation": ["6f" * 12, "7f" * 12],
    "csv": [csv("+12025550199")],
    "custom fields": [{"nobodys": "nobodys value"}],
    "crawl job": ["cf" * 12],
    "document": ["df" * 12],
    "email": ["nobody@example.com"],
    "event delivery": ["fb" * 12, "fc" * 12],
    "event subscription": ["fa" * 12, "ea" * 12],
    "external id": ["nobodys-1", "nobodys-2"],
    "idempotency key": ["nobodys-request"],
    "integration": ["ed" * 12],
    "import batch": ["8f" * 12],
    "invitation": ["fe" * 12],
    "knowledge base": ["9f" * 12],
    "lead": [900004, 900005],
    "member": ["fd" * 12, "user_nobodys"],
    "phone": ["+12025550199", "+12025550198"],
    "tag": ["nobodys tag"],
    "text": ["nobodys name", "nobodys words", "5550199"],
    "upload": ["af" * 12],
    "webhook source": ["ef" * 12],
}
UNKNOWN["filter"] = filters(UNKNOWN)
