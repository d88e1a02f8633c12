"""Lists are read by their indexes, in their order: not the whole table, not sorted."""

from typing import LiteralString

import pytest
from psycopg import AsyncConnection, sql

from hitl_orchestrator.checkpoints import listing, requests
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS

# The tables are empty, and any way to read them is as good: the others are forbidden.
ONLY_INDEXES = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"


@pytest.mark.parametrize(
    ("query", "after", "index"),
    [
        (requests.WAITING, requests.AFTER_WAITING, "hitl_requests_waiting"),
        (requests.OVER, requests.AFTER_OVER, "hitl_requests_over"),
        (listing.WAITING, listing.AFTER_WAITING, "orchestrator_runs_in_queue"),
    ],
)
async def test_a_page_is_read_from_its_index(
    database_url: str, query: sql.SQL, after: LiteralString, index: str
) -> None:
    settings = Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))
    async with Orchestrator.open(settings):
        pass  # brings the database up to date
    at = "2026-01-01T00:00:00Z"
    values = {"urgent": -1, "at": at, "request_id": "r", "rank": 1, "since": at, "id": "r"}
    values["limit"] = 51
    page = query.format(sql.SQL(after))
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(ONLY_INDEXES)
        explained = await conn.execute(sql.SQL("EXPLAIN ") + page, values)
        plan = "\n".join([row[0] for row in await explained.fetchall()])
    assert f"using {index} on " in plan
    assert "Index Cond: (ROW(" in plan, "a page begins where the one before it ended"
    assert "Sort" not in plan
