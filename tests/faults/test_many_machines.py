"""Several servers and workers on one Postgres, with the queue between them; and what a start
finds.
"""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.faults.crowd import Crowd
from tests.faults.fleet import assert_audit_verifies, next_moment, server, until, worker
from tests.faults.forked import finished, forked, hitl, serving
from tests.faults.streams import watched

Json = dict[str, Any]

RUNS = 8
FRAMES = "SELECT frame FROM run_events WHERE run_id = %s ORDER BY seq"
QUEUE_FRAMES = "SELECT frame FROM run_events WHERE run_id = %s AND queue ORDER BY seq"


async def test_started_here_watched_there_answered_elsewhere_driven_by_others(
    database_url: str, log: Path
) -> None:
    """While a worker and the server that is watched at are killed, and the other worker is told to
    end.
    """
    with ExitStack() as stack:
        here, there, elsewhere = [
            stack.enter_context(server(database_url, log, HITL_DISPATCH="queue")) for _ in range(3)
        ]
        first, second = [stack.enter_context(worker(database_url, log)) for _ in range(2)]
        crowd = Crowd([here.url], answered_at=[elsewhere.url])
        streams, queue = dict[str, list[Json]](), list[Json]()

        def all_ended(frames: list[Json]) -> bool:
            return sum(frame["type"] == "complete" for frame in frames) == RUNS

        def ended(frames: list[Json]) -> bool:
            return bool(frames) and frames[-1]["type"] == "complete"

        async with (
            await AsyncConnection.connect(database_url, autocommit=True) as conn,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(
                watched([there.url, elsewhere.url], "/api/hitl/events", all_ended, queue)
            )
            group.create_task(crowd.live(RUNS))
            await until(lambda: len(crowd.runs) == RUNS)
            for run_id in crowd.runs:
                group.create_task(
                    watched(
                        [there.url],
                        f"/api/runs/{run_id}/events",
                        ended,
                        streams.setdefault(run_id, []),
                    )
                )
            await next_moment(conn, "resume")
            await first.kill()
            await there.kill()
            assert await second.terminate() == 0
        crowd.check(log)

        async with await AsyncConnection.connect(database_url) as conn:
            for run_id, frames in streams.items():
                told = [
                    frame for (frame,) in await (await conn.execute(FRAMES, (run_id,))).fetchall()
                ]
                assert frames == told
                assert [frame["seq"] for frame in frames] == [*range(1, len(frames) + 1)]
            assert [frame["seq"] for frame in queue] == [*range(1, len(queue) + 1)]
            for run_id in crowd.runs:
                told = [
                    frame
                    for (frame,) in await (await conn.execute(QUEUE_FRAMES, (run_id,))).fetchall()
                ]
                assert [frame | {"seq": 0} for frame in queue if frame["runId"] == run_id] == [
                    frame | {"seq": 0} for frame in told
                ]
    assert_audit_verifies(database_url)


# -- what a start finds


def test_ten_migrations_of_an_empty_database_at_once_all_succeed(database_url: str) -> None:
    with ExitStack() as stack:
        starters = [
            stack.enter_context(forked(hitl, "migrate", environment={"DATABASE_URL": database_url}))
            for _ in range(10)
        ]
        assert [(starter.end(), starter.said()) for starter in starters].count(
            (0, "The database is up to date.\n")
        ) == 9
        assert {starter.end() for starter in starters} == {0}


@pytest.mark.parametrize("command", ["migrate", "serve"])
async def test_a_database_newer_than_the_program_is_refused_in_words(
    database_url: str, command: str
) -> None:
    assert finished(database_url, "migrate")[0] == 0
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(
            "INSERT INTO hitl_migrations (version, name) VALUES (9001, '9001_tomorrow.sql')"
        )
    code, said = finished(database_url, command)
    assert code == 1
    assert (
        said == "hitl: The database is newer than this program (it has 9001_tomorrow.sql): "
        "update the program.\n"
    )


async def test_a_question_that_expired_while_nothing_ran_is_denied_within_5_seconds(
    database_url: str, log: Path
) -> None:
    settings = {"HITL_TEST_LOG": str(log), "HITL_REQUEST_TTL_SECONDS": "1"}
    with (
        serving(database_url, "counting.py:left", **settings) as process,
        process.client() as client,
    ):
        asked = client.post(
            "/api/runs?wait=20", json={"objective": "Count", "outputs": ["left"]}
        ).json()
        assert asked["status"] == "awaiting_hitl"
    await asyncio.sleep(1)
    with (
        serving(database_url, "counting.py:left", **settings) as process,
        process.client() as client,
    ):

        def denied() -> bool:
            return (
                client.get(f"/api/hitl/requests/{asked['pendingRequestId']}").json()["denialReason"]
                == "Expired"
            )

        async with asyncio.timeout(5):
            await until(denied)
        run = client.get(f"/api/runs/{asked['runId']}?wait=20").json()
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"left": "Expired"})
