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
from pydantic_core import to_json

from hitl_orchestrator.checkpoints.images import Space, ThreadImage, squash
from hitl_orchestrator.checkpoints.order import OrderedSaver
from hitl_orchestrator.checkpoints.pool import (
    Connection,
    Pool,
    blaming_the_database,
    connection,
)
from hitl_orchestrator.checkpoints.rowsets import (
    Batch,
    BlobRow,
    CheckpointRow,
    Rowsets,
    WriteRow,
)
from hitl_orchestrator.checkpoints.statements import UNFENCED, compose
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Update
from hitl_orchestrator.domain.time_limits import paused_time

T = TypeVar("T")
Writes = Sequence[tuple[str, Any]]  # channel, value

RETRY_SECONDS = 0.5
REFUSED_BY_JSONB = re.compile("[\0\ud800-\udfff]")
COUNTERS = "counters_since_delta_snapshot"  # LangGraph's, in the metadata


WriteBatch = Callable[[Batch, list[Update]], Awaitable[T]]


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
    """What LangGraph wrote since the last flush; and the threads that it read, as they are now."""

    def __init__(self) -> None:
        self.rows = Rowsets()
        self.images: dict[Space, ThreadImage] = {}
        # Whose threads they are: nobody else writes them meanwhile. Any other (an agent may name
        # one itself) is read anew each time, and kept whole.
        self.owns_thread: Callable[[str], bool] = lambda thread_id: True
        self.are_new = False  # in its own threads nothing was stored when it began
        self._flushed = set[str]()  # threads
        self._name, self._noted = uuid4().hex, 0
        self.updates: list[Update] = []
        # the next input of a thread, of which LangGraph tells no saver but by its checkpoint
        self.given: tuple[str, Writes] | None = None
        self.changed = asyncio.Event()  # a task's writes wait for a flush
        self.wrote_at = 0.0  # when a task did last, by the clock of the event loop
        self.lock = asyncio.Lock()  # held by a flush

    def is_empty(self, thread_id: str) -> bool:
        """Tell whether nothing can be stored of a thread of its own, in any namespace."""
        return self.are_new and thread_id not in self._flushed

    def note(self, thread_id: str, writes: Writes) -> None:
        """Note what is to be told with the next flush."""
        self._noted += 1
        self.updates.append(Update(f"{self._name}.{self._noted}", thread_id, [*writes]))
        self.touch()

    def touch(self) -> None:
        self.wrote_at = asyncio.get_running_loop().time()
        self.changed.set()

    def forget(self, batch: Batch, updates: list[Update]) -> None:
        self._flushed |= batch.taken.threads
        self.rows.forget(batch.taken)
        del self.updates[: len(updates)]
        if self.rows.are_empty:
            self.changed.clear()


_unit: ContextVar[Collected | None] = ContextVar("checkpoint_unit", default=None)


class BufferedSaver(OrderedSaver):
    """`keeps_history`: store each superstep; else, of one flush, where each thread has come to."""

    _unstored: Rowsets | None = None  # rows this saver reads as if they were stored

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
            taken, updates = unit.rows.copy(), unit.updates.copy()
            batch = Batch(taken, taken if self._keeps_history else squash(taken, unit.images))
            result = await write(batch, updates)
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
        about = get_serializable_checkpoint_metadata(config, metadata)
        row = CheckpointRow(
            thread_id,
            ns,
            checkpoint["id"],
            get_checkpoint_id(config),
            to_json({**checkpoint, "channel_values": inline}).decode(),
            to_json(about).decode(),
            {**checkpoint["channel_versions"]},
            COUNTERS in about or any(isinstance(each, _DeltaSnapshot) for each in blobs.values()),
        )
        dumped = [BlobRow(*blob) for blob in self._dump_blobs(thread_id, ns, blobs, versions)]
        unit.rows.put(row, dumped)
        if image := unit.images.get((thread_id, ns)):
            image.put(row, dumped)
        if unit.given and unit.given[0] == thread_id and metadata.get("source") == "input":
            unit.note(*unit.given)
            unit.given = None
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
        dumped = [
            WriteRow(*row, replaces)
            for row in self._dump_writes(
                thread_id, ns, at["checkpoint_id"], task_id, task_path, writes
            )
        ]
        unit.rows.write(dumped)
        if image := unit.images.get((thread_id, ns)):
            image.write(dumped)
        if ns:
            unit.touch()
        else:
            unit.note(thread_id, writes)

    # What a unit reads again and again, the newest checkpoint of a thread, it reads once. All else
    # is read by the ordered saver, through `_cursor`. What is unstored is inserted there, so it has
    # greater numbers than anything stored.

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        async def read() -> CheckpointTuple | None:
            return await super(BufferedSaver, self._reading(config)).aget_tuple(config)

        wanted = get_checkpoint_id(config)
        image = await self._find_image(config)
        if image and wanted in (None, image.id):
            return await self._load(image.row()) if image.id else None
        return await _read_patiently(read)

    async def _find_image(self, config: RunnableConfig) -> ThreadImage | None:
        """Return what the unit knows of the thread; None: that cannot be told from here."""
        unit = _unit.get()
        if unit is None:
            return None
        at = config.get("configurable", {})
        space = at["thread_id"], at.get("checkpoint_ns", "")
        if not unit.owns_thread(space[0]):
            return None
        if space not in unit.images and not unit.rows.of_thread(space[0]):
            row = None
            if not unit.is_empty(space[0]):
                row = await _read_patiently(lambda: self._select_newest(*space))
            if space not in unit.images and not unit.rows.of_thread(space[0]):
                unit.images[space] = ThreadImage(*space, row)
        image = unit.images.get(space)
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
        unstored = unit.rows.of_thread(at.get("thread_id")) if unit else None
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
    if rows.are_empty:
        return
    parts = rows.write_parts()
    await conn.execute(compose(UNFENCED, parts), parts)
