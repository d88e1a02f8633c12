"""How long an agent may work at a visit. Waiting for the memory does not count."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar

from hitl_orchestrator.domain.time_limits import limited_by


class VisitLimit:
    """Implements domain.time_limits.TimeLimit. Several may pause it side by side.

    `run_id`, `step_id` and `agent` say whose visit it is, to
    who watches the event loop from a thread. `blocked_at`: where the visit blocked the loop, by
    that thread; None: it did not.
    """

    def __init__(self, seconds: float, run_id: str, step_id: str, agent: str) -> None:
        self.run_id, self.step_id, self.agent = run_id, step_id, agent
        self.blocked_at: str | None = None
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._pauses = 0
        self._left: float | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the time has passed, also while the loop is blocked and nobody is told."""
        until = self._timeout.when()
        return until is not None and self._loop.time() >= until

    @asynccontextmanager
    async def limiting(self) -> AsyncGenerator[None]:
        """Raise TimeoutError when what is inside takes longer. Once only."""
        async with self._timeout:
            self._timeout.reschedule(self._loop.time() + self._seconds)
            token = current_limit.set(self)
            try:
                with limited_by(self):
                    yield
            finally:
                current_limit.reset(token)

    def tell_reason(self) -> str:
        """Say why a step failed whose time was over."""
        reason = f"took longer than its {self._seconds:g} seconds"
        if self.blocked_at is None:
            return reason
        return (
            f"{reason}, and blocked the event loop ({self.blocked_at}): what blocks belongs in a"
            " synchronous function (`def`), which runs in a thread of its own"
        )

    @contextmanager
    def pause(self) -> Generator[None]:
        if not self._pauses:
            self._stop()
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._go_on()

    def _stop(self) -> None:
        until = self._timeout.when()
        self._left = None if until is None else until - self._loop.time()
        self._reschedule(None)

    def _go_on(self) -> None:
        if self._left is not None:
            self._reschedule(self._loop.time() + self._left)

    def _reschedule(self, when: float | None) -> None:
        with suppress(RuntimeError):  # it is over: by its time, or since the visit has ended
            self._timeout.reschedule(when)


current_limit: ContextVar[VisitLimit | None] = ContextVar("visit_limit", default=None)
"""Of the visit that works in this context."""
