"""The table `run_events`: the frames of the streams."""

from collections.abc import Sequence
from datetime import datetime

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import NotFound
from hitl_orchestrator.domain.events import LAST_FRAMES, VOICES, Event, EventKind
from hitl_orchestrator.domain.frames import build_frame
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import StoredRun

CHANNEL = "hitl_events"  # payload: the run's id, and who tells of it (wakeups.py)
CANCELLED_CHANNEL = "hitl_cancelled"  # payload: the run's id, for whoever drives it
# A row without a frame: the run is not there any more.
OF_RUN = """(SELECT seq, frame, last FROM run_events
        WHERE run_id = %(run)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s)
    UNION ALL SELECT 0, NULL, true
        WHERE NOT EXISTS (SELECT FROM orchestrator_runs WHERE run_id = %(run)s)
    ORDER BY seq"""
_IS_PROGRESS = "(frame->'data'->'progress' IS NOT NULL OR frame->'data'->'tokens' IS NOT NULL)"
# There may be ten of those a second: a page leaves them out, and shows the newest.
WITHOUT_PROGRESS = f"""SELECT seq, frame, last FROM run_events
    WHERE run_id = %s AND NOT {_IS_PROGRESS} ORDER BY seq LIMIT %s"""  # noqa: S608  # a constant
NEWEST = "SELECT seq, frame, last FROM run_events WHERE run_id = %s ORDER BY seq DESC LIMIT %s"
TO_NUMBER = "SELECT 1 FROM run_events WHERE queue AND queue_seq IS NULL LIMIT 1"
# A counter that fell behind (of an older program) would give numbers twice.
LAST = """SELECT greatest(last, (SELECT max(queue_seq) FROM run_events)) AS last
    FROM queue_counter"""
COUNTER = f"{LAST} FOR UPDATE"
# What a prune deletes at this moment is not waited for: it is locked, and so left out.
NUMBERED_AT_ONCE = 1000
NUMBER = """WITH taken AS MATERIALIZED (SELECT run_id, seq, at
        FROM run_events WHERE queue AND queue_seq IS NULL
        ORDER BY at, run_id, seq LIMIT %(most)s FOR UPDATE SKIP LOCKED),
    fresh AS (SELECT run_id, seq, row_number() OVER (ORDER BY at, run_id, seq) AS n FROM taken),
    numbered AS (UPDATE run_events e SET queue_seq = %(last)s + fresh.n FROM fresh
        WHERE e.run_id = fresh.run_id AND e.seq = fresh.seq RETURNING 1),
    counted AS (SELECT count(*) AS number FROM fresh)
    UPDATE queue_counter SET last = %(last)s + counted.number FROM counted
    RETURNING counted.number"""
OF_QUEUE = """SELECT queue_seq AS seq, frame, false AS last FROM run_events
    WHERE queue_seq > %s ORDER BY queue_seq LIMIT %s"""


def write_frames(
    run: StoredRun, count: int, happened: Sequence[Event], now: datetime
) -> list[JsonObject]:
    """Return the rows of frames that follow, of a run that has so many."""
    rows: list[JsonObject] = []
    for event in happened:
        seq = count + len(rows) + 1
        if frame := build_frame(run, seq, event, now):
            is_last, is_of_queue = event.kind in LAST_FRAMES, VOICES[event.kind].queue
            rows.append({"seq": seq, "frame": frame, "queue": is_of_queue, "last": is_last})
    return rows


def list_channels(happened: Sequence[Event]) -> list[str]:
    """Return where a run is named with the commit itself: who drives it must not go on."""
    is_cancelled = EventKind.RUN_CANCELLED in [event.kind for event in happened]
    return [CANCELLED_CHANNEL] if is_cancelled else []


async def of_run(
    conn: Connection, run_id: str, after: int, limit: int
) -> list[tuple[int, JsonObject, bool]]:
    """Return number, frame, and whether it is the last. Raise NotFound: there is no such run."""
    wanted = {"run": run_id, "after": after, "limit": limit}
    rows = await (await conn.execute(OF_RUN, wanted)).fetchall()
    if any(row["frame"] is None for row in rows):
        raise NotFound(f"There is no run {run_id}.")
    return [(row["seq"], row["frame"], row["last"]) for row in rows]


async def without_progress(
    conn: Connection, run_id: str, limit: int
) -> list[tuple[int, JsonObject, bool]]:
    """Return a run's first frames but for those that tell of a step at work."""
    rows = await (await conn.execute(WITHOUT_PROGRESS, (run_id, limit))).fetchall()
    return [(row["seq"], row["frame"], row["last"]) for row in rows]


async def newest(conn: Connection, run_id: str, limit: int) -> list[tuple[int, JsonObject, bool]]:
    """Return a run's last frames, in their order."""
    rows = await (await conn.execute(NEWEST, (run_id, limit))).fetchall()
    return [(row["seq"], row["frame"], row["last"]) for row in reversed(rows)]


async def number_the_queue(conn: Connection) -> int:
    """Give all of the queue's new frames their numbers, and return the highest."""
    while await number_some(conn):
        pass
    row = await (await conn.execute(LAST)).fetchone()
    return row["last"] if row else 0


async def number_some(conn: Connection) -> bool:
    """Give new frames of the queue their numbers. Return whether there may be more of them.

    In the order in which they became visible. Where nothing is new nobody is locked out.
    """
    if await (await conn.execute(TO_NUMBER)).fetchone() is None:
        return False
    async with conn.transaction():
        # A statement of its own: the next one must see what was numbered while this one waited.
        counter = await (await conn.execute(COUNTER)).fetchone()
        values = {"last": counter and counter["last"], "most": NUMBERED_AT_ONCE}
        row = await (await conn.execute(NUMBER, values)).fetchone()
    return bool(row and row["number"] == NUMBERED_AT_ONCE)


async def of_queue(conn: Connection, after: int, limit: int) -> list[tuple[int, JsonObject, bool]]:
    rows = await (await conn.execute(OF_QUEUE, (after, limit))).fetchall()
    return [(row["seq"], {**row["frame"], "seq": row["seq"]}, row["last"]) for row in rows]
