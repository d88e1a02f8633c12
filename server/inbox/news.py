"""That something has changed, as it happens. The pages ask for what they show."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.server.feeds import Batch
from hitl_orchestrator.server.inbox.calls import PageRoute, TheOrchestrator, TheSession
from hitl_orchestrator.server.sse import stream_events

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)


async def _take_place(request: Request) -> AsyncGenerator[None]:
    with request.app.state.streams.taken_by(request):
        yield


@router.get("/news", dependencies=[Depends(_take_place)])
async def send_news(hitl: TheOrchestrator, session: TheSession) -> Response:
    """Send what changes in the queue from now on: the run, and the question that is over.

    A browser that was away asks for everything it shows; nothing has to be sent again.
    """
    after = await hitl.last_queue_frame()
    return stream_events(_shorten(hitl.queue_batches(after)))


async def _shorten(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    try:
        async for batch in batches:
            yield [Frame(one.seq, _name_changed(one.body), is_last=False) for one in batch]
    finally:
        await batches.aclose()


def _name_changed(body: Mapping[str, Any]) -> JsonObject:
    hitl = body["data"].get("hitl", {})
    is_over = hitl.get("status") in ("resolved", "denied")
    return {"run": body["runId"], "over": hitl["requestId"] if is_over else ""}
