"""What it comes to when no agent that is plugged in fits a run, and when one fits again. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.ports import Change, Locked
from hitl_orchestrator.domain.run import Held, RunStatus


def hold(locked: Locked, capability_id: str, reason: str, *, anew: bool = False) -> Change | None:
    """Hold the run until agents are plugged in that fit. None: it has ended, or is held already.

    `anew`: one that is held gets this reason.
    """
    before = locked.run.held
    if locked.run.ended or (before and not anew):
        return None
    since = before.since if before else locked.now
    held = Held(reason=reason, capabilityId=capability_id, since=since)
    if held == before:
        return None
    return Change(locked.run.but(held=held), events=[] if before else [tell_hold(held)])


def let_go(locked: Locked, fitted: Mapping[str, str]) -> Change | None:
    """Let a held run go on: an agent is plugged in that fits. None: there is nothing to write.

    `fitted`: fingerprints of agents in which its requests were found to wait, by request.
    """
    run = locked.run
    if run.ended or (run.held is None and not fitted):
        return None
    happened = [] if run.held is None else [_tell_release(run.held)]
    is_due = run.status in (RunStatus.QUEUED, RunStatus.RUNNING)
    return Change(run.but(held=None), fitted=fitted, events=happened, drive=is_due)


def take_fitting(change: Change, fitted: Mapping[str, str]) -> Change:
    """Return the same decision about a run that was found to fit, held or not."""
    if change.run.held is None:
        return replace(change, fitted=fitted)
    release = _tell_release(change.run.held)
    run = change.run.but(held=None)
    # what was held may have nobody who drives it
    return replace(
        change, run=run, fitted=fitted, events=[release, *change.events], drive=not run.ended
    )


def tell_hold(held: Held) -> Event:
    return Event(
        kind=EventKind.RUN_HELD,
        message=f"held: {held.reason}",
        data={"held": held.json_object()},
        originAgent=held.capabilityId,
        reason=held.reason,
    )


def _tell_release(held: Held) -> Event:
    return Event(
        kind=EventKind.RUN_LET_GO,
        message=f"{held.capabilityId} fits again: the run goes on",
        data={"held": None},
        originAgent=held.capabilityId,
    )
