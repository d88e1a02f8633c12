"""Drive a run until it pauses or ends: the only caller of the compiled graph.

What people decide is in the rows first and goes down to the graph by interrupt id. What the graph
writes, and the rows that describe it, are made durable together, at each durable moment: a pause,
an end, and soon after a specialist has finished.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, assert_never, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt, StateSnapshot

from hitl_orchestrator.domain.errors import OrchestratorError, PutOff, StoreUnavailable, Unfit
from hitl_orchestrator.domain.needs import describe_missing, list_capabilities
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Memory, Unit, Update
from hitl_orchestrator.domain.state import RunError, Snapshot
from hitl_orchestrator.graph.beginning import begin_with_plan
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.graph.earlier import read_earlier
from hitl_orchestrator.graph.projection import (
    Begin,
    Broken,
    Continue,
    Drained,
    HeldBack,
    Next,
    Rest,
    ResumeWith,
    Stop,
    Stopped,
    begin_again,
    choose_next,
    conclude,
    is_of_another,
    read_thread,
    record,
    resume_map,
)
from hitl_orchestrator.graph.telling import telling
from hitl_orchestrator.nodes.calls import has_running_calls
from hitl_orchestrator.nodes.lines import Lines, hearing
from hitl_orchestrator.nodes.notes import taking_notes
from hitl_orchestrator.nodes.wave import Wave, watching

_log = logging.getLogger("hitl.drive")

_RETRY_SECONDS = 0.5
_REST = "rest"
INTERRUPT = "__interrupt__"  # of an update
_MAX_SUPERSTEPS = 10_000  # the plan's own limits end a run long before


async def drive(graph: Graph, memory: Memory, claim: Claim, control: RunControl) -> bool:
    """Drive the run until it pauses, ends or is drained. Return whether the claim is given back.

    Raise Fenced when the claim was lost; what was flushed stays. A database out of reach is waited
    for: whoever can reach it then and holds the claim goes on.
    """
    while True:
        try:
            async with memory.unit(claim) as unit:
                with taking_notes(unit.notes):
                    return await _Drive(graph, unit, claim, control).to_rest()
        except StoreUnavailable:
            await asyncio.sleep(_RETRY_SECONDS)


class Noted(NamedTuple):
    """How the graph stopped, for who goes on from there."""

    state: Snapshot
    interrupts: Sequence[Interrupt[Any]]


class _Drive:
    """One spell of driving. `_state` mirrors the graph's from what it writes."""

    def __init__(self, graph: Graph, unit: Unit, claim: Claim, control: RunControl) -> None:
        self._graph = graph
        self._unit = unit
        self._claim = claim
        self._control = control
        self._is_given_back = False
        self._lines = Lines()

    async def to_rest(self) -> bool:
        locked = await self._unit.look()
        config: RunnableConfig = {
            "configurable": {"thread_id": locked.run.threadId},
            "recursion_limit": _MAX_SUPERSTEPS,
        }
        step: Next | None = await self._choose(locked, config)
        if missing := set(list_capabilities(locked.run)) - set(self._graph.nodes):
            step = await self._flush(HeldBack(min(missing), describe_missing(min(missing))))
        while step is not None and not self._control.drain_requested:
            step = await self._flush(await self._run(step, config))
        return self._is_given_back

    async def _choose(self, locked: Locked, config: RunnableConfig) -> Next:
        first = Snapshot.first(locked.run.settings, locked.run.metadata)
        if self._unit.is_new:
            self._state = first
            return Begin(first)
        noted: Noted | None = self._unit.notes.pop(_REST, None)
        if noted and (answers := resume_map(noted.interrupts, locked.settled)):
            self._state = noted.state
            return ResumeWith(answers)
        thread = await self._graph.aget_state(config)
        if locked.run.retrying:
            own = await self._read(first, await self._find_own(first, thread, config))
            self._state, step = begin_again(own, locked.settled)
            return step
        self._state = await self._read(first, thread)
        return choose_next(self._state, thread, locked.settled)

    async def _find_own(
        self, first: Snapshot, thread: StateSnapshot, config: RunnableConfig
    ) -> StateSnapshot:
        """Return the thread as this run left it: another may have used it since."""
        if not is_of_another(first, thread):
            return thread
        async for before in self._graph.aget_state_history(config):
            if not is_of_another(first, before):
                return before
        return thread

    async def _read(self, first: Snapshot, thread: StateSnapshot) -> Snapshot:
        """Return the run's state as its thread has it."""
        state = read_thread(first, thread)
        if not state.is_partial:
            return state
        saver = cast(BaseCheckpointSaver[Any], self._graph.checkpointer)
        found = await saver.aget_tuple(thread.config)
        return read_earlier(found) if found else first

    async def _run(self, step: Next, config: RunnableConfig) -> Stop:
        if isinstance(step, Rest):
            return Stopped(step.interrupts)
        try:
            async with (
                telling(self._lines, self._unit.tell, lambda: self._unit.is_behind),
                self._unit.flushing(self._record),
            ):
                with hearing(self._lines), watching(Wave()):
                    return await self._invoke(step, config)
        except (GraphDrained, PutOff):
            return Drained()
        except Unfit as misfit:
            return HeldBack(misfit.capability_id, misfit.detail)
        except OrchestratorError:
            raise
        except Exception as error:  # noqa: BLE001
            # This run fails, and no other notices. The error's text may quote SQL.
            _log.exception("the graph of run %s failed", self._claim.run_id)
            return Broken(RunError(message=f"The orchestrator failed: {type(error).__name__}."))

    async def _invoke(self, step: Begin | ResumeWith | Continue, config: RunnableConfig) -> Stopped:
        graph, given = self._graph, None
        match step:
            case Begin(state):
                graph, given = await begin_with_plan(graph, state)
                self._unit.begin(state.run.threadId, [*given.items()])
            case ResumeWith(answers):
                given = Command(resume=answers)
            case Continue():
                pass
            case _ as never:
                assert_never(never)
        interrupts: list[Interrupt[Any]] = []
        # as ainvoke does, which has all values streamed, too
        async for update in graph.astream(
            given, config, stream_mode="updates", durability="async", control=self._control
        ):
            interrupts += update.get(INTERRUPT, ())
        return Stopped(interrupts)

    def _record(self, locked: Locked, updates: Sequence[Update]) -> Change:
        self._state, change = record(self._state, self._claim, locked, updates)
        return change

    async def _flush(self, stop: Stop) -> ResumeWith | None:
        """Flush; while the database is out of reach keep what was collected and try again."""
        following: ResumeWith | None = None
        said = self._lines.take()

        def decide(locked: Locked, updates: Sequence[Update]) -> Change:
            nonlocal following
            self._state, change, following = conclude(
                self._state,
                self._claim,
                locked,
                updates,
                stop,
                still_working=has_running_calls(),
            )
            if isinstance(stop, Stopped):
                self._unit.notes[_REST] = Noted(self._state, stop.interrupts)
            return replace(change, events=[*said, *change.events])

        while True:
            try:
                run = (await self._unit.flush(decide)).run
                self._is_given_back = run.claimToken is None and not run.stillWorking
                return following
            except StoreUnavailable:
                said.clear()  # they may be written: lost rather than told twice
                await asyncio.sleep(_RETRY_SECONDS)
