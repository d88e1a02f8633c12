"""What the graph wrote, as rows; and what to do with it next.

Pure: the run's state so far, the locked run and what LangGraph's tasks wrote go in; the state after
it, and a `Change`, come out. `graph/drive.py` does what these say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from langgraph.types import Interrupt, StateSnapshot

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import HitlRequest, Settled
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Settlement, Update
from hitl_orchestrator.domain.progress import plan_with_statuses
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.retry import rewind
from hitl_orchestrator.domain.run import Held, StoredRun
from hitl_orchestrator.domain.state import (
    RUN,
    Asked,
    Delta,
    Ending,
    Result,
    RunError,
    Snapshot,
)
from hitl_orchestrator.domain.transitions import RunAct, run_after
from hitl_orchestrator.graph.decisions import check_fence, end
from hitl_orchestrator.graph.holding import tell_hold
from hitl_orchestrator.nodes.attempts import TOLD

# What to do with the graph next.


@dataclass(frozen=True)
class Begin:
    """Give a thread its first input, or the first of this run."""

    state: Snapshot


@dataclass(frozen=True)
class ResumeWith:
    """Tell the interrupts what was decided, by their ids."""

    answers: Mapping[str, JsonObject]


@dataclass(frozen=True)
class Continue:
    """Finish what a process that died has left unfinished."""


@dataclass(frozen=True)
class Rest:
    """Do nothing: every task has finished, or waits for a person."""

    interrupts: Sequence[Interrupt] = ()


Next = Begin | ResumeWith | Continue | Rest


# How the graph stopped.


@dataclass(frozen=True)
class Stopped:
    """It ended, or waits at these interrupts."""

    interrupts: Sequence[Interrupt] = ()


@dataclass(frozen=True)
class Drained:
    """This process ends; what is finished is flushed, and another goes on."""


@dataclass(frozen=True)
class Broken:
    """It raised: a defect of ours, or an agent's that got past its node."""

    error: RunError


@dataclass(frozen=True)
class HeldBack:
    """An agent here cannot go on with what its thread has; one of another process may."""

    capability_id: str
    reason: str


Stop = Stopped | Drained | Broken | HeldBack


class Recorded(NamedTuple):
    """The run's state after what was written, and the rows that say so."""

    state: Snapshot
    change: Change


class Concluded(NamedTuple):
    """The rows of a stop. `next`: what the graph is resumed with, None when the run is at rest."""

    state: Snapshot
    change: Change
    next: ResumeWith | None


def read_thread(first: Snapshot, thread: StateSnapshot) -> Snapshot:
    """Return the run's state as its thread has it; `first`, if the thread knows nothing of it."""
    if is_of_another(first, thread):
        return first
    state = Snapshot.of(thread.values)
    for task in thread.tasks:
        # siblings of what waits that finished: their writes are stored, not yet in the values
        if task.result and RUN in task.result:
            state = state.after(Delta.of(task.result[RUN]))
    return state


def begin_again(state: Snapshot, settled: Mapping[str, Settled]) -> tuple[Snapshot, Begin]:
    """Return the state with which a retried run begins, and what to invoke the graph with."""
    again = rewind(state, settled)
    return again, Begin(again)


def choose_next(state: Snapshot, thread: StateSnapshot, settled: Mapping[str, Settled]) -> Next:
    """Decide what to invoke the graph with, from what its thread holds."""
    if is_of_another(state, thread) or Snapshot.of(thread.values).is_partial:
        return Begin(state)
    if answers := resume_map(thread.interrupts, settled):
        return ResumeWith(answers)
    # Not `thread.next`: that is empty too when all tasks are written but not the checkpoint
    # after them.
    is_unfinished = any(task.result is None and not task.interrupts for task in thread.tasks)
    if is_unfinished or (thread.tasks and not thread.interrupts):
        return Continue()
    return Rest(thread.interrupts)


def is_of_another(first: Snapshot, thread: StateSnapshot) -> bool:
    """Tell whether the thread is new, or its last run was another."""
    if not thread.created_at or RUN not in thread.values:
        return True
    return Snapshot.of(thread.values).run.runId != first.run.runId


def resume_map(
    interrupts: Sequence[Interrupt], settled: Mapping[str, Settled]
) -> dict[str, JsonObject]:
    """Return interrupt id -> value, for those of which every request has ended.

    The others are left alone, and are not run again for nothing.
    """
    answers: dict[str, JsonObject] = {}
    for interrupt in interrupts:
        request_ids: list[str] = interrupt.value["requestIds"]
        if all(name in settled for name in request_ids):
            ended: JsonObject = {name: settled[name].json_object() for name in request_ids}
            answers[interrupt.id] = {"answers": ended}
    return answers


def record(state: Snapshot, claim: Claim, locked: Locked, updates: Sequence[Update]) -> Recorded:
    """Fold what was written into the state, and say it in rows. Raise Fenced.

    Folding the same again changes nothing: a flush may have failed, or only its reply.
    """
    check_fence(locked, claim)
    happened: list[Event] = []
    asked: list[Asked] = []
    delivered: list[HitlRequest] = []
    for channel, value in _list_writes(updates, locked.run.threadId):
        if channel == TOLD:
            happened += map(Event.read, value)
        if channel != RUN:
            continue
        delta = Delta.of(value)
        state = state.after(delta)
        happened += delta.events
        for one in delta.questions.values():
            if one.answer is not None and not one.undelivered:
                delivered.append(one.request)
                happened.append(_tell_delivery(one.request, locked))
            elif one.answer is None and one.repeats is None:
                # a moment apart, so that lists by time keep the order in which they were asked
                asked.append(_date(one, locked.now + timedelta(microseconds=len(asked))))
                happened.append(_tell_question(asked[-1]))
    run = locked.run.but(
        status=run_after(locked.run.status, RunAct.DRIVE),
        plan=plan_with_statuses(state),
        facets=state.facets,
        retrying=False,
    )
    return Recorded(state, Change(run, asked=asked, delivered=delivered, events=happened))


def conclude(
    state: Snapshot,
    claim: Claim,
    locked: Locked,
    updates: Sequence[Update],
    stop: Stop,
    *,
    still_working: bool = False,
) -> Concluded:
    """Decide what the stop comes to: go on with answers that came meanwhile, pause, or end.

    `still_working`: a call of the run that nobody can stop has not ended.
    """
    locked = replace(
        locked, run=locked.run.but(stillWorking=still_working or locked.run.stillWorking)
    )
    state, change = record(state, claim, locked, updates)
    match stop:
        case Drained():
            return Concluded(state, change, None)
        case HeldBack(capability_id, reason):
            return Concluded(state, _hold(state, locked, change, capability_id, reason), None)
        case Broken(error):
            ending = Ending(result=Result(outputs={}), error=error)
            return Concluded(state, _end(state, locked, change, ending), None)
        case Stopped(interrupts) if interrupts:
            if answers := resume_map(interrupts, locked.settled):
                return Concluded(state, change, ResumeWith(answers))
            return Concluded(state, _pause(state, change), None)
        case Stopped():
            return Concluded(state, _end(state, locked, change, _read_ending(state)), None)


def _pause(state: Snapshot, change: Change) -> Change:
    run = change.run.but(
        status=run_after(change.run.status, RunAct.PAUSE),
        plan=plan_with_statuses(state, running=False),
        claimToken=None,
    )
    return _extend(change, run)


def _hold(
    state: Snapshot, locked: Locked, change: Change, capability_id: str, reason: str
) -> Change:
    held = Held(reason=reason, capabilityId=capability_id, since=locked.now)
    plan = plan_with_statuses(state, running=False)
    return _extend(change, change.run.but(plan=plan, held=held, claimToken=None), tell_hold(held))


def _end(state: Snapshot, locked: Locked, change: Change, ending: Ending) -> Change:
    run = change.run.but(plan=plan_with_statuses(state, running=False))
    requests = [*locked.requests, *(one.request for one in change.asked)]
    ended = end(run, requests, ending)
    return _extend(change, ended.run, _measure(state), *ended.events, settled=ended.settled)


def _read_ending(state: Snapshot) -> Ending:
    if state.result is not None:
        return state.result
    error = RunError(message="The graph ended without a result.")
    return Ending(result=Result(outputs={}), error=error)


def _extend(
    change: Change, run: StoredRun, *happened: Event, settled: Sequence[Settlement] = ()
) -> Change:
    return Change(
        run,
        asked=change.asked,
        settled=settled,
        delivered=change.delivered,
        events=[*change.events, *happened],
    )


def _list_writes(updates: Sequence[Update], thread_id: str) -> list[tuple[str, Any]]:
    """Of the run's own thread."""
    found: list[tuple[str, Any]] = []
    for update in updates:
        if update.thread_id == thread_id:
            found += update.writes
    return found


def _date(asked: Asked, now: datetime) -> Asked:
    expires = None
    if asked.expiresInSeconds and asked.waits:
        expires = now + timedelta(seconds=asked.expiresInSeconds)
    return asked.but(request=asked.request.but(createdAt=now, updatedAt=now, expiresAt=expires))


def _tell_question(asked: Asked) -> Event:
    if asked.cause:
        return events.denied(asked.request, asked.cause)
    return events.asked(asked.request)


def _tell_delivery(request: HitlRequest, locked: Locked) -> Event:
    """With the seconds from the answer to its delivery."""
    resolved = locked.resolved.get(request.requestId)
    seconds = (locked.now - resolved[1]).total_seconds() if resolved else None
    return events.delivered(request).but(seconds=seconds)


def _measure(state: Snapshot) -> Event:
    requests = [asked.request for asked in state.questions.values() if asked.repeats is None]
    data: JsonObject = {
        "steps": len(state.plan.steps) if state.plan else 0,
        "planVersion": state.plan.version if state.plan else 0,
        "questions": len(requests),
        "denied": sum(request.denialReason is not None for request in requests),
    }
    return Event(kind=events.EventKind.MEASURED, message="the run in numbers", data=data)
