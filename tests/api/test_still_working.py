"""Cancel means stopped, or says that it is not."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.api.calls import Json, is_problem, start, started, wanting
from tests.processes import AGENTS

NAMES = ("synchronous", "in_a_node", "late", "agent")


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    agents = (*(f"{AGENTS}/payer.py:{name}" for name in NAMES), f"{AGENTS}/hangs.py:forever")
    async with started(database_url, agents=agents) as client:
        yield client


async def wait_for(log: Path, line: str) -> None:
    while line not in log_lines(log):  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.02)


async def show_when(api: httpx.AsyncClient, run: Json, **expected: object) -> Json:
    while True:
        shown: Json = (await api.get(f"/api/runs/{run['runId']}")).json()
        if {name: shown[name] for name in expected} == expected:
            return shown
        await asyncio.sleep(0.02)


async def cancel(api: httpx.AsyncClient, run: Json) -> Json:
    response = await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "enough"})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("agent", ["payer.synchronous", "payer.in_a_node"])
async def test_a_cancelled_run_says_that_its_work_goes_on_and_its_thread_waits_for_the_end(
    api: httpx.AsyncClient, log: Path, agent: str
) -> None:
    run = await start(api, wanting(log, "receipt", agent), wait=0)
    await wait_for(log, "began")
    cancelled = await cancel(api, run)
    assert (cancelled["status"], cancelled["stillWorking"]) == ("cancelled", True)
    again = wanting(log, "receipt", agent, threadId=run["threadId"])
    problem = is_problem(await api.post("/api/runs", json=again), 409)
    assert problem["type"] == "urn:hitl:thread-busy"
    assert f"run {run['runId']}, which is cancelled but still working" in problem["detail"]
    assert log_lines(log) == ["began"]
    log.with_name("enough").touch()  # the effect comes after the 200
    shown = await show_when(api, run, stillWorking=False)
    assert (shown["status"], log_lines(log)) == ("cancelled", ["began", "paid"])
    done = (await api.post("/api/runs?wait=20", json=again)).json()
    assert (done["status"], done["stillWorking"]) == ("completed", False)


async def test_work_that_can_be_stopped_is_stopped_when_the_cancel_is_answered(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await start(api, wanting(log, "answer", "hangs.unbounded"), wait=0)
    await show_when(api, run, status="running")
    assert (await cancel(api, run))["stillWorking"] is False
    await start(api, wanting(log, "answer", "hangs.unbounded", threadId=run["threadId"]), wait=0)


async def test_a_queued_and_a_paused_run_are_stopped_at_once(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await start(api, wanting(log, "receipt", "payer.graph"), wait=0)
    await show_when(api, run, status="awaiting_hitl")
    assert (await cancel(api, run))["stillWorking"] is False


async def test_a_step_that_took_too_long_may_still_work_when_its_run_has_failed(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await start(api, wanting(log, "receipt", "payer.late"), wait=0)
    failed = await show_when(api, run, status="failed")
    assert failed["stillWorking"] is True
    assert log_lines(log) == ["began"]  # not begun again beside itself
    path = f"/api/runs/{run['runId']}/retry"
    problem = is_problem(await api.post(path, json={}), 409)
    assert (problem["type"], "has not ended yet" in problem["detail"]) == (
        "urn:hitl:thread-busy",
        True,
    )
    log.with_name("enough").touch()
    await show_when(api, run, stillWorking=False)
    assert (await api.post(path, json={})).status_code == 202
