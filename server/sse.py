"""Server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse

from hitl_orchestrator.server.feeds import Batch

KEEP_ALIVE_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-cache, no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def stream_events(frames: AsyncGenerator[Batch]) -> EventStream:
    return EventStream(write_events(frames), headers=HEADERS)


async def write_events(
    frames: AsyncGenerator[Batch], keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncGenerator[bytes]:
    """Write each frame as an event, and a comment after so many seconds without one.

    And one at once where no frame is at hand: nginx keeps the head of an answer over HTTP/2 to
    itself until something follows, and a browser does not know that it is connected.
    """
    coming = asyncio.ensure_future(anext(frames, None))
    patience_seconds = 0.0
    try:
        while True:
            await asyncio.wait([coming], timeout=patience_seconds)
            patience_seconds = keep_alive_seconds
            if not coming.done():
                yield b": keep-alive\n\n"
                continue
            batch = coming.result()
            if batch is None:
                return
            yield b"".join([frame.event for frame in batch])
            coming = asyncio.ensure_future(anext(frames, None))
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        await frames.aclose()
