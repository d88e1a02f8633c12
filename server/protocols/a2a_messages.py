"""Runs as A2A's tasks, and its messages as what a person says. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from a2a.helpers import (
    get_data_parts,
    get_message_text,
    new_data_artifact,
    new_data_part,
    new_message,
    new_text_part,
)
from a2a.types.a2a_pb2 import Artifact, Message, Part, Task, TaskState, TaskStatus
from a2a.utils.proto_utils import normalize_large_integers_to_strings

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, RequestStatus
from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import Run, RunStatus
from hitl_orchestrator.server.protocols.answer_schemas import (
    SHOWN,
    read_answer,
    read_text,
    reject,
    write_schema,
)
from hitl_orchestrator.server.protocols.description import describe_question

VIA = "a2a"
JSON, MARKDOWN = "application/json", "text/markdown"
STATES: Mapping[RunStatus, TaskState] = {
    RunStatus.QUEUED: TaskState.TASK_STATE_SUBMITTED,
    RunStatus.RUNNING: TaskState.TASK_STATE_WORKING,
    RunStatus.AWAITING_HITL: TaskState.TASK_STATE_INPUT_REQUIRED,
    RunStatus.COMPLETED: TaskState.TASK_STATE_COMPLETED,
    RunStatus.FAILED: TaskState.TASK_STATE_FAILED,
    RunStatus.CANCELLED: TaskState.TASK_STATE_CANCELED,
}
LARGEST_EXACT = 2**53  # beyond it a double, which is all that a part can hold, rounds


class MessageContent(NamedTuple):
    """What a message says: in words, and by its data parts."""

    text: str
    data: Sequence[JsonObject]


def write_task(run: Run) -> Task:
    return Task(
        id=run.runId,
        context_id=run.threadId,
        status=write_status(run),
        artifacts=write_artifacts(run),
    )


def write_status(run: Run) -> TaskStatus:
    """Return where the run is; if it waits for people, with what they are asked."""
    asked = [one for one in run.requests if one.status is RequestStatus.PENDING]
    status = TaskStatus(state=STATES[run.status])
    status.timestamp.FromDatetime(run.updatedAt)
    if run.held:
        status.state = TaskState.TASK_STATE_WORKING
        status.message.CopyFrom(write_words(run, f"The run is held: {run.held.reason}"))
    elif asked:
        # a host may show its person these alone
        said = [describe_question(request.model_dump(mode="json")) for request in asked]
        parts = [new_text_part(each, MARKDOWN) for each in said]
        shown: list[Json] = [_show(request) for request in asked]
        data = new_data_part(_exactly({"requests": shown}), JSON)
        status.message.CopyFrom(_write(run, [*parts, data]))
    elif run.error:
        status.message.CopyFrom(write_words(run, run.error.message))
    return status


def write_words(run: Run, text: str) -> Message:
    return _write(run, [new_text_part(text)])


def _write(run: Run, parts: list[Part]) -> Message:
    return new_message(parts, run.threadId, run.runId)


def _show(request: HitlRequest) -> JsonObject:
    wanted = {*SHOWN, "requestId", "question", "expiresAt"}
    shown: JsonObject = request.model_dump(mode="json", include=wanted)
    return {**shown, "answerSchema": write_schema(request)}


def write_artifacts(run: Run) -> list[Artifact]:
    """Return what the run made, an artifact for each facet."""
    outputs = run.result.outputs if run.result else {}
    return [
        new_data_artifact(name, _exactly(value), JSON, artifact_id=f"{run.runId}-{name}")
        for name, value in outputs.items()
    ]


def _exactly(value: Json) -> Json:
    """Return it with those numbers as texts that a part could only hold rounded."""
    return cast(Json, normalize_large_integers_to_strings(value))


def read_message(message: Message) -> MessageContent:
    """Return what a message says. Raise Invalid for what it must not have."""
    if any(not part.HasField("text") and not part.HasField("data") for part in message.parts):
        raise Invalid("A message has parts of text or data alone, no files.")
    text = get_message_text(message)
    data = [_narrow(one) for one in _read_data(message)]
    if any(not isinstance(one, dict) for one in data):
        raise Invalid("A data part is to be an object.")
    try:
        check_storable([text, data, message.message_id, message.task_id, message.context_id])
    except Unstorable as error:
        raise Invalid(f"The message {error}.") from error
    return MessageContent(text, cast(list[JsonObject], data))


def _read_data(message: Message) -> list[Any]:
    try:
        return get_data_parts(message.parts)
    except ValueError as error:  # a part can hold NaN, and JSON cannot
        raise Invalid("A data part is not plain JSON.") from error


def _narrow(value: Any) -> Any:
    """Return it with whole numbers as such: a part makes 7.0 of 7. Raise Invalid."""
    if isinstance(value, dict):
        return {name: _narrow(one) for name, one in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_narrow(one) for one in cast(list[Any], value)]
    if not isinstance(value, float) or not value.is_integer():
        return value
    if abs(value) >= LARGEST_EXACT:
        raise Invalid(f"The number {value:.0f} may have been rounded on its way: send a text.")
    return int(value)


def read_start(message: Message, said: MessageContent) -> JsonObject:
    """Return what a message says of a new run, as a body of `POST /api/runs`. Raise Invalid."""
    if len(said.data) > 1:
        raise Invalid("A task is begun by one data part, beside the text.")
    start = {name: value for one in said.data for name, value in one.items()}
    if said.text:
        if "objective" in start:
            raise Invalid("The objective is the text, or `objective` of the data part, not both.")
        start["objective"] = said.text
    if message.context_id:
        start["threadId"] = message.context_id
    return start


def read_answers(run: Run, said: MessageContent) -> list[HitlResponse]:
    """Return the responses that a message means. Raise Invalid.

    Words alone are taken where no other question can be meant: the run has asked only one.
    """
    if said.text and said.data:
        raise Invalid("Answer in words or by data, not both: which counts could not be told.")
    if said.data:
        return [_read_answer(run, one) for one in said.data]
    if len(run.requests) != 1:
        asked = ", ".join(one.requestId for one in run.requests if one.status == "pending")
        raise Invalid(f"Say which question, in a data part with `requestId`. Pending: {asked}.")
    return [read_text(run.requests[0], said.text, VIA)]


def _read_answer(run: Run, said: JsonObject) -> HitlResponse:
    request = next((one for one in run.requests if one.requestId == said.get("requestId")), None)
    if request is None:
        raise Invalid("A data part names by `requestId` a question of the task.")
    match {name: value for name, value in said.items() if name != "requestId"}:
        case {"answer": answer, **others} if not others:
            return read_answer(request, answer, VIA)
        case {"reject": str(reason), **others} if not others:
            return reject(request, reason, VIA)
        case _:
            raise Invalid("A data part has `requestId` and `answer`, or `reject` with a reason.")
