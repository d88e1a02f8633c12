"""The planner: an objective and contracts -> a plan.

It revises the plan after answers, denials and failures, and finishes the run.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from hitl_orchestrator.domain import events, planning
from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.events import Event, Phase
from hitl_orchestrator.domain.plan import Plan, Step
from hitl_orchestrator.domain.progress import plan_with_statuses, ready_steps, to_consider
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import Ending, Result, RunError, Snapshot, State
from hitl_orchestrator.nodes.specialist import Node


class Proposal(NamedTuple):
    """Capability ids in order, or None and why there are none."""

    capability_ids: list[str] | None
    why: str = ""


Propose = Callable[[Snapshot, planning.PlanningTask], Awaitable[Proposal]]


def build_planner(registry: Registry, propose: Propose | None = None) -> Node:
    """Return the planner's node; `propose` may ask a model."""

    async def node(state_json: State) -> dict[str, Any]:
        state = Snapshot.of(state_json)
        considered = to_consider(state)
        happened: list[Event] = []
        is_retry = _is_retry(state)
        if state.plan is None or is_retry or set(considered) - set(state.considered):
            # who had begun goes on: no model is asked for another plan
            asked = None if is_retry else propose
            plan, happened = await _think(state, considered, registry, asked)
            if isinstance(plan, RunError):
                ending = Ending(result=Result(outputs={}), error=plan)
                return _build_writes(state, considered, ending, happened)
            state = state.but(plan=plan)
        ready = ready_steps(state)
        if not ready:
            happened.append(_enter(Phase.FINALIZATION))
            ending = planning.ending(state, registry)
            return _build_writes(state, considered, ending, happened)
        if happened:
            happened.append(_enter(Phase.EXECUTION))
        return _build_writes(state, considered, None, [*happened, *report_handovers(ready)])

    return node


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
    state: Snapshot, considered: list[str], registry: Registry, propose: Propose | None
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


def _build_writes(
    state: Snapshot, considered: list[str], ending: Ending | None, happened: list[Event]
) -> dict[str, Any]:
    return {
        "plan": state.plan and state.plan.json_object(),
        "considered": considered,
        "result": ending and ending.json_object(),
        "events": [event.json_object() for event in happened],
    }


def _enter(phase: Phase) -> Event:
    return Event(
        kind=events.EventKind.PHASE_ENTERED, message=phase.value, data={"phase": phase.value}
    )


def _report_plan(state: Snapshot, plan: Plan, considered: list[str]) -> Event:
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
