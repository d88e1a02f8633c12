"""What an agent is told, and what it does then: gates as they are written in the wild, and agents
whose mapping says how they ask and are answered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.hitl import Answer, Answered, Denied, Kind, ResponseType
from hitl_orchestrator.domain.state import Outcome, Report
from tests.steps import NO, YES, Step, Steps, agent, edit, keep_steps, option, text


@pytest.fixture
def step_of(tmp_path: Path) -> Steps:
    return keep_steps(tmp_path)


def data(value: Any) -> Answered:
    return Answered(responseType=ResponseType.FORM, data=value)


class Gate:
    """An agent of which `if interrupt(…): act()` is all. `acted`: how often."""

    def __init__(self, payload: Any, **keys: Any) -> None:
        self.acted = 0
        self.keys = keys

        def run(task: dict[str, Any]) -> dict[str, Any]:
            said = interrupt(payload)
            if said:
                self.acted += 1
            return {"answer": [said]}

        self.agent = agent(run, **keys)

    async def answer(self, step_of: Steps, *answers: Answer) -> tuple[Step, Report]:
        step = step_of(self.agent)
        asks = (await step.visit_twice()).asks
        step.answers = {ask.key: said for ask, said in zip(asks, answers, strict=True)}
        return step, await step.visit()


def says(value: Any) -> Callable[..., Any]:
    """Return a function that returns it, whatever it is given."""

    def key(*given: Any) -> Any:
        return value

    return key


def says_why(reason: str) -> str:
    return f"no: {reason}"


def is_answered(value: Any, said: Any) -> bool:
    return said["status"] == "answered"


APPROVAL = {"question": "Delete?", "kind": "approval"}
DELETE = {"question": "Delete the account?", "details": {"account": "ann", "sum": 900}}


# Gates as they are


@pytest.mark.parametrize("payload", [DELETE, "Delete?", {"action": "delete"}, ["delete"], 7])
async def test_a_gate_acts_on_a_yes_and_on_nothing_else(payload: Any, step_of: Steps) -> None:
    gate = Gate(payload)
    _, report = await gate.answer(step_of, YES)
    assert (gate.acted, report.facets) == (1, {"answer": [True]})


@pytest.mark.parametrize("payload", [DELETE, "Delete?", {"action": "delete"}, ["delete"], 7])
async def test_a_gate_that_was_refused_is_not_resumed(payload: Any, step_of: Steps) -> None:
    gate = Gate(payload)
    step, report = await gate.answer(step_of, Denied(reason="Not today"))
    assert (gate.acted, report.outcome, report.reason) == (0, Outcome.DENIED, "Not today")
    assert report.undelivered == tuple(step.answers)
    assert await step.visit() == report


@pytest.mark.parametrize("value", [False, None, 0, "", {}, [], "no", 30, {"approved": False}])
async def test_a_gate_gets_any_json_as_it_is(value: Any, step_of: Steps) -> None:
    gate = Gate(DELETE)
    _, report = await gate.answer(step_of, data(value))
    assert (gate.acted, report.facets) == (bool(value), {"answer": [value]})
    assert report.undelivered == ()


async def test_a_loop_until_the_answer_is_right_ends(step_of: Steps) -> None:
    def run(task: dict[str, Any]) -> dict[str, Any]:
        answer = ""
        while not answer.isdigit():
            answer = interrupt("Age?")
        return {"answer": int(answer)}

    step = step_of(agent(run))
    for said in ("", "thirty", "30"):
        (ask,) = (await step.visit_twice()).asks
        step.answers |= {ask.key: text(said)}
    assert (await step.visit_twice()).facets == {"answer": 30}


async def test_an_option_comes_back_as_the_agent_wrote_it(step_of: Steps) -> None:
    offers = [{"label": "Berlin", "price": 120}, {"label": "Rome", "price": 90}]
    _, report = await Gate({"message": "Which?", "options": offers}).answer(step_of, option("Rome"))
    assert report.facets == {"answer": [{"label": "Rome", "price": 90}]}


class State(TypedDict, total=False):
    left: str
    right: str
    answer: list[str]


async def test_one_refusal_among_several_answers_and_none_is_delivered(step_of: Steps) -> None:
    done: list[str] = []

    def ask(side: str) -> Any:
        def node(state: State) -> dict[str, Any]:
            done.append(interrupt(side))
            return {side: "done"}

        return node

    graph = StateGraph(State).add_node("l", ask("left")).add_node("r", ask("right"))
    step = step_of(agent(graph.add_edge(START, "l").add_edge(START, "r")))
    left, right = (await step.visit_twice()).asks
    step.answers = {right.key: NO}
    waiting = await step.visit_twice()
    assert (waiting.outcome, waiting.asks) == (Outcome.ASKING, (left,))
    step.answers[left.key] = text("go")
    report = await step.visit_twice()
    assert (report.outcome, report.reason) == (Outcome.DENIED, "Too many HITL requests")
    assert (done, {*report.undelivered}) == ([], {left.key, right.key})
    assert report.warnings == ("It was refused, so it got none of its 2 answers",)


# `ask`, `answer`, `denied`


async def test_what_was_asked_is_said_in_our_words_and_shown_whole(step_of: Steps) -> None:
    def ask(value: Any) -> dict[str, Any]:
        return {
            "question": f"Delete {value['details']['account']}?",
            "kind": "approval",
            "action": {"name": "delete", "arguments": value["details"]},
        }

    step = step_of(Gate(DELETE, ask=ask).agent)
    (ask_,) = (await step.visit_twice()).asks
    assert (ask_.question.question, ask_.question.kind) == ("Delete ann?", Kind.APPROVAL)
    assert ask_.question.payload == DELETE


@pytest.mark.parametrize(
    ("answer", "returned"),
    [(YES, True), (edit(account="bob"), {"account": "bob"}), (text("later"), "later")],
)
async def test_with_ask_alone_it_gets_what_was_said(
    answer: Answer, returned: Any, step_of: Steps
) -> None:
    gate = Gate(DELETE, ask=says(APPROVAL))
    _, report = await gate.answer(step_of, answer)
    assert report.facets == {"answer": [returned]}


async def test_with_ask_alone_a_refusal_is_not_said(step_of: Steps) -> None:
    gate = Gate(DELETE, ask=says(APPROVAL))
    _, report = await gate.answer(step_of, NO)
    assert (gate.acted, report.outcome) == (0, Outcome.DENIED)


async def test_one_interrupt_may_be_several_questions(step_of: Steps) -> None:
    several = [{"question": each, "kind": "freeform"} for each in ("Who?", "When?")]
    _, report = await Gate(DELETE, ask=says(several)).answer(step_of, text("ann"), text("now"))
    assert report.facets == {"answer": [["ann", "now"]]}


async def test_an_answer_in_the_agents_words_also_of_several(step_of: Steps) -> None:
    several = [{"question": each, "kind": "freeform"} for each in ("Who?", "When?")]

    def answer(value: Any, said: Any) -> Any:
        return {"about": value["details"]["account"], "said": [a["freeformText"] for a in said]}

    _, report = await Gate(DELETE, ask=says(several), answer=answer).answer(
        step_of, text("ann"), text("now")
    )
    assert report.facets == {"answer": [{"about": "ann", "said": ["ann", "now"]}]}


@pytest.mark.parametrize(("answer", "acted"), [(YES, 1), (NO, 0)])
async def test_an_answer_alone_says_a_refusal_too(
    answer: Answer, acted: int, step_of: Steps
) -> None:
    gate = Gate(DELETE, answer=is_answered)
    _, report = await gate.answer(step_of, answer)
    assert (gate.acted, report.facets) == (acted, {"answer": [bool(acted)]})
    assert report.undelivered == ()


@pytest.mark.parametrize(
    ("denied", "returned"),
    [
        (False, False),
        (None, None),
        ("no", "no"),
        ({"ok": False}, {"ok": False}),
        (says_why, "no: Too many HITL requests"),
        (says(None), None),
    ],
)
async def test_a_refusal_in_the_agents_words(denied: Any, returned: Any, step_of: Steps) -> None:
    _, report = await Gate(DELETE, denied=denied).answer(step_of, NO)
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"answer": [returned]})
    _, report = await Gate(DELETE, denied=denied).answer(step_of, YES)
    assert report.facets == {"answer": [True]}


async def test_denied_goes_before_answer(step_of: Steps) -> None:
    gate = Gate(DELETE, denied=False, answer=says(True))
    _, report = await gate.answer(step_of, NO)
    assert (gate.acted, report.facets) == (0, {"answer": [False]})


def fails(*given: Any) -> Any:
    raise LookupError("no such words")


@pytest.mark.parametrize(
    ("keys", "answer", "reason"),
    [
        ({"ask": fails}, None, "The mapping's `ask` raised LookupError: no such words"),
        ({"ask": says([])}, None, "the mapping's `ask` returned no question"),
        ({"ask": says(5)}, None, "an interrupt needs a mapping with `question`"),
        ({"ask": says(object())}, None, "What the mapping's `ask` returned is not plain"),
        ({"answer": fails}, YES, "The mapping's `answer` raised LookupError: no such words"),
        ({"answer": says(object())}, YES, "`answer` returned is not plain JSON"),
        ({"denied": fails}, NO, "The mapping's `denied` raised LookupError: no such words"),
    ],
)
async def test_what_a_key_raises_fails_the_step_and_nothing_is_delivered(
    keys: Any, answer: Answer | None, reason: str, step_of: Steps
) -> None:
    gate = Gate(DELETE, **keys)
    step = step_of(gate.agent)
    report = await step.visit()
    if answer is not None:
        step.answers = {ask.key: answer for ask in report.asks}
        report = await step.visit_twice()
    assert (gate.acted, report.outcome) == (0, Outcome.FAILED)
    assert reason in (report.reason or "")
    assert report.undelivered == tuple(step.answers)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"ask": "value"}, "`ask` must be a function, not str"),
        ({"answer": 5}, "`answer` must be a function, not int"),
        ({"denied": object()}, "`denied` is not plain JSON"),
        ({"denied": float("nan")}, "`denied` is not plain JSON"),
    ],
)
def test_a_key_of_a_wrong_type_is_refused_at_the_start(keys: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        agent(says({}), **keys)
    assert reason in refused.value.detail
