"""`hitl`, run as a person or a program runs it."""

import os
import subprocess
import sys
from pathlib import Path

HITL = str(Path(sys.executable).parent / "hitl")
# What decides how it looks and what it calls; pytest-xdist sets the size of a terminal.
_OURS = ("API_KEY", "EDITOR", "VISUAL", "PAGER", "LESS", "COLUMNS", "LINES", "NO_COLOR")
NOBODY = "http://127.0.0.1:1"


def environment(**changes: str) -> dict[str, str]:
    """Nothing of ours from outside; no data folder where a server might be found."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HITL_") and name not in _OURS
    }
    return {**inherited, "HITL_DATA_DIR": "nowhere", "TERM": "xterm", **changes}


def hitl(
    *arguments: str, cwd: Path, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HITL, *arguments],
        input=stdin,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
