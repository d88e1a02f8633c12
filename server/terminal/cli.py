"""The commands of `hitl` that call the API. What is heavy is imported by the command that needs it:
`hitl pending` answers in half a second.

Exit codes: 0 done; 1 the server said no, or the run failed or was cancelled; 2 wrong usage; 3 a
person is needed.
"""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api, Json, JsonObject, Request, Run
    from hitl_orchestrator.server.terminal.views import Terminal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

NEEDS_A_PERSON, INTERRUPTED = 3, 130
FOLLOWING_SECONDS = 60.0  # of patience with a server that restarts while a run is followed

app = typer.Typer(rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
Operator = Annotated[
    str | None, typer.Option(metavar="ID", help="Who you are; default: your login name.")
]
Note = Annotated[str | None, typer.Option(metavar="TEXT", help="A note for the audit log.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept and shown.")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run.")]
RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="The question, as `hitl pending` lists it.")
]


def _one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """What a person can act on is told in one line on stderr; never a traceback."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        from hitl_orchestrator.server.terminal.client import ClientError

        try:
            return command(*args, **kwargs)
        except ClientError as error:
            fail(error.detail, error.exit_code)

    return told


def fail(detail: str, code: int) -> NoReturn:
    from hitl_orchestrator.server.terminal.client import clean

    typer.echo(f"hitl: {clean(detail)}", err=True)
    raise SystemExit(code)


@app.command()
@_one_line_errors
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
            metavar="NAME=FILE",
            help="A facet at hand: JSON from a .json file, else text; - is stdin. Repeatable.",
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="FACET", help="A facet wanted. Repeatable."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="The thread; default: a new one.")
    ] = None,
    max_questions: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Questions this run may ask.")
    ] = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Start a run and follow it: plan, frames, questions, result.

    In a terminal you answer its questions right there. Otherwise, when it needs a person, the
    question is printed and the command ends with 3; so it does when you skip a question. Options
    add to what is in FILE. With --json, stdout has the run's JSON only, and everything else goes to
    stderr.

    \b
    Example:
      hitl run --objective "Announce this release" --input source=CHANGELOG.md --output published
      hitl run body.json --json
    """
    from hitl_orchestrator.server.terminal.client import ENDED
    from hitl_orchestrator.server.terminal.views import Terminal, result_view

    body = _start_body(file, objective, inputs or [], outputs or [], thread, max_questions)
    api = _api()
    started = api.start(body)
    terminal = Terminal(sys.stderr if as_json else sys.stdout)
    attended = not as_json and all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)
    )
    last = _followed(api, started, terminal, operator or _login(), attended)
    if as_json:
        _print_json(last)
    elif last["status"] in ENDED:
        terminal.print(result_view(last))
    raise typer.Exit(
        NEEDS_A_PERSON if last["status"] not in ENDED else int(last["status"] != "completed")
    )


def _followed(
    api: "Api", started: "Run", terminal: "Terminal", operator: str | None, attended: bool
) -> "Run":
    """The run as it is when it has ended, or when somebody else has to answer."""
    from hitl_orchestrator.server.terminal.client import ClientError
    from hitl_orchestrator.server.terminal.views import follow, read_along

    run_id = started["runId"]
    api.patience_seconds = FOLLOWING_SECONDS
    terminal.say(f"Run {run_id} of thread {started['threadId']}", "dim")
    try:
        return (
            follow(api, started, operator, terminal)
            if attended
            else read_along(api, started, terminal)
        )
    except KeyboardInterrupt:
        terminal.print()
        terminal.say(
            f"The run goes on without you. Come back with: hitl show {run_id}, hitl pending, hitl answer REQUEST_ID"
        )
        raise typer.Exit(INTERRUPTED) from None
    except ClientError:
        terminal.say(f"Lost sight of the run; it may go on. Come back with: hitl show {run_id}")
        raise


def _start_body(
    file: str | None,
    objective: str | None,
    inputs: list[str],
    outputs: list[str],
    thread: str | None,
    max_questions: int | None,
) -> "JsonObject":
    from hitl_orchestrator.server.terminal.client import BadInput, object_of

    if (file is None) == (objective is None):
        raise BadInput("Give either FILE or --objective.")
    if [file, *(given.partition("=")[2] for given in inputs)].count("-") > 1:
        raise BadInput("Standard input can be read only once.")
    body: JsonObject = object_of(file) if file is not None else {"objective": objective}
    if inputs:
        body["inputs"] = _part(body, "inputs", dict[str, Any]()) | dict(map(_facet, inputs))
    if outputs:
        body["outputs"] = _part(body, "outputs", list[str]()) + outputs
    options = {"threadId": thread, "maxHitlRequests": max_questions}
    return body | {name: value for name, value in options.items() if value is not None}


def _part(body: "JsonObject", name: str, empty: T) -> T:
    """What the body has there, to be added to."""
    from hitl_orchestrator.server.terminal.client import BadInput

    part = body.get(name) or empty
    if type(part) is not type(empty):
        raise BadInput(
            f"`{name}` of FILE is not what the API takes there, so nothing can be added to it."
        )
    return part


def _facet(given: str) -> "tuple[str, Json]":
    from hitl_orchestrator.server.terminal.client import BadInput, json_of, text_of

    name, _, file = given.partition("=")
    if not (name and file):
        raise BadInput(f"--input {given!r} is to look like NAME=FILE.")
    return name, json_of(file) if file.lower().endswith(".json") else text_of(file)


@app.command()
@_one_line_errors
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
    queue = _api().pending(agent, urgency, thread)
    if as_json:
        return _print_json(queue)
    from hitl_orchestrator.server.terminal.views import Terminal, pending_view

    terminal = Terminal()
    if not queue["runs"]:
        return terminal.say("Nothing waits for a person.")
    terminal.print(pending_view(queue["runs"], datetime.now(UTC)))
    if queue["nextCursor"]:
        terminal.say("There are more: narrow them down with --agent, --urgency or --thread.", "dim")
    return terminal.say(
        "Answer one with: hitl answer REQUEST_ID; see all of it with: hitl show REQUEST_ID", "dim"
    )


@app.command()
@_one_line_errors
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
    found = _found(_api(), anything)
    if as_json:
        return _print_json(found)
    from hitl_orchestrator.server.terminal.views import Terminal, request_view, run_view

    terminal = Terminal()
    return terminal.print(
        run_view(found) if "objective" in found else request_view(found, boxed=terminal.is_terminal)
    )


def _found(api: "Api", anything: str) -> "Run | Request":
    from hitl_orchestrator.server.terminal.client import NotFound

    first, second = (
        (api.request, api.run) if anything.startswith("hitl_") else (api.run, api.request)
    )
    for search in (first, second):
        with suppress(NotFound):
            return search(anything)
    return api.newest_run(anything)


@app.command()
@_one_line_errors
def answer(
    request_id: RequestId,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject; --text is the reason.")] = False,
    option: Annotated[
        str | None, typer.Option(metavar="ID", help="Choose the option with this id or label.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Answer in your own words; beside another answer, a comment."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Answer a form with this JSON; - is stdin.")
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Approve with these arguments, a JSON object; - is stdin."
        ),
    ] = None,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question. The decision is kept when the command returns; the run goes on by itself.

    \b
    Example:
      hitl answer hitl_5b21 --option developers
      hitl answer hitl_77ae --approve --edit posts.json --note "shortened"
      hitl answer hitl_77ae --reject --text "not before Monday"
    """
    response = _response(approve, reject, option, text, data, edit)
    api = _api()
    request = api.request(request_id)
    if option is not None:
        from hitl_orchestrator.server.terminal.client import option_id

        response["selectedOptionId"] = option_id(request["options"], option) or option
    answered = api.resume(request, response, operator or _login(), note)
    _print_json(answered) if as_json else typer.echo(
        f"Answered. Run {answered['runId']} is {answered['status']}."
    )


def _response(
    approve: bool,
    reject: bool,
    option: str | None,
    text: str | None,
    data: str | None,
    edit: str | None,
) -> "JsonObject":
    """As POST /api/hitl/resume takes it; an option is still to be looked up."""
    from hitl_orchestrator.server.terminal.client import BadInput, json_of, object_of

    decisions = [approve, reject, option is not None, data is not None]
    if sum(decisions) > 1 or not (any(decisions) or text is not None):
        raise BadInput(
            "Give one of --approve, --reject, --option, --text and --data; --text also goes beside one of the others."
        )
    if edit is not None and not approve:
        raise BadInput("--edit goes with --approve.")
    response: JsonObject = {"approved": approve} if approve or reject else {}
    if data is not None:
        response["data"] = json_of(data)
    if edit is not None:
        response["editedArguments"] = object_of(edit)
    return response if text is None else {**response, "freeformText": text}


@app.command()
@_one_line_errors
def remove(
    request_id: RequestId,
    reason: Reason,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Deny a question and cancel its run.

    \b
    Example:
      hitl remove hitl_5b21 --reason "asked by mistake"
    """
    from hitl_orchestrator.server.terminal.client import by

    api = _api()
    removed = api.remove(
        api.request(request_id), {"reason": reason, **by(operator or _login(), note)}
    )
    _print_json(removed) if as_json else typer.echo(
        f"Removed. Run {removed['runId']} is {removed['status']}."
    )


@app.command()
@_one_line_errors
def cancel(
    run_id: RunId,
    reason: Reason,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run, whether it works or waits.

    \b
    Example:
      hitl cancel run_0d9c --reason "wrong changelog"
    """
    from hitl_orchestrator.server.terminal.client import by

    cancelled = _api().cancel(run_id, {"reason": reason, **by(operator or _login(), note)})
    _print_json(cancelled) if as_json else typer.echo(
        f"Run {cancelled['runId']} is {cancelled['status']}."
    )


def _api() -> "Api":
    from hitl_orchestrator.server.terminal.client import Api, find_server, settings_here

    return Api(find_server(settings_here()))


def _login() -> str | None:
    try:
        return getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return None


def _print_json(value: "Json") -> None:
    """UTF-8 whatever the terminal's encoding; control characters that JSON may hold as they are,
    escaped.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False).translate(
        {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
    )
    sys.stdout.buffer.write(text.encode(errors="surrogatepass") + b"\n")
    sys.stdout.buffer.flush()
