"""What the client commands share: options, the server's address, errors, JSON on stdout.

What is heavy is imported by the function that needs it: `hitl pending` answers in half a second.
"""

import json
import sys
from collections.abc import Callable
from functools import wraps
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, NoReturn, ParamSpec, TypeVar

import typer

from hitl_orchestrator.server.terminal.completion import offer_requests, offer_runs

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.wire import Json

P = ParamSpec("P")
R = TypeVar("R")

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
Operator = Annotated[
    str | None, typer.Option(metavar="ID", help="Who you are; default: your login name.")
]
Note = Annotated[str | None, typer.Option(metavar="TEXT", help="A note for the audit log.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept and shown.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="Stay until the run has ended, whoever answers its questions."),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN_ID",
        help="The run; a beginning of its id that only it has will do.",
        autocompletion=offer_runs,
    ),
]
RequestId = Annotated[
    str,
    typer.Argument(
        metavar="REQUEST_ID",
        help="The question; a beginning of its id that only it has will do.",
        autocompletion=offer_requests,
    ),
]


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Let the command say in one line on stderr what a person can act on, without a traceback."""

    @wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from hitl_orchestrator.server.terminal.errors import ClientError

        try:
            return command(*args, **kwargs)
        except ClientError as error:
            fail(error.detail, error.exit_code)

    return call


def fail(detail: str, code: int) -> NoReturn:
    """Print the line on stderr and end the process with that exit code."""
    from hitl_orchestrator.server.terminal.text import clean

    typer.echo(f"hitl: {clean(detail)}", err=True)
    raise SystemExit(code)


def open_api() -> "Api":
    """Return the API of the server that the environment names, or that runs beside us."""
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.discovery import find_server, read_sources

    return Api(find_server(*read_sources()))


def find_login() -> str | None:
    """Return the login name; None where there is no such user, as in some containers."""
    try:
        return getuser()
    except (OSError, KeyError):
        return None


def print_done(line: str, answer: "Json", as_json: bool) -> None:
    """Print what was done: the API's answer, or one line about it."""
    if as_json:
        print_json(answer)
    else:
        from hitl_orchestrator.server.terminal.text import clean

        typer.echo(clean(line))


def print_json(value: "Json") -> None:
    """Print JSON as UTF-8, whatever the terminal's encoding; what steers one is escaped."""
    from hitl_orchestrator.server.steering import escape_steering

    text = escape_steering(json.dumps(value, indent=2, ensure_ascii=False))
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()
