"""`hitl serve --reload`: the agents are loaded anew when they change, and what waits stays."""

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import API_KEY, Running, running
from tests.temporary import temporary_folder
from tests.terminal.commands import hitl

AGENT = """
from langgraph.types import interrupt

from wording import ENDING

def run(task):
    return {"greeting": f"{interrupt('Who?')}, {ENDING}"}

agent = {"capabilityId": "greeter", "displayName": "Greeter", "outputFacets": ["greeting"],
    "run": run}
"""
SECONDS = 60.0


@pytest.fixture
def folder() -> Generator[Path]:
    with temporary_folder() as found:
        (found / "greeter.py").write_text(AGENT)
        (found / "wording.py").write_text('ENDING = "hello"\n')
        yield found


@pytest.fixture
def server(folder: Path) -> Generator[Running]:
    """With an embedded Postgres."""
    environment = {"PORT": "0", "API_KEY": API_KEY, "HITL_AGENTS": "greeter.py:agent"}
    with running(
        "serve", "--reload", environment=environment, says="Inbox: ", folder=folder
    ) as found:
        wait_until(lambda: "from greeter.py:agent" in found.log.read_text())
        yield found
        if found.process.poll() is None:
            found.terminate()


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.1)


def count_starts(server: Running) -> int:
    return server.log.read_text().count("greeter: nothing -> greeting   from greeter.py:agent")


def start(api: httpx.Client) -> dict[str, Any]:
    return api.post("/api/runs?wait=30", json={"objective": "Greet"}).json()


def answer(api: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    request_id = run["pendingRequestId"]
    response = {"requestId": request_id, "freeformText": "Ann"}
    body = {"runId": run["runId"], "requestId": request_id, "responses": [response]}
    return api.post("/api/hitl/resume?wait=30", json=body).json()["run"]


def test_what_waits_is_answered_by_the_agent_as_it_is_then(server: Running, folder: Path) -> None:
    with server.client() as api:
        first, second = start(api), start(api)
        assert answer(api, first)["result"]["outputs"] == {"greeting": "Ann, hello"}
        (folder / "wording.py").write_text('ENDING = "good day"\n')
        wait_until(lambda: count_starts(server) == 2)
        assert answer(api, second)["result"]["outputs"] == {"greeting": "Ann, good day"}

        (folder / "greeter.py").write_text(AGENT.replace("def run(task):", "def run(task:"))
        wait_until(lambda: "it tries again at the next change" in server.log.read_text())
        assert "cannot be loaded: SyntaxError" in server.log.read_text()
        (folder / "greeter.py").write_text(AGENT)
        wait_until(lambda: count_starts(server) == 3)
        assert answer(api, start(api))["status"] == "completed"
        pidfile = next(folder.rglob("postmaster.pid"))
        assert server.terminate() == 0
    assert not pidfile.exists()


def test_other_files_change_nothing(server: Running, folder: Path) -> None:
    (folder / "notes.md").write_text("Not code.")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "installed.py").write_text("")
    time.sleep(2)
    assert "has changed" not in server.log.read_text()


def test_it_is_for_one_process(tmp_path: Path) -> None:
    done = hitl("serve", "--reload", "--processes", "2", cwd=tmp_path)
    assert (done.returncode, "--reload is for one process" in done.stderr) == (2, True)
