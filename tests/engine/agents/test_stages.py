import pytest

from engine.agents import AgentSpec
from engine.agents.stages import position, problems, ways_out


def stage(id_, *following, **more):
    return {"id": id_, "name": id_.upper(), "nextStages": [{"id": f, "condition": ""} for f in following], **more}


@pytest.mark.parametrize(
    ("stages", "pointers"),
    [
        ([], []),
        ([stage("a"), stage("b")], []),
        ([stage("a", "b"), stage("b")], []),
        ([stage("a", "b"), stage("b", "a", "c"), stage("c")], []),
        ([stage("a", "b"), stage("b", "a")], ["/stages/0", "/stages/1"]),
        ([stage("a", "b", "d"), stage("b", "c"), stage("c", "b"), stage("d")], ["/stages/1", "/stages/2"]),
        ([stage("a", "b"), stage("b", "a"), stage("c", "d"), stage("d")], [f"/stages/{n}" for n in (2, 3, 0, 1)]),
        ([stage("a"), stage("a")], ["/stages/1/id"]),
        ([stage("a", "x"), stage("b", "y")], ["/stages/0/nextStages/0/id", "/stages/1/nextStages/0/id"]),
        ([stage("a", "a")], ["/stages/0/nextStages/0/id"]),
        ([stage("a", nextStageIds=["b", "x"]), stage("b")], ["/stages/0/nextStageIds/1"]),
        ([stage("a", "b"), stage("b"), stage("c", "b")], ["/stages/2"]),
        ([stage("b", "c", order=2), stage("a", "b", order=1), stage("c", order=3)], []),
    ],
    ids=[
        "none", "plain order", "chain", "loop with an exit", "loop without an exit", "trap behind a fork",
        "unreachable and trapped, all told", "same id twice", "unknown targets, all told", "itself",
        "other spelling", "unreachable", "first by order, not place",
    ],
)  # fmt: skip
def test_problems_of_a_stage_graph(stages, pointers):
    assert [pointer for pointer, _ in problems(stages)] == pointers


@pytest.mark.parametrize(
    ("stages", "present", "expected"),
    [
        ([stage("a"), stage("b"), stage("c")], "a", ["b"]),
        ([stage("a"), stage("b")], "b", []),
        ([stage("a", "c", "b"), stage("b"), stage("c")], "a", ["c", "b"]),
        ([stage("a", "c"), stage("b"), stage("c")], "b", []),
        ([stage("a", "gone"), stage("b")], "a", []),
        ([stage("b", order=2), stage("a", order=1)], "a", ["b"]),
    ],
    ids=["in order", "end of order", "graph", "end of graph", "stale target", "by order"],
)
def test_ways_out_of_a_stage(stages, present, expected):
    agent = AgentSpec.from_config({"stages": stages})

    assert [way.id for way in ways_out(agent, agent.stages[position(agent, present)])] == expected
