"""A flush in small: rows of a driver's, and LangGraph's, in one transaction."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from hitl_orchestrator.checkpoints.pool import Connection, connection
from hitl_orchestrator.checkpoints.rowsets import Rowsets
from hitl_orchestrator.checkpoints.saver import BufferedSaver, Collected, insert
from hitl_orchestrator.domain.ports import Update

T = TypeVar("T")

Rows = Callable[[Connection, list[Update]], Awaitable[T]]


async def flush(saver: BufferedSaver, unit: Collected, rows: Rows[T]) -> T:
    async def write(stored: Rowsets, updates: list[Update]) -> T:
        async with connection(saver.pool) as conn, conn.transaction():
            result = await rows(conn, updates)
            await insert(conn, stored)
            return result

    return await saver.flush(unit, write)
