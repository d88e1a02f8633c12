"""Plans: backwards over the contracts, from the wanted facets to those at hand.

And around what people and guards refused.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.chaining import Unreachable, chain, disagree, explain, reachable
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import Answered, ResponseType
from hitl_orchestrator.domain.outside import OUTSIDE
from hitl_orchestrator.domain.plan import MAX_REVISIONS, MAX_STEPS, Plan, Step, StepStatus
from hitl_orchestrator.domain.progress import is_open, questions_of
from hitl_orchestrator.domain.state import Ending, NotDone, Outcome, Result, RunError, Snapshot

_NOT_NEEDED = "no longer needed"


def allowed(
    registry: Registry, agents: Iterable[str] | None, without: Collection[str] = ()
) -> list[Capability]:
    everybody = (name for name in registry if name != OUTSIDE)  # that is no work to plan with
    names = set(everybody if agents is None else agents) - set(without)
    return [capability for capability in registry.values() if capability.capabilityId in names]


def check_start(
    registry: Registry,
    agents: Sequence[str] | None,
    outputs: Sequence[str],
    at_hand: Collection[str],
) -> list[Capability]:
    """Return the smallest plan for the outputs.

    Raise Invalid, naming the unknown capability or the facets that cannot be made.
    """
    if not outputs:
        makeable = dict.fromkeys(
            facet for capability in registry.values() for facet in capability.outputFacets
        )
        raise Invalid(
            "Name the facets you want in `outputs`: these agents have no default. "
            f"They make {', '.join(makeable)}."
        )
    if unknown := [name for name in agents or () if name not in registry]:
        raise Invalid(
            f"Unknown capability: {', '.join(unknown)}. There are: {', '.join(registry) or 'none'}."
        )
    capabilities = allowed(registry, agents)
    plan = chain(capabilities, outputs, at_hand)
    if isinstance(plan, Unreachable):
        raise Invalid(
            f"No allowed capability can make {', '.join(plan.facets)} "
            f"of what is at hand: {', '.join(sorted(at_hand))}. "
            + explain(plan, registry, capabilities, at_hand)
        )
    return plan


def first_plan(chosen: Sequence[Capability]) -> Plan | RunError:
    return _within_limits(
        Plan(
            version=1,
            steps=tuple(_step(f"s{n}", capability) for n, capability in enumerate(chosen, 1)),
        )
    )


class PlanningTask(NamedTuple):
    """What is still to be planned."""

    capabilities: list[Capability]  # those that were not denied and did not fail
    wanted: tuple[str, ...]
    at_hand: frozenset[str]


def build_task(state: Snapshot, registry: Registry) -> PlanningTask:
    refused = {
        step.capabilityId
        for step in _steps(state)
        if _outcome(state, step) in (Outcome.DENIED, Outcome.FAILED)
    }
    return PlanningTask(
        _able(state, registry, refused), state.run.outputs, _at_hand(state, registry)
    )


def build_retry_task(state: Snapshot, registry: Registry) -> PlanningTask:
    """Return what a retried run still has to do: whoever had begun is preferred to go on."""
    task = build_task(state, registry)
    begun = [step.capabilityId for step in _steps(state) if is_open(state, step)]
    places = {name: place for place, name in enumerate(begun)}
    ordered = sorted(task.capabilities, key=lambda one: places.get(one.capabilityId, len(begun)))
    return task._replace(capabilities=ordered)


def _able(state: Snapshot, registry: Registry, without: Collection[str]) -> list[Capability]:
    """Return those allowed, without some and without those that disagree with a finished step.

    Its agent may be plugged in elsewhere only: who drives has those of the steps to come.
    """
    finished = [
        registry[step.capabilityId]
        for step in _steps(state)
        if _outcome(state, step) is Outcome.COMPLETED and step.capabilityId in registry
    ]
    return [
        capability
        for capability in allowed(registry, state.run.agents, without)
        if not disagree(capability, finished)
    ]


def best(task: PlanningTask) -> list[Capability]:
    """Return the smallest plan for as many of the wanted facets as can still be made."""
    chosen, makeable = list[Capability](), list[str]()
    for facet in task.wanted:
        plan = chain(task.capabilities, [*makeable, facet], task.at_hand)
        if not isinstance(plan, Unreachable):
            chosen, makeable = plan, [*makeable, facet]
    return chosen


def problems(task: PlanningTask, proposed: Sequence[str]) -> list[str]:
    """Say what is wrong with a plan that somebody else proposed: capability ids in their order."""
    by_id, have, found = (
        {c.capabilityId: c for c in task.capabilities},
        set(task.at_hand),
        list[str](),
    )
    for name in proposed:
        if name not in by_id:
            found.append(f"{name} is not an allowed capability, or was denied or failed")
            continue
        if missing := sorted(set(by_id[name].inputFacets) - have):
            found.append(f"nobody makes {', '.join(missing)} before {name}")
        if task.at_hand.issuperset(by_id[name].outputFacets):
            found.append(f"{name} makes only what is at hand")
        have |= set(by_id[name].outputFacets)
    makeable = reachable(task.capabilities, task.at_hand)
    if missing := [facet for facet in task.wanted if facet in makeable and facet not in have]:
        found.append(f"nobody makes {', '.join(missing)}")
    known = [by_id[name] for name in proposed if name in by_id]
    found += [
        f"{c.capabilityId} cannot be with one that makes its input in another shape"
        for c in known
        if disagree(c, known)
    ]
    if len(proposed) != len(set(proposed)):
        found.append("a capability stands twice")
    return found


def revised(state: Snapshot, chosen: Sequence[Capability]) -> Plan | RunError:
    """Return the plan with `chosen` still to come.

    Finished steps stay as they are; what cannot or need not be done is skipped.
    """
    plan = state.plan or Plan(version=0, steps=())
    if plan.version - (state.run.retriedAt or 0) > MAX_REVISIONS:
        return RunError(
            message=f"The plan was revised {MAX_REVISIONS} times; it is not revised again."
        )
    pending = {step.capabilityId: step for step in plan.steps if is_open(state, step)}
    wanted = {capability.capabilityId for capability in chosen}
    kept = [
        _skipped(state, s) if is_open(state, s) else s
        for s in plan.steps
        if s.capabilityId not in wanted or not is_open(state, s)
    ]
    fresh = iter(range(len(plan.steps) + 1, len(plan.steps) + len(chosen) + 1))
    to_come = [pending.get(c.capabilityId) or _step(f"s{next(fresh)}", c) for c in chosen]
    return _within_limits(plan.but(version=plan.version + 1, steps=(*kept, *to_come)))


def _within_limits(plan: Plan) -> Plan | RunError:
    return (
        plan
        if len(plan.steps) <= MAX_STEPS
        else RunError(message=f"The plan would have more than {MAX_STEPS} steps.")
    )


def ending(state: Snapshot, registry: Registry) -> Ending:
    """Return what the run comes to when nothing is left to do."""
    not_done = [
        NotDone(
            stepId=step.stepId,
            capabilityId=step.capabilityId,
            reason=(report and report.reason) or step.reason or "not reached",
        )
        for step in _steps(state)
        if (report := state.reports.get(step.stepId)) is None
        or report.outcome in (Outcome.DENIED, Outcome.FAILED)
    ]
    outputs = {name: state.facets[name].value for name in state.run.outputs if name in state.facets}
    result = Result(outputs=outputs, notDone=tuple(not_done))
    at_hand = _at_hand(state, registry)
    missing = [name for name in state.run.outputs if name not in at_hand]
    return Ending(
        result=result, error=_failure(state, registry, at_hand, missing) if missing else None
    )


def _failure(
    state: Snapshot, registry: Registry, at_hand: Collection[str], missing: Sequence[str]
) -> RunError | None:
    """Return the failed step's error, if it is to blame.

    It is if, had it not failed, the missing facets could be made; else people or guards said
    no.
    """
    denied = {
        step.capabilityId for step in _steps(state) if _outcome(state, step) is Outcome.DENIED
    }
    others = _able(state, registry, denied)
    failed = [step for step in _steps(state) if _outcome(state, step) is Outcome.FAILED]
    if denied and all(
        isinstance(chain(others, [facet], at_hand), Unreachable) for facet in missing
    ):
        return None
    if failed:
        reason = state.reports[failed[0].stepId].reason
        return RunError(message=f"{failed[0].label} failed: {reason}", stepId=failed[0].stepId)
    return RunError(message=f"Nobody can make {', '.join(missing)}.")


def _at_hand(state: Snapshot, registry: Registry) -> frozenset[str]:
    """Return what was given or made, without what is to be made again.

    And could be, were nobody refused and did nobody fail.
    """
    made = frozenset(state.facets)
    stale = _to_rework(state, registry)
    return made - (stale & reachable(allowed(registry, state.run.agents), made - stale))


def _to_rework(state: Snapshot, registry: Registry) -> frozenset[str]:
    """Return the facets that a step reviewed, and its own, if a person gave it guidance.

    Without those that somebody has made anew since.
    """
    facets: set[str] = set()
    for step in _steps(state):
        if _outcome(state, step) is Outcome.COMPLETED:
            facets -= set(step.outputFacets)
        capability = registry.get(step.capabilityId)
        if capability and capability.reworks and _was_guided(state, step):
            facets |= {*capability.reworks, *capability.outputFacets}
    return frozenset(facets)


def _was_guided(state: Snapshot, step: Step) -> bool:
    answers = [asked.answer for asked in questions_of(state, step.stepId)]
    return any(isinstance(a, Answered) and a.responseType is ResponseType.FREEFORM for a in answers)


def _skipped(state: Snapshot, step: Step) -> Step:
    return step.but(status=StepStatus.SKIPPED, reason=_why_skipped(state, step))


def _why_skipped(state: Snapshot, step: Step) -> str:
    steps = _steps(state)
    before = steps[: steps.index(step)]
    for facet in step.inputFacets:
        maker = next((s for s in reversed(before) if facet in s.outputFacets), None)
        if maker is None or _outcome(state, maker) is Outcome.COMPLETED:
            continue
        report = state.reports.get(maker.stepId)
        if report and report.reason:
            return f"needs {facet}, which {maker.label} did not make: {report.reason}"
        if (why := maker.reason or _why_skipped(state, maker)) != _NOT_NEEDED:
            return f"needs {facet}: {why}"
    return _NOT_NEEDED


def _step(step_id: str, capability: Capability) -> Step:
    return Step(
        stepId=step_id,
        capabilityId=capability.capabilityId,
        label=capability.displayName,
        inputFacets=capability.inputFacets,
        optionalInputFacets=capability.optionalInputFacets,
        outputFacets=capability.outputFacets,
    )


def _steps(state: Snapshot) -> tuple[Step, ...]:
    return state.plan.steps if state.plan else ()


def _outcome(state: Snapshot, step: Step) -> Outcome | None:
    report = state.reports.get(step.stepId)
    return report.outcome if report else None
