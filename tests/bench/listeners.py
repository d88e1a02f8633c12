"""One operator's start, pause and answer, beside nobody and beside many who listen.

python -m tests.bench.listeners
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
import psycopg

from tests.processes import Running, serving
from tests.temporary import temporary_postgres

QUEUE = "/api/hitl/events"
OF_QUEUE, OF_RUNS = (200, 1000), (1000,)
WATCHED = 20  # paused runs that the streams of runs are of
ROUNDS, TIMES, WARMING = 3, 20, 5
AWAY_SECONDS = 1.5  # Postgres tells its counts that late
COLUMNS = (
    "listeners",
    "ms beside nobody",
    "beside them",
    "ratio",
    "ms of the server's CPU",
    "beside them",
    "transactions",
    "beside them",
    "events that arrived",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n| --- {'| ---: ' * (len(COLUMNS) - 1)}|\n"

Json = dict[str, Any]


class Cost(NamedTuple):
    """Of one start, pause and answer."""

    ms: float  # the median
    cpu_ms: float
    transactions: float
    events: float  # that arrived in a whole round


def start(client: httpx.Client) -> Json:
    body = {
        "objective": "Ask",
        "inputs": {"question": {"question": "What now?", "kind": "freeform"}},
        "outputs": ["answer"],
    }
    run: Json = client.post("/api/runs?wait=60", json=body).json()
    assert run["status"] == "awaiting_hitl", run
    return run


def start_and_answer(client: httpx.Client) -> None:
    run = start(client)
    asked = run["pendingRequestId"]
    answer = {"requestId": asked, "freeformText": "Go on."}
    body = {"runId": run["runId"], "requestId": asked, "responses": [answer]}
    ended = client.post("/api/hitl/resume?wait=60", json=body).json()
    assert ended["status"] == "completed", ended


def count_transactions(database_url: str) -> int:
    time.sleep(AWAY_SECONDS)
    with psycopg.connect(database_url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert row
        return row[0]


@contextmanager
def listening(server: Running, count: int, paths: Sequence[str]) -> Generator[list[int]]:
    """Give a list that has the number of events that arrived, afterwards."""
    arrived: list[int] = []
    if not count:
        yield arrived
        return
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.bench.listening", port, str(count), *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "listening\n"
        yield arrived
        time.sleep(1)
        process.terminate()
        arrived.append(int(process.stdout.readline()))


def measure(
    server: Running, database_url: str, count: int, paths: Sequence[str]
) -> tuple[Cost, Cost]:
    """Return what it costs beside nobody and beside so many, by turns: the machine has moods."""
    alone, beside = list[Cost](), list[Cost]()
    for _ in range(ROUNDS):
        alone.append(measure_round(server, database_url, 0, ()))
        beside.append(measure_round(server, database_url, count, paths))
    return average(alone), average(beside)


def measure_round(server: Running, database_url: str, count: int, paths: Sequence[str]) -> Cost:
    with server.client() as client, listening(server, count, paths) as arrived:
        for _ in range(WARMING):
            start_and_answer(client)
        took = list[float]()
        transactions, cpu = count_transactions(database_url), read_cpu_ms(server)
        for _ in range(TIMES):
            began = time.monotonic()
            start_and_answer(client)
            took.append(time.monotonic() - began)
        cpu = read_cpu_ms(server) - cpu
        transactions = count_transactions(database_url) - transactions
    return Cost(median(took) * 1000, cpu / TIMES, transactions / TIMES, sum(arrived))


def read_cpu_ms(server: Running) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def average(rounds: Sequence[Cost]) -> Cost:
    return Cost(*(median(column) for column in zip(*rounds, strict=True)))


def main() -> None:
    measure_all()


def measure_all() -> Json:
    """Return what one cost beside nobody and beside who listens."""
    sys.stdout.write(HEAD)
    with temporary_postgres() as postgres:
        return dict(measure_each(postgres.start()))


def measure_each(database_url: str) -> Iterator[tuple[str, Json]]:
    with serving(database_url, "asks.py:agent") as server:
        for count in OF_QUEUE:
            yield tell(f"{count} of the queue", *measure(server, database_url, count, [QUEUE]))
        with server.client() as client:
            paths = [f"/api/runs/{start(client)['runId']}/events" for _ in range(WATCHED)]
        for count in OF_RUNS:
            yield tell(f"{count} of other runs", *measure(server, database_url, count, paths))


def tell(what: str, alone: Cost, beside: Cost) -> tuple[str, Json]:
    cells = [f"{alone.ms:.0f}", f"{beside.ms:.0f}", f"{beside.ms / alone.ms:.2f}"]
    cells += [f"{alone.cpu_ms:.0f}", f"{beside.cpu_ms:.0f}"]
    cells += [f"{alone.transactions:.0f}", f"{beside.transactions:.0f}", f"{beside.events:.0f}"]
    sys.stdout.write(f"| {what} | {' | '.join(cells)} |\n")
    sys.stdout.flush()
    return what, {"alone": alone._asdict(), "beside": beside._asdict()}


if __name__ == "__main__":
    main()
