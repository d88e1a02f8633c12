"""A process claims no more runs than it has places for; the others go on elsewhere, or later."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.server.drivers import SWEEP_SECONDS
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.agents.counting import log_lines
from tests.faults.fleet import until
from tests.processes import AGENTS, working

AGENT_FILES = (str(AGENTS / "patient.py:agent"), str(AGENTS / "asks.py:asking"))


class Servers:
    """Servers with one place each, on one database."""

    def __init__(self, database_url: str, stack: AsyncExitStack) -> None:
        self._database_url = database_url
        self._stack = stack

    async def open(self) -> Orchestrator:
        settings = Settings(
            database_url=self._database_url, agents=AGENT_FILES, max_driven=1, drain_seconds=0.2
        )
        return await self._stack.enter_async_context(Orchestrator.open(settings))


@pytest.fixture
async def servers(database_url: str) -> AsyncGenerator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(database_url, stack)


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


async def work(hitl: Orchestrator) -> Run:
    """Start a run that goes on until it is let go."""
    return (await hitl.start(NewRun(objective="Work", outputs=("answer",)))).run


async def ask(hitl: Orchestrator) -> Run:
    run = (await hitl.start(NewRun(objective="Ask", outputs=("asked",)), wait_seconds=60)).run
    assert run.status == "awaiting_hitl", run
    return run


async def answer(hitl: Orchestrator, run: Run) -> str:
    request_id = run.pendingRequestId or ""
    response = HitlResponse(
        requestId=request_id, responseType=ResponseType.FREEFORM, freeformText="this"
    )
    return (await hitl.answer(RunRef(run.runId), request_id, [response], NOBODY)).run.status


def list_started(log: Path) -> list[str]:
    """Return the runs at work, or that were, sorted."""
    return sorted(log_lines(log))


async def wait_until_at_work(log: Path, *runs: Run) -> None:
    async with asyncio.timeout(60):
        await until(lambda: all(run.runId in list_started(log) for run in runs))


async def test_a_start_without_a_place_is_driven_by_another(servers: Servers, log: Path) -> None:
    first, _ = await servers.open(), await servers.open()
    runs = [await work(first), await work(first)]
    await wait_until_at_work(log, *runs)


async def test_an_answer_without_a_place_is_taken_and_driven_by_another(
    servers: Servers, log: Path
) -> None:
    first = await servers.open()
    asked = await ask(first)
    await wait_until_at_work(log, await work(first))
    assert await answer(first, asked) == "running"
    second = await servers.open()
    assert (await second.wait(asked.runId, 60)).status == "completed"


async def test_what_no_other_takes_is_driven_once_a_place_is_free(
    servers: Servers, log: Path
) -> None:
    only = await servers.open()
    first = await work(only)
    await wait_until_at_work(log, first)
    others = [await work(only) for _ in range(3)]
    assert [(await only.run(run.runId)).status for run in others] == ["queued"] * 3
    log.with_name("go").touch()
    for run in (first, *others):
        assert (await only.wait(run.runId, 60)).status == "completed"
    assert list_started(log) == sorted(run.runId for run in (first, *others))


async def test_starts_at_once_take_no_more_than_there_are_places(
    servers: Servers, log: Path
) -> None:
    only = await servers.open()
    runs = await asyncio.gather(*(work(only) for _ in range(6)))
    async with asyncio.timeout(60):
        await until(lambda: log.exists())
    assert len(list_started(log)) == 1
    log.with_name("go").touch()
    for run in runs:
        assert (await only.wait(run.runId, 60)).status == "completed"


@pytest.mark.slow
async def test_a_worker_leaves_jobs_it_has_no_place_for_to_others_and_takes_them_later(
    database_url: str, log: Path
) -> None:
    """Whatever its concurrency: with the queue too a process drives no more at once."""
    settings = Settings(database_url=database_url, agents=AGENT_FILES, dispatch="queue")
    one_place = {"HITL_MAX_DRIVEN": "1", "HITL_TEST_LOG": str(log)}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Orchestrator.open(settings))
        runs = [await work(server) for _ in range(4)]
        stack.enter_context(working(database_url, "patient.py:agent", concurrency=4, **one_place))
        await wait_until_busy(log, 1)
        stack.enter_context(working(database_url, "patient.py:agent", concurrency=4, **one_place))
        await wait_until_busy(log, 2)
        log.with_name("go").touch()
        for run in runs:
            assert (await server.wait(run.runId, 60)).status == "completed"
    assert list_started(log) == sorted(run.runId for run in runs)


async def wait_until_busy(log: Path, number: int) -> None:
    """Wait until so many are at work, and see that no more come in the time of a sweep."""
    async with asyncio.timeout(60):
        await until(lambda: log.exists() and len(list_started(log)) >= number)
    await asyncio.sleep(1.2 * SWEEP_SECONDS)
    assert len(list_started(log)) == number
