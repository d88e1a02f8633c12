"""What a database was asked, and how often it made something durable: by its own log, and its
write-ahead log. Nothing is estimated.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection, sql

_STATEMENT = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] LOG:  (?:statement|execute [^:]+): (.*(?:\n\t.*)*)", re.MULTILINE
)
_TRANSACTIONS = """SELECT count(*) FROM pg_get_wal_records_info(%s, %s)
    WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'"""


@dataclass
class Asked:
    """`statements` as they were sent, BEGIN and COMMIT aside; `commits`: transactions that changed
    something.
    """

    statements: list[str] = field(default_factory=list[str])
    commits: int = 0


class Statements:
    def __init__(self, conn: AsyncConnection, log: Path) -> None:
        self._conn, self._log = conn, log

    @asynccontextmanager
    async def asked(self) -> AsyncGenerator[Asked]:
        """Filled in when the block ends. Nobody else may write to this Postgres meanwhile."""
        found, size, began = Asked(), self._log.stat().st_size, await self._written()
        yield found
        with self._log.open("rb") as log:
            log.seek(size)
            logged = _STATEMENT.findall(log.read().decode())
        found.statements = [one for one in logged if not one.startswith(("BEGIN", "COMMIT"))]
        if (ended := await self._written()) != began:
            found.commits = await self._one(_TRANSACTIONS, began, ended)

    async def _written(self) -> str:
        return await self._one("SELECT pg_current_wal_flush_lsn()::text")

    async def _one(self, query: str, *values: str) -> Any:
        row = await (await self._conn.execute(query.encode(), values)).fetchone()
        return row[0] if row else None


@asynccontextmanager
async def statements(database_url: str) -> AsyncGenerator[Statements]:
    """Of all connections that are made to that database from now on. It is an embedded one, and
    ours.
    """
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await conn.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        await conn.execute(
            sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(
                sql.Identifier(conn.info.dbname)
            )
        )
        (cluster,) = await (await conn.execute("SHOW data_directory")).fetchone() or ("",)
        yield Statements(conn, Path(cluster).parent.parent / "postgres.log")
