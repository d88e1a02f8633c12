"""The living processes of a database, what each of them has, and who fits which run.

A deploy changes what is plugged in while runs wait. A process drives only what it has the agents
of; a decision is taken only where somebody fits; where nobody does the run is held, and let go when
somebody comes.
"""

import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from hitl_orchestrator.checkpoints.processes import Known, Process
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import Dispatch, PgTransaction
from hitl_orchestrator.domain.assignments import RegisteredAgent
from hitl_orchestrator.domain.errors import NotFound, RunHeld, StoreUnavailable, Unreadable
from hitl_orchestrator.domain.needs import (
    Asker,
    describe_missing,
    is_at_work,
    list_capabilities,
    list_needs,
    list_open_steps,
)
from hitl_orchestrator.domain.ports import Claim, Locked, Transaction
from hitl_orchestrator.domain.run import Held, StoredRun
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.runs import Fits, Misfit
from hitl_orchestrator.nodes.inspection import Begun, Inspector

_log = logging.getLogger("hitl.fleet")


class Fleet:
    """What this process knows of itself and of the others."""

    def __init__(
        self, store: Store, inspector: Inspector, process: Process, lease_seconds: float
    ) -> None:
        self._store = store
        self._inspector = inspector
        self._process = process
        self._lease = timedelta(seconds=lease_seconds)
        self._others: list[Process] = []
        self._dispatch: Dispatch | None = None  # of runs that it lets go; None: as of all others
        self._seen: object = None  # who lived, and what was held, when runs were last looked at
        self.has_webhooks = False  # when it reported last
        self.learn: Callable[[Sequence[RegisteredAgent]], None] = lambda agents: None

    def plug(self, inspector: Inspector, offers: Collection[str]) -> None:
        """Take other agents for those of this process."""
        self._inspector = inspector
        self._process = self._process._replace(offers=frozenset(offers))

    async def sign_on(self) -> None:
        """Say that this process lives, and which of this machine do not any more."""
        known = await self._listen()
        dead = [other.process_id for other in known.others if _is_dead(other.process_id)]
        if dead:
            await self._store.sign_off(dead)

    async def sign_off(self) -> None:
        with suppress(StoreUnavailable):
            await self._store.sign_off([self._process.process_id])

    @property
    def has_others(self) -> bool:
        """Tell whether other processes lived when this one reported last."""
        return bool(self._others)

    async def start_driving(self, dispatch: Dispatch) -> None:
        """Say that this process takes jobs from the queue.

        `dispatch` lets it drive what it lets go: a job could come to a process that has another
        version, which would hold the run again.
        """
        self._process = self._process._replace(drives=True)
        self._dispatch = dispatch
        self.suspect()
        await self.sign_on()

    def suspect(self) -> None:
        """Let the next report look at all runs: one may have nobody who goes on with it."""
        self._seen = None

    async def report(self) -> AsyncGenerator[Sequence[Claim]]:
        """Say that this process lives, and look which runs fit now that nobody drives.

        At paused ones only where others came or went. Yield what this process is to drive.
        """
        known = await self._listen()
        drivers = {other.offers for other in known.others if other.drives}
        seen = (drivers, known.last_held, known.agents)
        if not self._judges:
            return
        # a process that died may have gone before the claims that it held
        has_changed = seen != self._seen
        unfitting = await self._store.unfitting(self._process.offers, has_changed)
        self._seen = seen
        for run_id in unfitting:
            yield await self._recheck(run_id, has_changed)

    async def _listen(self) -> Known:
        """Say that this process lives, and learn of the others and of agents elsewhere."""
        known = await self._store.report(self._process, self._lease)
        offered = self._process.offers
        self.learn(known.agents)
        if self._process.offers != offered:
            known = await self._store.report(self._process, self._lease)
        self._others, self.has_webhooks = known.others, known.has_webhooks
        return known

    async def check(self, tx: Transaction, locked: Locked) -> Fits | Misfit:
        """Tell whether somebody can go on with the run. Costs nothing where this process can."""
        needs = list_needs(locked.run, locked.askers.values())
        if needs <= self._process.offers or await tx.has_fitting(needs):
            return Fits({})
        held = locked.run.held
        if held is not None and not self._judges:
            return Misfit(held.capabilityId, held.reason)
        return await look(self._inspector, locked.run, locked.askers)

    @property
    def _judges(self) -> bool:
        """Tell whether it says which runs fit: those do who drive, where there are any."""
        return self._process.drives or not any(other.drives for other in self._others)

    async def hold(self, tx: PgTransaction, refused: RunHeld) -> None:
        """Hold the run of a decision that was refused, in the transaction that refused it."""
        held = Held.model_validate(refused.more["held"])
        await runs.hold(tx, str(refused.more["runId"]), held.capabilityId, held.reason)

    async def _recheck(self, run_id: str, has_changed: bool) -> Sequence[Claim]:
        """Let a run go on that fits; hold one that nobody goes on with. Return what to drive.

        `has_changed`: others came or went, so that why it is held may be another reason. Two that
        see different reasons would else write them in turn for ever.
        One run that cannot be read, or is locked, stops no other.
        """
        tx: PgTransaction | None = None
        try:
            async with self._store.transaction(keeps=True, dispatch=self._dispatch) as tx:
                misfit = await runs.recheck(tx, run_id, self.check)
                if misfit and not self._is_for_others(misfit):
                    await runs.hold(
                        tx, run_id, misfit.capability_id, misfit.reason, anew=has_changed
                    )
        except NotFound:  # pruned meanwhile
            pass
        except Unreadable as error:
            _log.info("whether run %s fits others have to tell: %s", run_id, error.detail)
        except StoreUnavailable:
            _log.info("run %s cannot be written now; whether it fits is looked at later", run_id)
            self.suspect()
        except Exception:  # noqa: BLE001  # a defect
            _log.exception("whether run %s fits cannot be told", run_id)
        # also where the reply to the COMMIT was lost: who drives looks first whether the claim is
        # there
        return tx.claims if tx else ()

    def _is_for_others(self, misfit: Misfit) -> bool:
        """Tell whether only others can say: this process has no such agent, and they have one."""
        name = misfit.capability_id
        if name in self._process.offers:
            return False
        return any(other.drives and name in other.offers for other in self._others)


async def look(inspector: Inspector, run: StoredRun, askers: Mapping[str, Asker]) -> Fits | Misfit:
    """Tell whether the agents here can go on with the run, by looking at their threads."""
    for name in list_capabilities(run):
        if inspector.get_fingerprint(name) is None:
            return Misfit(name, describe_missing(name))
    fitted: dict[str, str] = {}
    for request_id, asker in askers.items():
        own = inspector.get_fingerprint(asker.capability_id) or ""
        if asker.fingerprint == own or not is_at_work(run, asker):
            continue
        if misfit := await inspector.find_misfit(_locate(run, asker)):
            return Misfit(asker.capability_id, misfit)
        fitted[request_id] = own
    return await _look_at_begun(inspector, run) or Fits(fitted)


async def _look_at_begun(inspector: Inspector, run: StoredRun) -> Misfit | None:
    """Look at what a held run is held for, and asks nothing: whatever the fingerprints say."""
    if run.held is None:
        return None
    for step in list_open_steps(run):
        if step.capabilityId == run.held.capabilityId:
            asker = Asker(step.capabilityId, step.stepId, "")
            if misfit := await inspector.find_misfit(_locate(run, asker, waits=False)):
                return Misfit(step.capabilityId, misfit)
    return None


def _locate(run: StoredRun, asker: Asker, waits: bool = True) -> Begun:
    return Begun(run.threadId, run.runId, asker.step_id, asker.capability_id, waits)


def _is_dead(process_id: str) -> bool:
    """Tell whether it was a process of this machine that is not there any more.

    Its row would live on until its lease ends, and take decisions for agents that are gone.
    """
    host, pid, _ = process_id.rsplit("-", 2)
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return True  # in a container every first process has the same number
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
