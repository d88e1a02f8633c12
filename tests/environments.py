"""Virtual environments of strangers, with our wheel in them."""

import subprocess
import sys
from pathlib import Path

from tests.repository import ROOT

UV = Path(sys.executable).with_name("uv")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Make it from the sdist, as a release is."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    assert sdist.name.startswith("hitl_orchestrator-")
    return wheel


def make_environment(folder: Path) -> Path:
    """Make `.venv` in the folder; return its python."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / ".venv")
    return folder / ".venv/bin/python"


def install(python: Path, *what: str | Path) -> None:
    """Install it from a package registry, trusting whom the machine trusts, as pip does."""
    run(UV, "pip", "install", "--quiet", "--system-certs", "--python", python, *what)
