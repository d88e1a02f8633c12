"""Plans: the smallest over the contracts, and what becomes of one when people, guards and steps say
no.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_orchestrator.domain.capability import OBJECTIVE, Capability, Registry
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import (
    Answer,
    Answered,
    Denied,
    HitlRequest,
    Kind,
    RequestStatus,
    ResponseType,
)
from hitl_orchestrator.domain.plan import MAX_REVISIONS, MAX_STEPS, Plan, Step, StepStatus
from hitl_orchestrator.domain.planning import (
    Unreachable,
    best,
    build_task,
    chain,
    check_start,
    ending,
    first_plan,
    problems,
    revised,
)
from hitl_orchestrator.domain.progress import ready_steps
from hitl_orchestrator.domain.state import (
    INPUT,
    Asked,
    Ending,
    Facet,
    NotDone,
    Outcome,
    Report,
    RunError,
    RunSettings,
    Snapshot,
)
from tests.contracts import registry, summary

DESK = registry(
    "strategist: objective, source? -> brief",
    "writer: brief, source? -> drafts",
    "reviewer: drafts, brief -> review ~ drafts",
    "publisher: drafts, review -> published",
)


def ids(chosen: Sequence[Capability] | Unreachable) -> list[str]:
    assert not isinstance(chosen, Unreachable), chosen
    return [each.capabilityId for each in chosen]


# The smallest plan, held against every subset

FACETS = ["u", "v", "w", "x", "y", "z"]
some = st.lists(st.sampled_from(FACETS), max_size=2, unique=True)
wanted = st.lists(st.sampled_from(FACETS), min_size=1, max_size=3, unique=True)


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    """What needs what, at random."""
    contracts = st.tuples(
        some, some, st.lists(st.sampled_from(FACETS), min_size=1, max_size=2, unique=True)
    )
    lines: list[str] = []
    for n, (inputs, optional, outputs) in enumerate(draw(st.lists(contracts, max_size=7))):
        taken = [*inputs, *(f"{name}?" for name in optional if name not in inputs)]
        lines.append(f"c{n}: {', '.join(taken)} -> {', '.join(outputs)}")
    return registry(*lines)


@st.composite
def registries_at_odds(draw: st.DrawFn) -> Registry:
    """Besides, some disagree with others."""
    found = draw(registries())
    return {
        name: each.but(
            disagreesWith=tuple(draw(st.sets(st.sampled_from([*found]), max_size=1)) - {name})
        )
        for name, each in found.items()
    }


def reached(chosen: Collection[Capability], at_hand: Collection[str]) -> set[str]:
    have = set(at_hand)
    for _ in chosen:
        have.update(*(each.outputFacets for each in chosen if have.issuperset(each.inputFacets)))
    return have


def works(chosen: Collection[Capability], goal: Collection[str], at_hand: Collection[str]) -> bool:
    have = reached(chosen, at_hand)
    if any(one.capabilityId in other.disagreesWith for one in chosen for other in chosen):
        return False
    return have.issuperset(goal) and all(have.issuperset(each.inputFacets) for each in chosen)


def smallest(found: Registry, goal: Collection[str], at_hand: Collection[str]) -> list[set[str]]:
    """By trying all."""
    for size in range(len(found) + 1):
        if plans := [
            {*ids(subset)}
            for subset in combinations(found.values(), size)
            if works(subset, goal, at_hand)
        ]:
            return plans
    return []


@settings(deadline=None)
@given(registries() | registries_at_odds(), wanted, some)
def test_no_smaller_plan_works_and_what_no_plan_makes_is_named(
    found: Registry, goal: list[str], at_hand: list[str]
) -> None:
    plan = chain([*found.values()], goal, at_hand)
    if isinstance(plan, Unreachable):
        assert smallest(found, goal, at_hand) == []
        makeable = [facet for facet in goal if smallest(found, [facet], at_hand)]
        assert plan.facets == tuple(
            facet
            for facet in goal
            if facet not in at_hand and (facet not in makeable or goal == makeable)
        )
    else:
        assert {*ids(plan)} in smallest(found, goal, at_hand)


@settings(deadline=None)
@given(registries(), wanted, some)
def test_every_step_comes_after_those_it_needs(
    found: Registry, goal: list[str], at_hand: list[str]
) -> None:
    plan = chain([*found.values()], goal, at_hand)
    have = set(at_hand)
    for each in [] if isinstance(plan, Unreachable) else plan:
        assert have.issuperset(each.inputFacets)
        have.update(each.outputFacets)


def test_who_could_use_what_another_makes_waits_for_it() -> None:
    found = registry("a: y? -> x", "b: z? -> y", "c: -> z")
    assert ids(chain([*found.values()], ["x", "y", "z"], [])) == ["c", "b", "a"]


@settings(deadline=None)
@given(registries(), wanted, some)
def test_every_step_comes_after_those_that_can_help_it(
    found: Registry, goal: list[str], at_hand: list[str]
) -> None:
    plan = chain([*found.values()], goal, at_hand)
    if isinstance(plan, Unreachable):
        return
    waits_for: dict[str, list[str]] = {}
    for user in plan:
        needed = uses(user).difference(at_hand)
        makers = [maker for maker in plan if maker is not user and needed & makes(maker)]
        waits_for[user.capabilityId] = [maker.capabilityId for maker in makers]
    try:
        TopologicalSorter(waits_for).prepare()
    except CycleError:
        return
    have = set(at_hand)
    for user in plan:
        assert have.issuperset(
            facet
            for facet in user.optionalInputFacets
            for maker in plan
            if maker is not user and facet in makes(maker)
        )
        have |= makes(user)


def uses(each: Capability) -> set[str]:
    return {*each.inputFacets, *each.optionalInputFacets}


def makes(each: Capability) -> set[str]:
    return {*each.outputFacets}


@settings(deadline=None)
@given(registries(), wanted, some)
def test_optional_inputs_change_nothing_but_the_order(
    found: Registry, goal: list[str], at_hand: list[str]
) -> None:
    without = [each.but(optionalInputFacets=()) for each in found.values()]
    plan, plain = chain([*found.values()], goal, at_hand), chain(without, goal, at_hand)
    assert plan == plain or sorted(ids(plan)) == sorted(ids(plain))


@pytest.mark.parametrize(
    ("lines", "plan"),
    [
        (["a: -> x", "b: -> x"], ["a"]),
        (["b: -> x", "a: -> x"], ["b"]),
        (["a: y -> x", "b: z -> x", "c: -> z", "d: -> y"], ["d", "a"]),
        (["a: y -> x", "b: -> x", "c: -> y"], ["b"]),
    ],
)
def test_of_plans_of_one_size_that_of_the_first_registered_maker_is_taken(
    lines: list[str], plan: list[str]
) -> None:
    assert ids(chain([*registry(*lines).values()], ["x"], [])) == plan


def test_two_that_wait_for_each_other_need_a_third_and_nobody_else() -> None:
    found = registry("a: y -> x", "b: x -> y, z", "c: -> y", "idle: -> u")
    assert ids(chain([*found.values()], ["x", "z"], [])) == ["c", "a", "b"]


# At the start


@pytest.mark.parametrize(
    ("agents", "outputs", "named"),
    [
        (
            ["writer", "poet"],
            ["drafts"],
            "Unknown capability: poet. There are: strategist, writer, reviewer, publisher.",
        ),
        (
            None,
            ["published", "film"],
            "No allowed capability can make film of what is at hand: objective. Nobody makes film."
            " What can be made: brief, drafts, published, review.",
        ),
        (
            ["writer"],
            ["drafts"],
            "No allowed capability can make drafts of what is at hand: objective."
            " writer makes drafts, but needs brief, which only strategist makes, which is not"
            " allowed: give it as an input.",
        ),
    ],
)
def test_a_start_that_cannot_come_to_anything_is_refused(
    agents: list[str] | None, outputs: list[str], named: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_start(DESK, agents, outputs, [OBJECTIVE])
    assert refused.value.detail == named


@pytest.mark.parametrize(
    ("lines", "agents", "says"),
    [
        (
            ["sales.discount: price -> x"],
            None,
            "sales.discount makes x, but needs price, which nobody makes: give it as an input.",
        ),
        (
            ["a: y, n -> x", "b: z -> y"],
            None,
            "a makes x, but needs y and n, which nobody makes: give it as an input."
            " b makes y, but needs z, which nobody makes: give it as an input.",
        ),
        (["a: -> x", "b: -> y"], ["b"], "a makes x, but is not allowed."),
        (["a: -> y"], None, "Nobody makes x. What can be made: y."),
        (["a: q -> y"], None, "Nobody makes x. What can be made: nothing."),
        (
            ["a: y -> x", "b: x -> y"],
            None,
            "a makes x, but needs y. b makes y, but needs x, so each waits for the other:"
            " give one of them as an input.",
        ),
    ],
)
def test_a_refused_start_says_what_would_help(
    lines: list[str], agents: list[str] | None, says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_start(registry(*lines), agents, ["x"], [OBJECTIVE])
    head = "No allowed capability can make x of what is at hand: objective. "
    assert refused.value.detail == head + says


def test_what_makes_its_input_in_another_shape_is_named() -> None:
    found = registry("a: y -> x", "b: -> y")
    found = {**found, "a": found["a"].but(disagreesWith=("b",))}
    with pytest.raises(Invalid, match="What makes x needs a facet that others make in another"):
        check_start(found, None, ["x"], [OBJECTIVE])


def test_a_start_with_what_it_needs() -> None:
    check_start(DESK, ["writer"], ["drafts"], [OBJECTIVE, "brief"])


# A run on paper: the plan, and how its steps ended


def begun(
    found: Registry, *outputs: str, at_hand: Sequence[str] = (), agents: Sequence[str] | None = None
) -> Snapshot:
    settings = RunSettings(
        runId="run",
        threadId="thread",
        objective="Announce it",
        inputs=dict.fromkeys(at_hand, "given"),
        outputs=outputs,
        agents=None if agents is None else tuple(agents),
        maxHitlRequests=3,
    )
    state = Snapshot.first(settings)
    return planned(state, first_plan(best(build_task(state, found))))


def planned(state: Snapshot, plan: Plan | RunError) -> Snapshot:
    assert isinstance(plan, Plan), plan
    return state.but(plan=plan)


def replanned(state: Snapshot, found: Registry) -> Snapshot:
    return planned(state, revised(state, best(build_task(state, found))))


def step(state: Snapshot, step_id: str) -> Step:
    return next(each for each in steps(state) if each.stepId == step_id)


def steps(state: Snapshot) -> tuple[Step, ...]:
    return state.plan.steps if state.plan else ()


def with_report(
    state: Snapshot, step_id: str, outcome: Outcome = Outcome.COMPLETED, reason: str | None = None
) -> Snapshot:
    made = step(state, step_id).outputFacets if outcome is Outcome.COMPLETED else ()
    return state.but(
        reports=state.reports | {step_id: Report(outcome=outcome, reason=reason)},
        facets=state.facets
        | {name: Facet(value=f"by {step_id}", producedBy=step_id) for name in made},
    )


def completed(state: Snapshot, *step_ids: str) -> Snapshot:
    for step_id in step_ids:
        state = with_report(state, step_id)
    return state


def denied(state: Snapshot, step_id: str) -> Snapshot:
    return with_report(state, step_id, Outcome.DENIED, "too dear")


def failed(state: Snapshot, step_id: str) -> Snapshot:
    return with_report(state, step_id, Outcome.FAILED, "boom")


def with_answer(state: Snapshot, step_id: str, answer: Answer) -> Snapshot:
    it = step(state, step_id)
    request = HitlRequest(
        requestId=f"q{len(state.questions)}",
        runId="run",
        threadId="thread",
        stepId=step_id,
        originAgent=it.capabilityId,
        status=RequestStatus.RESOLVED,
        kind=Kind.FREEFORM,
        question="What should be different?",
        operatorPrompt="Answer",
        pendingNodeId=it.capabilityId,
        contractSummary=summary(f"{it.capabilityId}: -> x"),
    )
    asked = Asked(request=request, fingerprint="", keys=("k",), answer=answer)
    return state.but(questions=state.questions | {request.requestId: asked})


def guided(state: Snapshot, step_id: str) -> Snapshot:
    return with_answer(
        state, step_id, Answered(responseType=ResponseType.FREEFORM, freeformText="Shorter.")
    )


def shown(state: Snapshot) -> list[str]:
    """Each step as `id capability`, with what became of it."""
    became = {step_id: report.outcome for step_id, report in state.reports.items()}
    return [
        f"{each.stepId} {each.capabilityId} {became.get(each.stepId, each.status)}"
        for each in steps(state)
    ]


# Whatever becomes of the steps

fates = st.dictionaries(
    st.sampled_from([f"c{n}" for n in range(7)]), st.sampled_from([Outcome.DENIED, Outcome.FAILED])
)


def lived(
    found: Registry, goal: Sequence[str], at_hand: Sequence[str], fate: Mapping[str, Outcome]
) -> Iterator[Snapshot]:
    """The run at each of its plans, and at its end; a step ends as its capability's fate says, or
    well.
    """
    state = begun(found, *goal, at_hand=at_hand)
    yield state
    while ready := ready_steps(state):
        for each in ready:
            state = with_report(
                state, each.stepId, fate.get(each.capabilityId, Outcome.COMPLETED), "its fate"
            )
        if any(each.capabilityId in fate for each in ready):
            state = replanned(state, found)
            yield state
    yield state


lives = st.builds(lambda *told: [*lived(*told)], registries(), wanted, some, fates)


@settings(deadline=None)
@given(lives)
def test_a_revision_leaves_what_is_finished_alone_and_gives_every_step_its_own_name(
    life: list[Snapshot],
) -> None:
    for before, after in pairwise(life[:-1]):
        assert before.plan
        assert after.plan
        assert after.plan.version == before.plan.version + 1
        old = {each.stepId: each for each in steps(before)}
        new = {each.stepId: each for each in steps(after)}
        assert len(new) == len(steps(after))
        assert {step_id: new[step_id].capabilityId for step_id in old} == {
            step_id: each.capabilityId for step_id, each in old.items()
        }
        finished = [step_id for step_id in old if step_id in after.reports]
        assert [old[step_id] for step_id in finished] == [new[step_id] for step_id in finished]
        assert [
            each for each in steps(after) if each.status is StepStatus.SKIPPED and not each.reason
        ] == []


@settings(deadline=None)
@given(registries(), wanted, some, fates)
def test_a_run_ends_with_all_that_those_can_make_who_neither_failed_nor_were_denied(
    found: Registry, goal: list[str], at_hand: list[str], fate: dict[str, Outcome]
) -> None:
    *_, last = lived(found, goal, at_hand, fate)
    visited = [each.capabilityId for each in steps(last) if each.stepId in last.reports]
    assert len(visited) == len(set(visited))
    able = [each for name, each in found.items() if name not in fate or name not in visited]
    within_reach = reached(able, at_hand)
    assert {*ending(last, found).result.outputs} == {
        facet for facet in goal if facet in within_reach or facet in at_hand
    }


# After a denial or a failure


def test_what_a_denial_put_out_of_reach_is_skipped_with_the_reason() -> None:
    state = replanned(denied(completed(begun(DESK, "published"), "s1"), "s2"), DESK)
    assert shown(state) == [
        "s1 strategist completed",
        "s2 writer denied",
        "s3 reviewer skipped",
        "s4 publisher skipped",
    ]
    assert [step(state, each).reason for each in ("s3", "s4")] == [
        "needs drafts, which Writer did not make: too dear"
    ] * 2


def test_what_the_skipped_would_have_made_is_the_reason_for_the_next() -> None:
    found = registry("a: -> x", "b: x -> y", "c: y -> z")
    state = replanned(denied(begun(found, "z"), "s1"), found)
    assert step(state, "s3").reason == "needs y: needs x, which A did not make: too dear"


def test_another_that_makes_the_same_takes_the_place_of_the_denied() -> None:
    found = DESK | registry("ghostwriter: brief -> drafts")
    state = replanned(denied(completed(begun(found, "published"), "s1"), "s2"), found)
    assert shown(state) == [
        *("s1 strategist completed", "s2 writer denied"),
        *("s5 ghostwriter pending", "s3 reviewer pending", "s4 publisher pending"),
    ]
    assert [each.stepId for each in ready_steps(state)] == ["s5"]


def test_what_another_way_makes_needless_is_skipped_as_no_longer_needed() -> None:
    found = registry("a: -> x", "b: -> y", "c: x, y -> z", "d: y, u -> z", "e: -> u")
    state = replanned(denied(begun(found, "z"), "s1"), found)
    assert shown(state) == [
        "s1 a denied",
        "s3 c skipped",
        "s2 b pending",
        "s4 e pending",
        "s5 d pending",
    ]
    assert step(state, "s3").reason == "needs x, which A did not make: too dear"
    again = planned(state, revised(state, [found["c"]]))
    assert [each.reason for each in steps(again) if each.capabilityId in "be"] == [
        "no longer needed"
    ] * 2


def test_nobody_takes_over_who_disagrees_with_what_was_made() -> None:
    found = registry("a: -> x", "b: x -> y", "c: x -> y", "d: -> x")
    found["c"] = found["c"].but(disagreesWith=("a",))
    state = replanned(denied(completed(begun(found, "y"), "s1"), "s2"), found)
    assert shown(state) == ["s1 a completed", "s2 b denied"]
    assert ending(state, found).error is None


def test_what_finished_is_at_hand_though_its_agent_is_not_plugged_in_here() -> None:
    """Who drives a run has the agents of the steps to come; those before may be others'."""
    state = completed(begun(registry("a: -> x", "b: x -> y"), "y"), "s1")
    other = registry("b: x -> y")
    assert ids(best(build_task(state, other))) == ["b"]
    assert ending(completed(state, "s2"), registry("c: -> z")).error is None


def test_only_what_can_still_be_made_is_planned() -> None:
    found = registry("a: -> x", "b: -> y")
    state = replanned(denied(begun(found, "x", "y"), "s1"), found)
    assert shown(state) == ["s1 a denied", "s2 b pending"]


# Guidance: what is made again

REVIEWED = completed(begun(DESK, "published"), "s1", "s2", "s3")


def test_guidance_to_a_reviewer_has_the_drafts_written_and_reviewed_again() -> None:
    state = replanned(guided(REVIEWED, "s3"), DESK)
    assert shown(state) == [
        *("s1 strategist completed", "s2 writer completed", "s3 reviewer completed"),
        *("s5 writer pending", "s6 reviewer pending", "s4 publisher pending"),
    ]
    for each in ("s5", "s6", "s4"):
        assert [ready.stepId for ready in ready_steps(state)] == [each]
        state = completed(state, each)


@pytest.mark.parametrize(
    "answer", [Denied(reason="no"), Answered(responseType=ResponseType.APPROVAL, approved=True)]
)
def test_no_other_answer_to_a_reviewer_has_anything_made_again(answer: Answer) -> None:
    state = replanned(with_answer(REVIEWED, "s3", answer), DESK)
    assert shown(state) == [
        "s1 strategist completed",
        "s2 writer completed",
        "s3 reviewer completed",
        "s4 publisher pending",
    ]


def test_a_revision_in_the_middle_of_making_it_again_drops_none_of_it() -> None:
    rewritten = completed(replanned(guided(REVIEWED, "s3"), DESK), "s5")
    assert shown(replanned(rewritten, DESK)) == shown(rewritten)


def test_when_it_was_made_again_that_is_all() -> None:
    rewritten = completed(replanned(guided(REVIEWED, "s3"), DESK), "s5", "s6")
    assert shown(replanned(rewritten, DESK)) == shown(rewritten)


def test_guidance_to_the_second_review_has_it_made_a_third_time() -> None:
    rewritten = completed(replanned(guided(REVIEWED, "s3"), DESK), "s5", "s6")
    assert shown(replanned(guided(rewritten, "s6"), DESK))[-3:] == [
        "s7 writer pending",
        "s8 reviewer pending",
        "s4 publisher pending",
    ]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome.FAILED, RunError(message="Writer failed: too long", stepId="s5")),
        (Outcome.DENIED, None),
    ],
)
def test_what_was_to_be_made_again_and_was_not_is_not_published(
    outcome: Outcome, error: RunError | None
) -> None:
    state = with_report(replanned(guided(REVIEWED, "s3"), DESK), "s5", outcome, "too long")
    state = replanned(state, DESK)
    assert shown(state)[3:] == [
        f"s5 writer {outcome}",
        "s6 reviewer skipped",
        "s4 publisher skipped",
    ]
    assert step(state, "s4").reason == "needs drafts, which Writer did not make: too long"
    assert ending(state, DESK).error == error


def test_guidance_about_drafts_that_came_with_the_start_and_nobody_can_write_changes_nothing() -> (
    None
):
    state = guided(
        completed(begun(DESK, "review", at_hand=["drafts", "brief"], agents=["reviewer"]), "s1"),
        "s1",
    )
    state = replanned(state, DESK)
    assert shown(state) == ["s1 reviewer completed"]
    assert ending(state, DESK).error is None


# Limits


def test_a_plan_is_revised_ten_times_and_not_once_more() -> None:
    state = begun(DESK, "published")
    for _ in range(MAX_REVISIONS):
        state = replanned(state, DESK)
    assert revised(state, best(build_task(state, DESK))) == RunError(
        message="The plan was revised 10 times; it is not revised again."
    )


TOO_LONG = RunError(message="The plan would have more than 50 steps.")


def test_a_first_plan_has_at_most_fifty_steps() -> None:
    found = registry(*(f"c{n}: -> f{n}" for n in range(MAX_STEPS + 1)))
    chosen = [*found.values()]
    assert isinstance(first_plan(chosen[:MAX_STEPS]), Plan)
    assert first_plan(chosen) == TOO_LONG


def test_a_revised_plan_has_at_most_fifty_steps() -> None:
    found = registry(*(f"c{n}: -> f{n}" for n in range(MAX_STEPS + 1)))
    state = begun(found, *(f"f{n}" for n in range(MAX_STEPS - 1)))
    everything = [*found.values()]
    assert isinstance(revised(state, everything[:MAX_STEPS]), Plan)
    assert revised(state, everything) == TOO_LONG


# What somebody else proposes


@pytest.mark.parametrize(
    ("proposed", "refused"),
    [
        (["strategist", "writer", "reviewer", "publisher"], []),
        (
            ["strategist", "poet", "writer", "reviewer", "publisher"],
            ["poet is not an allowed capability, or was denied or failed"],
        ),
        (["writer", "strategist", "reviewer", "publisher"], ["nobody makes brief before writer"]),
        (["strategist", "writer"], ["nobody makes published"]),
        ([], ["nobody makes published"]),
        (
            ["strategist", "writer", "writer", "reviewer", "publisher"],
            ["a capability stands twice"],
        ),
    ],
)
def test_a_proposal(proposed: list[str], refused: list[str]) -> None:
    assert (
        problems(build_task(Snapshot.first(begun(DESK, "published").run), DESK), proposed)
        == refused
    )


def test_a_proposal_to_do_again_what_is_done() -> None:
    state = completed(begun(DESK, "published"), "s1", "s2")
    assert problems(build_task(state, DESK), ["writer", "reviewer", "publisher"]) == [
        "writer makes only what is at hand"
    ]


def test_a_proposal_to_do_again_what_is_to_be_done_again() -> None:
    assert (
        problems(build_task(guided(REVIEWED, "s3"), DESK), ["writer", "reviewer", "publisher"])
        == []
    )


def test_a_proposal_with_somebody_who_was_denied() -> None:
    state = denied(completed(begun(DESK, "published"), "s1"), "s2")
    assert problems(build_task(state, DESK), ["writer"]) == [
        "writer is not an allowed capability, or was denied or failed"
    ]
    assert problems(build_task(state, DESK), []) == []


# How a run ends

PAIR = registry("a: -> x", "b: x -> y", "c: -> z")


def test_all_that_was_wanted_was_made() -> None:
    assert ending(completed(begun(PAIR, "y"), "s1", "s2"), PAIR) == Ending.model_validate(
        {"result": {"outputs": {"y": "by s2"}}}
    )


def test_what_was_at_hand_is_handed_out() -> None:
    state = begun(PAIR, "x", at_hand=["x"])
    assert ending(state, PAIR).result.outputs == {"x": "given"}
    assert state.facets["x"].producedBy == INPUT


def test_somebody_said_no_and_the_run_completes_with_what_was_not_done() -> None:
    state = replanned(completed(denied(begun(PAIR, "y", "z"), "s1"), "s3"), PAIR)
    end = ending(state, PAIR)
    assert end.error is None
    assert end.result.outputs == {"z": "by s3"}
    assert end.result.notDone == (
        NotDone(stepId="s1", capabilityId="a", reason="too dear"),
        NotDone(stepId="s2", capabilityId="b", reason="needs x, which A did not make: too dear"),
    )


def test_a_step_failed_and_nothing_else_can_make_it() -> None:
    state = replanned(completed(failed(begun(PAIR, "y", "z"), "s1"), "s3"), PAIR)
    assert ending(state, PAIR).error == RunError(message="A failed: boom", stepId="s1")
    assert ending(state, PAIR).result.outputs == {"z": "by s3"}


def test_a_step_failed_and_another_made_it() -> None:
    found = PAIR | registry("d: -> x")
    state = completed(replanned(failed(begun(found, "y"), "s1"), found), "s3", "s2")
    assert ending(state, found).error is None
    assert ending(state, found).result.notDone == (
        NotDone(stepId="s1", capabilityId="a", reason="boom"),
    )


def test_one_failed_and_another_was_denied_and_either_could_have_made_it() -> None:
    found = registry("a: -> x", "b: -> x")
    state = replanned(denied(replanned(failed(begun(found, "x"), "s1"), found), "s2"), found)
    assert ending(state, found).error == RunError(message="A failed: boom", stepId="s1")


def test_one_failed_and_another_was_denied_and_both_were_wanted() -> None:
    found = registry("a: -> x", "b: -> y")
    state = replanned(denied(failed(begun(found, "x", "y"), "s1"), "s2"), found)
    assert ending(state, found).error == RunError(message="A failed: boom", stepId="s1")


def test_nobody_said_no_and_nobody_can_make_it() -> None:
    assert ending(begun(PAIR, "film"), PAIR).error == RunError(message="Nobody can make film.")


def test_one_failed_but_a_denial_alone_is_why_it_was_not_made() -> None:
    found = registry("a: -> x", "b: -> y", "c: x, y -> z")
    state = replanned(denied(failed(begun(found, "z"), "s1"), "s2"), found)
    assert ending(state, found).error is None
