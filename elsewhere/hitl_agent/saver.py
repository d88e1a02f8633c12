"""Where the checkpoints of an agent lie: a SQLite file in its home.

Each call is a transaction of its own and is on disk when it returns, so that a process may die at
any moment.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

T = TypeVar("T")
Place = tuple[str, str]  # a thread and a namespace of it
Row = tuple[str, str, str, "str | None", str, bytes, str, bytes]

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS checkpoints (
    thread_id TEXT, ns TEXT, id TEXT, parent_id TEXT, kind TEXT, checkpoint BLOB,
    metadata_kind TEXT, metadata BLOB, PRIMARY KEY (thread_id, ns, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS channels (
    thread_id TEXT, ns TEXT, channel TEXT, version TEXT, kind TEXT, value BLOB,
    PRIMARY KEY (thread_id, ns, channel, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writes (
    thread_id TEXT, ns TEXT, checkpoint_id TEXT, task_path TEXT, task_id TEXT, number INTEGER,
    channel TEXT, kind TEXT, value BLOB,
    PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS at_rest (thread_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SELECT = """
SELECT thread_id, ns, id, parent_id, kind, checkpoint, metadata_kind, metadata FROM checkpoints
WHERE (:thread_id IS NULL OR thread_id = :thread_id) AND (:ns IS NULL OR ns = :ns)
    AND (:id IS NULL OR id = :id) AND (:before IS NULL OR id < :before)
ORDER BY id DESC
"""
_INSERT = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_CHANNEL = "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?)"
_SELECT_CHANNEL = """
SELECT kind, value FROM channels WHERE thread_id = ? AND ns = ? AND channel = ? AND version = ?
"""
_INSERT_WRITE = "INSERT OR {} INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT_WRITES = """
SELECT task_id, channel, kind, value FROM writes
WHERE thread_id = ? AND ns = ? AND checkpoint_id = ? ORDER BY task_path, task_id, number
"""
_TABLES = ("checkpoints", "channels", "writes", "at_rest")


class LocalSaver(BaseCheckpointSaver[Any]):
    """Keeps checkpoints in the file. One process at a time may have it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._connection = sqlite3.connect(str(file), check_same_thread=False)
        self._connection.executescript(_SCHEMA)
        # the only one that works with the connection: what is called first is done first
        self._thread = ThreadPoolExecutor(1, "hitl-agent-saver")

    def close(self) -> None:
        """Wait for what is being written, and close the file."""
        self._thread.shutdown()
        self._connection.close()

    async def is_at_rest(self, thread_id: str) -> bool:
        """Tell whether nobody died, or failed, at work on the thread since it last stopped."""
        return await self._arun(self._is_at_rest, thread_id)

    async def mark(self, thread_id: str, *, at_rest: bool) -> None:
        """Note that somebody begins to work on the thread, or that it has stopped by itself."""
        await self._arun(self._mark, thread_id, at_rest)

    async def list_namespaces(self, thread_id: str) -> Sequence[str]:
        """Return where in the thread there are checkpoints: in it, and in graphs within graphs."""
        return await self._arun(self._list_namespaces, thread_id)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._run(self._get_tuple, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        yield from self._run(self._list, config, filter, before, limit)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._run(self._put, config, checkpoint, metadata, new_versions)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self._run(self._put_writes, config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        self._run(self._delete_thread, thread_id)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._arun(self._get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in await self._arun(self._list, config, filter, before, limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._arun(self._put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await self._arun(self._put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._arun(self._delete_thread, thread_id)

    def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return self._thread.submit(work, *arguments).result()

    async def _arun(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *arguments))

    def _is_at_rest(self, thread_id: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM at_rest WHERE thread_id = ?", [thread_id])
        return found.fetchone() is not None

    def _mark(self, thread_id: str, at_rest: bool) -> None:
        with self._connection as connection:
            if at_rest:
                connection.execute("INSERT OR IGNORE INTO at_rest VALUES (?)", [thread_id])
            else:
                connection.execute("DELETE FROM at_rest WHERE thread_id = ?", [thread_id])

    def _list_namespaces(self, thread_id: str) -> Sequence[str]:
        query = "SELECT DISTINCT ns FROM checkpoints WHERE thread_id = ?"
        return [ns for (ns,) in self._connection.execute(query, [thread_id])]

    def _get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, ns = _locate(config)
        asked = {"thread_id": thread_id, "ns": ns, "id": get_checkpoint_id(config), "before": None}
        row = self._connection.execute(_SELECT + "LIMIT 1", asked).fetchone()
        return self._read(row) if row else None

    def _list(
        self,
        config: RunnableConfig | None,
        matching: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Sequence[CheckpointTuple]:
        at = (config or {}).get("configurable", {})
        asked = {
            "thread_id": at.get("thread_id"),
            "ns": at.get("checkpoint_ns"),
            "id": get_checkpoint_id(config) if config else None,
            "before": get_checkpoint_id(before) if before else None,
        }
        found: list[CheckpointTuple] = []
        for row in self._connection.execute(_SELECT, asked).fetchall():
            if limit is not None and len(found) >= limit:
                break
            metadata = self.serde.loads_typed((row[6], row[7]))
            if all(metadata.get(key) == value for key, value in (matching or {}).items()):
                found.append(self._read(row))
        return found

    def _read(self, row: Row) -> CheckpointTuple:
        thread_id, ns, checkpoint_id, parent_id, kind, checkpoint, metadata_kind, metadata = row
        place = (thread_id, ns)
        read: Checkpoint = self.serde.loads_typed((kind, checkpoint))
        written = self._connection.execute(_SELECT_WRITES, [*place, checkpoint_id]).fetchall()
        return CheckpointTuple(
            config=_at(place, checkpoint_id),
            checkpoint={**read, "channel_values": self._read_channels(place, read)},
            metadata=self.serde.loads_typed((metadata_kind, metadata)),
            parent_config=_at(place, parent_id) if parent_id else None,
            pending_writes=[
                (task_id, channel, self.serde.loads_typed((kind, value)))
                for task_id, channel, kind, value in written
            ],
        )

    def _read_channels(self, place: Place, checkpoint: Checkpoint) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for channel, version in checkpoint["channel_versions"].items():
            at = [*place, channel, str(version)]
            if found := self._connection.execute(_SELECT_CHANNEL, at).fetchone():
                values[channel] = self.serde.loads_typed(found)
        return values

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place = _locate(config)
        values = checkpoint["channel_values"]
        rest = {key: value for key, value in checkpoint.items() if key != "channel_values"}
        whole = get_checkpoint_metadata(config, metadata)
        row = (*self.serde.dumps_typed(rest), *self.serde.dumps_typed(whole))
        changed = [
            (*place, channel, str(version), *self.serde.dumps_typed(values[channel]))
            for channel, version in new_versions.items()
            if channel in values
        ]
        with self._connection as connection:
            connection.executemany(_INSERT_CHANNEL, changed)
            parent_id = get_checkpoint_id(config)
            connection.execute(_INSERT, (*place, checkpoint["id"], parent_id, *row))
        return _at(place, checkpoint["id"])

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, path: str
    ) -> None:
        """What a task has written stays; its question, answers and errors are the newest."""
        at = (*_locate(config), get_checkpoint_id(config), path, task_id)
        with self._connection as connection:
            for index, (channel, value) in enumerate(writes):
                number = WRITES_IDX_MAP.get(channel, index)
                insert = _INSERT_WRITE.format("REPLACE" if number < 0 else "IGNORE")
                row = (*at, number, channel, *self.serde.dumps_typed(value))
                connection.execute(insert, row)

    def _delete_thread(self, thread_id: str) -> None:
        with self._connection as connection:
            for table in _TABLES:
                connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", [thread_id])  # noqa: S608


def _locate(config: RunnableConfig) -> Place:
    at = config.get("configurable", {})
    return str(at["thread_id"]), str(at.get("checkpoint_ns", ""))


def _at(place: Place, checkpoint_id: str) -> RunnableConfig:
    thread_id, ns = place
    configurable = {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}
    return {"configurable": configurable}
