"""Real processes that really die. After each fault: every run ended rightly, each answer was
applied once, the audit verifies.
"""

import asyncio
import random
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.faults.crowd import Crowd
from tests.faults.fleet import assert_audit_verifies, next_moment, server

CLIENTS = 4
KILLS = 5
MOMENTS = {
    "start": "start",
    "pause": "request",
    "resume 200": "resume",
    "delivery": "deliver",
    "completion": "complete",
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_server_killed_around_each_moment_loses_nothing(
    database_url: str, log: Path, moment: str
) -> None:
    with server(database_url, log) as place:
        crowd = Crowd([place.url])
        async with (
            await AsyncConnection.connect(database_url, autocommit=True) as conn,
            crowd.living(CLIENTS),
        ):
            for _ in range(KILLS):
                await next_moment(conn, MOMENTS[moment])
                await asyncio.sleep(random.random() * 0.1)  # noqa: S311
                await place.kill()
        crowd.check(log)
    assert_audit_verifies(database_url)


async def test_a_server_frozen_past_its_claim_writes_nothing_when_it_wakes(
    database_url: str, log: Path
) -> None:
    with server(database_url, log) as first, server(database_url, log) as second:
        frozen, other = Crowd([first.url]), Crowd([second.url])
        async with (
            await AsyncConnection.connect(database_url, autocommit=True) as conn,
            frozen.living(CLIENTS),
            other.living(1),
        ):
            await next_moment(conn, "resume")  # it drives now
            await first.freeze(seconds=3)
        frozen.runs |= other.runs
        frozen.ended += other.ended
        frozen.check(log)
    assert_audit_verifies(database_url)


async def test_a_server_told_to_end_drains_and_ends_with_0(database_url: str, log: Path) -> None:
    with server(database_url, log) as place:
        crowd = Crowd([place.url])
        async with crowd.living(CLIENTS):
            await asyncio.sleep(0.5)
            assert await place.terminate() == 0
        crowd.check(log)
