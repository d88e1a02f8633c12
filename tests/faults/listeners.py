"""Listeners of the whole queue that hang up now and then, and come back to any server."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from psycopg import AsyncConnection

from tests.faults.streams import list_frames
from tests.processes import API_KEY

MOST_FRAMES_A_CALL = 200
CATCH_UP_SECONDS = 20.0
_READ_SECONDS = 5.0  # of silence; then it asks another server
_RETRY_SECONDS = 0.1
# What a prune has deleted needs not have come.
NUMBERED = "SELECT queue_seq FROM run_events WHERE queue_seq IS NOT NULL"


@dataclass
class Listener:
    """`numbers`: of the frames that came, in the order in which they came."""

    servers: Sequence[str]
    numbers: list[int] = field(default_factory=list[int])
    surprises: list[str] = field(default_factory=list[str])

    async def listen(self) -> None:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(headers=headers, timeout=_READ_SECONDS) as client:
            while True:
                try:
                    await self._call(client)
                except httpx.TransportError:
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _call(self, client: httpx.AsyncClient) -> None:
        last = {"Last-Event-ID": str(self.numbers[-1] if self.numbers else 0)}
        url = f"{random.choice(self.servers)}/api/hitl/events"  # noqa: S311
        async with client.stream("GET", url, headers=last) as stream:
            if stream.status_code == 503:
                await asyncio.sleep(_RETRY_SECONDS)
                return
            if stream.status_code != 200:
                self.surprises.append(f"{url}: {stream.status_code}")
                await asyncio.sleep(_RETRY_SECONDS)
                return
            async with aclosing(list_frames(stream)) as frames:
                for _ in range(random.randint(1, MOST_FRAMES_A_CALL)):  # noqa: S311
                    if (frame := await anext(frames, None)) is None:
                        return
                    self.numbers.append(frame["seq"])

    def list_twice(self) -> list[int]:
        """Return what came again, or after what comes later."""
        pairs = zip(self.numbers, self.numbers[1:], strict=False)
        return [later for earlier, later in pairs if later <= earlier]


@asynccontextmanager
async def listening(servers: Sequence[str], number: int) -> AsyncGenerator[list[Listener]]:
    """That many, until the end."""
    listeners = [Listener(servers) for _ in range(number)]
    tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
    try:
        yield listeners
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def find_missed(database_url: str, listeners: Sequence[Listener]) -> list[int]:
    """Return what there is and has not come to each, after a while."""
    missed = set[int]()
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        for _ in range(int(CATCH_UP_SECONDS / _RETRY_SECONDS)):
            numbered = {row[0] for row in await (await conn.execute(NUMBERED)).fetchall()}
            missed = set[int]().union(*(numbered - {*each.numbers} for each in listeners))
            if not missed:
                break
            await asyncio.sleep(_RETRY_SECONDS)
    return sorted(missed)
