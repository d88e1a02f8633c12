"""How many runs a process drives at once, and when it should look for more."""

import asyncio


class RunPlaces:
    """At most so many. Who finds none leaves the run to others, and is told when one is free."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._is_short = False  # a run may wait for a place of this process
        self._should_look = asyncio.Event()

    @property
    def free(self) -> int:
        return max(self._most - self._taken, 0)

    def has_one(self) -> bool:
        """Tell whether one is free. If not, it is looked for runs once one is."""
        self._is_short = self._is_short or not self.free
        return self.free > 0

    def take(self) -> bool:
        """Take one. Return whether there was one."""
        if not self.has_one():
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        self._taken -= 1
        if self._is_short:
            self._is_short = False
            self.look()

    def expect_more(self) -> None:
        """Look again as soon as a place is free: there may be more runs than there were places."""
        if self.has_one():
            self.look()

    def look(self) -> None:
        """Let it be looked for runs that nobody drives, at once."""
        self._should_look.set()

    async def wait(self) -> None:
        """Wait until it should be looked for runs, and a place is free."""
        while True:
            await self._should_look.wait()
            self._should_look.clear()
            if self.has_one():
                return
