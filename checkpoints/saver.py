"""LangGraph's Postgres saver with a unit of work.

What the graph writes is committed together with the rows that describe it.

    async with saver.unit() as unit:
        # What a task has finished is committed at most 0.1 s later; ainvoke itself commits
        # nothing, and reads its own writes.
        async with flushing(unit, lambda: saver.flush(unit, rows)):
            await graph.ainvoke(...)
        await saver.flush(unit, rows)  # fence, rows, checkpoints: one transaction, or nothing

Outside a unit it is the stock saver without its lock, which lets one connection of the pool work at
a time. Either way the newest checkpoint is the last one written (`order.py`).

Any prefix of LangGraph's writes is a consistent state (the stock saver commits each on its own), so
a flush may come at any moment.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from copy import copy
from math import isfinite
from typing import Any, Self, TypeVar, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

# the stock `aput` asks for it too
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.order import OrderedSaver
from hitl_orchestrator.checkpoints.pool import (
    Connection,
    Pool,
    blaming_the_database,
    connection,
)
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Update
from hitl_orchestrator.domain.time_limits import paused_time

T = TypeVar("T")

RETRY_SECONDS = 0.5
REFUSED_BY_JSONB = re.compile("[\0\ud800-\udfff]")


Rows = Callable[[Connection, list[Update]], Awaitable[T]]
# statement of the stock saver -> its parameters, the thread's id first
Batch = dict[str, list[tuple[Any, ...]]]


def not_yet_written(updates: list[Update], last_id: str | None) -> list[Update]:
    """Return those after the one that was written last."""
    ids = [update.id for update in updates]
    return updates[ids.index(last_id) + 1 :] if last_id in ids else updates


def has_finished_work(updates: Sequence[Update]) -> bool:
    """Tell whether a task finished: not only was resumed, asked, or failed."""
    for update in updates:
        if any(channel not in WRITES_IDX_MAP for channel, _ in update.writes):
            return True
    return False


class Collected:
    """What LangGraph wrote since the last flush, in its order."""

    def __init__(self) -> None:
        self.collected: Batch = defaultdict(list)
        self.updates: list[Update] = []
        self.changed = asyncio.Event()  # a task's writes wait for a flush
        self.lock = asyncio.Lock()  # held by a flush

    def batch(self, thread_id: str | None = None) -> Batch:
        """Return the rows collected so far, for one thread or for all."""
        found: Batch = {}
        for sql, rows in self.collected.items():
            found[sql] = [row for row in rows if thread_id in (None, row[0])]
        return found

    def forget(self, batch: Batch, updates: list[Update]) -> None:
        for statement, rows in batch.items():
            del self.collected[statement][: len(rows)]
        del self.updates[: len(updates)]
        if not any(self.collected.values()):
            self.changed.clear()


_unit: ContextVar[Collected | None] = ContextVar("checkpoint_unit", default=None)


class BufferedSaver(OrderedSaver):
    _unstored: Batch | None = None  # rows this saver reads as if they were stored; see `_reading`

    def __init__(self, pool: Pool, serde: SerializerProtocol | None = None) -> None:
        super().__init__(pool, serde=serde)
        self.pool = pool

    @asynccontextmanager
    async def unit(self) -> AsyncGenerator[Collected]:
        """Collect whatever LangGraph writes inside, to any thread, and store nothing.

        Leaving drops what was not flushed. Inside, a read waits for a database out of reach.
        Delete and prune threads outside: they know only what is stored.
        """
        unit = Collected()
        token = _unit.set(unit)
        try:
            yield unit
        finally:
            _unit.reset(token)

    async def flush(self, unit: Collected, rows: Rows[T]) -> T:
        """Write, in one transaction, the rows and then the checkpoints.

        `rows` checks the fence (raises Fenced) and writes what describes the updates.

        On any error everything collected is kept, and may be flushed again. Raise
        StoreUnavailable, and then nobody knows whether the COMMIT went through: the next
        flush brings the same updates again, newer ones behind them. So `rows` stores the id
        of the last update beside the claim, in the same transaction, and takes only those
        `not_yet_written`.
        """
        async with unit.lock:
            batch, updates = unit.batch(), unit.updates.copy()
            async with connection(self.pool) as conn, conn.transaction():
                result = await rows(conn, updates)
                await insert(conn, batch)
            unit.forget(batch, updates)
            return result

    # Writing inside a unit awaits nothing, so writes arrive in LangGraph's order: a checkpoint,
    # then what its tasks wrote. The stock methods hop to a thread to serialise; the order is then
    # anybody's, and for 2 KB the hop costs more than the work.

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if (unit := _unit.get()) is None:
            return await super().aput(config, checkpoint, metadata, new_versions)
        at = config.get("configurable", {})
        thread_id, ns = at["thread_id"], at["checkpoint_ns"]
        values = checkpoint["channel_values"]
        blobs = {channel: value for channel, value in values.items() if not fits_inline(value)}
        inline = {channel: value for channel, value in values.items() if channel not in blobs}
        inline |= {
            channel: True for channel, value in blobs.items() if isinstance(value, _DeltaSnapshot)
        }
        versions = {
            channel: version for channel, version in new_versions.items() if channel in blobs
        }
        unit.collected[self.UPSERT_CHECKPOINT_BLOBS_SQL] += self._dump_blobs(
            thread_id, ns, blobs, versions
        )
        row = json.dumps({**checkpoint, "channel_values": inline})
        about = json.dumps(get_serializable_checkpoint_metadata(config, metadata))
        unit.collected[self.UPSERT_CHECKPOINTS_SQL].append(
            (thread_id, ns, checkpoint["id"], get_checkpoint_id(config), row, about)
        )
        return {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": ns,
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if (unit := _unit.get()) is None:
            await super().aput_writes(config, writes, task_id, task_path)
            return
        at = config.get("configurable", {})
        thread_id, ns = at["thread_id"], at["checkpoint_ns"]
        replaces = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        statement = (
            self.UPSERT_CHECKPOINT_WRITES_SQL if replaces else self.INSERT_CHECKPOINT_WRITES_SQL
        )
        unit.collected[statement] += self._dump_writes(
            thread_id, ns, at["checkpoint_id"], task_id, task_path, writes
        )
        if not ns:
            unit.updates.append(Update(uuid4().hex, thread_id, list(writes)))
        unit.changed.set()

    # Reading is the ordered saver's, through `_cursor`. What is unstored is inserted there, so it
    # has greater numbers than anything stored.

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        async def read() -> CheckpointTuple | None:
            return await super(BufferedSaver, self._reading(config)).aget_tuple(config)

        return await _read_patiently(read)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        async def read() -> list[CheckpointTuple]:
            found = super(BufferedSaver, self._reading(config)).alist(
                config, filter=filter, before=before, limit=limit
            )
            return [checkpoint async for checkpoint in found]

        # the connection is back before the caller looks at the first
        for checkpoint in await _read_patiently(read):
            yield checkpoint

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        async def read() -> Mapping[str, DeltaChannelHistory]:
            return await super(BufferedSaver, self._reading(config)).aget_delta_channel_history(
                config=config, channels=channels
            )

        return await _read_patiently(read)

    def _reading(self, config: RunnableConfig | None) -> Self:
        """Return this saver, as it were if what was collected for the thread were stored."""
        unit = _unit.get()
        at = config.get("configurable", {}) if config else {}
        unstored = unit.batch(at.get("thread_id")) if unit else {}
        if not any(unstored.values()):
            return self
        view = copy(self)
        view._unstored = unstored
        return view

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncGenerator[AsyncCursor[DictRow]]:
        async with connection(self.pool) as conn, conn.cursor(binary=True) as cursor:
            if pipeline:
                async with conn.pipeline():
                    yield cursor
            elif self._unstored:
                # LangGraph rarely reads what it has just written: an insert that is rolled back is
                # cheaper than a second way to read.
                async with conn.transaction(force_rollback=True):
                    await insert(conn, self._unstored)
                    yield cursor
            else:
                yield cursor


async def _read_patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Read; in a unit wait for a database out of reach.

    An error would drop the unit, and with it what has finished: it would be done again. None of
    this is the agent's time.
    """
    if _unit.get() is None:
        return await read()
    with paused_time():
        while True:
            with suppress(StoreUnavailable), blaming_the_database():
                return await read()
            await asyncio.sleep(RETRY_SECONDS)


def fits_inline(value: object) -> bool:
    """Decide as the stock saver does, but what jsonb refuses becomes a blob.

    One such value of any agent would fail every flush of the run.
    """
    match value:
        case str():
            return not REFUSED_BY_JSONB.search(value)
        case float():
            # jsonb gives 1e16 back as a whole number, and 1e30 as one that nothing can hold
            return isfinite(value) and abs(value) < 1e16
        case _:
            return isinstance(value, int | None)


async def insert(conn: Connection, batch: Batch) -> None:
    async with conn.pipeline(), conn.cursor() as cursor:
        for statement, rows in batch.items():
            if rows:
                await cursor.executemany(statement.encode(), rows)


@asynccontextmanager
async def flushing(
    unit: Collected, flush: Callable[[], Awaitable[object]], after_seconds: float = 0.1
) -> AsyncGenerator[None]:
    """While the block works, flush what its tasks finish within `after_seconds`.

    A database out of reach is tried again; the work goes on. Any other error, a lost claim
    above all, cancels the block and is raised.
    """
    driver = cast("asyncio.Task[Any]", asyncio.current_task())
    cancels_before, leaving = driver.cancelling(), False
    failed: list[Exception] = []

    async def flush_what_is_finished() -> None:
        try:
            while True:
                await unit.changed.wait()
                await asyncio.sleep(after_seconds)
                # a flush under way takes it along, or leaves it for the next time
                if unit.changed.is_set() and not unit.lock.locked():
                    with suppress(StoreUnavailable):
                        await flush()
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)
            if not leaving:
                driver.cancel()

    background = asyncio.create_task(flush_what_is_finished())
    try:
        yield
    finally:
        leaving = True
        if failed:
            driver.uncancel()
        try:
            async with unit.lock:  # a flush under way ends first
                pass
        finally:
            background.cancel()
        # else somebody else cancels the driver, and that goes on
        if failed and driver.cancelling() <= cancels_before:
            raise failed[0]
