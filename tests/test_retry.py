"""What a retried run begins with; and a run that broke while a question waited."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from langgraph.runtime import RunControl

from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import ClaimInline
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    Answered,
    HitlResponse,
    Kind,
    Question,
    ResponseType,
)
from hitl_orchestrator.domain.plan import Plan, Step, StepStatus
from hitl_orchestrator.domain.ports import Claim, RunRef
from hitl_orchestrator.domain.retry import rewind
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.domain.state import Ask, Outcome, Report, RunSettings, Snapshot
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.build import Graph, assemble
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.specialist import Answers, Task, Work
from tests.contracts import registry

SETTINGS = RunSettings(
    runId="run", threadId="thread", objective="o", outputs=("x", "y"), maxHitlRequests=9
)
REGISTRY = registry("a: objective -> x", "b: objective -> y")


def step(name: str, capability: str, status: str = "pending") -> Step:
    return Step(stepId=name, capabilityId=capability, label=name, status=StepStatus(status))


def failed(*steps: Step, **outcomes: str) -> Snapshot:
    return Snapshot(
        run=SETTINGS,
        plan=Plan(version=4, steps=steps),
        reports={name: Report(outcome=Outcome(outcome)) for name, outcome in outcomes.items()},
    )


def test_finished_and_denied_steps_stay_and_failed_ones_are_open_again() -> None:
    state = failed(
        step("s1", "a"), step("s2", "b"), step("s3", "c"), s1="completed", s2="denied", s3="failed"
    )
    again = rewind(state, {})
    assert {*again.reports} == {"s1", "s2"}
    assert again.plan == state.plan
    assert (again.run.retriedAt, again.result) == (4, None)


def test_what_was_skipped_is_open_again_but_one_step_of_a_capability_at_most() -> None:
    state = failed(
        step("s1", "a"),
        step("s2", "b", "skipped"),
        step("s3", "c", "skipped"),
        step("s4", "c", "skipped"),
        step("s5", "a", "skipped"),
        s1="failed",
    )
    again = rewind(state, {})
    assert again.plan is not None
    statuses = {each.stepId: each.status.value for each in again.plan.steps}
    assert statuses == {
        "s1": "pending",
        "s2": "pending",
        "s3": "skipped",
        "s4": "pending",
        "s5": "skipped",
    }


@dataclass
class Driver:
    """`broken`: whether the second of two that ask raises past its node, as a defect would."""

    store: Store
    graph: Graph
    broken: list[bool] = field(default_factory=lambda: [True])
    got: list[str] = field(default_factory=list[str])

    async def drive(self, claims: list[Claim]) -> Run:
        await drive(self.graph, self.store, claims[0], RunControl())
        return await self.store.show(RunRef("run"))

    async def start(self) -> Run:
        async with self.store.transaction() as tx:
            await runs.start(tx, REGISTRY, SETTINGS, {})
        return await self.drive(tx.claims)

    async def answer(self, question: str, text: str) -> Run:
        run = await self.store.show(RunRef("run"))
        asked = [each for each in run.requests if each.question == question]
        response = HitlResponse(
            requestId=asked[-1].requestId, responseType=ResponseType.FREEFORM, freeformText=text
        )
        async with self.store.transaction() as tx:
            await runs.answer(tx, RunRef("run"), asked[-1].requestId, [response], NOBODY)
        return await self.drive(tx.claims)

    async def retry(self) -> Run:
        async with self.store.transaction() as tx:
            await runs.retry(tx, RunRef("run"), NOBODY)
        return await self.drive(tx.claims)


@pytest.fixture
async def driver(database_url: str) -> AsyncGenerator[Driver]:
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool, keeps_history=False)
        await migrate(pool, saver)
        store = Store(pool, saver, ClaimInline("driver", 30), lambda run, happened: None)
        broken, got = [True], list[str]()

        def ask(name: str, facet: str, breaks: bool) -> Work:
            async def work(task: Task, answers: Answers) -> Report:
                answer = answers.get(name)
                if answer is None:
                    question = Question(question=f"{name}?", kind=Kind.FREEFORM)
                    return Report(outcome=Outcome.ASKING, asks=(Ask(key=name, question=question),))
                assert isinstance(answer, Answered)
                if breaks and broken[0]:
                    raise RuntimeError("a defect")
                got.append(f"{name} {answer.freeformText}")
                return Report(outcome=Outcome.COMPLETED, facets={facet: answer.freeformText})

            return work

        works = {"a": ask("a", "x", False), "b": ask("b", "y", True)}
        yield Driver(store, assemble(REGISTRY, works, saver), broken, got)


async def test_what_waited_when_the_run_broke_is_asked_again_and_what_was_answered_is_not(
    driver: Driver,
) -> None:
    await driver.start()
    run = await driver.answer("b?", "yes")
    assert (run.status, [request.status for request in run.requests]) == (
        "failed",
        ["denied", "resolved"],
    )
    driver.broken[0] = False
    run = await driver.retry()
    assert (run.status, driver.got) == ("awaiting_hitl", ["b yes"])
    assert [(each.question, each.status, each.attempt) for each in run.requests] == [
        ("a?", "denied", 1),
        ("b?", "resolved", 1),
        ("a?", "pending", 2),
    ]
    assert run.requests[1].deliveredAt is not None
    run = await driver.answer("a?", "now")
    assert (run.status, driver.got) == ("completed", ["b yes", "a now"])


async def test_a_run_that_broke_again_is_failed_again(driver: Driver) -> None:
    await driver.start()
    await driver.answer("b?", "yes")
    run = await driver.retry()
    assert (run.status, driver.got) == ("failed", [])
    driver.broken[0] = False
    run = await driver.retry()
    assert (run.status, driver.got) == ("awaiting_hitl", ["b yes"])
