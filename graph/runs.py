"""What people do to a run: start, answer, remove, cancel; and what time does: expire. One
transaction each.

Every function decides on the locked run and writes a `Change`; the caller owns the transaction, and
what follows its commit.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import OBJECTIVE, Registry
from hitl_orchestrator.domain.errors import Fenced, Invalid, NotFound, RequestNotPending, RunEnded
from hitl_orchestrator.domain.events import Cause, Event
from hitl_orchestrator.domain.fitting import settle
from hitl_orchestrator.domain.guards import EXPIRED_REASON
from hitl_orchestrator.domain.hitl import (
    Denied,
    HitlRequest,
    HitlResponse,
    Person,
    RequestStatus,
    Settled,
)
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.planning import check_start
from hitl_orchestrator.domain.ports import Change, Claim, Locked, RunRef, Settlement, Transaction
from hitl_orchestrator.domain.progress import stopped
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import RunStatus, StoredRun, current_request_id
from hitl_orchestrator.domain.state import INPUT, Ending, Facet, Result, RunError, RunSettings
from hitl_orchestrator.domain.transitions import RequestAct, RunAct, request_after, run_after


async def start(
    tx: Transaction, registry: Registry, settings: RunSettings, metadata: JsonObject
) -> None:
    """Raises Invalid (an unknown capability, facets that cannot be made) and ThreadBusy."""
    at_hand: JsonObject = {OBJECTIVE: settings.objective, **settings.inputs}
    check_start(registry, settings.agents, settings.outputs, [*at_hand])
    now = await tx.now()
    run = StoredRun(
        settings=settings,
        metadata=metadata,
        status=RunStatus.QUEUED,
        facets={name: Facet(value=value, producedBy=INPUT) for name, value in at_hand.items()},
        createdAt=now,
        updatedAt=now,
    )
    data: JsonObject = {
        "objective": settings.objective,
        "outputs": [*settings.outputs],
        "maxHitlRequests": settings.maxHitlRequests,
    }
    await tx.insert(
        Change(
            run,
            events=[Event(kind=events.Kind.RUN_STARTED, message="started", data=data)],
            drive=True,
        )
    )


class By(NamedTuple):
    """Who does it, and what they note."""

    operator: Person | None = None
    note: str | None = None


async def answer(
    tx: Transaction, ref: RunRef, request_id: str, responses: Sequence[HitlResponse], by: By
) -> str:
    """Take all responses or none. Returns the run's id. Raises NotFound, RequestNotPending,
    RunEnded, Invalid.
    """
    locked = await tx.lock(ref)
    if request_id not in {response.requestId for response in responses}:
        raise Invalid(f"`requestId` {request_id} is none of the requests that `responses` answer.")
    settlements, happened = list[Settlement](), list[Event]()
    for answered in dict.fromkeys(response.requestId for response in responses):
        request = _pending(locked, answered)
        given = [response for response in responses if response.requestId == answered]
        settlement = _settlement(
            request, settle(request, given), RequestAct.ANSWER, by.operator or given[0].responder
        )
        settlements.append(settlement)
        event = events.ended(
            events.Kind.QUESTION_ANSWERED, settlement.request, settlement.settled.answer
        )
        types = tuple(response.responseType.value for response in given)
        happened.append(
            event.but(
                operator=settlement.by,
                note=by.note,
                responseTypes=types,
                seconds=_waited(locked, request),
            )
        )
    await tx.write(Change(
        _to_be_driven(locked.run), settled=settlements, responses=responses, events=happened, drive=_is_paused(locked.run),
    ))  # fmt: skip
    return locked.run.runId


async def remove(tx: Transaction, ref: RunRef, request_id: str | None, reason: str, by: By) -> str:
    """Deny the request (the oldest pending one, if none is named) and cancel the run. Raises as
    `answer` does.
    """
    locked = await tx.lock(ref)
    current = request_id or current_request_id(list(locked.requests))
    if current is None:
        _refuse_ended(locked.run)
        raise RequestNotPending(
            f"Run {locked.run.runId} has no pending request.",
            requestStatus=None,
            pendingRequestId=None,
        )
    _pending(locked, current)
    await tx.write(_cancelled(locked, reason, by, first=current))
    return locked.run.runId


async def cancel(tx: Transaction, ref: RunRef, reason: str, by: By) -> str:
    """Stop a queued, running or paused run; its pending requests are denied with it. Raises
    NotFound, RunEnded.
    """
    locked = await tx.lock(ref)
    _refuse_ended(locked.run)
    await tx.write(_cancelled(locked, reason, by))
    return locked.run.runId


async def expire(tx: Transaction, run_id: str) -> None:
    """Deny what was not answered in time. Whoever looks first does it; a second look finds
    nothing.
    """
    locked = await tx.lock(RunRef(run_id))
    over = [
        r
        for r in locked.requests
        if r.status is RequestStatus.PENDING and r.expiresAt and r.expiresAt <= locked.now
    ]
    if not over:
        return
    denial = Settled(status=RequestStatus.DENIED, answer=Denied(reason=EXPIRED_REASON))
    settlements = [_settlement(request, denial, RequestAct.EXPIRE, None) for request in over]
    happened = [_denied_later(events.Kind.QUESTION_EXPIRED, s, Cause.EXPIRED) for s in settlements]
    await tx.write(
        Change(
            _to_be_driven(locked.run),
            settled=settlements,
            events=happened,
            drive=_is_paused(locked.run),
        )
    )


def _cancelled(locked: Locked, reason: str, by: By, first: str | None = None) -> Change:
    settlements = _denied(
        sorted(locked.requests, key=lambda request: request.requestId != first), reason, by.operator
    )
    removed = [
        _denied_later(events.Kind.QUESTION_REMOVED, s, Cause.REMOVED).but(
            operator=by.operator, note=by.note
        )
        for s in settlements
    ]
    data: JsonObject = {"status": RunStatus.CANCELLED.value, "reason": reason, "result": None}
    end = Event(
        kind=events.Kind.RUN_CANCELLED,
        message="cancelled",
        data=data,
        operator=by.operator,
        note=by.note,
        reason=reason,
    )
    status = run_after(locked.run.status, RunAct.CANCEL)
    plan: Plan | None = locked.run.plan and stopped(locked.run.plan, reason)
    return Change(
        locked.run.but(status=status, plan=plan, claimToken=None),
        settled=settlements,
        events=[*removed, end],
    )


def _pending(locked: Locked, request_id: str) -> HitlRequest:
    request = next((r for r in locked.requests if r.requestId == request_id), None)
    if request is None:
        raise NotFound(f"Run {locked.run.runId} has no request {request_id}.")
    if request.status is not RequestStatus.PENDING:
        who, when = locked.resolved.get(request_id, (None, None))
        first = (
            {
                "resolvedBy": who and who.json_object(),
                "resolvedAt": when.isoformat().replace("+00:00", "Z"),
            }
            if when
            else {}
        )
        raise RequestNotPending(
            f"Request {request_id} is {request.status}, not pending any more.",
            requestStatus=request.status.value,
            pendingRequestId=current_request_id(list(locked.requests)),
            **first,
        )
    _refuse_ended(locked.run)
    if request.expiresAt and request.expiresAt <= locked.now:
        raise RequestNotPending(
            f"Request {request_id} has expired.",
            requestStatus=request.status.value,
            pendingRequestId=None,
        )
    return request


def _refuse_ended(run: StoredRun) -> None:
    if run.ended:
        raise RunEnded(
            f"Run {run.runId} has already ended: {run.status}.", runStatus=run.status.value
        )


def _settlement(
    request: HitlRequest, settled: Settled, act: RequestAct, by: Person | None
) -> Settlement:
    reason = (
        settled.answer.reason
        if act is not RequestAct.ANSWER and isinstance(settled.answer, Denied)
        else None
    )
    return Settlement(
        request.but(status=request_after(request.status, act), denialReason=reason), settled, by
    )


def _denied_later(kind: events.Kind, settlement: Settlement, cause: Cause) -> Event:
    return events.ended(kind, settlement.request, settlement.settled.answer).but(cause=cause)


def _waited(locked: Locked, request: HitlRequest) -> float | None:
    return (locked.now - request.createdAt).total_seconds() if request.createdAt else None


def _is_paused(run: StoredRun) -> bool:
    return run.status is RunStatus.AWAITING_HITL


def _to_be_driven(run: StoredRun) -> StoredRun:
    return run.but(status=run_after(run.status, RunAct.ANSWER))


async def fail(tx: Transaction, claim: Claim, message: str) -> None:
    """End a run that cannot be driven on. Raises Fenced when the claim is not ours."""
    locked = await tx.lock(RunRef(claim.run_id))
    if locked.run.claimToken != claim.token:
        raise Fenced(f"Run {claim.run_id} is driven by another process.")
    run = locked.run.but(status=run_after(locked.run.status, RunAct.DRIVE))
    await tx.write(
        end(
            run, locked.requests, Ending(result=Result(outputs={}), error=RunError(message=message))
        )
    )


def end(run: StoredRun, requests: Sequence[HitlRequest], ending: Ending) -> Change:
    """Nothing is left to do, or nothing can be: the run completes or fails, and nobody is asked any
    more.
    """
    reason = ending.error.message if ending.error else "The run has ended."
    status = run_after(run.status, RunAct.FAIL if ending.error else RunAct.COMPLETE)
    settlements = _denied(requests, reason, None)
    removed = [
        _denied_later(events.Kind.QUESTION_REMOVED, settlement, Cause.REMOVED)
        for settlement in settlements
    ]
    data: JsonObject = {"status": status.value, "result": ending.result.json_object()}
    last = Event(kind=events.Kind.RUN_COMPLETED, message="completed", data=data)
    if ending.error:
        failed: JsonObject = {**data, "error": ending.error.json_object()}
        last = Event(
            kind=events.Kind.RUN_FAILED,
            message=reason,
            data=failed,
            stepId=ending.error.stepId,
            reason=reason,
        )
    plan = run.plan and stopped(run.plan, reason)
    ended = run.but(
        status=status, plan=plan, result=ending.result, error=ending.error, claimToken=None
    )
    return Change(ended, settled=settlements, events=[*removed, last])


def _denied(requests: Sequence[HitlRequest], reason: str, by: Person | None) -> list[Settlement]:
    denial = Settled(status=RequestStatus.DENIED, answer=Denied(reason=reason))
    return [
        _settlement(request, denial, RequestAct.REMOVE, by)
        for request in requests
        if request.status is RequestStatus.PENDING
    ]
