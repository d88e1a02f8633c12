"""Agents in processes of their own: they register, take steps, keep them, and report.

The other side, of who drives, is `Assignments`. Both meet in the database, so that any server
serves any agent. See docs/agents-elsewhere.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from hitl_orchestrator.checkpoints import agents, assignments
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.assignments import (
    LOOK_SECONDS,
    AgentReport,
    Assignment,
    Registration,
    ReportedOutcome,
    ShownAgent,
)
from hitl_orchestrator.domain.errors import (
    ConfigurationError,
    Conflict,
    Invalid,
    NotFound,
    StoreUnavailable,
)
from hitl_orchestrator.domain.keys import Caller, Scope
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.nodes.elsewhere import read_registration
from hitl_orchestrator.server.roster import Roster

END_SECONDS = 0.5  # so often it is looked while the process ends
ROSTER = "agents elsewhere"  # what is waited for under that name: that some came or went


class PgAssignments:
    """Implements domain.assignments.Assignments.

    `wakeups`: set once there are any. `write_start`: as `Store.write_start`, of what this process
    drives; a step is a row of a run that is there.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ending = asyncio.Event()
        self.wakeups: Wakeups | None = None
        self.write_start: Callable[[str], Awaitable[None]] | None = None

    @property
    def is_ending(self) -> bool:
        return self._ending.is_set()

    def end(self) -> None:
        """Let nobody wait here any more."""
        self._ending.set()

    async def find(self, run_id: str, step_id: str) -> Assignment | None:
        async with connection(self._pool) as conn:
            return await assignments.find(conn, run_id, step_id)

    async def assign(self, assignment: Assignment) -> None:
        if self.write_start:
            await self.write_start(assignment.runId)
        async with connection(self._pool) as conn:
            await assignments.assign(conn, assignment)
        if self.wakeups:
            self.wakeups.tell(_name_steps(assignment.capabilityId))

    async def wait(self, assignment: Assignment) -> Assignment:
        """Return it once it was touched, when this process ends, or after LOOK_SECONDS."""
        run_id, step_id = assignment.runId, assignment.stepId
        if self.wakeups is None:
            raise StoreUnavailable("Nobody can be woken yet.")
        with self.wakeups.subscribed(_name_step(run_id, step_id)) as touched:
            found = await self.find(run_id, step_id)
            if found == assignment:
                if self.is_ending:  # something else of the run works on
                    await _wait_for(touched, seconds=END_SECONDS)
                else:
                    await _wait_for(touched, self._ending, seconds=LOOK_SECONDS)
                found = await self.find(run_id, step_id)
        if found is None:
            raise StoreUnavailable("The step is gone, with its run.")
        return found

    async def withdraw(self, assignment: Assignment, reason: str) -> None:
        async with connection(self._pool) as conn:
            await assignments.withdraw(conn, assignment, reason)


class StepRef(NamedTuple):
    """A step that an agent works on, by a token of its own."""

    capability_id: str
    run_id: str
    step_id: str
    token: str


class Elsewhere:
    """What agents in processes of their own may call. `report`: says anew what lives, at once."""

    def __init__(
        self, pool: Pool, wakeups: Wakeups, roster: Roster, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._pool = pool
        self._wakeups = wakeups
        self._roster = roster
        self._report = report

    async def list_agents(self) -> list[ShownAgent]:
        """Return all that have registered and were not forgotten."""
        async with connection(self._pool) as conn:
            return await agents.list_all(conn)

    async def register(
        self, capability_id: str, registration: Registration, home: str, caller: Caller
    ) -> None:
        """Take the agent into all plans from now on.

        Raise Invalid: it cannot be. Raise Conflict: the id is another's.
        """
        if self._roster.is_own(capability_id):
            raise Conflict(f"An agent of the server itself has the capabilityId {capability_id}.")
        try:
            self._roster.check(read_registration(capability_id, registration))
        except ConfigurationError as error:
            raise Invalid(error.detail) from error
        async with connection(self._pool) as conn:
            is_its_own = await agents.register(conn, capability_id, registration, home, caller.name)
        if not is_its_own:
            raise Conflict(
                f"Another key has registered an agent {capability_id}. Choose another id, or have"
                " that one forgotten (DELETE)."
            )
        await self._tell_of_agents()

    async def forget(self, capability_id: str, caller: Caller) -> None:
        """Plan with the agent no more. Raise NotFound."""
        async with connection(self._pool) as conn:
            is_there = await agents.forget(
                conn, capability_id, caller.name, of_any_key=caller.may(Scope.ADMIN)
            )
        if not is_there:
            raise _find_nothing(capability_id)
        await self._tell_of_agents()

    async def take(
        self, capability_id: str, home: str, token: str, caller: Caller, wait_seconds: float
    ) -> tuple[Assignment, bool] | None:
        """Return a step, and whether it was begun at that home before.

        None: within that time there is none. Raise NotFound: no such agent is registered.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        await self._keep_alive(capability_id, caller)
        with self._wakeups.subscribed(_name_steps(capability_id)) as touched:
            while True:
                touched.clear()
                async with connection(self._pool) as conn:
                    if taken := await assignments.take(conn, capability_id, home, token):
                        break
                if (left := until - loop.time()) <= 0:
                    return None
                await _wait_for(touched, seconds=min(left, LOOK_SECONDS))
        self._wakeups.tell(_name_step(taken[0].runId, taken[0].stepId))
        return taken

    async def keep(self, step: StepRef, progress: Sequence[Json], caller: Caller) -> None:
        """Raise Conflict: the step is somebody else's, or over. Raise NotFound as `take` does."""
        await self._keep_alive(step.capability_id, caller)
        await self._touch(step, lambda conn: assignments.keep(conn, *step, progress))
        if progress:
            self._wakeups.tell(_name_step(step.run_id, step.step_id))

    async def report(self, step: StepRef, said: AgentReport, caller: Caller) -> None:
        """Raise as `keep` does, or Invalid."""
        keys = [question.key for question in said.questions]
        if said.outcome is ReportedOutcome.ASKING and not keys:
            raise Invalid("Who is `asking` has `questions`.")
        if len({*keys}) < len(keys):
            raise Invalid("Two `questions` have the same `key`.")
        await self._keep_alive(step.capability_id, caller)
        await self._touch(step, lambda conn: assignments.report(conn, *step, said))
        self._wakeups.tell(_name_step(step.run_id, step.step_id))

    async def _touch(self, step: StepRef, act: Callable[[Connection], Awaitable[bool]]) -> None:
        async with connection(self._pool) as conn:
            is_its_own = await act(conn)
        if not is_its_own:
            raise Conflict(
                f"Step {step.step_id} of run {step.run_id} is not this token's any more."
            )

    async def _keep_alive(self, capability_id: str, caller: Caller) -> None:
        async with connection(self._pool) as conn:
            is_there = await agents.keep_alive(conn, capability_id, caller.name)
        if not is_there:
            raise _find_nothing(capability_id)

    async def _tell_of_agents(self) -> None:
        self._wakeups.tell(ROSTER)
        await self._report()


def _find_nothing(capability_id: str) -> NotFound:
    return NotFound(f"This key has registered no agent {capability_id}.")


def _name_steps(capability_id: str) -> str:
    return f"steps {capability_id}"


def _name_step(run_id: str, step_id: str) -> str:
    return f"step {run_id} {step_id}"


async def _wait_for(*events: asyncio.Event, seconds: float) -> None:
    """Wait until one of them is set, or so long."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
