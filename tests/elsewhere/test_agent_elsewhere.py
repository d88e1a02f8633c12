"""An agent with our wheel in an environment of its own, with the oldest LangGraph that will do."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.elsewhere.handing_out import KEY, handing_out
from tests.elsewhere.test_agent_command import wait_for
from tests.elsewhere.visits import told
from tests.environments import install, make_environment, run
from tests.faults.test_agents_killed import Office, running_clerk
from tests.processes import serving
from tests.repository import ROOT

VISITS = Path(__file__).with_name("visits.py")
AGENT = """
from typing import Annotated, TypedDict
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    objective: str
    log: Annotated[list, lambda old, new: old + new]

def ask(state):
    return {"log": [["one", interrupt("one")], ["two", interrupt("two")]]}

graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile(name="clerk")
"""

pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    built = ("--no-isolation", "--wheel", "--outdir", folder, ROOT / "elsewhere")
    run(sys.executable, "-m", "build", *built)
    (wheel,) = folder.glob("hitl_agent-*.whl")
    python = make_environment(folder)
    install(python, wheel, "langgraph>=1.0,<1.1", "structlog<26")
    return python


def test_visits_come_to_the_same(python: Path) -> None:
    version = "import importlib.metadata as m; print(m.version('langgraph'))"
    assert run(python, "-c", version).startswith("1.0.")
    run(python, "-W", "ignore", VISITS)


def test_a_graph_as_it_is_asks_and_goes_on(python: Path, tmp_path: Path) -> None:
    (tmp_path / "mail.py").write_text(AGENT)
    command = [python.with_name("hitl-agent"), "mail.py:graph"]
    with handing_out() as server:
        step = server.hand_out("clerk")
        environment = {**os.environ, "HITL_URL": server.url, "HITL_KEY": KEY}
        environment.pop("PYTHONPATH", None)
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
            for _ in ("one", "two"):
                number = len(step.reports)
                wait_for(lambda: len(step.reports) > number)  # noqa: B023
                server.answer(step)
            wait_for(lambda: step.last["outcome"] == "completed")
            process.terminate()
    assert process.returncode == 0
    assert step.last["output"] == {"clerk": {"objective": "Write", "log": told("one", "two")}}


def test_it_is_killed_and_everything_is_done_once(
    python: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with serving(database_url) as server, server.client() as api:
        office = Office(api)
        killed_at: list[float] = []
        for _ in range(3):
            with running_clerk(server.url, tmp_path, python=python) as clerk:
                office.work(1)
                clerk.kill()
                killed_at.append(time.time())
        with running_clerk(server.url, tmp_path, python=python):
            office.close()
    office.check_log(tmp_path / "log", killed_at)
