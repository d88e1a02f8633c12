"""Checks against a schema that may take long: waited for in threads, beside the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hitl_orchestrator.domain.checking import Checked, CheckPending, Found, check_with_limit

T = TypeVar("T")

AT_ONCE = 2  # each takes a core for a second


class Checks:
    """The slow checks of a process: so many at once, the others wait."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._places = asyncio.Semaphore(at_once)

    async def settle(self, act: Callable[[Checked], Awaitable[T]]) -> T:
        """Do it, and again from its start once a check is done that it could not wait for.

        It is given the checks that are done, for `knowing`.
        """
        known: dict[str, Found] = {}
        while True:
            try:
                return await act(known)
            except CheckPending as check:
                given = check.given
            async with self._places:
                known[given] = await asyncio.to_thread(check_with_limit, given)
