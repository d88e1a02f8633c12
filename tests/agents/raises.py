"""Agents that break: before they asked, after they were answered, and in ways that must not end the
process.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    objective: str
    facets: dict[str, Any]
    answer: str


def mapping(name: str, run: Any) -> dict[str, Any]:
    return {
        "capabilityId": f"raises.{name}",
        "displayName": f"Raises ({name})",
        "inputFacets": ["objective"],
        "optionalInputFacets": ["log"],
        "outputFacets": ["answer"],
        "run": run,
    }


async def at_once(task: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("no such\0thing \ud800 " + "x" * 10_000)


async def after_the_answer(task: dict[str, Any]) -> dict[str, Any]:
    interrupt("Shall it break?")
    raise RuntimeError("broken as asked")


def empty_hands(task: dict[str, Any]) -> dict[str, Any]:
    return next(iter([]))


def exits(task: dict[str, Any]) -> dict[str, Any]:
    sys.exit(3)


async def cancels(task: dict[str, Any]) -> dict[str, Any]:
    raise asyncio.CancelledError


async def times_out(task: dict[str, Any]) -> dict[str, Any]:
    raise TimeoutError("the mail server did not answer")


agent = mapping("at_once", at_once)
later = mapping("later", after_the_answer)
stop_iteration = mapping("stop_iteration", empty_hands)
sys_exit = mapping("sys_exit", exits)
cancelled = mapping("cancelled", cancels)
timeout = mapping("timeout", times_out)


def note(state: State, line: str) -> None:
    if log := state.get("facets", {}).get("log"):
        with Path(log).open("a") as lines:
            lines.write(line + "\n")


def works(state: State) -> State:
    note(state, "works")
    return {}


def breaks(state: State) -> State:
    note(state, "breaks")
    raise ZeroDivisionError("division by zero")


graph = StateGraph(State)
graph.add_node("works", works)
graph.add_node("breaks", breaks)
graph.add_edge(START, "works")
graph.add_edge("works", "breaks")
graph.add_edge("breaks", END)
in_a_node = mapping("in_a_node", graph.compile())
