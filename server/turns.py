"""Whose turn it is to sweep: of several processes behind one socket, one at a time."""

import asyncio


class Turns:
    """Stands in for the pause between two sweeps."""

    def __init__(self) -> None:
        self._comes = asyncio.Event()

    def come(self) -> None:
        """Wake who waits now. Who is still at its last turn has this one with it."""
        self._comes.set()
        self._comes.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until the turn comes: the parent counts the seconds, for all of its processes."""
        await self._comes.wait()
