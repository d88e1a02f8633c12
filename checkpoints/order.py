"""LangGraph's Postgres saver, with the order of its checkpoints decided by the database.

LangGraph's ids are times of the clock of whoever writes, and the stock saver takes the greatest id
for the newest checkpoint. With machines 3 s apart that is not the last one that was written. Here a
sequence numbers the checkpoints as they are inserted, and the newest is the one with the greatest
number: docs/decisions.md.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import sql
from psycopg.rows import DictRow

# A number is taken at the insert, not at the commit. Whoever writes a thread holds the lock of its
# run's row, so inside a thread both come in one order. A checkpoint that is written again keeps its
# number.
PREPARED = """SELECT
    EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass('checkpoints') AND attname = 'hitl_seq') AS column_there,
    to_regclass('checkpoints_in_order') IS NOT NULL AS index_there,
    ARRAY(SELECT indexrelid::regclass::text FROM pg_index WHERE indexrelid IN (
        to_regclass('checkpoints_thread_id_idx'), to_regclass('checkpoint_blobs_thread_id_idx'),
        to_regclass('checkpoint_writes_thread_id_idx'))) AS superfluous"""
# What was there before has 0, and among itself the order of its ids. A constant default rewrites
# no row; writers of an older program get their numbers from the default too.
ADD_COLUMN = (
    "CREATE SEQUENCE IF NOT EXISTS checkpoint_order",
    "ALTER TABLE checkpoints ADD COLUMN IF NOT EXISTS hitl_seq bigint NOT NULL DEFAULT 0",
    "ALTER TABLE checkpoints ALTER COLUMN hitl_seq SET DEFAULT nextval('checkpoint_order')",
    "ALTER SEQUENCE checkpoint_order OWNED BY checkpoints.hitl_seq",
)
ADD_INDEX = """CREATE INDEX CONCURRENTLY IF NOT EXISTS checkpoints_in_order
    ON checkpoints (thread_id, checkpoint_ns, hitl_seq, checkpoint_id)"""
# LangGraph's indexes of threads alone: each is how its table's primary key begins, so all that they
# did was to be written, 600 bytes a run.
DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS {}"

NEWEST_FIRST = " ORDER BY hitl_seq DESC, checkpoint_id DESC"
OF_THREAD = "WHERE thread_id = %s AND checkpoint_ns = %s"
# The other one may be of another namespace: a subgraph asks what it had before its parent's.
BEFORE = """(hitl_seq, checkpoint_id) < (SELECT b.hitl_seq, b.checkpoint_id FROM checkpoints b
    WHERE b.thread_id = %s AND b.checkpoint_id = %s ORDER BY b.hitl_seq DESC LIMIT 1)"""
IDS_DISAGREE = """SELECT EXISTS (SELECT FROM checkpoints
    WHERE thread_id = %s AND checkpoint_ns = %s
    AND checkpoint_id < parent_checkpoint_id) AS disagree"""
PENDING_SENDS_MOVED = 4  # the version of a checkpoint since which they are its own


class OrderedSaver(AsyncPostgresSaver):
    """The newest checkpoint of a thread is the last one that was written."""

    async def setup(self) -> None:
        """Make LangGraph's tables, and what orders them. One process at a time may do it."""
        await super().setup()
        async with self._cursor() as cursor:
            await cursor.execute(PREPARED)
            prepared = await cursor.fetchone() or {}
            if not prepared["column_there"]:
                async with cursor.connection.transaction():
                    for statement in ADD_COLUMN:
                        await cursor.execute(statement)
            if not prepared["index_there"]:
                await cursor.execute(ADD_INDEX)
            for index in prepared["superfluous"]:
                await cursor.execute(sql.SQL(DROP_INDEX).format(sql.Identifier(index)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if get_checkpoint_id(config):
            return await super().aget_tuple(config)
        at = config.get("configurable", {})
        row = await self._select_newest(at["thread_id"], at.get("checkpoint_ns", ""))
        return await self._load(row) if row else None

    async def _select_newest(self, thread_id: str, ns: str) -> DictRow | None:
        rows = await self._select(OF_THREAD + NEWEST_FIRST + " LIMIT 1", [thread_id, ns])
        return rows[0] if rows else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the newest first. `before`: only those that were written before that one."""
        where, parameters = self._search_where(config, filter, None)
        if before is not None:
            where = f"{where} AND {BEFORE}" if where else f"WHERE {BEFORE}"
            parameters += [_find_thread_id(before, config), get_checkpoint_id(before)]
        statement = where + NEWEST_FIRST
        if limit is not None:
            statement += " LIMIT %s"
            parameters.append(int(limit))
        for row in await self._select(statement, parameters):
            yield await self._load(row)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        # The stock statement finds no ancestor whose id is greater than its descendant's; LangGraph
        # has a slower way, from parent to parent.
        saver = BaseCheckpointSaver if await self._ids_disagree(config) else AsyncPostgresSaver
        return await saver.aget_delta_channel_history(self, config=config, channels=channels)

    async def _ids_disagree(self, config: RunnableConfig) -> bool:
        at = config.get("configurable", {})
        async with self._cursor() as cursor:
            await cursor.execute(IDS_DISAGREE, (at["thread_id"], at.get("checkpoint_ns", "")))
            row = await cursor.fetchone()
        return bool(row and row["disagree"])

    async def _select(self, rest: str, parameters: Sequence[object]) -> list[DictRow]:
        statement = self.SELECT_SQL + rest
        async with self._cursor() as cursor:
            await cursor.execute(statement.encode(), parameters, binary=True)
            return await cursor.fetchall()

    async def _load(self, row: DictRow) -> CheckpointTuple:
        if row["checkpoint"]["v"] < PENDING_SENDS_MOVED and row["parent_checkpoint_id"]:
            # of an older LangGraph: the stock saver knows what has to be added
            found = await super().aget_tuple(_locate(row))
            if found is not None:
                return found
        return await self._load_checkpoint_tuple(row)

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        """Do what the stock saver does, but without a thread: it is quick."""
        parent_id = value["parent_checkpoint_id"]
        checkpoint: Checkpoint = value["checkpoint"]
        inline = checkpoint.get("channel_values") or {}
        blobs: dict[str, Any] = self._load_blobs(value["channel_values"])
        return CheckpointTuple(
            _locate(value),
            {**checkpoint, "channel_values": {**inline, **blobs}},
            value["metadata"],
            _locate({**value, "checkpoint_id": parent_id}) if parent_id else None,
            self._load_writes(value["pending_writes"]),
        )


def _find_thread_id(before: RunnableConfig, config: RunnableConfig | None) -> str | None:
    """Return whose checkpoint `before` is: LangGraph may give its id alone."""
    own = before.get("configurable", {}).get("thread_id")
    return own or (config or {}).get("configurable", {}).get("thread_id")


def _locate(row: DictRow) -> RunnableConfig:
    names = ("thread_id", "checkpoint_ns", "checkpoint_id")
    return {"configurable": {name: row[name] for name in names}}
