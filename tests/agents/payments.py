"""Two payments, each asked for before it is made; and what deploys make of this agent.

A payment waits for a file `go` beside its log: whoever kills the process knows when.
"""

import os
import time
from pathlib import Path
from typing import Any, NotRequired

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict):
    objective: str
    approved: NotRequired[str]  # whom a person said yes to
    paid: NotRequired[str]


def note(line: str) -> None:
    descriptor = os.open(os.environ["HITL_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def ask(payee: str) -> Any:
    def node(state: State) -> dict[str, Any]:
        answer = interrupt({"question": f"Pay {payee}?", "amount": 4200})
        note(f"{payee} heard {answer}")
        return {"approved": payee if answer is True else ""}

    return node


def pay(payee: str) -> Any:
    def node(state: State) -> dict[str, Any]:
        while not Path(os.environ["HITL_TEST_LOG"]).with_name("go").exists():
            time.sleep(0.01)
        if state.get("approved") == payee:
            note(f"{payee} paid")
        return {"paid": payee}

    return node


def build(ask_ann: str | None = "ask ann", ask_bob: str | None = "ask bob") -> Any:
    """Build the graph with these names of its asking nodes; None: nobody is asked."""
    graph = StateGraph(State)
    steps = [(ask_ann, ask("ann")), ("pay ann", pay("ann")), (ask_bob, ask("bob"))]
    steps.append(("pay bob", pay("bob")))
    last = START
    for name, node in steps:
        if name is not None:
            graph.add_node(name, node)
            graph.add_edge(last, name)
            last = name
    graph.add_edge(last, END)
    return graph.compile()


def mapping(graph: Any, capability: str = "payments") -> dict[str, Any]:
    return {
        "capabilityId": capability,
        "displayName": "Payments",
        "inputFacets": ["objective"],
        "outputFacets": ["paid" if capability == "payments" else capability],
        "facets": {},
        "run": graph,
    }


whole = mapping(build())
ann_renamed = mapping(build(ask_ann="question ann"))
bob_renamed = mapping(build(ask_bob="question bob"))
dropped = mapping(build(ask_ann=None, ask_bob=None))
missing = mapping(build(), "something_else")
