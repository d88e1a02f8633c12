"""The commands `hitl run`, which starts a run and follows it, and `hitl follow`."""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn, TypeVar

import typer

from hitl_orchestrator.server.terminal.command import (
    AsJson,
    Follow,
    Operator,
    RunId,
    find_login,
    open_api,
    print_json,
)

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.console import Terminal
    from hitl_orchestrator.server.terminal.wire import Json, JsonObject, RunJson

T = TypeVar("T")

# One word with a folder or an ending, that is no address and no number.
_NAMES_A_FILE = re.compile(r"(?!\w+://)\S*(?:/\S*|\.[A-Za-z]\w{0,7})")

NEEDS_A_PERSON, INTERRUPTED = 3, 130
FOLLOWING_SECONDS = 60.0  # of patience with a server that restarts while a run is followed


def run(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The JSON body of POST /api/runs; - is stdin."),
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is to be achieved.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=FILE|TEXT",
            help="A facet you have: NAME=@FILE is what is in the file (JSON of a .json file, else "
            "text; - is stdin), NAME==TEXT is the text. NAME=VALUE is the file of that name if "
            "there is one, else the text. Repeatable.",
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="FACET", help="A facet you want. Repeatable."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="The thread; default: a new one.")
    ] = None,
    max_questions: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="How many questions this run may ask; default: the server's."
        ),
    ] = None,
    operator: Operator = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Start a run and follow it: plan, frames, questions, result.

    In a terminal you answer its questions right there. Elsewhere they are printed, and the command
    ends with 3 (with --follow it stays); so it does when you skip a question. Options add to what
    is in FILE. With --json, stdout gets the run's JSON only, and everything else goes to stderr.

    Exit codes: 0 the run completed; 1 it failed or was cancelled, or the server said no; 2 wrong
    usage; 3 a person is needed.

    \b
    Example:
      hitl run --objective "Announce this release" --input source=@CHANGELOG.md --output published
      hitl run --objective "Greet" --input name="Ada Lovelace" --follow
      hitl run body.json --json
    """
    body = _build_body(_Given(file, objective, inputs or [], outputs or [], thread, max_questions))
    api = open_api()
    started = api.start(body)
    _go_along(api, started, _Way(operator or find_login(), follow, as_json))


def follow(run_id: RunId, operator: Operator = None, as_json: AsJson = False) -> None:
    """Come back to a run and follow it until it has ended: plan, frames, questions, result.

    In a terminal you answer its questions right there; elsewhere they are printed, for others.

    Exit codes: 0 the run completed; 1 it failed or was cancelled, or the server said no; 2 wrong
    usage; 3 a person is needed: you skipped a question.

    \b
    Example:
      hitl follow run_0d9c
    """
    from hitl_orchestrator.server.terminal.ids import complete_run_id

    api = open_api()
    run = api.run(complete_run_id(api, run_id))
    stay_with(api, run, operator or find_login(), as_json)


def stay_with(
    api: "Api", run: "RunJson", operator: str | None, as_json: bool, since: str | None = None
) -> NoReturn:
    """Follow a run until it has ended, and exit. `since`: from the end of that question on."""
    _go_along(api, run, _Way(operator, True, as_json, since))


class _Way(NamedTuple):
    """How a run is followed."""

    operator: str | None
    stays: bool
    as_json: bool
    since: str | None = None


def _go_along(api: "Api", run: "RunJson", way: _Way) -> NoReturn:
    """Follow the run, print how it ended, and exit."""
    from hitl_orchestrator.server.terminal.console import Terminal

    terminal = Terminal(sys.stderr if way.as_json else sys.stdout)
    ended = _follow(api, run, terminal, way)
    _print_end(ended, terminal, way.as_json)
    raise typer.Exit(_find_exit_code(ended))


class _Given(NamedTuple):
    """What the command line says about the run."""

    file: str | None
    objective: str | None
    inputs: list[str]
    outputs: list[str]
    thread: str | None
    max_questions: int | None


def _build_body(given: _Given) -> "JsonObject":
    """Return the body of POST /api/runs. Raises BadInput."""
    body = _read_body(given)
    if given.inputs:
        inputs = _copy_part(body, "inputs", dict[str, Any]())
        body["inputs"] = inputs | dict(map(read_facet, given.inputs))
    if given.outputs:
        body["outputs"] = _copy_part(body, "outputs", list[str]()) + given.outputs
    if given.thread is not None:
        body["threadId"] = given.thread
    if given.max_questions is not None:
        body["maxHitlRequests"] = given.max_questions
    return body


def _read_body(given: _Given) -> "JsonObject":
    """Return what FILE holds, or a body with the objective alone."""
    from hitl_orchestrator.server.terminal.errors import BadInput
    from hitl_orchestrator.server.terminal.files import read_json_object

    if (given.file is None) == (given.objective is None):
        raise BadInput("Give either FILE or --objective.")
    files = [given.file, *(_find_file(text.partition("=")[2]) for text in given.inputs)]
    if files.count("-") > 1:
        raise BadInput("Standard input can be read only once.")
    if given.file is None:
        return {"objective": given.objective}
    return read_json_object(given.file)


def _copy_part(body: "JsonObject", name: str, empty: T) -> T:
    """Return what the body has there, to be added to; `empty` if it has nothing."""
    from hitl_orchestrator.server.terminal.errors import BadInput

    part = body.get(name) or empty
    if type(part) is not type(empty):
        wanted = "an object" if isinstance(empty, dict) else "a list"
        raise BadInput(f"`{name}` in FILE must be {wanted}, or nothing can be added to it.")
    return part


def read_facet(given: str) -> "tuple[str, Json]":
    """Return name and value of a facet that is given as NAME=@FILE, NAME==TEXT or NAME=VALUE."""
    from hitl_orchestrator.server.terminal.errors import BadInput
    from hitl_orchestrator.server.terminal.files import read_json, read_text

    name, _, value = given.partition("=")
    if not (name and value):
        raise BadInput(f"--input {given!r} must look like NAME=@FILE or NAME=TEXT.")
    if value.startswith("="):
        return name, value[1:]
    file = _find_file(value)
    if file is not None:
        return name, read_json(file) if file.lower().endswith(".json") else read_text(file)
    if _NAMES_A_FILE.fullmatch(value):
        raise BadInput(
            f"--input {given!r}: there is no file {value}. "
            f"If that is the text itself, write {name}=={value}"
        )
    return name, value


def _find_file(value: str) -> str | None:
    """Return the file that the value of --input names; None: it is a text."""
    if value.startswith("@"):
        return value[1:]
    return value if value == "-" or os.path.isfile(os.path.expanduser(value)) else None


def _has_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _follow(api: "Api", started: "RunJson", terminal: "Terminal", way: _Way) -> "RunJson":
    """Return the run as it is when it has ended, or when somebody else has to answer."""
    from hitl_orchestrator.server.terminal.errors import ClientError
    from hitl_orchestrator.server.terminal.following import follow_live, read_along

    run_id = started["runId"]
    api.patience_seconds = FOLLOWING_SECONDS
    terminal.say(f"Run {run_id} of thread {started['threadId']}", "dim")
    try:
        if not way.as_json and _has_terminal():
            return follow_live(api, started, way.operator, terminal, way.since)
        return read_along(api, started, terminal, way.stays, way.since)
    except KeyboardInterrupt:
        terminal.print()
        terminal.say(
            f"The run goes on without you. Come back with: hitl follow {run_id}, or hitl show, "
            "hitl pending, hitl answer REQUEST_ID"
        )
        raise typer.Exit(INTERRUPTED) from None
    except ClientError:
        terminal.say(f"Lost sight of the run; it may go on. Come back with: hitl follow {run_id}")
        raise


def _print_end(run: "RunJson", terminal: "Terminal", as_json: bool) -> None:
    from hitl_orchestrator.server.terminal.run_views import draw_result
    from hitl_orchestrator.server.terminal.wire import ENDED

    if as_json:
        print_json(run)
    elif run["status"] in ENDED:
        terminal.print(draw_result(run))


def _find_exit_code(run: "RunJson") -> int:
    from hitl_orchestrator.server.terminal.wire import ENDED

    if run["status"] not in ENDED:
        return NEEDS_A_PERSON
    return 0 if run["status"] == "completed" else 1
