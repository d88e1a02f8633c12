"""The door: what a program in this process can ask of the orchestrator."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from hitl_orchestrator.domain.errors import (
    Conflict,
    IdempotencyKeyReused,
    Invalid,
    NotFound,
    OrchestratorError,
    RequestNotPending,
)
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    By,
    HitlResponse,
    Person,
    RequestStatus,
    ResponseType,
    Urgency,
)
from hitl_orchestrator.domain.ports import Once, RunRef
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.outcomes import read_outcome, write_outcome
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS
from tests.temporary import temporary_folder

ADA = By(Person(id="ada"), "a note")
ONCE = Once("start", "key", "hash")


def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))


@pytest.fixture
async def hitl(database_url: str) -> AsyncGenerator[Orchestrator]:
    async with Orchestrator.open(settings(database_url)) as opened:
        yield opened


QUESTION = {"question": "What now?", "kind": "freeform"}


def asking(question: Any = QUESTION) -> NewRun:
    return NewRun(objective="Ask", inputs={"question": question}, outputs=("answer",))


async def paused(hitl: Orchestrator, question: Any = QUESTION) -> Run:
    run = (await hitl.start(asking(question), wait_seconds=20)).run
    assert run.status == "awaiting_hitl", run
    return run


def says(run: Run, text: str) -> HitlResponse:
    return HitlResponse(
        requestId=run.pendingRequestId or "",
        responseType=ResponseType.FREEFORM,
        freeformText=text,
    )


async def test_a_run_is_started_asks_is_answered_and_ends(hitl: Orchestrator) -> None:
    run = await paused(hitl)
    response = says(run, "this")
    done = await hitl.answer(
        RunRef(run.runId), response.requestId, [response], ADA, wait_seconds=20
    )
    assert done.run.status == "completed"
    assert done.run.result is not None
    assert (await hitl.request(response.requestId)).status == "resolved"
    frames = [frame async for frame in hitl.frames(run.runId)]
    assert (frames[0].body["type"], frames[-1].body["type"]) == ("start", "complete")
    assert [frame.is_last for frame in frames] == [False] * (len(frames) - 1) + [True]


async def test_a_denied_question_ends_and_its_run_goes_on(hitl: Orchestrator) -> None:
    run = await paused(hitl)
    request_id = run.pendingRequestId or ""
    done = await hitl.deny(RunRef(run.runId), request_id, "not now", ADA, wait_seconds=20)
    assert done.run.status == "completed"
    (request,) = done.run.requests
    assert (request.status, request.denialReason) == ("denied", "not now")
    log = cast(list[dict[str, object]], done.run.metadata["auditLog"])
    assert [entry["action"] for entry in log] == ["start", "request", "deny", "deliver", "complete"]
    with pytest.raises(RequestNotPending):
        await hitl.deny(RunRef(run.runId), request_id, "again", ADA)


async def test_a_repeated_call_comes_to_the_same_and_does_nothing(hitl: Orchestrator) -> None:
    first = await hitl.start(asking(), ONCE, wait_seconds=20)
    second = await hitl.start(asking(), ONCE)
    assert (first.replayed, second.replayed) == (False, True)
    assert second.run == first.run
    assert len((await hitl.runs()).rows) == 1
    with pytest.raises(IdempotencyKeyReused):
        await hitl.start(asking(), ONCE._replace(body_hash="another"))


async def test_a_repeated_refusal_is_the_same_error(hitl: Orchestrator) -> None:
    nobody = NewRun(objective="Ask", outputs=("nothing.makes.this",))
    for replayed in (False, True):
        with pytest.raises(Invalid, match="No allowed capability") as refused:
            await hitl.start(nobody, ONCE)
        assert refused.value.replayed is replayed


async def test_what_was_refused_before_it_was_a_call_is_kept_too(hitl: Orchestrator) -> None:
    error = Invalid("/objective: too long.", [{"path": "/objective", "message": "too long"}])
    with pytest.raises(Invalid):
        await hitl.refuse(error, ONCE)
    with pytest.raises(Invalid, match="too long") as again:
        await hitl.start(asking(), ONCE)
    assert again.value.more == error.more


async def test_what_is_not_there_is_not_found(hitl: Orchestrator) -> None:
    with pytest.raises(NotFound):
        await hitl.run("run_0")
    with pytest.raises(NotFound):
        await hitl.request("hitl_0")
    with pytest.raises(NotFound):
        await hitl.is_last_frame("run_0", 0)
    with pytest.raises(NotFound):
        await hitl.cancel(RunRef("run_0"), "r", NOBODY)


async def test_requests_come_in_the_queues_order_and_then_the_newest_first(
    hitl: Orchestrator,
) -> None:
    async def ask(text: str, urgency: str) -> Run:
        return await paused(hitl, {"question": text, "kind": "freeform", "urgency": urgency})

    for run in [await ask("old answered", "low"), await ask("new answered", "high")]:
        response = says(run, "yes")
        await hitl.answer(RunRef(run.runId), response.requestId, [response], ADA)
    for text, urgency in (("low", "low"), ("first high", "high"), ("second high", "high")):
        await ask(text, urgency)

    found: list[str] = []
    cursor: str | None = None
    while len(found) < 5:
        page = await hitl.requests(limit=2, cursor=cursor)
        found += [request.question for request in page.rows]
        cursor = page.next_cursor
    assert cursor is None
    assert found == ["first high", "second high", "low", "new answered", "old answered"]

    high = await hitl.requests(RequestStatus.PENDING, urgency=Urgency.HIGH)
    assert [request.question for request in high.rows] == ["first high", "second high"]
    assert (await hitl.requests(agent="nobody")).rows == []
    with pytest.raises(Invalid):
        await hitl.requests(cursor="x")


async def test_it_is_ready_and_measured(hitl: Orchestrator) -> None:
    await paused(hitl)
    assert (await hitl.check_ready()).live_workers is None
    assert b"hitl_queue_depth 1.0" in await hitl.measure()
    assert "asks" in hitl.capabilities


@pytest.mark.slow
async def test_without_a_database_it_brings_one() -> None:
    with temporary_folder() as folder:
        embedded = Settings(data_dir=folder / "data", agents=(str(AGENTS / "asks.py:agent"),))
        async with Orchestrator.open(embedded) as opened:
            assert (await paused(opened)).pendingRequestId


def error_classes(root: type[OrchestratorError]) -> list[type[OrchestratorError]]:
    below = [each for child in root.__subclasses__() for each in error_classes(child)]
    return [*root.__subclasses__(), *below]


@pytest.mark.parametrize("kind", error_classes(OrchestratorError))
def test_every_error_is_read_as_it_was_written(kind: type[OrchestratorError]) -> None:
    error = read_outcome(write_outcome(kind("detail", requestStatus="resolved")))
    assert isinstance(error, kind)
    assert (error.detail, error.more["requestStatus"]) == ("detail", "resolved")


def test_an_error_that_another_version_kept_is_a_conflict() -> None:
    error = read_outcome({"error": "OfTheFuture", "detail": "d", "more": {}})
    assert type(error) is Conflict
