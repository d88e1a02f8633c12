"""A stranger's repository of the usual layout is plugged in by path and runs, from wherever."""

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from tests.plugging.folders import describe_agent, write
from tests.processes import API_KEY, HITL, Running, running
from tests.test_first_run import answered, started, waiting

# Every name of a folder of ours is a module of theirs.
REPOSITORY = {
    "my_agent": """
import server
from graph import workflow
from nodes.draft import TITLE

agent = {
    "capabilityId": "orders.clerk", "displayName": TITLE, "outputFacets": ["order"],
    "run": workflow.compile(),
    "input": lambda task: {"order": server.first_order(task["objective"])},
    "output": lambda state: {"order": state["order"].model_dump()},
}
""",
    "graph": """
from langgraph.graph import END, START, StateGraph
from nodes.ask import ask
from nodes.draft import draft
from state import State

workflow = StateGraph(State)
workflow.add_node("draft", draft)
workflow.add_node("ask", ask)
workflow.add_edge(START, "draft")
workflow.add_edge("draft", "ask")
workflow.add_edge("ask", END)
""",
    "state": """
from pydantic import BaseModel
from typing_extensions import TypedDict

class Order(BaseModel):
    what: str
    notes: list[str] = []

class State(TypedDict):
    order: Order
""",
    "nodes/__init__": "",
    "nodes/draft": """
TITLE = "Clerk"

def draft(state):
    from domain import note  # late
    return {"order": note(state["order"], "drafted")}
""",
    "nodes/ask": """
from langgraph.types import interrupt

def ask(state):
    answer = interrupt("How many?")
    from checkpoints import NOTE  # late
    from domain import note
    return {"order": note(state["order"], f"{NOTE}: {answer}")}
""",
    "server": """
from state import Order

def first_order(what):
    return Order(what=what)
""",
    "domain": """
def note(order, text):
    return order.model_copy(update={"notes": [*order.notes, text]})
""",
    "checkpoints": "NOTE = 'answered'",
}
# Another project, in whose folder the server is started.
DECOY = dict.fromkeys(
    ["graph", "state", "server", "domain", "checkpoints", "nodes/__init__"],
    "raise RuntimeError('the wrong one')",
)


def serving_from(
    folder: Path, database_url: str, entries: str, path: str = ""
) -> AbstractContextManager[Running]:
    ours = os.environ.get("PYTHONPATH", "")
    environment = {
        "DATABASE_URL": database_url,
        "API_KEY": API_KEY,
        "PORT": "0",
        "HITL_AGENTS": entries,
        "PYTHONPATH": os.pathsep.join(filter(None, [ours, path])),
    }
    return running("serve", environment=environment, says="HITL Orchestrator: ", folder=folder)


def test_it_pauses_in_its_own_folder_and_goes_on_from_another(
    database_url: str, tmp_path: Path
) -> None:
    theirs, elsewhere = write(tmp_path / "theirs", **REPOSITORY), write(tmp_path / "x", **DECOY)
    with serving_from(theirs, database_url, "my_agent.py:agent", path=".") as server:
        with server.client() as api:
            run = started(api, objective="Tea")
            assert waiting(run)["question"] == "How many?"
        server.kill()
    entry = f"{theirs}/my_agent.py:agent"
    with serving_from(elsewhere, database_url, entry, path=".") as server, server.client() as api:
        run = answered(api, run, freeformText="two")
    assert run["status"] == "completed", run["error"]
    assert run["result"]["outputs"] == {
        "order": {"what": "Tea", "notes": ["drafted", "answered: two"]}
    }


def test_its_path_may_be_relative_to_another_folder(database_url: str, tmp_path: Path) -> None:
    write(tmp_path / "theirs", **REPOSITORY)
    elsewhere = write(tmp_path / "x", **DECOY)
    entry = "../theirs/my_agent.py:agent"
    with serving_from(elsewhere, database_url, entry) as server, server.client() as api:
        run = answered(api, started(api, objective="Tea"), freeformText="two")
    assert run["status"] == "completed", run["error"]


def test_two_repositories_with_one_layout_stop_the_start_with_one_line(
    database_url: str, tmp_path: Path
) -> None:
    one = write(tmp_path / "one", **REPOSITORY)
    other = write(tmp_path / "other", **REPOSITORY, second="import state\n" + describe_agent("b"))
    environment = {
        "DATABASE_URL": database_url,
        "API_KEY": API_KEY,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HITL_AGENTS": f"{one}/my_agent.py:agent,{other}/second.py:agent",
    }
    ended = subprocess.run(
        [HITL, "serve", "--port", "0"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    [line] = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert ended.returncode == 1
    assert f"{one}/" in line
    assert f"{other}/" in line
