"""Processes forked from one that has imported everything: they run, die and are killed like any
other, but start in a tenth of the time.

`hitl serve` spends two seconds of CPU on its imports, and these tests start a hundred processes.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from hitl_orchestrator.checkpoints import wakeups
from hitl_orchestrator.server.main import main as hitl
from tests.processes import AGENTS, API_KEY, START_SECONDS

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "__main__",
        "tests.faults.forked",
        "hitl_orchestrator.server.commands",
        "hitl_orchestrator.server.serving",
        "tests.faults.one_life",
    ]
)

Main = Callable[[], object]


class Forked:
    """A process, and what it said."""

    def __init__(
        self, main: Main, arguments: tuple[str, ...], environment: dict[str, str], folder: Path
    ) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HITL_", "OPENAI_", "DATABASE_", "API_"))
        }
        self.log, self.url = folder / "log", ""
        self.log.touch()
        self._process = _forks.Process(
            target=_live, args=(main, arguments, clean | environment, folder), daemon=True
        )
        self._process.start()

    def said(self) -> str:
        return self.log.read_text()

    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self, within_seconds: float = 60) -> int:
        """How it ended by itself."""
        self._process.join(within_seconds)
        assert self._process.exitcode is not None, f"it does not end:\n{self.said()[-3000:]}"
        return self._process.exitcode

    def terminate(self) -> int:
        self._process.terminate()
        return self.end()

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=30
        )


def _live(
    main: Main, arguments: tuple[str, ...], environment: dict[str, str], folder: Path
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    log = os.open("log", os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.argv = [main.__name__, *arguments]
    main()


@contextmanager
def forked(
    main: Main, *arguments: str, environment: dict[str, str] | None = None
) -> Generator[Forked]:
    """Killed at the end if it still lives."""
    with TemporaryDirectory() as folder:
        process = Forked(main, arguments, environment or {}, Path(folder))
        try:
            yield process
        finally:
            if process.alive():
                process.send(signal.SIGCONT)
                process.kill()


@contextmanager
def running(
    command: str, *arguments: str, environment: dict[str, str], says: str, main: Main = hitl
) -> Generator[Forked]:
    """`hitl COMMAND …`, once it says that it is up. `main`: what does as `hitl` does."""
    with forked(main, command, *arguments, environment=environment) as process:
        until = time.monotonic() + START_SECONDS
        while says not in process.said():
            assert process.alive(), f"it did not come up:\n{process.said()[-3000:]}"
            assert time.monotonic() < until, f"it did not come up:\n{process.said()[-3000:]}"
            time.sleep(0.01)
        process.url = process.said().partition("HITL Orchestrator: ")[2].partition(" ")[0]
        yield process


def serving(database_url: str, *agents: str, **settings: str) -> AbstractContextManager[Forked]:
    """A server on that database. `agents`: names below tests/agents, as `file.py:name`."""
    return _serving(hitl, database_url, agents, settings)


def serving_by_ear(
    database_url: str, *agents: str, **settings: str
) -> AbstractContextManager[Forked]:
    """A server that sees of other processes only what it is told."""
    return _serving(_hitl_by_ear, database_url, agents, settings)


def _serving(
    main: Main, database_url: str, agents: tuple[str, ...], settings: dict[str, str]
) -> AbstractContextManager[Forked]:
    environment = {**_with(database_url, agents), "PORT": "0", **settings}
    return running("serve", environment=environment, says="HITL Orchestrator: ", main=main)


def _hitl_by_ear() -> None:
    wakeups.NET_SECONDS = 3600.0
    hitl()


def working(database_url: str, *agents: str, **settings: str) -> AbstractContextManager[Forked]:
    environment = {**_with(database_url, agents), "HITL_DISPATCH": "queue", **settings}
    return running(
        "work", "--concurrency", "4", environment=environment, says="Driving runs from the queue"
    )


def finished(database_url: str, *arguments: str, **settings: str) -> tuple[int, str]:
    """`hitl …` to its end: its exit code, and what it said."""
    environment = {**_with(database_url), **settings}
    with forked(hitl, *arguments, environment=environment) as process:
        return process.end(), process.said()


def _with(database_url: str, agents: tuple[str, ...] = ()) -> dict[str, str]:
    wanted = {"HITL_AGENTS": ",".join(str(AGENTS / agent) for agent in agents)} if agents else {}
    return {"DATABASE_URL": database_url, "API_KEY": API_KEY, **wanted}
