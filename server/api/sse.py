"""Server-sent events, read from the table of frames. Nothing is buffered: what a reader does not
take is not read.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

from fastapi.responses import StreamingResponse

from hitl_orchestrator.checkpoints.store import Frame
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.server.waiting import Waiting

KEEP_ALIVE_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}

Read = Callable[[int], Awaitable[Sequence[Frame]]]  # the next frames after that number


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


async def events(
    waiting: Waiting,
    run_id: str | None,
    read: Read,
    after: int,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncGenerator[bytes]:
    """Of one run until its last frame, or of the queue, until the server stops. A database out of
    reach is waited for.
    """
    sent_at = monotonic()
    with waiting.subscribed(run_id) as touched:
        while not waiting.stopped:
            touched.clear()
            frames: Sequence[Frame] = ()
            with suppress(StoreUnavailable):
                # a reader who leaves must not break a connection of the pool
                frames = await asyncio.shield(read(after))
            for after, frame, is_last in frames:
                yield _event(after, frame)
                sent_at = monotonic()
                if is_last:
                    return
            if not frames:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0, sent_at + keep_alive_seconds - monotonic())):
                        await touched.wait()
                if monotonic() - sent_at >= keep_alive_seconds:
                    yield b": keep-alive\n\n"
                    sent_at = monotonic()


def _event(seq: int, frame: JsonObject) -> bytes:
    """No `event:` field, so that EventSource.onmessage sees every frame; a frame's JSON has no line
    breaks.
    """
    return f"id: {seq}\ndata: {json.dumps(frame, ensure_ascii=False)}\n\n".encode()
