"""What a process must have to drive a run, and what it has: plain words that are compared.

A need is a capability's id, or `id@fingerprint`: the very graph in which a question waits. `run@2`
is the shape in which the state of a run that has begun is kept: a program of before cannot go on
from there.
"""

from collections.abc import Iterable
from typing import NamedTuple

from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.domain.plan import OPEN, Step
from hitl_orchestrator.domain.run import StoredRun
from hitl_orchestrator.domain.state import RUN, SHAPE, mark_shape


class Asker(NamedTuple):
    """Which agent asked, in which step. `fingerprint`: of its graph; empty: not known."""

    capability_id: str
    step_id: str
    fingerprint: str


def list_offers(registry: Registry) -> frozenset[str]:
    """Return what a process with these agents has."""
    graphs = {
        name_graph(name, mark_shape(capability.fingerprint))
        for name, capability in registry.items()
        if capability.fingerprint
    }
    return frozenset({*registry, *graphs, _name_shape()})


def list_needs(run: StoredRun, askers: Iterable[Asker]) -> frozenset[str]:
    """Return what the run needs from here. `askers`: those whose answers are not delivered.

    Nobody has all that a held run needs: somebody has to look whether it fits.
    """
    if run.ended:
        return frozenset()
    needs = set(list_capabilities(run))
    if run.plan is not None:
        needs.add(_name_shape())
    for asker in askers:
        if is_at_work(run, asker):
            needs.add(name_graph(asker.capability_id, asker.fingerprint))
    if run.held is not None:
        needs |= {run.held.capabilityId, name_graph(run.held.capabilityId, "")}
    return frozenset(needs)


def is_at_work(run: StoredRun, asker: Asker) -> bool:
    """Tell whether its step goes on. One that was refused may have ended without the answer."""
    return asker.step_id in {step.stepId for step in list_open_steps(run)}


def list_capabilities(run: StoredRun) -> list[str]:
    """Return the capabilities of the steps to come; before there is a plan, those noted."""
    if run.plan is None:
        return [need for need in run.needs if "@" not in need]
    return list(dict.fromkeys(step.capabilityId for step in list_open_steps(run)))


def list_open_steps(run: StoredRun) -> list[Step]:
    return [step for step in run.plan.steps if step.status in OPEN] if run.plan else []


def describe_missing(capability_id: str) -> str:
    return f"no agent {capability_id} is plugged in"


def name_graph(capability_id: str, fingerprint: str) -> str:
    return f"{capability_id}@{fingerprint}"


def _name_shape() -> str:
    return name_graph(RUN, SHAPE)
