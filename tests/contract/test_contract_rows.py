"""The contract row by row: every promised operation, its scope and its success are in the document.

The table is written by hand, apart from the document, so that neither can lose an operation without the other noticing.
`public` is an operation without a key, `any key` one that every key may call. A name in braces is a parameter, whatever
the document calls it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from server.contract import Operation, document, operations


class Row(NamedTuple):
    """One promise."""

    method: str
    path: str
    scope: str
    status: str


TABLE = """
GET    /healthz                                             public                      200
GET    /readyz                                              public                      200
GET    /metrics                                             public                      200
GET    /openapi.json                                        public                      200
GET    /openapi.yaml                                        public                      200
GET    /openapi-3.1.json                                    public                      200
GET    /api/leads                                           leads:view                  200
POST   /api/leads                                           leads:import                201
GET    /api/leads/search                                    leads:view                  200
POST   /api/leads/preview                                   leads:view                  200
POST   /api/leads/merge                                     leads:import                200
GET    /api/leads/{}                                        leads:view                  200
PATCH  /api/leads/{}                                        leads:import                200
DELETE /api/leads/{}                                        leads:import                200
PATCH  /api/leads/{}/agent                                  leads:import                200
POST   /api/leads/{}/restore                                leads:import                200
POST   /api/leads/{}/erase                                  privacy:manage              200
GET    /api/leads/{}/export                                 privacy:manage              200
POST   /api/leads/upload/preview                            leads:import                200
POST   /api/leads/upload/confirm                            leads:import                200
POST   /api/leads/upload/confirm                            leads:import                202
GET    /api/leads/imports/{}                                leads:import                200
DELETE /api/leads/imports/{}                                leads:import                200
POST   /api/leads/sync                                      leads:sync_create           200
DELETE /api/leads/sync                                      leads:sync_delete           200
GET    /api/conversations                                   conversations:view          200
POST   /api/conversations/start                             leads:start_conversation    201
GET    /api/conversations/{}                                conversations:view          200
PATCH  /api/conversations/{}                                conversations:edit          200
POST   /api/conversations/{}/send                           conversations:send_message  200
PATCH  /api/conversations/{}/status                         conversations:change_status 200
GET    /api/conversations/{}/events                         conversations:view          200
GET    /api/conversations/{}/messages                       conversations:view          200
POST   /api/conversations/{}/simulate-reply                 conversations:send_message  200
POST   /api/conversations/{}/preflight                      conversations:view          200
GET    /api/campaigns                                       campaigns:view              200
POST   /api/campaigns                                       campaigns:create            201
GET    /api/campaigns/{}                                    campaigns:view              200
PATCH  /api/campaigns/{}                                    campaigns:edit              200
PUT    /api/campaigns/{}                                    campaigns:edit              200
DELETE /api/campaigns/{}                                    campaigns:edit              200
POST   /api/campaigns/{}/preview                            campaigns:view              200
POST   /api/campaigns/{}/start                              campaigns:launch            200
POST   /api/campaigns/{}/pause                              campaigns:launch            200
POST   /api/campaigns/{}/resume                             campaigns:launch            200
POST   /api/campaigns/{}/cancel                             campaigns:launch            200
GET    /api/campaigns/{}/leads                              campaigns:view              200
POST   /api/campaigns/{}/duplicate                          campaigns:create            201
GET    /api/agent-config                                    agent_config:view           200
POST   /api/agent-config                                    agent_config:edit           201
GET    /api/agent-config/templates                          agent_config:view           200
POST   /api/agent-config/apply-template                     agent_config:edit           200
GET    /api/agent-config/{}                                 agent_config:view           200
PATCH  /api/agent-config/{}                                 agent_config:edit           200
PUT    /api/agent-config/{}                                 agent_config:edit           200
DELETE /api/agent-config/{}                                 agent_config:edit           200
POST   /api/agent-config/{}/knowledge-bases/{}              agent_config:edit           200
DELETE /api/agent-config/{}/knowledge-bases/{}              agent_config:edit           200
POST   /api/agent-config/{}/duplicate                       agent_config:edit           201
GET    /api/agent-config/{}/versions                        agent_config:view           200
GET    /api/agent-config/{}/versions/{}                     agent_config:view           200
POST   /api/agent-config/{}/versions/{}/restore             agent_config:edit           200
POST   /api/agent-config/{}/test                            agent_config:edit           200
POST   /api/agent-config/{}/simulate                        agent_config:edit           200
GET    /api/knowledge-bases                                 knowledge:view              200
POST   /api/knowledge-bases                                 knowledge:upload            201
GET    /api/knowledge-bases/{}                              knowledge:view              200
PATCH  /api/knowledge-bases/{}                              knowledge:upload            200
DELETE /api/knowledge-bases/{}                              knowledge:delete            200
POST   /api/knowledge-bases/{}/search                       knowledge:view              200
GET    /api/knowledge-bases/{}/documents                    knowledge:view              200
POST   /api/knowledge-bases/{}/documents                    knowledge:upload            201
GET    /api/knowledge-bases/{}/documents/{}                 knowledge:view              200
PATCH  /api/knowledge-bases/{}/documents/{}                 knowledge:upload            200
DELETE /api/knowledge-bases/{}/documents/{}                 knowledge:delete            200
POST   /api/knowledge-bases/{}/documents/{}/retry           knowledge:upload            200
POST   /api/knowledge-bases/{}/crawl-sitemap                knowledge:upload            202
GET    /api/knowledge-bases/{}/crawl-jobs                   knowledge:view              200
GET    /api/knowledge-bases/{}/crawl-jobs/{}                knowledge:view              200
GET    /api/knowledge-bases/{}/crawl-jobs/{}/pages          knowledge:view              200
POST   /api/knowledge-bases/{}/crawl-jobs/{}/cancel         knowledge:upload            200
GET    /api/knowledge-bases/{}/webhooks                     knowledge:view              200
POST   /api/knowledge-bases/{}/webhooks                     knowledge:upload            201
GET    /api/knowledge-bases/{}/webhooks/{}                  knowledge:view              200
PUT    /api/knowledge-bases/{}/webhooks/{}                  knowledge:upload            200
PATCH  /api/knowledge-bases/{}/webhooks/{}                  knowledge:upload            200
DELETE /api/knowledge-bases/{}/webhooks/{}                  knowledge:delete            200
POST   /api/knowledge-bases/{}/webhooks/{}/trigger          knowledge:upload            202
GET    /api/analytics/overview                              analytics:view              200
GET    /api/analytics/timeseries                            analytics:view              200
GET    /api/analytics/funnel                                analytics:view              200
GET    /api/analytics/agents                                analytics:view              200
GET    /api/analytics/campaigns                             analytics:view              200
GET    /api/analytics/response-times                        analytics:view              200
GET    /api/ab-tests                                        ab_testing:view             200
POST   /api/ab-tests                                        ab_testing:manage           201
GET    /api/ab-tests/{}                                     ab_testing:view             200
PATCH  /api/ab-tests/{}                                     ab_testing:manage           200
PUT    /api/ab-tests/{}                                     ab_testing:manage           200
DELETE /api/ab-tests/{}                                     ab_testing:manage           200
PATCH  /api/ab-tests/{}/status                              ab_testing:manage           200
GET    /api/ab-tests/{}/results                             ab_testing:view             200
POST   /api/ab-tests/{}/promote                             ab_testing:manage           200
GET    /api/audit-logs                                      audit:view                  200
GET    /api/audit-logs/export                               audit:export                200
GET    /api/audit-logs/verify                               audit:view                  200
GET    /api/integrations                                    integrations:view           200
GET    /api/integrations/{}                                 integrations:view           200
PUT    /api/integrations/{}                                 integrations:manage         200
PUT    /api/integrations/{}                                 integrations:manage         201
PATCH  /api/integrations/{}                                 integrations:manage         200
DELETE /api/integrations/{}                                 integrations:manage         200
POST   /api/integrations/{}/test                            integrations:manage         200
GET    /api/integrations/{}/health                          integrations:view           200
GET    /api/integrations/whatsapp/templates                 integrations:view           200
POST   /api/integrations/whatsapp/templates/sync            integrations:manage         200
GET    /api/api-keys                                        api_keys:view               200
POST   /api/api-keys                                        api_keys:manage             201
GET    /api/api-keys/current                                any key                     200
GET    /api/api-keys/{}                                     api_keys:view               200
PATCH  /api/api-keys/{}/revoke                              api_keys:manage             200
POST   /api/api-keys/{}/rotate                              api_keys:manage             200
DELETE /api/api-keys/{}                                     api_keys:manage             200
GET    /api/accounts/current                                any key                     200
PATCH  /api/accounts/current                                account:edit                200
GET    /api/accounts/current/usage                          dashboard:view              200
GET    /api/accounts/current/roles                          any key                     200
GET    /api/accounts/available-roles                        any key                     200
POST   /api/accounts/current/webhook-token/rotate           account:edit                200
GET    /api/accounts/current/members                        team:view                   200
GET    /api/accounts/current/members/{}                     team:view                   200
DELETE /api/accounts/current/members/{}                     team:remove                 200
PATCH  /api/accounts/current/members/{}/roles               team:change_role            200
GET    /api/accounts/current/invitations                    team:view                   200
POST   /api/accounts/current/invitations                    team:invite                 201
GET    /api/accounts/current/invitations/{}                 team:view                   200
DELETE /api/accounts/current/invitations/{}                 team:invite                 200
POST   /api/accounts/invitations/{}/accept                  public                      201
POST   /api/webhooks/leads/{}                               public                      201
GET    /api/webhooks/whatsapp                               public                      200
POST   /api/webhooks/whatsapp                               public                      200
POST   /api/webhooks/telegram/{}                            public                      200
POST   /api/webhooks/email                                  public                      200
POST   /api/webhooks/twilio/{}                              public                      200
GET    /api/event-subscriptions                             webhooks:manage             200
POST   /api/event-subscriptions                             webhooks:manage             201
GET    /api/event-subscriptions/{}                          webhooks:manage             200
PATCH  /api/event-subscriptions/{}                          webhooks:manage             200
DELETE /api/event-subscriptions/{}                          webhooks:manage             200
POST   /api/event-subscriptions/{}/rotate-secret           webhooks:manage             200
POST   /api/event-subscriptions/{}/test                    webhooks:manage             202
GET    /api/event-subscriptions/{}/deliveries              webhooks:manage             200
GET    /api/event-subscriptions/{}/deliveries/{}           webhooks:manage             200
POST   /api/event-subscriptions/{}/deliveries/{}/replay    webhooks:manage             202
POST   /api/event-subscriptions/{}/replay                  webhooks:manage             202
"""
ROWS = [
    Row(*re.split(r"\s{2,}|(?<=[A-Z])\s+(?=/)|(?<=[a-z])\s+(?=\d{3}$)", line)) for line in TABLE.split("\n") if line
]


def rows_of(operation: Operation) -> set[Row]:
    """What the document promises of an operation, as rows."""
    path = re.sub(r"\{\w+\}", "{}", operation.path)
    scope = "public" if operation.is_public else " ".join(operation.scopes) or "any key"
    successes = [status for status in operation.spec["responses"] if status.startswith("2")]
    return {Row(operation.method.upper(), path, scope, status) for status in successes}


OFFERED = {row for operation in operations(document()) for row in rows_of(operation)}


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_row_of_the_contract_is_in_the_document(row: Row) -> None:
    assert row in OFFERED


def test_document_offers_nothing_that_no_row_tells() -> None:
    assert OFFERED - set(ROWS) == set()


def test_no_row_stands_twice() -> None:
    assert len(set(ROWS)) == len(ROWS)
