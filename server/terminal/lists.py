"""Long lists a line each: the queue of questions, runs, capabilities."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from hitl_orchestrator.server.terminal.columns import Column, lay_out, write_tabs
from hitl_orchestrator.server.terminal.console import STATUS_STYLES, Terminal
from hitl_orchestrator.server.terminal.ids import shorten_ids
from hitl_orchestrator.server.terminal.text import describe_age
from hitl_orchestrator.server.terminal.wire import (
    CapabilityJson,
    PausedRunJson,
    RequestJson,
    RunJson,
)

_QUEUE = (
    Column("Request"),
    Column("Waits"),
    Column("Urgency"),
    Column("Objective", share=1),
    Column("Question", share=2),
)
_RUNS = (Column("Run"), Column("Status"), Column("Age"), Column("Objective", share=1))
_CAPABILITIES = (
    Column("Capability"),
    Column("Takes", share=2),
    Column("Makes", share=1),
    Column("What it does", share=3),
)
_NEVER = "9999-12-31T00:00:00Z"
_RANKS = {"high": -2, "normal": -1, "low": 0}
_URGENCY_STYLES = {"high": "red", "low": "dim"}


class WaitingQuestion(NamedTuple):
    """A question of the queue, with what its run is for."""

    request: RequestJson
    objective: str

    @property
    def urgency(self) -> str:
        return self.request.get("urgency", "normal")

    @property
    def place(self) -> tuple[int, datetime, str]:
        """Return where it stands: the most urgent first, then the oldest."""
        asked = datetime.fromisoformat(self.request.get("createdAt") or _NEVER)
        return _RANKS.get(self.urgency, 0), asked, self.request["requestId"]


def list_waiting(runs: Iterable[PausedRunJson]) -> list[WaitingQuestion]:
    """Return the questions of paused runs in the queue's order."""
    found: list[WaitingQuestion] = []
    for run in runs:
        objective = run["executionContext"]["objective"]
        found += [WaitingQuestion(request, objective) for request in run["pendingRequests"]]
    return sorted(found, key=lambda each: each.place)


def draw_queue(waiting: Sequence[WaitingQuestion], now: datetime, terminal: Terminal) -> Text:
    """Draw the questions, with how long each has waited."""
    short = shorten_ids(each.request["requestId"] for each in waiting)
    rows = [
        (
            short[each.request["requestId"]],
            _describe_wait(each.request.get("createdAt"), now),
            each.urgency,
            each.objective,
            each.request["question"],
        )
        for each in waiting
    ]
    styles = [_URGENCY_STYLES.get(each.urgency, "") for each in waiting]
    return _join(_lay_out(_QUEUE, rows, terminal), styles)


def list_queue(waiting: Iterable[WaitingQuestion]) -> list[str]:
    """Return a line for each question, for programs: id, since when, urgency, agent, …"""
    return [
        write_tabs(
            (
                each.request["requestId"],
                each.request.get("createdAt") or "",
                each.urgency,
                each.request["originAgent"],
                each.objective,
                each.request["question"],
            )
        )
        for each in waiting
    ]


def draw_runs(runs: Sequence[RunJson], now: datetime, terminal: Terminal) -> Text:
    short = shorten_ids(run["runId"] for run in runs)
    rows = [
        (
            short[run["runId"]],
            run["status"],
            _describe_wait(run["createdAt"], now),
            run["objective"],
        )
        for run in runs
    ]
    styles = [STATUS_STYLES.get(run["status"], "") for run in runs]
    return _join(_lay_out(_RUNS, rows, terminal), styles)


def list_runs(runs: Iterable[RunJson]) -> list[str]:
    """Return a line for each run, for programs: id, status, since when, thread, objective."""
    return [
        write_tabs(
            (run["runId"], run["status"], run["createdAt"], run["threadId"], run["objective"])
        )
        for run in runs
    ]


def draw_capabilities(capabilities: Iterable[CapabilityJson], terminal: Terminal) -> Text:
    rows = list(map(_write_capability, capabilities))
    return _join(_lay_out(_CAPABILITIES, rows, terminal), [""] * len(rows))


def list_capabilities(capabilities: Iterable[CapabilityJson]) -> list[str]:
    """Return a line for each capability, for programs: id, takes, makes, what it does."""
    return [write_tabs(_write_capability(each)) for each in capabilities]


def _write_capability(capability: CapabilityJson) -> tuple[str, ...]:
    return (
        capability["capabilityId"],
        ", ".join(capability["inputFacets"]),
        ", ".join(capability["outputFacets"]),
        capability["summary"] or capability["displayName"],
    )


def _lay_out(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], terminal: Terminal
) -> list[str]:
    mark = "…" if terminal.encoding.startswith("utf") else "~"
    return lay_out(columns, rows, terminal.width, mark)


def _join(lines: Sequence[str], styles: Sequence[str]) -> Text:
    """Return the titles and the rows, each in its style."""
    title, *rows = lines
    return Text("\n").join([Text(title, "dim"), *map(Text, rows, styles)])


def _describe_wait(since: str | None, now: datetime) -> str:
    if not since:
        return ""
    return describe_age((now - datetime.fromisoformat(since)).total_seconds())
