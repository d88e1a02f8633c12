"""Work that finishes while the database is away is kept and waited with, not done again."""

import asyncio
from pathlib import Path

import pytest

from hitl_orchestrator.checkpoints.pool import ACQUIRE_TIMEOUT_SECONDS
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.agents.counting import log_lines
from tests.faults.fleet import until
from tests.faults.test_postgres import killed
from tests.processes import AGENTS
from tests.temporary import temporary_postgres

RUNS = 5
AWAY_SECONDS = 3 * ACQUIRE_TIMEOUT_SECONDS  # longer than anybody waits, or `function` may take


@pytest.mark.parametrize("agent", ["agent", "function"])
async def test_an_agent_that_ends_while_postgres_is_away_runs_once(
    log: Path, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of that time is counted as the agent's."""
    monkeypatch.setenv("HITL_TEST_LOG", str(log))
    with temporary_postgres() as postgres:
        settings = Settings(
            database_url=postgres.start(), agents=(str(AGENTS / f"patient.py:{agent}"),)
        )
        async with Orchestrator.open(settings) as hitl:
            started = [(await hitl.start(NewRun(objective="Work"))).run for _ in range(RUNS)]
            await until(lambda: len(log_lines(log)) == RUNS)
            with killed(postgres):
                log.with_name("go").touch()
                await asyncio.sleep(AWAY_SECONDS)
            ended = [await wait_for_end(hitl, run.runId) for run in started]
    assert [run.status for run in ended] == ["completed"] * RUNS
    assert sorted(log_lines(log)) == sorted(run.runId for run in started)


async def wait_for_end(hitl: Orchestrator, run_id: str) -> Run:
    """Ask again as long as the database is not back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await hitl.wait(run_id, 60)
            except StoreUnavailable:
                await asyncio.sleep(0.1)
