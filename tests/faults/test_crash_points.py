"""Each crash point of docs/reliability.md's table: a process dies exactly there, another brings the
run to its end.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from hitl_orchestrator.domain.errors import NotFound
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.server.drivers import Drivers
from tests.agents.counting import log_lines
from tests.faults import one_life
from tests.faults.forked import forked
from tests.faults.one_life import DIED, RUN, WAITED_FOR, answer, opened, start

UNWRITTEN = ["before the graph", "in prepared", "before the last flush"]
DRIVING = ["before the graph", "before the last flush", "after the last flush"]
STARTING = ["before the commit", "after the commit", "in prepared", *DRIVING]
ANSWERING = ["before the commit", "after the commit", "in applied", *DRIVING]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


async def live(database_url: str, *arguments: str) -> int:
    """A life in a process of its own; how it ended."""
    with forked(
        one_life.main,
        database_url,
        *arguments,
        environment={"HITL_TEST_LOG": os.environ["HITL_TEST_LOG"]},
    ) as process:
        ended = await asyncio.to_thread(process.end)
        assert ended in (0, DIED), process.said()
        return ended


async def recovered(database_url: str, request_id: str | None = None) -> Run:
    """What another process makes of it: the client tries again if it got no 200, and the sweep
    takes what nobody drives.
    """
    async with (
        opened(database_url, "another", lambda _: None) as (store, graph),
        Drivers(graph, store, "another", 0.5, 5) as drivers,
    ):
        try:
            run = await store.show(RUN)
        except NotFound:  # the start died before its commit
            drivers.start(await start(store))
        else:
            if request_id is not None and run.requests[0].status == "pending":
                drivers.start(await answer(store, request_id))
        # the moment is the database's
        while (run := await store.show(RUN)).status in ("queued", "running"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return run


def actions(run: Run) -> Counter[object]:
    return Counter(
        entry["action"] for entry in cast(list[dict[str, object]], run.metadata["auditLog"])
    )


@pytest.mark.parametrize("point", STARTING)
async def test_a_start_that_died_there_asks_once(database_url: str, log: Path, point: str) -> None:
    died = await live(database_url, "start", point)
    run = await recovered(database_url)
    assert (died, run.status, len(run.requests)) == (DIED, "awaiting_hitl", 1)
    assert actions(run) == {"start": 1, "request": 1}


@pytest.mark.parametrize("point", [*UNWRITTEN, "after the commit", "after the last flush"])
async def test_a_start_that_is_waited_for_is_there_whole_or_not_at_all(
    database_url: str, log: Path, point: str
) -> None:
    """Its caller got no reply. What is there asks once."""
    died = await live(database_url, WAITED_FOR, point)
    async with opened(database_url, "who looks", lambda _: None) as (store, _):
        is_there = bool((await store.newest(None, None, 2, None, None)).rows)
    run = await recovered(database_url)
    assert (died, is_there, run.status) == (DIED, point not in UNWRITTEN, "awaiting_hitl")
    assert (len(run.requests), actions(run)) == (1, {"start": 1, "request": 1})


@pytest.mark.parametrize("point", ANSWERING)
async def test_an_answer_that_died_there_is_applied_once(
    database_url: str, log: Path, point: str
) -> None:
    await live(database_url, "start", "nowhere")
    request_id = (await recovered(database_url)).requests[0].requestId
    died = await live(database_url, "answer", request_id, point)
    run = await recovered(database_url, request_id)
    assert (died, run.status, run.result and run.result.outputs) == (
        DIED,
        "completed",
        {"left": "yes"},
    )
    assert actions(run) == {"start": 1, "request": 1, "resume": 1, "deliver": 1, "complete": 1}
    assert sum("prepared" in line for line in log_lines(log)) == 1, (
        "work before the question was done again"
    )
