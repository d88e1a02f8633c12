"""The saver of agents in processes of their own, held to LangGraph's contract for savers."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from hitl_agent.saver import LocalSaver

THREAD: RunnableConfig = {"configurable": {"thread_id": "thread"}}


async def test_it_conforms(tmp_path: Path) -> None:
    async def factory() -> AsyncGenerator[LocalSaver]:
        with closing(LocalSaver(tmp_path / "file")) as saver:
            yield saver

    report = await validate(checkpointer_test(name="local")(factory))
    results = {name: result.passed for name, result in report.results.items() if result.detected}
    assert results == dict.fromkeys(
        ["put", "put_writes", "get_tuple", "list", "delete_thread"], True
    ), report.to_dict()


def _append(state: Any, writes: Sequence[Any]) -> Any:
    for write in writes:
        state = [*state, *write]
    return state


class State(TypedDict, total=False):
    log: Annotated[list[Any], DeltaChannel(_append)]


def build() -> "StateGraph[State]":
    def ask(state: State) -> Any:
        return {"log": [interrupt("one"), interrupt("two")]}

    def beside(state: State) -> Any:
        return {"log": ["beside"]}

    graph = StateGraph(State)
    graph.add_node("first", ask)
    graph.add_node("beside", beside)
    graph.add_node("second", ask)
    graph.add_edge(START, "first")
    graph.add_edge(START, "beside")
    graph.add_edge("first", "second")
    return graph


async def run(saver: BaseCheckpointSaver[Any], given: Any) -> Any:
    graph = build().compile(checkpointer=saver)
    await graph.ainvoke(given, THREAD, durability="sync")
    return await graph.aget_state(THREAD)


async def test_each_process_reads_what_the_one_before_it_left(tmp_path: Path) -> None:
    """Also what is kept as changes only, whose history is read."""
    memory = InMemorySaver()
    given: list[Any] = [{"log": ["begun"]}, *(Command(resume=number) for number in range(4))]
    values: Any = None
    for each in given:
        with closing(LocalSaver(tmp_path / "file")) as saver:
            state = await run(saver, each)
        expected = await run(memory, each)
        values = state.values
        assert (values, state.next) == (expected.values, expected.next)
    assert values["log"] == ["begun", "beside", 0, 1, 2, 3]


def test_it_works_without_a_loop_too(tmp_path: Path) -> None:
    with closing(LocalSaver(tmp_path / "file")) as saver:
        graph = build().compile(checkpointer=saver)
        graph.invoke({"log": []}, THREAD)
        graph.invoke(Command(resume=1), THREAD)
        found = [*saver.list(THREAD, limit=1)]
        assert [one.config for one in found] == [graph.get_state(THREAD).config]
        saver.delete_thread("thread")
        assert [*saver.list(None)] == []


@pytest.mark.parametrize("at_rest", [True, False])
async def test_a_mark_is_kept(tmp_path: Path, at_rest: bool) -> None:
    with closing(LocalSaver(tmp_path / "file")) as saver:
        assert not await saver.is_at_rest("thread")
        await saver.mark("thread", at_rest=True)
        await saver.mark("thread", at_rest=at_rest)
    with closing(LocalSaver(tmp_path / "file")) as saver:
        assert await saver.is_at_rest("thread") is at_rest
