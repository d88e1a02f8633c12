"""`hitl-agent` as a process: how it ends, and what is done when it was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hitl_agent import __version__
from tests.elsewhere.handing_out import KEY, HandedOut, HandingOut, handing_out
from tests.elsewhere.visits import told
from tests.repository import ROOT

SECONDS = 30.0
AGENT = """
import time
from pathlib import Path
from typing import TypedDict
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    log: list

def note(line):
    with Path("effects").open("a") as file:
        print(line, file=file)

def pay(state):
    note("pays")
    return {"log": []}

def ask(state):
    log = [("one", interrupt("one"))]
    note("has heard one")
    time.sleep(0.5)
    return {"log": [*log, ("two", interrupt("two"))]}

def send(state):
    note("sends")

graph = StateGraph(State).add_sequence([pay, ask, send]).add_edge(START, "pay")
agent = {"capabilityId": "clerk", "displayName": "Clerk", "outputFacets": ["log"], "run": graph}
broken = {"capabilityId": "clerk", "answer": print}
"""

pytestmark = pytest.mark.process


@pytest.fixture
def server() -> Generator[HandingOut]:
    with handing_out() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph_of_a_process.py").write_text(AGENT)
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    clean = {key: value for key, value in os.environ.items() if key not in ("API_KEY", "HITL_KEY")}
    return subprocess.Popen(
        [sys.executable, "-m", "hitl_agent", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT / "src"), **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def working(folder: Path, server: HandingOut) -> Generator["subprocess.Popen[str]"]:
    entry = "graph_of_a_process.py:agent"
    process = start(folder, entry, HITL_URL=server.url, HITL_KEY=KEY)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def wait_for_question(step: HandedOut, question: str) -> None:
    wait_for(lambda: step.last.get("outcome") == "asking" and question in str(step.last))


def read_effects(folder: Path) -> list[str]:
    file = folder / "effects"
    return file.read_text().splitlines() if file.exists() else []


def test_what_it_did_is_not_done_again_when_it_was_killed(server: HandingOut, folder: Path) -> None:
    """Killed where it waits, where it works with an answer, and where it waits again."""
    step = server.hand_out("clerk")
    with working(folder, server):
        wait_for_question(step, "one")
    server.answer(step)
    with working(folder, server):
        wait_for(lambda: "has heard one" in read_effects(folder))
    with working(folder, server):
        wait_for_question(step, "two")
    server.answer(step)
    with working(folder, server):
        wait_for(lambda: step.last["outcome"] == "completed")
    assert step.last["output"] == {"log": told("one", "two")}
    effects = read_effects(folder)
    assert (effects[0], effects[-1], effects.count("pays"), effects.count("sends")) == (
        "pays",
        "sends",
        1,
        1,
    )
    assert len({report["token"] for report in step.reports}) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(server: HandingOut, folder: Path, number: signal.Signals) -> None:
    step = server.hand_out("clerk")
    with working(folder, server) as process:
        wait_for_question(step, "one")
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert said.splitlines() == [
        "hitl-agent: clerk is registered, and waits for steps",
        "hitl-agent: clerk run_1/s1: taken",
        "hitl-agent: clerk run_1/s1: asks 1",
        "hitl-agent: ending: no more steps are taken",
    ]
    home = folder / ".hitl-agent"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / ".gitignore").read_text() == "*\n"
    assert (home / "home").read_text() == server.agents["clerk"]["home"]


def test_two_processes_do_not_work_at_one_home(server: HandingOut, folder: Path) -> None:
    with working(folder, server):
        wait_for(lambda: server.agents)
        second = start(folder, "graph_of_a_process.py:agent", HITL_URL=server.url, HITL_KEY=KEY)
        _, said = second.communicate(timeout=SECONDS)
    assert (second.returncode, "another process works at the home" in said) == (2, True)


def test_a_server_that_refuses_ends_it(server: HandingOut, folder: Path) -> None:
    server.breaks["register"] = [403]
    process = start(folder, "graph_of_a_process.py:agent", HITL_URL=server.url, HITL_KEY=KEY)
    said = "".join(process.communicate(timeout=SECONDS))
    assert process.returncode == 1
    assert said == "hitl-agent: the server refuses: 403: because register\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "ENTRY"),
        (("graph_of_a_process.py:agent", "--url", "localhost"), "the address of the server"),
        (("graph_of_a_process.py:agent", "--url", "http://[::1"), "the address of the server"),
        (("graph_of_a_process.py:agent", "--key", ""), "a key is needed"),
        (("graph_of_a_process.py:agent", "--at-once", "0"), "--at-once must be"),
        (("graph_of_a_process.py:absent",), "cannot be loaded: AttributeError"),
        (("graph_of_a_process.py:broken",), "hand `interrupt()` what is to be asked"),
        (("graph_of_a_process.py:agent", "--home", "graph_of_a_process.py"), "File exists"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    folder: Path, arguments: tuple[str, ...], reason: str
) -> None:
    has_key = {} if "--key" in arguments else {"API_KEY": KEY}
    process = start(folder, *arguments, HITL_URL="http://127.0.0.1:1", **has_key)
    _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, reason in said) == (2, True), said
    assert "Traceback" not in said
    assert KEY not in said


def test_its_version_is_told(folder: Path) -> None:
    process = start(folder, "--version")
    said, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (0, f"hitl-agent {__version__}\n")
