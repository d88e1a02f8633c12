"""A2A: a task is a run, its context a thread. The runs' memory is the only one.

Pending questions make a task `TASK_STATE_INPUT_REQUIRED`; a message to it answers them.
"""

import json
import logging
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from importlib.metadata import version
from typing import Any, NoReturn

from a2a.server.context import ServerCallContext
from a2a.server.events.event_queue import Event
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import (
    DefaultServerCallContextBuilder,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    A2AError,
    InternalError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import MessageToDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from hitl_orchestrator.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OrchestratorError,
    ThreadBusy,
)
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.ports import Frame, RunRef
from hitl_orchestrator.domain.run import ENDED, Run
from hitl_orchestrator.server.protocols.a2a_messages import (
    JSON,
    MARKDOWN,
    STATES,
    VIA,
    read_answers,
    read_message,
    read_start,
    write_artifacts,
    write_status,
    write_task,
    write_words,
)
from hitl_orchestrator.server.protocols.client import Client, describe, digest, name_error
from hitl_orchestrator.server.proxies import find_root_path

WAIT_SECONDS = 60.0  # of a call that waits for the task to rest
MOST_TASKS = 100
ERRORS: Mapping[type[OrchestratorError], type[A2AError]] = {
    Forbidden: UnsupportedOperationError,
    NotFound: TaskNotFoundError,
    Invalid: InvalidParamsError,
    Conflict: UnsupportedOperationError,
}
_log = logging.getLogger(__name__)


def build_app() -> ASGIApp:
    # it logs what does not fit, answers among it
    logging.getLogger("a2a").setLevel(logging.CRITICAL)
    tasks, contexts = Tasks(), _Contexts()
    rest = create_rest_routes(tasks, contexts)  # the last of them takes all paths: a room apart
    return Router(
        [
            *create_jsonrpc_routes(tasks, "/a2a", contexts, enable_v0_3_compat=True),
            Mount("/a2a/rest", routes=rest),
            Route("/.well-known/agent-card.json", show_card),
        ],
        redirect_slashes=False,
    )


async def show_card(request: Request) -> JSONResponse:
    """Say what the server is, without a key, as the protocol has it."""
    base = f"{request.url.scheme}://{request.url.netloc}{find_root_path(request.scope)}"
    return JSONResponse(agent_card_to_dict(write_card(base)))


def write_card(base: str) -> AgentCard:
    card = AgentCard(
        name="HITL Orchestrator",
        description="Plans over specialist agents; people decide what they must.",
        version=version("hitl-orchestrator"),
        supported_interfaces=[
            AgentInterface(url=f"{base}{path}", protocol_binding=binding, protocol_version=spoken)
            for path, binding, spoken in (
                ("/a2a", "JSONRPC", "1.0"),
                ("/a2a/rest", "HTTP+JSON", "1.0"),
                ("/a2a", "JSONRPC", "0.3"),
            )
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain", JSON],
        default_output_modes=[JSON, MARKDOWN],
        skills=[
            AgentSkill(
                id="orchestrate",
                name="Orchestrate",
                description="Make what is wanted by a plan over specialists, and ask people.",
                tags=["planning", "human-in-the-loop"],
            )
        ],
    )
    card.security_schemes["bearer"].http_auth_security_scheme.scheme = "bearer"
    card.security_requirements.add().schemes["bearer"].SetInParent()
    return card


class _Contexts(DefaultServerCallContextBuilder):
    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state["request"] = request
        return context


class Tasks(RequestHandler):
    """What A2A asks for, one method each."""

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task:
        with _translating():
            client, request = _find_client(context)
            with request.app.state.waiting_calls.taken_by(request):
                run = await _send(client, params)
                if not params.configuration.return_immediately:
                    run = await client.hitl.wait(run.runId, WAIT_SECONDS)
            return write_task(run)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        with _translating():
            client, request = _find_client(context)
            with request.app.state.streams.taken_by(request):
                async for event in _follow(client, await _send(client, params)):
                    yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        with _translating():
            client, request = _find_client(context)
            run = await _find_run(client, params.id)
            if run.status in ENDED:
                raise UnsupportedOperationError("The task has ended.")
            with request.app.state.streams.taken_by(request):
                async for event in _follow(client, run):
                    yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        with _translating():
            client, _ = _find_client(context)
            return write_task(await _find_run(client, params.id))

    async def on_list_tasks(
        self, params: ListTasksRequest, context: ServerCallContext
    ) -> ListTasksResponse:
        with _translating():
            client, _ = _find_client(context)
            client.need(Scope.READ)
            _check_id(params.context_id)
            if params.HasField("status_timestamp_after"):
                raise UnsupportedOperationError("Tasks are not listed by their times.")
            status = next((one for one, state in STATES.items() if state == params.status), None)
            if params.status and status is None:
                return ListTasksResponse()
            if params.page_size < 0:
                raise Invalid("`page_size` is not to be below 0.")
            limit = min(params.page_size or 50, MOST_TASKS)
            page = await client.hitl.runs(
                status, params.context_id or None, limit, params.page_token or None
            )
            tasks = [write_task(run) for run in page.rows]
            return ListTasksResponse(
                tasks=tasks,
                next_page_token=page.next_cursor or "",
                page_size=len(tasks),
                total_size=len(tasks),
            )

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        with _translating(TaskNotCancelableError):
            client, _ = _find_client(context)
            client.need(Scope.ADMIN)
            _check_id(params.id)
            done = await client.hitl.cancel(RunRef(params.id), "Cancelled by A2A", client.by)
            return write_task(done.run)

    async def _refuse_push(self, params: object, context: ServerCallContext) -> NoReturn:
        raise PushNotificationNotSupportedError(NO_PUSH)

    on_create_task_push_notification_config = _refuse_push
    on_get_task_push_notification_config = _refuse_push
    on_list_task_push_notification_configs = _refuse_push
    on_delete_task_push_notification_config = _refuse_push

    async def on_get_extended_agent_card(
        self, params: object, context: ServerCallContext
    ) -> NoReturn:
        raise UnsupportedOperationError("There is no other card than the public one.")


NO_PUSH = "Push notifications are not sent: use webhooks, or a stream."


def _find_client(context: ServerCallContext) -> tuple[Client, Request]:
    request: Request = context.state["request"]
    return Client.of(request, VIA), request


async def _send(client: Client, params: SendMessageRequest) -> Run:
    """Start a run by a message, or answer one. `messageId` names the call."""
    validate_proto_required_fields(params)
    if params.configuration.HasField("task_push_notification_config"):
        raise PushNotificationNotSupportedError(NO_PUSH)
    message = params.message
    said = read_message(message)
    call, whole = digest(message.message_id), MessageToDict(message)
    if not message.task_id:
        try:
            return (await client.start(read_start(message, said), call, whole)).run
        except ThreadBusy as error:
            told = f"{describe(error)} An answer to what it asks names the task by `taskId`."
            raise UnsupportedOperationError(told, _write_data(error)) from error
    client.need(Scope.DECIDE)
    run = await client.hitl.run(message.task_id)
    responses = read_answers(run, said)
    ref = RunRef(run.runId, message.context_id or None)
    return (await client.answer(ref, responses, call, whole)).run


async def _find_run(client: Client, task_id: str) -> Run:
    _check_id(task_id)
    await client.need_sight(task_id)
    return await client.hitl.run(task_id)


def _check_id(task_id: str) -> None:
    """Raise NotFound for what cannot be stored, and so is the id of nothing."""
    if "\0" in task_id:
        raise NotFound("No task has an id with a NUL character.")


async def _follow(client: Client, run: Run) -> AsyncGenerator[Event]:
    """Yield the task, each step that begins, and how it rests."""
    after = await client.find_last_frame(run.runId)
    yield write_task(run)
    async with aclosing(client.hitl.follow_to_rest(run.runId, after)) as coming:
        async for found in coming:
            for event in _tell(run, found):
                yield event


def _tell(run: Run, found: Sequence[Frame] | Run) -> Iterator[Event]:
    task_id, context_id = run.runId, run.threadId
    if isinstance(found, Run):
        for artifact in write_artifacts(found):
            yield TaskArtifactUpdateEvent(
                task_id=task_id, context_id=context_id, artifact=artifact, last_chunk=True
            )
        status = write_status(found)
        yield TaskStatusUpdateEvent(task_id=task_id, context_id=context_id, status=status)
        return
    for frame in filter(_begins_step, found):
        said = write_words(run, str(frame.body["message"]))
        status = TaskStatus(state=TaskState.TASK_STATE_WORKING, message=said)
        yield TaskStatusUpdateEvent(task_id=task_id, context_id=context_id, status=status)


def _begins_step(frame: Frame) -> bool:
    data = frame.body["data"]
    return frame.body["type"] == "handoff" and isinstance(data, dict) and "hitl" not in data


@contextmanager
def _translating(conflict: type[A2AError] = UnsupportedOperationError) -> Generator[None]:
    """Raise what goes wrong in A2A's words, with nothing of the inside in them."""
    try:
        yield
    except A2AError:
        raise
    except OrchestratorError as error:
        kinds = {**ERRORS, Conflict: conflict}
        found = next((kinds[kind] for kind in type(error).__mro__ if kind in kinds), InternalError)
        raise found(describe(error), _write_data(error)) from error
    except HTTPException as error:
        raise InternalError(error.detail) from error
    except Exception as error:
        _log.exception("An A2A call failed")
        raise InternalError("The server failed. Its log says why.") from error


def _write_data(error: OrchestratorError) -> dict[str, Any]:
    """Return what a program may want, as texts, and what does not fit, as the protocol has it."""
    more = dict[str, Any](error.more)
    misfits = more.pop("errors", ())
    data: dict[str, Any] = {"type": name_error(error)}
    for name, said in more.items():
        data[name] = said if isinstance(said, str) else json.dumps(said)
    if misfits:
        data["errors"] = [{"field": one["path"], "message": one["message"]} for one in misfits]
    return data
