"""The node around every specialist: interrupt first, work after; a resume repeats nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from langgraph.types import interrupt
from pydantic import Field

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import Capability
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.guards import insists
from hitl_orchestrator.domain.hitl import (
    Answer,
    Answered,
    Denied,
    HitlRequest,
    RequestStatus,
    Settled,
)
from hitl_orchestrator.domain.plan import Step, StepStatus
from hitl_orchestrator.domain.progress import last_denial, questions_of
from hitl_orchestrator.domain.records import JsonObject, Record
from hitl_orchestrator.domain.state import Asked, Delta, Facet, Outcome, Report, Snapshot
from hitl_orchestrator.nodes.attempts import try_again
from hitl_orchestrator.nodes.calls import Calls, counting, find_calls
from hitl_orchestrator.nodes.time_limit import VisitLimit
from hitl_orchestrator.nodes.wave import joining


class Context(Record):
    """An answer or a denial of the run so far."""

    requestId: str
    stepId: str
    originAgent: str
    question: str
    status: str  # answered | denied
    answer: Answered | None = None
    reason: str | None = None


class Task(Record):
    """What a specialist is handed: docs/agents.md."""

    objective: str
    facets: JsonObject
    context: tuple[Context, ...]
    runId: str
    threadId: str
    stepId: str
    metadata: JsonObject = Field(default_factory=dict)  # of the run, its caller's


class Visit(Record):
    """A visit of a specialist: its task and what became of its questions so far."""

    task: Task
    asked: tuple[Asked, ...] = ()


Answers = Mapping[str, Answer]  # by the key of the ask
Work = Callable[[Task, Answers], Awaitable[Report]]
"""What an agent does at one visit. May be repeated after a crash: it looks at what it did before.

An agent's error comes back as a failed report; only the memory's own errors (StoreUnavailable,
Fenced) are raised."""


Pause = Callable[[Sequence[HitlRequest]], Awaitable[Sequence[Settled]]]
"""Waits for people, of one step; returns how each question ended."""


async def pay_visit(capability: Capability, work: Work, visit: Visit, pause: Pause) -> Delta:
    """Return what the specialist adds to the state.

    Its first act is to wait for people, if questions of the step do.
    """
    ended = await _wait_for_answers(visit, pause)
    asked = _replace_ended(visit.asked, ended)
    report = await _work(capability, work, visit.task, asked)
    return _build_delta(capability, visit.task, report, _deliver(asked, ended, report))


def build_visit(state: Snapshot, step: Step) -> Visit:
    handed = {*step.inputFacets, *step.optionalInputFacets}
    task = Task(
        objective=state.run.objective,
        facets={name: facet.value for name, facet in state.facets.items() if name in handed},
        context=gather_context(state),
        runId=state.run.runId,
        threadId=state.run.threadId,
        stepId=step.stepId,
        metadata=state.metadata,
    )
    asked = tuple(questions_of(state, step.stepId))
    return Visit(task=task, asked=asked)


def gather_context(state: Snapshot) -> tuple[Context, ...]:
    """Return the answers and denials of the run so far."""
    return tuple(
        _tell(asked)
        for asked in state.questions.values()
        if not asked.waits and asked.repeats is None
    )


async def pause_for_rows(requests: Sequence[HitlRequest]) -> Sequence[Settled]:
    """Interrupt once for all of them: what people decide is in rows, and a driver brings it."""
    request_ids = [request.requestId for request in requests]
    resumed = interrupt({"stepId": requests[0].stepId, "requestIds": request_ids})
    return [Settled.read(resumed["answers"][name]) for name in request_ids]


async def _wait_for_answers(visit: Visit, pause: Pause) -> list[Asked]:
    """Return what waited for people, as it ended."""
    waiting = [asked for asked in visit.asked if asked.waits]
    if not waiting:
        return []
    settled = await pause([asked.request for asked in waiting])
    return [_end(*each) for each in zip(waiting, settled, strict=True)]


def _deliver(asked: Sequence[Asked], ended: Sequence[Asked], report: Report) -> list[Asked]:
    """Return what has ended now or reached the agent now."""
    now = {one.request.requestId for one in ended}
    written: list[Asked] = []
    for one in asked:
        undelivered = any(key in report.undelivered for key in one.keys)
        if one.request.requestId in now or (one.undelivered and not undelivered):
            written.append(one.but(undelivered=undelivered))
    return written


def _list_keys(asked: Sequence[Asked]) -> tuple[str, ...]:
    keys: list[str] = []
    for one in asked:
        keys += one.keys
    return tuple(keys)


def _build_delta(
    capability: Capability, task: Task, report: Report, ended: Sequence[Asked]
) -> Delta:
    made = {
        name: Facet(value=value, producedBy=task.stepId) for name, value in report.facets.items()
    }
    return Delta(
        reports={task.stepId: report.to_keep()},
        facets=made,
        questions={asked.request.requestId: asked for asked in ended},
        events=tuple(_report_events(capability, task, report)),
    )


async def _work(capability: Capability, work: Work, task: Task, asked: Sequence[Asked]) -> Report:
    if insists(asked, task.stepId):
        reason = "keeps asking a question that was denied"
        return Report(outcome=Outcome.FAILED, reason=reason, undelivered=_list_keys(asked))
    answers = {key: _answer(one) for one in asked for key in one.keys}

    async def attempt() -> Report:
        return await _work_in_time(capability, work, task, answers)

    with joining(task.stepId):
        report = await try_again(capability, task.stepId, attempt)
    return _judge(capability, report, last_denial(asked))


async def _work_in_time(capability: Capability, work: Work, task: Task, answers: Answers) -> Report:
    calls = Calls(within=find_calls())
    seconds, name = capability.timeoutSeconds, capability.capabilityId
    limit = VisitLimit(seconds, task.runId, task.stepId, name)
    try:
        with counting(calls):
            # not wait_for: on Python 3.11 that can swallow the cancellation of the run
            async with limit.limiting():
                report = await work(task, answers)
    except TimeoutError:
        report = Report(outcome=Outcome.FAILED, reason=limit.tell_reason(), raised=True)
    # what cannot be stopped is not begun again beside itself
    return report.but(raised=False) if calls.are_running else report


def _judge(capability: Capability, report: Report, denial: str | None) -> Report:
    """Look whether it made what its contract promises.

    If not, it is denied when it was refused something, else failed.
    """
    missing = [name for name in capability.outputFacets if name not in report.facets]
    if report.outcome is not Outcome.COMPLETED or not missing:
        return report
    if denial is not None:
        return report.but(outcome=Outcome.DENIED, reason=denial)
    return report.but(
        outcome=Outcome.FAILED,
        reason=f"did not return {', '.join(missing)}, which its contract promises",
    )


def _report_events(capability: Capability, task: Task, report: Report) -> list[Event]:
    happened = [_warn(capability, task, text) for text in report.warnings]
    if report.outcome is not Outcome.ASKING:
        happened.append(_report_end(capability, task, report))
    return happened


def _warn(capability: Capability, task: Task, text: str) -> Event:
    return Event(
        kind=events.EventKind.WARNED,
        message=text,
        stepId=task.stepId,
        originAgent=capability.capabilityId,
        data={"stepId": task.stepId, "from": capability.capabilityId},
    )


_STATUS_OF = {Outcome.DENIED: StepStatus.DENIED, Outcome.FAILED: StepStatus.FAILED}


def _report_end(capability: Capability, task: Task, report: Report) -> Event:
    status = _STATUS_OF.get(report.outcome, StepStatus.COMPLETED)
    reason = f" ({report.reason})" if report.reason else ""
    data: JsonObject = {
        "stepId": task.stepId,
        "from": capability.capabilityId,
        "status": status.value,
        "facets": [*report.facets],
        "reason": report.reason,
    }
    return Event(
        kind=events.EventKind.STEP_FINISHED,
        message=f"{capability.displayName}: {status}{reason}",
        stepId=task.stepId,
        originAgent=capability.capabilityId,
        data=data,
    )


def _end(asked: Asked, settled: Settled) -> Asked:
    reason = settled.answer.reason if isinstance(settled.answer, Denied) else None
    request = asked.request.but(
        status=settled.status,
        denialReason=reason if settled.status is RequestStatus.DENIED else None,
    )
    return asked.but(request=request, answer=settled.answer)


def _replace_ended(asked: Sequence[Asked], ended: Sequence[Asked]) -> list[Asked]:
    now = {one.request.requestId: one for one in ended}
    return [now.get(one.request.requestId, one) for one in asked]


def _answer(asked: Asked) -> Answer:
    """Return what the agent gets."""
    return asked.answer or Denied(reason=asked.refusal or "")


def _tell(asked: Asked) -> Context:
    answer = _answer(asked)
    return Context(
        requestId=asked.request.requestId,
        stepId=asked.request.stepId,
        originAgent=asked.request.originAgent,
        question=asked.request.question,
        status=answer.status,
        answer=answer if isinstance(answer, Answered) else None,
        reason=asked.refusal,
    )
