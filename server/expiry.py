"""Questions whose time is over."""

import asyncio
from collections.abc import Sequence

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.graph import runs

AT_MOST, AT_ONCE = 1000, 4  # runs: a sweep, and side by side


async def deny_expired(store: Store) -> Sequence[Claim]:
    """Deny them all, before any of their runs goes on: the last one waits for its time, too.

    Return what is to be driven now.
    """
    claims = list[Claim]()
    waiting = await store.expired(AT_MOST)

    async def deny() -> None:
        while waiting:
            async with store.transaction() as tx:
                await runs.expire(tx, waiting.pop())
            claims.extend(tx.claims)

    denying = [asyncio.create_task(deny()) for _ in range(min(AT_ONCE, len(waiting)))]
    if denying:
        await asyncio.wait(denying)
    for each in denying:
        each.result()
    return claims
