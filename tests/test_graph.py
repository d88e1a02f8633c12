"""The compiled graph on a saver in memory: agents ask, the guard decides, people answer, and the
plan follows.
"""

import asyncio
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from hitl_orchestrator.domain import planning
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.events import EventKind
from hitl_orchestrator.domain.guards import EXPIRED_REASON
from hitl_orchestrator.domain.hitl import (
    Answer,
    Answered,
    Denied,
    RequestStatus,
    ResponseType,
    Settled,
)
from hitl_orchestrator.domain.progress import plan_with_statuses
from hitl_orchestrator.domain.state import RUN, Outcome, Snapshot
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.planner import Proposal
from hitl_orchestrator.nodes.run_kinds import AgentRun
from tests.contracts import capability
from tests.stepping import Stepping, pending, stepping

NO = Denied(reason="too dear")


def text(said: str) -> Answered:
    return Answered(responseType=ResponseType.FREEFORM, freeformText=said)


def agent(line: str, run: AgentRun, **more: Any) -> Agent:
    return Agent(capability(line).but(**more), {}, run)


def words(answer: Mapping[str, Any]) -> str:
    return answer["reason"] if answer["status"] == "denied" else answer["freeformText"]


@dataclass
class Office:
    """Agents, and what they did: the name of each that came to the end of its work."""

    done: list[str] = field(default_factory=list[str])

    def works(self, line: str) -> Agent:
        return self.asks(line)

    def asks(self, line: str, *questions: str, gives_up: bool = False) -> Agent:
        """Makes each of its facets of the answers; one that gives up makes nothing when it was
        denied.
        """
        contract = capability(line)

        async def run(task: dict[str, Any]) -> dict[str, Any]:
            answers = [interrupt({"question": each, "kind": "freeform"}) for each in questions]
            self.done.append(contract.capabilityId)
            if gives_up and any(answer["status"] == "denied" for answer in answers):
                return {}
            said = [words(answer) for answer in answers]
            return {facet: [*said] for facet in contract.outputFacets}

        return agent(line, run)


@pytest.fixture
def office() -> Office:
    return Office()


def asked(state: Snapshot) -> list[str]:
    """The questions that wait for a person."""
    return [request.question for request in pending(state)]


def refused(state: Snapshot) -> list[tuple[str, str | None]]:
    """The requests that a guard refused, with the reason."""
    requests = [one.request for one in state.questions.values() if one.repeats is None]
    return [
        (each.question, each.denialReason)
        for each in requests
        if each.status is RequestStatus.DENIED
    ]


def outputs(state: Snapshot) -> dict[str, Any]:
    assert state.result, state
    assert state.result.error is None
    return state.result.result.outputs


def not_done(state: Snapshot) -> dict[str, str]:
    assert state.result, state
    return {each.capabilityId: each.reason for each in state.result.result.notDone}


def version(state: Snapshot) -> int:
    return state.plan.version if state.plan else 0


# Questions and answers


async def test_a_run_that_asks_nothing(office: Office) -> None:
    run = stepping([office.works("a: objective -> x"), office.works("b: x -> y")], "y")
    state = await run.start()
    assert (outputs(state), office.done, version(state), state.questions) == (
        {"y": []},
        ["a", "b"],
        1,
        {},
    )


async def test_a_question_is_put_and_its_answer_reaches_the_agent_the_plan_and_the_steps_to_come(
    office: Office,
) -> None:
    async def told(task: dict[str, Any]) -> dict[str, Any]:
        return {"y": [(one["question"], one["answer"]["freeformText"]) for one in task["context"]]}

    run = stepping([office.asks("a: objective -> x", "Which?"), agent("b: x -> y", told)], "x", "y")
    state = await run.start()
    assert (asked(state), office.done, version(state)) == (["Which?"], [], 1)
    state = await run.answer({"Which?": text("this")})
    assert (outputs(state), office.done, version(state)) == (
        {"x": ["this"], "y": [["Which?", "this"]]},
        ["a"],
        2,
    )


async def test_a_waiting_run_shows_who_waits_and_who_is_to_come(office: Office) -> None:
    run = stepping(
        [
            office.asks("a: objective -> x", "?"),
            office.works("b: objective -> y"),
            office.works("c: x, y -> z"),
        ],
        "z",
    )
    plan = plan_with_statuses(await run.start(), running=False)
    assert plan
    assert [f"{step.capabilityId} {step.status}" for step in plan.steps] == [
        "a awaiting_hitl",
        "b completed",
        "c pending",
    ]


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("ABC")])
async def test_parallel_questions_answered_in_any_order(order: str, office: Office) -> None:
    agents = [office.asks(f"{name.lower()}: objective -> {name}", name) for name in "ABC"]
    run = stepping(
        [*agents, office.works("d: objective -> D"), office.works("e: A, B, C, D -> E")], *"ABCDE"
    )
    state = await run.start()
    assert asked(state) == ["A", "B", "C"]
    for n, question in enumerate(order, 1):
        state = await run.answer({question: text(f"said to {question}")})
        assert office.done[: n + 1] == ["d", *order.lower()[:n]]
    assert outputs(state) == {name: [f"said to {name}"] for name in "ABC"} | {"D": [], "E": []}
    assert office.done == ["d", *order.lower(), "e"]
    assert version(state) == 2


async def test_questions_of_one_step_go_down_when_all_are_answered(office: Office) -> None:
    run = stepping([agent("a: objective -> said", both_at_once("Here?", "There?", office))], "said")
    assert asked(await run.start()) == ["Here?", "There?"]
    await run.answer({"There?": text("no")})
    assert office.done == []
    state = await run.answer({"Here?": text("yes")})
    assert (outputs(state), office.done) == (
        {"said": ["Here? yes", "There? no"]},
        ["Here?", "There?"],
    )


async def test_the_same_question_twice_at_once_is_put_twice_and_each_gets_its_own_answer(
    office: Office,
) -> None:
    run = stepping([agent("a: objective -> said", both_at_once("Here?", "Here?", office))], "said")
    first, second = pending(await run.start())
    assert (first.question, second.question) == ("Here?", "Here?")
    run.settled[first.requestId] = Settled(status=RequestStatus.RESOLVED, answer=text("yes"))
    assert (await run.go_on()).result is None, "one answer is not taken for both"
    run.settled[second.requestId] = Settled(status=RequestStatus.RESOLVED, answer=NO)
    assert outputs(await run.go_on()) == {"said": ["Here? yes", "Here? too dear"]}


class Said(TypedDict, total=False):
    left: str
    right: str
    said: list[str]


def both_at_once(left: str, right: str, office: Office) -> AgentRun:
    """Two nodes that ask at the same time, and one that puts their answers together."""

    def asks(question: str, channel: str) -> Any:
        def node(state: Said) -> dict[str, str]:
            answer = words(interrupt({"question": question, "kind": "freeform"}))
            office.done.append(question)
            return {channel: f"{question} {answer}"}

        return node

    def together(state: Said) -> Said:
        return {"said": [state.get("left", ""), state.get("right", "")]}

    graph = StateGraph(Said)
    graph.add_node("asks left", asks(left, "left"))
    graph.add_node("asks right", asks(right, "right"))
    graph.add_node("together", together)
    graph.add_edge(START, "asks left")
    graph.add_edge(START, "asks right")
    graph.add_edge(["asks left", "asks right"], "together")
    graph.add_edge("together", END)
    return graph.compile()


# Guards


@pytest.mark.parametrize("limit", range(5))
async def test_of_four_questions_at_once_as_many_are_put_as_the_limit_says(
    limit: int, office: Office
) -> None:
    run = stepping(
        [office.asks(f"{name.lower()}: objective -> {name}", name) for name in "ABCD"],
        *"ABCD",
        limit=limit,
    )
    state = await run.start()
    assert "".join(asked(state)) == "ABCD"[:limit]
    assert refused(state) == [(name, "Too many HITL requests") for name in "ABCD"[limit:]]
    state = await run.answer(dict.fromkeys(asked(state), text("yes")))
    assert outputs(state) == {
        name: ["yes" if n < limit else "Too many HITL requests"] for n, name in enumerate("ABCD")
    }
    assert sorted(office.done) == [*"abcd"]


async def test_the_fourth_question_of_a_run_is_denied_and_its_agent_goes_on_without_asking_again(
    office: Office,
) -> None:
    chain = ["a: objective -> A", "b: A -> B", "c: B -> C", "d: C -> D"]
    run = stepping([office.asks(line, line[-1]) for line in chain], *"ABCD", limit=3)
    state = await run.start()
    for question in "ABC":
        assert asked(state) == [question]
        state = await run.answer({question: text("yes")})
    assert outputs(state) == {
        "A": ["yes"],
        "B": ["yes"],
        "C": ["yes"],
        "D": ["Too many HITL requests"],
    }
    assert refused(state) == [("D", "Too many HITL requests")]
    assert len(state.questions) == 4
    assert office.done == [*"abcd"]


async def test_a_denied_question_asked_again_is_denied_at_once_and_counts_once(
    office: Office,
) -> None:
    run = stepping(
        [office.asks("a: objective -> x", "May I?", "And this?", "And this?")], "x", limit=1
    )
    await run.start()
    state = await run.answer({"May I?": NO})
    too_many = "Too many HITL requests"
    assert outputs(state) == {"x": ["too dear", too_many, too_many]}
    assert [(one.request.question, one.repeats is None) for one in state.questions.values()] == [
        *(("May I?", True), ("And this?", True), ("And this?", False)),
    ]
    assert [event.message for event in run.events if event.kind is EventKind.WARNED] == [
        f"a asks again what was denied: {too_many}"
    ]


async def test_a_rejected_question_may_be_asked_again_and_shows_what_was_said(
    office: Office,
) -> None:
    """“Check the balance first”: the agent that did may ask once more, and a person sees it."""
    run = stepping([office.asks("a: objective -> x", "May I?", "May I?")], "x")
    (first,) = pending(await run.start())
    (second,) = pending(await run.answer({"May I?": NO}))
    assert (second.question, second.attempt) == ("May I?", 2)
    assert [(one.requestId, one.answer) for one in second.earlier] == [(first.requestId, NO)]
    assert outputs(await run.answer({"May I?": text("yes")})) == {"x": ["too dear", "yes"]}


@pytest.mark.parametrize(
    ("times", "error"), [(4, None), (5, "A failed: keeps asking a question that was denied")]
)
async def test_a_step_that_insists_more_than_three_times_fails(
    times: int, error: str | None, office: Office
) -> None:
    state = await stepping(
        [office.asks("a: objective -> x", *["May I?"] * times)], "x", limit=0
    ).start()
    assert state.result
    assert (state.result.error and state.result.error.message) == error


async def test_an_expired_question_is_a_denial(office: Office) -> None:
    run = stepping([office.asks("a: objective -> x", "Which?")], "x")
    await run.start()
    state = await run.answer({"Which?": Denied(reason=EXPIRED_REASON)}, RequestStatus.DENIED)
    assert (outputs(state), refused(state), version(state)) == (
        {"x": ["Expired"]},
        [("Which?", "Expired")],
        2,
    )


# What a denial does to the plan


async def test_a_denial_of_the_first_step_skips_what_needed_it(office: Office) -> None:
    agents = [
        office.asks("a: objective -> x", "May I?", gives_up=True),
        office.works("b: x -> y"),
        office.works("c: objective -> z"),
    ]
    state = await stepping(agents, "y", "z", limit=0).start()
    assert outputs(state) == {"z": []}
    assert not_done(state) == {
        "a": "Too many HITL requests",
        "b": "needs x, which A did not make: Too many HITL requests",
    }
    assert sorted(office.done) == ["a", "c"]


async def test_a_denial_makes_another_who_can_do_it(office: Office) -> None:
    agents = [
        office.asks("a: objective -> x", "May I?", gives_up=True),
        office.works("b: x -> y"),
        office.works("c: objective -> x"),
    ]
    state = await stepping(agents, "y", limit=0).start()
    assert (outputs(state), not_done(state)) == ({"y": []}, {"a": "Too many HITL requests"})
    assert office.done == ["a", "c", "b"]


async def test_rejecting_the_step_in_the_middle_ends_with_what_was_not_done_and_nobody_asks_again(
    office: Office,
) -> None:
    lines = ["a: objective -> x", "b: x -> y", "c: y -> z"]
    run = stepping([office.asks(line, f"{line[0]}?", gives_up=True) for line in lines], "x", "z")
    await run.start()
    await run.answer({"a?": text("yes")})
    state = await run.answer({"b?": NO})
    assert (outputs(state), asked(state)) == ({"x": ["yes"]}, [])
    assert not_done(state) == {"b": "too dear", "c": "needs y, which B did not make: too dear"}
    assert [one.request.status for one in state.questions.values()] == [RequestStatus.RESOLVED] * 2
    assert office.done == ["a", "b"]


# Agents that go wrong


async def raises(task: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("no such thing")


async def hangs(task: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(60)
    return {}


async def makes_nothing(task: dict[str, Any]) -> dict[str, Any]:
    return {}


async def asks_nonsense(task: dict[str, Any]) -> dict[str, Any]:
    return interrupt({"question": "Which?", "kind": "choice"})


WRONG: list[tuple[AgentRun, str]] = [
    (raises, "ValueError: no such thing"),
    (hangs, "took longer than its 0.05 seconds"),
    (makes_nothing, "did not return x, which its contract promises"),
    (asks_nonsense, "a question of kind `choice` needs `options`"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
async def test_when_an_agent_goes_wrong_the_others_finish_and_the_run_fails_and_says_why(
    wrong: AgentRun, reason: str, office: Office
) -> None:
    run = stepping(
        [
            agent("a: objective -> x", wrong, timeoutSeconds=0.05),
            office.asks("b: objective -> y", "Which?"),
        ],
        "x",
        "y",
    )
    await run.start()
    state = await run.answer({"Which?": text("this")})
    assert state.result
    error = state.result.error
    assert error
    assert error.stepId == "s1"
    assert error.message.startswith(f"A failed: {reason}")
    assert state.result.result.outputs == {"y": ["this"]}


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
async def test_when_an_agent_goes_wrong_and_another_can_do_it_the_run_completes(
    wrong: AgentRun, reason: str, office: Office
) -> None:
    run = stepping(
        [agent("a: objective -> x", wrong, timeoutSeconds=0.05), office.works("b: objective -> x")],
        "x",
    )
    state = await run.start()
    assert outputs(state) == {"x": []}
    assert not_done(state).keys() == {"a"}
    assert not_done(state)["a"].startswith(reason)


async def test_an_agent_that_was_denied_and_then_makes_nothing_was_denied(office: Office) -> None:
    state = await stepping(
        [office.asks("a: objective -> x", "May I?", gives_up=True)], "x", limit=0
    ).start()
    assert state.reports["s1"].outcome is Outcome.DENIED
    assert outputs(state) == {}


# The thread


def known(state: Snapshot) -> str:
    """All of it but LangGraph's own names for the agents' questions, which are made by chance."""
    return re.sub(r"[0-9a-f]{32}\.\d", "key", state.model_dump_json())


@pytest.mark.parametrize("said", [{}, {"A": text("yes")}])
async def test_a_new_run_of_a_thread_knows_nothing_of_the_last(
    said: dict[str, Answer], office: Office
) -> None:
    first = [
        office.asks("a: objective -> x", "A"),
        office.asks("b: objective -> y", "B", gives_up=True),
    ]
    second = [office.asks("b: objective -> y", "B"), office.asks("c: y -> z", "C")]
    saver = InMemorySaver()
    last = stepping(first, "x", "y", limit=1, run_id="last", saver=saver)
    await last.start()
    await last.answer(said)
    run, alone = stepping(second, "z", saver=saver), stepping(second, "z")
    assert known(await run.start()) == known(await alone.start())
    assert known(await run.answer({"B": text("yes")})) == known(
        await alone.answer({"B": text("yes")})
    )
    assert known(await run.answer({"C": NO})) == known(await alone.answer({"C": NO}))
    assert run.events == alone.events


async def test_the_state_is_plain_json_which_strict_mode_can_read(office: Office) -> None:
    run = stepping(
        [office.asks("a: objective -> x", "A"), office.asks("b: objective -> y", "B")],
        "x",
        "y",
        limit=1,
    )
    await run.start()
    await run.answer({"A": text("yes")})
    saver = cast(InMemorySaver, run.graph.checkpointer)
    kept = [one.checkpoint["channel_values"] async for one in saver.alist(run.config)]
    states = [values[RUN] for values in kept if RUN in values]
    read = [state async for state in run.graph.aget_state_history(run.config) if state.values]
    assert [json.loads(state["state"]) for state in states] == [
        Snapshot.of(state.values).json_object() for state in read
    ]
    assert os.environ["LANGGRAPH_STRICT_MSGPACK"] == "true"


# A planner that proposes


@dataclass
class Proposer:
    """Proposes one plan after the other; `told` is what it knew each time."""

    plans: list[Proposal]
    told: list[Snapshot] = field(default_factory=list[Snapshot])

    async def __call__(self, state: Snapshot, task: planning.PlanningTask) -> Proposal:
        self.told.append(state)
        return self.plans.pop(0)


async def test_a_proposed_plan_that_works_is_taken_also_where_it_is_not_the_smallest(
    office: Office,
) -> None:
    proposer = Proposer([Proposal(["c", "b"]), Proposal(["b"])])
    agents = [
        office.works("a: objective -> x"),
        office.works("b: x -> y"),
        office.asks("c: objective -> x", "Which?"),
    ]
    run = stepping(agents, "y", propose=proposer)
    await run.start()
    state = await run.answer({"Which?": text("this")})
    assert (outputs(state), office.done) == ({"y": []}, ["c", "b"])
    assert [context.answer for state in proposer.told for context in state.questions.values()] == [
        text("this")
    ]


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        (
            Proposal(["poet", "b"]),
            "poet is not an allowed capability, or was denied or failed; nobody makes x before b",
        ),
        (Proposal(["a"]), "nobody makes y"),
        (Proposal(None, "the model gave no answer"), "the model gave no answer"),
    ],
)
async def test_a_proposed_plan_that_does_not_work_is_replaced_with_a_warning(
    proposal: Proposal, why: str, office: Office
) -> None:
    run = stepping(
        [office.works("a: objective -> x"), office.works("b: x -> y")],
        "y",
        propose=Proposer([proposal]),
    )
    state = await run.start()
    assert (outputs(state), office.done) == ({"y": []}, ["a", "b"])
    assert [event.message for event in run.events if event.kind is EventKind.WARNED] == [
        f"The model's plan was refused: {why}"
    ]


async def test_a_proposal_to_ask_those_again_who_were_denied_is_refused(office: Office) -> None:
    agents = [
        office.asks("a: objective -> x", "May I?", gives_up=True),
        office.works("b: objective -> x"),
    ]
    run = stepping(agents, "x", limit=0, propose=Proposer([Proposal(["a"]), Proposal(["a"])]))
    assert (outputs(await run.start()), office.done) == ({"x": []}, ["a", "b"])


# Processes that die


class Mortal(InMemorySaver):
    """Keeps so many writes and no more: what a process that died then has left."""

    breaths: float = 0

    def put(self, *given: Any, **more: Any) -> RunnableConfig:
        self._breathe()
        return super().put(*given, **more)

    def put_writes(self, *given: Any, **more: Any) -> None:
        self._breathe()
        super().put_writes(*given, **more)

    def _breathe(self) -> None:
        if self.breaths <= 0:
            raise StoreUnavailable("the process is dead")
        self.breaths -= 1


async def lived(lives: Sequence[int]) -> tuple[Snapshot, Counter[str], list[str]]:
    """As many processes as there are lives, each with so many writes, and one that lives on: the
    run at its end, what was done, and what of it was done again though its step was finished."""
    office, saver, said = Office(), Mortal(), {"A": text("this"), "B": NO, "C": text("that")}
    agents = [
        office.asks("a: objective -> x", "A"),
        agent("b: objective -> said", both_at_once("B", "C", office)),
        office.works("c: objective -> u"),
        office.asks("d: x, said, u -> y", "D"),
    ]
    work = {"s1": "a", "s2": "BC", "s3": "c", "s4": "d"}
    run, finished = stepping(agents, "x", "said", "u", "y", saver=saver), dict[str, int]()
    for breaths in [*lives, math.inf]:
        saver.breaths = breaths
        run = Stepping(
            build(agents, saver), run.settings, run.settled
        )  # another process; what people decided is still there
        with suppress(StoreUnavailable):
            state = await run.go_on()
            while unanswered := [
                each.question for each in pending(state) if each.requestId not in run.settled
            ]:
                state = await run.answer({unanswered[0]: said[unanswered[0]]})
        for step_id, report in (await run.state()).reports.items():
            if report.outcome is Outcome.COMPLETED:
                finished = {name: office.done.count(name) for name in work[step_id]} | finished
    return (
        await run.state(),
        Counter(office.done),
        [name for name in finished if office.done.count(name) > finished[name]],
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 20), max_size=4))
async def test_whenever_processes_die_the_end_is_the_same_and_nothing_finished_is_done_again(
    lives: list[int],
) -> None:
    state, done, again = await lived(lives)
    assert outputs(state) == {
        "x": ["this"],
        "said": ["B too dear", "C that"],
        "u": [],
        "y": ["Too many HITL requests"],
    }
    answers = {one.request.question: one.answer for one in state.questions.values()}
    assert answers == {"A": text("this"), "B": NO, "C": text("that"), "D": None}
    assert (version(state), again) == (3, [])
    assert max(done.values()) <= 1 + len(lives)
