"""What people do to a run, and what time does: `graph/decisions.py` with its transactions.

The caller owns the transaction, and what follows its commit.
"""

from collections.abc import Sequence

from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.domain.hitl import By, HitlResponse
from hitl_orchestrator.domain.ports import Claim, RunRef, Transaction
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import decisions


async def start(
    tx: Transaction, registry: Registry, settings: RunSettings, metadata: JsonObject
) -> str:
    """Return the run's id. Raise Invalid or ThreadBusy."""
    await tx.insert(decisions.start(registry, settings, metadata, await tx.now()))
    return settings.runId


async def answer(
    tx: Transaction, ref: RunRef, request_id: str, responses: Sequence[HitlResponse], by: By
) -> str:
    """Return the run's id. Raise NotFound, RequestNotPending, RunEnded, or Invalid."""
    locked = await tx.lock(ref)
    await tx.write(decisions.answer(locked, request_id, responses, by))
    return locked.run.runId


async def deny(tx: Transaction, ref: RunRef, request_id: str, reason: str, by: By) -> str:
    """Return the run's id. Raise as `answer` does."""
    locked = await tx.lock(ref)
    await tx.write(decisions.deny(locked, request_id, reason, by))
    return locked.run.runId


async def remove(tx: Transaction, ref: RunRef, request_id: str | None, reason: str, by: By) -> str:
    """Return the run's id. Raise as `answer` does."""
    locked = await tx.lock(ref)
    await tx.write(decisions.remove(locked, request_id, reason, by))
    return locked.run.runId


async def cancel(tx: Transaction, ref: RunRef, reason: str, by: By) -> str:
    """Return the run's id. Raise NotFound or RunEnded."""
    locked = await tx.lock(ref)
    await tx.write(decisions.cancel(locked, reason, by))
    return locked.run.runId


async def retry(tx: Transaction, ref: RunRef, by: By) -> str:
    """Return the run's id. Raise NotFound, RunNotFailed or ThreadBusy."""
    locked = await tx.lock(ref)
    await tx.reopen(decisions.retry(locked, by))
    return locked.run.runId


async def expire(tx: Transaction, run_id: str) -> None:
    """Deny what is over. Whoever looks first does it; a second look finds nothing."""
    if change := decisions.expire(await tx.lock(RunRef(run_id))):
        await tx.write(change)


async def fail(tx: Transaction, claim: Claim, message: str, *, still_working: bool = False) -> None:
    """End a run that cannot be driven on. Raise Fenced when the claim is not ours."""
    locked = await tx.lock(RunRef(claim.run_id))
    await tx.write(decisions.fail(locked, claim, message, still_working=still_working))
