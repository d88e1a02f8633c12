"""AG-UI: a POST starts a run or answers its questions, and is answered by the run's events.

A pause is RUN_FINISHED with the open questions as interrupts; a `resume` answers them by their ids.
"""

import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any, cast

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    CustomEvent,
    Interrupt,
    ResumeEntry,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TextPart,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    UserMessage,
)
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_orchestrator.domain.errors import Invalid, NotFound, OrchestratorError
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, Kind, RequestStatus
from hitl_orchestrator.domain.keys import Scope as KeyScope
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.domain.run import Run, RunStatus
from hitl_orchestrator.server.body import parse_body
from hitl_orchestrator.server.protocols.answer_schemas import read_answer, reject, write_schema
from hitl_orchestrator.server.protocols.client import Client, describe, digest
from hitl_orchestrator.server.sse import stream_chunks

VIA = "ag-ui"
CANCELLED = "Cancelled by the user"
SHOWN = {  # of a request, beside what an interrupt has fields for
    *("runId", "stepId", "originAgent", "kind", "options", "allowFreeForm", "urgency"),
    *("additionalContext", "action", "payload", "operatorPrompt", "earlier", "attempt"),
}
MOST_ENTRIES = 100


def build_app() -> ASGIApp:
    return run_agent


async def run_agent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a RunAgentInput. What goes wrong after it was read is a RUN_ERROR."""
    request = Request(scope, receive)
    with request.app.state.streams.taken_by(request):
        given = await _read(request)
        told = _tell(Client.of(request, VIA), given)
        await stream_chunks(_encode(told))(scope, receive, send)


async def _read(request: Request) -> RunAgentInput:
    body = parse_body(request.headers.get("Content-Type"), await request.body())
    try:
        return RunAgentInput.model_validate(body)
    except ValidationError as error:
        raise Invalid(f"{describe_misfit(error)}.") from error


async def _encode(events: AsyncGenerator[BaseEvent]) -> AsyncGenerator[bytes]:
    try:
        async for event in events:
            yield f"data: {event.model_dump_json(by_alias=True)}\n\n".encode()
    finally:
        await events.aclose()


async def _tell(client: Client, given: RunAgentInput) -> AsyncGenerator[BaseEvent]:
    yield RunStartedEvent(
        thread_id=given.thread_id, run_id=given.run_id, protocol_version=PROTOCOL_VERSION
    )
    try:
        begin = _resume if given.resume else _start
        run, after = await begin(client, given)
        story = _Story(run)
        yield StateSnapshotEvent(snapshot=_write_state(run))
        async for found in client.hitl.follow_to_rest(run.runId, after):
            if isinstance(found, Run):
                events = story.end(found, given)
            else:
                events = (event for frame in found for event in story.tell(frame.body))
            for event in events:
                yield event
    except OrchestratorError as error:
        yield RunErrorEvent(message=describe(error), code=_name(error), metadata={**error.more})


def _name(error: OrchestratorError) -> str:
    """Return the error's name as it is spelled in codes: `RunEnded` is `run-ended`."""
    name = type(error).__name__
    return "".join(f"-{one.lower()}" if one.isupper() else one for one in name).removeprefix("-")


async def _start(client: Client, given: RunAgentInput) -> tuple[Run, int]:
    """Return a new run, or that of whoever sent the same before, and the frame to begin behind."""
    asked = {
        **_find_ours(given.forwarded_props),
        "objective": _find_objective(given),
        "threadId": given.thread_id,
    }
    done = await client.start(asked, digest([given.thread_id, given.run_id]), asked)
    return done.run, 0


def _find_ours(props: Any) -> JsonObject:
    """Return what else the run is to be started with; other keys are other programs'."""
    ours: Any = cast(Any, props).get("hitl", {}) if isinstance(props, dict) else {}
    if not isinstance(ours, dict):
        raise Invalid("`forwardedProps.hitl` is no object.")
    return cast(JsonObject, ours)


def _find_objective(given: RunAgentInput) -> str:
    """Return what the person said last. Raise Invalid."""
    said = (one for one in reversed(given.messages) if isinstance(one, UserMessage))
    message = next(said, None)
    if message is None:
        raise Invalid("There is no message of a user: its text is the run's objective.")
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


async def _resume(client: Client, given: RunAgentInput) -> tuple[Run, int]:
    """Answer the questions; return their run, and its last frame before that."""
    client.need(KeyScope.DECIDE)
    entries = given.resume or []
    if len(entries) > MOST_ENTRIES:
        raise Invalid(f"At most {MOST_ENTRIES} questions are answered at once.")
    requests = [await _find(client, given.thread_id, entry) for entry in entries]
    run_id = requests[0].runId
    responses = [_read_entry(*pair) for pair in zip(requests, entries, strict=True)]
    after = await client.find_last_frame(run_id)
    said: Any = [entry.model_dump(mode="json") for entry in entries]
    ref = RunRef(run_id, given.thread_id)
    done = await client.answer(ref, responses, digest(said), said)
    return done.run, after


async def _find(client: Client, thread_id: str, entry: ResumeEntry) -> HitlRequest:
    request = await client.hitl.request(entry.interrupt_id)
    if request.threadId != thread_id:
        raise NotFound(f"The thread has no interrupt {entry.interrupt_id}.")
    return request


def _read_entry(request: HitlRequest, entry: ResumeEntry) -> HitlResponse:
    if entry.status == "cancelled":
        return reject(request, CANCELLED, VIA)
    if "payload" not in entry.model_fields_set:
        raise Invalid(f"The entry of {entry.interrupt_id} has no payload; nothing was decided.")
    return read_answer(request, entry.payload, VIA)


class _Story:
    """A run's frames as events. It knows what is open: the client checks that it is closed."""

    def __init__(self, run: Run) -> None:
        self._actions = {one.requestId for one in run.requests if one.action}
        self._steps: dict[str, str] = {}  # those that were begun: their names, by their ids

    def tell(self, frame: JsonObject) -> Iterator[BaseEvent]:
        """Yield what a frame is told by."""
        kind, message = frame["type"], frame["message"]
        data = cast(JsonObject, frame["data"])
        match kind, data:
            case "handoff", {"hitl": dict(hitl)}:
                yield from self._tell_question(message, hitl)
            case "handoff", {"to": str(name), "stepId": str(step_id)}:
                yield from self._begin(step_id, name)
            case "plan_update", _:
                patch = [{"op": "add", "path": "/plan", "value": data}]
                yield StateDeltaEvent.model_validate({"delta": patch})
            case "message", {"stepId": str(step_id), "status": _} if step_id in self._steps:
                yield StepFinishedEvent(step_name=self._steps.pop(step_id))
            case (("start" | "complete" | "error"), _):
                return
            case _:
                value = {**data, "message": message}
                yield CustomEvent(name=f"hitl:{kind}", value=value)

    def _begin(self, step_id: str, name: str) -> Iterator[BaseEvent]:
        if step_id in self._steps:
            return
        if name in self._steps.values():  # two of one agent at once
            name = f"{name} {step_id}"
        self._steps[step_id] = name
        yield StepStartedEvent(step_name=name)

    def _tell_question(self, message: Any, hitl: dict[str, Any]) -> Iterator[BaseEvent]:
        """Tell of an action as of a tool's call; its result is what was decided."""
        call_id, action = hitl["requestId"], hitl.get("action")
        if message == "requested" and action:
            self._actions.add(call_id)
            yield ToolCallStartEvent(tool_call_id=call_id, tool_call_name=action["name"])
            yield ToolCallArgsEvent(tool_call_id=call_id, delta=json.dumps(action["arguments"]))
            yield ToolCallEndEvent(tool_call_id=call_id)
        elif message == "occurred" and call_id in self._actions:
            decided = hitl.get("response") or {"denied": hitl.get("denialReason")}
            yield ToolCallResultEvent(
                message_id=f"{call_id}-result", tool_call_id=call_id, content=json.dumps(decided)
            )
        elif message == "denied":
            value = {"requestId": call_id, "reason": hitl.get("denialReason")}
            yield CustomEvent(name="hitl:denied", value=value)

    def end(self, run: Run, given: RunAgentInput) -> Iterator[BaseEvent]:
        """Yield how the run paused or ended."""
        for name in reversed([*self._steps.values()]):
            yield StepFinishedEvent(step_name=name)
        yield StateSnapshotEvent(snapshot=_write_state(run))
        if run.status is RunStatus.COMPLETED:
            yield from _write_message(run)
        outcome = _find_outcome(run)
        if outcome is None:
            yield _explain(run)
            return
        result = run.result.json_object() if run.result else None
        yield RunFinishedEvent(
            thread_id=given.thread_id, run_id=given.run_id, outcome=outcome, result=result
        )


def _write_state(run: Run) -> JsonObject:
    facets: JsonObject = {name: facet.value for name, facet in run.facets.items()}
    plan = run.plan.json_object() if run.plan else None
    return {"runId": run.runId, "status": run.status, "plan": plan, "facets": facets}


def _write_message(run: Run) -> Iterable[BaseEvent]:
    text = json.dumps(run.result.json_object() if run.result else None, ensure_ascii=False)
    message_id = f"{run.runId}-result"
    return (
        TextMessageStartEvent(message_id=message_id, role="assistant"),
        TextMessageContentEvent(message_id=message_id, delta=text),
        TextMessageEndEvent(message_id=message_id),
    )


def _find_outcome(run: Run) -> RunFinishedOutcome | None:
    """Return how the run finished; None: it failed, or somebody has to see to it."""
    match run.status:
        case RunStatus.AWAITING_HITL if run.held is None:
            pending = [one for one in run.requests if one.status is RequestStatus.PENDING]
            return RunFinishedInterruptOutcome(interrupts=[write_interrupt(one) for one in pending])
        case RunStatus.COMPLETED:
            return RunFinishedSuccessOutcome()
        case RunStatus.CANCELLED:
            return RunFinishedCancelledOutcome()
        case _:
            return None


def _explain(run: Run) -> RunErrorEvent:
    if run.held:
        return RunErrorEvent(message=f"The run is held: {run.held.reason}", code="run-held")
    if run.status is RunStatus.FAILED:
        return RunErrorEvent(message=run.error.message if run.error else "", code="run-failed")
    message = "The server is ending. The run goes on: send the same again."
    return RunErrorEvent(message=message, code="server-ending")


def write_interrupt(request: HitlRequest) -> Interrupt:
    """Return a question as an interrupt, which is answered by the request's id."""
    reason = "confirmation" if request.kind is Kind.APPROVAL else "input_required"
    return Interrupt(
        id=request.requestId,
        reason="tool_call" if request.action else reason,
        message=request.question,
        tool_call_id=request.requestId if request.action else None,
        response_schema=write_schema(request),
        expires_at=request.expiresAt.isoformat() if request.expiresAt else None,
        metadata=request.model_dump(mode="json", include=SHOWN),
    )
