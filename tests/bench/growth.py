"""What the server's calls, its start and its sweeps take, with a few runs and with a million.

python -m tests.bench.growth [--runs 100,10000,100000,1000000] [--folder FOLDER]

One database a size, with a tenth as many paused runs as ended ones; one server each, measured by
turns. A folder keeps the databases for the next time. A million takes 20 minutes and 35 GB.
"""

import argparse
import asyncio
import re
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import LiteralString, NamedTuple, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints import listing
from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.bench.filling import AGENTS_HERE, fill, make_templates, say
from tests.bench.http import Client, Json
from tests.bench.race import answer_here, start_here
from tests.bench.spread import Found, Spread, Took
from tests.bench.sweeping import measure_sweeps
from tests.processes import API_KEY, serving
from tests.temporary import temporary_folder

RUNS = (100, 10_000, 100_000, 1_000_000)
BYTES_A_RUN = 32_000
TURNS, A_TURN, WARMING, STARTS = 20, 4, 3, 5
A_PAGE = 5  # the smallest database has three pages of paused runs

Database = tuple[int, str]  # runs, and where they are
Act = Callable[[Client, "Known"], Awaitable[object]]


class Known(NamedTuple):
    """What is asked for, of one database."""

    run_id: str
    thread_id: str
    second: Mapping[str, str]  # cursors, by list
    late: Mapping[str, str]

    @classmethod
    async def look(cls, client: Client, database_url: str) -> Self:
        run = (await client.get("/api/runs?status=completed&limit=1"))["runs"][0]
        second = {path: (await client.get(f"{path}limit={A_PAGE}"))["nextCursor"] for path in LISTS}
        with psycopg.connect(database_url) as conn:
            late = {path: find_cursor(conn, each) for path, each in LAST_BUT_SIX.items()}
        return cls(run["runId"], run["threadId"], second, late)


LISTS = (
    "/api/hitl/pending?",
    "/api/hitl/requests?status=pending&",
    "/api/hitl/requests?status=resolved&",
    "/api/runs?",
    "/api/runs?status=completed&",
)
# To walk there page by page takes minutes.
LAST_BUT_SIX: Mapping[str, LiteralString] = {
    "/api/hitl/pending?": """SELECT pending_urgency::text AS a, pending_since AS at, run_id AS id
        FROM orchestrator_runs WHERE status = 'awaiting_hitl'
        ORDER BY pending_urgency, pending_since DESC, run_id DESC OFFSET 6 LIMIT 1""",
    "/api/runs?": """SELECT NULL AS a, created_at AS at, run_id AS id
        FROM orchestrator_runs ORDER BY created_at, run_id OFFSET 6 LIMIT 1""",
}


def find_cursor(conn: psycopg.Connection, statement: LiteralString) -> str:
    row = conn.execute(statement).fetchone()
    assert row
    rank, at, run_id = row
    values = [at.isoformat(), run_id]
    return listing._cursor(*([rank, *values] if rank else values))  # pyright: ignore


async def list_first(path: str, client: Client, known: Known) -> None:
    await client.read(f"{path}limit={A_PAGE}")


async def list_second(path: str, client: Client, known: Known) -> None:
    await client.read(f"{path}limit={A_PAGE}&cursor={known.second[path]}")


async def list_late(path: str, client: Client, known: Known) -> None:
    await client.read(f"{path}limit={A_PAGE}&cursor={known.late[path]}")


async def list_of_thread(path: str, client: Client, known: Known) -> None:
    await client.read(f"{path}threadId={known.thread_id}")


async def show(client: Client, known: Known) -> None:
    await client.read(f"/api/runs/{known.run_id}")


async def read(path: str, client: Client, known: Known) -> None:
    await client.read(path)


def list_acts() -> Mapping[str, Act]:
    acts: dict[str, Act] = {}
    for path in LISTS:
        name = f"GET {path.rstrip('?&')}"
        acts[name] = partial(list_first, path)
        acts[f"{name}, second page"] = partial(list_second, path)
        if path in LAST_BUT_SIX:
            acts[f"{name}, late page"] = partial(list_late, path)
    for path in ("/api/runs?", "/api/hitl/pending?"):
        acts[f"GET {path}threadId="] = partial(list_of_thread, path)
    for path in ("/api/hitl/pending?agent=nobody", "/api/hitl/pending?urgency=high&limit=5"):
        acts[f"GET {path}"] = partial(read, path)
    acts["GET /api/runs/{id}"] = show
    for path in ("/metrics", "/readyz"):
        acts[f"GET {path}"] = partial(read, path)
    return acts


class Measured(NamedTuple):
    runs: int
    port: int
    pid: int
    known: Known


@contextmanager
def kept_databases(
    folder: Path, sizes: Sequence[int], fill_one: Callable[[str, int], None]
) -> Generator[list[Database]]:
    """Fill those that are not there yet."""
    with EmbeddedPostgres(folder) as postgres_url:
        missing = [runs for runs in sizes if not is_there(postgres_url, f"grown_{runs}")]
        check_space(folder, missing)
        for runs in missing:
            make(postgres_url, runs, fill_one)
        yield [(runs, make_conninfo(postgres_url, dbname=f"grown_{runs}")) for runs in sizes]


def is_there(postgres_url: str, name: str) -> bool:
    with psycopg.connect(postgres_url) as conn:
        query = "SELECT FROM pg_database WHERE datname = %s"
        return conn.execute(query, (name,)).fetchone() is not None


def make(postgres_url: str, runs: int, fill_one: Callable[[str, int], None]) -> None:
    filling, grown = sql.Identifier(f"filling_{runs}"), sql.Identifier(f"grown_{runs}")
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(filling))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(filling))
        fill_one(make_conninfo(postgres_url, dbname=f"filling_{runs}"), runs)
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        conn.execute(rename.format(filling, grown))


def fill_whole(database_url: str, runs: int) -> None:
    fill(database_url, make_templates(database_url), runs, runs // 10)


def check_space(folder: Path, sizes: Sequence[int]) -> None:
    wanted = BYTES_A_RUN * sum(runs + runs // 10 for runs in sizes)
    free = shutil.disk_usage(folder).free
    say(f"{wanted / 1e9:.1f} GB are wanted at most, {free / 1e9:.1f} GB are free")
    if wanted > 0.8 * free:
        sys.exit("That is too little: name fewer --runs.")


def read_bytes_a_run(database: Database) -> float:
    runs, database_url = database
    with psycopg.connect(database_url) as conn:
        row = conn.execute("SELECT pg_database_size(current_database())::float").fetchone()
        assert row
        return row[0] / (runs + runs // 10)


def measure_starts(databases: Sequence[Database]) -> Found:
    """Measure from nothing to the line that says that it serves."""
    took = Took()
    for _ in range(STARTS):
        for runs, database_url in databases:
            began = time.monotonic()
            with serving(database_url, HITL_AGENTS=AGENTS_HERE) as server:
                took.add(runs, began)
                server.terminate()
    return {"start of the server": took.sum_up()}


async def measure_calls(databases: Sequence[Database]) -> Found:
    with ExitStack() as stack:
        measured = list[Measured]()
        for runs, database_url in databases:
            server = stack.enter_context(serving(database_url, HITL_AGENTS=AGENTS_HERE))
            port = int(server.url.rpartition(":")[2])
            async with Client(port, API_KEY) as client:
                known = await Known.look(client, database_url)
            measured.append(Measured(runs, port, server.process.pid, known))
        cycles = await measure_cycles(measured)
        calls = {name: await measure_act(act, measured) for name, act in list_acts().items()}
        memory = {one.runs: Spread.of([read_megabytes(one.pid)] * 2) for one in measured}
        return {**cycles, **calls, "memory of the server, MB": memory}


def read_megabytes(pid: int) -> float:
    """Return what is resident."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0


async def measure_cycles(measured: Sequence[Measured]) -> Found:
    to_question, to_end = Took(), Took()
    async for one, client, is_warm in take_turns(measured):
        began = time.monotonic()
        run = await start_here(client)
        asked = time.monotonic()
        await answer_here(client, run)
        if is_warm:
            to_question.add(one.runs, began, asked)
            to_end.add(one.runs, asked)
    return {"start to question": to_question.sum_up(), "answer to end": to_end.sum_up()}


async def measure_act(act: Act, measured: Sequence[Measured]) -> Mapping[int, Spread]:
    took = Took()
    async for one, client, is_warm in take_turns(measured):
        began = time.monotonic()
        await act(client, one.known)
        if is_warm:
            took.add(one.runs, began)
    return took.sum_up()


async def take_turns(
    measured: Sequence[Measured],
) -> AsyncGenerator[tuple[Measured, Client, bool]]:
    """Yield each so many times, and whether it was there often enough before.

    From its tenth time on Postgres has one plan for a statement, for all values.
    """
    for turn in range(WARMING + TURNS):
        for one in measured if turn % 2 else reversed(measured):
            async with Client(one.port, API_KEY) as client:
                for _ in range(A_TURN):
                    yield one, client, turn >= WARMING


def print_table(found: Found, sizes: Sequence[int]) -> None:
    """Print medians, and ratios to the smallest; in brackets those of the quickest tenth."""
    sys.stdout.write("\n")
    print_row("", *(f"{runs:,} runs" for runs in sizes), *(f"x at {n:,}" for n in sizes[1:]))
    print_row("---", *("---:" for _ in range(2 * len(sizes) - 1)))
    for what, times in found.items():
        least = times[sizes[0]]
        ratios = [
            f"{times[runs].middle / least.middle:.2f} ({times[runs].quick / least.quick:.2f})"
            for runs in sizes[1:]
        ]
        print_row(what, *(f"{times[runs].middle:.3g}" for runs in sizes), *ratios)


def print_row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def measure(sizes: Sequence[int], folder: Path | None) -> Json:
    if folder is None:
        with temporary_folder() as made:
            return measure(sizes, made)
    with kept_databases(folder, sizes, fill_whole) as databases:
        stored = {str(one[0]): read_bytes_a_run(one) for one in databases}
        say(f"bytes a run: {stored}")
        calls = {**measure_starts(databases), **asyncio.run(measure_calls(databases))}
        print_table(calls, sizes)
        sweeps, pages = measure_sweeps(databases)
        print_table(sweeps, sizes)
        print_table(pages, sizes)
    return {
        "bytes a run": stored,
        "ms of calls": write(calls),
        "ms of sweeps": write(sweeps),
        "pages of sweeps": write(pages),
    }


def write(found: Found) -> Json:
    return {what: write_one(times) for what, times in found.items()}


def write_one(times: Mapping[int, Spread]) -> Json:
    return {str(runs): spread._asdict() for runs, spread in times.items()}


def read_sizes(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=read_sizes, default=[*RUNS])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    measure(given.runs, given.folder)


if __name__ == "__main__":
    main()
