"""What the statements take that a server asks by itself, again and again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from hitl_orchestrator.checkpoints import (
    claims,
    events,
    idempotency,
    processes,
    requests,
    retention,
    store,
    wakeups,
)
from tests.bench.spread import Found, Spread, Took

Parameters = Mapping[str, Any] | Sequence[Any]

TIMES, WARMING = 9, 10
LEASE = timedelta(seconds=30)
LONG_AGO = timedelta(days=10_000)
NEEDS = """SELECT array_agg(DISTINCT need) FROM (SELECT unnest(needs) AS need
    FROM orchestrator_runs WHERE status = 'awaiting_hitl' LIMIT 1000) AS needs"""
SOME = "SELECT array_agg(run_id) FROM (SELECT run_id FROM orchestrator_runs LIMIT 200) AS few"


def list_sweeps(
    offers: Sequence[str], some: Sequence[str]
) -> dict[str, tuple[LiteralString, Parameters]]:
    taker = {**claims.Taker("bench", LEASE, offers).values("token"), "limit": 100}
    lapsed = {"left_alone": LEASE, "limit": 100, "believed": None}
    process = {"process_id": "bench-1-1", "offers": [*offers], "drives": True, "lease": LEASE}
    unfitting = {"offers": [*offers], "believed": None}
    at_work = ["queued", "running"]
    held = {"run_ids": [some[0]], "tokens": ["token"], "lease": LEASE}
    a_batch = {"older_than": timedelta(0), "since": retention.EARLIEST, "limit": retention.BATCH}
    most = {"most": store.COUNTED_AT_MOST}
    return {
        "every 2 s: whose time is over": (requests.EXPIRED, {"after": "", "limit": 1000}),
        "every 2 s: lapsed claims": (claims.TAKE_LAPSED, taker),
        "every 2 s: left by others (queue)": (claims.TAKE_LEFT, taker),
        "every 2 s: lost jobs (queue)": (claims.LAPSED, lapsed),
        "every 2 s: versions of 200 runs": (wakeups.VERSIONS, [[*some]]),
        "every 7.5 s: heartbeat": (claims.HEARTBEAT, held),
        "every 7.5 s: report": (processes.REPORT, {**process, "believed": None}),
        "every 7.5 s: what nobody fits": (
            processes.UNFITTING, {**unfitting, "statuses": at_work}),
        "when others come: what nobody fits, of paused ones too": (
            processes.UNFITTING, {**unfitting, "statuses": [*at_work, "awaiting_hitl"]}),
        "every hour: forget keys": (idempotency.FORGET, ()),
        "every hour: what to prune, nothing": (
            retention.ENDED, {**a_batch, "older_than": LONG_AGO}),
        "every hour: what to prune, a batch": (retention.ENDED, a_batch),
        "every hour: whose history to drop, nothing": (
            retention.WITH_HISTORY, {**a_batch, "older_than": LONG_AGO}),
        "every hour: whose history to drop, a batch": (retention.WITH_HISTORY, a_batch),
        "a scrape: depth of the queue": (store._DEPTH, most),  # pyright: ignore
        "a scrape: held runs": (store._HELD, most),  # pyright: ignore
        "listeners: is anything to number": (events.TO_NUMBER, ()),
        "listeners: the last number": (events.LAST, ()),
    }  # fmt: skip


def measure_sweeps(databases: Sequence[tuple[int, str]]) -> tuple[Found, Found]:
    """Return how long each takes, and how many pages it reads."""
    times, pages = dict[str, Took](), dict[str, dict[int, Spread]]()
    for runs, database_url in databases:
        with psycopg.connect(database_url) as conn:
            for name, (statement, values) in list_sweeps(*look(conn)).items():
                took = times.setdefault(name, Took())
                for number in range(WARMING + TIMES):
                    began = monotonic()
                    conn.execute(statement, values, prepare=True)
                    if number >= WARMING:
                        took.add(runs, began)
                read = float(count_pages(conn, statement, values))
                pages.setdefault(name, {})[runs] = Spread(read, read)
            conn.rollback()
    return {name: took.sum_up() for name, took in times.items()}, pages


def look(conn: psycopg.Connection) -> tuple[list[str], list[str]]:
    """Return what runs need, and some runs."""
    needs, some = conn.execute(NEEDS).fetchone(), conn.execute(SOME).fetchone()
    assert needs
    assert some
    return needs[0], some[0]


def count_pages(conn: psycopg.Connection, statement: LiteralString, values: Parameters) -> int:
    explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + sql.SQL(statement)
    row = conn.execute(explain, values).fetchone()
    assert row
    plan = row[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
