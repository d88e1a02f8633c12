"""Streams of the real langgraph-sdk: cut, of a thread, and as a node of somebody's graph."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client
from typing_extensions import TypedDict

from tests.clients.queue import SEND, TEXT, Queue, asking
from tests.processes import API_KEY

Json = dict[str, Any]


class Scissors:
    """A proxy that cuts the first answers off, each behind so many bytes."""

    def __init__(self, url: str, cuts: list[int]) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 0
        self._cuts, self.connections = cuts, 0

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self._cuts.pop(0) if self._cuts else None
        there, to = await asyncio.open_connection(self._host, self._port)
        up = asyncio.create_task(self._copy(reader, to, None))
        await self._copy(there, writer, left)
        up.cancel()
        await asyncio.wait([up])
        to.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None
    ) -> None:
        while chunk := await reader.read(65536):
            chunk = chunk if left is None else chunk[:left]
            left = left if left is None else left - len(chunk)
            writer.write(chunk)
            await writer.drain()
            if left == 0:
                break
        writer.close()


@asynccontextmanager
async def cutting(url: str, *cuts: int) -> AsyncGenerator[tuple[Scissors, str]]:
    scissors = Scissors(url, [*cuts])
    server = await asyncio.start_server(scissors.pass_on, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield scissors, f"http://127.0.0.1:{port}/langgraph"


async def test_a_stream_that_is_cut_goes_on_where_it_was_and_decides_once(queue: Queue) -> None:
    run = queue.start(asking(SEND))
    resume = {run["pendingRequestId"]: {"decisions": [{"type": "approve"}]}}
    async with (
        cutting(queue.server.url, 900, 700, 2500) as (scissors, url),
        get_client(url=url, api_key=API_KEY) as sdk,
    ):
        parts = [
            part
            async for part in sdk.runs.stream(
                run["threadId"],
                "orchestrator",
                command={"resume": resume},
                stream_mode=["custom", "values"],
                stream_resumable=True,
            )
        ]
    assert scissors.connections > 1
    frames = [cast(Json, part.data)["seq"] for part in parts if part.event == "custom"]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    assert parts[-1].event == "end"
    done = queue.run(run["runId"])
    assert [one["action"] for one in done["metadata"]["auditLog"]].count("resume") == 1
    assert done["status"] == "completed"


async def test_a_thread_is_followed_and_answered_by_the_id_of_its_interrupt(queue: Queue) -> None:
    async with (
        get_client(url=queue.url, api_key=API_KEY) as sdk,
        sdk.threads.stream(assistant_id="orchestrator") as thread,
    ):
        await thread.run.start(input=asking(TEXT))
        async with asyncio.timeout(20):
            async for event in thread.subscribe(["input"]):
                assert event["method"] == "input.requested"
                break
            while not thread.interrupts:  # noqa: ASYNC110  # told by another stream of the SDK
                await asyncio.sleep(0.01)
        (asked,) = thread.interrupts
        await thread.run.respond("go on", interrupt_id=asked["interrupt_id"])
        output = await thread.output.with_timeout(20)
        assert output["result"]["outputs"]["answer"]["freeformText"] == "go on"
        stale = {"interrupt_id": asked["interrupt_id"], "response": "stay"}
        command = {"id": 7, "method": "input.respond", "params": stale}
        url = f"{queue.url}/threads/{thread.thread_id}/commands"
        async with httpx.AsyncClient(headers={"x-api-key": API_KEY}) as page:
            refused = (await page.post(url, json=command)).json()
            unknown = (await page.post(url, json={**command, "method": "state.fork"})).json()
    assert (refused["id"], refused["error"]) == (7, "no_such_interrupt")
    assert "not pending any more" in refused["message"]
    assert unknown["error"] == "not_supported"


async def test_an_id_of_nothing_is_no_answer_to_the_one_question(queue: Queue) -> None:
    run = queue.start(asking({"draft": "Dear all"}))  # any JSON would be an answer
    url = f"{queue.url}/threads/{run['threadId']}/commands"
    entry = {"interrupt_id": run["pendingRequestId"], "response": "yes"}
    async with httpx.AsyncClient(headers={"x-api-key": API_KEY}) as page:

        async def respond(*entries: Json) -> str:
            command = {"id": 1, "method": "input.respond", "params": {"responses": [*entries]}}
            return (await page.post(url, json=command)).json()["error"]

        assert await respond({**entry, "interrupt_id": "another"}) == "no_such_interrupt"
        assert await respond(entry, {**entry, "response": "no"}) == "invalid_argument"
    assert queue.request(entry["interrupt_id"])["status"] == "pending"


class State(TypedDict, total=False):
    objective: str
    inputs: Json
    outputs: list[str]
    result: Json


async def test_it_is_a_node_of_somebodys_graph(queue: Queue) -> None:
    config: Any = {"configurable": {"thread_id": "remote-1"}}
    async with get_client(url=queue.url, api_key=API_KEY) as sdk:
        remote = RemoteGraph("orchestrator", client=sdk)
        paused = cast(Json, await remote.ainvoke(asking(SEND), config))
        (asked,) = paused["__interrupt__"]
        assert asked["value"]["action_requests"][0]["name"] == "send"
        state = await remote.aget_state(config)
        assert [one.id for task in state.tasks for one in task.interrupts] == [asked["id"]]
        answer: Any = Command(resume={asked["id"]: {"decisions": [{"type": "reject"}]}})
        await remote.ainvoke(answer, config)
        assert queue.request(asked["id"])["answer"]["approved"] is False
        graph = StateGraph(State)
        graph.add_node("hitl", remote)
        graph.add_edge(START, "hitl")
        graph.add_edge("hitl", END)
        waiting = await graph.compile(InMemorySaver()).ainvoke(
            cast(State, asking(TEXT)), {"configurable": {"thread_id": "remote-2"}}
        )
    (asked,) = waiting["__interrupt__"]
    assert asked.value["action_requests"][0]["description"].startswith("What now?")
