"""A look at what a step's agent was at: does the agent that is plugged in here fit it?"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver

from hitl_orchestrator.domain.errors import Unfit
from hitl_orchestrator.domain.needs import describe_missing
from hitl_orchestrator.domain.state import mark_shape
from hitl_orchestrator.nodes.agents import Agent, build_catalogue
from hitl_orchestrator.nodes.elsewhere import describe_away
from hitl_orchestrator.nodes.embed import prepare_graph
from hitl_orchestrator.nodes.fitness import read_state
from hitl_orchestrator.nodes.run_kinds import ElsewhereRun, RemoteGraph
from hitl_orchestrator.nodes.specialist import Task
from hitl_orchestrator.nodes.threads import find_old_thread, locate_thread


class Begun(NamedTuple):
    """A step that was begun. `waits`: for the answer to a question, so there must be something."""

    thread_id: str
    run_id: str
    step_id: str
    capability_id: str
    waits: bool


class Inspector:
    """Knows the agents of this process, and looks at their threads without changing anything.

    `away`: of those in processes of their own, which were not heard of lately.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        saver: BaseCheckpointSaver[Any],
        away: Collection[str] = frozenset(),
    ) -> None:
        self._agents = build_catalogue(agents)
        self._saver = saver
        self._away = away
        self._graphs = {
            name: prepare_graph(agent.run, saver)
            for name, agent in self._agents.items()
            if not isinstance(agent.run, RemoteGraph | ElsewhereRun)
        }

    def get_fingerprint(self, capability_id: str) -> str | None:
        """Return what questions of the agent that is plugged in have; None: there is none."""
        agent = self._agents.get(capability_id)
        return None if agent is None else mark_shape(agent.capability.fingerprint)

    async def find_misfit(self, begun: Begun) -> str | None:
        """Return why the agent here cannot go on there; None: it can."""
        agent = self._agents.get(begun.capability_id)
        if agent is None:
            return describe_missing(begun.capability_id)
        if begun.capability_id in self._away:
            return describe_away(begun.capability_id)
        if begun.capability_id not in self._graphs:
            return None  # its thread is kept elsewhere, and so is what it was begun with
        try:
            is_there = await self._look(agent, begun)
        except Unfit as misfit:
            return misfit.detail
        if begun.waits and not is_there:
            return f"{begun.capability_id} has asked, and its thread is empty"
        return None

    async def _look(self, agent: Agent, begun: Begun) -> bool:
        """Tell whether there is something. Raise Unfit."""
        graph, task = self._graphs[begun.capability_id], _name_task(begun)
        state = await read_state(agent, graph, locate_thread(task))
        if state.created_at is None:
            old = await find_old_thread(self._saver, task, {})
            if old is None:
                return False
            await read_state(agent, graph, old)
        return True


def _name_task(begun: Begun) -> Task:
    return Task(
        objective="",
        facets={},
        context=(),
        runId=begun.run_id,
        threadId=begun.thread_id,
        stepId=begun.step_id,
    )
