"""That something has changed, as it happens. The pages ask for what they show."""

from collections.abc import AsyncGenerator, Collection
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.server.feeds import Batch
from hitl_orchestrator.server.inbox.calls import PageRoute, TheOrchestrator, TheSession
from hitl_orchestrator.server.sse import stream_events

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
# While much happens all streams tell of it at the same moments: what all pages ask for then is
# asked for after the same news, and made once.
PAUSE_SECONDS = 0.25


async def _take_place(request: Request) -> AsyncGenerator[None]:
    with request.app.state.streams.taken_by(request):
        yield


@router.get("/news", dependencies=[Depends(_take_place)])
async def send_news(hitl: TheOrchestrator, session: TheSession) -> Response:
    """Send what changes in the queue from now on: which runs, and which questions are over.

    The first event says from where on. A browser that was away asks for everything it shows;
    nothing has to be sent again.
    """
    after = await hitl.last_queue_frame()
    return stream_events(_tell(hitl.queue_batches(after, PAUSE_SECONDS), after))


async def _tell(batches: AsyncGenerator[Batch], after: int) -> AsyncGenerator[Batch]:
    yield [Frame(after, _name_changed([]), is_last=False)]
    try:
        async for batch in batches:
            yield [Frame(batch[-1].seq, _name_changed(batch), is_last=False)]
    finally:
        await batches.aclose()


def _name_changed(frames: Collection[Frame]) -> JsonObject:
    bodies: list[Any] = [one.body for one in frames]
    questions = [one["data"]["hitl"] for one in bodies if "hitl" in one["data"]]
    over = [one["requestId"] for one in questions if one["status"] in ("resolved", "denied")]
    return {"runs": [*{one["runId"] for one in bodies}], "over": over}
