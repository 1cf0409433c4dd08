"""The stage graph: which moves are open, and what is wrong with a graph someone wants to save.

When no stage names a successor, stages follow each other in order. As soon as one does, the configuration is a graph,
and a stage without successors is an end. Loops are welcome as long as a way leads out of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.agents.types import AgentSpec, NextStage, Stage


def ways_out(agent: AgentSpec, stage: Stage) -> tuple[NextStage, ...]:
    """The stages a conversation may move to from this one, first choice first; empty at an end."""
    known = {other.id for other in agent.stages}
    if any(other.next_stages for other in agent.stages):
        return tuple(way for way in stage.next_stages if way.id in known and way.id != stage.id)
    following = agent.stages[agent.stages.index(stage) + 1 :]
    return (NextStage(following[0].id, stage.transition_criteria),) if following else ()


def position(agent: AgentSpec, stage_id: str) -> int:
    """The index of a stage by id. Raises KeyError."""
    for index, stage in enumerate(agent.stages):
        if stage.id == stage_id:
            return index
    raise KeyError(stage_id)


def problems(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What is wrong with the `stages` of an AgentConfig: (JSON pointer from the config's root, message), all of them.

    Expects each stage to have passed the schema (ids are strings); an empty list of stages is fine.
    """
    ids = [stage["id"] for stage in stages]
    found = [*_repeated(ids), *_dangling(stages, set(ids))]
    return found or [*_unreachable(stages), *_trapped(stages)]  # paths mean nothing while ids are wrong


def _repeated(ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, id_ in enumerate(ids):
        if id_ in ids[:index]:
            yield f"/stages/{index}/id", f"Another stage already has the id {id_!r}."


def _dangling(stages: Sequence[Mapping[str, Any]], known: set[str]) -> Iterator[tuple[str, str]]:
    for pointer, source, target in _edges(stages):
        if target not in known:
            yield pointer, f"No stage has the id {target!r}."
        elif target == source:
            yield pointer, "A stage cannot follow itself; leave the move out to stay."


def _unreachable(stages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    edges = [(source, target) for _, source, target in _edges(stages)]
    if not edges:
        return
    first = min(enumerate(stages), key=lambda item: _order(*item))[1]["id"]
    reached, waiting = {first}, [first]
    while waiting:
        here = waiting.pop()
        for target in (target for source, target in edges if source == here and target not in reached):
            reached.add(target)
            waiting.append(target)
    for index, stage in enumerate(stages):
        if stage["id"] not in reached:
            yield f"/stages/{index}", f"No path leads from the first stage ({first!r}) to {stage['id']!r}."


def _trapped(stages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Stages from which no end can be reached: a conversation would go round in them for ever."""
    edges = [(source, target) for _, source, target in _edges(stages)]
    if not edges:
        return
    going_on = {source for source, _ in edges}
    free = {stage["id"] for stage in stages} - going_on
    waiting = list(free)
    while waiting:
        here = waiting.pop()
        for source in (source for source, target in edges if target == here and source not in free):
            free.add(source)
            waiting.append(source)
    for index, stage in enumerate(stages):
        if stage["id"] not in free:
            message = f"No path leads from {stage['id']!r} to an end, which is a stage that nothing follows."
            yield f"/stages/{index}", message


def _order(index: int, stage: Mapping[str, Any]) -> tuple[float, int]:
    order = stage.get("order")
    return (index if order is None else order, index)


def _edges(stages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """(JSON pointer, source id, target id) of every move in both of the contract's spellings."""
    for index, stage in enumerate(stages):
        for place, way in enumerate(stage.get("nextStages") or ()):
            yield f"/stages/{index}/nextStages/{place}/id", stage["id"], way["id"]
        for place, target in enumerate(stage.get("nextStageIds") or ()):
            yield f"/stages/{index}/nextStageIds/{place}", stage["id"], target
