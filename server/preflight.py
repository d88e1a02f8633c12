"""Before a deploy: would the agents of the next version fit what waits now?"""

from collections.abc import AsyncGenerator, Sequence

from hitl_orchestrator.checkpoints import processes
from hitl_orchestrator.checkpoints.agents import find_all
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import NotFound, Unreadable
from hitl_orchestrator.domain.ports import Locked, RunRef
from hitl_orchestrator.domain.run import StoredRun
from hitl_orchestrator.graph.runs import Misfit
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.inspection import Inspector
from hitl_orchestrator.server.fleet import look
from hitl_orchestrator.server.roster import read_registered


async def check_unfinished(
    pool: Pool, agents: Sequence[Agent]
) -> AsyncGenerator[tuple[str, str | None]]:
    """Yield (run, why it would be held, or None) of each that has not ended, the oldest first."""
    async with connection(pool) as conn:
        unfinished = await processes.unfinished(conn)
        registered = await find_all(conn)
    own = {agent.capability.capabilityId for agent in agents}
    inspector = Inspector([*agents, *read_registered(registered, own)], BufferedSaver(pool))
    for run_id in unfinished:
        try:
            locked = await _read(pool, run_id)
        except Unreadable as error:
            yield run_id, error.detail
            continue
        if locked is None or locked.run.ended:
            continue
        verdict = await look(inspector, locked.run, locked.askers)
        yield run_id, verdict.reason if isinstance(verdict, Misfit) else None


async def _leave_alone(conn: Connection, run: StoredRun) -> None:
    """Drive nothing: nothing is written here."""


async def _read(pool: Pool, run_id: str) -> Locked | None:
    """Return the run, not locked; None: it was pruned meanwhile."""
    async with connection(pool) as conn:
        try:
            return await PgTransaction(conn, _leave_alone).read(RunRef(run_id))
        except NotFound:
            return None
