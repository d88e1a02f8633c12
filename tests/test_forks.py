"""A run that is forked before an answer and answered otherwise: the fork is refused, and says so.

The thread of an agent is its own, and no fork of the run takes it back.
"""

import pytest
from langgraph.types import Command

from hitl_orchestrator.domain.hitl import Answer
from hitl_orchestrator.domain.state import Snapshot
from tests.stepping import Stepping, stepping
from tests.test_graph import NO, Office, outputs, text


async def fork_before_the_answer(run: Stepping, said: Answer) -> Snapshot:
    """Go back to where the run waited, and answer it otherwise."""
    history = [state async for state in run.graph.aget_state_history(run.config)]
    waited = next(state for state in history if state.interrupts)
    await run.graph.ainvoke(None, waited.config)  # asks again, under a new id
    again = (await run.graph.aget_state(run.config)).interrupts
    settled = {"status": "resolved", "answer": said.json_object()}
    answers = dict.fromkeys(again[0].value["requestIds"], settled)
    resume = {interrupt.id: {"answers": answers} for interrupt in again}
    await run.graph.ainvoke(Command(resume=resume), run.config)
    return await run.state()


@pytest.mark.parametrize(("first", "then"), [(text("red"), text("blue")), (NO, text("yes"))])
async def test_a_fork_that_is_answered_otherwise_does_not_get_the_old_answer(
    first: Answer, then: Answer
) -> None:
    office = Office()
    run = stepping([office.asks("writer: objective -> text", "Red or blue?")], "text")
    await run.start()
    await run.answer({"Red or blue?": first})

    forked = await fork_before_the_answer(run, then)
    assert forked.result
    assert forked.result.error
    assert "already gone on with another answer" in forked.result.error.message
    assert office.done == ["writer"]


async def test_a_fork_that_is_answered_alike_ends_alike_and_does_nothing_again() -> None:
    office = Office()
    run = stepping([office.asks("writer: objective -> text", "Red or blue?")], "text")
    await run.start()
    await run.answer({"Red or blue?": text("red")})
    forked = await fork_before_the_answer(run, text("red"))
    assert outputs(forked) == {"text": ["red"]}
    assert office.done == ["writer"]
