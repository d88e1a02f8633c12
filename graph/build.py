"""The compiled graph: nodes, edges, routes.

Runs on any LangGraph checkpointer, without server and database.

    planner -> specialists of the wave, in parallel -> guard
    guard -> the same specialists again (to pause, or with a denial)
          -> the next wave, or END, as the plan says now

A specialist that is alone in its wave needs no guard after it: it is judged, and the plan looked at
again, in its own superstep. A model that plans is asked in the planner's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from hitl_orchestrator.domain.assignments import Assignments
from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.graph.channel import State
from hitl_orchestrator.nodes.agents import Agent, build_catalogue, build_registry
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.elsewhere import embed_elsewhere
from hitl_orchestrator.nodes.embed import embed_agent
from hitl_orchestrator.nodes.planner import Planner, Propose
from hitl_orchestrator.nodes.remote import embed_remote
from hitl_orchestrator.nodes.routing import (
    GUARD,
    PLANNER,
    Node,
    build_guard,
    build_planner,
    build_specialist,
)
from hitl_orchestrator.nodes.run_kinds import ElsewhereRun, RemoteGraph
from hitl_orchestrator.nodes.specialist import Pause, Work, pause_for_rows
from hitl_orchestrator.nodes.unheard import spare_callbacks

Graph = CompiledStateGraph[Any, Any, Any, Any]


def build(
    agents: Sequence[Agent],
    saver: BaseCheckpointSaver[Any],
    propose: Propose | None = None,
    checks: Checks | None = None,
    store: BaseStore | None = None,
    assignments: Assignments | None = None,
) -> Graph:
    """Compile the orchestrator over these agents.

    Plugged-in graphs keep their own threads in the same saver. `checks`: of the whole process;
    None: of these agents alone. `store`: of those that have none. `assignments`: where agents in
    processes of their own take their steps; None: there are no such agents.
    """
    works = embed_all(agents, saver, checks or Checks(), store, assignments)
    return assemble(build_registry(agents), works, saver, propose)


def embed_all(
    agents: Sequence[Agent],
    saver: BaseCheckpointSaver[Any],
    checks: Checks,
    store: BaseStore | None = None,
    assignments: Assignments | None = None,
) -> Mapping[str, Work]:
    """Return what each of them does, by its capability. The arguments are those of `build`."""

    def embed(agent: Agent) -> Work:
        if isinstance(agent.run, RemoteGraph):
            return embed_remote(agent, agent.run, checks)
        if isinstance(agent.run, ElsewhereRun) and assignments is not None:
            return embed_elsewhere(agent, assignments, checks)
        return embed_agent(agent, saver, checks, store)

    return {name: embed(agent) for name, agent in build_catalogue(agents).items()}


def assemble(
    capabilities: Registry,
    works: Mapping[str, Work],
    saver: BaseCheckpointSaver[Any],
    propose: Propose | None = None,
) -> Graph:
    graph = StateGraph(State)
    add_nodes(graph, Planner(capabilities, propose), works)
    graph.add_edge(START, PLANNER)
    return spare_callbacks(graph.compile(checkpointer=saver, name="orchestrator"))


def add_nodes(
    graph: StateGraph[Any, Any, Any, Any],
    planner: Planner,
    works: Mapping[str, Work],
    pause: Pause = pause_for_rows,
    around: Callable[[Node], Node] = lambda node: node,
) -> None:
    """Add the nodes of the orchestrator. `around`: puts something around each of them."""
    capabilities = planner.registry
    # `destinations` are for a picture alone: each node says itself where a run goes
    graph.add_node(PLANNER, around(build_planner(planner)), destinations=(*capabilities, END))
    graph.add_node(GUARD, around(build_guard(planner)), destinations=(*capabilities, PLANNER))
    for name, capability in capabilities.items():
        # one node a capability: a picture shows the agents
        node = build_specialist(capability, works[name], planner, pause)
        graph.add_node(name, around(node), destinations=(GUARD,))
