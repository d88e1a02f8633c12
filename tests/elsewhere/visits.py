"""Visits of real agents on a real local saver, as functions that any LangGraph 1.x can run.

`python visits.py` runs them all: tests/elsewhere/test_agent_elsewhere.py does so in environments
with other versions than ours, where there is no pytest.
"""

import asyncio
import operator
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

import anyio
from langchain_core.messages import AIMessage
from langgraph import errors
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt

from hitl_agent.describing import read_agent
from hitl_agent.home import CHECKPOINTS
from hitl_agent.saver import LocalSaver
from hitl_agent.working import Report, Step, Visit, prepare_graph

Case = Callable[[Path], Coroutine[Any, Any, None]]
Answers = Mapping[str, Mapping[str, Any]]
TASK: Mapping[str, Any] = {
    "objective": "Write",
    "facets": {"objective": "Write", "tone": "dry"},
    "context": [],
    "runId": "run_1",
    "threadId": "thread",
    "stepId": "s1",
    "metadata": {"team": "north"},
}


class State(TypedDict, total=False):
    objective: str
    log: Annotated[list[Any], operator.add]


@dataclass
class Thread:
    """A step of an agent, visited as often as one likes; each time as by a new process."""

    run: Any
    folder: Path
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lines: list[Any] = field(default_factory=list[Any])

    async def visit(self, answers: Answers | None = None, *, is_begun: bool = True) -> Report:
        with closing(LocalSaver(self.folder / CHECKPOINTS)) as saver:
            return await self.visit_at(saver, answers, is_begun=is_begun)

    async def visit_at(
        self, saver: LocalSaver, answers: Answers | None = None, *, is_begun: bool = True
    ) -> Report:
        described = {
            "capabilityId": "clerk",
            "displayName": "Clerk",
            "outputFacets": ["log"],
            "run": self.run,
            **self.more,
        }
        agent = read_agent(described, "clerk")
        step = Step("run_1/s1", TASK, answers, is_begun)
        return await Visit(
            agent, prepare_graph(agent, saver), saver, step, self.lines.append
        ).work()

    async def finish(self, saver: LocalSaver, report: Report, heard: set[str]) -> Report:
        """Answer what it asks until it has ended. `heard`: what it was told, by question."""
        while report["outcome"] == "asking":
            asked = [question["value"] for question in report["questions"]]
            assert not heard & {*asked}, f"asked again: {asked} of {heard}"
            heard |= {*asked}
            report = await self.visit_at(saver, answer(report))
        return report


def answer(report: Report) -> dict[str, Any]:
    assert report["outcome"] == "asking", report
    return {one["key"]: {"value": f"to {one['value']}"} for one in report["questions"]}


def say(report: Report, *values: Any) -> dict[str, Any]:
    keys = [one["key"] for one in report["questions"]]
    return {key: {"value": value} for key, value in zip(keys, values, strict=True)}


def build(**nodes: Callable[..., Any]) -> Any:
    """A graph of these nodes, one after the other."""
    graph = StateGraph(State)
    graph.add_sequence([*nodes.items()])
    graph.add_edge(START, next(iter(nodes)))
    return graph.compile()


def build_parallel(**nodes: Callable[..., Any]) -> Any:
    graph = StateGraph(State)
    for name, node in nodes.items():
        graph.add_node(name, cast(Any, node))
        graph.add_edge(START, name)
    return graph.compile()


def ask(*questions: str) -> dict[str, Any]:
    """Ask them one after the other, and note what each was told."""
    return {"log": [(question, interrupt(question)) for question in questions]}


def asks(*questions: str) -> Callable[[Any], dict[str, Any]]:
    def node(state: Any) -> dict[str, Any]:
        return ask(*questions)

    return node


def told(*questions: str) -> list[list[str]]:
    return [[question, f"to {question}"] for question in questions]


def _nest(graph: Any) -> Any:
    """A graph that is called in a node, where nobody sees it from outside."""

    async def node(state: Any) -> dict[str, Any]:
        made = await graph.ainvoke({"objective": state["objective"]})
        return {"log": made["log"]}

    return build(node=node)


def _spread() -> Any:
    """Several tasks of one node."""

    def spread(state: Any) -> list[Send]:
        return [Send("ask", {"objective": name}) for name in ("a", "b")]

    def ask_each(state: Any) -> dict[str, Any]:
        name = state["objective"]
        return ask(name, f"{name}2")

    graph = StateGraph(State)
    graph.add_node("ask", cast(Any, ask_each))
    graph.add_conditional_edges(START, spread, ["ask"])
    return graph.compile()


@task
def ask_twice(name: str) -> list[Any]:
    return ask(name, f"{name}2")["log"]


@entrypoint()
def workflow(given: Any) -> dict[str, Any]:
    first = ask_twice("a").result()
    return {"log": [*first, *ask("b", "c")["log"], *ask_twice("d").result()]}


TWICE = {"first": asks("one", "two"), "second": asks("three")}
GRAPHS: dict[str, tuple[Any, list[list[str]]]] = {
    "a function": (asks("one", "two"), told("one", "two")),
    "two in a row": (build(**TWICE), told("one", "two", "three")),
    "a subgraph": (build(inner=build(**TWICE), last=asks("4")), told("one", "two", "three", "4")),
    "in a node": (_nest(build(**TWICE)), told("one", "two", "three")),
    "deeper": (build(deep=_nest(build(inner=build(**TWICE)))), told("one", "two", "three")),
    "side by side": (
        build_parallel(a=asks("a"), b=asks("b", "b2"), c=build(**TWICE)),
        told("a", "b", "b2", "one", "two", "three"),
    ),
    "several tasks": (_spread(), told("a", "a2", "b", "b2")),
    "a workflow": (workflow, told("a", "a2", "b", "c", "d", "d2")),
}


class _Copying(LocalSaver):
    """Keeps a copy of its file after each write: each is what a death might leave behind."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / CHECKPOINTS)
        self.folder = folder
        self.copies: list[Path] = []

    async def _arun(self, work: Callable[..., Any], *arguments: Any) -> Any:
        made = await super()._arun(work, *arguments)
        if work.__name__ in ("_put", "_put_writes", "_mark"):
            await super()._arun(self._copy)
        return made

    def _copy(self) -> None:
        copy = self.folder / str(len(self.copies))
        copy.mkdir()
        with closing(sqlite3.connect(copy / CHECKPOINTS)) as other:
            self._connection.backup(other)
        self.copies.append(copy)


async def check_deaths(name: str, folder: Path) -> None:
    """Die after each write of each visit; go on with the answers that it had then."""
    run, expected = GRAPHS[name]
    thread = Thread(run, folder)
    deaths: list[tuple[Path, Answers | None, set[str]]] = []
    answers: Answers | None = None
    heard = set[str]()
    with closing(_Copying(folder)) as saver:
        while True:
            before = len(saver.copies)
            report = await thread.visit_at(saver, answers, is_begun=before > 0)
            deaths += [(copy, answers, {*heard}) for copy in saver.copies[before:]]
            if report["outcome"] != "asking":
                break
            answers = answer(report)
            heard |= {question["value"] for question in report["questions"]}
    assert sorted(report["output"]["log"]) == sorted(expected), report
    for copy, answers, heard in deaths:
        with closing(LocalSaver(copy / CHECKPOINTS)) as saver:
            report = await thread.visit_at(saver, answers)
            report = await thread.finish(saver, report, heard)
        assert sorted(report["output"]["log"]) == sorted(expected), (copy, report)


async def a_second_question_does_not_get_the_first_answer(folder: Path) -> None:
    """It was killed when the answer was heard and the next question was kept, not yet reported."""
    for number, is_at_rest in enumerate((True, False)):
        thread = Thread(build(node=asks("one", "two")), folder / str(number))
        thread.folder.mkdir()
        answers = answer(await thread.visit(is_begun=False))
        second = await thread.visit(answers)
        with closing(LocalSaver(thread.folder / CHECKPOINTS)) as saver:
            await saver.mark("run_1/s1", at_rest=is_at_rest)
        assert [one["value"] for one in second["questions"]] == ["two"]
        assert {one["key"] for one in second["questions"]}.isdisjoint(answers)
        assert await thread.visit(answers) == second


async def what_was_reported_is_reported_again(folder: Path) -> None:
    done: list[str] = []

    def act(state: Any) -> dict[str, Any]:
        done.append("acted")
        return {}

    thread = Thread(build(ask=asks("one"), act=act), folder)
    asked = await thread.visit(is_begun=False)
    assert await thread.visit() == asked
    ended = await thread.visit(answer(asked))
    assert await thread.visit(answer(asked)) == ended == await thread.visit()
    assert (ended["outcome"], ended["output"], done) == (
        "completed",
        {"log": told("one")},
        ["acted"],
    )


async def any_value_is_delivered_as_it_is(folder: Path) -> None:
    thread = Thread(build(node=asks(*"abcde")), folder)
    values: list[Any] = [None, {}, {"0" * 32: 1}, [], False]
    report = await thread.visit(is_begun=False)
    for value in values:
        report = await thread.visit(say(report, value))
    assert [each for _, each in report["output"]["log"]] == values


async def a_refusal_is_said_in_the_words_of_the_agent(folder: Path) -> None:
    async def refuse(name: str, **more: Any) -> Report:
        (folder / name).mkdir()
        thread = Thread(build(node=asks("one")), folder / name, more)
        key = (await thread.visit(is_begun=False))["questions"][0]["key"]
        return await thread.visit({key: {"refused": "Not today"}})

    said = await refuse("words", denied="no: {}".format)
    assert said["output"] == {"log": [["one", "no: Not today"]]}
    said = await refuse("value", denied=None)
    assert said["output"] == {"log": [["one", None]]}
    said = await refuse("none")
    assert (said["outcome"], said["isFinal"]) == ("failed", True)


async def an_answer_that_is_unknown_is_none(folder: Path) -> None:
    thread = Thread(build(node=asks("one")), folder)
    key = (await thread.visit(is_begun=False))["questions"][0]["key"]
    report = await thread.visit({key: {"approved": True}})
    assert (report["outcome"], report["isFinal"]) == ("failed", True)


async def lost_checkpoints_are_said_to_be_lost(folder: Path) -> None:
    report = await Thread(build(node=asks("one")), folder).visit({"0" * 32 + ".0": {"value": 1}})
    assert (report["outcome"], report["isFinal"]) == ("failed", True)
    assert "lost" in report["reason"]


async def what_failed_goes_on_with_the_answer_it_had(folder: Path) -> None:
    """Also where its node has heard the answer, and failed then."""
    luck = ["bad", "bad"]

    def node(state: Any) -> dict[str, Any]:
        said = ask("one")
        if luck:
            raise ValueError(luck.pop())
        return {"log": said["log"] + ask("two")["log"]}

    thread = Thread(build_parallel(node=node, other=asks("three")), folder)
    answers = answer(await thread.visit(is_begun=False))
    for _ in ("once", "twice"):
        failed = await thread.visit(answers)
        assert failed == {"outcome": "failed", "reason": "ValueError: bad", "isFinal": False}
    second = await thread.visit(answers)
    assert [one["value"] for one in second["questions"]] == ["two"]
    assert await thread.visit(answers) == second
    ended = await thread.visit(answer(second))
    assert sorted(ended["output"]["log"]) == told("one", "three", "two")


async def a_static_breakpoint_is_not_passed(folder: Path) -> None:
    done: list[str] = []

    def act(state: Any) -> dict[str, Any]:
        done.append("acted")
        return {}

    def build_stopped(state: Any = None) -> Any:
        graph = StateGraph(State)
        graph.add_node("act", cast(Any, act))
        graph.add_edge(START, "act")
        return graph.compile(interrupt_before=["act"])

    for name, run in {"a": build_stopped(), "b": build(inner=build_stopped())}.items():
        (folder / name).mkdir()
        thread = Thread(run, folder / name)
        reports = [await thread.visit(is_begun=False), await thread.visit()]
        with closing(LocalSaver(thread.folder / CHECKPOINTS)) as saver:
            await saver.mark("run_1/s1", at_rest=False)
        reports.append(await thread.visit())
        for report in reports:
            assert (report["outcome"], report["isFinal"]) == ("failed", True), report
            assert "interrupt()" in report["reason"]
    assert done == []


async def a_node_interrupt_is_final(folder: Path) -> None:
    def node(state: Any) -> None:
        raise cast(Any, errors).NodeInterrupt("Too much")

    thread = Thread(build(node=node), folder)
    for report in (await thread.visit(is_begun=False), await thread.visit()):
        assert (report["outcome"], report["isFinal"]) == ("failed", True), report
        assert "NodeInterrupt" in report["reason"]


async def a_question_in_a_task_group_is_one(folder: Path) -> None:
    async def node(state: Any) -> dict[str, Any]:
        log: list[Any] = []
        async with anyio.create_task_group():
            log += ask("one")["log"]
        return {"log": log}

    for name, run in {"a": build(node=node), "b": node}.items():
        (folder / name).mkdir()
        thread = Thread(run, folder / name)
        ended = await thread.visit(answer(await thread.visit(is_begun=False)))
        assert ended["output"] == {"log": told("one")}


async def pauses_that_cannot_be_told_apart_fail(folder: Path) -> None:
    async def node(state: Any) -> None:
        async def pause(question: str) -> None:
            interrupt(question)

        async with anyio.create_task_group() as group:
            group.start_soon(pause, "one")
            group.start_soon(pause, "two")

    report = await Thread(build(node=node), folder).visit(is_begun=False)
    assert (report["outcome"], report["isFinal"]) == ("failed", True), report


async def a_pause_that_is_swallowed_fails(folder: Path) -> None:
    done: list[str] = []

    def swallow(state: Any) -> dict[str, Any]:
        with suppress(Exception):
            interrupt("one")
        return {"log": ["went on"]}

    def act(state: Any) -> dict[str, Any]:
        done.append("acted")
        return {}

    for name, first in {
        "a": swallow,
        "b": build(deep=swallow),
        "c": _nest(build(a=swallow)),
    }.items():
        (folder / name).mkdir()
        report = await Thread(build(first=first, act=act), folder / name).visit(is_begun=False)
        assert (report["outcome"], report["isFinal"]) == ("failed", True), report
        assert "swallowed" in report["reason"]
    assert done == []


async def sys_exit_fails_the_step(folder: Path) -> None:
    def node(state: Any) -> None:
        sys.exit(3)

    for name, run in {"a": build(node=node), "b": node}.items():
        (folder / name).mkdir()
        report = await Thread(run, folder / name).visit(is_begun=False)
        # whose threads it ran in, ours or a server's, has each its own words
        assert report["outcome"] == "failed"
        assert "sys.exit(" in report["reason"]


async def a_node_that_is_gone_is_not_an_end(folder: Path) -> None:
    asked = await Thread(build(before=asks("one")), folder).visit(is_begun=False)
    report = await Thread(build(after=asks("one")), folder).visit(answer(asked))
    assert (report["outcome"], report["isFinal"]) == ("failed", True)
    assert "changed" in report["reason"]


async def a_durable_checkpointer_of_its_own_stays(folder: Path) -> None:
    (folder / "own").mkdir()
    run = build(node=asks("one"))
    with closing(LocalSaver(folder / "own/file")) as own:
        thread = Thread(run.copy({"checkpointer": own}), folder)
        ended = await thread.visit(answer(await thread.visit(is_begun=False)))
        assert ended["output"] == {"log": told("one")}
        assert own.get_tuple({"configurable": {"thread_id": "run_1/s1"}})
    with closing(LocalSaver(folder / CHECKPOINTS)) as saver:
        assert [*saver.list(None)] == []


async def a_checkpointer_in_memory_is_replaced(folder: Path) -> None:
    run = build(node=asks("one")).copy({"checkpointer": InMemorySaver()})
    asked = await Thread(run, folder).visit(is_begun=False)
    run = run.copy({"checkpointer": InMemorySaver()})
    ended = await Thread(run, folder).visit(answer(asked))
    assert ended["output"] == {"log": told("one")}


async def a_function_gets_what_it_names(folder: Path) -> None:
    async def run(given: Any, config: Any, store: Any, runtime: Any, writer: Any) -> Any:
        get_stream_writer()("by get_stream_writer")
        writer("by writer")
        names = [config["configurable"]["metadata"]["team"], runtime.context]
        return {"log": [given["objective"], *names], "warnings": ["hot"]}

    def read_tone(task: Any) -> Any:
        return task["facets"]["tone"]

    thread = Thread(run, folder, {"context": read_tone})
    report = await thread.visit(is_begun=False)
    assert report["output"] == {"log": ["Write", "north", "dry"], "warnings": ["hot"]}, report
    assert thread.lines == ["by get_stream_writer", "by writer"]


async def a_synchronous_function_blocks_nobody(folder: Path) -> None:
    import threading

    heard = threading.Event()

    def run(given: Any) -> Any:
        return {"log": [heard.wait(10)]}

    thread = Thread(run, folder)
    visiting = asyncio.create_task(thread.visit(is_begun=False))
    await asyncio.sleep(0.05)
    heard.set()
    assert (await visiting)["output"] == {"log": [True]}


async def the_facets_are_found_in_the_final_state(folder: Path) -> None:
    def node(state: Any) -> Any:
        return {"messages": [AIMessage("the last word")], "structured_response": {"to": "Ann"}}

    def count(state: Any) -> Any:
        return {"log": len(state["messages"])}

    graph = StateGraph(cast(Any, _Spoken))
    graph.add_node("node", cast(Any, node))
    graph.add_edge(START, "node")
    run = graph.compile()
    text = {"facets": {"letter": {"type": "string"}}}
    expected: dict[str, tuple[dict[str, Any], Any]] = {
        "named": (
            {"outputFacets": ["structured_response"]},
            {"structured_response": {"to": "Ann"}},
        ),
        "one": ({"outputFacets": ["letter"]}, {"letter": {"to": "Ann"}}),
        "text": ({"outputFacets": ["letter"], **text}, {"letter": "the last word"}),
        "output": ({"output": count}, {"log": 2}),
    }
    for name, (more, output) in expected.items():
        (folder / name).mkdir()
        report = await Thread(run, folder / name, more).visit(is_begun=False)
        assert report.get("output") == output, report


class _Spoken(TypedDict, total=False):
    messages: Annotated[list[Any], operator.add]
    structured_response: Any


async def what_is_no_json_fails(folder: Path) -> None:
    def build(made: object) -> Callable[[Any], object]:
        return lambda given: made

    for name, made in {"a": {"log": object()}, "b": 3}.items():
        (folder / name).mkdir()
        report = await Thread(build(made), folder / name).visit(is_begun=False)
        assert report["outcome"] == "failed", report


CASES: Sequence[Case] = (
    a_second_question_does_not_get_the_first_answer,
    what_was_reported_is_reported_again,
    any_value_is_delivered_as_it_is,
    a_refusal_is_said_in_the_words_of_the_agent,
    an_answer_that_is_unknown_is_none,
    lost_checkpoints_are_said_to_be_lost,
    what_failed_goes_on_with_the_answer_it_had,
    a_static_breakpoint_is_not_passed,
    a_node_interrupt_is_final,
    a_question_in_a_task_group_is_one,
    pauses_that_cannot_be_told_apart_fail,
    a_pause_that_is_swallowed_fails,
    sys_exit_fails_the_step,
    a_node_that_is_gone_is_not_an_end,
    a_durable_checkpointer_of_its_own_stays,
    a_checkpointer_in_memory_is_replaced,
    a_function_gets_what_it_names,
    a_synchronous_function_blocks_nobody,
    the_facets_are_found_in_the_final_state,
    what_is_no_json_fails,
)


async def run_all() -> None:
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            await case(Path(folder))
    for name in GRAPHS:
        with tempfile.TemporaryDirectory() as folder:
            await check_deaths(name, Path(folder))


if __name__ == "__main__":
    asyncio.run(run_all())
