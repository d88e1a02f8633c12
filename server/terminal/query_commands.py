"""The commands that only look: `hitl pending`, `show`, `runs` and `capabilities`."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from hitl_orchestrator.server.terminal.command import AsJson, open_api, print_json
from hitl_orchestrator.server.terminal.completion import offer_anything

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.lists import WaitingQuestion
    from hitl_orchestrator.server.terminal.wire import (
        PausedRunJson,
        QueueJson,
        RequestJson,
        RunJson,
        RunsJson,
    )

LONGEST_PAGE = 200  # of the API

Limit = Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")]
All = Annotated[bool, typer.Option("--all", help="All there are, however many.")]


def pending(
    agent: Annotated[
        str | None, typer.Option(metavar="ID", help="Only questions of this agent.")
    ] = None,
    urgency: Annotated[
        Literal["low", "normal", "high"] | None,
        typer.Option(help="Only questions of this urgency."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="Only questions of this thread.")
    ] = None,
    limit: Limit = 50,
    everything: All = False,
    as_json: AsJson = False,
) -> None:
    """List the questions that wait for people: the most urgent first, then the oldest.

    Each is one line. Where stdout is no terminal, its parts are whole and stand between tabs: id,
    since when, urgency, agent, objective, question.

    \b
    Example:
      hitl pending --urgency high
      hitl pending --all | cut -f 1,6
    """
    api = open_api()
    wanted = _Wanted(agent, urgency, thread, None if everything else limit)
    queue = _read_queue(api, wanted)
    if as_json:
        print_json(queue)
    else:
        _print_queue(api, wanted, queue)


class _Wanted(NamedTuple):
    """What of the queue is asked for. `limit`: how many questions; None: all."""

    agent: str | None
    urgency: str | None
    thread: str | None
    limit: int | None

    def has(self, waiting: "WaitingQuestion") -> bool:
        """Return whether that question of a run that fits is wanted too."""
        is_agents = self.agent in (None, waiting.request["originAgent"])
        return is_agents and self.urgency in (None, waiting.urgency)


def _read_queue(api: "Api", wanted: _Wanted) -> "QueueJson":
    """Return paused runs with so many questions at least, as one page. Each has one at least."""
    runs: list[PausedRunJson] = []
    cursor: str | None = None
    while True:
        size = min(LONGEST_PAGE, (wanted.limit or LONGEST_PAGE + len(runs)) - len(runs))
        page = api.pending(wanted.agent, wanted.urgency, wanted.thread, size, cursor)
        runs += page["runs"]
        cursor = page["nextCursor"]
        if cursor is None or (wanted.limit and len(runs) >= wanted.limit):
            return {"runs": runs, "nextCursor": cursor}


def _print_queue(api: "Api", wanted: _Wanted, queue: "QueueJson") -> None:
    from hitl_orchestrator.server.terminal.lists import draw_queue, list_queue, list_waiting

    found = list(filter(wanted.has, list_waiting(queue["runs"])))
    shown = found[: wanted.limit]
    is_whole = queue["nextCursor"] is None and len(shown) == len(found)
    length = _describe_length(len(shown), "question", None if is_whole else _count(api, wanted))
    terminal, notes = _open_terminals()
    if not found:
        notes.say("Nothing waits for a person.")
    elif terminal:
        notes_below = (length, "Answer one with: hitl answer ID; look at it: hitl show ID")
        _page(terminal, draw_queue(shown, datetime.now(UTC), terminal), *notes_below)
    else:
        _print_lines(list_queue(shown))
        if not is_whole:
            notes.say(length)
    _say_held(api, notes)


def _say_held(api: "Api", notes: "Terminal") -> None:
    from hitl_orchestrator.server.terminal.errors import ClientError

    with suppress(ClientError):  # it answers, but could not drive
        if held := api.count_held():
            notes.say(
                f"{held} held, for agents that are not plugged in: `hitl show RUN_ID` says why."
            )


def _describe_length(shown: int, noun: str, total: int | None) -> str:
    """Say how many there are. `total`: of which these are the first; None: these are all.

    0: of how many is not known.
    """
    if total:
        return f"{shown:,} of {total:,} {noun}s; --all shows all."
    counted = f"1 {noun}" if shown == 1 else f"{shown:,} {noun}s"
    return f"{counted}." if total is None else f"{counted} and more; --all shows all."


def _count(api: "Api", wanted: _Wanted) -> int:
    """Return how many questions wait; 0 where that is not counted."""
    if wanted.thread or (wanted.agent and wanted.urgency):
        return 0
    counts = api.count_pending()
    if wanted.agent:
        return counts["byAgent"].get(wanted.agent, 0)
    return counts["byUrgency"].get(wanted.urgency, 0) if wanted.urgency else counts["pending"]


def show(
    anything: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_REQUEST_ID",
            help="A run, a question (a beginning of the id that only it has will do), or a "
            "thread: its newest run.",
            autocompletion=offer_anything,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show a run, or a question with all that is needed to decide it, and who decided what.

    \b
    Example:
      hitl show run_0d9c
      hitl show hitl_5b21 --json
    """
    api = open_api()
    found = _find(api, anything)
    if as_json:
        print_json(found)
    else:
        _print_found(api, found)


def _find(api: "Api", anything: str) -> "RunJson | RequestJson":
    """Return the run or question of that id, or the newest run of that thread."""
    from hitl_orchestrator.server.terminal.errors import UnknownToServer
    from hitl_orchestrator.server.terminal.ids import complete_request_id, complete_run_id

    with suppress(UnknownToServer):
        if anything.startswith("hitl_"):
            return api.request(complete_request_id(api, anything))
        if anything.startswith("run_"):
            return api.run(complete_run_id(api, anything))
    for search in (api.run, api.request):
        with suppress(UnknownToServer):
            return search(anything)
    return api.newest_run(anything)


def _print_found(api: "Api", found: "RunJson | RequestJson") -> None:
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.pager import page
    from hitl_orchestrator.server.terminal.question_views import draw_request
    from hitl_orchestrator.server.terminal.run_views import draw_run

    terminal = Terminal()
    if "objective" in found:
        page(terminal, draw_run(found))
    else:
        run = api.run(found["runId"])
        page(terminal, draw_request(found, terminal.is_terminal, run))


def runs(
    status: Annotated[
        Literal["queued", "running", "awaiting_hitl", "completed", "failed", "cancelled"] | None,
        typer.Option(help="Only runs in this status."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs of this thread.")
    ] = None,
    limit: Limit = 50,
    everything: All = False,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first.

    Each is one line. Where stdout is no terminal, its parts are whole and stand between tabs: id,
    status, since when, thread, objective.

    \b
    Example:
      hitl runs --status failed
    """
    found = _read_runs(open_api(), status, thread, None if everything else limit)
    if as_json:
        print_json(found)
    else:
        _print_runs(found)


def _read_runs(api: "Api", status: str | None, thread: str | None, limit: int | None) -> "RunsJson":
    """Return so many runs at most, as one page; None: all."""
    found: list[RunJson] = []
    cursor: str | None = None
    while True:
        size = min(LONGEST_PAGE, (limit or LONGEST_PAGE + len(found)) - len(found))
        page = api.runs(status, thread, size, cursor)
        found += page["runs"]
        cursor = page["nextCursor"]
        if cursor is None or (limit and len(found) >= limit):
            return {"runs": found, "nextCursor": cursor}


def _print_runs(found: "RunsJson") -> None:
    from hitl_orchestrator.server.terminal.lists import draw_runs, list_runs

    length = _describe_length(len(found["runs"]), "run", 0 if found["nextCursor"] else None)
    terminal, notes = _open_terminals()
    if not found["runs"]:
        notes.say("There are no such runs.")
    elif terminal:
        _page(terminal, draw_runs(found["runs"], datetime.now(UTC), terminal), length)
    else:
        _print_lines(list_runs(found["runs"]))
        if found["nextCursor"]:
            notes.say(length)


def capabilities(as_json: AsJson = False) -> None:
    """List what the agents that are plugged in can make, and of what.

    \b
    Example:
      hitl capabilities
    """
    from hitl_orchestrator.server.terminal.lists import draw_capabilities, list_capabilities

    found = open_api().capabilities()
    terminal, _ = _open_terminals()
    if as_json:
        print_json(found)
    elif terminal:
        _page(terminal, draw_capabilities(found["capabilities"], terminal))
    else:
        _print_lines(list_capabilities(found["capabilities"]))


def _open_terminals() -> "tuple[Terminal | None, Terminal]":
    """Return the terminal of stdout, if it is one, and the one that takes notes beside a list."""
    from hitl_orchestrator.server.terminal.console import Terminal

    terminal = Terminal()
    return (terminal, terminal) if sys.stdout.isatty() else (None, Terminal(sys.stderr))


def _page(terminal: "Terminal", view: "RenderableType", *notes: str) -> None:
    from rich.text import Text

    from hitl_orchestrator.server.terminal.pager import page

    page(terminal, view, *(Text(note, "dim") for note in notes), soft_wrap=True)


def _print_lines(lines: Sequence[str]) -> None:
    typer.echo("\n".join(lines))
