"""What a process knows of a run that it wrote is what is stored: nothing is read back."""

import asyncio
import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from hitl_orchestrator.checkpoints import kept
from hitl_orchestrator.checkpoints.images import ThreadImage
from hitl_orchestrator.checkpoints.kept import WRITING_SECONDS, KeptRun, Moment, Seen
from hitl_orchestrator.checkpoints.pool import connection
from hitl_orchestrator.checkpoints.remembered import Remembering
from hitl_orchestrator.checkpoints.transaction import Overtaken
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import RequestNotPending
from hitl_orchestrator.domain.hitl import (
    Answered,
    By,
    Denied,
    HitlRequest,
    HitlResponse,
    Person,
    ResponseType,
)
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import JsonObject, Record
from hitl_orchestrator.domain.run import AuditEntry, NewRun, Run, RunStatus
from hitl_orchestrator.graph import decisions
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.services import Services, open_services
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.waiting import Waiting
from tests.processes import AGENTS

WAIT_SECONDS = 20
BY = By(operator=Person(id="ada"), note="looked at")


class Watched:
    """An orchestrator, and what its process knows of each run."""

    def __init__(self, services: Services) -> None:
        self.hitl, self.store = Orchestrator(services), services.store
        self._told, self.store.written = self.store.written, self.note
        self.known: dict[str, KeptRun] = {}

    def note(self, run: KeptRun) -> None:
        self.known[run.run.runId] = run
        self._told(run)

    async def check(self) -> None:
        """Look that all of it is what is stored."""
        async with connection(self.store.pool) as conn:
            for run_id, known in self.known.items():
                assert (await kept.read(conn, RunRef(run_id))).kept == known

    async def start(self, output: str, **inputs: str) -> Run:
        new = NewRun(objective="Ask", inputs={**inputs}, outputs=(output,), metadata={"for": "us"})
        run = (await self.hitl.start(new, wait_seconds=WAIT_SECONDS)).run
        assert run.pendingRequestId
        return run

    async def answer(self, run: Run, number: int = 0) -> Run:
        request_id = [each.requestId for each in run.requests if each.status == "pending"][number]
        answers = {"choice": {"selectedOptionId": "warm"}, "freeform": {"freeformText": "yes"}}
        kind = next(each.kind.value for each in run.requests if each.requestId == request_id)
        type_ = ResponseType.OPTION if kind == "choice" else ResponseType.FREEFORM
        response = HitlResponse.model_validate(
            {"requestId": request_id, "responseType": type_, **answers[kind]}
        )
        ref = RunRef(run.runId)
        done = await self.hitl.answer(ref, request_id, [response], BY, wait_seconds=WAIT_SECONDS)
        return done.run


@asynccontextmanager
async def watching(database_url: str) -> AsyncGenerator[Watched]:
    names = ("asks.py:asking", "two_questions.py:agent", "counting.py:joined", "counting.py:left",
             "counting.py:right")  # fmt: skip
    settings = {"database_url": database_url, "agents": tuple(f"{AGENTS / one}" for one in names)}
    async with open_services(Settings.model_validate(settings)) as services:
        yield Watched(services)


@pytest.fixture
async def watched(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Watched]:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    async with watching(database_url) as opened:
        yield opened


@pytest.fixture
async def another(watched: Watched, database_url: str) -> AsyncGenerator[Watched]:
    """Another process on the same database, as far as one can be had in this one."""
    async with watching(database_url) as opened:
        yield opened


async def end_by_answers(watched: Watched) -> None:
    run = await watched.start("letter")
    while run.pendingRequestId:
        run = await watched.answer(run)
        await watched.check()
    assert run.status == "completed"


async def end_by_a_rejection(watched: Watched) -> None:
    run = await watched.start("asked")
    rejection = HitlResponse(
        requestId=run.requests[0].requestId, responseType=ResponseType.REJECTION, freeformText="no"
    )
    request_id = rejection.requestId
    await watched.hitl.answer(RunRef(run.runId), request_id, [rejection], BY, wait_seconds=20)


async def end_by_a_denial(watched: Watched) -> None:
    run = await watched.start("asked")
    request_id = run.requests[0].requestId
    await watched.hitl.deny(RunRef(run.runId), request_id, "late", BY, wait_seconds=WAIT_SECONDS)


async def end_by_a_removal(watched: Watched) -> None:
    run = await watched.start("asked")
    await watched.hitl.remove(RunRef(thread_id=run.threadId), None, "not any more", BY)


async def end_by_a_cancel(watched: Watched) -> None:
    run = await watched.start("asked")
    await watched.hitl.cancel(RunRef(run.runId), "not any more", BY)


async def ask_side_by_side(watched: Watched) -> None:
    run = await watched.start("joined")
    assert len(run.requests) == 2
    run = await watched.answer(run, 1)
    await watched.check()
    run = await watched.answer(run)


WAYS = (
    end_by_answers,
    end_by_a_rejection,
    end_by_a_denial,
    end_by_a_removal,
    end_by_a_cancel,
    ask_side_by_side,
)


@pytest.mark.parametrize("live", WAYS)
async def test_what_is_known_is_what_is_stored(
    watched: Watched, live: Callable[[Watched], Awaitable[None]]
) -> None:
    await live(watched)
    assert watched.known
    await watched.check()


async def test_who_was_overtaken_writes_nothing(watched: Watched) -> None:
    """Both have read the question as pending before either writes."""
    run = await watched.start("asked")
    request_id = run.requests[0].requestId
    response = HitlResponse(
        requestId=request_id, responseType=ResponseType.FREEFORM, freeformText="yes"
    )
    ref = RunRef(run.runId)
    async with watched.store.alone() as first, watched.store.alone() as second:
        changes = [
            decisions.answer(await tx.lock(ref), request_id, [response], BY)
            for tx in (first, second)
        ]
        await first.write(changes[0])
        with pytest.raises(Overtaken):
            await second.write(changes[1])
    assert (len(first.claims), second.claims, second.events) == (1, [], [])
    stored = await watched.store.show(ref)
    assert len(stored.responses) == 1


async def test_what_others_have_changed_since_is_decided_about_anew(watched: Watched) -> None:
    """Of many who answer one question at once, whoever comes first."""
    run = await watched.start("asked")
    tries = [asyncio.create_task(watched.answer(run)) for _ in range(12)]
    await asyncio.wait(tries)
    errors = [type(each.exception()).__name__ for each in tries if each.exception()]
    assert errors == ["RequestNotPending"] * 11
    await watched.check()


async def test_a_paused_run_is_remembered_as_it_is_stored(watched: Watched) -> None:
    run = await watched.start("joined")
    remembered = watched.store.remembering.find(run.runId)
    assert remembered
    async with connection(watched.store.pool) as conn:
        assert (await kept.read(conn, RunRef(run.runId))).kept == remembered.kept
    begun = {space: image for space, image in remembered.images.items() if image.id}
    assert len(begun) == 3  # the run's thread, and one for each of its agents
    for (thread_id, ns), image in begun.items():
        at: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns}}
        stored, known = await watched.store.saver.aget_tuple(at), load(watched, image)
        assert stored
        assert pickle.dumps(image), "it holds on to nothing that LangGraph was at work with"
        assert (known.checkpoint, known.metadata, known.pending_writes) == (
            stored.checkpoint,
            stored.metadata,
            stored.pending_writes,
        )


def load(watched: Watched, image: ThreadImage) -> CheckpointTuple:
    found = image.load(watched.store.saver.serde)
    assert found
    return found


async def test_what_another_process_did_to_a_remembered_run_is_seen(
    watched: Watched, another: Watched
) -> None:
    """It answered the first question, and the run asks the second there; then it is taken back."""
    run = await watched.start("letter")
    run = await another.answer(run)
    assert run.pendingRequestId
    assert watched.store.remembering.find(run.runId), "of before"
    run = await watched.answer(run)
    assert run.status == "completed"
    await watched.check()
    with pytest.raises(RequestNotPending):
        await another.answer(run.but(requests=(run.requests[1].but(status="pending"),)))


async def test_as_much_is_remembered_as_has_its_place(watched: Watched) -> None:
    first, second = [await watched.start("asked") for _ in range(2)]
    remembered = [watched.store.remembering.find(run.runId) for run in (first, second)]
    assert all(remembered)
    size = sum(image.size for one in remembered[:1] if one for image in one.images.values())
    small = Remembering(most_bytes=int(size * 1.5))
    for one in filter(None, remembered):
        small.keep(one)
    assert small.find(first.runId) is None
    assert small.find(second.runId)
    small.forget(second.runId)
    assert small.find(second.runId) is None


async def test_who_waits_is_not_told_what_was_before(watched: Watched) -> None:
    """The pause was read by others, and answered, before its driver heard that it was written."""
    run = await watched.start("letter")
    paused = watched.known[run.runId]
    waiting = Waiting(Wakeups("host=/nowhere", lambda _: None))
    answered = paused.run.but(
        status=RunStatus.RUNNING, updatedAt=run.updatedAt + timedelta(milliseconds=1)
    )
    told = asyncio.create_task(waiting.wait_for_drive(watched.store, answered, 20))
    await asyncio.sleep(0)
    waiting.see(paused)
    await asyncio.sleep(0)
    assert not told.done()
    later = paused.run.but(updatedAt=answered.updatedAt + timedelta(milliseconds=1))
    waiting.see(paused._replace(run=later))
    assert (await told).updatedAt == later.updatedAt


async def test_a_moment_is_recalled_for_less_than_a_second(watched: Watched) -> None:
    await end_by_a_cancel(watched)
    (known,) = watched.known.values()
    late = known.run.updatedAt - timedelta(seconds=5)
    seen = Seen(Moment(known, late))
    found = seen.recall()
    assert found
    assert found.now == known.run.updatedAt, "never before the run was changed last"
    await asyncio.sleep(1.1)
    assert seen.recall() is None
    assert seen.recall(WRITING_SECONDS), "who only writes is fenced"


def test_what_is_kept_without_none_has_the_none_that_others_gave() -> None:
    given: JsonObject = {"a": None, "b": [None, {"c": None}]}
    response = HitlResponse(
        requestId="q1",
        responseType=ResponseType.FORM,
        data=given,
        editedArguments=given,
        metadata=given,
    )
    assert HitlResponse.model_validate(response.json_to_keep()) == response


@pytest.mark.parametrize("record", [HitlRequest, HitlResponse, Answered, Denied, AuditEntry])
def test_what_a_row_leaves_out_is_read_as_none(record: type[Record]) -> None:
    fields = record.model_fields.items()
    nullable = [name for name, field in fields if "None" in str(field.annotation)]
    assert [name for name in nullable if record.model_fields[name].default is not None] == []
