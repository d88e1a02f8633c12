"""The planner: an objective and contracts -> a plan.

It revises the plan after answers, denials and failures, and finishes the run.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain import events, planning
from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.events import Event, Phase
from hitl_orchestrator.domain.plan import Plan, Step
from hitl_orchestrator.domain.progress import plan_with_statuses, ready_steps, to_consider
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import Delta, Ending, Result, RunError, Snapshot


class Proposal(NamedTuple):
    """Capability ids in order, or None and why there are none."""

    capability_ids: list[str] | None
    why: str = ""


Propose = Callable[[Snapshot, planning.PlanningTask], Awaitable[Proposal]]


class Planner(NamedTuple):
    """`propose` may ask a model, which takes its time; None: it never does."""

    registry: Registry
    propose: Propose | None = None

    def thinks_long(self, state: Snapshot) -> bool:
        return self.propose is not None and _has_to_think(state) and not _is_retry(state)

    async def think(self, state: Snapshot) -> Delta:
        """Return the next version of the plan, if there has to be one; or how the run ends."""
        happened: list[Event] = []
        considered = tuple(to_consider(state))
        if _has_to_think(state):
            # who had begun goes on: no model is asked for another plan
            propose = None if _is_retry(state) else self.propose
            plan, happened = await _think(state, considered, self.registry, propose)
            if isinstance(plan, RunError):
                ending = Ending(result=Result(outputs={}), error=plan)
                return Delta(considered=considered, result=ending, events=tuple(happened))
            state = state.but(plan=plan)
        ready = ready_steps(state)
        ending = None
        if not ready:
            happened.append(_enter(Phase.FINALIZATION))
            ending = planning.ending(state, self.registry)
        elif happened:
            happened.append(_enter(Phase.EXECUTION))
        events_ = (*happened, *report_handovers(ready))
        return Delta(plan=state.plan, considered=considered, result=ending, events=events_)


def _has_to_think(state: Snapshot) -> bool:
    is_news = bool(set(to_consider(state)) - set(state.considered))
    return state.plan is None or is_news or _is_retry(state)


def _is_retry(state: Snapshot) -> bool:
    """Tell whether the run was retried, and the plan has not been looked at since."""
    return state.plan is not None and state.plan.version == state.run.retriedAt


def report_handovers(steps: Sequence[Step]) -> list[Event]:
    return [
        Event(
            kind=events.EventKind.STEP_HANDED_OVER,
            message=f"{step.label} starts",
            stepId=step.stepId,
            data={"from": "planner", "to": step.capabilityId, "stepId": step.stepId},
        )
        for step in steps
    ]


async def _think(
    state: Snapshot, considered: Sequence[str], registry: Registry, propose: Propose | None
) -> tuple[Plan | RunError, list[Event]]:
    """Return the first plan, or the next version of it, or why there is none; and what happened."""
    first = state.plan is None
    build_task = planning.build_retry_task if _is_retry(state) else planning.build_task
    task = build_task(state, registry)
    chosen, warnings = await _choose(state, task, propose)
    plan = planning.first_plan(chosen) if first else planning.revised(state, chosen)
    happened = [_enter(Phase.PLANNING if first else Phase.REVIEW), *warnings]
    if not isinstance(plan, RunError):
        happened.append(_report_plan(state, plan, considered))
    return plan, happened


async def _choose(
    state: Snapshot, task: planning.PlanningTask, propose: Propose | None
) -> tuple[list[Capability], list[Event]]:
    """Let a model propose; the same check as for any plan disposes.

    Without one, or when it was refused: the smallest plan.
    """
    if propose is None or not task.capabilities:
        return planning.best(task), []
    proposed, why = await propose(state, task)
    problems = [why] if proposed is None else planning.problems(task, proposed)
    if proposed is not None and not problems:
        by_id = {capability.capabilityId: capability for capability in task.capabilities}
        return [by_id[name] for name in proposed], []
    message = f"The model's plan was refused: {'; '.join(problems)}"
    warning = Event(kind=events.EventKind.WARNED, message=message, data={"from": "planner"})
    return planning.best(task), [warning]


def _enter(phase: Phase) -> Event:
    return Event(
        kind=events.EventKind.PHASE_ENTERED, message=phase.value, data={"phase": phase.value}
    )


def _report_plan(state: Snapshot, plan: Plan, considered: Sequence[str]) -> Event:
    reasons = [_explain(state, one) for one in considered if one not in state.considered]
    if _is_retry(state):
        reasons.insert(0, "the run is retried")
    reason = "; ".join(reasons) or "the first plan"
    shown = plan_with_statuses(state.but(plan=plan), running=False) or plan
    data: JsonObject = {
        "previousVersion": state.plan.version if state.plan else 0,
        "version": plan.version,
        "steps": [step.json_object() for step in shown.steps],
        "reason": reason,
    }
    return Event(
        kind=events.EventKind.PLAN_REVISED,
        message=f"plan version {plan.version}: {reason}",
        data=data,
    )


def _explain(state: Snapshot, considered: str) -> str:
    """Say what a settled request, or a step that failed or was denied, came to."""
    if asked := state.questions.get(considered):
        if asked.refusal is not None:
            return f"denied: {asked.refusal}"
        return f"{asked.request.originAgent} was answered"
    return f"{considered} {state.reports[considered].outcome}: {state.reports[considered].reason}"
