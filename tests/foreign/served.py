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
    write(state, f"approve {said['approved']}".lower())
    return {"answer": [said["approved"]]}


def ask_age(state: State) -> State:
    said = interrupt("Age?")
    write(state, f"age {said}")
    return {"answer": [said]}


def fill_in(state: State) -> State:
    return {"answer": [interrupt("Age?", response_schema={"type": "object"})]}


def ask_twice(state: State) -> State:
    first, second = interrupt("Sure?"), interrupt("Sure?")
    write(state, f"{first} {second}")
    return {"answer": [first, second]}


def fail_once(state: State) -> State:
    write(state, "try")
    if Path(state.get("log", "")).read_text().count("try") == 1:
        raise ValueError("out of luck")
    return {"messages": [{"role": "assistant", "content": "done"}]}


def publish(state: State) -> State:
    write(state, "publish")
    return {"messages": [{"role": "assistant", "content": "published"}]}


both = StateGraph(State)
both.add_node(approve)
both.add_node(ask_age)
both.add_edge(START, "approve")
both.add_edge(START, "ask_age")

twice = StateGraph(State).add_sequence([ask_twice])
twice.add_edge(START, "ask_twice")

form = StateGraph(State).add_sequence([fill_in])
form.add_edge(START, "fill_in")

# behind a join, where the server's state shows no task
joined = StateGraph(State).add_sequence([approve, fail_once])
for name in ("left", "right"):
    joined.add_node(name, prepare)
    joined.add_edge(START, name)
joined.add_edge(["left", "right"], "approve")

in_a_row = StateGraph(State).add_sequence([prepare, publish])
in_a_row.add_edge(START, "prepare")
stopped = in_a_row.compile(interrupt_before=["publish"])
