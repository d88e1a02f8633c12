"""One reader for all who listen: each gets everything once, and nobody waits for the slow."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.server.feeds import FRAMES_AT_ONCE, Batch
from hitl_orchestrator.server.waiting import Waiting

LAST = 10 * FRAMES_AT_ONCE


class Table:
    """Frames with gaps in their numbers, and how often they were read."""

    def __init__(self) -> None:
        self.reads = 0
        self.frames: list[Frame] = []

    def add(self, seq: int) -> None:
        self.frames.append(Frame(seq, {"seq": seq}, seq == 3 * LAST))

    async def read(self, after: int) -> Batch:
        self.reads += 1
        await asyncio.sleep(0)
        return [frame for frame in self.frames if frame.seq > after][:FRAMES_AT_ONCE]


async def numbers_of(stream: AsyncGenerator[Batch], pause_seconds: float = 0) -> list[int]:
    got: list[int] = []
    async for batch in stream:
        got += [frame.seq for frame in batch]
        await asyncio.sleep(pause_seconds)
    return got


@pytest.mark.slow
async def test_each_listener_gets_everything_once_and_the_table_is_read_for_all() -> None:
    table, wakeups = Table(), Wakeups("host=/nowhere", lambda _: None)
    waiting = Waiting(wakeups)
    quick = [
        asyncio.create_task(numbers_of(waiting.follow("run", table.read, 0))) for _ in range(100)
    ]
    slow = asyncio.create_task(numbers_of(waiting.follow("run", table.read, 0), 0.3))
    await asyncio.sleep(0.05)
    table.reads = 0
    for seq in range(1, LAST + 1):
        table.add(3 * seq)
        wakeups.wake("run")
        await asyncio.sleep(0.001)
    async with asyncio.timeout(20):
        for got in await asyncio.gather(*quick):
            assert got == [frame.seq for frame in table.frames]
        assert not slow.done()
        assert await slow == [frame.seq for frame in table.frames]
    assert table.reads < LAST  # not once for each of the hundred


async def test_what_comes_within_the_pause_is_handed_to_all_together() -> None:
    table, wakeups = Table(), Wakeups("host=/nowhere", lambda _: None)
    waiting = Waiting(wakeups)
    streams = [waiting.follow(None, table.read, 0, pause_seconds=0.3) for _ in range(2)]

    async def add(*numbers: int) -> None:
        for number in numbers:
            table.add(number)
            wakeups.wake("run")
            await asyncio.sleep(0.01)

    async def take_one(stream: AsyncGenerator[Batch]) -> list[int]:
        return [frame.seq for frame in await anext(stream)]

    async def take() -> list[list[int]]:
        return await asyncio.gather(*[take_one(stream) for stream in streams])

    taking = asyncio.create_task(take())
    await asyncio.sleep(0.05)
    await add(1)
    async with asyncio.timeout(0.2):
        assert await taking == [[1], [1]], "at once after a quiet moment"
    taking = asyncio.create_task(take())
    await add(2, 3, 4)
    async with asyncio.timeout(2):
        assert await taking == [[2, 3, 4]] * 2
    for stream in streams:
        await stream.aclose()
