"""Real servers and workers as real processes: started, watched, killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

API_KEY = "the-key-of-the-tests"
AGENTS = Path(__file__).parent / "agents"
DESK = "hitl_orchestrator.desk:agents"  # of HITL_AGENTS
HITL = Path(sys.executable).with_name("hitl")
START_SECONDS = 60.0
_UP = re.compile(r"^HITL Orchestrator: (\S+)", re.MULTILINE)


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""
    api_key: str = API_KEY

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, within_seconds: float = 20) -> int:
        self.process.terminate()
        return self.process.wait(within_seconds)

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=30
        )


@contextmanager
def running(
    command: str,
    *arguments: str,
    environment: dict[str, str],
    says: str,
    program: Path = HITL,
    folder: Path | None = None,
) -> Generator[Running]:
    """Run `hitl COMMAND …` in a folder, by default an empty one; yield once it has said what it
    says when it is up; kill it at the end if it still runs.
    """
    with TemporaryDirectory() as temporary:
        log = Path(temporary) / "log"
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HITL_", "OPENAI_", "DATABASE_", "API_"))
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, command, *arguments],
                env={**clean, **environment},
                cwd=folder or temporary,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        found = Running(process, log)
        try:
            _wait_for(found, says)
            if up := _UP.search(log.read_text()):
                found.url = up[1]
            yield found
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def _wait_for(found: Running, says: str) -> None:
    until = time.monotonic() + START_SECONDS
    while says not in found.log.read_text():
        if found.process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"it did not come up:\n{found.log.read_text()[-3000:]}")
        time.sleep(0.02)


def serving(database_url: str, *agents: str, **settings: str) -> AbstractContextManager[Running]:
    """A server on that database. `agents`: names below tests/agents, as `file.py:name`."""
    environment = {
        "DATABASE_URL": database_url,
        "API_KEY": API_KEY,
        "PORT": "0",
        **_with_agents(agents),
        **settings,
    }
    return running("serve", environment=environment, says="HITL Orchestrator: ")


def working(
    database_url: str, *agents: str, concurrency: int = 4, **settings: str
) -> AbstractContextManager[Running]:
    environment = {
        "DATABASE_URL": database_url,
        "HITL_DISPATCH": "queue",
        **_with_agents(agents),
        **settings,
    }
    return running(
        "work",
        "--concurrency",
        str(concurrency),
        environment=environment,
        says="Driving runs from the queue",
    )


def find_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _with_agents(agents: tuple[str, ...]) -> dict[str, str]:
    return {"HITL_AGENTS": ",".join(str(AGENTS / agent) for agent in agents)} if agents else {}
