"""What a decision comes to, for every status of a run and a request: no database, no clock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hitl_orchestrator.domain.errors import (
    Conflict,
    Fenced,
    Invalid,
    NotFound,
    RequestNotPending,
    RunEnded,
    RunNotFailed,
)
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    Answered,
    By,
    Denied,
    HitlRequest,
    HitlResponse,
    Kind,
    Person,
    RequestStatus,
    ResponseType,
    Settled,
)
from hitl_orchestrator.domain.plan import Plan, Step, StepStatus
from hitl_orchestrator.domain.ports import Change, Claim, Locked
from hitl_orchestrator.domain.run import Held, RunStatus, StoredRun
from hitl_orchestrator.domain.state import Ending, Result, RunError, RunSettings
from hitl_orchestrator.graph import decisions, holding
from tests.contracts import registry, summary

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADA = Person(id="ada")
BY = By(ADA, "a note")
SETTINGS = RunSettings(
    runId="run", threadId="thread", objective="o", outputs=("x",), maxHitlRequests=3
)
REGISTRY = registry("a: objective -> x")
ENDED = ("completed", "failed", "cancelled")


def stored(status: str) -> StoredRun:
    return StoredRun(
        settings=SETTINGS,
        status=RunStatus(status),
        claimToken="token",
        createdAt=NOW,
        updatedAt=NOW,
    )


def asked(
    name: str = "q1", status: str = "pending", expires_in: float | None = None
) -> HitlRequest:
    return HitlRequest(
        requestId=name,
        runId="run",
        threadId="thread",
        stepId="s1",
        originAgent="a",
        status=RequestStatus(status),
        kind=Kind.FREEFORM,
        question="What?",
        operatorPrompt="",
        pendingNodeId="a",
        contractSummary=summary("a: objective -> x"),
        createdAt=NOW - timedelta(seconds=5),
        expiresAt=None if expires_in is None else NOW + timedelta(seconds=expires_in),
    )


def locked(run: str, *requests: HitlRequest) -> Locked:
    over = [request for request in requests if request.status is not RequestStatus.PENDING]
    settled = {
        request.requestId: Settled(status=RequestStatus.DENIED, answer=Denied(reason="no"))
        for request in over
    }
    resolved = {request.requestId: (ADA, NOW) for request in over}
    return Locked(stored(run), requests, settled, resolved, NOW)


def says(text: str, to: str = "q1") -> HitlResponse:
    return HitlResponse(requestId=to, responseType=ResponseType.FREEFORM, freeformText=text)


def answer(state: Locked) -> Change | None:
    return decisions.answer(state, "q1", [says("yes")], BY)


def deny(state: Locked) -> Change | None:
    return decisions.deny(state, "q1", "not now", BY)


def remove(state: Locked) -> Change | None:
    return decisions.remove(state, "q1", "a mistake", BY)


def cancel(state: Locked) -> Change | None:
    return decisions.cancel(state, "a mistake", BY)


Act = Callable[[Locked], Change | None]

# (run, request) -> the statuses after, and whether somebody has to drive it; or what is raised.
TABLE: dict[str, tuple[Act, dict[tuple[str, str], tuple[str, str, bool] | type[Conflict]]]] = {
    "answer": (
        answer,
        {
            ("awaiting_hitl", "pending"): ("running", "resolved", True),
            ("running", "pending"): ("running", "resolved", False),
        },
    ),
    "deny": (
        deny,
        {
            ("awaiting_hitl", "pending"): ("running", "denied", True),
            ("running", "pending"): ("running", "denied", False),
        },
    ),
    "remove": (
        remove,
        {
            ("awaiting_hitl", "pending"): ("cancelled", "denied", False),
            ("running", "pending"): ("cancelled", "denied", False),
            ("queued", "pending"): ("cancelled", "denied", False),
        },
    ),
    "cancel": (
        cancel,
        {
            (run, request): ("cancelled", "denied" if request == "pending" else request, False)
            for run in ("queued", "running", "awaiting_hitl")
            for request in RequestStatus
        },
    ),
}


def what_is_raised(act: str, run: str, request: str) -> type[Conflict]:
    if act == "cancel":
        return RunEnded
    if request != "pending":
        return RequestNotPending
    return RunEnded if run in ENDED else Conflict


@pytest.mark.parametrize("act", TABLE)
@pytest.mark.parametrize("run", list(RunStatus))
@pytest.mark.parametrize("request_status", list(RequestStatus))
def test_every_act_in_every_state(act: str, run: str, request_status: str) -> None:
    decide, table = TABLE[act]
    state = locked(run, asked(status=request_status))
    expected = table.get((run, request_status))
    if expected is None:
        with pytest.raises(what_is_raised(act, run, request_status)):
            decide(state)
        return
    change = decide(state)
    assert change is not None
    statuses = {each.request.requestId: each.request.status for each in change.settled}
    assert (change.run.status, statuses.get("q1", request_status), change.drive) == expected


def test_an_answer_says_who_when_and_how_long_it_took() -> None:
    change = decisions.answer(locked("awaiting_hitl", asked()), "q1", [says("yes")], BY)
    (settlement,), (response,), (event,) = change.settled, change.responses, change.events
    assert settlement.settled.answer == Answered(
        responseType=ResponseType.FREEFORM, freeformText="yes"
    )
    assert (settlement.by, response.createdAt) == (ADA, NOW)
    assert (event.kind, event.operator, event.note, event.seconds) == (
        "question_answered",
        ADA,
        "a note",
        5.0,
    )


def test_all_answers_of_a_call_are_taken_or_none() -> None:
    state = locked("awaiting_hitl", asked("q1"), asked("q2", "resolved"))
    with pytest.raises(RequestNotPending) as refused:
        decisions.answer(state, "q1", [says("yes"), says("no", to="q2")], NOBODY)
    assert refused.value.more == {
        "requestStatus": "resolved",
        "pendingRequestId": "q1",
        "resolvedBy": {"id": "ada", "displayName": None, "email": None},
        "resolvedAt": "2026-11-22T00:00:00Z",
    }


def test_a_request_of_another_run_is_not_found() -> None:
    with pytest.raises(NotFound):
        decisions.answer(locked("awaiting_hitl", asked()), "q9", [says("yes", to="q9")], BY)


def test_the_named_request_is_one_of_those_answered() -> None:
    with pytest.raises(Invalid):
        decisions.answer(locked("awaiting_hitl", asked()), "q2", [says("yes")], BY)


def test_what_is_over_takes_no_answer_and_is_denied_when_somebody_looks() -> None:
    state = locked("awaiting_hitl", asked("q1", expires_in=-1), asked("q2", expires_in=1))
    with pytest.raises(RequestNotPending, match="has expired"):
        answer(state)
    change = decisions.expire(state)
    assert change is not None
    assert [each.request.requestId for each in change.settled] == ["q1"]
    assert (change.settled[0].request.denialReason, change.run.status) == ("Expired", "running")


def test_nothing_over_is_nothing_to_write() -> None:
    assert decisions.expire(locked("awaiting_hitl", asked("q1", expires_in=1), asked("q2"))) is None


def test_a_removal_denies_the_others_too_and_tells_the_named_one_first() -> None:
    state = locked("awaiting_hitl", asked("q1"), asked("q2"))
    change = decisions.remove(state, "q2", "a mistake", BY)
    assert [event.requestId for event in change.events] == ["q2", "q1", None]
    assert {each.request.denialReason for each in change.settled} == {"a mistake"}


def test_without_a_pending_request_there_is_nothing_to_remove() -> None:
    with pytest.raises(RequestNotPending, match="no pending request"):
        decisions.remove(locked("running", asked(status="resolved")), None, "r", BY)


def test_a_denial_by_an_operator_is_audited_as_one() -> None:
    change = decisions.deny(locked("awaiting_hitl", asked()), "q1", "not now", BY)
    (event,) = change.events
    assert (event.kind, event.cause, event.reason, event.operator, event.note) == (
        "question_denied_by_operator",
        "operator",
        "not now",
        ADA,
        "a note",
    )
    assert change.settled[0].settled.answer == Denied(reason="not now")


def test_a_start_is_queued_with_what_is_at_hand() -> None:
    change = decisions.start(REGISTRY, SETTINGS, {"mine": 1}, NOW)
    assert (change.run.status, change.drive, change.run.metadata) == ("queued", True, {"mine": 1})
    assert change.run.facets["objective"].producedBy == "input"


def test_a_start_that_nobody_can_finish_is_refused() -> None:
    with pytest.raises(Invalid, match="No allowed capability can make y"):
        decisions.start(REGISTRY, SETTINGS.but(outputs=("y",)), {}, NOW)
    with pytest.raises(Invalid, match="Unknown capability: b"):
        decisions.start(REGISTRY, SETTINGS.but(agents=("b",)), {}, NOW)


def test_a_retry_shows_what_failed_as_open_and_forgets_how_the_run_ended() -> None:
    steps = tuple(
        Step(stepId=name, capabilityId="a", label="A", status=StepStatus(status), reason="r")
        for name, status in (("s1", "completed"), ("s2", "failed"), ("s3", "skipped"))
    )
    state = locked("failed", asked(status="resolved"))
    failed = state.run.but(plan=Plan(version=2, steps=steps), error=RunError(message="m"))
    change = decisions.retry(replace(state, run=failed), BY)
    assert (change.run.status, change.drive, change.run.retrying) == ("queued", True, True)
    assert (change.run.error, change.run.result, [*change.settled]) == (None, None, [])
    assert change.run.plan is not None
    assert [step.status for step in change.run.plan.steps] == ["completed", "pending", "skipped"]
    (event,) = change.events
    assert (event.kind, event.message, event.operator, event.note) == (
        "run_retried",
        "retried",
        ADA,
        "a note",
    )


@pytest.mark.parametrize("run", [status for status in RunStatus if status != "failed"])
def test_only_a_failed_run_is_retried(run: RunStatus) -> None:
    with pytest.raises(RunNotFailed) as refused:
        decisions.retry(locked(run, asked()), BY)
    assert refused.value.more == {"runStatus": run}


def test_what_ends_with_its_run_was_decided_by_nobody() -> None:
    state = locked("running", asked())
    ended = decisions.fail(state, Claim("run", "token"), "broken")
    cancelled = decisions.cancel(state, "enough", BY)
    assert [each.settled.withRun for each in (*ended.settled, *cancelled.settled)] == [True, False]


def test_only_who_holds_the_claim_ends_a_run() -> None:
    state = locked("running", asked())
    with pytest.raises(Fenced):
        decisions.fail(state, Claim("run", "another"), "broken")
    change = decisions.fail(state, Claim("run", "token"), "broken")
    assert (change.run.status, change.run.error) == ("failed", RunError(message="broken"))
    assert (change.run.claimToken, change.settled[0].request.denialReason) == (None, "broken")


def test_an_end_with_an_error_fails_and_one_without_completes() -> None:
    result = Result(outputs={"x": 1})
    done = decisions.end(stored("running"), [], Ending(result=result))
    assert (done.run.status, done.run.result, done.events[-1].kind) == (
        "completed",
        result,
        "run_completed",
    )
    failed = decisions.end(
        stored("running"), [], Ending(result=result, error=RunError(message="m", stepId="s1"))
    )
    assert (failed.run.status, failed.events[-1].kind, failed.events[-1].stepId) == (
        "failed",
        "run_failed",
        "s1",
    )


HELD = Held(reason="no agent a is plugged in", capabilityId="a", since=NOW)


def held(run: str, *requests: HitlRequest) -> Locked:
    state = locked(run, *requests)
    return replace(state, run=state.run.but(held=HELD))


@pytest.mark.parametrize("run", list(RunStatus))
def test_a_run_is_held_in_every_state_but_its_end_and_only_once(run: str) -> None:
    change = holding.hold(locked(run, asked()), "a", "no agent a is plugged in")
    assert holding.hold(held(run, asked()), "a", "another reason") is None
    if run in ENDED:
        assert change is None
        return
    assert change is not None
    (event,) = change.events
    assert (change.run.held, change.run.status, change.settled) == (HELD, run, ())
    assert (event.kind, event.reason, event.originAgent) == (
        "run_held",
        "no agent a is plugged in",
        "a",
    )


@pytest.mark.parametrize("run", list(RunStatus))
def test_a_held_run_is_let_go_and_driven_where_it_was_at_work(run: str) -> None:
    change = holding.let_go(held(run, asked()), {"q1": "f2"})
    if run in ENDED:
        assert change is None
        return
    assert change is not None
    assert (change.run.held, change.run.status, change.fitted) == (None, run, {"q1": "f2"})
    assert change.drive is (run in ("queued", "running"))
    assert [event.kind for event in change.events] == ["run_let_go"]


def test_a_run_that_fits_under_another_fingerprint_is_noted_without_a_word() -> None:
    assert holding.let_go(locked("awaiting_hitl", asked()), {}) is None
    change = holding.let_go(locked("awaiting_hitl", asked()), {"q1": "f2"})
    assert change is not None
    assert (change.fitted, change.events, change.drive) == ({"q1": "f2"}, [], False)


def test_a_decision_about_a_held_run_that_fits_now_lets_it_go() -> None:
    decided = answer(held("awaiting_hitl", asked()))
    assert decided is not None
    change = holding.take_fitting(decided, {"q1": "f2"})
    assert (change.run.held, change.fitted, change.drive) == (None, {"q1": "f2"}, True)
    assert [event.kind for event in change.events] == ["run_let_go", "question_answered"]


def test_a_held_run_can_be_given_up() -> None:
    for change in (cancel(held("awaiting_hitl", asked())), remove(held("running", asked()))):
        assert change is not None
        assert (change.run.status, change.run.held) == ("cancelled", None)
