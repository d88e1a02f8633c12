"""The command `hitl`: what runs a process here, and the client's commands beside it.

What is heavy is imported by the command that needs it. Exit codes: 0 done; 1 the server said no, or
the run failed or was cancelled; 2 wrong usage; 3 a person is needed.
"""

import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from typing import Annotated, ParamSpec, TypeVar

import typer

from hitl_orchestrator.server.terminal import cli
from hitl_orchestrator.server.terminal.cli import fail

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    help="LangGraph agents ask, people answer.\n\nClient commands find a server by HITL_URL and "
    "API_KEY (environment or .env), or an embedded one by its data folder (HITL_DATA_DIR).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
audit = typer.Typer(help="The audit chain.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(audit, name="audit")


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a glyph
    app()


def _fail_in_one_line(command: Callable[P, R]) -> Callable[P, R]:
    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        from hitl_orchestrator.domain.errors import OrchestratorError

        try:
            return command(*args, **kwargs)
        except OrchestratorError as error:
            fail(error.detail, 1)

    return told


@app.command()
@_fail_in_one_line
def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen; default: HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Default: PORT, else 8080.")
    ] = None,
) -> None:
    """Start the server; with HITL_DISPATCH=inline it also drives the runs.

    \b
    Example:
      hitl serve --port 8081
    """
    from hitl_orchestrator.server import commands

    commands.serve(host, port)


@app.command()
@_fail_in_one_line
def work(
    concurrency: Annotated[int, typer.Option(min=1, help="Runs driven at the same time.")] = 10,
) -> None:
    """Drive runs from the queue (HITL_DISPATCH=queue); as many of these as you like, anywhere.

    \b
    Example:
      hitl work --concurrency 20
    """
    from hitl_orchestrator.server import commands

    commands.work(concurrency)


@app.command()
@_fail_in_one_line
def migrate() -> None:
    """Bring the database up to date. serve and work do it too, unless HITL_AUTO_MIGRATE=false.

    \b
    Example:
      DATABASE_URL=postgresql://db/hitl hitl migrate
    """
    from hitl_orchestrator.server import commands

    commands.migrate()


@app.command()
@_fail_in_one_line
def prune(
    older_than: Annotated[
        float,
        typer.Option(
            min=0, max=36500, metavar="DAYS", help="Runs that ended longer ago than that."
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
@_fail_in_one_line
def verify(
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Only this run's chain.")
    ] = None,
) -> None:
    """Check that no entry of the audit log was altered, removed or cut off; exits with 1 and names
    it if one was.

    \b
    Example:
      hitl audit verify
      hitl audit verify run_0d9c
    """
    from hitl_orchestrator.server import commands

    raise typer.Exit(commands.audit_verify(run_id))


app.add_typer(cli.app)
