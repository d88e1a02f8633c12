"""Agents that tell what they do, while they work."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import StreamWriter

LINES = 10_000
WORDS = "Small steps make long ways short."


def describe(name: str, run: Any, **more: Any) -> dict[str, Any]:
    given = {"optionalInputFacets": ["folder"], "outputFacets": [f"{name}.done"]}
    return {"capabilityId": name, "displayName": name.title(), **given, "run": run, **more}


async def wait_for(task: dict[str, Any]) -> None:
    """Work until the test has seen what it wanted to see."""
    while not (Path(task["facets"]["folder"]) / "enough").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def tell(task: dict[str, Any], writer: StreamWriter) -> dict[str, Any]:
    writer("one of two")
    await wait_for(task)
    writer({"text": "two of two", "part": 2})
    return {"named.done": True}


async def tell_by_call(task: dict[str, Any]) -> dict[str, Any]:
    get_stream_writer()({"message": "called", "rows": [1, 2]})
    await wait_for(task)
    return {"called.done": True}


async def tell_on(task: dict[str, Any], writer: StreamWriter) -> dict[str, Any]:
    """Count until the test has seen enough."""
    number = 0
    while not (Path(task["facets"]["folder"]) / "enough").exists():
        writer(f"number {number}")
        number += 1
        await asyncio.sleep(0.01)
    return {"counting.done": True}


def tell_from_a_thread(task: dict[str, Any]) -> dict[str, Any]:
    writer = get_stream_writer()
    writer(f"in a thread: {threading.current_thread() is not threading.main_thread()}")
    time.sleep(1.2)
    with ThreadPoolExecutor() as own:  # which knows nothing of LangGraph
        own.submit(writer, "in one of its own").result()
    return {"thread.done": True}


async def flood(task: dict[str, Any], writer: StreamWriter) -> dict[str, Any]:
    """Tell more than anybody wants to know, within a second and a half."""
    for number in range(LINES):
        writer(f"line {number}")
        if number % 100 == 99:
            await asyncio.sleep(0.015)
    return {"flood.done": True}


async def tell_nonsense(task: dict[str, Any], writer: StreamWriter) -> dict[str, Any]:
    for value in (object(), "NUL \0", float("nan"), {"lone": "\ud800"}, {1: {2}}, 2**70):
        writer(value)
        await asyncio.sleep(0.15)
    writer("x" * 5_000)
    await asyncio.sleep(0.6)
    writer({"rows": ["y" * 5_000]})
    await asyncio.sleep(0.6)
    writer(None)
    return {"nonsense.done": True}


class State(MessagesState):
    objective: str
    done: bool


async def say(state: State) -> dict[str, Any]:
    get_stream_writer()("from below")
    await asyncio.sleep(0.3)
    return {}


async def write(state: State) -> dict[str, Any]:
    model = GenericFakeChatModel(messages=iter([AIMessage(WORDS)]))
    return {"messages": [await model.ainvoke(state["messages"])], "done": True}


def nest() -> Any:
    below = StateGraph(State).add_node(say).add_edge(START, "say").compile()
    inner = StateGraph(State).add_node("below", below).add_node(write)
    inner.add_edge(START, "below").add_edge("below", "write")
    return StateGraph(State).add_node("inner", inner.compile()).add_edge(START, "inner").compile()


def find_done(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.done": state["done"]}


named = describe("named", tell)
called = describe("called", tell_by_call)
thread = describe("thread", tell_from_a_thread)
counting = describe("counting", tell_on)
flooding = describe("flood", flood)
silent = describe("silent", tell, outputFacets=["named.done"], stream=[])
nonsense = describe("nonsense", tell_nonsense)
nested = describe("nested", nest(), output=partial(find_done, "nested"))
spelling = describe(
    "spelling",
    nest(),
    output=partial(find_done, "spelling"),
    stream=["tokens"],
)
both = describe("both", nest(), output=partial(find_done, "both"), stream=["custom", "tokens"])
