"""The commands of `hitl` that call the API, in the order in which `hitl --help` lists them.

Exit codes: 0 done; 1 the server said no, or the run failed or was cancelled; 2 wrong usage; 3 a
person is needed.
"""

import typer

from hitl_orchestrator.server.terminal.command import report_errors
from hitl_orchestrator.server.terminal.operator_commands import (
    answer,
    cancel,
    deny,
    remove,
    retry,
)
from hitl_orchestrator.server.terminal.query_commands import (
    capabilities,
    pending,
    runs,
    show,
)
from hitl_orchestrator.server.terminal.run_command import follow, run

app = typer.Typer(rich_markup_mode=None)
app.command()(report_errors(run))
app.command()(report_errors(follow))
app.command()(report_errors(runs))
app.command()(report_errors(pending))
app.command()(report_errors(show))
app.command()(report_errors(answer))
app.command()(report_errors(deny))
app.command()(report_errors(remove))
app.command()(report_errors(cancel))
app.command()(report_errors(retry))
app.command()(report_errors(capabilities))
