"""The planner: an objective and contracts -> a plan; revises it after answers, denials and
failures; finishes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from hitl_orchestrator.domain import events, planning
from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.events import Event, Phase
from hitl_orchestrator.domain.hitl import Denied
from hitl_orchestrator.domain.plan import Plan, Step
from hitl_orchestrator.domain.progress import plan_with_statuses, ready_steps, to_consider
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import Ending, Result, RunError, Snapshot, State
from hitl_orchestrator.nodes.specialist import Node


class Proposal(NamedTuple):
    """Capability ids in order, or None and why there are none."""

    capability_ids: list[str] | None
    why: str = ""


Propose = Callable[[Snapshot, planning.Task], Awaitable[Proposal]]


def planner(registry: Registry, propose: Propose | None = None) -> Node:
    async def node(state_json: State) -> dict[str, Any]:
        state = Snapshot.of(state_json)
        first, considered = state.plan is None, to_consider(state)
        happened: list[Event] = []
        if first or set(considered) - set(state.considered):
            happened.append(_phase(Phase.PLANNING if first else Phase.REVIEW))
            task = planning.task(state, registry)
            chosen, warnings = await _chosen(state, task, propose)
            plan = planning.first_plan(chosen) if first else planning.revised(state, chosen)
            if isinstance(plan, RunError):
                return _writes(
                    state,
                    considered,
                    Ending(result=Result(outputs={}), error=plan),
                    [*happened, *warnings],
                )
            happened += [*warnings, _revised(state, plan, considered)]
            state = state.but(plan=plan)
        if ready := ready_steps(state):
            return _writes(
                state,
                considered,
                None,
                [*happened, *([_phase(Phase.EXECUTION)] if happened else []), *handed_over(ready)],
            )
        return _writes(
            state,
            considered,
            planning.ending(state, registry),
            [*happened, _phase(Phase.FINALIZATION)],
        )

    return node


def handed_over(steps: Sequence[Step]) -> list[Event]:
    return [
        Event(
            kind=events.Kind.STEP_HANDED_OVER,
            message=f"{step.label} starts",
            stepId=step.stepId,
            data={"from": "planner", "to": step.capabilityId, "stepId": step.stepId},
        )
        for step in steps
    ]


async def _chosen(
    state: Snapshot, task: planning.Task, propose: Propose | None
) -> tuple[list[Capability], list[Event]]:
    """A model may propose; the same check as for any plan disposes. Without one, or when it was
    refused: the smallest plan.
    """
    if propose is None or not task.capabilities:
        return planning.best(task), []
    proposed, why = await propose(state, task)
    problems = [why] if proposed is None else planning.problems(task, proposed)
    if proposed is not None and not problems:
        by_id = {capability.capabilityId: capability for capability in task.capabilities}
        return [by_id[name] for name in proposed], []
    message = f"The model's plan was refused: {'; '.join(problems)}"
    return planning.best(task), [
        Event(kind=events.Kind.WARNED, message=message, data={"from": "planner"})
    ]


def _writes(
    state: Snapshot, considered: list[str], ending: Ending | None, happened: list[Event]
) -> dict[str, Any]:
    return {
        "plan": state.plan and state.plan.json_object(),
        "considered": considered,
        "result": ending and ending.json_object(),
        "events": [event.json_object() for event in happened],
    }


def _phase(phase: Phase) -> Event:
    return Event(kind=events.Kind.PHASE_ENTERED, message=phase.value, data={"phase": phase.value})


def _revised(state: Snapshot, plan: Plan, considered: list[str]) -> Event:
    reason = (
        "; ".join(_why(state, one) for one in considered if one not in state.considered)
        or "the first plan"
    )
    shown = plan_with_statuses(state.but(plan=plan), running=False) or plan
    data: JsonObject = {
        "previousVersion": state.plan.version if state.plan else 0,
        "version": plan.version,
        "steps": [step.json_object() for step in shown.steps],
        "reason": reason,
    }
    return Event(
        kind=events.Kind.PLAN_REVISED, message=f"plan version {plan.version}: {reason}", data=data
    )


def _why(state: Snapshot, considered: str) -> str:
    if asked := state.questions.get(considered):
        if isinstance(asked.answer, Denied) or asked.answer is None:
            return f"denied: {asked.answer.reason if asked.answer else asked.request.denialReason}"
        return f"{asked.request.originAgent} was answered"
    return f"{considered} {state.reports[considered].outcome}: {state.reports[considered].reason}"
