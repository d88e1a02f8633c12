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
    return stream_chunks(write_frames(frames))


def stream_chunks(chunks: AsyncGenerator[bytes]) -> EventStream:
    """Send events that are written already."""
    return EventStream(keep_alive(chunks), headers=HEADERS)


async def keep_alive(
    chunks: AsyncGenerator[bytes], seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncGenerator[bytes]:
    """Hand events on, and send a comment after so many seconds without one.

    And one at once where none is at hand: nginx keeps the head of an answer over HTTP/2 to
    itself until something follows, and a browser does not know that it is connected.
    """
    coming = asyncio.ensure_future(anext(chunks, None))
    patience_seconds = 0.0
    try:
        while True:
            await asyncio.wait([coming], timeout=patience_seconds)
            patience_seconds = seconds
            if not coming.done():
                yield b": keep-alive\n\n"
                continue
            chunk = coming.result()
            if chunk is None:
                return
            yield chunk
            coming = asyncio.ensure_future(anext(chunks, None))
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        await chunks.aclose()


async def write_frames(frames: AsyncGenerator[Batch]) -> AsyncGenerator[bytes]:
    """Write each frame as an event."""
    try:
        async for batch in frames:
            yield b"".join([frame.event for frame in batch])
    finally:
        await frames.aclose()
