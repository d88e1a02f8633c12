"""What happened to a run, a line a frame, in words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from hitl_orchestrator.domain.events import PROGRESS
from hitl_orchestrator.domain.ports import Frame

LEFT_OUT = {"metrics"}  # types of frames that tell a person nothing


class TimelineEntry(NamedTuple):
    at: datetime
    type: str
    words: str


def write_timeline(frames: Sequence[Frame]) -> list[TimelineEntry]:
    return [_describe(frame.body) for frame in frames if frame.body["type"] not in LEFT_OUT]


def find_last_lines(frames: Iterable[Frame]) -> dict[str, str]:
    """Return, by step, what each said last while it worked."""
    bodies: list[dict[str, Any]] = [frame.body for frame in frames]
    told = [body for body in bodies if not PROGRESS.isdisjoint(body["data"])]
    return {body["data"]["stepId"]: body["message"] for body in told}


def _describe(body: Mapping[str, Any]) -> TimelineEntry:
    type_, message, data = body["type"], body["message"], body["data"]
    if "hitl" in data:
        words = _describe_question(message, data["hitl"])
    elif type_ == "plan_update":
        words = f"Plan, version {data['version']}: {data['reason']}"
    else:
        words = message[:1].upper() + message[1:]
    return TimelineEntry(datetime.fromisoformat(body["at"]), type_, words)


def _describe_question(message: str, hitl: Mapping[str, Any]) -> str:
    if message == "requested":
        return f"Asks: {hitl['question']}"
    if message == "denied":
        return f"Refused by a guard: {hitl['denialReason']}"
    response = hitl.get("response")
    if response is None:
        return f"Closed: {hitl['denialReason']}"
    person: Mapping[str, Any] = response.get("responder") or {}
    who = person.get("displayName") or person.get("id") or "Somebody"
    if response["status"] == "denied":
        return f"{who} rejected it: {response['reason']}"
    return f"{who} answered"
