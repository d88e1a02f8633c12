"""A failed run that begins again: what is kept of it, and what is done again.

Finished steps, answers and decisions stay. A step that failed is open again under its id, so that
its agent goes on from its own checkpoint.
"""

from collections.abc import Mapping

from hitl_orchestrator.domain.events import Cause
from hitl_orchestrator.domain.hitl import RequestStatus, Settled
from hitl_orchestrator.domain.plan import Plan, Step, StepStatus
from hitl_orchestrator.domain.progress import is_open
from hitl_orchestrator.domain.state import Asked, Outcome, Report, Snapshot

_KEPT = (Outcome.COMPLETED, Outcome.DENIED)


def rewind(state: Snapshot, settled: Mapping[str, Settled]) -> Snapshot:
    """Return the state of a failed run as it is to begin again.

    `settled`: how requests ended, as the rows have it.
    """
    reports = {name: report for name, report in state.reports.items() if report.outcome in _KEPT}
    questions = {name: _close(asked, settled.get(name)) for name, asked in state.questions.items()}
    return state.but(
        run=state.run.but(retriedAt=state.plan and state.plan.version),
        plan=state.plan and _unskip(state.plan, state.but(reports=reports)),
        reports=reports,
        questions=questions,
        result=None,
    )


def show_again(plan: Plan) -> Plan:
    """Return the plan as it is shown until the graph goes on: what failed is pending."""
    return plan.but(steps=tuple(_show_pending(step) for step in plan.steps))


def _unskip(plan: Plan, state: Snapshot) -> Plan:
    """Open what was skipped because of a failure; the planner skips again what is not needed.

    Of one capability at most one step is open: the planner knows open steps by their capability.
    """
    steps = list[Step]()
    taken = {step.capabilityId for step in plan.steps if is_open(state, step)}
    for step in reversed(plan.steps):
        if _was_skipped(step, state.reports) and step.capabilityId not in taken:
            taken.add(step.capabilityId)
            steps.append(step.but(status=StepStatus.PENDING, reason=None))
        else:
            steps.append(step)
    return plan.but(steps=tuple(reversed(steps)))


def _was_skipped(step: Step, reports: Mapping[str, Report]) -> bool:
    return step.status is StepStatus.SKIPPED and step.stepId not in reports


def _close(asked: Asked, settled: Settled | None) -> Asked:
    """Close a question that ended with its run: nobody decided it, and the agent asks it again.

    What was decided and not delivered goes on waiting, and is delivered.
    """
    if not asked.waits or settled is None or not settled.withRun:
        return asked
    reason = settled.answer.reason if settled.answer.status == "denied" else None
    request = asked.request.but(status=RequestStatus.DENIED, denialReason=reason)
    return asked.but(request=request, keys=(), cause=Cause.REMOVED)


def _show_pending(step: Step) -> Step:
    if step.status is not StepStatus.FAILED:
        return step
    return step.but(status=StepStatus.PENDING, reason=None)
