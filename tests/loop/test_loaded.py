"""A start lists what it has loaded, and the README's lines work as they stand."""

import re
import subprocess
import sys
from pathlib import Path

from tests.processes import AGENTS, serving, working
from tests.terminal.commands import environment, hitl
from tests.test_docs import AGENTS as PAGE
from tests.test_docs import README, block


def test_a_server_lists_ids_facets_and_where_from(database_url: str) -> None:
    with serving(database_url, "raises.py:agent", "two_questions.py:agent") as server:
        server.terminate()
        said = server.log.read_text()
    assert "\nAgents: 2\n" in said
    entry = re.escape(str(AGENTS / "raises.py:agent"))
    assert re.search(rf"^  raises\.at_once: objective, log\? -> answer   from {entry}$", said, re.M)
    assert "outside.question" not in said


def test_a_worker_lists_them_too(database_url: str) -> None:
    with working(database_url, "raises.py:agent") as worker:
        worker.terminate()
        assert "raises.at_once: objective, log? -> answer   from " in worker.log.read_text()


def test_the_readmes_agent_is_tried_checked_and_tested_as_written(tmp_path: Path) -> None:
    (tmp_path / "my_agent.py").write_text(block(README, "python", "async def run("), "utf-8")
    lines = block(README, "console", "hitl try ").splitlines()
    for line in [line for line in lines if line.startswith("$ ")]:
        words = re.findall(r'"[^"]*"|\S+', line.removeprefix("$ .venv/bin/hitl "))
        arguments = [word.strip('"') for word in words]
        script = ["--answers", "-"] if arguments[0] == "try" else []
        done = hitl(*arguments, *script, cwd=tmp_path, stdin='["ops"]')
        assert done.returncode == 0, done.stdout + done.stderr
    for page in (README, PAGE):
        test = block(page, "python", "from hitl_orchestrator.testing import ask_agent")
        (tmp_path / "test_my_agent.py").write_text(test, "utf-8")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:langsmith_plugin"],
            cwd=tmp_path,
            env=environment(),
            check=True,
        )
