"""A reader of event streams that hangs up again and again, and comes back with Last-Event-ID, to
any of the servers.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import httpx

from tests.faults.crowd import PATIENCE_SECONDS
from tests.processes import API_KEY

FRAMES_A_CALL = 4

Json = dict[str, Any]


async def watched(
    servers: Sequence[str], path: str, is_all: Callable[[list[Json]], bool], frames: list[Json]
) -> None:
    """Everything that a stream sends from its beginning, in its order, into `frames`. Each event's
    id is its frame's seq.
    """
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with (
        httpx.AsyncClient(headers=headers, timeout=20) as client,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        for server in itertools.cycle(servers):
            last = {"Last-Event-ID": str(frames[-1]["seq"] if frames else 0)}
            try:
                async with (
                    client.stream("GET", f"{server}{path}", headers=last) as stream,
                    aclosing(list_frames(stream)) as arriving,
                ):
                    for _ in range(FRAMES_A_CALL):
                        frames += [frame] if (frame := await anext(arriving, None)) else []
                        if is_all(frames):
                            return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def list_frames(stream: httpx.Response) -> AsyncGenerator[Json]:
    """Yield what a stream sends; each event's id is its frame's seq."""
    assert stream.status_code == 200, await stream.aread()
    identity = ""
    async for line in stream.aiter_lines():
        if line.startswith("id: "):
            identity = line.removeprefix("id: ")
        if line.startswith("data: "):
            frame = json.loads(line.removeprefix("data: "))
            assert identity == str(frame["seq"])
            yield frame
