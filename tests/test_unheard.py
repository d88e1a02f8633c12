"""Nodes run without callbacks where nobody listens, and with all of them where somebody does."""

from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from hitl_orchestrator.nodes.embed import embed_agent
from tests.steps import TASK, agent

_left = ContextVar("left", default="nothing")


class State(TypedDict, total=False):
    objective: str
    answer: str


class Heard(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.names = list[str]()

    async def on_chain_start(self, *args: Any, name: str = "", **kwargs: Any) -> None:
        self.names.append(name)


async def first(state: State) -> State:
    _left.set("something")
    return {}


async def second(state: State) -> State:
    return {"answer": _left.get()}


def build() -> Any:
    builder = StateGraph(State).add_sequence([first, second])
    return builder.add_edge(START, "first").compile(name="pair")


@pytest.mark.parametrize("listens", [True, False])
async def test_who_listens_hears_each_node_and_nodes_leave_nothing_to_each_other(
    listens: bool,
) -> None:
    heard = Heard()

    def configure(task: object) -> dict[str, Any]:
        return {"callbacks": [heard] if listens else []}

    one = agent(build(), config=configure)
    report = await embed_agent(one, InMemorySaver())(TASK, {})
    assert report.facets == {"answer": "nothing"}, report.reason
    nodes = [name for name in heard.names if name in ("pair", "first", "second")]
    assert [*dict.fromkeys(nodes)] == (["pair", "first", "second"] if listens else [])
