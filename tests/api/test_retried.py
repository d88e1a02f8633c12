"""A failed run goes on where it failed: what was decided and done stays so."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.api.calls import (
    Json,
    answer,
    frames_of,
    is_problem,
    start,
    started,
    wanting,
)
from tests.processes import AGENTS

pytestmark = pytest.mark.usefixtures("away")


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    payer = AGENTS / "payer.py"
    agents = tuple(f"{payer}:{name}" for name in ("agent", "filer", "asks_twice"))
    async with started(database_url, agents=agents) as client:
        yield client


def filing(log: Path, **body: object) -> Json:
    return wanting(log, "filed", "payer.graph", "payer.filer", **body)


async def retry(api: httpx.AsyncClient, run: Json, **body: object) -> Json:
    response = await api.post(f"/api/runs/{run['runId']}/retry?wait=20", json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def fail_after_paying(api: httpx.AsyncClient, log: Path, **body: object) -> Json:
    run = await answer(api, await start(api, filing(log, **body)), approved=True)
    assert (run["status"], log_lines(log)) == ("failed", ["paid", "model"])
    return run


def steps(run: Json) -> list[tuple[str, str, str]]:
    return [(s["stepId"], s["capabilityId"], s["status"]) for s in run["plan"]["steps"]]


async def test_what_was_approved_and_paid_is_not_paid_again(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await fail_after_paying(api, log)
    assert steps(run) == [("s1", "payer.graph", "failed"), ("s2", "payer.filer", "skipped")]
    log.with_name("away").unlink()
    done = await retry(api, run, operator={"id": "ada"}, note="it is back")
    assert log_lines(log) == ["paid", "model", "model", "filed"]
    assert (done["status"], done["result"]["outputs"]) == ("completed", {"filed": "thank you"})
    assert steps(done) == [("s1", "payer.graph", "completed"), ("s2", "payer.filer", "completed")]
    assert (done["error"], len(done["requests"])) == (None, 1)
    audit = done["metadata"]["auditLog"]
    actions = ["start", "request", "resume", "deliver", "fail", "retry", "complete"]
    assert [entry["action"] for entry in audit] == actions
    assert (audit[5]["operator"]["id"], audit[5]["note"]) == ("ada", "it is back")


async def test_what_fails_again_can_be_retried_again(api: httpx.AsyncClient, log: Path) -> None:
    run = await fail_after_paying(api, log)
    for times in range(2, 15):
        run = await retry(api, run)
        assert (run["status"], run["error"]["stepId"]) == ("failed", "s1")
        assert log_lines(log) == ["paid", *["model"] * times]
        assert steps(run) == [("s1", "payer.graph", "failed"), ("s2", "payer.filer", "skipped")]
    log.with_name("away").unlink()
    assert (await retry(api, run))["status"] == "completed"
    assert log_lines(log).count("paid") == 1


async def test_the_202_says_that_the_run_goes_on(api: httpx.AsyncClient, log: Path) -> None:
    run = await fail_after_paying(api, log)
    response = await api.post(f"/api/runs/{run['runId']}/retry", json={})
    assert response.status_code == 202
    queued = response.json()
    assert (queued["status"], queued["error"], queued["result"]) == ("queued", None, None)
    assert steps(queued)[0] == ("s1", "payer.graph", "pending")


async def test_a_function_that_asked_twice_is_not_asked_again(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await start(api, wanting(log, "receipt", "payer.asks_twice"))
    run = await answer(api, run, freeformText="one")
    run = await answer(api, run, freeformText="two")
    assert run["status"] == "failed"
    run = await retry(api, run)
    assert run["status"] == "failed"
    log.with_name("away").unlink()
    done = await retry(api, run)
    assert done["result"]["outputs"] == {"receipt": "one two: thank you"}
    assert len(done["requests"]) == 2


async def test_only_a_failed_run_can_be_retried(api: httpx.AsyncClient, log: Path) -> None:
    run = await start(api, filing(log))
    problem = is_problem(await api.post(f"/api/runs/{run['runId']}/retry", json={}), 409)
    assert (problem["type"], problem["runStatus"]) == ("urn:hitl:run-not-failed", "awaiting_hitl")
    await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "enough"})
    problem = is_problem(await api.post(f"/api/runs/{run['runId']}/retry", json={}), 409)
    assert problem["runStatus"] == "cancelled"
    is_problem(await api.post("/api/runs/run_0/retry", json={}), 404)
    is_problem(await api.post(f"/api/runs/{run['runId']}/retry", json={"reason": "x"}), 422)


async def test_two_retries_at_once_are_one(api: httpx.AsyncClient, log: Path) -> None:
    run = await fail_after_paying(api, log)
    path = f"/api/runs/{run['runId']}/retry"
    both = await asyncio.gather(*(api.post(path, json={}) for _ in range(2)))
    assert sorted(response.status_code for response in both) == [202, 409]


async def test_a_retry_with_a_key_is_done_once(api: httpx.AsyncClient, log: Path) -> None:
    run = await fail_after_paying(api, log)
    path, headers = f"/api/runs/{run['runId']}/retry?wait=20", {"Idempotency-Key": "again"}
    first = await api.post(path, json={}, headers=headers)
    again = await api.post(path, json={}, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert log_lines(log) == ["paid", "model", "model"]


async def test_a_thread_with_another_active_run_takes_no_retry(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await fail_after_paying(api, log)
    other = await start(api, filing(log, threadId=run["threadId"]))
    problem = is_problem(await api.post(f"/api/runs/{run['runId']}/retry", json={}), 409)
    assert problem["type"] == "urn:hitl:thread-busy"
    assert (await answer(api, other, approved=False))["status"] == "failed"


async def test_a_run_goes_on_also_where_another_has_used_its_thread_since(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await fail_after_paying(api, log)
    other = await start(api, filing(log, threadId=run["threadId"]))
    await answer(api, other, approved=False)
    log.with_name("away").unlink()
    done = await retry(api, run)
    assert done["result"]["outputs"] == {"filed": "thank you"}
    assert log_lines(log).count("paid") == 1


async def test_a_stream_that_ended_goes_on(api: httpx.AsyncClient, log: Path) -> None:
    run = await fail_after_paying(api, log)
    path = f"/api/runs/{run['runId']}/events"
    before = frames_of((await api.get(path)).text)
    assert before[-1]["type"] == "error"
    seen = {"Last-Event-ID": str(before[-1]["seq"])}
    assert (await api.get(path, headers=seen)).status_code == 204
    log.with_name("away").unlink()
    await retry(api, run)
    after = frames_of((await api.get(path, headers=seen)).text)
    numbers = [frame["seq"] for frame in [*before, *after]]
    assert numbers == [*range(1, len(numbers) + 1)]
    first, last = after[0], after[-1]
    assert (first["type"], first["message"]) == ("start", "retried")
    assert (last["type"], last["data"]["status"]) == ("complete", "completed")
    assert frames_of((await api.get(path)).text) == [*before, *after]
