"""Agents that block the event loop; each notes that it began, and that it is done."""

import asyncio
import ctypes
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

SOME_SECONDS = 5.0  # three leases of 1.5 s, and more
LONG_SECONDS = 60.0


class State(TypedDict, total=False):
    facets: dict[str, Any]
    blocked: str


def note(facets: dict[str, Any], line: str) -> None:
    with Path(facets["log"]).open("a") as lines:
        lines.write(line + "\n")


def count() -> None:
    until = time.monotonic() + LONG_SECONDS
    while time.monotonic() < until:
        pass


async def insist() -> None:
    """Try again whatever happens, in a task of its own."""

    async def try_again() -> None:
        for _ in range(10):
            with suppress(Exception):
                sleep_long()

    await asyncio.gather(try_again(), asyncio.sleep(0))


def plain(name: str, block: Callable[[], Awaitable[None] | None], **more: Any) -> dict[str, Any]:
    async def run(task: dict[str, Any]) -> dict[str, Any]:
        note(task["facets"], "began")
        await asyncio.sleep(0.3)  # what was done before is flushed
        if waiting := block():
            await waiting
        note(task["facets"], "done")
        return {"blocked": "done"}

    return mapping(name, run, **more)


async def block_in_a_node(state: State) -> State:
    note(state.get("facets", {}), "began")
    sleep_long()
    return {"blocked": "done"}


graph = StateGraph(State)
graph.add_node("block", block_in_a_node)
graph.add_edge(START, "block")
graph.add_edge("block", END)


def mapping(name: str, run: Any, **more: Any) -> dict[str, Any]:
    return {
        "capabilityId": f"blocking.{name}",
        "displayName": f"Blocking ({name})",
        "inputFacets": ["objective", "log"],
        "outputFacets": ["blocked"],
        "run": run,
        **more,
    }


def sleep_some() -> None:
    time.sleep(SOME_SECONDS)


def sleep_long() -> None:
    time.sleep(LONG_SECONDS)


def hear_nothing() -> None:
    """Wait in C code, which lets no handler of a signal get a word in."""
    ctypes.CDLL(None).system(b"exec sleep 20")


def keep_the_lock() -> None:
    """No thread of Python's runs meanwhile."""
    re.match("(a+)+$", "a" * 32 + "!")


some = plain("some", sleep_some)
patient = plain("patient", sleep_long)
deaf = plain("deaf", hear_nothing)
alone = plain("alone", keep_the_lock)
sleeps = plain("sleeps", sleep_long, timeoutSeconds=2)
counts = plain("counts", count, timeoutSeconds=2)
insists = plain("insists", insist, timeoutSeconds=2)
node = mapping("node", graph.compile(), timeoutSeconds=2)
