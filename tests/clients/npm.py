"""Packages of npm, by name and version, and programs that use them."""

import json
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.environments import run
from tests.temporary import temporary_folder

HERE = Path(__file__).parent


class Program:
    """A program in JavaScript that answers each line of JSON by one."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **said: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps(said)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def program(name: str, *packages: str) -> Generator[Program]:
    """Run the file of that name beside this one, with the packages installed for it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    with temporary_folder() as folder:
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        run(npm, "install", "--no-audit", "--no-fund", "--no-package-lock", *packages, cwd=folder)
        shutil.copy(HERE / name, folder)
        with subprocess.Popen(
            [node, name], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield Program(process)
            process.kill()
