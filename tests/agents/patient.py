"""Agents that note their start, and go on once there is a file `go` beside the log.

One works in two nodes; the other may take 8 s, and no more.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class Input(TypedDict):
    runId: str


class State(Input, total=False):
    answer: str


def note(run_id: str) -> Path:
    log = Path(os.environ["HITL_TEST_LOG"])
    with log.open("a") as lines:
        lines.write(f"{run_id}\n")
    return log.with_name("go")


async def wait(run_id: str) -> None:
    go = note(run_id)
    while not go.exists():  # noqa: ASYNC110  # the test decides
        await asyncio.sleep(0.01)


async def begin(state: State) -> dict[str, Any]:
    await wait(state["runId"])
    return {}


def end(state: State) -> dict[str, Any]:
    return {"answer": "done"}


def read(task: dict[str, Any]) -> Input:
    return {"runId": task["runId"]}


graph = StateGraph(State, input_schema=Input)
graph.add_sequence([("begin", begin), ("end", end)])
graph.add_edge(START, "begin")
graph.add_edge("end", END)
agent: dict[str, Any] = {
    "capabilityId": "patient",
    "displayName": "Patient",
    "inputFacets": ["objective"],
    "outputFacets": ["answer"],
    "input": read,
    "run": graph.compile(),
}


async def call(task: dict[str, Any]) -> dict[str, Any]:
    await wait(task["runId"])
    return {"answer": "done"}


function: dict[str, Any] = {**agent, "run": call, "timeoutSeconds": 8}
del function["input"]
