"""A run of the compiled graph by hand: no server and no database. Answers go down by interrupt
id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START
from langgraph.types import Command

from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import Answer, HitlRequest, RequestStatus, Settled
from hitl_orchestrator.domain.state import RUN, Delta, RunSettings, Snapshot, first_state
from hitl_orchestrator.graph.build import Graph, build
from hitl_orchestrator.graph.projection import resume_map
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.planner import Propose


@dataclass
class Stepping:
    """`settled` is what people decided: outside, it is in rows, and outlives every process."""

    graph: Graph
    settings: RunSettings
    settled: dict[str, Settled] = field(default_factory=dict[str, Settled])
    events: list[Event] = field(default_factory=list[Event])

    @property
    def config(self) -> RunnableConfig:
        return {"configurable": {"thread_id": self.settings.threadId}, "recursion_limit": 1000}

    async def start(self) -> Snapshot:
        return await self._on(first_state(Snapshot.first(self.settings)))

    async def answer(
        self, said: Mapping[str, Answer], status: RequestStatus = RequestStatus.RESOLVED
    ) -> Snapshot:
        """`said`: by question. What is left open is left alone."""
        for request in pending(await self.state()):
            if request.question in said and request.requestId not in self.settled:
                self.settled[request.requestId] = Settled.model_validate(
                    {"status": status, "answer": said[request.question]}
                )
        return await self.go_on()

    async def go_on(self) -> Snapshot:
        """From wherever the run is: it waits for an answer that is there, or another process died
        in its middle.
        """
        state = await self.graph.aget_state(self.config)
        if RUN not in state.values:
            return await self.start()
        due = resume_map(state.interrupts, self.settled)
        return await self._on(Command(resume=due) if due else None)

    async def state(self) -> Snapshot:
        """With what those have written who finished while others still wait."""
        state = await self.graph.aget_state(self.config)
        if RUN not in state.values:
            return Snapshot.first(self.settings)
        snapshot = Snapshot.of(state.values)
        for writes in [task.result for task in state.tasks if task.result and task.name != START]:
            snapshot = snapshot.after(Delta.of(writes[RUN]))
        return snapshot

    async def _on(self, step: Any) -> Snapshot:
        async for update in self.graph.astream(
            step, self.config, stream_mode="updates", durability="sync"
        ):
            if update.keys().isdisjoint(
                {"__interrupt__", "__metadata__"}
            ):  # a pause, or what is told again after one
                for writes in filter(None, update.values()):
                    self.events += Delta.of(writes[RUN]).events
        return await self.state()


def stepping(
    agents: Sequence[Agent],
    *outputs: str,
    limit: int = 3,
    run_id: str = "run",
    saver: BaseCheckpointSaver[Any] | None = None,
    propose: Propose | None = None,
) -> Stepping:
    settings = RunSettings(
        runId=run_id,
        threadId="thread",
        objective="Announce it",
        outputs=outputs,
        maxHitlRequests=limit,
    )
    return Stepping(build(agents, saver or InMemorySaver(), propose), settings)


def pending(state: Snapshot) -> list[HitlRequest]:
    return [asked.request for asked in state.questions.values() if asked.waits]
