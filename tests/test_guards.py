"""The guard over whole lives of runs: waves of questions, what became of them, and what is asked
again.
"""

from collections.abc import Mapping, Sequence
from itertools import count, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_orchestrator.domain.guards import DISABLED_REASON, EXPIRED_REASON, LIMIT_REASON, insists
from hitl_orchestrator.domain.hitl import (
    MAX_REPEATS,
    Answer,
    Answered,
    Denied,
    Question,
    RequestStatus,
    ResponseType,
    Urgency,
)
from hitl_orchestrator.domain.planning import first_plan
from hitl_orchestrator.domain.state import Ask, Asked, Outcome, Report, RunSettings, Snapshot
from hitl_orchestrator.nodes.guard import judge_wave
from tests.contracts import registry

ASKERS = registry("first: objective -> x", "second: objective -> y", "third: objective -> z")
STEPS = ["s1", "s2", "s3"]

Wave = Mapping[str, Sequence[str]]  # step -> its questions


def begun(limit: int = 3, *, enabled: bool = True) -> Snapshot:
    settings = RunSettings(
        runId="run",
        threadId="t",
        objective="o",
        outputs=("x", "y", "z"),
        maxHitlRequests=limit,
        hitlEnabled=enabled,
    )
    plan = first_plan([*ASKERS.values()])
    return Snapshot.first(settings).but(plan=plan)


def asking(state: Snapshot, wave: Wave) -> Snapshot:
    return with_asks(state, {step: list_questions(texts) for step, texts in wave.items()})


def list_questions(texts: Sequence[str]) -> list[Question]:
    return [Question(question=text) for text in texts]


def with_asks(state: Snapshot, wave: Mapping[str, Sequence[Question]]) -> Snapshot:
    reports = {step: report_asking(step, questions) for step, questions in wave.items()}
    return state.but(reports=reports)


def report_asking(step: str, questions: Sequence[Question]) -> Report:
    asks = [Ask(key=f"{step}.{n}", question=question) for n, question in enumerate(questions)]
    return Report(outcome=Outcome.ASKING, asks=tuple(asks))


def judged(state: Snapshot) -> tuple[Snapshot, list[Asked]]:
    """After the guard, and what it decided, in its order."""
    after = state.after(judge_wave(state, ASKERS))
    return after, [asked for name, asked in after.questions.items() if name not in state.questions]


def ended(asked: Asked, answer: Answer) -> Asked:
    expired = answer == EXPIRED
    request = asked.request.but(
        status=RequestStatus.DENIED if expired else RequestStatus.RESOLVED,
        denialReason=EXPIRED_REASON if expired else None,
    )
    return asked.but(request=request, answer=answer)


YES, NO, EXPIRED = (
    Answered(responseType=ResponseType.FREEFORM, freeformText="yes"),
    Denied(reason="no"),
    Denied(reason=EXPIRED_REASON),
)


async def lived(limit: int, waves: Sequence[Wave], answers: Sequence[Answer]) -> list[Asked]:
    """All that was asked, in the order of asking."""
    return [asked for wave in await lived_through(limit, waves, answers) for asked in wave]


async def lived_through(
    limit: int, waves: Sequence[Wave], answers: Sequence[Answer]
) -> list[list[Asked]]:
    """What was asked, by wave; what a person saw ended as the answers say, over and over."""
    state, asked, turn = begun(limit), list[list[Asked]](), count()
    for wave in waves:
        state, new = judged(asking(state, wave))
        new = [
            ended(each, answers[next(turn) % len(answers)]) if each.waits else each for each in new
        ]
        state = state.but(
            questions=state.questions | {each.request.requestId: each for each in new}
        )
        asked.append(new)
    return asked


def was_put_to_a_person(asked: Asked) -> bool:
    return asked.answer is not None


def refusal(asked: Asked) -> str | None:
    return asked.answer.reason if isinstance(asked.answer, Denied) else asked.request.denialReason


limits = st.integers(0, 4)
waves = st.lists(
    st.fixed_dictionaries(
        {},
        optional={step: st.lists(st.sampled_from("abc"), min_size=1, max_size=3) for step in STEPS},
    )
)
answers = st.lists(st.sampled_from([YES, NO, EXPIRED]), min_size=1, max_size=4)


@settings(deadline=None)
@given(limits, waves, answers)
async def test_people_are_asked_up_to_the_limit_and_no_further(
    limit: int, waves: list[Wave], answers: list[Answer]
) -> None:
    asked = await lived(limit, waves, answers)
    for n, each in enumerate(asked):
        before = sum(map(was_put_to_a_person, asked[:n]))
        if each.repeats is None:
            assert was_put_to_a_person(each) is (before < limit)
            assert (each.request.denialReason == LIMIT_REASON) is (before >= limit)


@pytest.mark.slow
@settings(deadline=None)
@given(limits, waves, answers)
async def test_what_a_guard_denied_stays_denied_and_what_a_person_said_may_be_asked_again(
    limit: int, waves: list[Wave], answers: list[Answer]
) -> None:
    denied: dict[tuple[str, str], Asked] = {}
    for wave in await lived_through(limit, waves, answers):
        for each in wave:
            if before := denied.get((each.request.stepId, each.fingerprint)):
                first = next(one for one in (before, each) if one.repeats is None)
                assert each.repeats == first.request.requestId
                assert not was_put_to_a_person(each)
                assert refusal(each) == refusal(before)
            else:
                assert each.repeats is None
        for each in wave:
            if each.request.status is RequestStatus.DENIED and each.repeats is None:
                denied[each.request.stepId, each.fingerprint] = each


@pytest.mark.slow
@settings(deadline=None)
@given(limits, waves, answers)
async def test_a_replay_comes_to_the_same_whichever_branch_finished_first(
    limit: int, waves: list[Wave], answers: list[Answer]
) -> None:
    otherwise = [dict(reversed([*wave.items()])) for wave in waves]
    assert await lived(limit, otherwise, answers) == await lived(limit, waves, answers)


@pytest.mark.slow
@settings(deadline=None)
@given(waves, answers)
async def test_every_question_gets_its_answer_once(
    waves: list[Wave], answers: list[Answer]
) -> None:
    asked = await lived(3, waves, answers)
    assert len({each.request.requestId for each in asked}) == len(asked)
    keys = [key for each in asked for key in each.keys]
    assert sorted(keys) == sorted(
        f"{step}.{n}" for wave in waves for step in wave for n in range(len(wave[step]))
    )


@pytest.mark.parametrize("order", [*permutations(STEPS)])
async def test_one_of_three_is_asked_when_one_is_left_and_always_the_same(
    order: tuple[str, ...],
) -> None:
    _, asked = judged(asking(begun(limit=1), {step: ["Which?"] for step in order}))
    assert [(each.request.stepId, each.request.status) for each in asked] == [
        *(
            ("s1", RequestStatus.PENDING),
            ("s2", RequestStatus.DENIED),
            ("s3", RequestStatus.DENIED),
        ),
    ]


async def test_the_questions_of_a_step_come_in_its_own_order() -> None:
    _, asked = judged(asking(begun(limit=2), {"s1": ["b", "a", "c"]}))
    assert [(each.request.question, each.waits) for each in asked] == [
        ("b", True),
        ("a", True),
        ("c", False),
    ]


async def test_one_question_is_one_request_however_alike() -> None:
    """Else one yes would pay twice."""
    _, asked = judged(asking(begun(), {"s1": ["a", "b", "a"]}))
    assert [(each.request.question, each.keys, each.request.attempt) for each in asked] == [
        ("a", ("s1.0",), 1),
        ("b", ("s1.1",), 1),
        ("a", ("s1.2",), 2),
    ]
    assert len({each.request.requestId for each in asked}) == 3


async def test_what_a_person_rejected_is_asked_again_and_shows_what_was_said() -> None:
    state, (first,) = judged(asking(begun(), {"s1": ["a"]}))
    state = state.but(questions={first.request.requestId: ended(first, NO)})
    _, (second,) = judged(asking(state, {"s1": ["a"]}))
    assert (second.waits, second.request.attempt) == (True, 2)
    (earlier,) = second.request.earlier
    assert (earlier.requestId, earlier.status, earlier.answer) == (
        first.request.requestId,
        "resolved",
        NO,
    )


async def test_the_same_question_of_two_steps_is_two_requests() -> None:
    _, asked = judged(asking(begun(), {"s1": ["a"], "s2": ["a"]}))
    assert [(each.request.stepId, each.waits) for each in asked] == [("s1", True), ("s2", True)]


async def test_a_limit_of_nought_refuses_all() -> None:
    _, asked = judged(asking(begun(limit=0), {"s1": ["a"]}))
    assert [(each.request.status, each.request.denialReason) for each in asked] == [
        (RequestStatus.DENIED, "Too many HITL requests")
    ]


async def test_where_asking_is_disabled_all_are_refused_whatever_the_limit() -> None:
    _, asked = judged(asking(begun(limit=0, enabled=False), {"s1": ["a"], "s2": ["b"]}))
    assert [each.request.denialReason for each in asked] == [DISABLED_REASON] * 2


async def test_a_denied_question_with_another_context_is_another_question() -> None:
    state, _ = judged(with_asks(begun(limit=0), {"s1": [Question(question="a")]}))
    _, again = judged(
        with_asks(
            state,
            {"s1": [Question(question="a", urgency=Urgency.HIGH, additionalContext="Please!")]},
        )
    )
    assert [(each.repeats is None, each.request.attempt) for each in again] == [(True, 1)]


async def test_a_step_may_insist_three_times_and_not_once_more() -> None:
    state, _ = judged(asking(begun(limit=0), {"s1": ["a"], "s2": ["a"]}))
    borne: list[bool] = []
    for _ in range(MAX_REPEATS + 1):
        state, _ = judged(asking(state, {"s1": ["a"]}))
        borne.append(not insists([*state.questions.values()], "s1"))
    assert borne == [True, True, True, False]
    assert not insists([*state.questions.values()], "s2")
