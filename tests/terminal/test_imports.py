"""What the command line imports: little, so that it starts fast, and of ours nothing but itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT

TERMINAL = sorted((ROOT / "server" / "terminal").glob("*.py"))
ROOM = "hitl_orchestrator.server.terminal"
NEIGHBOURS = {
    f"hitl_orchestrator.server.{name}" for name in ("announcement", "environment", "steering")
}
IMPORT_THE_CLIENT = (
    f"import hitl_orchestrator.server.main, {ROOM}.client, {ROOM}.following, {ROOM}.run_views"
)


def run_python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_client_commands_start_without_what_they_do_not_need() -> None:
    heavy = [
        "pydantic",
        "fastapi",
        "langgraph",
        "psycopg",
        "rich.markdown",
        "pygments",
        "dotenv",
    ]
    listing = f"import sys; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(f"{IMPORT_THE_CLIENT}; {listing}") == "[]"


def test_the_help_starts_without_an_http_client() -> None:
    script = "import sys, hitl_orchestrator.server.main; print('httpx' in sys.modules)"
    assert run_python(script) == "False"


@pytest.mark.parametrize("file", TERMINAL, ids=[file.stem for file in TERMINAL])
def test_the_room_knows_the_api_by_http_alone(file: Path) -> None:
    """No layer below and no other room of the server is imported, in no function either."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    ours = {name for name in imported if name.partition(".")[0] == "hitl_orchestrator"}
    assert {
        name for name in ours if name not in NEIGHBOURS and not name.startswith(f"{ROOM}.")
    } == set()


def test_a_server_process_has_the_whole_of_httpx() -> None:
    """Plugged-in agents run there; only client commands do without a part of it."""
    script = (
        "import sys, hitl_orchestrator.server.main; "
        "from hitl_orchestrator.server import settings, services, commands; "
        "import httpx, httpx._main; "
        "print([name for name, module in sys.modules.items() if module is None]); "
        "print(httpx.main is httpx._main.main)"
    )
    assert run_python(script).splitlines() == ["[]", "True"]


def test_a_client_command_hides_a_part_of_httpx_only_while_it_imports_it() -> None:
    script = (
        f"import sys, {ROOM}.transport; "
        "print('httpx._main' in sys.modules); "
        "import httpx._main; "
        "print(httpx._main.__name__)"
    )
    assert run_python(script).splitlines() == ["False", "httpx._main"]


def test_settings_bring_no_http_client() -> None:
    script = "import sys, hitl_orchestrator.server.settings; print('httpx' in sys.modules)"
    assert run_python(script) == "False"
