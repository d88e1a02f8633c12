"""The real langgraph-sdk, as people write with it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import (
    ConflictError,
    PermissionDeniedError,
    UnprocessableEntityError,
)
from langgraph_sdk.schema import StreamPart

from tests.api.test_keys import add_key
from tests.clients.conftest import ORIGIN
from tests.clients.queue import SEND, TEXT, THREE, Queue, asking
from tests.processes import API_KEY

Json = dict[str, Any]
APPROVE: Json = {"decisions": [{"type": "approve"}]}


def connect(queue: Queue, key: str = API_KEY) -> LangGraphClient:
    return get_client(url=queue.url, api_key=key)


@pytest.fixture(scope="module")
async def sdk(queue: Queue) -> AsyncGenerator[LangGraphClient]:
    async with connect(queue) as client:
        yield client


@pytest.fixture(scope="module")
async def ada(queue: Queue) -> AsyncGenerator[LangGraphClient]:
    """Whose key may decide."""
    async with connect(queue, await add_key(queue.database_url, "ada", "decide")) as client:
        yield client


async def wait(sdk: LangGraphClient, thread_id: str, graph: str, **body: Any) -> Json:
    return cast(Json, await sdk.runs.wait(thread_id, graph, **body))


async def stream(sdk: LangGraphClient, thread_id: str, graph: str, **body: Any) -> list[StreamPart]:
    parts = cast(AsyncIterator[StreamPart], sdk.runs.stream(thread_id, graph, **body))
    return [part async for part in parts]


async def test_a_run_is_started_pauses_and_goes_on_with_what_was_edited(
    queue: Queue, sdk: LangGraphClient
) -> None:
    thread = await sdk.threads.create()
    paused = await wait(sdk, thread["thread_id"], "orchestrator", input=asking(SEND))
    (asked,) = paused["__interrupt__"]
    (action,) = asked["value"]["action_requests"]
    assert (action["name"], action["args"]) == ("send", {"to": "all", "copies": 9})
    state = await sdk.threads.get_state(thread["thread_id"])
    assert [task["interrupts"] for task in state["tasks"]] == [[asked]]
    edited = {"name": "send", "args": {"to": "few", "copies": "7"}}
    resume = {asked["id"]: {"decisions": [{"type": "edit", "edited_action": edited}]}}
    done = await wait(sdk, thread["thread_id"], "orchestrator", command={"resume": resume})
    answer = done["result"]["outputs"]["answer"]
    assert answer["editedArguments"] == {"to": "few", "copies": 7}
    assert (await sdk.threads.get(thread["thread_id"]))["status"] == "idle"


async def test_a_question_is_a_thread_of_its_own_in_the_words_of_each_client(
    queue: Queue, sdk: LangGraphClient, ada: LangGraphClient
) -> None:
    run = queue.start(asking(SEND), metadata={"team": "red"})
    (found,) = await ada.threads.search(metadata={"graph_id": "questions", "team": "red"})
    assert found["thread_id"] == run["pendingRequestId"]
    assert found["status"] == "interrupted"
    ((interrupt,),) = found["interrupts"].values()
    (worded,) = interrupt["value"]
    assert worded["action_request"] == {"action": "send", "args": {"to": "all", "copies": 9}}
    assert worded["config"] == {
        "allow_accept": True, "allow_edit": True, "allow_respond": False, "allow_ignore": True,
    }  # fmt: skip
    parts = await stream(
        ada,
        found["thread_id"],
        "questions",
        command={"resume": [{"type": "accept", "args": None}]},
        stream_mode=["values", "custom", "updates"],
    )
    names = [part.event for part in parts]
    assert names[0] == "metadata"
    assert names[-1] == "end"
    assert all(part.id for part in parts)
    assert queue.run(run["runId"])["status"] == "completed"
    (entry,) = [
        one for one in queue.run(run["runId"])["metadata"]["auditLog"] if one["action"] == "resume"
    ]
    assert (entry["operator"]["id"], entry["key"]) == ("ada", "ada")


async def test_a_stale_click_decides_nothing_and_is_told_who_was_first(
    queue: Queue, sdk: LangGraphClient, ada: LangGraphClient
) -> None:
    run = queue.start(asking(SEND))
    thread_id = run["pendingRequestId"]
    await wait(ada, thread_id, "questions", command={"resume": [{"type": "ignore"}]})
    (error,) = await stream(sdk, thread_id, "questions", command={"resume": APPROVE})
    assert error.event == "error"
    assert "ada decided it at" in error.data["message"]
    with pytest.raises(ConflictError, match="ada decided it at"):
        await sdk.runs.create(thread_id, "questions", command={"resume": APPROVE})
    assert queue.request(thread_id)["answer"]["approved"] is False


async def test_a_resume_without_an_id_is_taken_only_where_one_question_can_be_meant(
    queue: Queue, sdk: LangGraphClient
) -> None:
    run = queue.start(THREE)
    first, second, third = [one["requestId"] for one in run["requests"]]
    thread_id = run["threadId"]
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.runs.create(thread_id, "orchestrator", command={"resume": "here"})
    for one in (first, second):
        queue.answer(run, one, freeformText="now")
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.runs.create(thread_id, "orchestrator", command={"resume": "here"})
    assert queue.request(third)["status"] == "pending"
    alone = queue.start(asking(TEXT))
    done = await wait(sdk, alone["threadId"], "orchestrator", command={"resume": "go on"})
    assert done["result"]["outputs"]["answer"]["freeformText"] == "go on"


async def test_a_click_on_the_question_of_an_earlier_run_decides_nothing(
    queue: Queue, sdk: LangGraphClient
) -> None:
    """A page shows it, somebody else decides it, and the thread's next run asks."""
    run = queue.start(asking(TEXT), threadId="a chat")
    queue.answer(run, run["pendingRequestId"], freeformText="by another")
    later = queue.start(asking(SEND), threadId="a chat")
    unnamed: list[Any] = [{"resume": APPROVE}, {"goto": "__end__"}]
    for command in unnamed:
        with pytest.raises(UnprocessableEntityError, match="say which"):
            await sdk.runs.create("a chat", "orchestrator", command=command)
    assert queue.run(later["runId"])["status"] == "awaiting_hitl"
    named = {later["pendingRequestId"]: APPROVE}
    done = await wait(sdk, "a chat", "orchestrator", command={"resume": named})
    assert done["result"]["outputs"]["answer"]["approved"] is True


async def test_marked_as_resolved_denies_that_one_of_several_questions_only(
    queue: Queue, sdk: LangGraphClient
) -> None:
    run = queue.start(THREE)
    first, second, third = [one["requestId"] for one in run["requests"]]
    await sdk.threads.update_state(second, None, as_node="__end__")
    assert queue.request(second)["denialReason"] == "Marked as resolved"
    assert [queue.request(one)["status"] for one in (first, third)] == ["pending", "pending"]
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.threads.update_state(run["threadId"], None, as_node="__end__")
    with pytest.raises(UnprocessableEntityError, match="written by runs alone"):
        await sdk.threads.update_state(first, {"facets": {}})


async def test_threads_are_found_by_status_what_was_noted_ids_and_place(
    queue: Queue, sdk: LangGraphClient
) -> None:
    runs = [queue.start(asking(TEXT), metadata={"batch": "b", "n": n}) for n in range(3)]
    again = queue.start(asking(TEXT), metadata={"batch": "b", "n": 9})
    queue.answer(again, again["pendingRequestId"], freeformText="done")
    thread_id = again["threadId"]
    queue.start(asking(TEXT), threadId=thread_id, metadata={"batch": "b", "n": 10})

    async def find(graph: str, **body: Any) -> list[Json]:
        metadata = {"graph_id": graph, "batch": "b", **body.pop("metadata", {})}
        return cast(list[Json], await sdk.threads.search(metadata=metadata, **body))

    threads = await find("orchestrator")
    assert [one["metadata"]["n"] for one in threads] == [10, 2, 1, 0], "a thread is its newest run"
    assert [one["metadata"]["n"] for one in await find("orchestrator", limit=2, offset=1)] == [2, 1]
    assert await find("orchestrator", status="idle") == []
    assert len(await find("questions")) == 5
    (over,) = await find("questions", status="idle")
    assert over["thread_id"] == again["pendingRequestId"]
    mine = await find("questions", metadata={"runId": runs[1]["runId"]})
    assert [one["thread_id"] for one in mine] == [runs[1]["pendingRequestId"]]
    ids = [runs[0]["pendingRequestId"]]
    assert [one["thread_id"] for one in await find("questions", ids=ids)] == ids
    assert await find("questions", metadata={"n": 1.5}) == []
    metadata = {"graph_id": "questions", "batch": "b"}
    assert await sdk.threads.count(metadata=metadata, status="interrupted") == 4
    with pytest.raises(UnprocessableEntityError, match="limit"):
        await sdk.threads.search(limit=1000)


async def test_a_key_does_what_its_scopes_cover(queue: Queue) -> None:
    run = queue.start(asking(TEXT))
    question = run["pendingRequestId"]
    async with connect(queue, await add_key(queue.database_url, "eve", "read")) as eve:
        assert (await eve.threads.get(question))["status"] == "interrupted"
        refused: list[Awaitable[object]] = [
            eve.runs.create(question, "questions", command={"resume": "yes"}),
            eve.runs.create(None, "orchestrator", input=asking(TEXT)),
            eve.threads.update_state(question, None, as_node="__end__"),
            eve.runs.cancel(run["threadId"], run["runId"]),
        ]
        await all_are_forbidden(refused)
    async with connect(queue, await add_key(queue.database_url, "bot", "ask")) as bot:
        mine = await bot.runs.create(None, "orchestrator", input=asking(TEXT))
        assert await bot.runs.join(mine["thread_id"], mine["run_id"])
        mine_id = mine["thread_id"]
        refused = [
            bot.threads.search(),
            bot.threads.get_state(question),
            bot.runs.get(run["threadId"], run["runId"]),
            bot.runs.create(mine_id, "orchestrator", command={"resume": "yes"}),
        ]
        await all_are_forbidden(refused)
    assert queue.request(question)["status"] == "pending"


async def all_are_forbidden(calls: list[Awaitable[object]]) -> None:
    came_to = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in came_to] == [PermissionDeniedError] * len(calls)


def test_without_a_key_only_what_says_that_it_is_there_is_open(queue: Queue) -> None:
    with httpx.Client(base_url=queue.url) as anybody:
        assert [anybody.get(path).status_code for path in ("/ok", "/info")] == [200, 200]
        assert anybody.post("/threads/search", json={}).status_code == 401
        assert anybody.get("/nothing").status_code == 401


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("interrupt_before", {"interrupt_before": ["guard"]}),
        ("webhook", {"webhook": "https://example.com"}),
        ("after_seconds", {"after_seconds": 5}),
        ("checkpoint_id", {"checkpoint_id": "1"}),
        ("multitask_strategy", {"multitask_strategy": "interrupt"}),
        ("goto", {"command": {"goto": "guard"}}),
        ("update", {"command": {"resume": "yes", "update": {"facets": {}}}}),
    ],
)
def test_what_is_not_offered_is_refused_by_name(queue: Queue, name: str, body: Json) -> None:
    run = queue.start(asking(TEXT))
    given = {"assistant_id": "orchestrator", "command": {"resume": "yes"}, **body}
    answer = httpx.post(
        f"{queue.url}/threads/{run['threadId']}/runs", json=given, headers={"x-api-key": API_KEY}
    )
    assert answer.status_code == 422
    assert name in answer.json()["detail"]
    assert queue.run(run["runId"])["status"] == "awaiting_hitl"


async def test_a_closed_tab_cancels_no_run(queue: Queue, sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    async for part in sdk.runs.stream(
        thread_id, "orchestrator", input=asking(TEXT), on_disconnect="cancel"
    ):
        assert part.event == "metadata"
        break
    found = await sdk.threads.get(thread_id)
    assert queue.run(str((found["metadata"] or {})["runId"]))["status"] == "awaiting_hitl"


def test_a_page_of_another_origin_may_call_where_the_settings_name_it(queue: Queue) -> None:
    wants = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    for url in (f"{queue.url}/threads/search", f"{queue.server.url}/api/runs"):
        asked = httpx.options(url, headers={"Origin": ORIGIN, **wants})
        assert asked.status_code == 200
        assert asked.headers["Access-Control-Allow-Origin"] == ORIGIN
        other = httpx.options(url, headers={"Origin": "http://evil.example.com", **wants})
        assert "Access-Control-Allow-Origin" not in other.headers
    headers = {"Origin": ORIGIN, "x-api-key": API_KEY}
    found = httpx.post(f"{queue.url}/threads/search", json={}, headers=headers)
    assert "Location" in found.headers["Access-Control-Expose-Headers"]
    page = httpx.get(f"{queue.server.url}/login", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in page.headers
