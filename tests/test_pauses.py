"""Pauses that agents swallow, or wrap in a task group."""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy, interrupt
from typing_extensions import TypedDict

from hitl_orchestrator.domain.state import Outcome
from tests.steps import Step, Steps, agent, keep_steps, text


@pytest.fixture
def step_of(tmp_path: Path) -> Steps:
    return keep_steps(tmp_path)


class State(TypedDict, total=False):
    answer: Annotated[list[str], operator.add]


def swallow(*given: Any) -> dict[str, Any]:
    try:
        return {"answer": [interrupt("Delete?")]}
    except Exception:  # noqa: BLE001
        return {"answer": ["deleted"]}


async def swallow_later(*given: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return swallow()


def graph(**nodes: Any) -> StateGraph[Any]:
    made: Any = StateGraph(State)
    before = START
    for name, node in nodes.items():
        made.add_node(name, node).add_edge(before, name)
        before = name
    return made


def effects(done: list[str]) -> Any:
    def act(state: State) -> dict[str, Any]:
        done.append("acted")
        return {}

    return act


inner = graph(below=swallow).compile()


async def call_inner(state: Any) -> Any:
    return await inner.ainvoke({})


async def swallow_graph(state: State) -> Any:
    try:
        return await pausing.ainvoke({})
    except Exception:  # noqa: BLE001
        return {"answer": ["went on"]}


def pause(state: State) -> dict[str, Any]:
    return {"answer": [interrupt("Which?")]}


pausing = graph(asks=pause).compile()


@pytest.mark.parametrize(
    ("node", "where"),
    [
        (swallow, "in node"),
        (swallow_later, "in node"),
        (inner, "in below in node"),
        (call_inner, "in below in node"),
        (swallow_graph, "in asks in node"),
    ],
)
async def test_a_swallowed_pause_fails_the_step_and_says_where(
    node: Any, where: str, step_of: Steps
) -> None:
    done: list[str] = []
    report = await step_of(agent(graph(node=node, then=effects(done)))).visit()
    assert (report.outcome, done) == (Outcome.FAILED, [])
    assert f"`interrupt()` was called {where}, and" in (report.reason or "")
    assert len((report.reason or "").split("was called in")) == 2


async def test_a_swallowed_pause_is_not_tried_again(step_of: Steps) -> None:
    tried: list[str] = []

    def tries(state: State) -> dict[str, Any]:
        tried.append("tried")
        return swallow()

    def rescue(state: State) -> dict[str, Any]:
        return {"answer": ["rescued"]}

    run: Any = StateGraph(State)
    run.add_node("node", tries, retry_policy=RetryPolicy(retry_on=Exception), error_handler=rescue)
    report = await step_of(agent(run.add_edge(START, "node"))).visit()
    assert (report.outcome, tried) == (Outcome.FAILED, ["tried"])


@pytest.mark.parametrize("run", [swallow, swallow_later, call_inner])
async def test_a_function_that_swallows_its_pause(run: Any, step_of: Steps) -> None:
    report = await step_of(agent(run)).visit()
    assert report.outcome is Outcome.FAILED
    assert "Its pause was swallowed" in (report.reason or "")


async def test_an_entrypoint_that_swallows_its_pause(step_of: Steps) -> None:
    report = await step_of(agent(entrypoint()(swallow))).visit()
    assert "Its pause was swallowed" in (report.reason or "")


@pytest.mark.parametrize("in_a_node", [True, False])
async def test_a_task_that_swallows_its_pause(in_a_node: bool, step_of: Steps) -> None:
    done: list[str] = []
    swallowing = task(swallow)

    async def call(given: Any) -> Any:
        return await swallowing()

    make: Any = entrypoint()
    run = graph(node=call, then=effects(done)) if in_a_node else make(call)
    report = await step_of(agent(run)).visit()
    assert (report.outcome, done) == (Outcome.FAILED, [])
    assert "Its pause was swallowed" in (report.reason or "")


async def test_a_tool_that_swallows_its_pause(step_of: Steps) -> None:
    def delete(name: str) -> str:
        """Delete it."""
        return str(swallow()["answer"])

    class Messages(TypedDict):
        messages: Annotated[list[Any], operator.add]

    call = AIMessage("", tool_calls=[{"name": "delete", "args": {"name": "a"}, "id": "1"}])
    run = StateGraph(Messages).add_node("tools", ToolNode([delete])).add_edge(START, "tools")

    def say(task: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [call]}

    report = await step_of(agent(run, input=say)).visit()
    assert "`interrupt()` was called in tools, and the agent went on" in (report.reason or "")


async def finish(step: Step, *said: str) -> Any:
    for one in said:
        report = await step.visit_twice()
        assert report.outcome is Outcome.ASKING, report.reason
        step.answers |= {ask.key: text(one) for ask in report.asks}
    return (await step.visit_twice()).facets.get("answer")


async def test_who_raises_it_again_has_swallowed_nothing(step_of: Steps) -> None:
    def careful(state: State) -> dict[str, Any]:
        try:
            first = interrupt("Which?")
        except GraphInterrupt:
            raise
        except Exception:  # noqa: BLE001
            first = "broken"
        return {"answer": [first, interrupt("And?")]}

    assert await finish(step_of(agent(graph(node=careful))), "this", "that") == ["this", "that"]


@pytest.mark.parametrize("as_function", [True, False])
async def test_an_answered_pause_within_an_except_is_none(
    as_function: bool, step_of: Steps
) -> None:
    def careful(*given: Any) -> dict[str, Any]:
        first = interrupt("Which?")
        try:
            raise ValueError(first)
        except Exception as error:  # noqa: BLE001
            return {"answer": [str(error)]}

    run: Any = careful if as_function else graph(node=careful)
    assert await finish(step_of(agent(run)), "this") == ["this"]


async def test_a_graph_on_a_thread_of_its_own_may_pause_for_itself(step_of: Steps) -> None:
    own = graph(asks=pause).compile(checkpointer=InMemorySaver())

    async def on_behalf(state: State) -> dict[str, Any]:
        config: RunnableConfig = {"configurable": {"thread_id": "own", "checkpoint_ns": ""}}
        made: Any = await own.ainvoke({}, config)
        return {"answer": [interrupt(made["__interrupt__"][0].value)]}

    assert await finish(step_of(agent(graph(node=on_behalf))), "this") == ["this"]


async def test_two_questions_of_one_task_and_a_task_that_asks(step_of: Steps) -> None:
    @task
    def asks(words: str) -> str:
        return interrupt(words)

    @entrypoint()
    async def run(given: Any) -> Any:
        return {"answer": [await asks("One?"), await asks("Two?"), interrupt("Three?")]}

    assert await finish(step_of(agent(run)), "1", "2", "3") == ["1", "2", "3"]


# Task groups


async def ask_in_a_group(*given: Any) -> dict[str, Any]:
    said: list[str] = []

    async def ask() -> None:
        said.append(interrupt("Which?"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(anyio.sleep, 0)
    return {"answer": said}


async def ask_within_a_client(*given: Any) -> dict[str, Any]:
    async with anyio.create_task_group() as outer, anyio.create_task_group() as group:
        outer.start_soon(anyio.sleep, 0)
        group.start_soon(anyio.sleep, 0)
        return {"answer": [interrupt("Which?")]}
    raise AssertionError


groups = graph(below=ask_in_a_group).compile()


async def call_groups(state: State) -> Any:
    return await groups.ainvoke({})


ASKING_IN_GROUPS: list[Any] = [
    ask_in_a_group,
    graph(node=ask_in_a_group),
    graph(node=ask_within_a_client),
    graph(node=groups),
    graph(node=call_groups),
    entrypoint()(ask_within_a_client),
]


@pytest.mark.parametrize("run", ASKING_IN_GROUPS)
async def test_a_pause_in_a_task_group_is_a_question(run: Any, step_of: Steps) -> None:
    assert await finish(step_of(agent(run)), "this") == ["this"]


async def test_siblings_of_a_task_group_are_not_run_again(step_of: Steps) -> None:
    done: list[str] = []
    run: Any = graph(node=ask_in_a_group)
    run.add_node("beside", effects(done)).add_edge(START, "beside")
    assert await finish(step_of(agent(run)), "this") == ["this"]
    assert done == ["acted"]


async def ask_twice(state: State) -> dict[str, Any]:
    async def ask(words: str) -> None:
        interrupt(words)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "One?")
        group.start_soon(ask, "Two?")
    return {}


async def break_beside(state: State) -> dict[str, Any]:
    async def fail() -> None:
        raise ValueError("broken")

    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        interrupt("Which?")
    return {}


@pytest.mark.parametrize(
    ("node", "reason"),
    [(ask_twice, "Several pauses in one task group"), (break_beside, "ExceptionGroup")],
)
async def test_a_group_of_anything_else_fails_the_step(
    node: Any, reason: str, step_of: Steps
) -> None:
    report = await step_of(agent(graph(node=node))).visit()
    assert report.outcome is Outcome.FAILED
    assert reason in (report.reason or "")


async def test_graphs_side_by_side_in_one_group_each_get_their_answer(step_of: Steps) -> None:
    async def both(state: State) -> dict[str, Any]:
        said: list[str] = []

        async def run() -> None:
            said.extend((await pausing.ainvoke({}))["answer"])

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            group.start_soon(run)
        return {"answer": sorted(said)}

    step = step_of(agent(graph(node=both)))
    report = await step.visit_twice()
    assert report.asks
    assert await finish(step, *["this"] * 1) == ["this", "this"]
