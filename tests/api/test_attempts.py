"""A step that failed by an error is tried again by itself; what was decided and done stays."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.api.calls import Json, answer, frames_of, start, started, wanting
from tests.processes import AGENTS

pytestmark = pytest.mark.usefixtures("away")
NAMES = ("patient", "thrice", "very_patient", "slow", "agent")


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    agents = tuple(f"{AGENTS}/payer.py:{name}" for name in NAMES)
    async with started(database_url, agents=agents) as client:
        yield client


async def pay(api: httpx.AsyncClient, log: Path, agent: str) -> Json:
    return await start(api, wanting(log, "receipt", agent))


async def wait_for_calls(log: Path, number: int) -> None:
    while log_lines(log).count("model") < number:  # noqa: ASYNC110  # an agent writes it
        await asyncio.sleep(0.02)


async def list_warnings(api: httpx.AsyncClient, run: Json) -> list[str]:
    frames = frames_of((await api.get(f"/api/runs/{run['runId']}/events")).text)
    return [frame["message"] for frame in frames if frame["type"] == "warning"]


async def test_an_error_that_passes_is_outlived_without_a_second_payment_or_question(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await pay(api, log, "payer.patient")
    await answer(api, run, wait=0, approved=True)
    await wait_for_calls(log, 3)
    log.with_name("away").unlink()
    done = (await api.get(f"/api/runs/{run['runId']}?wait=20")).json()
    assert (done["status"], done["result"]["outputs"]) == (
        "completed",
        {"receipt": "thank you"},
    )
    assert (log_lines(log).count("paid"), len(done["requests"])) == (1, 1)
    assert [entry["action"] for entry in done["metadata"]["auditLog"]].count("deliver") == 1


async def test_after_the_last_attempt_the_step_has_failed_and_can_be_retried(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await answer(api, await pay(api, log, "payer.thrice"), approved=True)
    assert (run["status"], run["error"]["stepId"]) == ("failed", "s1")
    assert log_lines(log) == ["paid", *["model"] * 4]
    said = "Payer (thrice) failed: ConnectionError: 503: the model is away (agents/payer.py:33)"
    said += "; tried again in 0.5 s"
    assert await list_warnings(api, run) == [f"{said} ({n} of 3)" for n in (1, 2, 3)]
    log.with_name("away").unlink()
    retried = await api.post(f"/api/runs/{run['runId']}/retry?wait=20", json={})
    assert retried.json()["status"] == "completed"
    assert log_lines(log).count("paid") == 1


async def test_the_wait_for_the_next_attempt_is_cancelled_at_once(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await pay(api, log, "payer.very_patient")
    await answer(api, run, wait=0, approved=True)
    await wait_for_calls(log, 1)
    path = f"/api/runs/{run['runId']}/cancel"
    cancelled = (await api.post(path, json={"reason": "enough"})).json()
    assert (cancelled["status"], cancelled["stillWorking"]) == ("cancelled", False)


async def test_each_attempt_has_the_whole_of_its_time(api: httpx.AsyncClient, log: Path) -> None:
    run = await pay(api, log, "payer.slow")
    assert (run["status"], log_lines(log)) == ("failed", ["began"] * 3)
    assert run["error"]["message"].endswith("took longer than its 0.2 seconds")


async def test_without_retries_it_is_tried_once(api: httpx.AsyncClient, log: Path) -> None:
    run = await answer(api, await pay(api, log, "payer.graph"), approved=True)
    assert (run["status"], log_lines(log)) == ("failed", ["paid", "model"])
