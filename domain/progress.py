"""How far a run is, read off its state.

What is ready, what each step's status is, what there is to think about again.
"""

from collections.abc import Sequence

from hitl_orchestrator.domain.plan import OPEN, Plan, Step, StepStatus
from hitl_orchestrator.domain.state import Ask, Asked, Outcome, Snapshot

_STATUS_OF = {
    Outcome.COMPLETED: StepStatus.COMPLETED,
    Outcome.DENIED: StepStatus.DENIED,
    Outcome.FAILED: StepStatus.FAILED,
}


def ready_steps(state: Snapshot) -> list[Step]:
    """Return the steps that can start.

    They were never visited, have every input at hand, and nothing before them would still make
    one of their inputs.
    """
    if state.plan is None:
        return []
    ready: list[Step] = []
    to_come: set[str] = set()  # facets that an unfinished earlier step makes
    for step in state.plan.steps:
        unfinished = is_open(state, step)
        if unfinished and step.stepId not in state.reports:
            wanted = {*step.inputFacets, *step.optionalInputFacets}
            if all(name in state.facets for name in step.inputFacets) and not wanted & to_come:
                ready.append(step)
        if unfinished:
            to_come |= set(step.outputFacets)
    return ready


def is_open(state: Snapshot, step: Step) -> bool:
    report = state.reports.get(step.stepId)
    return step.status is not StepStatus.SKIPPED and (
        report is None or report.outcome is Outcome.ASKING
    )


def asking(state: Snapshot) -> list[tuple[Step, tuple[Ask, ...]]]:
    """Return the steps whose last visit ended with questions, in the order of the plan."""
    if state.plan is None:
        return []
    reports = [(step, state.reports.get(step.stepId)) for step in state.plan.steps]
    return [
        (step, report.asks)
        for step, report in reports
        if report and report.outcome is Outcome.ASKING
    ]


def is_judged(state: Snapshot) -> bool:
    """Tell whether the guard has seen all that is asked."""
    known = {key for asked in state.questions.values() for key in asked.keys}
    return all(ask.key in known for _, asks in asking(state) for ask in asks)


def to_consider(state: Snapshot) -> list[str]:
    """Return what makes the planner think: ids of settled requests, failed and denied steps."""
    settled = [
        a.request.requestId for a in state.questions.values() if not a.waits and a.repeats is None
    ]
    refused = [
        step_id
        for step_id, report in state.reports.items()
        if report.outcome in (Outcome.FAILED, Outcome.DENIED)
    ]
    return [*settled, *refused]


def next_wave(state: Snapshot) -> list[Step]:
    """Return what can start without thinking.

    Nobody asks, and nothing happened since the plan was made that changes it.
    """
    return (
        []
        if asking(state) or set(to_consider(state)) - set(state.considered)
        else ready_steps(state)
    )


def plan_with_statuses(state: Snapshot, *, running: bool = True) -> Plan | None:
    """Return the plan as it is shown.

    `running`: whether ready steps are at work, or the run has stopped.
    """
    if state.plan is None:
        return None
    at_work = {step.stepId for step in ready_steps(state)} if running else set[str]()
    return state.plan.but(
        steps=tuple(_with_status(state, step, at_work) for step in state.plan.steps)
    )


def stopped(plan: Plan, reason: str) -> Plan:
    """Return the plan of a run that was cancelled or failed: what was still open is skipped."""
    steps = (
        s.but(status=StepStatus.SKIPPED, reason=reason) if s.status in OPEN else s
        for s in plan.steps
    )
    return plan.but(steps=tuple(steps))


def _with_status(state: Snapshot, step: Step, at_work: set[str]) -> Step:
    report = state.reports.get(step.stepId)
    if report and report.outcome is not Outcome.ASKING:
        return step.but(status=_STATUS_OF[report.outcome], reason=report.reason)
    if any(asked.waits for asked in questions_of(state, step.stepId)):
        return step.but(status=StepStatus.AWAITING_HITL)
    if report or step.stepId in at_work:
        return step.but(status=StepStatus.RUNNING)
    return step


def questions_of(state: Snapshot, step_id: str) -> list[Asked]:
    return [asked for asked in state.questions.values() if asked.request.stepId == step_id]


def last_denial(questions: Sequence[Asked]) -> str | None:
    """Return why the last of them that was refused was refused; None: none was."""
    for asked in reversed(questions):
        if asked.refusal is not None:
            return asked.refusal
    return None
