"""A2A's own client, `a2a-sdk`, starts tasks and answers what they ask."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers import get_data_parts, new_data_part, new_text_part
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.server.protocols.a2a_messages import read_message
from tests.api.calls import QUESTIONS, Json
from tests.clients.conftest import Served

ASKED, DONE = TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_COMPLETED


@asynccontextmanager
async def calling(
    served: Served, key: str = "ada", binding: str = "JSONRPC", *, streaming: bool = False
) -> AsyncGenerator[Client]:
    """The client that the server's card leads to."""
    headers = {"Authorization": f"Bearer {served.keys.get(key, 'wrong')}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        card = await A2ACardResolver(http, served.server.url).get_agent_card()
        config = ClientConfig(
            streaming=streaming, httpx_client=http, supported_protocol_bindings=[binding]
        )
        yield ClientFactory(config).create(card)


async def send(client: Client, *parts: Part, task: Task | None = None, named: str = "") -> Task:
    """Send a message; return the task that it comes to."""
    message = Message(role=Role.ROLE_USER, parts=parts, message_id=named or uuid4().hex)
    if task:
        message.task_id = task.id
    async for told in client.send_message(SendMessageRequest(message=message)):
        return told.task
    raise AssertionError("nothing came")


async def begin(client: Client, question: Any) -> Task:
    wanted = {"inputs": {"question": question}, "outputs": ["answer"], "metadata": {"for": "me"}}
    return await send(client, new_text_part("Ask"), new_data_part(wanted))


async def answer(client: Client, task: Task, named: str = "", **said: Any) -> Task:
    part = new_data_part({"requestId": asked_of(task)[0]["requestId"], **said})
    return await send(client, part, task=task, named=named)


def asked_of(task: Task) -> list[Json]:
    assert task.status.state == ASKED, task
    return get_data_parts(task.status.message.parts)[0]["requests"]


def made_by(task: Task) -> Json:
    assert task.status.state == DONE, task
    return {one.name: get_data_parts(one.parts)[0] for one in task.artifacts}


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_an_action_is_edited_approved_and_done(binding: str, served: Served) -> None:
    async with calling(served, binding=binding) as client:
        task = await begin(client, QUESTIONS["approval"])
        (request,) = asked_of(task)
        assert request["action"]["arguments"] == {"to": "all"}
        assert "approved" in request["answerSchema"]["properties"]
        shown = task.status.message.parts[0].text  # all that some hosts show
        assert '"to": "all"' in shown
        assert request["operatorPrompt"] in shown
        done = await answer(
            client, task, answer={"approved": True, "editedArgs": {"to": "one", "copies": 7}}
        )
    said = made_by(done)["answer"]
    assert (said["approved"], said["responder"]["id"]) == (True, "ada")
    kept = (await served.api.get(f"/api/runs/{done.id}")).json()
    edited = kept["responses"][0]["editedArguments"]
    assert {"for": "me", "via": "a2a"}.items() <= kept["metadata"].items()
    operators = {one["action"]: one["operator"] for one in kept["metadata"]["auditLog"]}
    assert operators["start"]["id"] == operators["resume"]["id"] == "ada"
    assert (edited, type(edited["copies"])) == ({"to": "one", "copies": 7}, int)


async def test_a_stream_tells_steps_results_and_how_it_rests(served: Served) -> None:
    async with calling(served, streaming=True) as client:
        wanted = {"outputs": ["answer"], "inputs": {"question": QUESTIONS["choice"]}}
        message = Message(
            role=Role.ROLE_USER,
            parts=[new_text_part("Ask"), new_data_part(wanted)],
            message_id=uuid4().hex,
        )
        told = [one async for one in client.send_message(SendMessageRequest(message=message))]
        states = [one.status_update.status.state for one in told[1:]]
        assert (told[0].HasField("task"), states[-1]) == (True, ASKED)
        answering = Message(
            role=Role.ROLE_USER,
            parts=[new_text_part("b")],  # words choose, if only one question can be meant
            message_id=uuid4().hex,
            task_id=told[0].task.id,
        )
        told = [one async for one in client.send_message(SendMessageRequest(message=answering))]
        artifacts = [one.artifact_update.artifact.name for one in told[:-1]]
        assert (artifacts[-1], told[-1].status_update.status.state) == ("answer", DONE)
        with pytest.raises(UnsupportedOperationError):
            _ = [one async for one in client.subscribe(SubscribeToTaskRequest(id=told[0].task.id))]


async def test_the_same_message_twice_is_one_call_and_a_stale_one_decides_nothing(
    served: Served,
) -> None:
    async with calling(served) as client:
        task = await begin(client, QUESTIONS["approval"])
        done = await answer(client, task, "first", reject="No")
        again = await answer(client, task, "first", reject="No")
        assert made_by(again) == made_by(done)
        assert made_by(done)["answer"]["reason"] == "No"
        with pytest.raises(UnsupportedOperationError, match="ada decided it"):
            await answer(client, task, "second", answer={"approved": True})


async def test_parallel_questions_are_answered_together_or_not_at_all(served: Served) -> None:
    async with calling(served) as client:
        task = await send(client, new_data_part({"objective": "Ask", "outputs": ["survey"]}))
        ids = [one["requestId"] for one in asked_of(task)]
        parts = [new_data_part({"requestId": one, "answer": {"text": "x"}}) for one in ids]
        stranger = new_data_part({"requestId": "hitl_nobody", "answer": {"text": "x"}})
        for refused in ([*parts, stranger], [new_text_part("x")]):
            with pytest.raises(InvalidParamsError):
                await send(client, *refused, task=task)
        assert len(asked_of(await client.get_task(GetTaskRequest(id=task.id)))) == 3
        assert len(asked_of(await send(client, *parts, task=task))) == 1, "one asks twice"


async def test_words_alone_do_not_approve_and_what_is_no_decision_is_none(served: Served) -> None:
    async with calling(served) as client:
        task = await begin(client, QUESTIONS["approval"])
        request_id = asked_of(task)[0]["requestId"]
        saying_yes = new_data_part({"requestId": request_id, "answer": {"approved": True}})
        for parts in (
            [new_text_part("yes")],
            [saying_yes, new_text_part("but only to one")],
            [new_data_part({"requestId": request_id, "answer": True})],
            [new_data_part({"requestId": request_id, "answer": {"approved": "yes"}})],
            [new_data_part({"requestId": request_id, "approved": True})],
            [new_data_part({"requestId": request_id, "answer": {"approved": True}, "reject": ""})],
            [
                new_data_part(
                    {
                        "requestId": request_id,
                        "answer": {"approved": True, "editedArgs": {"n": 2**60}},
                    }
                )
            ],
        ):
            with pytest.raises(InvalidParamsError):
                await send(client, *parts, task=task)
        assert len(asked_of(await client.get_task(GetTaskRequest(id=task.id)))) == 1
        stray = Message(  # as chats send what follows
            role=Role.ROLE_USER,
            parts=[
                new_text_part("yes"),
                new_data_part({"inputs": {"question": "x"}, "outputs": ["answer"]}),
            ],
            message_id=uuid4().hex,
            context_id=task.context_id,
        )
        with pytest.raises(UnsupportedOperationError, match="names the task"):
            _ = [one async for one in client.send_message(SendMessageRequest(message=stray))]


async def test_a_key_does_what_its_scopes_say(served: Served) -> None:
    async with calling(served, "ask") as asking, calling(served, "read") as reading:
        task = await begin(asking, QUESTIONS["freeform"])
        assert asked_of(await asking.get_task(GetTaskRequest(id=task.id)))
        assert asked_of(await reading.get_task(GetTaskRequest(id=task.id)))
        for client in (asking, reading):
            with pytest.raises(UnsupportedOperationError, match="may not do that"):
                await answer(client, task, answer={"text": "me"})
        for refused in (
            begin(reading, QUESTIONS["freeform"]),
            asking.list_tasks(ListTasksRequest()),
            reading.cancel_task(CancelTaskRequest(id=task.id)),
        ):
            with pytest.raises(UnsupportedOperationError, match="may not do that"):
                await refused
        listed = await reading.list_tasks(ListTasksRequest(context_id=task.context_id))
        assert [one.id for one in listed.tasks] == [task.id]


async def test_a_task_of_another_key_is_not_seen_by_one_that_may_only_ask(served: Served) -> None:
    async with (
        calling(served) as ada,
        calling(served, "ask") as asking,
        calling(served, "work") as stranger,
    ):
        task = await begin(ada, QUESTIONS["freeform"])
        for client in (asking, stranger):
            with pytest.raises(UnsupportedOperationError, match="may not do that"):
                await client.get_task(GetTaskRequest(id=task.id))


async def test_what_there_is_not_is_named(served: Served) -> None:
    async with calling(served, "admin") as client:
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="run_nobody"))
        config = TaskPushNotificationConfig(task_id="t", url="https://example.com")
        with pytest.raises(PushNotificationNotSupportedError):
            await client.create_task_push_notification_config(config)
        for unreadable in ({"objective": "a\0"}, {"objective": "a", "x": 1}):
            with pytest.raises(InvalidParamsError):
                await send(client, new_data_part(unreadable))
        task = await begin(client, QUESTIONS["freeform"])
        cancelled = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))


def test_what_is_no_number_in_json_is_refused() -> None:
    """The client does not send it; others might."""
    part = Part()
    part.data.struct_value.fields["n"].number_value = float("nan")
    with pytest.raises(Invalid):
        read_message(Message(parts=[part]))


async def test_without_a_key_there_is_the_card_alone(served: Served) -> None:
    async with calling(served, "nobody") as client:
        with pytest.raises(A2AError, match="401"):
            await begin(client, QUESTIONS["freeform"])
    refused = await served.api.get("/a2a/rest/nothing/at/all")
    assert refused.status_code == 404
    assert (await served.api.get("/healthz")).status_code == 200, "nothing is swallowed"


async def test_the_protocol_before_is_spoken_too(served: Served) -> None:
    message = {
        "messageId": uuid4().hex,
        "role": "user",
        "parts": [
            {"kind": "text", "text": "Ask"},
            {"kind": "data", "data": {"outputs": ["survey"]}},
        ],
    }
    call = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
    task = (await served.api.post("/a2a", json=call)).json()["result"]
    assert task["status"]["state"] == "input-required"
