"""A change as the one statement that writes it, and the run as it is after it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hitl_orchestrator.checkpoints import audit, events, requests, runs
from hitl_orchestrator.checkpoints.kept import KeptRequest, KeptRun, Moment
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.checkpoints.rowsets import Rowsets
from hitl_orchestrator.checkpoints.runs import Counters
from hitl_orchestrator.checkpoints.statements import (
    COUNT_FRAMES,
    INSERT,
    UPDATE,
    WRITTEN,
    compose,
)
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.hitl import RequestStatus, Urgency
from hitl_orchestrator.domain.json_values import write_json
from hitl_orchestrator.domain.needs import list_needs
from hitl_orchestrator.domain.ports import Change

_RANKS = {Urgency.LOW: 0, Urgency.NORMAL: 1, Urgency.HIGH: 2}


class Claiming(NamedTuple):
    """Who drives the run from here, and for how long without a word."""

    token: str
    driver: str
    lease: timedelta


class Extras(NamedTuple):
    """What is written with a change. `channels`: beside those of its events.

    `got_further`: from here the run's attempts are counted anew.
    """

    claiming: Claiming | None = None
    rows: Rowsets | None = None
    last_update_id: str | None = None
    got_further: bool = True
    channels: Sequence[str] = ()


NOTHING_ELSE = Extras()


async def write(
    conn: Connection, kept: KeptRun, change: Change, now: datetime, extras: Extras = NOTHING_ELSE
) -> Moment | None:
    """Write it whole, and return the run as it is now; None: it is not as it was kept any more.

    Then nothing was written. A run that is not there yet is inserted; None: its thread is busy.
    """
    if extras.claiming:
        change = replace(change, run=change.run.but(claimToken=extras.claiming.token))
    after = kept.after(change, now)
    needs = sorted(list_needs(change.run, after.askers.values()))
    links = audit.chain(kept.counters.audit, kept.counters.audit_head, change.events, now)
    frames = events.write_frames(change.run, kept.counters.events, change.events, now)
    counters = Counters(
        len(after.requests),
        kept.counters.events + len(frames),
        kept.counters.audit + len(links),
        links[-1].hash if links else kept.counters.audit_head,
        extras.last_update_id or kept.counters.last_update_id,
    )
    parts = _write_parts(kept, change, after)
    if links:
        rows = enumerate(links, kept.counters.audit + 1)
        parts["audit"] = write_json(
            [{"seq": seq, "body": link.body, "hash": link.hash} for seq, link in rows]
        )
    if frames:
        parts["frames"] = write_json(frames)
    if extras.rows:
        parts |= extras.rows.write_parts()
    values = {
        **runs.write_fields(change.run, counters, needs),
        **({} if kept.version else runs.write_new(change.run)),
        "thread_id": change.run.threadId,
        **_rank_pending(after),
        **_write_claiming(extras.claiming),
        "version": kept.version,
        "now": now,
        "got_further": extras.got_further,
        "channels": write_json([*events.list_channels(change.events), *extras.channels]),
    }
    statement = compose(UPDATE if kept.version else INSERT, parts, WRITTEN)
    row = await (await conn.execute(statement, {**values, **parts})).fetchone()
    if row is None:
        return None
    entries = (*kept.audit, *(link.entry for link in links))
    run = after.run.but(needs=tuple(needs))
    written = KeptRun(run, counters, row["version"], after.requests, entries)
    return Moment(written, row["now"], row["is_new"])


async def tell(
    conn: Connection, kept: KeptRun, happened: Sequence[Event], now: datetime
) -> Moment | None:
    """Write the frames of what happened; None, and nothing written: as `write` has it."""
    frames = events.write_frames(kept.run, kept.counters.events, happened, now)
    counters = kept.counters._replace(events=kept.counters.events + len(frames))
    values: dict[str, Any] = {
        "run_id": kept.run.runId,
        "version": kept.version,
        "event_count": counters.events,
        "frames": write_json(frames),
        "now": now,
        "channels": "[]",
    }
    statement = compose(COUNT_FRAMES, ["frames"], WRITTEN)
    row = await (await conn.execute(statement, values)).fetchone()
    if row is None:
        return None
    return Moment(kept._replace(counters=counters, version=row["version"]), row["now"])


def _write_parts(kept: KeptRun, change: Change, after: KeptRun) -> dict[str, Any]:
    """Return the parts of the statement that something is in, each with its value."""
    new = [name for name in after.requests if name not in kept.requests]
    asked = [
        _write_asked(after.requests[name], position)
        for position, name in enumerate(new, kept.counters.requests)
    ]
    settled = [
        requests.write_settlement(one)
        for one in change.settled
        if one.request.requestId not in new  # else it is in the new row already
    ]
    responses = [
        {"request_id": one.requestId, "response": one.json_to_keep()} for one in change.responses
    ]
    delivered = [request.requestId for request in change.delivered]
    parts: dict[str, Any] = {
        "goes_on": EventKind.RUN_RETRIED in [event.kind for event in change.events],
        "asked": asked and write_json(asked),
        "settled": settled and write_json(settled),
        "responses": responses and write_json(responses),
        "delivered": delivered and write_json(delivered),
        "fitted": change.fitted and write_json({**change.fitted}),
    }
    return {name: value for name, value in parts.items() if value}


def _write_asked(one: KeptRequest, position: int) -> dict[str, Any]:
    return requests.write_asked(one.request, position, one.fingerprint, one.settled, one.resolved)


def _rank_pending(after: KeptRun) -> Mapping[str, Any]:
    """Return where the queue has the run: its most urgent question, and its oldest."""
    waiting = [one.request for one in after.requests.values()]
    waiting = [request for request in waiting if request.status is RequestStatus.PENDING]
    return {
        "pending_urgency": max((_RANKS[one.urgency] for one in waiting), default=None),
        "pending_since": min((one.createdAt for one in waiting if one.createdAt), default=None),
    }


def _write_claiming(claiming: Claiming | None) -> Mapping[str, Any]:
    return {
        "claims": claiming is not None,
        "driver": claiming and claiming.driver,
        "lease": claiming and claiming.lease,
    }
