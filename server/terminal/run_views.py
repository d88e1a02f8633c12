"""Runs, their plans, frames and results, as a terminal shows them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import cast

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hitl_orchestrator.server.terminal.console import (
    STATUS_STYLES,
    add_row,
    make_facts,
    make_table,
)
from hitl_orchestrator.server.terminal.decisions import describe_decision
from hitl_orchestrator.server.terminal.ids import shorten_ids
from hitl_orchestrator.server.terminal.text import join_lines, outline
from hitl_orchestrator.server.terminal.wire import (
    ENDED,
    FrameJson,
    Json,
    JsonObject,
    ResultJson,
    RunJson,
    StepJson,
    is_progress,
)

_GLYPHS = {
    "pending": ("○", "dim"),
    "running": ("●", "cyan"),
    "awaiting_hitl": ("?", "bold yellow"),
    "completed": ("✔", "green"),
    "denied": ("✘", "yellow"),
    "failed": ("✘", "red"),
    "skipped": ("–", "dim"),
}
NO_LINES: Mapping[str, str] = MappingProxyType({})
STILL_WORKING = "Its work cannot be stopped and goes on; its thread takes no other run meanwhile."
_FRAME_STYLES = {"warning": "yellow", "error": "red", "complete": "green", "handoff": "default"}


def draw_run(run: RunJson) -> RenderableType:
    facts = {
        "Run": run["runId"],
        "Thread": run["threadId"],
        "Status": run["status"],
        "Objective": run["objective"],
    }
    if held := run.get("held"):
        facts["Held"] = held["reason"]
    parts: list[RenderableType] = [make_facts(facts)]
    if plan := run["plan"]:
        title = Text(f"Plan, version {plan['version']}", "bold")
        parts += [Text(), title, draw_plan(plan["steps"])]
    if run["requests"]:
        parts += [Text(), _draw_requests(run)]
    if run["status"] in ENDED:
        parts += [Text(), draw_result(run)]
    return Group(*parts)


def draw_plan(
    steps: Iterable[StepJson], live: bool = False, lines: Mapping[str, str] = NO_LINES
) -> RenderableType:
    """Draw a list whose steps tick off; `live`: with a spinner where work is going on.

    `lines`: by step, what it said last; shown while it is at work.
    """
    table = Table.grid(padding=(0, 1))
    for step in steps:
        said = f": {line}" if (line := _find_line(step, lines)) else ""
        details = Text(f"{step['capabilityId']}{_describe_reason(step)}{said}", "dim")
        table.add_row(_draw_mark(step, live), Text(join_lines(step["label"])), details)
    return table


def _find_line(step: StepJson, lines: Mapping[str, str]) -> str:
    is_at_work = step.get("status") == "running"
    return join_lines(lines.get(step["stepId"], "")) if is_at_work else ""


def _draw_mark(step: StepJson, live: bool) -> RenderableType:
    status = step.get("status", "pending")
    glyph, style = _GLYPHS.get(status, ("·", ""))
    if live and status == "running":
        return Spinner("dots", style=style)
    return Text(glyph, style)


def _describe_reason(step: StepJson) -> str:
    reason = step.get("reason")
    return f" ({join_lines(reason)})" if reason else ""


def _draw_requests(run: RunJson) -> Table:
    table = make_table("Request", "Agent", "Question", "Decision")
    short = shorten_ids(request["requestId"] for request in run["requests"])
    for request in run["requests"]:
        add_row(
            table,
            short[request["requestId"]],
            request["originAgent"],
            request["question"],
            describe_decision(request, run) or request["status"],
        )
    return table


def draw_result(run: RunJson) -> RenderableType:
    """Draw how a run ended: what it made, what it did not make and why."""
    status = run["status"]
    parts: list[RenderableType] = [
        Text.assemble("The run is ", (status, STATUS_STYLES.get(status, "")), _describe_end(run))
    ]
    if run.get("stillWorking"):
        parts.append(Text(STILL_WORKING, "yellow"))
    result = run["result"] or ResultJson(outputs={})
    for facet, value in result["outputs"].items():
        parts += _draw_output(facet, value)
    if not_done := result.get("notDone"):
        parts += [Text(), Text("Not done", "bold yellow")]
        for step in not_done:
            parts.append(
                Text(f"  {join_lines(step['capabilityId'])}: {join_lines(step['reason'])}")
            )
    return Group(*parts)


def _describe_end(run: RunJson) -> str:
    if run["error"]:
        return f": {run['error']['message']}"
    log: list[JsonObject] = run["metadata"].get("auditLog") or []
    if run["status"] == "cancelled" and log and log[-1].get("reason"):
        return f": {log[-1]['reason']}"
    return "."


def _draw_output(facet: str, value: Json) -> list[RenderableType]:
    if files := _list_files(value):
        title = Text.assemble((facet, "bold"), ", in the server's outbox")
        return [Text(), title, Text("\n".join(files))]
    return [Text(), Text(facet, "bold"), Text("\n".join(outline(value, "  ")))]


def _list_files(value: Json) -> list[str]:
    """Return a line for each file that the facet names in a folder of the outbox."""
    if not isinstance(value, dict):
        return []
    facet = cast(JsonObject, value)
    files = facet.get("files")
    if not isinstance(files, list):
        return []
    lines: list[str] = []
    for file in cast(list[Json], files):
        if isinstance(file, dict) and "file" in file:
            lines.append(f"  {facet.get('folder')}/{file['file']}")
    return lines


def draw_frame(frame: FrameJson) -> Text:
    """Draw a frame as one line, whatever it says."""
    time = datetime.fromisoformat(frame["at"]).astimezone().strftime("%H:%M:%S")
    said = f"{frame['type']:<11} {join_lines(_describe_frame(frame))}"
    return Text.assemble((time, "dim"), "  ", (said, _FRAME_STYLES.get(frame["type"], "dim")))


def _describe_frame(frame: FrameJson) -> str:
    data, message = frame["data"], frame["message"]
    hitl: JsonObject | None = data.get("hitl")
    if hitl and message == "occurred":
        return f"{_describe_answer(hitl)} ({hitl['requestId']})"
    if hitl and message == "denied":
        return f"{data['from']} may not ask: {hitl['denialReason']} ({hitl['question']})"
    if hitl:
        return f"{data['from']} asks: {hitl['question']} ({hitl['requestId']})"
    if is_progress(frame):
        return f"{data['from']}: {message}"
    if frame["type"] == "complete" and data.get("reason"):
        return f"{message}: {data['reason']}"
    return message


def _describe_answer(hitl: JsonObject) -> str:
    """Return what became of a question; the words of an answer are not repeated."""
    if hitl["status"] == "denied":
        return f"denied: {hitl.get('denialReason')}"
    response: JsonObject = hitl.get("response") or {}
    is_rejected = response.get("status") == "denied"
    done = f"rejected: {response.get('reason')}" if is_rejected else "answered"
    who: JsonObject = response.get("responder") or {}
    return f"{done} by {who.get('displayName') or who['id']}" if who else done
