"""What the graph's writes become, and what is done with the graph next: no database, no graph."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from langgraph.types import Interrupt, PregelTask, StateSnapshot

from hitl_orchestrator.domain.errors import Fenced
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.hitl import (
    Answered,
    HitlRequest,
    Kind,
    RequestStatus,
    ResponseType,
    Settled,
)
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.ports import Claim, Locked, Update
from hitl_orchestrator.domain.records import JsonObject, Record
from hitl_orchestrator.domain.run import Held, RunStatus, StoredRun
from hitl_orchestrator.domain.state import (
    RUN,
    Asked,
    Delta,
    Ending,
    Facet,
    Outcome,
    Report,
    Result,
    RunError,
    RunSettings,
    Snapshot,
)
from hitl_orchestrator.graph.channel import MOST_REMEMBERED, Folded
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
    choose_next,
    conclude,
    read_thread,
    record,
)
from tests.contracts import summary

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CLAIM = Claim("run", "token")
SETTINGS = RunSettings(
    runId="run", threadId="thread", objective="o", outputs=("x",), maxHitlRequests=3
)
FIRST = Snapshot.first(SETTINGS)
ANSWER = Answered(responseType=ResponseType.FREEFORM, freeformText="yes")
SETTLED = {"q1": Settled(status=RequestStatus.RESOLVED, answer=ANSWER)}
WAITS = Interrupt(value={"stepId": "s1", "requestIds": ["q1"]}, id="i1")
WAITS_TOO = Interrupt(value={"stepId": "s2", "requestIds": ["q2", "q3"]}, id="i2")


def said(**delta: Any) -> dict[str, Any]:
    """What a node wrote, as a saver has it."""
    return {RUN: Delta(**delta).write_json()}


def task(result: dict[str, Any] | None = None, *interrupts: Interrupt) -> PregelTask:
    return PregelTask("id", "a", (), interrupts=interrupts, result=result)


def thread(*tasks: PregelTask, run_id: str | None = "run") -> StateSnapshot:
    """A thread as LangGraph shows it. `run_id`: whose run it had last; None: it is new."""
    values: dict[str, Any] = {}
    if run_id is not None:
        values = {RUN: Snapshot.first(SETTINGS.but(runId=run_id))}
    return StateSnapshot(
        values=values,
        next=(),
        config={},
        metadata=None,
        created_at=None if run_id is None else "then",
        parent_config=None,
        tasks=tasks,
        interrupts=tuple(interrupt for each in tasks for interrupt in each.interrupts),
    )


RESUMED: JsonObject = {"answers": {"q1": SETTLED["q1"].json_object()}}


@pytest.mark.parametrize(
    ("state", "settled", "expected"),
    [
        (thread(run_id=None), {}, Begin(FIRST)),
        (thread(run_id="another"), {}, Begin(FIRST)),
        (thread(task(None, WAITS)), {}, Rest((WAITS,))),
        (thread(task(None, WAITS)), SETTLED, ResumeWith({"i1": RESUMED})),
        (thread(task(None, WAITS), task(None, WAITS_TOO)), SETTLED, ResumeWith({"i1": RESUMED})),
        (thread(task(None, WAITS_TOO)), SETTLED, Rest((WAITS_TOO,))),
        (thread(task(None, WAITS), task()), {}, Continue()),
        (thread(task(said())), {}, Continue()),
        (thread(task()), {}, Continue()),
        (thread(), {}, Rest()),
    ],
    ids=[
        "a new thread begins",
        "a thread of another run begins anew",
        "what waits is left alone",
        "an answer is told",
        "an answer to one of two is told to that one",
        "half of the answers are none",
        "an unfinished sibling goes on before anybody is asked",
        "written, but no checkpoint after it",
        "unfinished",
        "finished",
    ],
)
def test_what_is_done_next(
    state: StateSnapshot, settled: dict[str, Settled], expected: Next
) -> None:
    assert choose_next(FIRST, state, settled) == expected


def test_finished_siblings_of_what_waits_are_in_the_state() -> None:
    done = said(facets={"x": Facet(value=1, producedBy="s1")})
    state = read_thread(FIRST, thread(task(done), task(None, WAITS)))
    assert state.facets["x"].value == 1


def test_a_run_of_a_program_before_is_read_with_what_finished_siblings_wrote() -> None:
    def dumped(**records: Record) -> JsonObject:
        return {name: record.json_object() for name, record in records.items()}

    values: dict[str, Any] = {
        "run": SETTINGS.json_object(),
        "plan": Plan(version=1, steps=()).json_object(),
        "considered": [],
        "facets": dumped(objective=Facet(value="o", producedBy="input")),
        "result": None,
    }
    done = Report(outcome=Outcome.COMPLETED)
    found = CheckpointTuple(
        {},
        {**empty_checkpoint(), "channel_values": values},
        {},
        pending_writes=[
            ("t1", "reports", dumped(s1=done)),
            ("t1", "facets", dumped(x=Facet(value=1, producedBy="s1"))),
            ("t1", "events", []),
            ("t2", "__interrupt__", (WAITS,)),
        ],
    )
    state = read_earlier(found)
    assert Folded().from_checkpoint(values["run"]).get().is_partial
    assert (state.reports, state.facets["x"].value) == ({"s1": done}, 1)
    assert (state.plan, state.is_partial) == (Plan(version=1, steps=()), False)


def test_a_channel_reads_what_it_wrote_last_as_it_was() -> None:
    channel, states = Folded(), list[Snapshot]()
    for number in range(MOST_REMEMBERED + 1):
        made = channel.copy()
        made.update([Delta(first=FIRST.but(considered=(str(number),))).write()])
        states.append(channel.from_checkpoint(made.checkpoint()).get())
        assert states[-1] is made.get()
    oldest, second = ({"runId": "run", "state": one.write_json()} for one in states[:2])
    assert channel.from_checkpoint(second).get() is states[1]
    read = channel.from_checkpoint(oldest).get()
    assert (read == states[0], read is states[0]) == (True, False)


def asked(status: str = "pending", **more: Any) -> Asked:
    request = HitlRequest(
        requestId="q1",
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
    )
    return Asked(request=request, fingerprint="f", keys=("k",), **more)


def locked(settled: dict[str, Settled] | None = None, held: str = CLAIM.token) -> Locked:
    """`held`: the token of the claim that the run has."""
    run = StoredRun(
        settings=SETTINGS,
        status=RunStatus.RUNNING,
        claimToken=held,
        createdAt=NOW,
        updatedAt=NOW,
    )
    ended = settled or {}
    return Locked(run, [], ended, dict.fromkeys(ended, (None, NOW)), NOW)


def wrote(thread_id: str = "thread", **delta: Any) -> Update:
    return Update("u", thread_id, [*said(**delta).items()])


QUESTION = wrote(questions={"q1": asked(expiresInSeconds=60)})
DELIVERY = wrote(questions={"q1": asked("resolved", answer=ANSWER)})
REPEAT = wrote(questions={"q1": asked("denied", repeats="q0")})
END = wrote(result=Ending(result=Result(outputs={"x": 1})))
EVENT = wrote(events=[Event(kind=EventKind.WARNED, message="careful")])
OF_A_CHILD = Update("u", "another", [("questions", {"q9": 1}), (RUN, "of its own")])
THE_START = wrote(first=FIRST.but(questions={"q1": asked()}))


def test_a_question_becomes_a_dated_row_and_an_event() -> None:
    change = record(FIRST, CLAIM, locked(), [QUESTION]).change
    (row,), (event,) = change.asked, change.events
    assert row.request.createdAt == NOW
    assert row.request.expiresAt is not None
    assert (row.request.expiresAt - NOW).total_seconds() == 60
    assert event.kind == "question_asked"


def test_a_delivery_is_one_with_the_time_since_its_answer() -> None:
    change = record(FIRST, CLAIM, locked(SETTLED), [DELIVERY]).change
    assert [request.requestId for request in change.delivered] == ["q1"]
    assert [(event.kind, event.seconds) for event in change.events] == [("answer_delivered", 0.0)]


@pytest.mark.parametrize("update", [REPEAT, OF_A_CHILD, THE_START])
def test_what_makes_no_row(update: Update) -> None:
    change = record(FIRST, CLAIM, locked(), [update]).change
    assert (change.asked, change.delivered, change.events) == ([], [], [])


def test_to_record_the_same_again_changes_nothing() -> None:
    once = record(FIRST, CLAIM, locked(), [QUESTION, EVENT])
    assert record(once.state, CLAIM, locked(), [QUESTION, EVENT]) == once


def test_whoever_lost_the_claim_writes_nothing() -> None:
    with pytest.raises(Fenced):
        record(FIRST, CLAIM, locked(held="another"), [QUESTION])


BROKEN = Broken(RunError(message="broken"))


@pytest.mark.parametrize(
    ("stop", "updates", "settled", "status", "following"),
    [
        (Stopped((WAITS,)), [QUESTION], {}, "awaiting_hitl", None),
        (Stopped((WAITS,)), [], SETTLED, "running", ResumeWith({"i1": RESUMED})),
        (Stopped(), [END], {}, "completed", None),
        (Stopped(), [], {}, "failed", None),
        (BROKEN, [], {}, "failed", None),
        (BROKEN, [QUESTION], SETTLED, "failed", None),
        (Drained(), [QUESTION], {}, "running", None),
        (HeldBack("a", "no node ask"), [], SETTLED, "running", None),
    ],
    ids=[
        "it waits: paused",
        "answered meanwhile: it goes on",
        "it has a result: completed",
        "it has none: failed, never done",
        "it broke: failed",
        "it broke though somebody waits: failed, and nobody is asked more",
        "this process ends: the run goes on elsewhere",
        "its agent does not fit: held, whatever was answered",
    ],
)
def test_what_a_stop_comes_to(
    stop: Stop,
    updates: Sequence[Update],
    settled: dict[str, Settled],
    status: str,
    following: ResumeWith | None,
) -> None:
    concluded = conclude(FIRST, CLAIM, locked(settled), updates, stop)
    run = concluded.change.run
    assert (run.status, concluded.next) == (status, following)
    is_at_rest = status != "running" or isinstance(stop, HeldBack)
    assert (run.claimToken is None) is is_at_rest, "only a run at rest is free"


def test_what_was_written_before_it_was_held_is_kept() -> None:
    stop = HeldBack("a", "no node ask")
    change = conclude(FIRST, CLAIM, locked(), [QUESTION, EVENT], stop).change
    assert [row.request.requestId for row in change.asked] == ["q1"]
    assert change.run.held == Held(reason="no node ask", capabilityId="a", since=NOW)
    assert [event.kind for event in change.events] == ["question_asked", "warned", "run_held"]
