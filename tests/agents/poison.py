"""Agents that kill the process they work in, or try to, or do not let it end; each notes that it
began.
"""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

FLUSHED_SECONDS = 1.2  # by then what was done before is flushed, on a busy machine too


class Strange(BaseException):
    """No Exception."""


class State(TypedDict, total=False):
    facets: dict[str, Any]
    answer: str


def note(facets: dict[str, Any], line: str) -> None:
    with Path(facets["log"]).open("a") as lines:
        lines.write(line + "\n")


def is_cured(facets: dict[str, Any]) -> bool:
    return Path(facets["log"]).with_name("cured").exists()


def leave() -> None:
    os._exit(7)


def crash() -> None:
    ctypes.string_at(0)


def use_too_much_memory() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does


def raise_strange() -> None:
    raise Strange


def interrupt_from_keyboard() -> None:
    raise KeyboardInterrupt


def leave_politely() -> None:
    sys.exit(3)


def block() -> None:
    time.sleep(600)


def mapping(name: str, run: Any) -> dict[str, Any]:
    return {
        "capabilityId": f"poison.{name}",
        "displayName": f"Poison ({name})",
        "inputFacets": ["objective", "log"],
        "outputFacets": [name],
        "run": run,
    }


def plain(name: str, act: Callable[[], None]) -> dict[str, Any]:
    async def run(task: dict[str, Any]) -> dict[str, Any]:
        note(task["facets"], "began")
        await asyncio.sleep(FLUSHED_SECONDS)
        if not is_cured(task["facets"]):
            act()
        return {name: "cured"}

    return mapping(name, run)


def node(name: str, act: Callable[[], None]) -> dict[str, Any]:
    """The same in the node of a graph, synchronous: it works in a thread."""

    def work(state: State) -> State:
        note(state.get("facets", {}), "began")
        act()
        return {}

    graph = StateGraph(State)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return mapping(name, graph.compile())


exits = plain("exits", leave)
crashes = plain("crashes", crash)
too_large = plain("too_large", use_too_much_memory)
strange = plain("strange", raise_strange)
interrupted = plain("interrupted", interrupt_from_keyboard)
polite = plain("polite", leave_politely)
blocks = plain("blocks", block)
strange_node = node("strange_node", raise_strange)
interrupted_node = node("interrupted_node", interrupt_from_keyboard)
polite_node = node("polite_node", leave_politely)


async def _raise_below(task: dict[str, Any]) -> dict[str, Any]:
    """Raise in a task of its own: that goes right out of the event loop, past all that catch."""
    note(task["facets"], "began")

    async def below() -> None:
        raise KeyboardInterrupt

    await asyncio.sleep(FLUSHED_SECONDS)
    if not is_cured(task["facets"]):
        await asyncio.create_task(below())
    return {"below": "cured"}


async def _insist(task: dict[str, Any]) -> dict[str, Any]:
    note(task["facets"], "began")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            note(task["facets"], "swallowed")
    return {"insists": "at last"}


async def _cancel_itself(task: dict[str, Any]) -> dict[str, Any]:
    note(task["facets"], "began")

    async def wait() -> None:
        await asyncio.sleep(600)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await waiting
    return {"cancels_itself": "never"}


below = mapping("below", _raise_below)
insists = mapping("insists", _insist)
cancels_itself = mapping("cancels_itself", _cancel_itself)
