"""What the lists of LangGraph's threads take, with a few runs and with a million.

python -m tests.bench.threads [--runs 100,1000000] [--folder FOLDER]

Databases as growth.py fills them, with the tables that these lists read and no others. The pages
are Postgres' own count of what it read, with the plan that it keeps for a statement it knows.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

from hitl_orchestrator.checkpoints import threads
from hitl_orchestrator.checkpoints.pool import Connection, connection, connection_pool
from hitl_orchestrator.server.protocols.agent_server.listing import read_search
from hitl_orchestrator.server.protocols.agent_server.threads import QUESTIONS
from tests.bench.filling import OF_REQUEST, fill, make_templates
from tests.bench.growth import Database, kept_databases, print_table, read_sizes
from tests.bench.http import Json
from tests.bench.spread import Found, Spread, Took
from tests.temporary import temporary_folder

RUNS = (100, 1_000_000)
READ = ("orchestrator_runs", "hitl_requests", "audit_entries", *OF_REQUEST)
TIMES, WARMING = 9, 10
MANY = 'UPDATE orchestrator_runs SET metadata = \'{"team": "sales"}\' WHERE run_id = ANY(%s)'
# Of the oldest runs, so that whoever looks for them walks past all the others, if anybody walks.
OLDEST = """UPDATE orchestrator_runs SET thread_id = coalesce(%(thread)s, thread_id),
    metadata = coalesce(%(metadata)s, metadata) WHERE run_id = ANY(ARRAY(
    SELECT run_id FROM orchestrator_runs WHERE status = 'completed' ORDER BY created_at LIMIT %(n)s
    ))"""
PAGES = """SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int AS pages FROM pg_class
    WHERE relnamespace IN ('public'::regnamespace, 'pg_toast'::regnamespace)"""


class Search(NamedTuple):
    body: Json
    is_count: bool = False


ANY: Mapping[str, Json] = {
    "all": {},
    **{f"`{one}`": {"status": one} for one in ("idle", "interrupted", "busy", "error")},
    "of nobody's `ids`": {"ids": ["nobody", "none"]},
    "`metadata` of a few": {"metadata": {"ticket": "T-1"}},
    "`metadata` of every fourth": {"metadata": {"team": "sales"}},
    "`metadata` of none": {"metadata": {"team": "nobody"}},
    "`metadata` of thousands, the oldest": {"metadata": {"team": "gone"}},
    "of no such `runId`": {"metadata": {"runId": "run_nobody"}},
    "of no such `threadId`": {"metadata": {"threadId": "nobody"}},
    "`offset` 1,000": {"offset": 1_000},
    "`offset` 100,000": {"offset": 100_000},
}
OF_THREADS: Mapping[str, Json] = {"a long thread by its id": {"ids": ["long"]}}
OF_QUESTIONS: Mapping[str, Json] = {
    f"{name}, `{status}`": {"status": status, "metadata": metadata}
    for status in ("interrupted", "idle")
    for name, metadata in {
        "of an agent": {"originAgent": "asks"},
        "of no such agent": {"originAgent": "nobody"},
        "`urgency` low": {"urgency": "low"},
        "`urgency` that none has": {"urgency": "none"},
    }.items()
}


def list_searches() -> dict[str, Search]:
    searches = dict[str, Search]()
    for graph, more in {"orchestrator": OF_THREADS, "questions": OF_QUESTIONS}.items():
        for name, body in {**ANY, **more}.items():
            of_graph = {**body, "metadata": {**body.get("metadata", {}), "graph_id": graph}}
            searches[f"{graph}: {name}"] = Search(of_graph)
            if "offset" not in body:
                searches[f"{graph}: {name}, counted"] = Search(of_graph, is_count=True)
    return searches


def make(database_url: str, runs: int) -> None:
    """Fill a database, with some that noted something, and one thread of many runs."""
    templates = make_templates(database_url)
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(MANY, ([templates.ended[0], templates.paused[0]],))
    fill(database_url, templates, runs, runs // 10, READ)
    with psycopg.connect(database_url, autocommit=True) as conn:
        many = max(runs // 500, 20)
        for n, metadata in {many: '{"team": "gone"}', 3: '{"ticket": "T-1"}'}.items():
            conn.execute(OLDEST, {"n": n, "metadata": metadata, "thread": None})
        conn.execute(OLDEST, {"n": many // 2, "metadata": None, "thread": "long"})
        conn.execute("VACUUM ANALYZE")


async def search(conn: Connection, wanted: Search) -> None:
    graph, threads_wanted, offset, limit, _ = read_search(wanted.body)
    if wanted.is_count:
        count = threads.count_questions if graph == QUESTIONS else threads.count_threads
        await count(conn, threads_wanted)
    else:
        find = threads.list_questions if graph == QUESTIONS else threads.list_threads
        await find(conn, threads_wanted, offset, limit)


async def measure(databases: Sequence[Database]) -> tuple[Found, Found]:
    """Return how long each takes, and how many pages it reads."""
    times, pages = dict[str, Took](), dict[str, dict[int, Spread]]()
    for runs, database_url in databases:
        pool = connection_pool(database_url, max_size=1)
        async with pool, connection(pool) as conn, conn.transaction():
            for name, wanted in list_searches().items():
                took = times.setdefault(name, Took())
                for number in range(WARMING + TIMES):
                    began = time.monotonic()
                    await search(conn, wanted)
                    if number >= WARMING:
                        took.add(runs, began)
                before = await count_pages(conn)
                await search(conn, wanted)
                read = max(1.0, await count_pages(conn) - before)
                pages.setdefault(name, {})[runs] = Spread(read, read)
    return {name: took.sum_up() for name, took in times.items()}, pages


async def count_pages(conn: Connection) -> int:
    row = await (await conn.execute(PAGES)).fetchone()
    assert row
    return row["pages"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=read_sizes, default=[*RUNS])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with temporary_folder() as made, kept_databases(given.folder or made, given.runs, make) as kept:
        for found in asyncio.run(measure(kept)):
            print_table(found, given.runs)


if __name__ == "__main__":
    main()
