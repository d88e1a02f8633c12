"""The routes. What a call may do is asked of its key here: its path alone does not say it."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from hitl_orchestrator.domain.errors import (
    Conflict,
    Invalid,
    NotFound,
)
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.server.new_run import Id
from hitl_orchestrator.server.protocols.agent_server.calls import (
    AgentServerRoute,
    Body,
    Outset,
    TheCall,
    ThreadCall,
)
from hitl_orchestrator.server.protocols.agent_server.listing import read_search
from hitl_orchestrator.server.protocols.agent_server.orders import END, read_end, read_modes
from hitl_orchestrator.server.protocols.agent_server.streams import (
    EventPlace,
    write_refusal,
    write_run_events,
)
from hitl_orchestrator.server.protocols.agent_server.thread_protocol import (
    find_code,
    follow_thread,
    read_command,
)
from hitl_orchestrator.server.protocols.agent_server.threads import (
    ASSISTANTS,
    ORCHESTRATOR,
    QUESTIONS,
    Thread,
    find_graph,
    is_at_rest,
    write_assistant,
    write_checkpoint,
    write_final,
    write_run,
    write_state,
    write_thread,
)
from hitl_orchestrator.server.protocols.client import describe
from hitl_orchestrator.server.sse import EventStream, stream_chunks

WAIT_SECONDS = 600.0  # then who waits is to come back
INPUT: JsonObject = {
    "type": "object",
    "properties": {
        "objective": {"type": "string"},
        "messages": {"type": "array"},
        "inputs": {"type": "object"},
        "outputs": {"type": "array", "items": {"type": "string"}},
        "agents": {"type": "array", "items": {"type": "string"}},
        "maxHitlRequests": {"type": "integer"},
    },
}

router = APIRouter(prefix="/langgraph", route_class=AgentServerRoute, redirect_slashes=False)
ThreadId = Annotated[Id, Path()]
RunId = Annotated[Id, Path()]


async def _take_stream_place(request: Request) -> AsyncGenerator[None]:
    with request.app.state.streams.taken_by(request):
        yield


async def _take_waiting_place(request: Request) -> AsyncGenerator[None]:
    with request.app.state.waiting_calls.taken_by(request):
        yield


StreamPlace, WaitingPlace = Depends(_take_stream_place), Depends(_take_waiting_place)


def build_app() -> ASGIApp:
    return router


# -- what is open without a key


@router.get("/ok")
async def show_ok() -> Json:
    return {"ok": True}


@router.get("/info")
async def show_info() -> Json:
    """Say what is offered: Agent Inbox asks it of an address that it is given."""
    return {
        "version": "0.7.0",
        "langgraph_py_version": "1.2.22",
        "flags": {"assistants": True, "crons": False, "langsmith": False},
        "host": {"kind": "self-hosted", "project_id": None, "tenant_id": None, "revision_id": ""},
    }


# -- assistants


@router.post("/assistants/search")
async def search_assistants(body: Body, call: TheCall) -> Json:
    call.check(Scope.READ, Scope.ASK)
    wanted = body.get("graph_id")
    return [write_assistant(name) for name in ASSISTANTS if wanted in (None, name)]


@router.get("/assistants/{assistant_id}")
async def show_assistant(assistant_id: str, call: TheCall) -> Json:
    call.check(Scope.READ, Scope.ASK)
    return write_assistant(find_graph(assistant_id) or ORCHESTRATOR)


@router.get("/assistants/{assistant_id}/schemas")
async def show_schemas(assistant_id: str, call: TheCall) -> Json:
    call.check(Scope.READ, Scope.ASK)
    graph, anything = find_graph(assistant_id), {"type": "object"}
    schemas: JsonObject = {"input_schema": INPUT, "output_schema": {**anything}}
    schemas |= {"state_schema": {**anything}, "config_schema": {}, "context_schema": {}}
    return {"graph_id": graph, **schemas}


@router.get("/assistants/{assistant_id}/graph")
async def show_graph(assistant_id: str, call: TheCall) -> Json:
    """Show the agents by name, to whoever may list them."""
    call.check(Scope.READ)
    find_graph(assistant_id)
    names = ("__start__", "planner", *call.hitl.capabilities, "guard", END)
    nodes: list[Json] = [{"id": name, "type": "runnable", "data": {"name": name}} for name in names]
    edges: list[Json] = [{"source": "__start__", "target": "planner"}]
    for name in names[2:]:
        edges.append({"source": "planner", "target": name, "conditional": True})
    return {"nodes": nodes, "edges": edges}


# -- threads


@router.post("/threads/search")
async def search_threads(body: Body, call: TheCall) -> Json:
    call.check(Scope.READ)
    graph, wanted, offset, limit, select = read_search(body)
    if graph == QUESTIONS:
        found = [Thread(*one) for one in await call.hitl.questions(wanted, offset, limit)]
    else:
        found = [Thread(run) for run in await call.hitl.threads(wanted, offset, limit)]
    return [_select(write_thread(thread), select) for thread in found]


def _select(thread: JsonObject, names: frozenset[str]) -> JsonObject:
    shown = names | {"thread_id"}
    return {name: thread[name] for name in thread if not names or name in shown}


@router.post("/threads/count")
async def count_threads(body: Body, call: TheCall) -> Json:
    """Count threads, up to ten thousand."""
    call.check(Scope.READ)
    search = read_search(body)
    count = call.hitl.count_questions if search.graph == QUESTIONS else call.hitl.count_threads
    return await count(search.wanted)


@router.post("/threads")
async def create_thread(body: Body, call: TheCall) -> Json:
    """Name a thread. Nothing is kept: it is there once a run is started on it."""
    call.check(Scope.ASK, Scope.READ)
    thread_id = body.get("thread_id")
    if isinstance(thread_id, str):
        with suppress(NotFound):
            return write_thread(await call.find(thread_id))
    now = datetime.now(UTC).isoformat()
    return {
        "thread_id": thread_id or str(uuid4()),
        "created_at": now,
        "updated_at": now,
        "metadata": body.get("metadata") or {},
        "config": {},
        "status": "idle",
        "values": None,
        "interrupts": {},
    }


@router.get("/threads/{thread_id}")
async def show_thread(thread_id: ThreadId, call: TheCall) -> Json:
    return write_thread(await call.find(thread_id))


@router.get("/threads/{thread_id}/state")
async def show_state(thread_id: ThreadId, call: TheCall) -> Json:
    return write_state(await call.find(thread_id))


@router.get("/threads/{thread_id}/state/{checkpoint_id}")
async def show_state_at(thread_id: ThreadId, checkpoint_id: str, call: TheCall) -> Json:
    return _show_newest(await call.find(thread_id), checkpoint_id)


@router.post("/threads/{thread_id}/state/checkpoint")
async def show_state_of(thread_id: ThreadId, body: Body, call: TheCall) -> Json:
    checkpoint = body.get("checkpoint")
    wanted = checkpoint.get("checkpoint_id") if isinstance(checkpoint, dict) else None
    return _show_newest(await call.find(thread_id), wanted)


def _show_newest(thread: Thread, checkpoint_id: Json) -> JsonObject:
    """Return the state. Raise NotFound: it is not the one that is asked for."""
    if checkpoint_id not in (None, write_checkpoint(thread)["checkpoint_id"]):
        raise NotFound("Only the newest state is kept.")
    return write_state(thread)


@router.get("/threads/{thread_id}/history")
@router.post("/threads/{thread_id}/history")
async def show_history(thread_id: ThreadId, call: TheCall) -> Json:
    return [write_state(await call.find(thread_id))]


@router.post("/threads/{thread_id}/state")
async def update_state(thread_id: ThreadId, body: Body, call: TheCall) -> Json:
    """End a question, as Agent Inbox's "mark as resolved" does; nothing else is written here."""
    call.check(Scope.DECIDE)
    if body.get("as_node") != END or body.get("values") is not None:
        raise Invalid(
            f'State is written by runs alone; only {{"values": null, "as_node": "{END}"}} is taken.'
        )
    thread = await call.find(thread_id)
    done = await call.decide(read_end(thread))
    return {"checkpoint": write_checkpoint(thread.at(done.run))}


# -- runs


@router.post("/threads/{thread_id}/runs")
async def create_run(thread_id: ThreadId, body: Body, call: TheCall) -> Response:
    begun = await call.begin(thread_id, body)
    return JSONResponse(write_run(begun.thread), headers=_locate(begun.thread))


@router.post("/runs")
async def create_run_alone(body: Body, call: TheCall) -> Response:
    begun = await call.begin(None, body)
    return JSONResponse(write_run(begun.thread), headers=_locate(begun.thread))


@router.post("/threads/{thread_id}/runs/wait", dependencies=[WaitingPlace])
async def wait_for_run(thread_id: ThreadId, body: Body, call: TheCall) -> Response:
    return await _wait(call, (await call.begin(thread_id, body)).thread)


@router.post("/runs/wait", dependencies=[WaitingPlace])
async def wait_for_run_alone(body: Body, call: TheCall) -> Response:
    return await _wait(call, (await call.begin(None, body)).thread)


@router.get("/threads/{thread_id}/runs/{run_id}/join", dependencies=[WaitingPlace])
async def join_run(thread_id: ThreadId, run_id: RunId, call: TheCall) -> Response:
    return await _wait(call, await call.find_run(thread_id, run_id))


async def _wait(call: ThreadCall, thread: Thread) -> Response:
    """Return what the run comes to. Who waits too long is told so: half a state says nothing."""
    thread = thread.at(await call.hitl.wait(thread.run.runId, WAIT_SECONDS))
    if not is_at_rest(thread.run):
        raise HTTPException(503, f"Run {thread.run.runId} is {thread.run.status}: join it again.")
    location = f"{_path(thread)}/join"
    return JSONResponse(write_final(thread), headers=_locate(thread) | {"Location": location})


@router.post("/threads/{thread_id}/runs/stream", dependencies=[StreamPlace])
async def stream_run(thread_id: ThreadId, body: Body, call: TheCall) -> Response:
    return await _stream_begun(call, thread_id, body)


@router.post("/runs/stream", dependencies=[StreamPlace])
async def stream_run_alone(body: Body, call: TheCall) -> Response:
    return await _stream_begun(call, None, body)


async def _stream_begun(call: ThreadCall, thread_id: str | None, body: JsonObject) -> Response:
    """Begin and stream. What is refused is an event with words: of a status clients show none."""
    try:
        modes = read_modes(body)
        begun = await call.begin(thread_id, body)
    except (Conflict, Invalid, NotFound) as error:
        return stream_chunks(write_refusal(type(error).__name__, describe(error)))
    return _stream(call, begun, modes)


@router.get("/threads/{thread_id}/runs/{run_id}/stream", dependencies=[StreamPlace])
async def join_stream(
    thread_id: ThreadId,
    run_id: RunId,
    call: TheCall,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Stream a run from its beginning, or from where a stream was cut."""
    modes = read_modes({"stream_mode": [*(stream_mode or ())]})
    begun = Outset(await call.find_run(thread_id, run_id), EventPlace.read(last_event_id))
    return _stream(call, begun, modes)


def _stream(call: ThreadCall, begun: Outset, modes: list[str]) -> EventStream:
    """Send the events. By `Location` both SDKs come back to a stream that was cut."""
    events = write_run_events(call.hitl, begun.thread, modes, begun.after)
    response = stream_chunks(events)
    query = urlencode([("stream_mode", mode) for mode in modes])
    response.headers.update(_locate(begun.thread))
    response.headers["Location"] = f"{_path(begun.thread)}/stream?{query}"
    return response


@router.get("/threads/{thread_id}/runs")
async def list_runs(
    thread_id: ThreadId, call: TheCall, limit: Annotated[int, Query(ge=1, le=200)] = 10
) -> Json:
    thread = await call.find(thread_id)
    if thread.request:
        return [write_run(thread)]
    call.check(Scope.READ)
    page = await call.hitl.runs(thread_id=thread_id, limit=limit)
    return [write_run(Thread(run)) for run in page.rows]


@router.get("/threads/{thread_id}/runs/{run_id}")
async def show_run(thread_id: ThreadId, run_id: RunId, call: TheCall) -> Json:
    return write_run(await call.find_run(thread_id, run_id))


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def cancel_run(
    thread_id: ThreadId, run_id: RunId, call: TheCall, action: str = "interrupt"
) -> Response:
    """Cancel a run, by a key that may do everything: as `/api/runs/{runId}/cancel` has it."""
    call.check(Scope.ADMIN)
    thread = await call.find_run(thread_id, run_id)
    if thread.request:
        raise Invalid("A question is answered or denied; its run is cancelled on its own thread.")
    if action != "interrupt":
        raise Invalid("Not offered here: another `action` than `interrupt`.")
    await call.hitl.cancel(RunRef(run_id), "Cancelled", call.client.by)
    return Response(status_code=204)


def _path(thread: Thread) -> str:
    """Return the run's path as clients know it, below the address that they were given."""
    return f"/threads/{quote(thread.id, safe='')}/runs/{thread.run.runId}"


def _locate(thread: Thread) -> dict[str, str]:
    return {"Content-Location": _path(thread)}


# -- the thread protocol


@router.post("/threads/{thread_id}/commands")
async def take_command(thread_id: ThreadId, body: Body, call: TheCall) -> Json:
    call.check(Scope.ASK, Scope.DECIDE)
    id_ = body.get("id")
    try:
        begun = await call.begin(thread_id, read_command(body))
    except (Conflict, Invalid, NotFound) as error:
        code = find_code(error)
        return {"type": "error", "id": id_, "error": code, "message": describe(error)}
    return {"type": "success", "id": id_, "result": {"run_id": begun.thread.run.runId}}


@router.post("/threads/{thread_id}/stream/events", dependencies=[StreamPlace])
async def stream_thread(thread_id: ThreadId, body: Body, call: TheCall) -> Response:
    call.check(Scope.READ, Scope.ASK)
    channels, since = body.get("channels"), body.get("since")
    if not isinstance(channels, list) or not isinstance(since or 0, int):
        raise Invalid("`channels` is to be a list, and `since` a whole number.")
    with suppress(NotFound):
        await call.find(thread_id)  # a key that may not see it is told so
    names = [str(one) for one in channels]
    return stream_chunks(follow_thread(call, thread_id, names, int(str(since or 0))))
