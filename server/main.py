"""The command `hitl`: what runs a process here, and the client's commands beside it.

What is heavy is imported by the command that needs it. Exit codes: 0 done; 1 the server said no, or
the run failed or was cancelled; 2 wrong usage; 3 a person is needed.
"""

import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any, ParamSpec, TypeVar, cast

import typer

from hitl_orchestrator.server.terminal import cli
from hitl_orchestrator.server.terminal.command import fail, report_errors
from hitl_orchestrator.server.terminal.plain import speak_plainly

SCOPES = ("read", "ask", "work", "decide", "admin", "onBehalf")  # of domain.keys, which is heavy
LONGEST_NAME = 255

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    help="LangGraph agents ask, people answer.\n\n"
    "serve, work, migrate, preflight, prune, keys, webhooks and audit use the database: "
    "DATABASE_URL, or an embedded Postgres in HITL_DATA_DIR (default: .data). The other commands "
    "call a server: the one that HITL_URL and API_KEY name, or the one that runs with that data "
    "folder. All of these are variables of the environment, or lines in .env.\n\n"
    "Exit codes: 0 done; 1 the server said no, or the run failed or was cancelled; 2 wrong usage; "
    "3 a person is needed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
audit = typer.Typer(help="Check the audit log.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(audit, name="audit")
keys = typer.Typer(
    help="Give further people and programs keys of their own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(keys, name="keys")

webhooks = typer.Typer(
    help="Tell other programs what happens to questions and runs, by signed POSTs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(webhooks, name="webhooks")

mcp = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(mcp, name="mcp")


def main() -> None:
    """Run the command that the command line names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            speak_plainly(cast("TextIOWrapper[Any]", stream))
    app()


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"hitl {version('hitl-orchestrator')}")
        raise typer.Exit


@app.callback()
def hitl(
    print_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    pass


def _report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Let the command say in one line on stderr what is wrong, without a traceback."""

    @wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from hitl_orchestrator.domain.errors import OrchestratorError

        try:
            return command(*args, **kwargs)
        except OrchestratorError as error:
            fail(error.detail, 1)

    return call


def _read_key_name(name: str) -> str:
    if 1 <= len(name) <= LONGEST_NAME and name.isprintable() and name.strip() == name:
        return name
    raise typer.BadParameter(
        f"a name has 1 to {LONGEST_NAME} printable characters, and no blank at an end"
    )


def _read_scope(scope: str) -> str:
    if scope in SCOPES:
        return scope
    raise typer.BadParameter(f"{scope!r} is no scope; there are {', '.join(SCOPES)}")


@app.command()
@_report_errors
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on, 0 for any; default: PORT, else 8080."
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="How many processes to serve with, behind one socket: one for each core that "
            "the server may use.",
        ),
    ] = 1,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Start again when a Python file of the agents, or beside them, changes; for "
            "writing agents. Runs that wait stay.",
        ),
    ] = False,
) -> None:
    """Start the server. With HITL_DISPATCH=inline, the default, it also drives the runs.

    \b
    Example:
      hitl serve --port 8081
      hitl serve --processes 4
      hitl serve --reload
    """
    from hitl_orchestrator.server.serving import serve as serve_until_told

    if reload and processes > 1:
        raise typer.BadParameter("--reload is for one process")
    raise typer.Exit(serve_until_told(host, port, processes, reload=reload))


@app.command()
@_report_errors
def work(
    concurrency: Annotated[
        int, typer.Option(min=1, help="How many runs to drive at the same time.")
    ] = 10,
) -> None:
    """Drive runs from the queue (HITL_DISPATCH=queue). Start as many as you like, on any machine.

    \b
    Example:
      hitl work --concurrency 20
    """
    from hitl_orchestrator.server import commands

    commands.work(concurrency)


@app.command()
@_report_errors
def migrate() -> None:
    """Bring the database up to date. serve and work do it too, unless HITL_AUTO_MIGRATE=false.

    \b
    Example:
      DATABASE_URL=postgresql://db/hitl hitl migrate
    """
    from hitl_orchestrator.server import commands

    commands.migrate()


@app.command()
@_report_errors
def preflight() -> None:
    """Say which runs fit the agents of HITL_AGENTS, and why one does not.

    Looks at all runs that have not ended, and changes nothing: run it with the agents of the next
    version before they are deployed. Exits with 1 if a run would be held.

    \b
    Example:
      HITL_AGENTS=next/letters.py:agent hitl preflight
    """
    from hitl_orchestrator.server import commands

    raise typer.Exit(commands.preflight())


@app.command()
@_report_errors
def prune(
    older_than: Annotated[
        float,
        typer.Option(
            min=0,
            max=36500,
            metavar="DAYS",
            help="Delete the runs that ended more than so many days ago.",
        ),
    ],
) -> None:
    """Delete ended runs and their checkpoints; never a paused one.

    \b
    Example:
      hitl prune --older-than 90
    """
    from hitl_orchestrator.server import commands

    commands.prune(older_than)


@audit.command()
@_report_errors
def verify(
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="RUN_ID", help="Check only this run; default: all runs."),
    ] = None,
) -> None:
    """Check that no entry of the audit log was altered, removed or cut off.

    Names each run whose entries are not whole, and exits with 1 if there is one.

    \b
    Example:
      hitl audit verify
      hitl audit verify run_0d9c
    """
    from hitl_orchestrator.server import commands

    raise typer.Exit(commands.audit_verify(run_id))


Entry = Annotated[
    str,
    typer.Argument(
        metavar="FILE:NAME",
        help="The agent, as in HITL_AGENTS: file.py:name, package.module:name or "
        "langgraph.json:name.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=FILE",
        help="A facet it is given: JSON from a .json file, else text; - is stdin. Repeatable.",
    ),
]
Script = Annotated[
    str | None,
    typer.Option(
        "--answers",
        metavar="FILE",
        help="A JSON list with an answer for each question, in the order of asking: true and "
        "false approve and reject, a text is an option (its id or label) or free text, anything "
        'else is data; {"approved": false, "freeformText": "Too long"} and the like are taken as '
        "POST /api/hitl/resume takes them.",
    ),
]


@app.command("new")
@_report_errors
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the agent's module is called.")],
) -> None:
    """Write an agent, NAME.py, and its test, test_NAME.py, to be changed. Overwrites nothing.

    \b
    Example:
      hitl new greeter
    """
    from pathlib import Path

    from hitl_orchestrator.server.draft import tell_next, write_draft

    write_draft(name, Path())
    typer.echo(tell_next(name))


@app.command("try")
@_report_errors
def try_(
    entry: Entry,
    objective: Annotated[
        str, typer.Option(metavar="TEXT", help="What is to be achieved.")
    ] = "Try it",
    inputs: Inputs = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output", metavar="FACET", help="A facet you want; default: all it makes. Repeatable."
        ),
    ] = None,
    answers: Script = None,
) -> None:
    """Run an agent here, in memory: no server, no database, and nothing is kept.

    Shows the plan and each frame, asks its questions in the terminal, and shows a traceback with
    the agent's own lines where it fails. The agent itself is real: what it does is done.

    Exit codes: 0 the run completed; 1 it failed, or cannot begin; 2 wrong usage; 3 a person is
    needed, and there is no terminal, or you left a question.

    \b
    Example:
      hitl try greeter.py:agent --objective "Announce our release"
      hitl try greeter.py:agent --input source=notes.md --answers answers.json
    """
    from hitl_orchestrator.server.tryout import Attempted, try_agents

    given, script = _read_inputs(inputs), _read_script(answers)
    wanted = Attempted(entry, objective, given, outputs or (), script)
    raise typer.Exit(try_agents(wanted))


@app.command()
@_report_errors
def check(
    entry: Entry,
    objective: Annotated[
        str, typer.Option(metavar="TEXT", help="What is to be achieved.")
    ] = "Try it",
    inputs: Inputs = None,
    answers: Script = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Answer yes, the first option, or something made up, where --answers says "
            "nothing. Without it the answer is no.",
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How long it may work between two questions.")
    ] = 10.0,
) -> None:
    """Look an agent over: load it, check its contract, and call it once, in memory.

    Names what is wrong, where, and what mends it; what may be wrong is a warning. What --input does
    not give is made up from the schemas. The agent itself is real: what it does is done, so its
    questions get a no, unless --yes or --answers says otherwise.

    Exit codes: 0 nothing is broken; 1 something is; 2 wrong usage.

    \b
    Example:
      hitl check greeter.py:agent
      hitl check greeter.py:agent --yes
    """
    from hitl_orchestrator.server.checkup import Leave, check_agents
    from hitl_orchestrator.server.tryout import Attempted

    wanted = Attempted(entry, objective, _read_inputs(inputs), (), _read_script(answers))
    raise typer.Exit(check_agents(wanted, Leave(yes, seconds)))


@report_errors
def _read_inputs(inputs: list[str] | None) -> dict[str, Any]:
    from hitl_orchestrator.server.terminal.run_command import read_facet

    return dict(map(read_facet, inputs or ()))


@report_errors
def _read_script(file: str | None) -> list[Any]:
    from hitl_orchestrator.server.terminal.errors import BadInput
    from hitl_orchestrator.server.terminal.files import read_json

    found: object = [] if file is None else read_json(file)
    if not isinstance(found, list):
        raise BadInput(f"{file} must hold a JSON list, an answer for each question.")
    return cast("list[Any]", found)


KeyName = Annotated[str, typer.Argument(metavar="NAME", parser=_read_key_name)]


@keys.command("add")
@_report_errors
def keys_add(
    name: KeyName,
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="SCOPE",
            help="What the key may do, once or several times: `read` (see everything), `ask` "
            "(start runs, and see what it started), `work` (be an agent elsewhere: register, take "
            "its steps), `decide` (answer, deny, remove; and read), "
            "`admin` (everything), `onBehalf` (decide in the names of others).",
            parser=_read_scope,
        ),
    ],
) -> None:
    """Make a key and print it, this once. What is decided with it is signed with its name.

    \b
    Example:
      hitl keys add ada --scope decide
      hitl keys add chat-bot --scope decide --scope onBehalf
    """
    from hitl_orchestrator.domain.keys import Scope
    from hitl_orchestrator.server import commands

    commands.keys_add(name, [Scope(one) for one in dict.fromkeys(scope)])


@keys.command("list")
@_report_errors
def keys_list() -> None:
    """List all keys but API_KEY: name, scopes, since when, and when it was revoked.

    \b
    Example:
      hitl keys list
    """
    from hitl_orchestrator.server import commands

    commands.keys_list()


@keys.command("revoke")
@_report_errors
def keys_revoke(name: KeyName) -> None:
    """Let a key open nothing any more, at once and on every server. Its name is free again.

    \b
    Example:
      hitl keys revoke ada
    """
    from hitl_orchestrator.server import commands

    commands.keys_revoke(name)


EndpointId = Annotated[str, typer.Argument(metavar="ID", help="As `hitl webhooks list` has it.")]


@webhooks.command("add")
@_report_errors
def webhooks_add(
    url: Annotated[str, typer.Argument(help="https://…")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--events",
            metavar="EVENT",
            help="What it is told of, once or several times: `request`, `request.created`, "
            "`request.resolved`, `request.denied`, `run`, `run.completed`, `run.failed`, "
            "`run.cancelled`, `run.retried`; none: all.",
        ),
    ] = None,
) -> None:
    """Tell an address what happens from now on. Prints its id and the secret of the signatures.

    \b
    Example:
      hitl webhooks add https://example.com/hook --events request.created --events run
    """
    from hitl_orchestrator.server import commands

    commands.webhooks_add(url, event or [])


@webhooks.command("list")
@_report_errors
def webhooks_list() -> None:
    """List who is told of what, how many they were not told of yet, and what was given up.

    \b
    Example:
      hitl webhooks list
    """
    from hitl_orchestrator.server import commands

    commands.webhooks_list()


@webhooks.command("enable")
@_report_errors
def webhooks_enable(endpoint: EndpointId) -> None:
    """Tell again one that said it is gone (410), or is to be tried at once.

    \b
    Example:
      hitl webhooks enable webhook_0f8c2f6b5d9e4b1a
    """
    from hitl_orchestrator.server import commands

    commands.webhooks_enable(endpoint)


@webhooks.command("replay")
@_report_errors
def webhooks_replay(
    endpoint: EndpointId,
    seq: Annotated[int, typer.Option("--from", min=1, help="The number to begin with again.")],
) -> None:
    """Tell one again from a number on: the `seq` of a notice.

    \b
    Example:
      hitl webhooks replay webhook_0f8c2f6b5d9e4b1a --from 41
    """
    from hitl_orchestrator.server import commands

    commands.webhooks_replay(endpoint, seq)


@webhooks.command("remove")
@_report_errors
def webhooks_remove(endpoint: EndpointId) -> None:
    """Tell one nothing more.

    \b
    Example:
      hitl webhooks remove webhook_0f8c2f6b5d9e4b1a
    """
    from hitl_orchestrator.server import commands

    commands.webhooks_remove(endpoint)


@mcp.callback()
@report_errors
def mcp_queue(
    context: typer.Context,
    operator: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Who decides, with a key that speaks for others, as API_KEY does; default: the "
            "key's name.",
        ),
    ] = None,
) -> None:
    """Be an MCP server on stdin and stdout: the queue for Claude Code, VS Code and other hosts.

    \b
    Example:
      HITL_URL=https://ops.example.com API_KEY=hitl_… hitl mcp
    """
    if context.invoked_subcommand is None:
        speak_mcp(lambda stdio, place: stdio.serve_queue(place, operator))


@mcp.command("gate", context_settings={"allow_interspersed_args": False})
@report_errors
def mcp_gate(
    upstream: Annotated[
        list[str],
        typer.Argument(metavar="URL | COMMAND...", help="The other MCP server, or what starts it."),
    ],
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            max=60,
            metavar="SECONDS",
            help="How long a call waits for a person, before the model gets a ticket for it.",
        ),
    ] = 20.0,
    ask_always: Annotated[
        bool,
        typer.Option("--ask-always", help="Ask about tools, too, that say they only read."),
    ] = False,
) -> None:
    """Be another MCP server with its tools, which ask a person here before they do anything.

    \b
    Example:
      hitl mcp gate https://tools.example.com/mcp
      hitl mcp gate npx -y @modelcontextprotocol/server-filesystem notes
    """
    speak_mcp(lambda stdio, place: stdio.serve_gate(place, upstream, wait, asks_always=ask_always))


def speak_mcp(serve: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> None:
    """Serve until stdin ends. `serve`: gets the module that does, and the server's place.

    Raise ClientError where the SDK of MCP is not installed, or no server is there.
    """
    import asyncio

    from hitl_orchestrator.server.protocols.mcp_route import EXTRA
    from hitl_orchestrator.server.terminal.discovery import find_server, is_local, read_sources
    from hitl_orchestrator.server.terminal.errors import BadInput, ClientError

    try:
        from hitl_orchestrator.server.protocols import mcp_stdio
    except ModuleNotFoundError as error:
        raise BadInput(EXTRA) from error
    url, key = find_server(*read_sources())
    place = mcp_stdio.ServerPlace(url, key, is_local(url))
    try:
        asyncio.run(serve(mcp_stdio, place))
    except mcp_stdio.CallRefused as error:
        raise ClientError(error.detail) from error


@app.command(
    "agent",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def agent(context: typer.Context) -> None:
    """Run an agent here on steps that it takes from a server: `hitl agent --help`.

    \b
    Example:
      hitl agent --url https://ops.example.com --key hitl_… src/graph.py:graph
    """
    from hitl_agent import main

    main.main(context.args)


app.add_typer(cli.app)
