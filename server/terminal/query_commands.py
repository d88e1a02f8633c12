"""The commands that only look: `hitl pending` and `hitl show`."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hitl_orchestrator.server.terminal.command import AsJson, open_api, print_json

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.wire import QueueJson, RequestJson, RunJson


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
    as_json: AsJson = False,
) -> None:
    """List the questions that wait for people: the most urgent first, then the oldest.

    \b
    Example:
      hitl pending --urgency high
    """
    api = open_api()
    queue = api.pending(agent, urgency, thread)
    if as_json:
        print_json(queue)
    else:
        _print_queue(queue)
        _print_held(api)


def _print_held(api: "Api") -> None:
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.errors import ClientError

    with suppress(ClientError):  # it answers, but could not drive
        if held := api.count_held():
            Terminal().say(
                f"{held} held, for agents that are not plugged in: `hitl show RUN_ID` says why."
            )


def _print_queue(queue: "QueueJson") -> None:
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.run_views import draw_queue

    terminal = Terminal()
    if not queue["runs"]:
        return terminal.say("Nothing waits for a person.")
    terminal.print(draw_queue(queue["runs"], datetime.now(UTC)))
    if queue["nextCursor"]:
        terminal.say("There are more: narrow them down with --agent, --urgency or --thread.", "dim")
    return terminal.say(
        "Answer one with: hitl answer REQUEST_ID; see all of it with: hitl show REQUEST_ID", "dim"
    )


def show(
    anything: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_REQUEST_ID", help="A run, a question, or a thread: its newest run."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show a run, or a question with all that is needed to decide it.

    \b
    Example:
      hitl show run_0d9c
      hitl show hitl_5b21 --json
    """
    found = _find(open_api(), anything)
    if as_json:
        print_json(found)
    else:
        _print_found(found)


def _find(api: "Api", anything: str) -> "RunJson | RequestJson":
    """Return the run or question of that id, or the newest run of that thread."""
    from hitl_orchestrator.server.terminal.errors import UnknownToServer

    searches = [api.run, api.request]
    if anything.startswith("hitl_"):
        searches.reverse()
    for search in searches:
        with suppress(UnknownToServer):
            return search(anything)
    return api.newest_run(anything)


def _print_found(found: "RunJson | RequestJson") -> None:
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.question_views import draw_request
    from hitl_orchestrator.server.terminal.run_views import draw_run

    terminal = Terminal()
    if "objective" in found:
        terminal.print(draw_run(found))
    else:
        terminal.print(draw_request(found, boxed=terminal.is_terminal))
