"""Work that cannot be stopped, seen from other processes, and when its own process dies."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.agents.counting import log_lines
from tests.processes import serving, working

AGENT = "payer.py:synchronous"
CLAIM_SECONDS = 3
LONGEST_WAIT_SECONDS = 60


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def start(client: httpx.Client, log: Path, **body: Any) -> httpx.Response:
    wanted = {"objective": "Pay", "inputs": {"log": str(log)}, "outputs": ["receipt"], **body}
    return client.post("/api/runs", json=wanted)


def begin(client: httpx.Client, log: Path) -> dict[str, Any]:
    response = start(client, log)
    assert response.status_code == 202
    wait_until(lambda: log_lines(log) == ["began"])
    return response.json()


def cancel(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "enough"})
    assert response.status_code == 200
    return response.json()


def is_working(client: httpx.Client, run: dict[str, Any]) -> bool:
    return client.get(f"/api/runs/{run['runId']}").json()["stillWorking"]


def test_every_server_knows_of_it_until_its_process_has_died(database_url: str, log: Path) -> None:
    with (
        serving(database_url, AGENT, HITL_CLAIM_SECONDS=str(CLAIM_SECONDS)) as first,
        serving(database_url, AGENT, HITL_CLAIM_SECONDS=str(CLAIM_SECONDS)) as second,
        first.client() as here,
        second.client() as there,
    ):
        run = begin(here, log)
        assert cancel(there, run)["stillWorking"]
        assert is_working(here, run)
        time.sleep(CLAIM_SECONDS + 1)  # it is kept by its heartbeat
        assert is_working(there, run)
        assert start(there, log, threadId=run["threadId"]).status_code == 409
        first.kill()
        wait_until(lambda: not is_working(there, run))
        assert start(there, log, threadId=run["threadId"]).status_code == 202
        log.with_name("enough").touch()
    assert log_lines(log).count("paid") <= 1


def test_a_worker_says_when_it_has_ended(database_url: str, log: Path) -> None:
    with (
        serving(database_url, AGENT, HITL_DISPATCH="queue") as server,
        working(database_url, AGENT),
        server.client() as client,
    ):
        run = begin(client, log)
        assert cancel(client, run)["stillWorking"]
        assert start(client, log, threadId=run["threadId"]).status_code == 409
        log.with_name("enough").touch()
        wait_until(lambda: not is_working(client, run))
        assert log_lines(log) == ["began", "paid"]
        assert start(client, log, threadId=run["threadId"]).status_code == 202
