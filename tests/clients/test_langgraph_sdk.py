"""The real langgraph-sdk, as people write with it."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import (
    ConflictError,
    UnprocessableEntityError,
)

from tests.api.test_keys import add_key
from tests.clients.conftest import Hitl
from tests.processes import API_KEY

Json = dict[str, Any]
SEND: Json = {
    "question": "Send it?",
    "kind": "approval",
    "action": {"name": "send", "arguments": {"to": "all", "copies": 9}},
}
TEXT: Json = {"question": "What now?", "kind": "freeform"}
APPROVE: Json = {"decisions": [{"type": "approve"}]}
ASK: Json = {"objective": "Ask", "inputs": {"question": SEND}, "outputs": ["answer"]}
THREE: Json = {"objective": "Survey", "outputs": ["survey"]}


def connect(hitl: Hitl, key: str = API_KEY) -> LangGraphClient:
    return get_client(url=f"{hitl.server.url}/langgraph", api_key=key)


@pytest.fixture(scope="module")
async def sdk(hitl: Hitl) -> AsyncGenerator[LangGraphClient]:
    async with connect(hitl) as client:
        yield client


@pytest.fixture(scope="module")
async def ada(hitl: Hitl) -> AsyncGenerator[LangGraphClient]:
    """Whose key may decide."""
    async with connect(hitl, await add_key(hitl.database_url, "ada", "decide")) as client:
        yield client


async def test_a_run_is_started_pauses_and_goes_on_with_what_was_edited(
    hitl: Hitl, sdk: LangGraphClient
) -> None:
    thread = await sdk.threads.create()
    paused: Any = await sdk.runs.wait(thread["thread_id"], "orchestrator", input=ASK)
    (asked,) = paused["__interrupt__"]
    (action,) = asked["value"]["action_requests"]
    assert (action["name"], action["args"]) == ("send", {"to": "all", "copies": 9})
    state = await sdk.threads.get_state(thread["thread_id"])
    assert [task["interrupts"] for task in state["tasks"]] == [[asked]]
    edited = {"name": "send", "args": {"to": "few", "copies": "7"}}
    resume = {asked["id"]: {"decisions": [{"type": "edit", "edited_action": edited}]}}
    done: Any = await sdk.runs.wait(thread["thread_id"], "orchestrator", command={"resume": resume})
    answer = done["result"]["outputs"]["answer"]
    assert answer["editedArguments"] == {"to": "few", "copies": 7}
    assert (await sdk.threads.get(thread["thread_id"]))["status"] == "idle"


async def test_a_question_is_a_thread_of_its_own_in_the_words_of_each_client(
    hitl: Hitl, sdk: LangGraphClient, ada: LangGraphClient
) -> None:
    run = hitl.start(SEND, metadata={"team": "red"})
    (found,) = await ada.threads.search(metadata={"graph_id": "questions", "team": "red"})
    assert found["thread_id"] == run["pendingRequestId"]
    assert found["status"] == "interrupted"
    ((interrupt,),) = found["interrupts"].values()
    (worded,) = interrupt["value"]
    assert worded["action_request"] == {"action": "send", "args": {"to": "all", "copies": 9}}
    assert worded["config"] == {
        "allow_accept": True, "allow_edit": True, "allow_respond": False, "allow_ignore": True,
    }  # fmt: skip
    parts = [
        part
        async for part in ada.runs.stream(
            found["thread_id"],
            "questions",
            command={"resume": [{"type": "accept", "args": None}]},
            stream_mode=["values", "custom", "updates"],
        )
    ]
    names = [part.event for part in parts]
    assert names[0] == "metadata"
    assert names[-1] == "end"
    assert all(part.id for part in parts)
    assert hitl.run(run["runId"])["status"] == "completed"
    (entry,) = [
        one for one in hitl.run(run["runId"])["metadata"]["auditLog"] if one["action"] == "resume"
    ]
    assert (entry["operator"]["id"], entry["key"]) == ("ada", "ada")


async def test_a_stale_click_decides_nothing_and_is_told_who_was_first(
    hitl: Hitl, sdk: LangGraphClient, ada: LangGraphClient
) -> None:
    run = hitl.start(SEND)
    thread_id = run["pendingRequestId"]
    await ada.runs.wait(thread_id, "questions", command={"resume": [{"type": "ignore"}]})
    parts = [
        part async for part in sdk.runs.stream(thread_id, "questions", command={"resume": APPROVE})
    ]
    (error,) = parts
    assert error.event == "error"
    assert "ada decided it at" in error.data["message"]
    with pytest.raises(ConflictError, match="ada decided it at"):
        await sdk.runs.create(thread_id, "questions", command={"resume": APPROVE})
    assert hitl.request(thread_id)["answer"]["approved"] is False


async def test_a_resume_without_an_id_is_taken_only_where_one_question_can_be_meant(
    hitl: Hitl, sdk: LangGraphClient
) -> None:
    run = hitl.begin(**THREE)
    first, second, third = [one["requestId"] for one in run["requests"]]
    thread_id = run["threadId"]
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.runs.create(thread_id, "orchestrator", command={"resume": "here"})
    for one in (first, second):
        assert hitl.answer(run, one, freeformText="now").status_code == 200
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.runs.create(thread_id, "orchestrator", command={"resume": "here"})
    assert hitl.request(third)["status"] == "pending"
    alone = hitl.start(TEXT)
    done: Any = await sdk.runs.wait(alone["threadId"], "orchestrator", command={"resume": "go on"})
    assert done["result"]["outputs"]["answer"]["freeformText"] == "go on"


async def test_marked_as_resolved_denies_that_one_of_several_questions_only(
    hitl: Hitl, sdk: LangGraphClient
) -> None:
    run = hitl.begin(**THREE)
    first, second, third = [one["requestId"] for one in run["requests"]]
    await sdk.threads.update_state(second, None, as_node="__end__")
    assert hitl.request(second)["denialReason"] == "Marked as resolved"
    assert [hitl.request(one)["status"] for one in (first, third)] == ["pending", "pending"]
    with pytest.raises(UnprocessableEntityError, match="say which"):
        await sdk.threads.update_state(run["threadId"], None, as_node="__end__")
    with pytest.raises(UnprocessableEntityError, match="written by runs alone"):
        await sdk.threads.update_state(first, {"facets": {}})
