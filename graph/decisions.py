"""What a start, an answer, a denial, a cancel, a retry, an expiry and an end come to.

Pure: a locked run and what somebody wants of it go in, a `Change` comes out, or a named error.
`graph/runs.py` has the same with their transactions.
"""

from collections.abc import Sequence
from datetime import datetime

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import OBJECTIVE, Registry
from hitl_orchestrator.domain.errors import (
    Fenced,
    Invalid,
    NotFound,
    RequestNotPending,
    RunEnded,
    RunNotFailed,
    ThreadBusy,
)
from hitl_orchestrator.domain.events import Cause, Event
from hitl_orchestrator.domain.fitting import settle
from hitl_orchestrator.domain.guards import EXPIRED_REASON
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    By,
    Denied,
    HitlRequest,
    HitlResponse,
    Person,
    RequestStatus,
    Settled,
)
from hitl_orchestrator.domain.planning import check_start
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Settlement
from hitl_orchestrator.domain.progress import stopped
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.retry import show_again
from hitl_orchestrator.domain.run import RunStatus, StoredRun, current_request_id
from hitl_orchestrator.domain.state import INPUT, Ending, Facet, Result, RunError, RunSettings
from hitl_orchestrator.domain.threads import check_caller_thread
from hitl_orchestrator.domain.transitions import RequestAct, RunAct, request_after, run_after


def start(
    registry: Registry, settings: RunSettings, metadata: JsonObject, now: datetime, by: By = NOBODY
) -> Change:
    """Queue a new run.

    Raise Invalid: an unknown capability, facets that cannot be made, or an agent's thread.
    """
    check_caller_thread(settings.threadId)
    at_hand: JsonObject = {OBJECTIVE: settings.objective, **settings.inputs}
    chosen = check_start(registry, settings.agents, settings.outputs, [*at_hand])
    run = StoredRun(
        settings=settings,
        metadata=metadata,
        status=RunStatus.QUEUED,
        facets={name: Facet(value=value, producedBy=INPUT) for name, value in at_hand.items()},
        needs=tuple(capability.capabilityId for capability in chosen),
        createdAt=now,
        updatedAt=now,
    )
    data = _describe_settings(settings)
    started = Event(
        kind=events.EventKind.RUN_STARTED,
        message="started",
        data=data,
        operator=by.operator,
        key=by.key,
    )
    return Change(run, events=[started], drive=True)


def answer(locked: Locked, request_id: str, responses: Sequence[HitlResponse], by: By) -> Change:
    """Take all responses, or none.

    `request_id` is one of the requests that they answer. Raise NotFound, RequestNotPending,
    RunEnded, or Invalid.
    """
    if request_id not in {response.requestId for response in responses}:
        raise Invalid(f"`requestId` {request_id} is none of the requests that `responses` answer.")
    given = [response.but(createdAt=locked.now) for response in responses]
    settlements: list[Settlement] = []
    happened: list[Event] = []
    for answered in dict.fromkeys(response.requestId for response in given):
        request = _find_pending(locked, answered)
        to_this = [response for response in given if response.requestId == answered]
        settled = settle(request, to_this)
        by_whom = by.operator or to_this[0].responder
        settlement = _end_request(request, settled, RequestAct.ANSWER, by_whom)
        settlements.append(settlement)
        happened.append(_tell_answer(locked, settlement, to_this, by))
    return Change(
        _go_on(locked.run),
        settled=settlements,
        responses=given,
        events=happened,
        drive=_is_paused(locked.run),
    )


def deny(locked: Locked, request_id: str, reason: str, by: By) -> Change:
    """Deny one request; the run goes on, as after a guard's denial. Raise as `answer` does."""
    request = _find_pending(locked, request_id)
    return _deny_and_go_on(locked, [request], reason, Cause.OPERATOR, by)


def expire(locked: Locked) -> Change | None:
    """Deny what was not answered in time; None when there is nothing of the kind."""
    over = [request for request in locked.requests if _is_over(request, locked.now)]
    if not over:
        return None
    return _deny_and_go_on(locked, over, EXPIRED_REASON, Cause.EXPIRED, NOBODY)


def remove(locked: Locked, request_id: str | None, reason: str, by: By) -> Change:
    """Deny a request (the oldest pending one, if none is named) and cancel the run.

    Raise as `answer` does.
    """
    current = request_id or current_request_id(list(locked.requests))
    if current is None:
        _refuse_ended(locked.run)
        raise RequestNotPending(
            f"Run {locked.run.runId} has no pending request.",
            requestStatus=None,
            pendingRequestId=None,
        )
    _find_pending(locked, current)
    return _cancel(locked, reason, by, first=current)


def cancel(locked: Locked, reason: str, by: By) -> Change:
    """Stop a queued, running or paused run, and deny its pending requests. Raise RunEnded."""
    _refuse_ended(locked.run)
    return _cancel(locked, reason, by)


def retry(locked: Locked, by: By) -> Change:
    """Let a failed run go on: its failed steps from their own checkpoints.

    Raise RunNotFailed, or ThreadBusy: what it did when it failed goes on beside it.
    """
    run = locked.run
    if run.status is not RunStatus.FAILED:
        raise RunNotFailed(
            f"Run {run.runId} is {run.status}; only a failed run can be retried.",
            runStatus=run.status.value,
        )
    if run.stillWorking:
        raise ThreadBusy(f"The work of run {run.runId} has not ended yet; it cannot be stopped.")
    again = run.but(
        status=run_after(run.status, RunAct.RETRY),
        plan=run.plan and show_again(run.plan),
        result=None,
        error=None,
        retrying=True,
    )
    return Change(again, events=[_tell_retry(again, by)], drive=True)


def fail(locked: Locked, claim: Claim, message: str, *, still_working: bool = False) -> Change:
    """End a run that cannot be driven on. Raise Fenced when the claim is not ours.

    `still_working`: a call of it that nobody can stop has not ended.
    """
    check_fence(locked, claim)
    run = locked.run.but(
        status=run_after(locked.run.status, RunAct.DRIVE),
        stillWorking=still_working or locked.run.stillWorking,
    )
    ending = Ending(result=Result(outputs={}), error=RunError(message=message))
    return end(run, locked.requests, ending)


def end(run: StoredRun, requests: Sequence[HitlRequest], ending: Ending) -> Change:
    """Complete or fail the run: nothing is left to do, or nothing can be. Nobody is asked more."""
    reason = ending.error.message if ending.error else "The run has ended."
    status = run_after(run.status, RunAct.FAIL if ending.error else RunAct.COMPLETE)
    settlements = _deny_pending(requests, reason, None, with_run=True)
    removed = [_tell_denial(each, Cause.REMOVED, NOBODY) for each in settlements]
    ended = run.but(
        status=status,
        plan=run.plan and stopped(run.plan, reason),
        result=ending.result,
        error=ending.error,
        held=None,
        claimToken=None,
    )
    return Change(ended, settled=settlements, events=[*removed, _tell_end(status, ending)])


def check_fence(locked: Locked, claim: Claim) -> None:
    """Raise Fenced when the claim is not the one that drives the run now."""
    if locked.run.claimToken != claim.token:
        raise Fenced(f"Run {claim.run_id} is driven by another process.")


def _deny_and_go_on(
    locked: Locked, requests: Sequence[HitlRequest], reason: str, cause: Cause, by: By
) -> Change:
    act = RequestAct.EXPIRE if cause is Cause.EXPIRED else RequestAct.DENY
    denial = Settled(status=RequestStatus.DENIED, answer=Denied(reason=reason))
    settlements = [_end_request(request, denial, act, by.operator) for request in requests]
    return Change(
        _go_on(locked.run),
        settled=settlements,
        events=[_tell_denial(each, cause, by) for each in settlements],
        drive=_is_paused(locked.run),
    )


def _cancel(locked: Locked, reason: str, by: By, first: str | None = None) -> Change:
    """`first`: the request whose removal is told before the others'."""
    in_order = sorted(locked.requests, key=lambda request: request.requestId != first)
    settlements = _deny_pending(in_order, reason, by.operator)
    removed = [_tell_denial(each, Cause.REMOVED, by) for each in settlements]
    status = run_after(locked.run.status, RunAct.CANCEL)
    cancelled = Event(
        kind=events.EventKind.RUN_CANCELLED,
        message="cancelled",
        data={"status": status.value, "reason": reason, "result": None},
        operator=by.operator,
        key=by.key,
        note=by.note,
        reason=reason,
    )
    plan = locked.run.plan and stopped(locked.run.plan, reason)
    # Whoever drives it hears of it after the commit, and says when its work has really ended.
    is_driven = locked.run.claimToken is not None
    run = locked.run.but(
        status=status,
        plan=plan,
        held=None,
        claimToken=None,
        stillWorking=is_driven or locked.run.stillWorking,
    )
    return Change(run, settled=settlements, events=[*removed, cancelled])


def _describe_settings(settings: RunSettings) -> JsonObject:
    return {
        "objective": settings.objective,
        "outputs": [*settings.outputs],
        "maxHitlRequests": settings.maxHitlRequests,
    }


def _find_pending(locked: Locked, request_id: str) -> HitlRequest:
    request = next((each for each in locked.requests if each.requestId == request_id), None)
    if request is None:
        raise NotFound(f"Run {locked.run.runId} has no request {request_id}.")
    if request.status is not RequestStatus.PENDING:
        raise _already_decided(locked, request)
    _refuse_ended(locked.run)
    if _is_over(request, locked.now):
        raise RequestNotPending(
            f"Request {request_id} has expired.",
            requestStatus=request.status.value,
            pendingRequestId=None,
        )
    return request


def _already_decided(locked: Locked, request: HitlRequest) -> RequestNotPending:
    """Say who was first, if somebody was."""
    who, when = locked.resolved.get(request.requestId, (None, None))
    first: JsonObject = {}
    if when is not None:
        first["resolvedBy"] = who and who.json_object()
        first["resolvedAt"] = when.isoformat().replace("+00:00", "Z")
    return RequestNotPending(
        f"Request {request.requestId} is {request.status}, not pending any more.",
        requestStatus=request.status.value,
        pendingRequestId=current_request_id(list(locked.requests)),
        **first,
    )


def _refuse_ended(run: StoredRun) -> None:
    if run.ended:
        raise RunEnded(
            f"Run {run.runId} has already ended: {run.status}.", runStatus=run.status.value
        )


def _is_over(request: HitlRequest, now: datetime) -> bool:
    is_pending = request.status is RequestStatus.PENDING
    return is_pending and request.expiresAt is not None and request.expiresAt <= now


def _is_paused(run: StoredRun) -> bool:
    return run.status is RunStatus.AWAITING_HITL


def _go_on(run: StoredRun) -> StoredRun:
    return run.but(status=run_after(run.status, RunAct.ANSWER))


def _end_request(
    request: HitlRequest, settled: Settled, act: RequestAct, by: Person | None
) -> Settlement:
    reason = None
    if act is not RequestAct.ANSWER and isinstance(settled.answer, Denied):
        reason = settled.answer.reason
    ended = request.but(status=request_after(request.status, act), denialReason=reason)
    return Settlement(ended, settled, by)


def _deny_pending(
    requests: Sequence[HitlRequest], reason: str, by: Person | None, *, with_run: bool = False
) -> list[Settlement]:
    """Deny what is pending. `with_run`: nobody decided that, the run ended by itself."""
    denial = Settled(status=RequestStatus.DENIED, answer=Denied(reason=reason), withRun=with_run)
    pending = [each for each in requests if each.status is RequestStatus.PENDING]
    return [_end_request(request, denial, RequestAct.REMOVE, by) for request in pending]


_KIND_OF_DENIAL = {
    Cause.EXPIRED: events.EventKind.QUESTION_EXPIRED,
    Cause.REMOVED: events.EventKind.QUESTION_REMOVED,
    Cause.OPERATOR: events.EventKind.QUESTION_DENIED_BY_OPERATOR,
}


def _tell_denial(settlement: Settlement, cause: Cause, by: By) -> Event:
    event = events.ended(_KIND_OF_DENIAL[cause], settlement.request, settlement.settled.answer)
    return event.but(cause=cause, operator=by.operator, key=by.key, note=by.note)


def _tell_answer(
    locked: Locked, settlement: Settlement, responses: Sequence[HitlResponse], by: By
) -> Event:
    """With the seconds from the question to its answer."""
    asked_at = settlement.request.createdAt
    event = events.ended(
        events.EventKind.QUESTION_ANSWERED, settlement.request, settlement.settled.answer
    )
    return event.but(
        operator=settlement.by,
        key=by.key,
        note=by.note,
        responseTypes=tuple(response.responseType.value for response in responses),
        seconds=(locked.now - asked_at).total_seconds() if asked_at else None,
    )


def _tell_retry(run: StoredRun, by: By) -> Event:
    """In the words of a start: whoever follows the run hears that it goes on."""
    return Event(
        kind=events.EventKind.RUN_RETRIED,
        message="retried",
        data={"status": run.status.value, **_describe_settings(run.settings)},
        operator=by.operator,
        key=by.key,
        note=by.note,
    )


def _tell_end(status: RunStatus, ending: Ending) -> Event:
    data: JsonObject = {"status": status.value, "result": ending.result.json_object()}
    if ending.error is None:
        return Event(kind=events.EventKind.RUN_COMPLETED, message="completed", data=data)
    return Event(
        kind=events.EventKind.RUN_FAILED,
        message=ending.error.message,
        data={**data, "error": ending.error.json_object()},
        stepId=ending.error.stepId,
        reason=ending.error.message,
    )
