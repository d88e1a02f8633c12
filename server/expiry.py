"""Questions whose time is over."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import StoreUnavailable, Unreadable
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.graph import runs

AT_MOST, AT_ONCE = 1000, 4  # runs: a batch, and side by side

_log = logging.getLogger("hitl.drivers")


async def deny_expired(
    store: Store, has_ended: Callable[[], bool], at_most: int = AT_MOST
) -> AsyncGenerator[Sequence[Claim]]:
    """Deny them all. Yield what is to be driven now, after each batch.

    None of a batch is driven before all of it is denied: the last one waits for its time, too.
    `has_ended`: the process takes nothing more.
    """
    after, is_full = "", True
    while is_full and not has_ended():
        batch = await store.expired(after, at_most)
        is_full = len(batch) == at_most
        after = batch[-1] if batch else after
        yield await _deny(store, batch, has_ended)


async def _deny(
    store: Store, run_ids: Sequence[str], has_ended: Callable[[], bool]
) -> Sequence[Claim]:
    claims = list[Claim]()
    waiting = [*run_ids]

    async def deny() -> None:
        while waiting and not has_ended():
            claims.extend(await _expire(store, waiting.pop()))

    denying = [asyncio.create_task(deny()) for _ in range(min(AT_ONCE, len(waiting)))]
    if denying:
        await asyncio.wait(denying)
    for each in denying:
        each.result()
    return claims


async def _expire(store: Store, run_id: str) -> Sequence[Claim]:
    """Deny what is over. One run that cannot be read, or is locked, stops no other."""
    tx: PgTransaction | None = None
    try:
        async with store.transaction(keeps=True) as tx:
            if await tx.lock_expired(run_id):
                await runs.expire(tx, run_id)
    except (StoreUnavailable, Unreadable) as error:
        _log.info("the questions of run %s expire later: %s", run_id, error.detail)
    except Exception:  # noqa: BLE001  # a defect
        _log.exception("the questions of run %s cannot be ended", run_id)
    # also where the reply to the COMMIT was lost: who drives looks first whether the claim is there
    return tx.claims if tx else ()
