"""Objects in the contract's JSON, for whoever shows them: operations, and events that go out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ab_tests import AbTest, AbVariant
    from .conversations import Conversation, Message
    from .event_subscriptions import EventSubscription
    from .knowledge import KnowledgeBase
    from .knowledge_documents import KnowledgeDocument
    from .tenancy import Tenant


def conversation(tenant: Tenant, row: Conversation, messages: Sequence[Message]) -> dict[str, Any]:
    """A Conversation of the contract; a member without a value is absent."""
    optional = {
        "leadEmail": row.lead_email,
        "currentStageName": row.stage_name,
        "campaignId": row.campaign_id,
        "summary": row.summary,
        "qualificationResult": row.qualification_result,
    }
    return {
        "_id": row.oid,
        "leadId": str(row.lead_number),
        "accountId": tenant.account_id,
        "agentConfigId": row.agent_config_id,
        "channel": row.channel,
        "leadPhone": row.lead_phone,
        "status": row.status,
        "currentStageIndex": row.stage_index,
        "messages": [message(each) for each in messages],
        "messageCount": row.message_count,
        **{name: value for name, value in optional.items() if value is not None},
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    }


def message(row: Message) -> dict[str, Any]:
    """A Message of the contract; a member without a value is absent."""
    optional = {
        "agentConfigId": row.agent_config_id,
        "deliveryStatus": row.delivery_status,
        "deliveryCode": row.delivery_code,
        "deliveryDetail": row.delivery_detail,
        "heldUntil": row.held_until,
        "subject": row.subject or None,
        "disclosesAi": row.discloses_ai or None,
        "agentVersion": row.agent_version,
        "model": row.model,
        "usage": _usage(row),
        "citations": row.citations or None,
        "stageId": row.stage_id,
    }
    return {
        "id": row.oid,
        "role": row.role,
        "content": row.content,
        "timestamp": row.created_at,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _usage(row: Message) -> dict[str, Any] | None:
    if row.input_tokens is None:
        return None
    tokens = {"inputTokens": row.input_tokens, "outputTokens": row.output_tokens or 0}
    return tokens if row.cost_micros is None else {**tokens, "costUsd": row.cost_micros / 1_000_000}


def ab_test(tenant: Tenant, row: AbTest, variants: Sequence[AbVariant]) -> dict[str, Any]:
    """An AbTest of the contract."""
    members = {
        "_id": row.oid,
        "accountId": tenant.account_id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "variants": [{"agentConfigId": each.agent_config_id, "weight": plain(each.weight)} for each in variants],
        "startedAt": row.started_at,
        "completedAt": row.completed_at,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    }
    return {name: value for name, value in members.items() if value is not None}


def event_subscription(tenant: Tenant, row: EventSubscription) -> dict[str, Any]:
    """An EventSubscription of the contract."""
    body = {
        "_id": row.oid,
        "accountId": tenant.account_id,
        "url": row.url,
        "description": row.description,
        "events": row.events.split(),
        "isActive": row.state == "active",
        "disabledReason": row.disabled_reason,
        "failingSince": row.failing_since,
        "previousSecretUntil": row.previous_until,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    }
    return {name: value for name, value in body.items() if value is not None}


def plain(number: float) -> float:
    """50 instead of 50.0, as it was sent."""
    return int(number) if number.is_integer() else number


def document(tenant: Tenant, base: KnowledgeBase, row: KnowledgeDocument) -> dict[str, Any]:
    """A DocumentSummary of the contract."""
    failure = None
    if row.failure_code is not None:
        failure = {"code": row.failure_code, "message": row.failure_message}
    body = {
        "_id": row.oid,
        "knowledgeBaseId": base.oid,
        "accountId": tenant.account_id,
        "title": row.title,
        "sourceType": row.source_type,
        "sourceUrl": row.source_url,
        "fileName": row.file_name,
        "mediaType": row.media_type,
        "metadata": row.metadata,
        "status": row.status,
        "failure": failure,
        "chunkCount": row.chunk_count,
        "sizeBytes": row.size_bytes,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    }
    return {name: value for name, value in body.items() if value is not None}
