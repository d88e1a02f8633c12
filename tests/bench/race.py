"""Cycles a second over HTTP, here and by hand: start to a question, its answer to the end.

python -m tests.bench.race [--rounds N] [--seconds S]

Both servers are processes on one Postgres, each with its own database, and run by turns in short
bursts: what the machine does besides meets both alike. Ratios are what to look at.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.bench.http import Client, Json
from tests.processes import API_KEY, serving
from tests.statements import Statements, statements
from tests.temporary import temporary_postgres

ASKS, NEVER_ASKS = "a question", "never asks"
BURSTS = ((ASKS, 1), (ASKS, 16), (ASKS, 64), (NEVER_ASKS, 1), (NEVER_ASKS, 16))
BENCH = Path(__file__).parent
ROUNDS, SECONDS = 8, 3
COUNTED = 48
HEAD_BURSTS = """
| a run | at once | | a second | ms to the question | ms to the end | server, ms of CPU \
| Postgres, ms | ratio |
| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""
HEAD_STORED = """
| | a run | at once | statements | commits | rows | bytes of WAL | bytes stored |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


class Burst(NamedTuple):
    """Milliseconds are a run's; `cpu_ms` the server's, `pg_ms` the database's.

    A run that never asks is at its end at once.
    """

    a_second: float
    to_question_ms: float
    to_end_ms: float
    cpu_ms: float
    pg_ms: float


class Stored(NamedTuple):
    """Of one cycle, as the database has it."""

    statements: float
    commits: float
    rows: float
    wal_bytes: float
    stored_bytes: float


class Racer(NamedTuple):
    name: str
    port: int
    pid: int
    database_url: str
    start: Callable[[Client], Awaitable[Json]]
    answer: Callable[[Client, Json], Awaitable[None]]
    never_ask: Callable[[Client], Awaitable[None]]


async def start_here(client: Client) -> Json:
    body = {"objective": "Announce it", "outputs": ["sent"]}
    run = await client.post("/api/runs?wait=60", body)
    assert run["status"] == "awaiting_hitl", run
    return run


async def answer_here(client: Client, run: Json) -> None:
    asked = run["pendingRequestId"]
    answer = {"requestId": asked, "approved": True}
    body = {"runId": run["runId"], "requestId": asked, "responses": [answer]}
    ended = await client.post("/api/hitl/resume?wait=60", body)
    assert ended["status"] == "completed", ended


async def never_ask_here(client: Client) -> None:
    run = await client.post("/api/runs?wait=60", {"objective": "Make it", "outputs": ["made"]})
    assert run["status"] == "completed", run


async def start_by_hand(client: Client) -> Json:
    run = await client.post("/runs/asks", {"objective": "Announce it"})
    assert run["status"] == "waiting", run
    return run


async def answer_by_hand(client: Client, run: Json) -> None:
    ended = await client.post(f"/runs/asks/{run['id']}/answer", {"answer": True})
    assert ended["status"] == "done", ended


async def never_ask_by_hand(client: Client) -> None:
    run = await client.post("/runs/silent", {"objective": "Make it"})
    assert run["status"] == "done", run


@contextmanager
def started_here(database_url: str) -> Generator[Racer]:
    agents = f"{BENCH / 'asking.py'}:asks,{BENCH / 'asking.py'}:silent"
    with serving(database_url, HITL_AGENTS=agents) as server:
        port = int(server.url.rpartition(":")[2])
        acts = start_here, answer_here, never_ask_here
        yield Racer("here", port, server.process.pid, database_url, *acts)


@contextmanager
def started_by_hand(database_url: str, port: int = 8471) -> Generator[Racer]:
    command = [sys.executable, "-m", "tests.bench.baseline", database_url, str(port)]
    with subprocess.Popen(command) as process:
        acts = start_by_hand, answer_by_hand, never_ask_by_hand
        try:
            yield Racer("by hand", port, process.pid, database_url, *acts)
        finally:
            process.terminate()


@asynccontextmanager
async def connected(racer: Racer, count: int) -> AsyncGenerator[list[Client]]:
    async with AsyncExitStack() as stack:
        clients = [Client(racer.port, API_KEY) for _ in range(count)]
        yield [await stack.enter_async_context(client) for client in clients]


async def burst(
    racer: Racer, concurrency: int, seconds: float, postmaster: int, kind: str = ASKS
) -> Burst:
    to_question, to_end = list[float](), list[float]()
    until = time.monotonic() + seconds

    async def cycle_until_then(client: Client) -> None:
        while (began := time.monotonic()) < until:
            run = await racer.start(client) if kind == ASKS else None
            asked = time.monotonic()
            await (racer.answer(client, run) if run else racer.never_ask(client))
            to_question.append(asked - began)
            to_end.append(time.monotonic() - asked)

    async with connected(racer, concurrency) as clients:
        spent, began = read_cpu(racer, postmaster), time.monotonic()
        await asyncio.gather(*map(cycle_until_then, clients))
        took, cycles = time.monotonic() - began, len(to_end)
        spent = [now - then for now, then in zip(read_cpu(racer, postmaster), spent, strict=True)]
    times = median(to_question), median(to_end), *(one / cycles for one in spent)
    return Burst(cycles / took, *(1000 * one for one in times))


def read_cpu_of_postgres(postmaster: int) -> float:
    """Of Postgres and all its processes, also of those that are gone."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(") ")[2].split()
            if stat.parent.name == str(postmaster):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(postmaster):
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read_cpu(racer: Racer, postmaster: int) -> list[float]:
    return [read_cpu_of_process(racer.pid), read_cpu_of_postgres(postmaster)]


def read_cpu_of_process(pid: int) -> float:
    """Return seconds, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def count(
    racer: Racer, counted: Statements, act: Callable[[Client], Awaitable[Any]], concurrency: int
) -> Stored:
    """Count what it comes to, many times; what the server does by itself is counted, too."""

    async def repeat(client: Client) -> None:
        for _ in range(COUNTED // concurrency):
            await act(client)

    async with connected(racer, concurrency) as clients:
        await asyncio.gather(*map(act, clients))
        before = read_stored(racer.database_url)
        async with counted.asked() as asked:
            await asyncio.gather(*map(repeat, clients))
        after = read_stored(racer.database_url)
    stored = [now - then for now, then in zip(after, before, strict=True)]
    times = COUNTED // concurrency * concurrency
    every = [len(asked.statements), asked.commits, *stored]
    return Stored(*(one / times for one in every))


def read_stored(database_url: str) -> list[float]:
    """Return rows inserted and updated, bytes of WAL, and bytes stored."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.5)  # others tell their counts that late
        row = conn.execute(
            """SELECT (SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables)::float,
            (SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float,
            pg_database_size(current_database())::float"""
        ).fetchone()
        assert row
        return [*row]


def make_database(postgres_url: str) -> str:
    name = f"race_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(postgres_url, dbname=name)


async def until_up(racer: Racer) -> None:
    async with asyncio.timeout(30):
        while True:
            with suppress(OSError):
                async with connected(racer, 1):
                    return
            await asyncio.sleep(0.1)


async def race(rounds: int, seconds: float) -> Json:
    found: Json = {"bursts": {}, "stored": {}}
    with temporary_postgres() as postgres:
        found["bursts"] = await race_in_bursts(postgres, rounds, seconds)
        say(HEAD_STORED)
        for start in (started_here, started_by_hand):
            found["stored"] |= await count_all(postgres, start)
    return found


async def race_in_bursts(postgres: EmbeddedPostgres, rounds: int, seconds: float) -> Json:
    found: Json = {}
    ours, theirs = (make_database(postgres.start()) for _ in range(2))
    say(HEAD_BURSTS)
    with started_here(ours) as here, started_by_hand(theirs) as by_hand:
        postmaster = int((postgres.cluster / "postmaster.pid").read_text().split()[0])
        racers = (here, by_hand)
        for racer in racers:
            await until_up(racer)
            await burst(racer, 4, 2, postmaster)  # warm
        for kind, concurrency in BURSTS:
            bursts: dict[str, list[Burst]] = {racer.name: [] for racer in racers}
            for number in range(rounds):
                for racer in racers if number % 2 else reversed(racers):
                    one = await burst(racer, concurrency, seconds, postmaster, kind)
                    bursts[racer.name].append(one)
            found[f"{kind}, {concurrency} at once"] = write_bursts(bursts)
            print_bursts(kind, concurrency, bursts)
    return found


def write_bursts(bursts: Mapping[str, Sequence[Burst]]) -> Json:
    found: Json = {"ratios": list_ratios(bursts)}
    for name, some in bursts.items():
        found[name] = [one._asdict() for one in some]
    return found


async def count_all(
    postgres: EmbeddedPostgres, start: Callable[[str], AbstractContextManager[Racer]]
) -> Json:
    found: Json = {}
    database_url = make_database(postgres.start())
    # the log is told of the statements of connections that are made from here on
    async with statements(database_url) as counted:
        with start(database_url) as racer:
            await until_up(racer)

            async def ask_and_answer(client: Client) -> None:
                await racer.answer(client, await racer.start(client))

            for what, act in ((ASKS, ask_and_answer), (NEVER_ASKS, racer.never_ask)):
                for concurrency in (1, 16):
                    stored = await count(racer, counted, act, concurrency)
                    found[f"{racer.name}, {what}, {concurrency} at once"] = stored._asdict()
                    say(f"| {racer.name} | {what} | {concurrency} | {join(stored)} |")
    return found


def list_ratios(bursts: Mapping[str, Sequence[Burst]]) -> list[float]:
    pairs = zip(bursts["here"], bursts["by hand"], strict=True)
    return sorted(ours.a_second / theirs.a_second for ours, theirs in pairs)


def print_bursts(kind: str, concurrency: int, bursts: Mapping[str, Sequence[Burst]]) -> None:
    medians = {name: list_medians(some) for name, some in bursts.items()}
    ratios = list_ratios(bursts)
    ratio = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    for name, values in medians.items():
        shown = ratio if name == "here" else ""
        say(f"| {kind} | {concurrency} | {name} | {join(values)} | {shown} |")


def list_medians(bursts: Sequence[Burst]) -> list[float]:
    return [median(column) for column in zip(*bursts, strict=True)]


def join(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.3g}" for value in values)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Race against what people write by hand.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    asyncio.run(race(given.rounds, given.seconds))


if __name__ == "__main__":
    main()
