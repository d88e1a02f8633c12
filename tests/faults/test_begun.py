"""A run whose process died in a node that only one of two versions of its agent has."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.agents.counting import log_lines
from tests.faults.fleet import QUICK
from tests.faults.forked import serving, working

VERSION = """
import asyncio
import os
from pathlib import Path

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    done: str


def prepare(state: State) -> State:
    return {}


async def work(state: State) -> State:
    log = Path(os.environ["HITL_TEST_LOG"])
    with log.open("a") as lines:
        lines.write("began\\n")
    while not log.with_name("enough").exists():
        await asyncio.sleep(0.05)
    return {"done": "done"}


graph = StateGraph(State)
graph.add_sequence([("prepare", prepare), ("NAME", work)])
graph.add_edge(START, "prepare")
agent = {
    "capabilityId": "work",
    "displayName": "Work",
    "inputFacets": ["objective"],
    "outputFacets": ["done"],
    "facets": {"done": {"type": "string"}},
    "run": graph.compile(),
}
"""
RUNS = 4  # as many as a worker drives at once
LONGEST_WAIT_SECONDS = 60

Json = dict[str, Any]


def write_version(folder: Path, name: str) -> str:
    """Return the entry of HITL_AGENTS of the agent whose node has that name."""
    file = folder / name / "work.py"
    file.parent.mkdir()
    file.write_text(VERSION.replace("NAME", name))
    return f"{file}:agent"


def wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def list_runs(client: httpx.Client) -> Sequence[Json]:
    return client.get("/api/runs").json()["runs"]


def count_holds(client: httpx.Client, run: Json) -> int:
    found = client.get(f"/api/runs/{run['runId']}").json()
    return Counter(entry["action"] for entry in found["metadata"]["auditLog"])["hold"]


def test_who_lets_a_held_run_go_drives_it(database_url: str, log: Path, tmp_path: Path) -> None:
    """Through the queue it came to a worker that has the other version, and was held again."""
    old, new = write_version(tmp_path, "old"), write_version(tmp_path, "new")
    settings = {**QUICK, "HITL_TEST_LOG": str(log)}
    queued = {**settings, "HITL_AGENTS": old, "HITL_DISPATCH": "queue"}
    with serving(database_url, **queued) as server, server.client() as client:
        with working(database_url, **settings, HITL_AGENTS=old) as worker:
            for _ in range(RUNS):
                client.post("/api/runs", json={"objective": "Work", "outputs": ["done"]})
            wait_for(lambda: len(log_lines(log)) == RUNS)
            time.sleep(0.5)  # what went before is flushed
            worker.kill()
        log.with_name("enough").touch()
        with working(database_url, **settings, HITL_AGENTS=new):
            wait_for(lambda: all(run["held"] for run in list_runs(client)))
            with working(database_url, **settings, HITL_AGENTS=old):
                wait_for(lambda: {run["status"] for run in list_runs(client)} == {"completed"})
        assert [count_holds(client, run) for run in list_runs(client)] == [1] * RUNS
