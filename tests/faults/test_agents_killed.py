"""An agent in a process of its own that is really killed, again and again."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import AGENTS, API_KEY, find_free_port, serving, working

Json = dict[str, Any]

KILLS = 25
SERVERS = WORKERS = 3
AT_ONCE = 4
WORK = ("prepare", "send", "file")
# LangGraph runs a node again whose end was not in a checkpoint yet: killed so soon after its work
UNKEPT_SECONDS = 0.1


@contextmanager
def running_clerk(
    url: str, folder: Path, *, is_alone: bool = False, python: str | Path = sys.executable
) -> Generator["subprocess.Popen[str]"]:
    """Give the agent's process once it has registered. `is_alone`: there is no server yet."""
    command = [str(python), "-m", "hitl_agent", "--url", url]
    command += ["--home", str(folder / "home"), f"{AGENTS / 'clerk_elsewhere.py'}:clerk"]
    variables = {**os.environ, "HITL_KEY": API_KEY, "CLERK_LOG": str(folder / "log")}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        line = process.stderr.readline()
        assert ("server is away" if is_alone else "is registered") in line, line
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_clerk(api: httpx.Client) -> None:
    while "far.clerk" not in api.get("/api/capabilities").text:
        time.sleep(0.1)


class Office:
    """Who starts runs, and answers what they ask: yes, and the questions' own words.

    `runs`: by objective.
    """

    def __init__(self, api: httpx.Client, runs: dict[str, str] | None = None) -> None:
        self._api = api
        self.runs = {} if runs is None else runs

    def work(self, seconds: float) -> None:
        """Start runs and answer for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            while len(self.list_open()) < AT_ONCE:
                self.start()
            self.answer()

    def close(self) -> None:
        """Answer until all runs have ended, each answer having reached its own question."""
        while self.list_open():
            self.answer()
            time.sleep(0.05)
        for objective, run_id in self.runs.items():
            made = self._api.get(f"/api/runs/{run_id}").json()["facets"]["mail"]["value"]
            both = [f"File {objective}?", f"Really file {objective}?"]
            assert made == {"first": True, "both": both}

    def check_log(self, log: Path, killed_at: list[float]) -> None:
        """Look whether everything was done once."""
        done = Counter[tuple[str, str]]()
        unkept = set[tuple[str, str]]()
        for line in map(json.loads, log.read_text().splitlines()):
            piece = line["run"], line["work"]
            done[piece] += 1
            if _was_killed_after(line["at"], killed_at):
                unkept.add(piece)
        once = {(objective, work): 1 for objective in self.runs for work in WORK}
        assert {piece: 1 if piece in unkept else number for piece, number in done.items()} == once

    def start(self) -> None:
        objective = f"letter {len(self.runs)}"
        body = {"objective": objective, "outputs": ["mail"]}
        self.runs[objective] = self._api.post("/api/runs", json=body).json()["runId"]

    def answer(self) -> None:
        for paused in self._api.get("/api/hitl/pending").json()["runs"]:
            for request in paused["pendingRequests"]:
                self._decide(paused["runId"], request)

    def _decide(self, run_id: str, request: Json) -> None:
        decision: Json = {"approved": True}
        if request["kind"] == "open":
            decision = {"freeformText": request["question"]}
        response = {"requestId": request["requestId"], **decision}
        body = {"runId": run_id, "requestId": request["requestId"], "responses": [response]}
        done = self._api.post("/api/hitl/resume", json=body)
        assert done.status_code in (200, 409), done.text

    def list_open(self) -> list[str]:
        shown = [self._api.get(f"/api/runs/{run_id}").json() for run_id in self.runs.values()]
        assert not [run for run in shown if run["status"] in ("failed", "cancelled")], shown
        return [run["runId"] for run in shown if run["status"] != "completed"]


@pytest.mark.timeout(300)
def test_killed_at_25_random_moments_it_does_everything_once(
    database_url: str, tmp_path: Path
) -> None:
    killed_at: list[float] = []
    with serving(database_url) as server, server.client() as api:
        office = Office(api)
        while len(killed_at) < KILLS:
            with running_clerk(server.url, tmp_path) as clerk:
                office.work(random.uniform(0, 1.5))  # noqa: S311
                clerk.kill()
                killed_at.append(time.time())
        with running_clerk(server.url, tmp_path):
            office.close()
    office.check_log(tmp_path / "log", killed_at)


@pytest.mark.timeout(300)
def test_its_server_is_killed_and_it_waits_for_the_next(database_url: str, tmp_path: Path) -> None:
    port = find_free_port()
    again = {"PORT": str(port), "HITL_CLAIM_SECONDS": "1"}
    runs: dict[str, str] = {}
    with running_clerk(f"http://127.0.0.1:{port}", tmp_path, is_alone=True):
        for _ in range(SERVERS):
            with serving(database_url, **again) as server, server.client() as api:
                wait_for_clerk(api)
                Office(api, runs).work(random.uniform(1, 6))  # noqa: S311
                server.kill()
        with serving(database_url, **again) as server, server.client() as api:
            office = Office(api, runs)
            office.close()
    office.check_log(tmp_path / "log", [])


@pytest.mark.timeout(300)
def test_workers_are_killed_and_it_too(database_url: str, tmp_path: Path) -> None:
    killed_at: list[float] = []
    soon: Any = {"HITL_CLAIM_SECONDS": "2"}
    with serving(database_url, HITL_DISPATCH="queue", **soon) as server, server.client() as api:
        office = Office(api)
        for _ in range(WORKERS):
            with (
                working(database_url, **soon) as worker,
                running_clerk(server.url, tmp_path) as clerk,
            ):
                office.work(random.uniform(0.5, 4))  # noqa: S311
                worker.kill()
                office.work(0.5)
                clerk.kill()
                killed_at.append(time.time())
        with working(database_url, **soon), running_clerk(server.url, tmp_path):
            office.close()
    office.check_log(tmp_path / "log", killed_at)


def _was_killed_after(at: float, killed_at: list[float]) -> bool:
    return any(0 <= killed - at < UNKEPT_SECONDS for killed in killed_at)
