"""The pages' blocks of shell: the runbook's and the README's are run as they stand there, and of
every page they are at least shell.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.blocks import read_blocks, reading
from tests.repository import ROOT
from tests.test_docs import block

README = ROOT / "README.md"
NEW = "Making .venv; the first time takes about a minute ... ready (96 s).\n"
RUNBOOK = ROOT / "docs" / "runbook.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_NOT_RUN = 9  # of the runbook's
needs_tools = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed"
)


@needs_tools
@pytest.mark.timeout(300)
def test_the_runbook_runs_as_written() -> None:
    blocks = read_blocks(RUNBOOK)
    left_out = [one.not_run for one in blocks if one.not_run is not None]
    assert all(left_out), "each says why"
    assert len(left_out) <= MOST_NOT_RUN
    with reading(RUNBOOK) as operator:
        operator.read(blocks)


@needs_tools
@pytest.mark.timeout(300)
def test_the_readme_runs_as_written() -> None:
    """But for the making of `.venv`. `my_agent.py` is what a reader pastes."""
    blocks = read_blocks(README)
    assert [one.not_run for one in blocks if one.not_run is not None] == [
        "they make .venv, and the second is what runs this",
        "it installs JupyterLab, and stays",
    ]
    with reading(README, **{NEW: ""}) as newcomer:
        furnish(newcomer.folder)
        printed = newcomer.read(blocks)
    check_calls(next(one for one in printed if one.startswith('{"runId"')))


def check_calls(printed: str) -> None:
    """Check what curl got: four answers, then the stream of the run."""
    said, start = json.JSONDecoder(), 0
    statuses = list[str]()
    while printed[start] == "{":
        answer, start = said.raw_decode(printed, start)
        statuses.append(answer["status"])
    assert statuses == ["awaiting_hitl", "awaiting_hitl", "completed", "completed"]
    frames = re.findall(r"^data: (.*)$", printed[start:], re.MULTILINE)
    assert [json.loads(frames[at])["type"] for at in (0, -1)] == ["start", "complete"]


def furnish(folder: Path) -> None:
    """Make it a clone, as far as the page goes."""
    (folder / "scripts").mkdir()
    run = folder / "scripts" / "run"
    run.write_text('#!/bin/sh\nexec .venv/bin/hitl serve "$@"\n')
    run.chmod(0o755)
    shutil.copy(ROOT / "CHANGELOG.md", folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    agent = block(README.read_text("utf-8"), "python", "async def run(")
    (folder / "my_agent.py").write_text(agent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_shell_is_shell(page: Path) -> None:
    for one in read_blocks(page):
        for command in one.commands:
            checked = subprocess.run(
                ["bash", "-n"], input=command.text, capture_output=True, text=True
            )
            assert not checked.stderr, f"{page.name}:{command.line}: {checked.stderr}"
