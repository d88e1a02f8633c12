"""Many runs in a database, quickly: a few that a server has made, and copies of them.

A copy has all rows of its run, with ids and times of its own, also in what is stored as bytes.
"""

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import psycopg
from psycopg import sql

from tests.bench.race import BENCH
from tests.processes import AGENTS, serving

# By the columns that say whose a row is.
OF_RUN = ("orchestrator_runs", "hitl_requests", "audit_entries", "run_events")
OF_REQUEST = ("hitl_responses",)
OF_THREAD = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
TABLES = (*OF_RUN, *OF_REQUEST, *OF_THREAD)
NUMBERED = {"response_id", "hitl_seq"}  # by the database
AS_IT_IS = {"claimed_until", "working_until"}  # no time, but a sign
A_BATCH = 10_000
AGENTS_HERE = f"{BENCH / 'asking.py'}:asks,{BENCH / 'asking.py'}:silent,{AGENTS / 'asks.py'}:agent"
# Of who fills: nothing of it has to last, and nothing is checked that was checked in the original.
HASTE = (
    "SET synchronous_commit = off",
    "SET session_replication_role = replica",
    "SET max_parallel_workers_per_gather = 0",
)
FSYNC = "ALTER SYSTEM SET {} = {}"
COLUMNS = """SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position"""
IDS = """SELECT array_agg(DISTINCT split_part(id, '_', 2)) FROM (
    SELECT run_id AS id FROM orchestrator_runs WHERE run_id = %(run)s
    UNION ALL SELECT thread_id FROM orchestrator_runs WHERE run_id = %(run)s
    UNION ALL SELECT request_id FROM hitl_requests WHERE run_id = %(run)s) AS ids"""
# Questions of every second paused run have a time that is far away.
EXPIRING = """UPDATE hitl_requests SET expires_at = now() + interval '90 days'
    WHERE status = 'pending' AND run_id = ANY(%s)"""
KEYS = """INSERT INTO idempotency_keys (route, key, body_hash, outcome)
    SELECT 'start', md5(n::text), md5(n::text), '{}' FROM generate_series(1, %s) AS n"""

Json = dict[str, Any]


class Templates(NamedTuple):
    """Runs by their ids."""

    ended: Sequence[str]
    paused: Sequence[str]


def make_templates(database_url: str) -> Templates:
    """Let a server make them, as people would."""
    with serving(database_url, HITL_AGENTS=AGENTS_HERE) as server, server.client() as client:
        ended = [
            end(client, start(client, "bench.asks", "sent"), approved=True),
            start(client, "bench.silent", "made")["runId"],
            end(client, start(client, "bench.asks", "sent"), approved=False),
            end(client, start_question(client, "normal"), freeformText="Go on."),
        ]
        urgencies = ("normal", "low", "high", "normal")
        paused = [start_question(client, urgency)["runId"] for urgency in urgencies]
        paused.append(start(client, "bench.asks", "sent")["runId"])
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(EXPIRING, (paused[::2],))
    return Templates(ended, paused)


def start(client: httpx.Client, agent: str, output: str, **inputs: Json) -> Json:
    body = {"objective": "Announce it", "agents": [agent], "outputs": [output], "inputs": inputs}
    reply = client.post("/api/runs?wait=60", json=body)
    assert reply.status_code == httpx.codes.ACCEPTED, reply.text
    return reply.json()


def start_question(client: httpx.Client, urgency: str) -> Json:
    question = {"question": "What now?", "kind": "freeform", "urgency": urgency}
    return start(client, "asks", "answer", question=question)


def end(client: httpx.Client, run: Json, **answer: Any) -> str:
    asked = run["pendingRequestId"]
    body = {"runId": run["runId"], "requestId": asked}
    body["responses"] = [{"requestId": asked, **answer}]
    ended = client.post("/api/hitl/resume?wait=60", json=body).json()
    assert ended["status"] == "completed", ended
    return run["runId"]


def fill(
    database_url: str,
    templates: Templates,
    ended: int,
    paused: int,
    tables: Sequence[str] = TABLES,
) -> None:
    """Make so many of each, whole and vacuumed."""
    with hurrying(database_url) as conn:
        conn.execute("CREATE SEQUENCE bench_frames START 1000")
        for runs, count, what in (
            (templates.ended, ended, "ended"),
            (templates.paused, paused, "paused"),
        ):
            fill_with(conn, [list_copies(conn, one, tables) for one in runs], count, what)
        conn.execute("UPDATE queue_counter SET last = nextval('bench_frames')")
        conn.execute("DROP SEQUENCE bench_frames")
        conn.execute(KEYS, (paused,))
        say("vacuum")
        conn.execute("VACUUM ANALYZE")
    say("done")


@contextmanager
def hurrying(database_url: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        for statement in HASTE:
            conn.execute(statement)
        for name in ("fsync", "full_page_writes", "autovacuum"):
            conn.execute(sql.SQL(FSYNC).format(sql.Identifier(name), sql.SQL("off")))
        conn.execute("SELECT pg_reload_conf()")
        yield conn
        conn.execute("ALTER SYSTEM RESET ALL")
        conn.execute("SELECT pg_reload_conf()")
        conn.execute("CHECKPOINT")


def fill_with(
    conn: psycopg.Connection,
    statements: Sequence[Sequence[sql.Composed]],
    count: int,
    what: str,
) -> None:
    began = time.monotonic()
    for first in range(0, count, A_BATCH):
        last = min(first + A_BATCH, count) - 1
        for number, copies in enumerate(statements):
            offset = (number - first) % len(statements)
            values = {"first": first + offset, "last": last, "step": len(statements)}
            with conn.transaction():
                for copy in copies:
                    conn.execute(copy, values)
        say(f"{last + 1:,} of {count:,} {what}, {time.monotonic() - began:.0f} s")


def list_copies(conn: psycopg.Connection, run_id: str, tables: Sequence[str]) -> list[sql.Composed]:
    """Return the statements that copy one run, with `first`, `last` and `step` to be given."""
    row = conn.execute(IDS, {"run": run_id}).fetchone()
    thread = conn.execute(
        "SELECT thread_id FROM orchestrator_runs WHERE run_id = %s", (run_id,)
    ).fetchone()
    assert row
    assert thread
    ids: list[str] = row[0]
    its_own = sql.Literal(run_id)
    whose: Mapping[str, sql.Composed] = {
        **dict.fromkeys(OF_RUN, sql.SQL("run_id = {}").format(its_own)),
        **dict.fromkeys(OF_REQUEST, sql.SQL(
            "request_id IN (SELECT request_id FROM hitl_requests WHERE run_id = {})"
        ).format(its_own)),
        **dict.fromkeys(OF_THREAD, sql.SQL(
            "thread_id BETWEEN {0} AND {0} || '~'"
        ).format(thread[0])),
    }  # fmt: skip
    return [copy_table(conn, table, whose[table], ids) for table in tables]


def copy_table(
    conn: psycopg.Connection, table: str, where: sql.Composed, ids: Sequence[str]
) -> sql.Composed:
    columns = [
        (name, type_)
        for name, type_ in conn.execute(COLUMNS, (table,)).fetchall()
        if name not in NUMBERED
    ]
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
    values = sql.SQL(", ").join(change(name, type_, ids) for name, type_ in columns)
    return sql.SQL(
        """INSERT INTO {table} ({names})
        SELECT {values}
        FROM generate_series(%(first)s::int, %(last)s::int, %(step)s::int) AS n,
            (SELECT * FROM {table} WHERE {where} OFFSET 0) AS original"""
    ).format(table=sql.Identifier(table), names=names, values=values, where=where)


def change(name: str, type_: str, ids: Sequence[str]) -> sql.Composable:
    """Return what a column has in the n-th copy."""
    column = sql.Identifier(name)
    if name == "queue_seq":
        return sql.SQL("CASE WHEN queue THEN nextval('bench_frames') END")
    if type_.startswith("timestamp") and name not in AS_IT_IS:
        return sql.SQL("{} - n * interval '1 second'").format(column)
    if type_ == "bytea":
        text = replace(sql.SQL("encode({}, 'hex')").format(column), ids, in_bytes=True)
        return sql.SQL("decode({}, 'hex')").format(text)
    if type_ in ("text", "json", "jsonb"):
        text = replace(sql.SQL("{}::text").format(column), ids, in_bytes=False)
        return sql.SQL("{}::{}").format(text, sql.SQL(type_))
    return column


def replace(text: sql.Composable, ids: Sequence[str], in_bytes: bool) -> sql.Composable:
    for one in ids:
        other = sql.SQL("md5({} || n)").format(one)
        if in_bytes:
            other = sql.SQL("encode({}::bytea, 'hex')").format(other)
        wanted = one.encode().hex() if in_bytes else one
        text = sql.SQL("replace({}, {}, {})").format(text, wanted, other)
    return text


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
