"""The thread protocol: commands, and one stream a thread, whatever runs on it.

Every answer names its interrupt; what one client answered the others are told.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from hitl_orchestrator.domain.errors import Invalid, NotFound, OrchestratorError, RequestNotPending
from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import ENDED, Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.protocols.agent_server.calls import ThreadCall
from hitl_orchestrator.server.protocols.agent_server.streams import write_event
from hitl_orchestrator.server.protocols.agent_server.threads import (
    ORCHESTRATOR,
    RUN_STATUSES,
    Thread,
    write_interrupts,
    write_values,
)

LOOK_SECONDS = 0.5  # so rarely at a thread without an active run, whatever else goes on here
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_STRIDE = 1_000_000  # numbers of one run; the next one begins at least a tenth of a second later
_EACH = 10  # numbers of one frame

START, ANSWER = "run.start", "input.respond"
NOT_OFFERED = frozenset(
    {"agent.getTree", "state.get", "state.listCheckpoints", "state.fork", "input.inject"}
)


class NotOffered(Invalid):
    """A command of the protocol that is none of ours. `more`: code."""


def read_command(body: JsonObject) -> JsonObject:
    """Return a command as the body of a run. Raise Invalid or NotOffered."""
    method, params = body.get("method"), body.get("params") or {}
    if not isinstance(params, dict):
        raise Invalid("`params` is to be an object.")
    if method == START:
        return params
    if method != ANSWER:
        code = "not_supported" if method in NOT_OFFERED else "unknown_command"
        raise NotOffered(f"The command {str(method)[:100]!r} is not offered here.", code=code)
    if params.get("update") or params.get("goto"):
        raise NotOffered("`update` and `goto` would go past the guard.", code="not_supported")
    resume = JsonObject()
    for one in _list_responses(params):
        if not isinstance(one, dict) or not isinstance(one.get("interrupt_id"), str):
            raise Invalid("An answer wants its `interrupt_id`.")
        name = str(one["interrupt_id"])
        if not name.startswith("hitl_"):  # else it would be taken for an answer without an id
            raise NotFound(f"There is no interrupt {name[:100]}.")
        if name in resume:
            raise Invalid(f"Interrupt {name} is answered twice.")
        resume[name] = one.get("response")
    return {"command": {"resume": resume}}


def find_code(error: OrchestratorError) -> Json:
    """Return what the protocol calls a refusal."""
    if isinstance(error, NotOffered):
        return error.more["code"]
    is_gone = isinstance(error, (NotFound, RequestNotPending))
    return "no_such_interrupt" if is_gone else "invalid_argument"


def _list_responses(params: JsonObject) -> list[Json]:
    several = params.get("responses")
    return several if isinstance(several, list) and several else [params]


async def follow_thread(
    call: ThreadCall, thread_id: str, channels: Sequence[str], since: int
) -> AsyncGenerator[bytes]:
    """Write what happens on a thread, from now on for ever; it need not have begun."""
    events = ThreadEvents(call.hitl, channels, since)
    run_id: str | None = None
    while not call.hitl.is_ending:
        async with aclosing(call.hitl.touches(run_id)) as touches:
            async for _ in touches:
                thread = await _find(call, thread_id)
                if thread:
                    async for event in events.read(thread):
                        yield event
                active = thread.run.runId if thread and thread.run.status not in ENDED else None
                if active != run_id:
                    run_id = active
                    break
                if active is None:  # woken by whatever runs here
                    await asyncio.sleep(LOOK_SECONDS)


async def _find(call: ThreadCall, thread_id: str) -> Thread | None:
    try:
        return await call.find(thread_id)
    except NotFound:
        return None


class ThreadEvents:
    """The events of a thread behind a number, read again whenever something may have happened.

    A client drops a number that it has seen, so each is given once, and those of a later run are
    higher: they come of when the run was made.
    """

    def __init__(self, hitl: Orchestrator, channels: Sequence[str], since: int) -> None:
        self._hitl, self._channels, self._since = hitl, channels, since
        self._run_id, self._after, self._told = "", 0, ("", 0, 0)

    async def read(self, thread: Thread) -> AsyncGenerator[bytes]:
        """Yield what is new of it. The frames are read before the run, which then has them all."""
        run_id = thread.run.runId
        if run_id != self._run_id:
            self._run_id, self._after, self._told = run_id, 0, ("", 0, 0)
        frames = list[Frame]()
        while batch := await self._hitl.frames_after(run_id, self._after):
            frames += batch
            self._after = batch[-1].seq
        thread = thread.at(await self._hitl.run(run_id))
        base = int((thread.run.createdAt - _EPOCH).total_seconds() * 10) * _STRIDE
        pending = {one["id"]: one for one in write_interrupts(thread) if isinstance(one, dict)}
        for frame in frames:
            for number, (method, data) in enumerate(_list_thread_events(frame.body, pending)):
                yield self._write(thread, method, data, base + frame.seq * _EACH + number)
        told = thread.run.status, len(thread.pending), self._after
        if told != self._told:
            self._told = told
            number = base + self._after * _EACH + _EACH - 2
            yield self._write(thread, "values", write_values(thread.run), number)
            if rest := _list_rest(thread.run):
                yield self._write(thread, "lifecycle", rest, number + 1)

    def _write(self, thread: Thread, method: str, data: JsonObject, number: int) -> bytes:
        if number <= self._since or method.partition(".")[0] not in self._channels:
            return b""
        now = int(datetime.now(UTC).timestamp() * 1000)
        event: JsonObject = {
            "type": "event",
            "event_id": f"{thread.id}-{number}",
            "seq": number,
            "method": method,
            "params": {"namespace": [], "timestamp": now, "data": data},
        }
        return write_event(method, event, number)


def _list_thread_events(
    frame: JsonObject, pending: dict[Json, JsonObject]
) -> list[tuple[str, JsonObject]]:
    data = frame["data"]
    hitl = data.get("hitl") if isinstance(data, dict) else None
    if frame["type"] == "start":
        return [("lifecycle", {"event": "started", "graph_name": ORCHESTRATOR})]
    if not isinstance(hitl, dict):
        return []
    request_id = hitl.get("requestId")
    if frame["message"] == "occurred":
        answered: JsonObject = {"interrupt_ids": [request_id]}
        return [("input.answered", answered), ("lifecycle", {"event": "running"})]
    if asked := pending.get(request_id):
        value: JsonObject = {"interrupt_id": request_id, "payload": asked["value"]}
        return [("input.requested", value)]
    return []


def _list_rest(run: Run) -> JsonObject | None:
    if run.error:
        return {"event": "failed", "error": run.error.message}
    words = {"interrupted": "interrupted", "success": "completed"}
    status = RUN_STATUSES[run.status]
    word = "completed" if run.status == "cancelled" else words.get(status)
    return {"event": word} if word else None
