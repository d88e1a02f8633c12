"""How a run begins: with its first plan, at its first steps.

Who invokes the graph by hand (a test, Studio) gives it `first_state`; two supersteps, START's
and the planner's, come to the same. A driver spares them.
"""

from copy import copy
from typing import Any, NamedTuple

from langgraph.constants import TASKS
from langgraph.types import Command

from hitl_orchestrator.domain.state import RUN, Delta, Snapshot
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.nodes.routing import PLANNER


class Beginning(NamedTuple):
    """A graph to be invoked, and the input that it takes."""

    graph: Graph
    given: dict[str, Any]  # by channel


async def begin_with_plan(graph: Graph, state: Snapshot) -> Beginning:
    """Return the graph as if it had been with the planner, who is asked here."""
    said: Command[Any] = await graph.nodes[PLANNER].ainvoke({RUN: state})
    update: Any = said.update
    delta = Delta(first=state).join(Delta.of(update[RUN]))
    given = {RUN: delta, **_write_goto(graph, said.goto)}
    view = copy(graph)
    view.input_channels = [*given]
    return Beginning(view, given)


def _write_goto(graph: Graph, goto: Any) -> dict[str, Any]:
    """Return what LangGraph writes to have these nodes run next; of the END, nothing."""
    if not isinstance(goto, str):
        return {TASKS: [*goto]}
    return dict.fromkeys(graph.nodes[goto].triggers) if goto in graph.nodes else {}
