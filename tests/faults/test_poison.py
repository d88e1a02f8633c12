"""A run that kills its process is put aside, and takes no other along; what an agent raises ends
its step alone.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.faults.forked import Forked, serving, working

LONGEST_WAIT_SECONDS = 90
QUICK = {"HITL_CLAIM_SECONDS": "1", "HITL_DRAIN_SECONDS": "2"}
DEADLY = ["exits", "crashes", "too_large", "below"]
HARMLESS = {
    "strange": "RuntimeError: the agent raised Strange",
    "interrupted": "RuntimeError: the agent raised KeyboardInterrupt",
    "polite": "RuntimeError: the agent called sys.exit()",
    "strange_node": "RuntimeError: the agent raised Strange",
    "interrupted_node": "RuntimeError: the agent raised KeyboardInterrupt",
    "polite_node": "RuntimeError: the agent called sys.exit()",
    "cancels_itself": "NodeCancelledError",
}

Json = dict[str, Any]


def start(client: httpx.Client, name: str, log: Path) -> Json:
    body = {"objective": "Kill", "inputs": {"log": str(log)}, "outputs": [name]}
    response = client.post("/api/runs", json=body)
    assert response.status_code == 202, response.text
    return response.json()


def look(process: Forked, run: Json) -> Json | None:
    """Return the run; None: the process does not answer."""
    with suppress(httpx.TransportError), process.client() as client:
        return client.get(f"/api/runs/{run['runId']}").json()
    return None


def live(process: Forked, run: Json, *statuses: str) -> Json | None:
    """Return the run once it has ended so; None: the process died before."""
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while process.alive():
        assert time.monotonic() < until, process.said()[-2000:]
        found = look(process, run)
        if found and found["status"] in statuses:
            return found
        time.sleep(0.05)
    return None


@pytest.mark.parametrize("name", DEADLY)
def test_a_run_that_kills_its_process_again_and_again_fails_and_can_be_retried(
    database_url: str, log: Path, name: str
) -> None:
    settings = {**QUICK, "HITL_MAX_ATTEMPTS": "2"}
    agent = f"poison.py:{name}"
    with serving(database_url, agent, **settings) as process, process.client() as client:
        run = start(client, name, log)
        assert live(process, run, "failed") is None, "it did not kill its process"
    ended: Json | None = None
    retried: Json | None = None
    lives = 1
    while ended is None:
        lives += 1
        assert lives < 6, "it goes on killing"
        with serving(database_url, agent, **settings) as process:
            ended = live(process, run, "failed")
            if ended:
                log.with_name("cured").touch()
                with process.client() as client:
                    response = client.post(f"/api/runs/{run['runId']}/retry", json={})
                    assert response.status_code == 202
                retried = live(process, run, "completed", "failed")
    assert log_lines(log) == ["began"] * 3  # twice, and the retry
    assert "died 2 times in a row" in ended["error"]["message"]
    assert retried is not None
    assert (retried["status"], retried["result"]["outputs"]) == ("completed", {name: "cured"})


def test_a_worker_puts_it_aside_too(database_url: str, log: Path) -> None:
    settings = {**QUICK, "HITL_MAX_ATTEMPTS": "2"}
    agent = "poison.py:exits"
    with (
        serving(database_url, agent, HITL_DISPATCH="queue", **settings) as server,
        server.client() as client,
    ):
        run = start(client, "exits", log)
        lives = 0
        while client.get(f"/api/runs/{run['runId']}").json()["status"] != "failed":
            lives += 1
            assert lives < 6, "it goes on killing"
            with working(database_url, agent, **settings) as worker:
                until = time.monotonic() + LONGEST_WAIT_SECONDS
                while worker.alive():
                    assert time.monotonic() < until
                    if look(server, run) and (look(server, run) or {})["status"] == "failed":
                        break
                    time.sleep(0.1)
    assert log_lines(log) == ["began"] * 2


def test_it_takes_no_other_run_along(database_url: str, log: Path) -> None:
    """A run that works for long beside it is not failed for it, and ends."""
    agents = ("poison.py:exits", "slow.py:agent")
    settings = {**QUICK, "HITL_MAX_ATTEMPTS": "3"}
    beside: Json = {}
    bad: Json = {}
    results: dict[str, Json] = {}
    for life in range(10):
        with serving(database_url, *agents, **settings) as process:
            if life == 0:
                with process.client() as client:
                    beside = start(client, "slow", log.with_name("slow.log"))
                    bad = start(client, "exits", log)
            until = time.monotonic() + LONGEST_WAIT_SECONDS
            while process.alive() and len(results) < 2:
                assert time.monotonic() < until
                for name, run in (("bad", bad), ("beside", beside)):
                    found = look(process, run)
                    if found and found["status"] in ("completed", "failed"):
                        results[name] = found
                time.sleep(0.05)
        if len(results) == 2:
            break
    assert (results["bad"]["status"], results["beside"]["status"]) == ("failed", "completed")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_an_agent_raises_fails_its_step_and_nothing_else(
    database_url: str, log: Path, name: str
) -> None:
    with serving(database_url, f"poison.py:{name}", **QUICK) as process, process.client() as client:
        run = live(process, start(client, name, log), "failed")
        assert run is not None, f"it killed its process:\n{process.said()[-2000:]}"
        assert HARMLESS[name] in run["error"]["message"]
        assert process.terminate() == 0
    assert log_lines(log) == ["began"]
