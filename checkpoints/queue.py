"""The queue: procrastinate hands out which run to drive, to workers on any number of machines."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from procrastinate import App, PsycopgConnector, exceptions
from psycopg import AsyncConnection
from typing_extensions import override

from hitl_orchestrator.checkpoints.pool import Pool, connection_pool
from hitl_orchestrator.checkpoints.session import Connection, Patience, open_whole
from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.checkpoints.transaction import Dispatch
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.domain.run import StoredRun

DRIVE = "hitl.drive"
STALLED_SECONDS = 20.0  # without a heartbeat a worker is dead, and its jobs go to others
_HEARTBEAT_SECONDS = 5.0
_POLL_SECONDS = 2.0  # the net under NOTIFY
_RETRY_SECONDS = 0.5
# of the heartbeat above all: another's worker waits no longer for it than STALLED_SECONDS
_PATIENCE = Patience(lock_seconds=5, statement_seconds=6)
_END_SECONDS = 1.0  # of patience with procrastinate's worker, at the end
_LIVE = """SELECT count(*) AS n FROM procrastinate_workers
    WHERE last_heartbeat > now() - make_interval(secs => %s)"""

_log = logging.getLogger("hitl.queue")

DriveRun = Callable[[str], Awaitable[None]]


def queue(conninfo: str, session_url: str) -> App:
    """Return the closed app; enqueueing needs no open one, it uses the caller's connection.

    Where `session_url` differs the other is a pooler's.
    """

    def make_pool(**_: object) -> Pool:
        lent = session_url != conninfo
        return connection_pool(conninfo, max_size=4, patience=_PATIENCE, is_lent=lent)

    return App(connector=_Connector(make_pool, session_url))


class _Connector(PsycopgConnector):
    """Listens on a session of its own."""

    def __init__(self, make_pool: Callable[..., Pool], session_url: str) -> None:
        # its rows are whatever a cursor is told
        super().__init__(pool_factory=make_pool)  # pyright: ignore[reportArgumentType]
        self._session_url = session_url

    @override
    @asynccontextmanager
    async def _get_standalone_connection(self) -> AsyncGenerator[AsyncConnection[Any]]:
        async with await open_whole(self._session_url) as conn:
            yield conn


def enqueueing(app: App) -> Dispatch:
    """Enqueue in the transaction of the decision."""

    async def enqueue(conn: Connection, run: StoredRun) -> Claim | None:
        await defer(app, conn, run.runId)
        return None

    return enqueue


async def defer(app: App, conn: Connection | None, run_id: str) -> bool:
    """Return whether it was enqueued.

    `conn` None: in a transaction of its own, and not if the run already waits in the queue.

    Without procrastinate's `lock`: the claim keeps two from driving one run. A job that waits
    for a lock is not announced when the lock is free (an answer that came right after the
    question waited for the next poll), and a dead worker's job keeps it until it is found.
    """
    task = app.configure_task(DRIVE, queueing_lock=None if conn else run_id, connection=conn)
    with _translated(), suppress(exceptions.AlreadyEnqueued):
        await task.defer_async(run_id=run_id)
        return True
    return False


async def work(app: App, drive_run: DriveRun, concurrency: int, told_to_end: asyncio.Event) -> None:
    """Take jobs until told to end. `app` is open.

    What is under way then is left to the drivers, who drain it.
    """

    @app.task(name=DRIVE)
    async def drive(run_id: str) -> None:
        await drive_run(run_id)

    async def take_jobs() -> None:
        while not told_to_end.is_set():
            # the app may be closed behind a worker that did not end in time
            with suppress(exceptions.ConnectorException, exceptions.AppNotOpen):
                await app.run_worker_async(
                    concurrency=concurrency,
                    wait=True,
                    delete_jobs="always",
                    fetch_job_polling_interval=_POLL_SECONDS,
                    update_heartbeat_interval=_HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                    shutdown_graceful_timeout=0,
                    install_signal_handlers=False,
                )
            if told_to_end.is_set():
                return
            # procrastinate's worker ends with its connection
            _log.warning("the queue cannot be reached now")
            await asyncio.sleep(_RETRY_SECONDS)

    taking = asyncio.create_task(take_jobs())
    waiting = asyncio.create_task(told_to_end.wait())
    try:
        await asyncio.wait([taking, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(taking, waiting, within_seconds=_END_SECONDS)
    if taking.done() and not taking.cancelled():
        taking.result()


async def revive_stalled(app: App) -> None:
    """Put jobs of dead workers back into the queue. `app` is open."""
    with _translated():
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            await app.job_manager.retry_job(job)


async def live_workers(app: App, conn: Connection) -> int:
    row = await (await conn.execute(_LIVE, (STALLED_SECONDS,))).fetchone()
    return row["n"] if row else 0


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except exceptions.ConnectorException as error:
        raise StoreUnavailable("The queue cannot be reached now.") from error
