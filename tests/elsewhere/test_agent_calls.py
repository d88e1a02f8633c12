"""An agent in a process of its own and its server: what is called when, and what if it is lost."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.config import get_stream_writer

from hitl_agent.describing import read_agent
from hitl_agent.saver import LocalSaver
from hitl_agent.server import Refused, Server
from hitl_agent.serving import serve
from hitl_agent.workroom import Workroom
from tests.elsewhere.handing_out import KEY, LEASE_SECONDS, HandedOut, HandingOut, handing_out
from tests.elsewhere.visits import ask, asks, told

SECONDS = 20.0


@pytest.fixture
def server() -> Generator[HandingOut]:
    with handing_out() as server:
        yield server


@asynccontextmanager
async def agent_at_work(
    server: HandingOut | str, folder: Path, run: Any, lines: list[str] | None = None, **more: Any
) -> AsyncGenerator["asyncio.Task[None]"]:
    """Let the agent `clerk` work until the block ends, or until it ends itself."""
    described = {"capabilityId": "clerk", "displayName": "Clerk", "outputFacets": ["log"]}
    agent = read_agent({**described, "run": run}, "clerk")
    url = server if isinstance(server, str) else server.url
    tell = (lines if lines is not None else []).append
    client, workroom, ended = Server(url, KEY, tell), Workroom(), asyncio.Event()
    with closing(LocalSaver(folder / "file")) as saver:
        at_once = more.get("at_once", 10)
        work = serve([agent], client, saver, workroom, "home", tell, ended, at_once)
        serving = asyncio.create_task(work)
        try:
            yield serving
        finally:
            ended.set()
            await asyncio.wait([serving])
            await workroom.close()
            await client.close()
            if not serving.cancelled() and not more.get("fails"):
                serving.result()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def finish(server: HandingOut, step: HandedOut) -> None:
    """Answer what it asks until it has ended."""
    while step.last.get("outcome") in (None, "asking"):
        number = len(step.reports)
        await until(lambda: len(step.reports) > number)  # noqa: B023
        if step.last["outcome"] == "asking":
            server.answer(step)


async def test_a_step_is_taken_answered_and_completed(server: HandingOut, tmp_path: Path) -> None:
    step = server.hand_out("clerk")
    async with agent_at_work(server, tmp_path, asks("one", "two")):
        await finish(server, step)
    assert step.last["output"] == {"log": told("one", "two")}
    assert [report["outcome"] for report in step.reports] == ["asking", "asking", "completed"]
    assert len({report["token"] for report in step.reports}) == 3
    assert server.agents["clerk"]["home"] == "home"
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("how", ["before", "after", 429, 500])
@pytest.mark.parametrize("call", ["register", "steps", "report"])
async def test_a_call_that_is_lost_is_made_again(
    server: HandingOut, tmp_path: Path, call: str, how: str | int
) -> None:
    done: list[str] = []

    def run(task: Any) -> Any:
        said = ask("one")
        done.append("acted")
        return said

    server.breaks[call] = [how, how]
    step = server.hand_out("clerk")
    async with agent_at_work(server, tmp_path, run):
        await finish(server, step)
    assert (step.last["output"], done) == ({"log": told("one")}, ["acted"])
    assert server.breaks == {call: []}


async def test_a_server_that_is_away_is_waited_for_and_told_once(tmp_path: Path) -> None:
    with socket.socket() as taken:  # its port answers nobody
        taken.bind(("127.0.0.1", 0))
        lines: list[str] = []
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with agent_at_work(url, tmp_path, asks("one"), lines):
            await asyncio.sleep(1.2)
    assert [line for line in lines if "away" in line] == lines[:1]
    assert KEY not in str(lines)


async def test_it_is_kept_while_it_is_worked_on_and_its_progress_is_told(
    server: HandingOut, tmp_path: Path
) -> None:
    step = server.hand_out("clerk")

    async def run(task: Any) -> Any:
        tell = get_stream_writer()
        tell("one")
        await until(lambda: step.kept)
        tell(object())  # which is no JSON
        tell("two")
        tell("three")
        await until(lambda: step.kept > 2)
        return {"log": []}

    async with agent_at_work(server, tmp_path, run):
        await finish(server, step)
    assert step.progress == ["one", "three"]


async def test_what_somebody_else_has_is_given_up(server: HandingOut, tmp_path: Path) -> None:
    """Its work is cancelled, and nothing reported; then it is taken again."""
    step, ends = server.hand_out("clerk"), list[str]()

    async def run(task: Any) -> Any:
        try:
            await asyncio.sleep(0 if ends else SECONDS)
        except asyncio.CancelledError:
            ends.append("cancelled")
            step.token, step.is_open = None, True
            raise
        return {"log": ends}

    async with agent_at_work(server, tmp_path, run):
        await until(lambda: step.token)
        step.token = "another's"
        await finish(server, step)
    assert [report["output"] for report in step.reports] == [{"log": ["cancelled"]}]


async def test_nobody_works_beside_a_thread_that_cannot_be_stopped(
    server: HandingOut, tmp_path: Path
) -> None:
    step, may_end, works = server.hand_out("clerk"), threading.Event(), list[str]()

    def run(task: Any) -> Any:
        works.append("begins")
        may_end.wait(SECONDS)
        works.append("ends")
        return {"log": []}

    async with agent_at_work(server, tmp_path, run):
        await until(lambda: works)
        step.token, step.is_open = None, True  # its lease is over
        await until(lambda: len(step.tokens) > 1)
        await asyncio.sleep(LEASE_SECONDS / 2)  # it has heard that it lost the step
        assert works == ["begins"]
        may_end.set()
        await finish(server, step)
    assert works == ["begins", "ends", "begins", "ends"]


async def test_an_agent_that_blocks_keeps_its_step(server: HandingOut, tmp_path: Path) -> None:
    step = server.hand_out("clerk")

    async def run(task: Any) -> Any:
        time.sleep(2 * LEASE_SECONDS)  # noqa: ASYNC251
        return {"log": []}

    async with agent_at_work(server, tmp_path, run):
        await finish(server, step)
    assert (step.last["outcome"], len(step.tokens)) == ("completed", 1)


async def test_an_agent_that_is_not_known_any_more_registers_again(
    server: HandingOut, tmp_path: Path
) -> None:
    async with agent_at_work(server, tmp_path, asks("one")):
        await until(lambda: "clerk" in server.agents)
        server.agents.clear()
        step = server.hand_out("clerk")
        await finish(server, step)
    assert server.calls.count("register") == 2


@pytest.mark.parametrize(
    ("call", "status"),
    [
        *(("register", status) for status in (401, 403, 404, 409, 422)),
        *(("steps", status) for status in (401, 403, 409, 422)),
    ],
)
async def test_a_refusal_ends_it(
    server: HandingOut, tmp_path: Path, call: str, status: int
) -> None:
    server.breaks[call] = [status]
    async with agent_at_work(server, tmp_path, asks("one"), fails=True) as serving:
        with pytest.raises(Refused):
            await asyncio.wait_for(serving, SECONDS)


async def test_a_key_that_is_not_good_any_more_ends_it_at_a_report(
    server: HandingOut, tmp_path: Path
) -> None:
    server.breaks["report"] = [401]
    server.hand_out("clerk")
    async with agent_at_work(server, tmp_path, asks("one"), fails=True) as serving:
        with pytest.raises(Refused, match="401: because report"):
            await asyncio.wait_for(serving, SECONDS)


async def test_a_report_that_is_refused_fails_its_step(server: HandingOut, tmp_path: Path) -> None:
    server.breaks["report"] = [422]
    step = server.hand_out("clerk")
    async with agent_at_work(server, tmp_path, asks("one")):
        await finish(server, step)
    reason = {"outcome": "failed", "reason": "422: because report", "isFinal": True}
    assert step.last == {"token": step.token, **reason}


async def test_a_report_that_is_too_large_fails_its_step(
    server: HandingOut, tmp_path: Path
) -> None:
    step = server.hand_out("clerk")

    def run(task: Any) -> Any:
        return {"log": "x" * 2_000_000}

    async with agent_at_work(server, tmp_path, run):
        await finish(server, step)
    assert (step.last["outcome"], step.last["isFinal"]) == ("failed", True)


async def test_no_more_steps_are_taken_than_it_can_work_on(
    server: HandingOut, tmp_path: Path
) -> None:
    steps = [server.hand_out("clerk", f"s{number}") for number in range(5)]
    at_work, most = list[int](), list[int]()

    async def run(task: Any) -> Any:
        at_work.append(1)
        most.append(len(at_work))
        await asyncio.sleep(0.05)
        at_work.pop()
        return {"log": []}

    async with agent_at_work(server, tmp_path, run, at_once=2):
        await until(lambda: all(step.reports for step in steps))
    assert max(most) == 2


async def test_what_is_at_work_comes_to_its_end_first(server: HandingOut, tmp_path: Path) -> None:
    step, begun = server.hand_out("clerk"), threading.Event()

    async def run(task: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.2)
        return {"log": []}

    async with agent_at_work(server, tmp_path, run):
        await until(begun.is_set)
    assert step.last["outcome"] == "completed"
