"""Graphs that `langgraph dev` serves: test_langgraph_dev.py. Nothing of ours is imported here."""

import operator
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    objective: str
    log: str
    messages: list[Any]
    answer: Annotated[list[Any], operator.add]


def write(state: State, line: str) -> None:
    with Path(state.get("log", "")).open("a") as log:
        log.write(f"{line}\n")


def prepare(state: State) -> State:
    write(state, "prepare")
    return {}


def approve(state: State) -> State:
    said = interrupt({"question": "Publish?", "kind": "approval"})
    write(state, f"approve {said['approved']}")
    return {"answer": [said["approved"]]}


def ask_age(state: State) -> State:
    said = interrupt("Age?", response_schema={"type": "object", "required": ["age"]})
    write(state, f"age {said['age']}")
    return {"answer": [said["age"]]}


def fail_once(state: State) -> State:
    write(state, "try")
    if Path(state.get("log", "")).read_text().count("try") == 1:
        raise ValueError("out of luck")
    return {"messages": [{"type": "ai", "content": "done"}]}


def publish(state: State) -> State:
    write(state, "publish")
    return {"messages": [{"type": "ai", "content": "published"}]}


both = StateGraph(State)
both.add_node(approve)
both.add_node(ask_age)
both.add_edge(START, "approve")
both.add_edge(START, "ask_age")

# behind a join, where the server's state shows no task
joined = StateGraph(State).add_sequence([approve, fail_once])
for name in ("left", "right"):
    joined.add_node(name, prepare)
    joined.add_edge(START, name)
joined.add_edge(["left", "right"], "approve")

stopped = StateGraph(State).add_sequence([prepare, publish])
stopped.add_edge(START, "prepare")
stopped_before_publish = stopped.compile(interrupt_before=["publish"])
