"""What the machine does: drive a run until it pauses or ends. The only caller of the compiled
graph.

What people decide is in the rows first and goes down to the graph by interrupt id. What the graph
writes, and the rows that describe it, are made durable together, at each durable moment: a pause,
an end, and soon after a specialist has finished.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt, StateSnapshot

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.errors import Fenced, OrchestratorError, StoreUnavailable
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import HitlRequest, Settled
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Memory, Settlement, Unit, Update
from hitl_orchestrator.domain.progress import plan_with_statuses
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import StoredRun
from hitl_orchestrator.domain.state import Asked, Ending, Result, RunError, Snapshot, first_state
from hitl_orchestrator.domain.transitions import RunAct, run_after
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.graph.runs import end

Crash = Callable[[str], Awaitable[None]]
"""Called with the name of each point between two effects; a test passes one that dies there."""

_log = logging.getLogger("hitl.drive")

_RETRY_SECONDS = 0.5
_MAX_SUPERSTEPS = 10_000  # the plan's own limits end a run long before


async def nowhere(point: str) -> None:
    """No crash."""


async def drive(
    graph: Graph, memory: Memory, claim: Claim, control: RunControl, crash: Crash = nowhere
) -> None:
    """Drive the run until it pauses, ends or is drained. Raises Fenced when the claim was lost;
    what was flushed stays.

    A database out of reach is waited for: whoever can reach it then and holds the claim goes on.
    """
    while True:
        try:
            await _drive(graph, memory, claim, control, crash)
            return
        except StoreUnavailable:
            await asyncio.sleep(_RETRY_SECONDS)


async def _drive(
    graph: Graph, memory: Memory, claim: Claim, control: RunControl, crash: Crash
) -> None:
    async with memory.unit(claim) as unit:
        locked = await unit.look()
        projection = Projection(claim, locked)
        config: RunnableConfig = {
            "configurable": {"thread_id": locked.run.threadId},
            "recursion_limit": _MAX_SUPERSTEPS,
        }
        state = await graph.aget_state(config)
        step = projection.begin(state, locked.settled)
        while not control.drain_requested:
            await crash("before the graph")
            if step is not PAUSED:
                interrupts = await _invoke(graph, unit, projection, step, config, control)
                # drained: what is finished is flushed, the run goes on elsewhere
                if interrupts is None:
                    break
            else:
                interrupts = state.interrupts
            await crash("before the last flush")
            change = await _patiently(unit, lambda due=interrupts: projection.stop(due))
            await crash("after the last flush")
            if change.run.claimToken is None:
                return
            step = Command(resume=resume_map(interrupts, projection.settled))


PAUSED = object()  # nothing to run: every task finished or waits for a person


async def _invoke(
    graph: Graph,
    unit: Unit,
    projection: "Projection",
    step: Any,
    config: RunnableConfig,
    control: RunControl,
) -> Sequence[Interrupt] | None:
    try:
        async with unit.flushing(projection.record):
            output = await graph.ainvoke(
                step, config, durability="async", version="v2", control=control
            )
    except GraphDrained:
        await _patiently(unit, lambda: projection.record)
        return None
    except OrchestratorError:
        raise
    except Exception as error:  # noqa: BLE001
        # a defect of ours, or an agent's that got past its node: this run fails, no other notices
        _log.exception("the graph of run %s failed", projection.claim.run_id)
        # its text may quote SQL
        projection.failure = RunError(message=f"The orchestrator failed: {type(error).__name__}.")
        return ()
    return output.interrupts


async def _patiently(
    unit: Unit, decide: Callable[[], Callable[[Locked, Sequence[Update]], Change]]
) -> Change:
    """Flush; while the database is out of reach keep what was collected and try again."""
    while True:
        try:
            return await unit.flush(decide())
        except StoreUnavailable:
            await asyncio.sleep(_RETRY_SECONDS)


def resume_map(
    interrupts: Sequence[Interrupt], settled: Mapping[str, Settled]
) -> dict[str, JsonObject]:
    """Interrupt id -> value, for those of which every request has ended. The others are left alone:
    not re-run for nothing.
    """
    return {
        interrupt.id: {
            "answers": {name: settled[name].json_object() for name in interrupt.value["requestIds"]}
        }
        for interrupt in interrupts
        if all(name in settled for name in interrupt.value["requestIds"])
    }


class Projection:
    """The graph's state, mirrored from its writes, and the rows that follow from it."""

    def __init__(self, claim: Claim, locked: Locked) -> None:
        self.claim = claim
        self.state = Snapshot.first(locked.run.settings)
        self.settled: Mapping[str, Settled] = {}
        self.failure: RunError | None = None

    def begin(self, state: StateSnapshot, settled: Mapping[str, Settled]) -> Any:
        """What to invoke the graph with, from what its thread holds."""
        if (
            state.created_at is None
            or state.values.get("run", {}).get("runId") != self.claim.run_id
        ):
            return first_state(self.state)  # a new thread, or one whose last run was another
        self.state = Snapshot.of(state.values)
        # siblings of what waits that finished: their writes are stored, not yet in the values
        for task in state.tasks:
            if "run" not in (task.result or {}):  # the start, which the values have already
                self.state = self.state.after([*(task.result or {}).items()])
        if due := resume_map(state.interrupts, settled):
            return Command(resume=due)
        # not `next`: that is empty too when all tasks are written but not the checkpoint after them
        if not state.tasks:
            return PAUSED
        unfinished = any(task.result is None and not task.interrupts for task in state.tasks)
        return None if unfinished or not state.interrupts else PAUSED

    def record(self, locked: Locked, updates: Sequence[Update]) -> Change:
        """Fold what was written into the mirror, and say it in rows. May be asked again with the
        same after a failed flush.
        """
        if locked.run.claimToken != self.claim.token:
            raise Fenced(f"Run {self.claim.run_id} is driven by another process.")
        happened, asked, delivered = list[Event](), list[Asked](), list[HitlRequest]()
        for channel, value in _writes(updates, locked.run.threadId):
            self.state = self.state.after([(channel, value)])
            if channel == "events":
                happened += map(Event.model_validate, value)
            if channel == "questions":
                for one in map(Asked.model_validate, value.values()):
                    if one.answer is not None:
                        delivered.append(one.request)
                        happened.append(_delivered(one.request, locked))
                    elif one.repeats is None:
                        asked.append(_dated(one, locked.now))
                        happened.append(_asked_or_denied(asked[-1]))
        run = locked.run.but(
            status=run_after(locked.run.status, RunAct.DRIVE),
            plan=plan_with_statuses(self.state),
            facets=self.state.facets,
        )
        return Change(run, asked=asked, delivered=delivered, events=happened)

    def stop(self, interrupts: Sequence[Interrupt]) -> Callable[[Locked, Sequence[Update]], Change]:
        """The graph has stopped: go on with answers that came meanwhile, pause, or end."""

        def decide(locked: Locked, updates: Sequence[Update]) -> Change:
            change = self.record(locked, updates)
            self.settled = locked.settled
            if self.failure is None and interrupts:
                if resume_map(interrupts, locked.settled):
                    return change
                run = change.run.but(
                    status=run_after(change.run.status, RunAct.PAUSE), claimToken=None
                )
                return _with(change, run.but(plan=plan_with_statuses(self.state, running=False)))
            pending = [*locked.requests, *(one.request for one in change.asked)]
            ended = end(
                change.run.but(plan=plan_with_statuses(self.state, running=False)),
                pending,
                self._ending(),
            )
            return _with(
                change, ended.run, _measured(self.state), *ended.events, settled=ended.settled
            )

        return decide

    def _ending(self) -> Ending:
        if self.failure is None and self.state.result is not None:
            return self.state.result
        return Ending(
            result=Result(outputs={}),
            error=self.failure or RunError(message="The graph ended without a result."),
        )


def _with(
    change: Change, run: StoredRun, *happened: Event, settled: Sequence[Settlement] = ()
) -> Change:
    return Change(
        run,
        asked=change.asked,
        settled=settled,
        delivered=change.delivered,
        events=[*change.events, *happened],
    )


def _writes(updates: Sequence[Update], thread_id: str) -> list[tuple[str, Any]]:
    """Of the run's own thread; its start, which writes `run` and everything else anew, is what the
    mirror begins with.
    """
    own = [update.writes for update in updates if update.thread_id == thread_id]
    return [write for writes in own if "run" not in dict(writes) for write in writes]


def _dated(asked: Asked, now: datetime) -> Asked:
    expires = (
        now + timedelta(seconds=asked.expiresInSeconds)
        if asked.expiresInSeconds and asked.waits
        else None
    )
    return asked.but(request=asked.request.but(createdAt=now, updatedAt=now, expiresAt=expires))


def _asked_or_denied(asked: Asked) -> Event:
    return events.denied(asked.request, asked.cause) if asked.cause else events.asked(asked.request)


def _delivered(request: HitlRequest, locked: Locked) -> Event:
    """With the seconds from the answer to its delivery."""
    resolved = locked.resolved.get(request.requestId)
    return events.delivered(request).but(
        seconds=(locked.now - resolved[1]).total_seconds() if resolved else None
    )


def _measured(state: Snapshot) -> Event:
    requests: list[HitlRequest] = [
        asked.request for asked in state.questions.values() if asked.repeats is None
    ]
    data: JsonObject = {
        "steps": len(state.plan.steps) if state.plan else 0,
        "planVersion": state.plan.version if state.plan else 0,
        "questions": len(requests),
        "denied": sum(request.denialReason is not None for request in requests),
    }
    return Event(kind=events.Kind.MEASURED, message="the run in numbers", data=data)
