"""Attempts are counted across processes that die."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.agents.counting import log_lines
from tests.processes import serving

AGENT = "payer.py:thrice"


def tell_warnings(client: httpx.Client, run_id: str, number: int) -> None:
    """Return once so many warnings were sent."""
    with client.stream("GET", f"/api/runs/{run_id}/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:])["type"] == "warning":
                number -= 1
            if not number:
                return


def test_a_crash_between_two_attempts_does_not_begin_the_count_anew(
    database_url: str, log: Path
) -> None:
    log.with_name("away").touch()
    with (
        serving(database_url, AGENT, HITL_CLAIM_SECONDS="3") as first,
        first.client() as client,
    ):
        wanted = {"objective": "Pay", "inputs": {"log": str(log)}, "outputs": ["receipt"]}
        run: dict[str, Any] = client.post("/api/runs?wait=20", json=wanted).json()
        decision = {"requestId": run["pendingRequestId"], "approved": True}
        answer = {"runId": run["runId"], "requestId": run["pendingRequestId"]}
        client.post("/api/hitl/resume", json={**answer, "responses": [decision]})
        tell_warnings(client, run["runId"], 2)
        first.kill()
    before = log_lines(log).count("model")
    with serving(database_url, AGENT, HITL_CLAIM_SECONDS="3") as second, second.client() as client:
        ended = client.get(f"/api/runs/{run['runId']}?wait=60", timeout=90).json()
    assert (ended["status"], log_lines(log).count("paid")) == ("failed", 1)
    # the one that was under way when the process died is made again
    assert log_lines(log).count("model") in ({4} if before == 2 else {4, 5})
