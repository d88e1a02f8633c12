"""What a run needs of who drives it, and what a process has of that: no database."""

from datetime import UTC, datetime

import pytest

from hitl_orchestrator.domain.needs import Asker, list_needs, list_offers
from hitl_orchestrator.domain.plan import Plan, Step, StepStatus
from hitl_orchestrator.domain.run import Held, RunStatus, StoredRun
from hitl_orchestrator.domain.state import RunSettings
from tests.contracts import registry

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SETTINGS = RunSettings(
    runId="run", threadId="thread", objective="o", outputs=("x",), maxHitlRequests=3
)
ASKER = Asker("a", "s_a", "f1")


def step(name: str, status: StepStatus) -> Step:
    return Step(stepId=f"s_{name}", capabilityId=name, label=name, status=status)


def run(*steps: Step, status: RunStatus = RunStatus.RUNNING, held: str | None = None) -> StoredRun:
    return StoredRun(
        settings=SETTINGS,
        status=status,
        plan=Plan(version=1, steps=steps) if steps else None,
        needs=("planned", "planned@f0"),
        held=Held(reason="r", capabilityId=held, since=NOW) if held else None,
        createdAt=NOW,
        updatedAt=NOW,
    )


A = step("a", StepStatus.AWAITING_HITL)
B = step("b", StepStatus.PENDING)
OVER = [
    step(status.value, status)
    for status in StepStatus
    if status.value not in ("pending", "running", "awaiting_hitl")
]


@pytest.mark.parametrize(
    ("stored", "askers", "needs"),
    [
        (run(), [], {"planned"}),
        (run(A, B, *OVER), [], {"run@2", "a", "b"}),
        (run(A, B), [ASKER], {"run@2", "a", "b", "a@f1"}),
        (run(A), [ASKER._replace(fingerprint="")], {"run@2", "a", "a@"}),
        (run(A), [ASKER, ASKER._replace(fingerprint="f2")], {"run@2", "a", "a@f1", "a@f2"}),
        (run(B, *OVER), [ASKER._replace(step_id="s_denied")], {"run@2", "b"}),
        (run(A, held="b"), [ASKER], {"run@2", "a", "a@f1", "b", "b@"}),
        (run(A, status=RunStatus.CANCELLED), [ASKER], set[str]()),
    ],
    ids=[
        "before there is a plan: what its start was planned with",
        "the agents of the steps to come",
        "the very graph in which a question waits",
        "one whose graph is not known has to be looked at",
        "two versions of one agent that both wait",
        "a step that ended without its answer needs nobody",
        "what is held has to be looked at",
        "an ended run needs nobody",
    ],
)
def test_what_a_run_needs(stored: StoredRun, askers: list[Asker], needs: set[str]) -> None:
    assert list_needs(stored, askers) == needs


def test_what_a_process_has() -> None:
    known = registry("a: objective -> x", "b: objective -> y")
    with_graph = {"a": known["a"].but(fingerprint="f1"), "b": known["b"]}
    offers = list_offers(with_graph)
    assert offers == {"a", "a@2:f1", "b", "run@2"}
    assert list_needs(run(A, B), [ASKER._replace(fingerprint="2:f1")]) <= offers
    assert not list_needs(run(A, B), [ASKER._replace(fingerprint="")]) <= offers
    assert not list_needs(run(A, held="a"), [ASKER]) <= offers
