"""`hitl serve --processes N`: several processes behind one socket, kept by their parent."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.processes import AGENTS, API_KEY, HITL, Running, running
from tests.temporary import temporary_folder

WITHIN_SECONDS = 30.0
CLAIMED = "SELECT claimed_by FROM orchestrator_runs WHERE run_id = %s"

pytestmark = pytest.mark.slow


def serving_by_many(**environment: str) -> AbstractContextManager[Running]:
    agents = f"{AGENTS / 'slow.py'}:agent,{AGENTS / 'asks.py'}:asking"
    given = {"PORT": "0", "HITL_AGENTS": agents, "HITL_CLAIM_SECONDS": "2", **environment}
    command = ("serve", "--processes", "2")
    return running(*command, environment=given, says="2 processes serve it")


@pytest.fixture
def server(database_url: str) -> Generator[Running]:
    with serving_by_many(DATABASE_URL=database_url, API_KEY=API_KEY) as running:
        yield running


def list_children(server: Running) -> list[int]:
    """Return the server processes. The embedded Postgres is the guard's child."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "server.child" in read_command(int(child))]


def read_command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def start(server: Running, output: str, wait_seconds: int = 0) -> dict[str, str]:
    """Start a run by a connection of its own: whoever is free takes it."""
    with server.client() as client:
        body = {"objective": "Do it", "outputs": [output]}
        reply = client.post(f"/api/runs?wait={wait_seconds}", json=body)
        assert reply.status_code == httpx.codes.ACCEPTED, reply.text
        return reply.json()


@contextmanager
def stopped(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def test_each_answers_and_all_count_together(server: Running) -> None:
    for child in list_children(server):
        with stopped(child):
            assert start(server, "asked", wait_seconds=20)["status"] == "awaiting_hitl"
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    assert {'runs_total{status="queued"} 2.0', "hitl_queue_depth 2.0"} <= {*lines}


def test_the_run_of_one_that_is_killed_goes_on_and_another_takes_its_place(
    server: Running, database_url: str
) -> None:
    run_id = start(server, "slow")["runId"]
    children = list_children(server)
    with psycopg.connect(database_url) as conn:
        row = conn.execute(CLAIMED, (run_id,)).fetchone()
    assert row
    driver = int(row[0].rsplit("-", 2)[1])
    assert driver in children
    os.kill(driver, signal.SIGKILL)
    with server.client() as client:
        ended = client.get(f"/api/runs/{run_id}?wait=25").json()
    assert ended["status"] == "completed"
    until = time.monotonic() + WITHIN_SECONDS
    while len(now := list_children(server)) < len(children) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(now) == len(children)
    assert driver not in now
    assert '"event": "a server process died (-9); another starts' in server.log.read_text()
    assert server.terminate() == 0


def test_all_end_with_their_parent(server: Running) -> None:
    children = list_children(server)
    start(server, "slow")
    assert server.terminate() == 0
    assert not any(map(is_alive, children))
    assert server.log.read_text().count("HITL Orchestrator: ") == 1


def test_none_is_left_where_the_parent_is_killed(server: Running) -> None:
    children = list_children(server)
    server.kill()
    until = time.monotonic() + WITHIN_SECONDS
    while any(map(is_alive, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, children))


def is_alive(pid: int) -> bool:
    try:
        return "server.child" in read_command(pid)
    except FileNotFoundError:
        return False


def test_the_parent_owns_the_embedded_postgres_and_the_key() -> None:
    with temporary_folder() as folder, serving_by_many(HITL_DATA_DIR=str(folder)) as server:
        server.api_key = (folder / "api_key").read_text().strip()
        assert start(server, "asked", wait_seconds=20)["status"] == "awaiting_hitl"
        assert len([*folder.glob("server-*.json")]) == 1
        assert server.terminate() == 0
        assert not [*folder.glob("server-*.json")]


@pytest.mark.parametrize("number", ["0", "65", "two"])
def test_a_number_that_makes_no_sense_is_wrong_usage(number: str) -> None:
    assert run_serve(number).returncode == 2


def test_what_stops_the_start_is_one_line(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "API_KEY": API_KEY, "HITL_AGENTS": "nowhere.py:x"}
    ended = run_serve("2", **environment, PORT="0")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert "nowhere.py" in ended.stderr


def test_a_port_in_use_is_one_line(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_serve("2", DATABASE_URL=database_url, API_KEY=API_KEY, PORT=port)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert f"Cannot listen on 127.0.0.1:{port}" in ended.stderr


def run_serve(processes: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [HITL, "serve", "--processes", processes],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
