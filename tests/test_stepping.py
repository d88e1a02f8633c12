"""A run by hand: superstep by superstep, drawn, and forked with all that its agents keep."""

from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.graph.picture import draw_edges
from hitl_orchestrator.graph.stepping import Stepping
from hitl_orchestrator.notebook import begin, draw, put_beside
from hitl_orchestrator.testing import ask_agent_async

COLOURS = {"question": "Red or blue?", "kind": "freeform"}
MARKED = "#ffc53d"
REMOTE = {
    "capabilityId": "agent.there",
    "displayName": "There",
    "inputFacets": ["objective"],
    "outputFacets": ["there"],
    "url": "http://127.0.0.1:9",
    "graphId": "agent",
}


class State(TypedDict, total=False):
    objective: str
    colour: str
    mixed: str


def mapping(name: str, run: Any, takes: str = "objective") -> dict[str, Any]:
    return {
        "capabilityId": f"agent.{name}",
        "displayName": name.title(),
        "inputFacets": [takes],
        "outputFacets": [name],
        "run": run,
    }


def painter(done: list[str]) -> dict[str, Any]:
    """A graph that works, asks, and works again with the answer and what it has in its store."""

    async def mix(state: State) -> State:
        done.append("mixed")
        return {"mixed": "paint"}

    async def ask(state: State) -> State:
        store = get_store()
        said = interrupt(COLOURS)["freeformText"]
        before = await store.asearch(("painter",))
        await store.aput(("painter",), said, {"colour": said})
        done.append(said)
        return {"colour": ", ".join([*(item.key for item in before), said])}

    graph = StateGraph(State)
    graph.add_node("mix", mix)
    graph.add_node("ask", ask)
    graph.add_edge(START, "mix")
    graph.add_edge("mix", "ask")
    return mapping("colour", graph.compile())


def asking(name: str, takes: str = "objective") -> dict[str, Any]:
    def run(_: object) -> dict[str, Any]:
        return {name: interrupt({"question": f"What of {name}?", "kind": "freeform"})}

    return mapping(name, run, takes)


async def answered(run: Stepping, said: str) -> Any:
    run.answer(said)
    await run.go_on()
    return run.outputs


async def test_a_fork_at_a_question_is_answered_otherwise_and_neither_knows_of_the_other() -> None:
    done: list[str] = []
    run = begin(painter(done))
    waits = (await run.go_on()).number
    assert await answered(run, "red") == {"colour": "red"}
    assert await answered(run.fork(waits), "blue") == {"colour": "blue"}
    assert done == ["mixed", "red", "blue"], "what was done before the question is not done again"
    assert run.outputs == {"colour": "red"}
    assert await answered(run.fork(waits), "green") == {"colour": "green"}


async def test_a_run_that_waits_still_waits_after_its_fork_has_ended() -> None:
    done: list[str] = []
    run = begin(painter(done))
    await run.go_on()
    await answered(run.fork(len(run.supersteps) - 1), "blue")
    assert [request.question for request in run.waiting] == [COLOURS["question"]]
    assert await answered(run, "red") == {"colour": "red"}


async def test_a_fork_after_an_answer_keeps_it_and_ends_alike() -> None:
    run = begin([asking("first"), asking("second", "first")])
    await run.go_on()
    await answered(run, "one")
    second = len(run.supersteps) - 1
    await answered(run, "two")
    other = run.fork(second)
    await answered(other, "another")
    assert [other.outputs[name] for name in ("first", "second")] == [
        run.outputs["first"],
        {**run.outputs["second"], "freeformText": "another"},  # type: ignore[dict-item]
    ]


async def test_a_fork_is_refused_where_there_is_nothing_to_fork() -> None:
    with pytest.raises(Invalid, match="no superstep 0"):
        begin(asking("first")).fork(0)
    run = begin([asking("first"), REMOTE])
    await run.step()
    with pytest.raises(Invalid, match="keeps its threads elsewhere"):
        run.fork(0)


async def test_it_comes_to_what_a_run_on_a_server_comes_to() -> None:
    agents = [asking("left"), asking("right", "left")]
    run = begin(agents)
    await run.go_on()
    await answered(run, "one")
    asked = await ask_agent_async(agents, answers=["one", "two"])
    assert await answered(run, "two") == asked.facets


async def test_a_step_says_who_ran_what_it_wrote_and_what_changed() -> None:
    run = begin([asking("left"), asking("right")], max_questions=1)
    nodes = [(await run.step()).nodes for _ in range(4)]
    both = ("agent.left", "agent.right")
    assert nodes == [("__start__",), ("planner",), both, ("guard",)]
    changes = [(change.sign, change.after) for change in run.supersteps[-1].changes]
    assert ("+", "agent.left asks “What of left?”: pending") in changes
    paused = await run.step()
    assert [*paused.wrote] == ["agent.right"], "it was refused, and went on"
    assert [request.originAgent for request in paused.waiting] == ["agent.left"]


async def test_nothing_runs_while_a_question_waits_nor_after_the_end() -> None:
    run = begin(asking("first"))
    await run.go_on()
    with pytest.raises(Invalid, match="waits for an answer"):
        await run.step()
    with pytest.raises(Invalid, match="does not fit"):
        run.answer({"selectedOptionId": "none"})
    await answered(run, "one")
    with pytest.raises(Invalid, match="has ended"):
        await run.step()
    with pytest.raises(Invalid, match="No question"):
        run.answer("again")


def test_what_cannot_be_made_is_refused_at_once() -> None:
    with pytest.raises(Invalid):
        begin(asking("first"), outputs=["second"])


async def test_what_agents_say_is_text_in_every_page() -> None:
    bad = "<script>alert(1)</script>"

    def run_agent(_: object) -> dict[str, Any]:
        return {"first": interrupt(bad)}

    run = begin({**asking("first"), "displayName": bad, "run": run_agent})
    superstep = await run.go_on()
    run.answer(bad)
    end = await run.go_on()
    things: list[Any] = [superstep, end, run, run.history(), put_beside(run=run)]
    for shown in things:
        page = shown._repr_html_()
        assert "<script" not in page
    assert bad in repr(run)


def read_boxes(svg: str) -> list[dict[str, str]]:
    return [rect.attrib for rect in Xml.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")]  # noqa: S314


async def test_the_node_where_the_run_stands_is_marked() -> None:
    run = begin(asking("first"))
    superstep = await run.go_on()
    for svg in (run.draw().svg, superstep.picture.svg):
        assert [box["fill"] for box in read_boxes(svg)].count(MARKED) == 1
    assert repr(run.draw()).endswith("at: agent.first")
    await answered(run, "one")
    assert repr(run.draw()).endswith("at: __end__")


@pytest.mark.parametrize("number", [4, 8])
def test_no_box_lies_on_another_nor_beyond_the_picture(number: int) -> None:
    agents = [asking(f"{'long' * 12}_{each}") for each in range(number)]
    svg = draw(begin(agents).graph).svg
    boxes = [
        (int(box["x"]), int(box["y"]), int(box["width"]), int(box["height"]))
        for box in read_boxes(svg)
    ]
    assert len(boxes) == number + 4
    assert len({(x, y) for x, y, _, _ in boxes}) == len(boxes)
    width, height = map(int, Xml.fromstring(svg).attrib["viewBox"].split()[2:])  # noqa: S314
    assert all(x + wide <= width and y + high <= height for x, y, wide, high in boxes)
    assert width < 1000


def test_a_graph_of_any_shape_is_drawn() -> None:
    nodes = ["a", "b", "c", "d", "<alone>"]
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a"), ("c", "d"), ("d", "d"), ("d", "a")]
    assert len(read_boxes(draw_edges(nodes, edges, ["<alone>"]).svg)) == len(nodes)
