"""LangGraph's Postgres saver with a unit of work.

What the graph writes is committed together with the rows that describe it.

    async with saver.unit() as unit:
        # What a task has finished is committed once nothing was written for 0.1 s, and at the
        # latest after 0.8 s (flushing.py); ainvoke commits nothing, and reads its own writes.
        async with flushing(unit, lambda: saver.flush(unit, write)):
            await graph.ainvoke(...)
        await saver.flush(unit, write)  # fence, rows, checkpoints: one statement, or nothing

Outside a unit it is the stock saver without its lock, which lets one connection of the pool work at
a time. Either way the newest checkpoint is the last one written (`order.py`).

Any prefix of LangGraph's writes is a consistent state (the stock saver commits each on its own), so
a flush may come at any moment.
"""

import asyncio
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from copy import copy
from inspect import signature
from math import isfinite
from typing import Any, NamedTuple, Self, TypeVar, cast
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
)
from langgraph.checkpoint.serde.base import SerializerProtocol

# the stock `aput` asks for it too
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic_core import from_json, to_json

from hitl_orchestrator.checkpoints.images import ThreadImage, locate, squash
from hitl_orchestrator.checkpoints.order import OrderedSaver
from hitl_orchestrator.checkpoints.pool import (
    Connection,
    Pool,
    blaming_the_database,
    connection,
)
from hitl_orchestrator.checkpoints.rowsets import CheckpointRow, Rowsets, Space, Writes
from hitl_orchestrator.checkpoints.statements import UNFENCED, compose
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Update
from hitl_orchestrator.domain.time_limits import paused_time

T = TypeVar("T")

RETRY_SECONDS = 0.5
PLAIN = frozenset({str, int, float, bool, type(None)})
REFUSED_BY_JSONB = re.compile("[\0\ud800-\udfff]")
COUNTERS = "counters_since_delta_snapshot"  # LangGraph's, in the metadata


WriteBatch = Callable[[Rowsets, list[Update]], Awaitable[T]]


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


class Batch(NamedTuple):
    """What a flush takes, and the rows of it that are to be stored."""

    checkpoints: Sequence[CheckpointRow]
    writes: Sequence[Writes]
    updates: list[Update]
    rows: Rowsets


class Collected:
    """What LangGraph wrote since the last flush; and the threads that it read, as they are now."""

    def __init__(self) -> None:
        self.checkpoints: list[CheckpointRow] = []
        self.writes: list[Writes] = []
        self.images: dict[Space, ThreadImage] = {}
        # Whose threads they are: nobody else writes them meanwhile. Any other (an agent may name
        # one itself) is read anew each time, and kept whole.
        self.owns_thread: Callable[[str], bool] = lambda thread_id: True
        self.are_new = False  # in its own threads nothing was stored when it began
        self._flushed = set[str]()  # threads
        self._name, self._noted = uuid4().hex, 0
        self.updates: list[Update] = []
        # the next input of a thread, of which LangGraph tells no saver but by its checkpoint
        self.given: tuple[str, Sequence[tuple[str, Any]]] | None = None
        self.changed = asyncio.Event()  # a task's writes wait for a flush
        self._time = asyncio.get_running_loop().time
        self.wrote_at = 0.0  # when a task did last, by that clock
        self.lock = asyncio.Lock()  # held by a flush

    def is_empty(self, thread_id: str) -> bool:
        """Tell whether nothing can be stored of a thread of its own, in any namespace."""
        return self.are_new and thread_id not in self._flushed

    def note(self, thread_id: str, writes: Sequence[tuple[str, Any]]) -> None:
        """Note what is to be told with the next flush."""
        self._noted += 1
        self.updates.append(Update(f"{self._name}.{self._noted}", thread_id, [*writes]))
        self.touch()

    def touch(self) -> None:
        self.wrote_at = self._time()
        self.changed.set()

    def put(self, row: CheckpointRow) -> None:
        self.checkpoints.append(row)
        if image := self.images.get(row.space):
            image.put(row)

    def write(self, written: Writes) -> None:
        self.writes.append(written)
        if image := self.images.get(written.space):
            image.write(written)

    def has_written(self, space: Space) -> bool:
        """Tell whether something of it is not stored."""
        return space in [each.space for each in (*self.checkpoints, *self.writes)]

    def of_thread(self, thread_id: str | None) -> Rowsets | None:
        """Return what is not stored of one thread, or (None) of all; None: there is nothing."""
        if thread_id is None:
            found = self.checkpoints, self.writes
        else:
            found = (
                [row for row in self.checkpoints if row.space[0] == thread_id],
                [each for each in self.writes if each.space[0] == thread_id],
            )
        return Rowsets(*found) if any(found) else None

    def take(self, *, keeps_history: bool) -> Batch:
        rows, writes = self.checkpoints.copy(), self.writes.copy()
        stored = Rowsets(rows, writes) if keeps_history else squash(rows, writes, self.images)
        return Batch(rows, writes, self.updates.copy(), stored)

    def forget(self, batch: Batch) -> None:
        """Take out what was stored. What came meanwhile is behind it."""
        self._flushed |= {each.space[0] for each in (*batch.checkpoints, *batch.writes)}
        del self.checkpoints[: len(batch.checkpoints)]
        del self.writes[: len(batch.writes)]
        del self.updates[: len(batch.updates)]
        if not (self.checkpoints or self.writes):
            self.changed.clear()


_unit: ContextVar[Collected | None] = ContextVar("checkpoint_unit", default=None)


class BufferedSaver(OrderedSaver):
    """`keeps_history`: store each superstep; else, of one flush, where each thread has come to."""

    _unstored: Rowsets | None = None  # which this saver reads as if it were stored

    def __init__(
        self, pool: Pool, serde: SerializerProtocol | None = None, *, keeps_history: bool = True
    ) -> None:
        super().__init__(pool, serde=serde)
        self.pool = pool
        self._keeps_history = keeps_history
        self._allowing: dict[frozenset[tuple[str, ...]], Self] = {}

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return a saver that reads these types, too. LangGraph asks for it at each call."""
        types = frozenset(extra_allowlist)
        if types not in self._allowing:
            made = cast(Self, super().with_allowlist(types))
            if made is not self:
                made._allowing = {}
            self._allowing[types] = made
        return self._allowing[types]

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

    async def flush(self, unit: Collected, write: WriteBatch[T]) -> T:
        """Have the batch written: `write` stores it with what describes the updates, or nothing.

        It checks the fence, too (raises Fenced).

        On any error everything collected is kept, and may be flushed again. Raise
        StoreUnavailable, and then nobody knows whether the COMMIT went through: the next
        flush brings the same updates again, newer ones behind them. So `write` stores the id
        of the last update beside the claim, in the same transaction, and takes only those
        `not_yet_written`.
        """
        async with unit.lock:
            batch = unit.take(keeps_history=self._keeps_history)
            result = await write(batch.rows, batch.updates)
            unit.forget(batch)
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
        row = self._build_row(config, checkpoint, metadata, new_versions)
        unit.put(row)
        if unit.given and unit.given[0] == row.space[0] and metadata.get("source") == "input":
            unit.note(*unit.given)
            unit.given = None
        return locate(row.space, row.id)

    def _build_row(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> CheckpointRow:
        at = config.get("configurable", {})
        space = at["thread_id"], at["checkpoint_ns"]
        inline, versions, is_chained = dict[str, Any](), dict[str, Any](), COUNTERS in metadata
        values = checkpoint["channel_values"]
        for channel, value in values.items():
            if value is None or fits_inline(value):
                # what is more than that, an enum's member, is read as what it is in JSON
                inline[channel] = value if type(value) in PLAIN else from_json(to_json(value))
                continue
            if channel in new_versions:
                versions[channel] = new_versions[channel]
            if isinstance(value, _DeltaSnapshot):
                inline[channel] = is_chained = True
        return CheckpointRow(
            space,
            at.get("checkpoint_id"),
            {**checkpoint, "channel_values": inline},
            (config, metadata),
            self._dump_blobs(*space, values, versions),
            is_chained=is_chained,
        )

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
        space = at["thread_id"], at["checkpoint_ns"]
        rows = self._dump_writes(*space, at["checkpoint_id"], task_id, task_path, writes)
        replaces = WRITES_IDX_MAP.keys() >= {channel for channel, _ in writes}
        unit.write(Writes(space, at["checkpoint_id"], rows, replaces))
        if space[1]:
            unit.touch()
        else:
            unit.note(space[0], writes)

    # What a unit reads again and again, the newest checkpoint of a thread, it reads once. All else
    # is read by the ordered saver, through `_cursor`. What is unstored is inserted there, so it has
    # greater numbers than anything stored.

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        async def read() -> CheckpointTuple | None:
            return await super(BufferedSaver, self._reading(config)).aget_tuple(config)

        wanted = get_checkpoint_id(config)
        image = await self._find_image(config)
        if image and wanted in (None, image.id):
            return image.load(self.serde)
        return await _read_patiently(read)

    async def _find_image(self, config: RunnableConfig) -> ThreadImage | None:
        """Return what the unit knows of the thread; None: that cannot be told from here."""
        unit = _unit.get()
        if unit is None:
            return None
        at = config.get("configurable", {})
        space = at["thread_id"], at.get("checkpoint_ns", "")
        image = unit.images.get(space)
        if image is None and unit.owns_thread(space[0]) and not unit.has_written(space):
            row = None
            if not unit.is_empty(space[0]):
                row = await _read_patiently(lambda: self._select_newest(*space))
            if not unit.has_written(space):
                image = unit.images.setdefault(space, ThreadImage(space, row))
        return image if image and image.is_whole else None

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
        unstored = unit.of_thread(at.get("thread_id")) if unit else None
        if not unstored:
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
                # Rarely: an older checkpoint, a list. An insert that is rolled back costs psycopg
                # all its prepared statements, and spares us a second way to read.
                async with conn.transaction(force_rollback=True):
                    await insert(conn, self._unstored)
                    yield cursor
            else:
                yield cursor


# LangGraph looks at it at each call of a graph
BufferedSaver.aput_writes.__dict__["__signature__"] = signature(BufferedSaver.aput_writes)


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


async def insert(conn: Connection, rows: Rowsets) -> None:
    """Store them, by a statement of their own."""
    if parts := rows.write_parts():
        await conn.execute(compose(UNFENCED, parts), parts)
