"""The tables `webhook_endpoints` and `webhook_dead_letters`: who is told of the queue's frames."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.webhooks import PAUSES, Endpoint, KeptEndpoint

LEASE = timedelta(seconds=20)  # more than a try may take; renewed with each frame
AT_ONCE = 20  # frames that are told under one lease
ADD = """INSERT INTO webhook_endpoints (endpoint_id, url, secret, events, run_id, cursor)
    VALUES (%(endpoint_id)s, %(url)s, %(secret)s, %(events)s, %(run_id)s, %(cursor)s)"""
ADD_LISTENER = """INSERT INTO webhook_endpoints
    (endpoint_id, url, secret, events, cursor, is_listener)
    VALUES (%(endpoint_id)s, %(url)s, '', %(events)s, %(cursor)s, true)
    ON CONFLICT (endpoint_id) DO UPDATE SET url = EXCLUDED.url
        WHERE webhook_endpoints.url <> EXCLUDED.url"""
_UNTOLD = """SELECT FROM run_events e WHERE e.queue_seq > w.cursor
        AND (w.run_id IS NULL OR e.run_id = w.run_id)"""
CLAIM = (
    """UPDATE webhook_endpoints SET lease_token = %(token)s, leased_until = now() + %(lease)s
    WHERE endpoint_id = (SELECT endpoint_id FROM webhook_endpoints w
        WHERE disabled_at IS NULL AND next_try_at <= now()
        AND (NOT is_listener OR endpoint_id = ANY(%(listeners)s))
        AND (leased_until IS NULL OR leased_until < now()) AND EXISTS ("""  # noqa: S608
    + _UNTOLD
    + """) ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING endpoint_id, url, secret, events, run_id, cursor, attempts"""
)
FRAMES = """SELECT queue_seq AS seq, frame, last FROM run_events
    WHERE queue_seq > %(cursor)s AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
    ORDER BY queue_seq LIMIT %(limit)s"""
_OURS = "WHERE endpoint_id = %(endpoint_id)s AND lease_token = %(token)s"
TOLD = (
    "UPDATE webhook_endpoints SET cursor = %(seq)s, attempts = 0, last_error = NULL,"  # noqa: S608
    " next_try_at = now(), leased_until = now() + %(lease)s " + _OURS
)
FAILED = (
    """UPDATE webhook_endpoints SET attempts = attempts + 1, last_error = %(why)s,
    next_try_at = now() + %(pause)s, leased_until = NULL """  # noqa: S608
    + _OURS
)
BURIED = (
    """WITH passed AS (UPDATE webhook_endpoints SET cursor = %(seq)s, attempts = 0,
        last_error = %(why)s, next_try_at = now(), leased_until = NULL """  # noqa: S608
    + _OURS
    + """ RETURNING endpoint_id)
    INSERT INTO webhook_dead_letters (endpoint_id, seq, why)
    SELECT endpoint_id, %(seq)s, %(why)s FROM passed ON CONFLICT DO NOTHING"""
)
GONE = (
    """UPDATE webhook_endpoints SET disabled_at = now(), last_error = %(why)s,
    leased_until = NULL """  # noqa: S608
    + _OURS
)
RELEASE = "UPDATE webhook_endpoints SET leased_until = NULL " + _OURS  # noqa: S608
OVER = "DELETE FROM webhook_endpoints " + _OURS  # noqa: S608
LIST = (
    """SELECT w.endpoint_id, w.url, w.events, w.attempts, w.next_try_at, w.last_error,
    w.disabled_at, (SELECT count(*) FROM ("""  # noqa: S608
    + _UNTOLD
    + """) AS untold) AS waiting, coalesce((SELECT array_agg(seq ORDER BY seq)
        FROM webhook_dead_letters d WHERE d.endpoint_id = w.endpoint_id), '{}') AS dead_letters
    FROM webhook_endpoints w ORDER BY created_at, endpoint_id"""
)
ENABLE = """UPDATE webhook_endpoints SET disabled_at = NULL, attempts = 0, next_try_at = now()
    WHERE endpoint_id = %s"""
REPLAY = """WITH gone AS (DELETE FROM webhook_dead_letters
        WHERE endpoint_id = %(endpoint_id)s AND seq >= %(seq)s)
    UPDATE webhook_endpoints SET cursor = least(cursor, %(seq)s - 1), attempts = 0,
    next_try_at = now(), lease_token = NULL, leased_until = NULL
    WHERE endpoint_id = %(endpoint_id)s"""
REMOVE = "DELETE FROM webhook_endpoints WHERE endpoint_id = %s"


async def add(conn: Connection, endpoint: Endpoint) -> None:
    await conn.execute(ADD, {**endpoint._asdict(), "events": [*endpoint.events]})


async def add_listener(conn: Connection, listener: Endpoint) -> None:
    """Add it where it is not there yet; else it goes on from where it was, under its new words."""
    await conn.execute(ADD_LISTENER, {**listener._asdict(), "events": [*listener.events]})


async def claim(conn: Connection, token: str, listeners: Collection[str]) -> Endpoint | None:
    """Return an endpoint that is to be told now, by nobody else; None: there is none.

    `listeners`: those that can be told here.
    """
    values = {"token": token, "lease": LEASE, "listeners": [*listeners]}
    row = await (await conn.execute(CLAIM, values)).fetchone()
    return None if row is None else Endpoint(**row)


async def list_untold(conn: Connection, endpoint: Endpoint) -> list[tuple[JsonObject, bool]]:
    """Return frames that follow, with their numbers in the queue, and whether the run has ended."""
    values = {"cursor": endpoint.cursor, "run_id": endpoint.run_id, "limit": AT_ONCE}
    rows = await (await conn.execute(FRAMES, values)).fetchall()
    return [({**row["frame"], "seq": row["seq"]}, row["last"]) for row in rows]


async def note_told(conn: Connection, endpoint: Endpoint, token: str, seq: int) -> bool:
    """Note that it was told of the frame, or is not to be. Return False: the lease was lost."""
    values = {"endpoint_id": endpoint.endpoint_id, "token": token, "seq": seq, "lease": LEASE}
    return (await conn.execute(TOLD, values)).rowcount > 0


async def note_failure(
    conn: Connection, endpoint: Endpoint, token: str, seq: int, why: str
) -> None:
    """Note that a try was in vain; it is tried again later, or, after the last, goes on."""
    values = {"endpoint_id": endpoint.endpoint_id, "token": token, "seq": seq, "why": why}
    if endpoint.attempts >= len(PAUSES):
        await conn.execute(BURIED, values)
    else:
        pause = timedelta(seconds=PAUSES[endpoint.attempts])
        await conn.execute(FAILED, {**values, "pause": pause})


async def disable(conn: Connection, endpoint: Endpoint, token: str, why: str) -> None:
    values = {"endpoint_id": endpoint.endpoint_id, "token": token, "why": why}
    await conn.execute(GONE, values)


async def release(conn: Connection, endpoint: Endpoint, token: str, *, is_over: bool) -> None:
    """Let others tell it what follows; nothing does if it `is_over`."""
    values = {"endpoint_id": endpoint.endpoint_id, "token": token}
    await conn.execute(OVER if is_over else RELEASE, values)


async def list_all(conn: Connection) -> Sequence[KeptEndpoint]:
    """Return all endpoints, in the order in which they were added."""
    return [KeptEndpoint(**row) for row in await (await conn.execute(LIST)).fetchall()]


async def enable(conn: Connection, endpoint_id: str) -> bool:
    """Tell it again, from where it was. Return whether there is such an endpoint."""
    return (await conn.execute(ENABLE, (endpoint_id,))).rowcount > 0


async def replay(conn: Connection, endpoint_id: str, seq: int) -> bool:
    """Tell it again from that frame on. Return whether there is such an endpoint."""
    done = await conn.execute(REPLAY, {"endpoint_id": endpoint_id, "seq": seq})
    return done.rowcount > 0


async def remove(conn: Connection, endpoint_id: str) -> bool:
    """Return whether there was such an endpoint."""
    return (await conn.execute(REMOVE, (endpoint_id,))).rowcount > 0
