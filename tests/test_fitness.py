"""An agent that was deployed anew, and what it was at before: what fits goes on, what does not is
refused before anything of it is used.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.func import task as task_of
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt
from pydantic import BaseModel, create_model
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import Fenced, Unfit
from hitl_orchestrator.domain.hitl import Answer, Answered, ResponseType
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import Agent, read_agent
from hitl_orchestrator.nodes.embed import embed_agent
from hitl_orchestrator.nodes.fingerprint import take_fingerprint
from hitl_orchestrator.nodes.inspection import Begun, Inspector
from hitl_orchestrator.nodes.specialist import Task

TASK = Task(objective="o", facets={}, context=(), runId="run", threadId="thread", stepId="s1")
BEGUN = Begun("thread", "run", "s1", "letters", waits=True)
YES = Answered(responseType=ResponseType.APPROVAL, approved=True)
QUESTION = {"question": "Send it?", "kind": "approval"}

Graph = Any
Make = Callable[[], Any]


def agent(run: Any) -> Agent:
    mapping = {
        "capabilityId": "letters",
        "displayName": "Letters",
        "inputFacets": ["objective"],
        "outputFacets": ["letter"],
        "run": run,
    }
    return read_agent(mapping, "tests")


class State(TypedDict, total=False):
    objective: str
    letter: str
    note: str


def write(state: State) -> State:
    return {"letter": "a draft that nobody has approved"}


def ask(state: State) -> State:
    answer = interrupt(QUESTION)
    return {"letter": "sent" if answer["approved"] else "not sent"}


def note(state: State) -> State:
    return {"note": "noted"}


def pass_on(state: State) -> State:
    return {}


def graph(*names: str, schema: type = State, **nodes: Any) -> Graph:
    """A chain of these nodes: what `nodes` says of one, else `write` first and then `ask`."""
    known = {"write": write, **nodes}
    built: StateGraph[Any] = StateGraph(schema)
    built.add_sequence([(name, known.get(name, ask)) for name in names])
    built.add_edge(START, names[0])
    return built.compile()


def before() -> Graph:
    return graph("write", "ask", "end", end=pass_on)


def with_subgraph(*names: str) -> Graph:
    return graph("write", "inner", inner=graph(*names))


def sends(node: str) -> Graph:
    def to_node(state: State) -> list[Send]:
        return [Send(node, state)]

    built = StateGraph(State)
    built.add_node("write", write)
    built.add_node(node, ask)
    built.add_edge(START, "write")
    built.add_conditional_edges("write", to_node, [node])
    return built.compile()


def side_by_side(*names: str) -> Graph:
    built = StateGraph(State)
    built.add_node("join", pass_on)
    for name in names:
        built.add_node(name, ask if name == "ask" else pass_on)
        built.add_edge(START, name)
    built.add_edge([*names], "join")
    return built.compile()


def asks(task: dict[str, Any]) -> dict[str, Any]:
    answer = interrupt(QUESTION)
    return {"letter": "sent" if answer["approved"] else "not sent"}


def asks_too(task: dict[str, Any]) -> dict[str, Any]:
    return asks(task)


def workflow(name: str) -> Graph:
    def body(task: dict[str, Any]) -> dict[str, Any]:
        return asks(task)

    body.__name__ = name
    return cast(Graph, entrypoint()(body))


class Wider(State, total=False):
    more: Annotated[list[str], operator.add]


class Narrower(TypedDict, total=False):
    objective: str
    letter: str


FITS: dict[str, tuple[Make, Make]] = {
    "nothing changed": (before, before),
    "a body was edited": (before, lambda: graph("write", "ask", "end", end=note)),
    "another node was renamed": (before, lambda: graph("write", "ask", "stop", stop=pass_on)),
    "a node was added after it": (
        before,
        lambda: graph("write", "ask", "end", "more", end=pass_on, more=note),
    ),
    "a channel was added": (before, lambda: graph("write", "ask", schema=Wider)),
    "a channel was removed": (before, lambda: graph("write", "ask", schema=Narrower)),
    "a node beside the one in the subgraph was renamed": (
        lambda: with_subgraph("write", "ask"),
        lambda: with_subgraph("ask"),
    ),
    "a function was edited": (lambda: asks, lambda: asks),
    "a workflow was edited": (lambda: workflow("w"), lambda: workflow("w")),
}
MISFITS: dict[str, tuple[Make, Make, str]] = {
    "the node was renamed": (
        before,
        lambda: graph("write", "ask_first", "end", end=pass_on),
        "ask",
    ),
    "the node was removed": (before, lambda: graph("write", "end", end=pass_on), "ask"),
    "the subgraph's node was renamed": (
        lambda: with_subgraph("ask"),
        lambda: with_subgraph("ask_first"),
        r"no node ask any more \(in inner\)",
    ),
    "the subgraph became a plain node": (
        lambda: with_subgraph("ask"),
        lambda: graph("write", "inner"),
        "no subgraph inner",
    ),
    "the node that things are sent to was renamed": (
        lambda: sends("ask"),
        lambda: sends("ask_first"),
        "ask",
    ),
    "a function was renamed": (lambda: asks, lambda: asks_too, "another function"),
    "a workflow was renamed": (lambda: workflow("w"), lambda: workflow("v"), "a question waits"),
    "a graph became a function": (before, lambda: asks, "another function"),
}


class Deploys:
    """One thread, and the versions of the agent that work on it one after the other."""

    def __init__(self) -> None:
        self.saver = InMemorySaver()
        self.answers: dict[str, Answer] = {}

    async def visit(self, run: Any) -> Report:
        report = await embed_agent(agent(run), self.saver)(TASK, self.answers)
        self.answers |= {ask.key: YES for ask in report.asks}
        return report

    async def look(self, run: Any) -> str | None:
        return await Inspector([agent(run)], self.saver).find_misfit(BEGUN)


@pytest.fixture
def deploys() -> Deploys:
    return Deploys()


@pytest.mark.parametrize("case", FITS)
async def test_a_question_that_is_still_there_is_answered(deploys: Deploys, case: str) -> None:
    old, new = FITS[case]
    assert (await deploys.visit(old())).outcome is Outcome.ASKING
    assert await deploys.look(new()) is None
    report = await deploys.visit(new())
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"letter": "sent"})


@pytest.mark.parametrize("case", MISFITS)
async def test_a_question_that_is_gone_holds_and_the_old_agent_goes_on(
    deploys: Deploys, case: str
) -> None:
    old, new, reason = MISFITS[case]
    assert (await deploys.visit(old())).outcome is Outcome.ASKING
    with pytest.raises(Unfit, match=reason) as held:
        await deploys.visit(new())
    assert held.value.capability_id == "letters"
    assert await deploys.look(new()) == held.value.detail
    report = await deploys.visit(old())
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"letter": "sent"})


async def test_what_was_to_come_next_is_missed_too(deploys: Deploys) -> None:
    """A process died after a node, and before the checkpoint that names the next one."""

    def dies(state: State) -> State:
        raise Fenced("it died")

    with pytest.raises(Fenced):
        await deploys.visit(graph("write", "ask", ask=dies))
    with pytest.raises(Unfit, match="no node ask any more"):
        await deploys.visit(graph("write", "end", end=pass_on))


async def test_one_of_two_that_wait_side_by_side_is_missed(deploys: Deploys) -> None:
    await deploys.visit(side_by_side("ask", "left"))
    assert await deploys.look(side_by_side("ask", "right")) is not None


async def test_what_has_ended_has_ended_whatever_is_plugged_in_now(deploys: Deploys) -> None:
    await deploys.visit(before())
    await deploys.visit(before())
    report = await deploys.visit(graph("write", "other", "end", end=pass_on))
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"letter": "sent"})


async def test_a_renamed_workflow_does_not_do_its_tasks_again(deploys: Deploys) -> None:
    """It asks nothing: a process died in its middle."""

    def dying(name: str, dies: bool) -> Graph:
        @task_of
        async def step() -> str:
            return "done"

        async def body(task: dict[str, Any]) -> dict[str, Any]:
            await step()
            if dies:
                raise Fenced("it died")
            return {"letter": "sent"}

        body.__name__ = name
        return cast(Graph, entrypoint()(body))

    with pytest.raises(Fenced):
        await deploys.visit(dying("w", dies=True))
    with pytest.raises(Unfit, match="another function"):
        await deploys.visit(dying("v", dies=False))
    assert (await deploys.visit(dying("w", dies=False))).facets == {"letter": "sent"}


async def test_a_thread_that_is_gone_is_told(deploys: Deploys) -> None:
    assert "its thread is empty" in str(await deploys.look(before()))


# -- typed state


def moved(kind: Any, module: str) -> Any:
    kind.__module__ = module
    return kind


@dataclass
class Sum:
    cents: int


def typed(kind: Any, make: Callable[[], Any]) -> Graph:
    """A graph with an object of that class in its state while it waits."""

    class Schema(State):
        source: Any

    Schema.__annotations__["source"] = kind

    def put(state: Any) -> Any:
        return {"source": make()}

    return graph("put", "ask", schema=Schema, put=put)


class Source(BaseModel):
    title: str


async def test_a_class_that_moved_is_named(deploys: Deploys) -> None:
    await deploys.visit(typed(Source, lambda: Source(title="t")))
    elsewhere = moved(create_model("Source", title=(str, ...)), "letters_two")
    misfit = await deploys.look(typed(elsewhere, lambda: None))
    assert "letters_two.Source came back as dict" in str(misfit)
    with pytest.raises(Unfit):
        await deploys.visit(typed(elsewhere, lambda: None))
    assert (await deploys.visit(typed(Source, lambda: None))).facets == {"letter": "sent"}


async def test_a_dataclass_that_moved_is_named(deploys: Deploys) -> None:
    await deploys.visit(typed(Sum, lambda: Sum(5)))
    elsewhere = moved(make_dataclass("Sum", [("cents", int)]), "letters_two")
    assert "letters_two.Sum came back as dict" in str(
        await deploys.look(typed(elsewhere, lambda: None))
    )


async def test_lists_and_unions_of_them_are_looked_into(deploys: Deploys) -> None:
    await deploys.visit(typed(list[Source | None], lambda: [None, Source(title="t")]))
    elsewhere = moved(create_model("Source", title=(str, ...)), "letters_two")
    assert "letters_two.Source" in str(
        await deploys.look(typed(list[elsewhere | None], lambda: None))
    )
    assert await deploys.look(typed(list[Source | None], lambda: None)) is None


class Letter(BaseModel):
    """The whole state is of this class."""

    objective: str
    letter: str = ""


class LetterWithDefault(Letter):
    urgent: bool = False


class LetterThatNeedsMore(Letter):
    to: str


def whole(kind: type[Letter]) -> Graph:
    def asks_of(state: Any) -> State:
        return ask({})

    built = StateGraph(kind)
    built.add_node("asks", asks_of)
    built.add_edge(START, "asks")
    built.add_edge("asks", END)
    return built.compile()


async def test_a_field_with_a_default_may_come_and_go(deploys: Deploys) -> None:
    await deploys.visit(whole(Letter))
    assert await deploys.look(whole(LetterWithDefault)) is None
    assert (await deploys.visit(whole(LetterWithDefault))).outcome is Outcome.COMPLETED


async def test_a_field_that_went_is_not_missed(deploys: Deploys) -> None:
    await deploys.visit(whole(LetterWithDefault))
    assert (await deploys.visit(whole(Letter))).outcome is Outcome.COMPLETED


async def test_a_field_that_is_needed_and_not_there_is_named(deploys: Deploys) -> None:
    await deploys.visit(whole(Letter))
    with pytest.raises(Unfit, match=r"LetterThatNeedsMore \(to: Field required"):
        await deploys.visit(whole(LetterThatNeedsMore))


# -- fingerprints


def test_a_fingerprint_is_of_the_shape_not_of_the_code() -> None:
    same = take_fingerprint(before())
    assert take_fingerprint(graph("write", "ask", "end", end=note)) == same
    assert take_fingerprint(graph("write", "ask", "stop", stop=pass_on)) != same
    assert take_fingerprint(graph("write", "ask", "end", end=pass_on, schema=Wider)) != same
    assert take_fingerprint(with_subgraph("ask")) != take_fingerprint(with_subgraph("a"))
    assert take_fingerprint(asks) != take_fingerprint(asks_too)
    assert take_fingerprint(workflow("w")) == take_fingerprint(workflow("w"))
