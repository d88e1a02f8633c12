"""Of many questions that expire together the last is denied in time, too."""

import asyncio
import time

from psycopg import AsyncConnection

from tests.api.calls import paused, started

MANY = 130  # more than a sweep once took
LEFT = "SELECT count(*) FROM hitl_requests WHERE status = 'pending'"


async def test_many_questions_that_expire_together_are_denied_within_seconds(
    database_url: str,
) -> None:
    async with (
        started(database_url) as api,
        await AsyncConnection.connect(database_url, autocommit=True) as conn,
    ):
        for _ in range(MANY // 10):
            await asyncio.gather(*(paused(api) for _ in range(10)))
        began = time.monotonic()
        await conn.execute("UPDATE hitl_requests SET expires_at = now() WHERE status = 'pending'")
        while (await (await conn.execute(LEFT)).fetchone()) != (0,):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert time.monotonic() - began < 5
