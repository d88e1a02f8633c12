"""An agent in a process of its own, as a specialist: it takes its steps from here, and reports.

What it reported stays with its step, so that a visit can be repeated after any crash. While it is
away its step waits, and the run is held. See docs/agents-elsewhere.md.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from langgraph.types import Interrupt

from hitl_orchestrator.domain.assignments import (
    AgentQuestion,
    AgentReport,
    Assignment,
    Assignments,
    Registration,
    ReportedOutcome,
    refuse,
    write_answer,
)
from hitl_orchestrator.domain.errors import Invalid, PutOff, StoreUnavailable, Unfit
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import Ask, Outcome, Report
from hitl_orchestrator.domain.time_limits import paused_time
from hitl_orchestrator.nodes.agents import Agent, read_agent
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.embed import report_visit
from hitl_orchestrator.nodes.exchange import read_asks, word_answers
from hitl_orchestrator.nodes.lines import find_lines
from hitl_orchestrator.nodes.outputs import report_outputs, shorten
from hitl_orchestrator.nodes.run_kinds import ElsewhereRun
from hitl_orchestrator.nodes.specialist import Answers, Task, Work
from hitl_orchestrator.nodes.time_limit import current_limit
from hitl_orchestrator.nodes.told import add_told, check_told
from hitl_orchestrator.nodes.wave import is_held_up

RETRY_SECONDS = 0.5
WITHDRAW_SECONDS = 1.0  # of patience: who works on what is over hears of it later, too
_OURS = {"canRefuse"}  # of a registration: not of a mapping


def describe_away(capability_id: str) -> str:
    return f"the agent {capability_id}, which runs in a process of its own, is away"


def read_registration(capability_id: str, given: Registration) -> Agent:
    """Return it as an agent that can be plugged in. Raise ConfigurationError."""
    described = {
        **given.model_dump(exclude=_OURS),
        "capabilityId": capability_id,
        "run": ElsewhereRun(),
    }
    if given.canRefuse:
        described["denied"] = refuse
    return read_agent(described, capability_id)


def embed_elsewhere(agent: Agent, assignments: Assignments, checks: Checks) -> Work:
    """Return what the agent does at a visit."""

    async def work(task: Task, answers: Answers) -> Report:
        return await report_visit(_ElsewhereVisit(agent, assignments, checks, task, answers))

    return work


class _ElsewhereVisit:
    """A visit of an agent that takes its steps from here."""

    def __init__(
        self, agent: Agent, assignments: Assignments, checks: Checks, task: Task, answers: Answers
    ) -> None:
        self._agent = agent
        self._assignments = assignments
        self._checks = checks
        self._task = task
        self.of = task, agent.capability.capabilityId
        self._answers = answers
        self._heard = 0  # the number of what it said last
        self.undelivered = [*answers]

    async def work(self) -> Report:
        """Have the agent go as far as it comes with these answers: to its questions or its end.

        Raise Unfit where it is away, RefusalNotAllowed when it would have to be told of a refusal
        and cannot be.
        """
        assignment = await self._begin()
        while True:
            check_told(assignment.told, self._answers)
            self.undelivered = [key for key in self._answers if key not in assignment.told]
            report = assignment.report
            if report is None:
                assignment = await self._wait(assignment)
            elif report.outcome is ReportedOutcome.FAILED:
                raised = not report.isFinal
                return Report(outcome=Outcome.FAILED, reason=shorten(report.reason), raised=raised)
            elif report.outcome is ReportedOutcome.COMPLETED:
                self._check_delivered([])
                made = report.output
                return await report_outputs(self._agent, made, self._checks, has_channels=False)
            else:
                following = self._answer(assignment, report)
                if not isinstance(following, Assignment):
                    return Report(outcome=Outcome.ASKING, asks=tuple(following))
                assignment = await self._assign(following)

    async def _begin(self) -> Assignment:
        """Return what the agent has of this step; what failed at a visit before is tried again."""
        found = await self._find()
        if found is None:
            run_id, step_id = self._task.runId, self._task.stepId
            task = self._task.json_object()
            return await self._assign(
                Assignment(runId=run_id, stepId=step_id, capabilityId=self.of[1], task=task)
            )
        return await self._assign(found.again()) if found.has_failed else found

    def _answer(self, assignment: Assignment, report: AgentReport) -> Assignment | list[Ask]:
        """Return what the agent is told; or the questions without an answer, and nothing is told.

        Not before all are answered: the others' nodes would run again.
        """
        asks = {each.key: read_asks(self._agent, _read(each)) for each in report.questions}
        waiting: list[Ask] = []
        for each in asks.values():
            waiting += each
        self._check_delivered(waiting)
        unanswered = [ask for ask in waiting if ask.key not in self._answers]
        if unanswered:
            return unanswered
        if all(ask.key in assignment.told for ask in waiting):
            raise Invalid("It asks again what it was answered, under the same key")
        told = {ask.key: self._answers[ask.key] for ask in waiting}
        answers: dict[str, JsonObject] = {}
        for question in report.questions:
            given = [self._answers[ask.key] for ask in asks[question.key]]
            worded = word_answers(self._agent, _read(question), given)
            answers[question.key] = write_answer(worded)
        return assignment.again().but(answers=answers, told={**add_told(assignment.told, told)})

    def _check_delivered(self, waiting: Sequence[Ask]) -> None:
        """Raise Invalid where an answer has no question any more."""
        keys = {ask.key for ask in waiting}
        if any(key not in keys for key in self.undelivered):
            raise Invalid(
                "It has gone on without the answer to a question of its own: whether it heard the"
                " answer that was given here is not known"
            )

    async def _assign(self, assignment: Assignment) -> Assignment:
        """Hand it out, unless another has; return what the agent has now."""
        with paused_time():
            while True:
                with suppress(StoreUnavailable):
                    await self._assignments.assign(assignment)
                    break
                await asyncio.sleep(RETRY_SECONDS)
        found = await self._find()
        if found is None:
            raise Invalid("Its run is gone")
        return found

    async def _find(self) -> Assignment | None:
        with paused_time():
            while True:
                with suppress(StoreUnavailable):
                    return await self._assignments.find(self._task.runId, self._task.stepId)
                await asyncio.sleep(RETRY_SECONDS)

    async def _wait(self, assignment: Assignment) -> Assignment:
        """Wait for news of it. Its time runs only while the agent works on it."""
        is_ending = self._assignments.is_ending
        if is_held_up(self._task.stepId, is_ending or not assignment.isAlive):
            if is_ending:
                raise PutOff("Its agent, which works elsewhere, is left to another process")
            raise Unfit(describe_away(self.of[1]), capabilityId=self.of[1])
        try:
            with nullcontext() if assignment.isTaken else paused_time():
                with suppress(StoreUnavailable):
                    assignment = await self._assignments.wait(assignment)
                    self._hear(assignment)
                    return assignment
                await asyncio.sleep(RETRY_SECONDS)
                return assignment
        except asyncio.CancelledError:
            # its time is over; else its agent works on, for whoever drives the run next
            if (limit := current_limit.get()) and limit.is_over:
                await self._withdraw(assignment, limit.tell_reason())
            raise

    async def _withdraw(self, assignment: Assignment, reason: str) -> None:
        """Take it from the agent, which hears of it when it says next that it works on it."""
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await self._assignments.withdraw(assignment, reason)

    def _hear(self, assignment: Assignment) -> None:
        """Tell what the agent said while it works."""
        lines = find_lines()
        if lines is not None and assignment.progressNumber != self._heard:
            for said in assignment.progress:
                lines.say(self._task.stepId, self.of[1], said)
        self._heard = assignment.progressNumber


def _read(question: AgentQuestion) -> Interrupt[object]:
    schema = question.responseSchema
    return Interrupt(value=question.value, id=question.key, response_schema=schema)
