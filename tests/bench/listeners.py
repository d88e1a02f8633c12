"""One operator's start, pause and answer, beside nobody and beside many who listen.

python -m tests.bench.listeners
"""

import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import httpx
import psycopg

from tests.processes import Running, serving
from tests.temporary import temporary_postgres

QUEUE = "/api/hitl/events"
OF_QUEUE, OF_RUNS = (0, 60, 300, 1000), (1000,)
WATCHED = 20  # paused runs that the streams of runs are of
TIMES, WARMING = 40, 15
AWAY_SECONDS = 2.5  # Postgres tells its counts that late
HEAD = """| listeners | start, pause, answer, ms | ratio | transactions | events that arrived |
| --- | ---: | ---: | ---: | ---: |
"""

Json = dict[str, Any]


class Cost(NamedTuple):
    ms: float  # the median
    transactions: float
    events: int  # that arrived in all


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


def measure(server: Running, database_url: str, count: int, paths: Sequence[str]) -> Cost:
    with server.client() as client, listening(server, count, paths) as arrived:
        for _ in range(WARMING):
            start_and_answer(client)
        took = list[float]()
        before = count_transactions(database_url)
        for _ in range(TIMES):
            began = time.monotonic()
            start_and_answer(client)
            took.append(time.monotonic() - began)
        transactions = count_transactions(database_url) - before
    return Cost(median(took) * 1000, transactions / TIMES, sum(arrived))


def main() -> None:
    sys.stdout.write(HEAD)
    with temporary_postgres() as postgres:
        measure_all(postgres.start())


def measure_all(database_url: str) -> None:
    with serving(database_url, "asks.py:agent") as server:
        alone = measure(server, database_url, 0, ())
        tell("nobody", alone, alone)
        for count in OF_QUEUE[1:]:
            cost = measure(server, database_url, count, [QUEUE])
            tell(f"{count} of the queue", cost, alone)
        with server.client() as client:
            paths = [f"/api/runs/{start(client)['runId']}/events" for _ in range(WATCHED)]
        for count in OF_RUNS:
            cost = measure(server, database_url, count, paths)
            tell(f"{count} of {WATCHED} other runs", cost, alone)


def tell(what: str, cost: Cost, alone: Cost) -> None:
    ratio = cost.ms / alone.ms
    sys.stdout.write(
        f"| {what} | {cost.ms:.0f} | {ratio:.2f} | {cost.transactions:.0f} | {cost.events} |\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
