"""Graphs that stop without interrupt(): a person is asked, and nothing is passed without a yes."""

import asyncio
import operator
import warnings
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import NodeInterrupt  # pyright: ignore[reportDeprecated]
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from hitl_orchestrator.domain.hitl import Decision, Kind
from hitl_orchestrator.domain.state import Outcome, Report
from tests.steps import NO, YES, Step, Steps, agent, edit, keep_steps, text


@pytest.fixture
def step_of(tmp_path: Path) -> Steps:
    return keep_steps(tmp_path)


class State(TypedDict, total=False):
    objective: str
    answer: Annotated[list[str], operator.add]
    note: str


class Line:
    """A graph of nodes one after the other. `done`: those that ran."""

    def __init__(self, *names: str, **breakpoints: Any) -> None:
        self.done: list[str] = []
        graph = StateGraph(State)
        for before, name in zip((START, *names), names, strict=False):
            graph.add_node(name, self.node(name)).add_edge(before, name)
        self.graph = graph.compile(**breakpoints)

    def node(self, name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            self.done.append(name)
            return {"answer": [f"{name} {state.get('note', '')}".strip()]}

        return run


def go_on(step: Step, report: Report, answer: Any = YES) -> str:
    """Answer the one question, and return it."""
    (ask,) = report.asks
    step.answers[ask.key] = answer
    return ask.question.question


# Static breakpoints


BREAKPOINTS: list[tuple[dict[str, Any], list[str], list[list[str]]]] = [
    ({"interrupt_before": ["b"]}, ["Go on with b?"], [["a"]]),
    ({"interrupt_after": ["a"]}, ["Go on with b?"], [["a"]]),
    ({"interrupt_before": ["b"], "interrupt_after": ["a"]}, ["Go on with b?"], [["a"]]),
    ({"interrupt_before": ["a"]}, ["Go on with a?"], [[]]),
    ({"interrupt_after": ["c"]}, ["Go on with c?"], [["a", "b", "c"]]),
    (
        {"interrupt_before": "*"},
        ["Go on with a?", "Go on with b?", "Go on with c?"],
        [[], ["a"], ["a", "b"]],
    ),
]


@pytest.mark.parametrize(("breakpoints", "asked", "before"), BREAKPOINTS)
async def test_a_breakpoint_asks_whether_to_go_on(
    breakpoints: Any, asked: list[str], before: list[list[str]], step_of: Steps
) -> None:
    line = Line("a", "b", "c", **breakpoints)
    step = step_of(agent(line.graph))
    told: list[str] = []
    ran: list[list[str]] = []
    while (report := await step.visit_twice()).outcome is Outcome.ASKING:
        ran.append([*line.done])
        told.append(go_on(step, report))
    assert (told, ran) == (asked, before)
    assert (report.outcome, line.done) == (Outcome.COMPLETED, ["a", "b", "c"])
    assert report.facets == {"answer": ["a", "b", "c"]}


@pytest.mark.parametrize("breakpoints", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}])
async def test_a_breakpoint_that_was_refused_is_not_passed(
    breakpoints: Any, step_of: Steps
) -> None:
    line = Line("a", "b", **breakpoints)
    step = step_of(agent(line.graph))
    go_on(step, await step.visit_twice(), NO)
    report = await step.visit_twice()
    assert (report.outcome, report.reason) == (Outcome.DENIED, "Too many HITL requests")
    assert (line.done, report.undelivered) == (["a"], tuple(step.answers))


async def test_the_person_sees_what_the_next_node_works_on(step_of: Steps) -> None:
    step = step_of(agent(Line("a", "b", interrupt_before=["b"]).graph))
    (ask,) = (await step.visit()).asks
    assert ask.question.kind is Kind.APPROVAL
    state = {"objective": "Write to Ann", "answer": ["a"]}
    assert ask.question.payload == {"nodes": ["b"], "state": state}
    assert ask.question.action is not None
    assert ask.question.action.arguments == state
    assert Decision.EDIT in ask.question.action.allowedDecisions


async def test_an_edit_updates_the_state_first_and_once(step_of: Steps) -> None:
    line = Line("a", "b", interrupt_before=["b"])
    step = step_of(agent(line.graph))
    go_on(step, await step.visit_twice(), edit(answer=["edited"], note="as edited"))
    report = await step.visit_twice()
    assert (line.done, report.facets) == (["a", "b"], {"answer": ["edited", "b as edited"]})


async def test_an_edit_that_leads_elsewhere_is_asked_again(step_of: Steps) -> None:
    line = Line("a")
    graph = StateGraph(State).add_node("a", line.node("a")).add_node("b", line.node("b"))
    graph.add_node("c", line.node("c")).add_edge(START, "a")

    def route(state: State) -> str:
        return "c" if state.get("note") == "c" else "b"

    graph.add_conditional_edges("a", route, ["b", "c"])
    step = step_of(agent(graph.compile(interrupt_before=["b", "c"])))
    assert go_on(step, await step.visit_twice(), edit(note="c")) == "Go on with b?"
    assert go_on(step, await step.visit_twice()) == "Go on with c?"
    assert (await step.visit_twice()).facets == {"answer": ["a", "c c"]}
    assert line.done == ["a", "c"]


async def test_a_crash_in_the_node_that_was_approved_asks_nothing_again(step_of: Steps) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(state: State) -> dict[str, Any]:
        began.set()
        await may_end.wait()
        return {"answer": ["done"]}

    graph = StateGraph(State).add_node("b", slow).add_edge(START, "b")
    step = step_of(agent(graph.compile(interrupt_before=["b"])))
    go_on(step, await step.visit_twice())
    visit = asyncio.create_task(step.visit())
    await began.wait()
    visit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visit
    may_end.set()
    assert (await step.visit_twice()).facets == {"answer": ["done"]}


async def test_a_node_behind_a_breakpoint_may_ask_too(step_of: Steps) -> None:
    def asks(state: State) -> dict[str, Any]:
        return {"answer": [interrupt("Which?"), interrupt("And?")]}

    graph = StateGraph(State).add_node("b", asks).add_edge(START, "b")
    step = step_of(agent(graph.compile(interrupt_before=["b"])))
    assert go_on(step, await step.visit_twice()) == "Go on with b?"
    assert go_on(step, await step.visit_twice(), text("this")) == "Which?"
    assert go_on(step, await step.visit_twice(), text("that")) == "And?"
    assert (await step.visit_twice()).facets == {"answer": ["this", "that"]}


@pytest.mark.parametrize("in_a_function", [False, True])
async def test_a_breakpoint_of_a_subgraph(in_a_function: bool, step_of: Steps) -> None:
    inner = Line("a", "b", interrupt_before=["b"])

    async def call(state: State) -> Any:
        return await inner.graph.ainvoke(state)

    graph = StateGraph(State).add_node("sub", call if in_a_function else inner.graph)
    step = step_of(agent(graph.add_edge(START, "sub")))
    assert go_on(step, await step.visit_twice(), edit(note="edited")) == "Go on with b?"
    assert inner.done == ["a"]
    assert (await step.visit_twice()).facets == {"answer": ["a", "b edited"]}
    assert inner.done == ["a", "b"]


async def test_a_breakpoint_beside_a_question(step_of: Steps) -> None:
    inner = Line("a", "b", interrupt_before=["b"])

    def asks(state: State) -> dict[str, Any]:
        return {"answer": [interrupt("Which?")]}

    graph = StateGraph(State).add_node("sub", inner.graph).add_node("asks", asks)
    step = step_of(agent(graph.add_edge(START, "sub").add_edge(START, "asks")))
    report = await step.visit_twice()
    assert sorted(ask.question.question for ask in report.asks) == ["Go on with b?", "Which?"]
    for ask in report.asks:
        assert inner.done == ["a"]
        is_open = ask.question.kind is Kind.OPEN
        step.answers[ask.key] = text("this") if is_open else YES
        report = await step.visit_twice()
    assert sorted(report.facets["answer"]) == ["a", "b", "this"]  # pyright: ignore
    assert inner.done == ["a", "b"]


def send(to: str) -> str:
    """Send a letter."""
    sent.append(to)
    return "sent"


sent: list[str] = []


async def test_tool_calls_are_shown_and_edited_before_tools_run(step_of: Steps) -> None:
    sent.clear()
    call = AIMessage("", tool_calls=[{"name": "send", "args": {"to": "ann"}, "id": "1"}])

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **more: Any) -> Any:
            return self

    def say(task: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [HumanMessage("Go", id="0")]}

    run = cast(Any, create_agent)(
        Model(messages=iter([call, AIMessage("done")])), [send], interrupt_before=["tools"]
    )
    step = step_of(agent(run, input=say))
    report = await step.visit_twice()
    (ask,) = report.asks
    payload: Any = ask.question.payload
    assert [each["args"] for each in payload["toolCalls"]] == [{"to": "ann"}]
    assert ask.question.action is not None
    messages: Any = ask.question.action.arguments["messages"]
    messages[-1]["tool_calls"][0]["args"] = {"to": "bob"}
    go_on(step, report, edit(messages=messages))
    assert sent == []
    report = await step.visit_twice()
    assert (sent, report.facets) == (["bob"], {"answer": "done"})


# NodeInterrupt


class Picky:
    """A node that raises NodeInterrupt until it may go on."""

    def __init__(self) -> None:
        self.ran = self.passed = 0
        self.may = False

    def node(self, state: State) -> dict[str, Any]:
        self.ran += 1
        if not self.may and state.get("note") != "short":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                raise NodeInterrupt("It is too long")  # pyright: ignore[reportDeprecated]
        self.passed += 1
        return {"answer": ["passed"]}

    def graph(self, *beside: Any) -> StateGraph[Any]:
        graph = StateGraph(State).add_node("picky", self.node).add_edge(START, "picky")
        for number, node in enumerate(beside):
            graph.add_node(str(number), node).add_edge(START, str(number))
        return graph


async def test_a_node_interrupt_asks_and_its_node_runs_again(step_of: Steps) -> None:
    picky = Picky()
    step = step_of(agent(picky.graph()))
    (ask,) = (await step.visit_twice()).asks
    assert (ask.question.question, ask.question.additionalContext) == (
        "Go on with picky?",
        "It is too long",
    )
    step.answers[ask.key] = YES
    picky.may = True
    assert (await step.visit_twice()).facets == {"answer": ["passed"]}
    assert (picky.ran, picky.passed) == (2, 1)


async def test_a_node_interrupt_that_comes_again_is_a_new_question(step_of: Steps) -> None:
    picky = Picky()
    step = step_of(agent(picky.graph()))
    keys: list[str] = []
    for attempt in range(1, 4):
        report = await step.visit()
        assert picky.ran == attempt
        keys.append(report.asks[0].key)
        go_on(step, report)
    assert len({*keys}) == 3
    picky.may = True
    assert (await step.visit()).facets == {"answer": ["passed"]}


async def test_an_edit_lifts_a_node_interrupt(step_of: Steps) -> None:
    picky = Picky()

    def first(state: State) -> dict[str, Any]:
        return {"note": "a long story"}

    graph = StateGraph(State).add_node("first", first).add_edge(START, "first")
    graph.add_node("picky", picky.node).add_edge("first", "picky")
    step = step_of(agent(graph))
    go_on(step, await step.visit_twice(), edit(note="short"))
    assert (await step.visit_twice()).facets == {"answer": ["passed"]}
    assert (picky.ran, picky.passed) == (2, 1)


async def test_a_node_interrupt_that_was_refused(step_of: Steps) -> None:
    picky = Picky()
    step = step_of(agent(picky.graph()))
    go_on(step, await step.visit_twice(), NO)
    report = await step.visit_twice()
    assert (report.outcome, picky.ran) == (Outcome.DENIED, 1)


async def test_siblings_of_a_node_interrupt_are_not_run_again(step_of: Steps) -> None:
    done: list[str] = []

    def sibling(state: State) -> dict[str, Any]:
        done.append("sibling")
        return {"answer": ["beside"]}

    def asks(state: State) -> dict[str, Any]:
        done.append(interrupt("Which?"))
        return {"answer": ["asked"]}

    picky = Picky()
    step = step_of(agent(picky.graph(sibling, asks)))
    report = await step.visit_twice()
    assert sorted(ask.question.question for ask in report.asks) == ["Go on with picky?", "Which?"]
    for ask in report.asks:
        step.answers[ask.key] = text("this") if ask.question.kind is Kind.OPEN else YES
    report = await step.visit()
    assert (done, [ask.question.question for ask in report.asks]) == (
        ["sibling", "this"],
        ["Go on with picky?"],
    )
    picky.may = True
    go_on(step, report)
    report = await step.visit_twice()
    assert sorted(report.facets["answer"]) == ["asked", "beside", "passed"]  # pyright: ignore
    assert done == ["sibling", "this"]


async def test_two_node_interrupts_are_two_questions(step_of: Steps) -> None:
    one, other = Picky(), Picky()
    step = step_of(agent(one.graph(other.node)))
    report = await step.visit_twice()
    assert len(report.asks) == 2
    step.answers = {ask.key: YES for ask in report.asks}
    one.may = other.may = True
    assert (await step.visit_twice()).facets == {"answer": ["passed", "passed"]}


async def test_a_node_interrupt_of_a_subgraph_and_of_a_function(step_of: Steps) -> None:
    inner = Picky()
    line = Line("a")
    graph = StateGraph(State).add_node("a", line.node("a")).add_edge(START, "a")
    graph.add_node("picky", inner.node).add_edge("a", "picky")
    outer = StateGraph(State).add_node("sub", graph.compile()).add_edge(START, "sub")
    step = step_of(agent(outer))
    assert go_on(step, await step.visit_twice(), edit(note="short")) == "Go on with picky?"
    report = await step.visit_twice()
    assert report.facets == {"answer": ["a", "passed"]}, report
    assert line.done == ["a"]

    alone = Picky()

    def run(task: dict[str, Any]) -> dict[str, Any]:
        return alone.node({})

    step = step_of(agent(run))
    assert go_on(step, await step.visit_twice()) == "Go on with Stranger?"
    alone.may = True
    assert (await step.visit_twice()).facets == {"answer": ["passed"]}
