"""Frames: what is told of a run as it happens, as JSON."""

from datetime import datetime

from hitl_orchestrator.domain.events import VOICES, Event
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import StoredRun


def build_frame(run: StoredRun, seq: int, event: Event, now: datetime) -> JsonObject | None:
    """Return the frame of an event; None: it has none."""
    type_ = VOICES[event.kind].frame
    if type_ is None:
        return None
    run_id = run.runId
    return {
        "seq": seq,
        "type": type_,
        "runId": run_id,
        "threadId": run.threadId,
        "correlationId": run_id,
        "at": now.isoformat().replace("+00:00", "Z"),
        "message": event.message,
        "data": event.data,
    }
