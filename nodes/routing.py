"""Where a run goes from its state, and the graph's nodes, which say so with what they add to it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langgraph.graph import END
from langgraph.types import Command, Send

from hitl_orchestrator.domain.capability import Capability
from hitl_orchestrator.domain.plan import Step
from hitl_orchestrator.domain.progress import asking, is_judged, next_wave
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import RUN, Delta, Snapshot
from hitl_orchestrator.nodes.guard import judge_wave
from hitl_orchestrator.nodes.planner import Planner, report_handovers
from hitl_orchestrator.nodes.specialist import Pause, Visit, Work, build_visit, pay_visit

PLANNER, GUARD = "planner", "guard"

Goto = str | Sequence[Send]
Node = Callable[..., Awaitable[Command[Any]]]  # of the graph: the state, or a visit


def build_planner(planner: Planner) -> Node:
    """Return the node that every run begins at, and those that ask a model for a plan return to."""

    async def node(given: Any) -> Command[Any]:
        state = Snapshot.of(given)
        if not asking(state):
            return _go_on(state, await planner.think(state))
        # a run that a program before this one began (graph/earlier.py)
        judged = Delta() if is_judged(state) else judge_wave(state, planner.registry)
        return _go_on(state, judged)

    return node


def build_guard(planner: Planner) -> Node:
    """Return the node that ends a wave of several steps."""

    async def node(given: Any) -> Command[Any]:
        return await _judge_and_plan(planner, Snapshot.of(given), Delta())

    return node


def build_specialist(capability: Capability, work: Work, planner: Planner, pause: Pause) -> Node:
    """Return the node of one capability.

    A step that is alone in its wave sees the whole state: it is judged and planned on in its own
    superstep. One of several sees its visit, and the guard waits for all of them.
    """

    async def node(given: Any) -> Command[Any]:
        if RUN not in given:
            delta = await pay_visit(capability, work, Visit.read(given), pause)
            return Command(update={RUN: delta.write()}, goto=GUARD)
        state = Snapshot.of(given)
        visit = build_visit(state, _find_step(state, capability.capabilityId))
        delta = await pay_visit(capability, work, visit, pause)
        return await _judge_and_plan(planner, state, delta)

    return node


def _choose_nodes(state: Snapshot) -> Goto:
    """Return who goes on: who asks (to pause, or with a denial), else who can start."""
    if state.result:
        return END
    wave = _list_wave(state)
    if len(wave) == 1:
        return wave[0].capabilityId
    return [_send_visit(state, step) for step in wave] or PLANNER


async def _judge_and_plan(planner: Planner, state: Snapshot, delta: Delta) -> Command[Any]:
    after = state.after(delta)
    if asking(after):
        delta = delta.join(judge_wave(after, planner.registry))
    elif wave := next_wave(after):
        delta = delta.join(Delta(events=tuple(report_handovers(wave))))
    elif not planner.thinks_long(after):
        delta = delta.join(await planner.think(after))
    return _go_on(state, delta)


def _go_on(state: Snapshot, delta: Delta) -> Command[Any]:
    return Command(update={RUN: delta.write()}, goto=_choose_nodes(state.after(delta)))


def _list_wave(state: Snapshot) -> list[Step]:
    return [step for step, _ in asking(state)] or next_wave(state)


def _find_step(state: Snapshot, capability_id: str) -> Step:
    """Return its step of the wave: of one capability at most one step is open."""
    return next(step for step in _list_wave(state) if step.capabilityId == capability_id)


def _send_visit(state: Snapshot, step: Step) -> Send:
    visit: JsonObject = build_visit(state, step).json_object()
    return Send(step.capabilityId, visit)
