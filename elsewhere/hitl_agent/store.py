"""What agents remember across their steps: a SQLite file in the home, read into memory at first.

For graphs that have no store of their own.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from langgraph.store.base import Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS items (
    namespace TEXT, key TEXT, value TEXT, PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
"""
_SELECT = "SELECT namespace, key, value FROM items"
_PUT = "INSERT OR REPLACE INTO items VALUES (?, ?, ?)"
_DELETE = "DELETE FROM items WHERE namespace = ? AND key = ?"


class LocalStore(InMemoryStore):
    """LangGraph's own store in memory; what is put is on disk before that knows it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._connection = sqlite3.connect(str(file), check_same_thread=False)
        self._connection.executescript(_SCHEMA)
        self._writing = threading.Lock()
        rows = self._connection.execute(_SELECT).fetchall()
        super().batch(
            [
                PutOp((*json.loads(namespace),), key, json.loads(value))
                for namespace, key, value in rows
            ]
        )

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        given = [*ops]
        self._write(given)
        return super().batch(given)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        given = [*ops]
        self._write(given)
        return await super().abatch(given)

    def close(self) -> None:
        self._connection.close()

    def _write(self, ops: Iterable[Op]) -> None:
        puts = [op for op in ops if isinstance(op, PutOp)]
        if not puts:
            return
        with self._writing, self._connection:
            for op in puts:
                namespace = json.dumps([*op.namespace])
                if op.value is None:
                    self._connection.execute(_DELETE, (namespace, op.key))
                else:
                    self._connection.execute(_PUT, (namespace, op.key, json.dumps(op.value)))
