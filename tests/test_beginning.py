"""A run that a driver begins stands where START and the planner would leave it."""

from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt

from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.state import RUN, Delta, Snapshot
from hitl_orchestrator.graph.beginning import begin_with_plan
from hitl_orchestrator.nodes.agents import Agent
from tests.stepping import Stepping, stepping
from tests.test_graph import Office, asked, outputs, text

LONE = ["writer: objective -> text"]
SIDE_BY_SIDE = ["left: objective -> l", "right: objective -> r", "both: l, r -> text"]


def hire(lines: list[str]) -> list[Agent]:
    office = Office()
    return [office.asks(line, f"{line}?") for line in lines]


async def begin(run: Stepping, state: Snapshot | None = None) -> list[Event]:
    """Begin as a driver does; return what happened that is told with the input."""
    graph, given = await begin_with_plan(run.graph, state or Snapshot.first(run.settings))
    await graph.ainvoke(given, run.config, durability="sync")
    return [*Delta.of(given[RUN]).events]


async def show_rest(run: Stepping) -> Any:
    """What whoever goes on finds of the thread: the state, and who waits for what."""
    thread = await run.graph.aget_state(run.config)
    waits = {task.name: _list_values(task.interrupts) for task in thread.tasks}
    return show(Snapshot.of(thread.values)), waits, thread.next


def _list_values(interrupts: Sequence[Interrupt]) -> list[Any]:
    return [each.value for each in interrupts]


def show(state: Snapshot) -> Any:
    """All but the names that agents have for their questions: no two runs have the same."""
    requests = [one.request for one in state.questions.values()]
    outcomes = {name: report.outcome for name, report in state.reports.items()}
    return state.but(questions={}, reports={}), requests, outcomes


@pytest.mark.parametrize(
    ("lines", "made"),
    [(LONE, ["text"]), (SIDE_BY_SIDE, ["text"]), (LONE, ["objective"])],
    ids=["a step alone", "a wave of two", "nothing to do"],
)
async def test_it_comes_to_the_same(lines: list[str], made: list[str]) -> None:
    agents = hire(lines)
    by_hand, driven = stepping(agents, *made, limit=9), stepping(agents, *made, limit=9)
    await by_hand.start()
    told = await begin(driven)
    assert await show_rest(driven) == await show_rest(by_hand)
    assert told == by_hand.events[: len(told)]
    assert told[-1] == by_hand.events[len(told) - 1]

    answers = {f"{line}?": text("yes") for line in lines}
    while asked(await driven.state()):
        assert show(await driven.answer(answers)) == show(await by_hand.answer(answers))
    assert outputs(await driven.state()) == outputs(await by_hand.state())


async def test_another_run_of_the_thread_puts_its_question_aside() -> None:
    """As with any new input to a thread that waits."""
    saver = InMemorySaver()
    await begin(stepping(hire(LONE), "text", saver=saver))
    again = stepping(hire(LONE), "text", saver=saver)
    other = Snapshot.first(again.settings.but(runId="another"))
    await begin(again, other)
    (state, requests, _), waits, _ = await show_rest(again)
    assert state.run.runId == "another"
    assert waits == {"writer": [{"stepId": "s1", "requestIds": [requests[0].requestId]}]}
