"""`hitl new`: what it writes works as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal.commands import environment, hitl


def test_what_it_writes_is_tried_and_tested(tmp_path: Path) -> None:
    made = hitl("new", "greeter", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert "hitl try greeter.py:agent" in made.stdout
    assert len((tmp_path / "greeter.py").read_text().splitlines()) < 30
    tried = hitl("try", "greeter.py:agent", "--answers", "-", cwd=tmp_path, stdin='["Operators"]')
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "audience: ops" in tried.stdout
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:langsmith_plugin"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in tests.stdout, tests.stdout
    for file in ("greeter.py", "test_greeter.py"):
        ruff = [sys.executable, "-m", "ruff", "check", "--select", "E,F,I,W", "--isolated"]
        checked = [*ruff, "--line-length", "100", file]
        subprocess.run(checked, cwd=tmp_path, check=True)


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_greeter.py").write_text("mine\n")
    made = hitl("new", "greeter", cwd=tmp_path)
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr == "hitl: test_greeter.py is there already; nothing was written\n"
    assert [file.name for file in tmp_path.iterdir()] == ["test_greeter.py"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("json", "has a module 'json': choose another name"),
        ("pytest", "has a module 'pytest': choose another name"),
        ("my-agent", "'my-agent' is no name of a module"),
        ("../agent", "'../agent' is no name of a module"),
        ("class", "'class' is no name of a module"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, says: str, tmp_path: Path) -> None:
    made = hitl("new", name, cwd=tmp_path)
    assert (made.returncode, made.stdout) == (1, "")
    assert says in made.stderr
    assert [*tmp_path.iterdir()] == []
