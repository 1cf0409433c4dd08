"""The migration that began to keep versions, over agents that were there before."""

from __future__ import annotations

import importlib.util

from storage import agent_versions, agents
from storage.agent_versions import AgentVersion
from storage.migrate import DIRECTORY


def test_agents_from_before_get_the_version_that_they_are_in(tenant, database):
    values = {"name": "Mia", "handoff_message": "Wait.", "stages": [{"id": "a", "name": "A"}]}
    agent = agents.add(tenant, values)
    agent.store(version=7, knowledge_base_ids=["0f" * 12])
    other = agents.add(tenant, {**values, "model": {"provider": "openai", "name": "x"}})
    database.execute_sql("DROP TABLE agent_version")

    _migration("0004_agent_versions").up(None, database.obj)

    assert AgentVersion.of(tenant).count() == 2
    assert agent_versions.get(tenant, agent.id, 7).config == agents.config_of(agents.get(tenant, agent.oid))
    assert agent_versions.get(tenant, other.id, 1).config["model"] == {"provider": "openai", "name": "x"}


def _migration(name):
    spec = importlib.util.spec_from_file_location(name, DIRECTORY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
