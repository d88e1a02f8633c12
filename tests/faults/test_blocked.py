"""An agent that blocks the event loop: its process keeps what it drives, says who it is, and time
limits, cancels and the end of the process hold.
"""

import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.faults.fleet import QUICK
from tests.faults.forked import Forked, serving
from tests.faults.test_told_to_end import DRAIN_SECONDS, END_SECONDS, SOON, end

Json = dict[str, Any]

SOON_SECONDS = 20.0  # on a machine that may be busy; the agents block for 60 s


def begin(process: Forked, log: Path) -> Json:
    """Start a run, and return once its agent is about to block."""
    body = {"objective": "Block", "inputs": {"log": str(log)}, "outputs": ["blocked"]}
    with process.client() as client:
        response = client.post("/api/runs", json=body)
        assert response.status_code == 202, response.text
    until = time.monotonic() + 20
    while "began" not in log_lines(log):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.5)
    return response.json()


def finish(process: Forked, run: Json, seconds: float) -> Json:
    with process.client() as client:
        return client.get(f"/api/runs/{run['runId']}?wait={seconds:g}").json()


def list_told(process: Forked) -> list[Json]:
    """Return what the log says of the loop."""
    lines = [line for line in process.said().splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in lines]
    return [line for line in told if str(line["event"]).startswith("loop_")]


def test_its_run_is_taken_over_by_nobody_and_the_log_names_it(database_url: str, log: Path) -> None:
    with (
        serving(database_url, "blocking.py:some", **QUICK) as first,
        serving(database_url, "blocking.py:some", **QUICK) as second,
    ):
        run = begin(first, log)
        assert finish(second, run, 30)["status"] == "completed"
        assert log_lines(log) == ["began", "done"]
        with first.client() as client:
            assert float(_find(client, "hitl_loop_blocked_seconds_total")) > 3
        assert list_told(second) == []
        blocked, turned = list_told(first)
    assert (blocked["event"], turned["event"]) == ("loop_blocked", "loop_turns_again")
    assert blocked["level"] == "warning"
    assert blocked["runId"] == run["runId"]
    assert blocked["originAgent"] == "blocking.some"
    assert blocked["stepId"]
    assert "agents/blocking.py:" in blocked["place"]
    assert turned["seconds"] > blocked["seconds"] >= 1


def _find(client: httpx.Client, metric: str) -> str:
    lines = client.get("/metrics").text.splitlines()
    return next(line.split()[1] for line in lines if line.startswith(metric))


@pytest.mark.parametrize("name", ["sleeps", "counts", "insists", "node"])
def test_its_time_limit_holds(database_url: str, log: Path, name: str) -> None:
    with serving(database_url, f"blocking.py:{name}", **QUICK) as process:
        began = time.monotonic()
        run = finish(process, begin(process, log), SOON_SECONDS)
        seconds = time.monotonic() - began
        assert process.terminate() == 0
    assert run["status"] == "failed"
    assert seconds < SOON_SECONDS, seconds
    assert "took longer than its 2 seconds" in run["error"]["message"]
    assert "blocked the event loop (agents/blocking.py:" in run["error"]["message"]
    assert log_lines(log) == ["began"]


def test_a_cancel_at_another_server_holds(database_url: str, log: Path) -> None:
    with (
        serving(database_url, "blocking.py:patient", **QUICK) as first,
        serving(database_url, "blocking.py:patient", **QUICK) as second,
    ):
        run = begin(first, log)
        with second.client() as client:
            cancel = f"/api/runs/{run['runId']}/cancel"
            assert client.post(cancel, json={"reason": "enough"}).status_code == 200
        began = time.monotonic()
        with first.client() as client:
            assert client.get("/healthz").status_code == 200
        assert time.monotonic() - began < SOON_SECONDS
        assert finish(first, run, 0)["status"] == "cancelled"
        assert not finish(first, run, 0)["stillWorking"]
        assert first.terminate() == 0
    assert log_lines(log) == ["began"]


@pytest.mark.parametrize(("name", "ended"), [("deaf", 1), ("alone", -signal.SIGALRM)])
def test_its_process_ends_in_time_though_no_thread_or_handler_gets_a_word_in(
    database_url: str, log: Path, name: str, ended: int
) -> None:
    with serving(database_url, f"blocking.py:{name}", **SOON) as process:
        begin(process, log)
        code, seconds = end(process)
    assert (code, DRAIN_SECONDS < seconds < END_SECONDS) == (ended, True), seconds
