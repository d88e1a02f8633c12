"""The contract's section 5: frames as server-sent events."""

import asyncio
import json

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.server.limits import Places
from hitl_orchestrator.server.sse import keep_alive, write_frames
from hitl_orchestrator.server.waiting import Waiting
from tests.api.calls import QUESTIONS, Json, answering, frames_of, is_problem, paused
from tests.processes import Running


async def test_a_runs_stream_starts_at_the_beginning_and_ends_with_the_run(
    api: httpx.AsyncClient,
) -> None:
    run = await paused(api, QUESTIONS["choice"])
    path = f"/api/runs/{run['runId']}/events"
    streaming = asyncio.create_task(api.get(path))
    await api.post("/api/hitl/resume", json=answering(run, selectedOptionId="a"))
    async with asyncio.timeout(20):
        stream = await streaming
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["X-Accel-Buffering"] == "no"
    frames = frames_of(stream.text)
    assert [frame["seq"] for frame in frames] == [*range(1, len(frames) + 1)]
    assert {frame["correlationId"] for frame in frames} == {run["runId"]}
    assert (frames[0]["type"], frames[-1]["type"]) == ("start", "complete")
    handoffs = [
        (frame["message"], frame["data"]["hitl"]["status"])
        for frame in frames
        if "hitl" in frame["data"]
    ]
    assert handoffs == [("requested", "pending"), ("occurred", "resolved")]

    after = await api.get(path, headers={"Last-Event-ID": str(frames[2]["seq"])})
    assert frames_of(after.text) == frames[3:]
    over = await api.get(path, headers={"Last-Event-ID": str(frames[-1]["seq"])})
    assert (over.status_code, over.text) == (204, "")


async def test_the_stream_of_a_cancelled_run_ends_with_the_reason(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "enough"})
    last = frames_of((await api.get(f"/api/runs/{run['runId']}/events")).text)[-1]
    assert last["type"] == "complete"
    assert last["data"].items() >= {"status": "cancelled", "reason": "enough"}.items()


async def test_a_last_event_that_is_none_does_not_fit(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    for last in ("", "x", "-1", "1.5", "9" * 30, "77", "٣"):
        for path in (f"/api/runs/{run['runId']}/events", "/api/hitl/events"):
            is_problem(await api.get(path, headers={b"Last-Event-ID": last.encode()}), 422)


def test_the_queues_stream_has_what_is_new_and_what_was_missed(live_server: Running) -> None:
    with live_server.client() as client:

        def start() -> Json:
            run: Json = client.post(
                "/api/runs?wait=20", json={"objective": "Announce release 2.0"}
            ).json()
            return run

        start()
        with client.stream("GET", "/api/hitl/events") as stream:
            run = start()
            frame = next(
                json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")
            )
        assert (frame["runId"], frame["message"]) == (run["runId"], "requested")
        missed = start()
        with client.stream(
            "GET", "/api/hitl/events", headers={"Last-Event-ID": str(frame["seq"])}
        ) as stream:
            lines = (line for line in stream.iter_lines() if line and line[0] != ":")
            assert next(lines) == f"id: {frame['seq'] + 1}"
            assert json.loads(next(lines)[6:])["runId"] == missed["runId"]


@pytest.mark.slow
async def test_a_quiet_stream_is_kept_alive_and_outlives_the_database() -> None:
    """Without a database: the wake-ups keep trying to listen, the reads fail for a while."""
    tries = 0

    async def read(after: int) -> list[Frame]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreUnavailable("away")
        return [Frame(7, {"seq": 7}, True)]

    waiting = Waiting(Wakeups("host=/nowhere", lambda _: None))
    stream = keep_alive(write_frames(waiting.follow("run_1", read, 0)), seconds=0.2)
    *comments, last = [event async for event in stream]
    assert last == b'id: 7\ndata: {"seq": 7}\n\n'
    assert len(comments) >= 3
    assert set(comments) == {b": keep-alive\n\n"}


async def test_streams_end_when_the_server_stops() -> None:
    waiting = Waiting(Wakeups("host=/nowhere", lambda _: None))

    async def read(after: int) -> list[Frame]:
        asyncio.get_running_loop().call_later(0.01, waiting.stop)
        return []

    async with asyncio.timeout(20):
        events = keep_alive(write_frames(waiting.follow(None, read, 0)))
        assert [event async for event in events] == [b": keep-alive\n\n"]


async def test_a_stream_says_something_at_once() -> None:
    """What stands between may keep the head of an answer until something follows."""
    waiting = Waiting(Wakeups("host=/nowhere", lambda _: None))

    async def read(after: int) -> list[Frame]:
        return []

    async with asyncio.timeout(20):
        events = keep_alive(write_frames(waiting.follow(None, read, 0)))
        assert await anext(events) == b": keep-alive\n\n"
        await events.aclose()


async def test_a_client_holds_only_so_many_streams() -> None:
    places = Places("event streams", 2)

    def request(host: str) -> Request:
        return Request({"type": "http", "client": (host, 1)})

    with places.taken_by(request("a")), places.taken_by(request("a")):
        with pytest.raises(HTTPException) as refused, places.taken_by(request("a")):
            pass
        assert (refused.value.status_code, "event streams" in refused.value.detail) == (503, True)
        with places.taken_by(request("b")):
            pass
    with places.taken_by(request("a")):
        pass
