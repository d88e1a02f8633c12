"""A server's threads are looked at while it works, and nothing of them can be changed."""

from contextlib import closing

import pytest

from hitl_orchestrator.live import ReadOnlySqlTransaction, attach
from tests.api.calls import answer, paused, started
from tests.processes import AGENTS

ASKS = str(AGENTS / "asks.py:agent")


async def test_its_checkpoints_rows_and_picture_are_those_of_now(database_url: str) -> None:
    async with started(database_url, agents=(ASKS,), history="all") as api:
        run = await paused(api, threadId="mine")
        with closing(attach(database_url, ASKS)) as database:
            waits = database.history("mine").rows[-1]
            assert (waits[1], waits[3]) == ("asks", run["requests"][0]["question"])
            assert repr(database.draw("mine")).endswith("at: asks")
            await answer(api, run, freeformText="x")
            last = database.history("mine").rows[-1]
            assert last[:2] == (str(int(waits[0]) + 1), "asks")
            assert last[2].endswith("+ result")
            assert repr(database.draw("mine")).endswith("at: __end__")
            status = database.rows(
                "SELECT status FROM orchestrator_runs WHERE thread_id = %s", "mine"
            )
            assert status.rows == [["completed"]]
            assert database.history("another").rows == []


async def test_nothing_can_be_written(database_url: str) -> None:
    async with started(database_url, agents=(ASKS,)) as api:
        run = await paused(api)
        with closing(attach(database_url, ASKS)) as database:
            for write in ("DELETE FROM orchestrator_runs", "CREATE TABLE more ()"):
                with pytest.raises(ReadOnlySqlTransaction):
                    database.rows(write)
        assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "awaiting_hitl"
