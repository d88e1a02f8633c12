"""The compiled graph: nodes, edges, routes.

Runs on any LangGraph checkpointer, without server and database.

    planner -> specialists of the wave, in parallel -> guard
    guard -> the same specialists again (to pause, or with a denial)
          -> the next wave, if there is nothing to think about
          -> planner -> END
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.domain.progress import asking, next_wave, ready_steps
from hitl_orchestrator.domain.state import Snapshot, State
from hitl_orchestrator.nodes.agents import Agent, build_catalogue, build_registry
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.embed import embed_agent
from hitl_orchestrator.nodes.guard import build_guard
from hitl_orchestrator.nodes.planner import Propose, build_planner
from hitl_orchestrator.nodes.specialist import Work, build_specialist, send_visit

Graph = CompiledStateGraph[Any, Any, Any, Any]


def build(
    agents: Sequence[Agent],
    saver: BaseCheckpointSaver[Any],
    propose: Propose | None = None,
    checks: Checks | None = None,
) -> Graph:
    """Compile the orchestrator over these agents.

    Plugged-in graphs keep their own threads in the same saver. `checks`: of the whole process;
    None: of these agents alone.
    """
    checks = checks or Checks()
    catalogue = build_catalogue(agents)
    works = {name: embed_agent(agent, saver, checks) for name, agent in catalogue.items()}
    return assemble(build_registry(agents), works, saver, propose)


def assemble(
    capabilities: Registry,
    works: Mapping[str, Work],
    saver: BaseCheckpointSaver[Any],
    propose: Propose | None = None,
) -> Graph:
    graph = StateGraph(State)
    graph.add_node("planner", build_planner(capabilities, propose))
    graph.add_node("guard", build_guard(capabilities))
    graph.add_edge(START, "planner")
    for name, capability in capabilities.items():
        # one node a capability: a picture shows the agents
        graph.add_node(name, build_specialist(capability, works[name]))
        graph.add_edge(name, "guard")
    # `async def`: LangGraph calls what is not in a thread
    graph.add_conditional_edges("planner", _after_planner, [*capabilities, END])
    graph.add_conditional_edges("guard", _after_guard, [*capabilities, "planner"])
    return graph.compile(checkpointer=saver, name="orchestrator")


async def _after_planner(state_json: State) -> list[Send] | str:
    state = Snapshot.of(state_json)
    return END if state.result else [send_visit(state, step) for step in ready_steps(state)]


async def _after_guard(state_json: State) -> list[Send] | str:
    state = Snapshot.of(state_json)
    wave = [step for step, _ in asking(state)] or next_wave(state)
    return [send_visit(state, step) for step in wave] or "planner"
