"""A run that a program before this one began: its state was in a channel for each part of it."""

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import PARTS, RUN, Delta, Snapshot


def read_earlier(found: CheckpointTuple) -> Snapshot:
    """Return its state, with what those have written who finished while others still work."""
    values: Mapping[str, Any] = found.checkpoint["channel_values"]
    state = Snapshot.read({RUN: values[RUN], **_list_parts(values)})
    written: dict[str, dict[str, Any]] = {}
    for task_id, channel, value in found.pending_writes or ():
        written.setdefault(task_id, {})[channel] = value
    for writes in written.values():
        if RUN not in writes:  # its start's are in the values
            state = state.after(Delta.read(_list_parts(writes)))
    return state


def _list_parts(values: Mapping[str, Any]) -> JsonObject:
    names = {*PARTS, "result"} - {RUN}
    return {name: values[name] for name in names if values.get(name) is not None}
