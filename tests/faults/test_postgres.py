"""Postgres is killed under load: what was committed stays, and servers and workers go on by
themselves once it is back.
"""

import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.faults.crowd import Crowd
from tests.faults.fleet import assert_audit_verifies, server, until, worker
from tests.temporary import temporary_postgres

CLIENTS = 4
KILLS = 2


@contextmanager
def killed(postgres: EmbeddedPostgres) -> Generator[None]:
    """With kill -9; its guard starts it again, but not before the block ends."""
    server = int((postgres.cluster / "postmaster.pid").read_text().split()[0])
    guard = int(
        subprocess.run(
            ["ps", "-o", "ppid=", "-p", str(server)], capture_output=True, text=True, check=True
        ).stdout
    )
    os.kill(guard, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    try:
        yield
    finally:
        os.kill(guard, signal.SIGCONT)


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
async def test_postgres_killed_under_load_costs_nothing_but_time(log: Path, dispatch: str) -> None:
    with temporary_postgres() as postgres, ExitStack() as stack:
        database_url = postgres.start()
        places = [stack.enter_context(server(database_url, log, HITL_DISPATCH=dispatch))]
        places += [
            stack.enter_context(worker(database_url, log)) for _ in range(2) if dispatch == "queue"
        ]
        crowd = Crowd([places[0].url])
        async with crowd.living(CLIENTS):
            for _ in range(KILLS):
                ended, refused = len(crowd.ended), crowd.refused
                await until(lambda goal=ended + CLIENTS: len(crowd.ended) >= goal)
                with killed(postgres):
                    await until(lambda goal=refused + CLIENTS: crowd.refused >= goal)
        assert all(place.alive() for place in places), "a process did not survive it"
        crowd.check(log)
        assert_audit_verifies(database_url)
