"""A run superstep by superstep, in memory, to be looked at: what each changed, and what waits.

Each keeps a copy of the memory, so a run can be forked at any of them. The threads of its agents
are forked with it, which no saver does by itself: see docs/decisions.md.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Interrupt

from hitl_orchestrator.domain.answers import read_said
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import settle
from hitl_orchestrator.domain.hitl import HitlRequest, Settled
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.state import RUN, Delta, RunSettings, Snapshot, first_state
from hitl_orchestrator.graph import tables
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.graph.picture import Drawing, draw
from hitl_orchestrator.graph.projection import read_thread, resume_map
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.mishaps import keeping_mishaps
from hitl_orchestrator.nodes.run_kinds import ElsewhereRun, RemoteGraph


class SaverAndStore(NamedTuple):
    """What a run and its agents keep."""

    saver: InMemorySaver
    store: InMemoryStore

    def copy(self) -> "SaverAndStore":
        saver = InMemorySaver(serde=self.saver.serde)
        saver.storage = deepcopy(self.saver.storage)
        saver.writes.update({at: {**writes} for at, writes in self.saver.writes.items()})
        saver.blobs.update(self.saver.blobs)
        return SaverAndStore(saver, deepcopy(self.store))


@dataclass(frozen=True, repr=False)
class Superstep:
    """Where a run stands after a superstep.

    `nodes` ran; of them, `wrote` has those that came to their end, with what they wrote. `next`
    run in the following superstep, or again once their questions in `waiting` are answered.
    """

    number: int
    nodes: tuple[str, ...]
    wrote: Mapping[str, Delta]
    before: Snapshot
    state: Snapshot
    next: tuple[str, ...]
    waiting: tuple[HitlRequest, ...]
    interrupts: tuple[Interrupt, ...]
    settled: Mapping[str, Settled]
    memory: SaverAndStore
    picture: Drawing

    @property
    def has_ended(self) -> bool:
        return not self.next

    @property
    def changes(self) -> list[tables.Difference]:
        """Return what of the state is another than before."""
        return tables.compare(self.before, self.state)

    @property
    def _title(self) -> str:
        return f"superstep {self.number}: {', '.join(self.nodes)}"

    def __repr__(self) -> str:
        waits = "".join(f"\n  waits: {request.question}" for request in self.waiting)
        changed = "".join(f"\n  {change}: {change.after}" for change in self.changes)
        return f"{self._title}{changed}{waits}"

    def _repr_html_(self) -> str:
        wrote = {node: tables.list_written(delta) for node, delta in self.wrote.items()}
        return tables.write_superstep(
            self._title, self.picture.svg, wrote, self.changes, self.waiting
        )


class Stepping:
    """A run by hand. `supersteps`: those so far. `mishaps`: what agents raised."""

    def __init__(
        self,
        agents: Sequence[Agent],
        settings: RunSettings,
        memory: SaverAndStore | None = None,
        supersteps: Sequence[Superstep] = (),
    ) -> None:
        """`memory`, which it writes into, and `supersteps`: of the run that it goes on from."""
        self._agents = agents
        self._memory = memory or SaverAndStore(InMemorySaver(), InMemoryStore())
        self._config: RunnableConfig = {"configurable": {"thread_id": settings.threadId}}
        self.settings = settings
        self.graph = build(agents, self._memory.saver, store=self._memory.store)
        self.supersteps = [*supersteps]
        self.settled = dict(supersteps[-1].settled) if supersteps else {}
        self.mishaps: list[Exception] = []

    @property
    def state(self) -> Snapshot:
        """Return the state as it is now; before the first superstep, as it will begin."""
        return self.supersteps[-1].state if self.supersteps else Snapshot.first(self.settings)

    @property
    def waiting(self) -> list[HitlRequest]:
        """Return the questions that wait for an answer, in the order of asking."""
        questions = [asked.request for asked in self.state.questions.values() if asked.waits]
        return [request for request in questions if request.requestId not in self.settled]

    @property
    def outputs(self) -> Mapping[str, Json]:
        """Return the wanted facets that were made; none before the end."""
        return self.state.result.result.outputs if self.state.result else {}

    async def step(self) -> Superstep:
        """Run one superstep. Raise Invalid where the run has ended, or waits for an answer."""
        given, nodes = self._choose()
        wrote: dict[str, Delta] = {}
        with keeping_mishaps(self.mishaps):
            # "*": it stops before each superstep
            async for update in self.graph.astream(
                given,
                self._config,
                stream_mode="updates",
                interrupt_before="*",
                durability="sync",
            ):
                if "__metadata__" in update:  # what is told again after a pause
                    continue
                for node, written in update.items():
                    if written and node in self.graph.nodes:
                        delta = Delta.of(written[RUN])
                        wrote[node] = wrote[node].join(delta) if node in wrote else delta
        self.supersteps.append(await self._look(nodes, wrote))
        return self.supersteps[-1]

    async def go_on(self) -> Superstep:
        """Step until the run has ended, or waits for an answer."""
        superstep = await self.step()
        while not superstep.has_ended and not superstep.interrupts:
            superstep = await self.step()
        return superstep

    def answer(self, said: Json, to: HitlRequest | None = None) -> None:
        """Answer what waits, by default the oldest, in the words of `read_said`.

        Raise Invalid: it does not fit, or does not wait. The run goes on by its next step.
        """
        waiting = self.waiting
        request = to or (waiting[0] if waiting else None)
        if request not in waiting:
            raise Invalid("No question waits for this answer.")
        self.settled[request.requestId] = settle(request, [read_said(request, said)])

    def fork(self, number: int) -> "Stepping":
        """Return a run that stands where this one stood after that superstep.

        All that was kept is as it was then, also what the agents keep; this run stays as it is.
        What agents have done to the world outside is not undone. Raise Invalid: no such superstep,
        or an agent keeps its threads elsewhere.
        """
        if not 0 <= number < len(self.supersteps):
            raise Invalid(f"There is no superstep {number} to fork at.")
        for agent in self._agents:
            if isinstance(agent.run, RemoteGraph | ElsewhereRun):
                name = agent.capability.capabilityId
                raise Invalid(f"{name} keeps its threads elsewhere: they cannot be forked.")
        superstep = self.supersteps[number]
        memory = superstep.memory.copy()
        return Stepping(self._agents, self.settings, memory, self.supersteps[: number + 1])

    def draw(self) -> Drawing:
        """Draw the graph, with the nodes marked that are next or wait; at the end, the end."""
        next_nodes = self.supersteps[-1].next if self.supersteps else (START,)
        return draw(self.graph, next_nodes or (END,))

    def history(self) -> tables.Table:
        """Return what happened, a line a superstep."""
        return tables.list_supersteps(
            (one.number, one.nodes, one.changes, one.waiting) for one in self.supersteps
        )

    def __repr__(self) -> str:
        return tables.tell_run(self.state)

    def _repr_html_(self) -> str:
        return self.draw().svg + tables.write_run(self.state, self.settled)

    def _choose(self) -> tuple[object, tuple[str, ...]]:
        """Return what to invoke the graph with, and which nodes run then."""
        if not self.supersteps:
            return first_state(Snapshot.first(self.settings)), (START,)
        now = self.supersteps[-1]
        if now.has_ended:
            raise Invalid("The run has ended.")
        answers = resume_map(now.interrupts, self.settled)
        if now.interrupts and not answers:
            raise Invalid(f"The run waits for an answer: {now.waiting[0].question}")
        return Command(resume=answers) if answers else None, now.next

    async def _look(self, nodes: tuple[str, ...], wrote: Mapping[str, Delta]) -> Superstep:
        thread = await self.graph.aget_state(self._config)
        before = self.state if self.supersteps else Snapshot(run=self.settings)
        state = read_thread(before, thread)
        return Superstep(
            number=len(self.supersteps),
            nodes=nodes,
            wrote=wrote,
            before=before,
            state=state,
            next=tuple(dict.fromkeys(thread.next)),
            waiting=tuple(one.request for one in state.questions.values() if one.waits),
            interrupts=thread.interrupts,
            settled=dict(self.settled),
            memory=self._memory.copy(),
            picture=draw(self.graph, nodes),
        )
