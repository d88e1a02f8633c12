"""Works, asks, works, asks and works; notes each piece of work with its time in a log."""

import json
import os
import time
from typing import Any, TypedDict

import anyio
from langgraph.graph import StateGraph
from langgraph.types import interrupt


class State(TypedDict):
    objective: str
    mail: dict[str, Any]


async def work(name: str, state: State) -> None:
    """Take a moment, then do what must not be done twice."""
    await anyio.sleep(0.1)
    line = json.dumps({"run": state["objective"], "work": name, "at": time.time()})
    with open(os.environ["CLERK_LOG"], "a") as log:  # noqa: ASYNC230  # one line
        log.write(f"{line}\n")


async def prepare(state: State) -> dict[str, Any]:
    await work("prepare", state)
    return {}


async def ask_first(state: State) -> dict[str, Any]:
    said = interrupt({"question": f"Send {state['objective']}?", "kind": "approval"})
    return {"mail": {"first": said["approved"]}}


async def send(state: State) -> dict[str, Any]:
    await work("send", state)
    return {}


async def ask_both(state: State) -> dict[str, Any]:
    said = [interrupt(f"{word} {state['objective']}?") for word in ("File", "Really file")]
    return {"mail": {**state["mail"], "both": said}}


async def file(state: State) -> dict[str, Any]:
    await work("file", state)
    return {}


builder = StateGraph(State)
builder.add_sequence([prepare, ask_first, send, ask_both, file])
builder.set_entry_point("prepare")
clerk = {
    "capabilityId": "far.clerk",
    "displayName": "Clerk",
    "inputFacets": ["objective"],
    "outputFacets": ["mail"],
    "run": builder.compile(),
}
