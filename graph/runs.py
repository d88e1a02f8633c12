"""What people do to a run, and what time does: `graph/decisions.py` with its transactions.

The caller owns the transaction, and what follows its commit.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.domain.errors import RunHeld
from hitl_orchestrator.domain.hitl import NOBODY, By, HitlResponse
from hitl_orchestrator.domain.ports import Change, Claim, Locked, RunRef, Transaction
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import Held
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import decisions, holding


class Fits(NamedTuple):
    """Somebody can go on with the run. `fitted`: as in `Change`."""

    fitted: Mapping[str, str]


class Misfit(NamedTuple):
    """Nobody can: why, and which agent it is about."""

    capability_id: str
    reason: str


CheckFit = Callable[[Transaction, Locked], Awaitable[Fits | Misfit]]


async def trust(tx: Transaction, locked: Locked) -> Fits:
    """Take any run to fit: there is one process, and its agents never change."""
    return Fits({})


async def start(
    tx: Transaction,
    registry: Registry,
    settings: RunSettings,
    metadata: JsonObject,
    by: By = NOBODY,
) -> str:
    """Return the run's id. Raise Invalid or ThreadBusy."""
    await tx.insert(decisions.start(registry, settings, metadata, await tx.now(), by))
    return settings.runId


async def answer(
    tx: Transaction,
    ref: RunRef,
    request_id: str,
    responses: Sequence[HitlResponse],
    by: By,
    check: CheckFit = trust,
) -> str:
    """Return the run's id. Raise NotFound, RequestNotPending, RunEnded, RunHeld, or Invalid."""
    locked = await tx.lock(ref)
    change = decisions.answer(locked, request_id, responses, by)
    await tx.write(await _fit(tx, locked, change, check))
    return locked.run.runId


async def deny(
    tx: Transaction, ref: RunRef, request_id: str, reason: str, by: By, check: CheckFit = trust
) -> str:
    """Return the run's id. Raise as `answer` does."""
    locked = await tx.lock(ref)
    change = decisions.deny(locked, request_id, reason, by)
    await tx.write(await _fit(tx, locked, change, check))
    return locked.run.runId


async def _fit(tx: Transaction, locked: Locked, change: Change, check: CheckFit) -> Change:
    """Return what to write of a decision that an agent has to hear. Raise RunHeld."""
    verdict = await check(tx, locked)
    match verdict:
        case Misfit(capability_id, reason):
            held = locked.run.held or Held(
                reason=reason, capabilityId=capability_id, since=locked.now
            )
            raise RunHeld(
                f"Run {locked.run.runId} is held: {reason}. The decision was not taken.",
                runId=locked.run.runId,
                held=held.json_object(),
            )
        case Fits(fitted):
            return holding.take_fitting(change, fitted)


async def hold(
    tx: Transaction, run_id: str, capability_id: str, reason: str, *, anew: bool = False
) -> None:
    """Hold the run. Whoever finds it first does it; a second time finds nothing to do.

    `anew`: as in holding.py.
    """
    locked = await tx.lock(RunRef(run_id))
    if change := holding.hold(locked, capability_id, reason, anew=anew):
        await tx.write(change)


async def recheck(tx: Transaction, run_id: str, check: CheckFit) -> Misfit | None:
    """Let it go on, if it fits now; else return why it does not."""
    locked = await tx.lock(RunRef(run_id))
    verdict = await check(tx, locked)
    if isinstance(verdict, Misfit):
        return verdict
    if change := holding.let_go(locked, verdict.fitted):
        await tx.write(change)
    return None


async def remove(tx: Transaction, ref: RunRef, request_id: str | None, reason: str, by: By) -> str:
    """Return the run's id. Raise as `answer` does, but for RunHeld."""
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
