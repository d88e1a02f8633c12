"""Agents that pay once approved, and then need a model that may be away.

Each note in the log is one payment. The model is away while there is a file `away` beside the log.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    facets: dict[str, Any]
    approved: bool
    receipt: str


QUESTION = {"question": "Pay 100?", "kind": "approval"}


def note(facets: dict[str, Any], line: str) -> None:
    with Path(facets["log"]).open("a") as lines:
        lines.write(line + "\n")


def call_model(facets: dict[str, Any]) -> str:
    note(facets, "model")
    if Path(facets["log"]).with_name("away").exists():
        raise ConnectionError("503: the model is away")
    return "thank you"


def ask(state: State) -> State:
    return {"approved": interrupt(QUESTION)["approved"]}


def pay(state: State) -> State:
    note(state.get("facets", {}), "paid" if state.get("approved") else "not paid")
    return {}


def thank(state: State) -> State:
    return {"receipt": call_model(state.get("facets", {}))}


graph = StateGraph(State)
graph.add_sequence([("ask", ask), ("pay", pay), ("thank", thank)])
graph.add_edge(START, "ask")
graph.add_edge("thank", END)


async def function(task: dict[str, Any]) -> dict[str, Any]:
    """Ask twice, and work only after both answers: it starts from its top each time."""
    first = interrupt({"question": "First?", "kind": "freeform"})
    second = interrupt({"question": "Second?", "kind": "freeform"})
    said = f"{first['freeformText']} {second['freeformText']}"
    return {"receipt": f"{said}: {call_model(task['facets'])}"}


async def thank_again(task: dict[str, Any]) -> dict[str, Any]:
    note(task["facets"], "filed")
    return {"filed": task["facets"]["receipt"]}


def work_on(task: dict[str, Any]) -> dict[str, Any]:
    """Work in a thread, which nobody can stop, until there is a file `enough` beside the log."""
    facets = task["facets"]
    note(facets, "began")
    while not Path(facets["log"]).with_name("enough").exists():
        time.sleep(0.01)
    note(facets, "paid")
    return {"receipt": "late"}


def work_in_a_node(state: State) -> State:
    return {"receipt": work_on({"facets": state.get("facets", {})})["receipt"]}


one_node = StateGraph(State)
one_node.add_node("work", work_in_a_node)
one_node.add_edge(START, "work")
one_node.add_edge("work", END)


async def wait_long(task: dict[str, Any]) -> dict[str, Any]:
    note(task["facets"], "began")
    await asyncio.sleep(600)
    return {"receipt": "late"}


def mapping(name: str, run: Any, **more: Any) -> dict[str, Any]:
    return {
        "capabilityId": f"payer.{name}",
        "displayName": f"Payer ({name})",
        "inputFacets": ["log"],
        "outputFacets": ["receipt"],
        "run": run,
        **more,
    }


agent = mapping("graph", graph.compile())
asks_twice = mapping("asks_twice", function)
patient = mapping("patient", graph.compile(), retries={"attempts": 100, "seconds": 0.05})
thrice = mapping("thrice", graph.compile(), retries={"attempts": 3, "seconds": 0.5})
very_patient = mapping("very_patient", graph.compile(), retries={"attempts": 3, "seconds": 600})
synchronous = mapping("synchronous", work_on)
in_a_node = mapping("in_a_node", one_node.compile())
late = mapping("late", work_on, timeoutSeconds=0.2, retries={"attempts": 5, "seconds": 0})
slow = mapping("slow", wait_long, timeoutSeconds=0.2, retries={"attempts": 2, "seconds": 0})
filer: dict[str, Any] = {
    "capabilityId": "payer.filer",
    "displayName": "Filer",
    "inputFacets": ["receipt", "log"],
    "outputFacets": ["filed"],
    "run": thank_again,
}
