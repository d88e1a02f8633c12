"""Our runs and questions as threads, states and runs of the Agent Server API. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import NAMESPACE_DNS, uuid5

from hitl_orchestrator.domain.errors import NotFound
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, RequestStatus
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import ENDED, Run, RunStatus
from hitl_orchestrator.server.protocols import wording

ORCHESTRATOR, QUESTIONS = "orchestrator", "questions"
ASSISTANTS = {name: str(uuid5(NAMESPACE_DNS, name)) for name in (ORCHESTRATOR, QUESTIONS)}
BORN = "2026-01-01T00:00:00Z"  # an assistant is to have a date; these are as old as the contract
THREAD_STATUSES: Mapping[RunStatus, str] = {
    RunStatus.QUEUED: "busy",
    RunStatus.RUNNING: "busy",
    RunStatus.AWAITING_HITL: "interrupted",
    RunStatus.COMPLETED: "idle",
    RunStatus.CANCELLED: "idle",
    RunStatus.FAILED: "error",
}
RUN_STATUSES: Mapping[RunStatus, str] = {
    RunStatus.QUEUED: "pending",
    RunStatus.RUNNING: "running",
    RunStatus.AWAITING_HITL: "interrupted",
    RunStatus.COMPLETED: "success",
    RunStatus.CANCELLED: "interrupted",
    RunStatus.FAILED: "error",
}


class Thread(NamedTuple):
    """A run, or one question of it. `is_shared`: another run of the thread has asked, too."""

    run: Run
    request: HitlRequest | None = None
    is_shared: bool = False

    @property
    def id(self) -> str:
        return self.request.requestId if self.request else self.run.threadId

    @property
    def graph(self) -> str:
        return QUESTIONS if self.request else ORCHESTRATOR

    @property
    def pending(self) -> Sequence[HitlRequest]:
        asked = (self.request,) if self.request else self.run.requests
        return [one for one in asked if one.status is RequestStatus.PENDING]

    @property
    def status(self) -> str:
        if self.request is None:
            return THREAD_STATUSES[self.run.status]
        return "interrupted" if self.pending else "idle"

    def at(self, run: Run) -> "Thread":
        """Return the same with its run as it is now."""
        request = self.request and find_request(run, self.request.requestId)
        return Thread(run, request, self.is_shared)


def find_request(run: Run, request_id: str) -> HitlRequest:
    """Return a request of that run. Raise NotFound."""
    for request in run.requests:
        if request.requestId == request_id:
            return request
    raise NotFound(f"Run {run.runId} has no request {request_id}.")


def find_graph(assistant_id: str | None) -> str | None:
    """Return the graph of an assistant, by its id or its name; None: none is named.

    Raise NotFound.
    """
    for name, id_ in ASSISTANTS.items():
        if assistant_id in (name, id_):
            return name
    if not assistant_id:
        return None
    raise NotFound(f"There is no assistant {assistant_id}, only {' and '.join(ASSISTANTS)}.")


def write_assistant(graph: str) -> JsonObject:
    return {
        "assistant_id": ASSISTANTS[graph],
        "graph_id": graph,
        "name": graph,
        "description": None,
        "version": 1,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "created_at": BORN,
        "updated_at": BORN,
    }


def write_thread(thread: Thread) -> JsonObject:
    """Return it with its interrupts in Agent Inbox's words, which reads them here alone."""
    run, about = thread.run.json_object(), thread.request or thread.run
    shown = about.json_object()
    return {
        "thread_id": thread.id,
        "created_at": shown["createdAt"],
        "updated_at": shown["updatedAt"],
        "state_updated_at": run["updatedAt"],
        "metadata": _write_metadata(thread),
        "config": {},
        "status": thread.status,
        "values": write_values(thread.run),
        "error": thread.run.error and thread.run.error.message,
        "interrupts": {one.requestId: [_interrupt(one, thread)] for one in thread.pending},
    }


def _interrupt(request: HitlRequest, thread: Thread) -> Json:
    if thread.request is None:
        return write_interrupt(request)
    return _write_interrupt(request, [wording.word_human_interrupt(request)])


def write_interrupt(request: HitlRequest) -> JsonObject:
    """Return a question as states and streams have it: in LangChain's words."""
    return _write_interrupt(request, wording.word_hitl_request(request))


def _write_interrupt(request: HitlRequest, value: Json) -> JsonObject:
    ns: list[Json] = [f"{request.originAgent}:{request.stepId}"]
    return {
        "id": request.requestId,
        "value": value,
        "resumable": True,
        "ns": ns,
        "when": "during",
    }


def _write_metadata(thread: Thread) -> JsonObject:
    run, request = thread.run, thread.request
    metadata = {name: value for name, value in run.metadata.items() if name != "auditLog"}
    metadata |= {"graph_id": thread.graph, "assistant_id": ASSISTANTS[thread.graph]}
    metadata |= {"runId": run.runId, "threadId": run.threadId}
    if request:
        metadata |= {"originAgent": request.originAgent, "urgency": request.urgency.value}
        metadata["requestStatus"] = request.status.value
    return metadata


def write_state(thread: Thread) -> JsonObject:
    """Return where it has come to; there are no states before it to go back to."""
    run = thread.run
    tasks: list[Json] = [_write_task(one) for one in thread.pending]
    if run.error:
        name = run.error.stepId or ORCHESTRATOR
        tasks.append({**_TASK, "id": run.runId, "name": name, "error": run.error.message})
    return {
        "values": write_values(run),
        "next": [one.originAgent for one in thread.pending],
        "tasks": tasks,
        "checkpoint": write_checkpoint(thread),
        "parent_checkpoint": None,
        "metadata": {"source": "loop", "step": _count_audit(run), "run_id": run.runId},
        "created_at": run.json_object()["updatedAt"],
        "interrupts": write_interrupts(thread),
    }


_TASK: Mapping[str, Json] = {
    "error": None,
    "interrupts": [],
    "checkpoint": None,
    "state": None,
    "result": None,
}


def _write_task(request: HitlRequest) -> JsonObject:
    return {
        **_TASK,
        "id": request.requestId,
        "name": request.originAgent,
        "path": ["__pregel_pull", request.originAgent],
        "interrupts": [write_interrupt(request)],
    }


def write_interrupts(thread: Thread) -> list[Json]:
    return [write_interrupt(one) for one in thread.pending]


def write_checkpoint(thread: Thread) -> JsonObject:
    """Return its place: a run gets further with each entry of its audit log."""
    place = f"{thread.run.runId}-{_count_audit(thread.run)}"
    return {"thread_id": thread.id, "checkpoint_ns": "", "checkpoint_id": place}


def _count_audit(run: Run) -> int:
    log = run.metadata.get("auditLog")
    return len(log) if isinstance(log, list) else 0


def write_run(thread: Thread) -> JsonObject:
    run = thread.run.json_object()
    return {
        "run_id": run["runId"],
        "thread_id": thread.id,
        "assistant_id": ASSISTANTS[thread.graph],
        "created_at": run["createdAt"],
        "updated_at": run["updatedAt"],
        "status": RUN_STATUSES[thread.run.status],
        "metadata": {},
        "kwargs": {},
        "multitask_strategy": "reject",
    }


def write_final(thread: Thread) -> JsonObject:
    """Return what a run has come to, as `wait` and `join` have it."""
    if thread.run.error:
        return {"__error__": {"error": "RunFailed", "message": thread.run.error.message}}
    asked = write_interrupts(thread)
    interrupted: JsonObject = {"__interrupt__": asked} if asked else {}
    return write_values(thread.run) | interrupted


def write_values(run: Run) -> JsonObject:
    """Return the run as a graph's state."""
    return {
        "objective": run.objective,
        "messages": _write_messages(run),
        "facets": {name: facet.value for name, facet in run.facets.items()},
        "plan": run.plan and run.plan.json_object(),
        "result": run.result and run.result.json_object(),
    }


def _write_messages(run: Run) -> list[Json]:
    """Return what was said, as a chat shows it."""
    said = [_message(run, "human", "objective", run.objective)]
    for request in run.requests:
        name = request.requestId
        asks = f"**{request.originAgent}** asks: {request.question}"
        said.append(_message(run, "ai", name, asks))
        if request.status is RequestStatus.DENIED:
            denied = f"Denied: {request.denialReason}"
            said.append(_message(run, "ai", f"{name}-denied", denied))
        elif request.responses:
            answer = _word_response(request.responses[0])
            said.append(_message(run, "human", f"{name}-answer", answer))
    if run.error:
        said.append(_message(run, "ai", "error", f"Failed: {run.error.message}"))
    elif run.result:
        written = json.dumps(run.result.json_object(), indent=1, ensure_ascii=False)
        said.append(_message(run, "ai", "result", f"```json\n{written}\n```"))
    return [*said]


def _word_response(response: HitlResponse) -> str:
    said = response.selectedOptionId or response.freeformText
    if said is None and response.data is not None:
        said = json.dumps(response.data, ensure_ascii=False)
    return said or str(response.responseType)


def _message(run: Run, type_: str, name: str, text: str) -> JsonObject:
    return {
        "type": type_,
        "id": f"{run.runId}-{name}",
        "content": text,
        "additional_kwargs": {},
        "response_metadata": {},
        "name": None,
    }


def is_at_rest(run: Run) -> bool:
    return run.status is RunStatus.AWAITING_HITL or run.status in ENDED
