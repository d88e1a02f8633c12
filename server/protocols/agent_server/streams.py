"""A run as a stream of server-sent events, until it has paused or ended.

Each event has an id, by which a stream that was cut goes on with the next one.
"""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Self

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.events import HUMAN
from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.protocols.agent_server.threads import (
    RUN_STATUSES,
    Thread,
    write_interrupts,
    write_values,
)

ALL = 99  # of the events of a frame; one has never so many


class EventPlace(NamedTuple):
    """Behind so many events of a frame."""

    seq: int
    events: int = ALL

    @classmethod
    def read(cls, last_event_id: str | None) -> Self:
        """Return where a stream goes on. Raise Invalid."""
        found = re.fullmatch(r"(\d{1,18})-(\d{1,2})", last_event_id or f"0-{ALL}")
        if found is None:
            raise Invalid("`Last-Event-ID` is none of a stream of runs.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.seq}-{self.events}"


async def write_run_events(
    hitl: Orchestrator, thread: Thread, modes: Sequence[str], after: EventPlace
) -> AsyncGenerator[bytes]:
    """Write the run's events behind that place, until it has paused or ended."""
    run_id, place = thread.run.runId, after
    yield write_event("metadata", {"run_id": run_id, "attempt": 1}, place)
    async with aclosing(hitl.follow_to_rest(run_id, max(after.seq - 1, 0))) as following:
        async for found in following:
            if isinstance(found, Run):
                yield _write_rest(thread.at(found), modes, place)
                return
            for frame in found:
                yield _write_frame(frame, modes, after)
                place = max(place, EventPlace(frame.seq))
            if "values" in modes:
                yield write_event("values", write_values(await hitl.run(run_id)), place)


def _write_frame(frame: Frame, modes: Sequence[str], after: EventPlace) -> bytes:
    written = list[bytes]()
    for number, (name, data) in enumerate(_list_events(frame.body, modes), 1):
        place = EventPlace(frame.seq, number)
        if place > after:
            written.append(write_event(name, data, place))
    return b"".join(written)


def _list_events(frame: JsonObject, modes: Sequence[str]) -> list[tuple[str, JsonObject]]:
    data, events = frame["data"], list[tuple[str, JsonObject]]()
    if not isinstance(data, dict):
        return events
    begins = frame["type"] == "handoff" and "hitl" not in data and data.get("to") != HUMAN
    if begins and "events" in modes:
        events.append(("events", _write_begin(frame, data.get("to"))))
    if frame["type"] == "plan_update" and "updates" in modes:
        plan: JsonObject = {"plan": data.get("steps"), "reason": data.get("reason")}
        events.append(("updates", {"planner": plan}))
    if "custom" in modes:
        events.append(("custom", frame))
    return events


def _write_begin(frame: JsonObject, node: Json) -> JsonObject:
    """Return what LangChain tells of a node that begins: Agent Inbox shows it."""
    return {
        "event": "on_chain_start",
        "name": node,
        "run_id": frame["runId"],
        "tags": [],
        "metadata": {"langgraph_node": node, "thread_id": frame["threadId"]},
        "data": {},
        "parent_ids": [],
    }


def _write_rest(thread: Thread, modes: Sequence[str], place: EventPlace) -> bytes:
    """Write what a run has come to: in each mode its questions, or why it failed."""
    run, asked = thread.run, write_interrupts(thread)
    interrupted: JsonObject = {"__interrupt__": asked} if asked else {}
    written = list[bytes]()
    if asked and "updates" in modes:
        written.append(write_event("updates", interrupted, place))
    if "values" in modes:
        written.append(write_event("values", write_values(run) | interrupted, place))
    if run.error:
        failed: JsonObject = {"error": "RunFailed", "message": run.error.message}
        written.append(write_event("error", failed, place))
    end: JsonObject = {"run_id": run.runId, "status": RUN_STATUSES[run.status]}
    written.append(write_event("end", end, place))
    return b"".join(written)


async def write_refusal(title: str, message: str) -> AsyncGenerator[bytes]:
    """Write why nothing was done: of a stream's refusal clients show nothing but an event."""
    yield write_event("error", {"error": title, "message": message}, EventPlace(0))


def write_event(name: str, data: JsonObject, id_: object) -> bytes:
    written = json.dumps(data, ensure_ascii=False)
    return f"event: {name}\nid: {id_}\ndata: {written}\n\n".encode()
