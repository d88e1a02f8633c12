"""What agents keep across runs: LangGraph's own Postgres store, for graphs that have none."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

from langgraph.store.base import Op, Result
from langgraph.store.postgres.aio import AsyncPostgresStore

from hitl_orchestrator.checkpoints.pool import Connection, Pool, blaming_the_database
from hitl_orchestrator.checkpoints.tasks import end_tasks

CLOSE_SECONDS = 1.0


class Memories(AsyncPostgresStore):
    """Raises StoreUnavailable where the database cannot be reached: that ends no step."""

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        with blaming_the_database():
            return await super().abatch(ops)

    async def close(self) -> None:
        """End what gathers the calls."""
        if self._task is not None:
            await end_tasks(cast("asyncio.Task[Any]", self._task), within_seconds=CLOSE_SECONDS)


@asynccontextmanager
async def open_memories(place: Pool | Connection) -> AsyncGenerator[Memories]:
    memories = Memories(place)
    try:
        yield memories
    finally:
        await memories.close()
