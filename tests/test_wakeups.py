"""Who waits in another process is told of a commit at once; who is alone says nothing."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest

from hitl_orchestrator.checkpoints import wakeups
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.wakeups import TELL, Wakeups
from hitl_orchestrator.domain.hitl import NOBODY
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import NewRun
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS
from tests.statements import Statements, statements

PATIENCE_SECONDS = 20.0
ASKING = NewRun(
    objective="Ask",
    inputs={"question": {"question": "What now?", "kind": "freeform"}},
    outputs=("answer",),
)
TOLD = TELL.partition("(")[0]
CROWD = 200


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))


@pytest.fixture
async def counted(database_url: str) -> AsyncGenerator[Statements]:
    async with statements(database_url) as found:
        yield found


@pytest.fixture
def no_net() -> Generator[None]:
    """Nobody looks by himself: what is seen was told."""
    usual = wakeups.NET_SECONDS
    wakeups.NET_SECONDS = 3600.0
    yield
    wakeups.NET_SECONDS = usual


async def decide(hitl: Orchestrator, waits: Orchestrator) -> None:
    """Start a run and deny its question at the one, while the other waits for that."""
    run = (await hitl.start(ASKING, wait_seconds=20)).run
    (request,) = run.requests
    waiting = asyncio.create_task(waits.request(request.requestId, wait_seconds=60))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await hitl.deny(RunRef(run.runId), request.requestId, "No.", NOBODY)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).status == "denied"


@pytest.mark.usefixtures("no_net")
async def test_who_waits_in_another_process_is_told_at_once(settings: Settings) -> None:
    async with Orchestrator.open(settings) as one, Orchestrator.open(settings) as other:
        await decide(one, other)
        await decide(other, one)


@pytest.mark.usefixtures("no_net")
async def test_who_is_alone_tells_nobody(settings: Settings, counted: Statements) -> None:
    async with Orchestrator.open(settings) as alone:
        await asyncio.sleep(0.3)  # until it has begun to listen, and greeted
        async with counted.asked() as asked:
            await decide(alone, alone)
        assert [one for one in asked.statements if one.startswith(TOLD)] == []
        async with Orchestrator.open(settings) as other:
            await decide(alone, other)


@pytest.mark.usefixtures("no_net")
async def test_what_comes_together_is_told_together(database_url: str, counted: Statements) -> None:
    async with (
        connection_pool(database_url, max_size=1) as pool,
        Wakeups(database_url, lambda _: None, pool=pool, has_others=lambda: True) as tells,
        Wakeups(database_url, lambda _: None) as listens,
    ):
        await asyncio.sleep(0.2)
        events = [listens.subscribe(f"run {n}") for n in range(CROWD)]
        async with counted.asked() as asked, asyncio.timeout(PATIENCE_SECONDS):
            for number in range(CROWD):
                tells.tell(f"run {number}")
                await asyncio.sleep(0)
            for event in events:
                await event.wait()
    assert len([one for one in asked.statements if one.startswith(TOLD)]) < CROWD / 10


async def test_what_a_process_could_not_tell_any_more_is_seen(settings: Settings) -> None:
    """It has died right behind its commit."""
    async with Orchestrator.open(settings) as dies, Orchestrator.open(settings) as other:
        dies._services.store.written = lambda run: None  # pyright: ignore[reportPrivateUsage]
        run = (await dies.start(ASKING)).run
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await other.wait(run.runId, 60)).status == "awaiting_hitl"
