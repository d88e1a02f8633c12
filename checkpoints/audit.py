"""The table `audit_entries`: append-only, chained by hash.

The run's row keeps count and head of its chain.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.events import VOICES, Event
from hitl_orchestrator.domain.run import AuditEntry

# A page of all that is known of: each part is read from its index, as far as the page needs it.
RUNS = """(SELECT run_id FROM orchestrator_runs WHERE run_id > %(after)s ORDER BY run_id
        LIMIT %(limit)s)
    UNION (SELECT run_id FROM audit_tombstones WHERE run_id > %(after)s ORDER BY run_id
        LIMIT %(limit)s)
    UNION (SELECT DISTINCT run_id FROM audit_entries WHERE run_id > %(after)s ORDER BY run_id
        LIMIT %(limit)s)
    ORDER BY run_id LIMIT %(limit)s"""
AT_ONCE = 500
# One statement sees one moment: runs go on, and are pruned, while others are verified.
CHAIN = """SELECT r.audit_count AS entries, r.audit_head AS head, t.pruned_at, e.seq, e.body, e.hash
    FROM (SELECT %s::text AS run_id) known
    LEFT JOIN orchestrator_runs r USING (run_id) LEFT JOIN audit_tombstones t USING (run_id)
    LEFT JOIN audit_entries e USING (run_id) ORDER BY e.seq"""


class ChainLink(NamedTuple):
    """An entry as it is stored. `hash` covers the body and the entry before it."""

    entry: AuditEntry
    body: str
    hash: str


def chain(count: int, head: str, happened: Sequence[Event], now: datetime) -> list[ChainLink]:
    """Return the entries that follow, of a run that has so many and whose last has that hash."""
    links: list[ChainLink] = []
    for event in happened:
        if action := VOICES[event.kind].audit:
            entry = _tell(count + len(links) + 1, action, event, now)
            body = to_json(entry, exclude_none=True).decode()
            head = link(head, body)
            links.append(ChainLink(entry, body, head))
    return links


def link(head: str, body: str) -> str:
    return hashlib.sha256(f"{head}\n{body}".encode()).hexdigest()


def _tell(seq: int, action: str, event: Event, now: datetime) -> AuditEntry:
    return AuditEntry(
        seq=seq,
        at=now,
        action=action,
        requestId=event.requestId,
        operator=event.operator,
        key=event.key,
        note=event.note,
        reason=event.reason,
    )


async def verify(
    conn: Connection, run_id: str | None
) -> AsyncIterator[tuple[str, int, str | None]]:
    """Yield (run, entries, what is wrong with its chain or None) of every run, or of one.

    A pruned one has no entries any more. Of a run that is not known of nothing is yielded.
    """
    async for name in _list_runs(conn) if run_id is None else _one(run_id):
        chain = await (await conn.execute(CHAIN, (name,))).fetchall()
        entries = [
            (entry["seq"], entry["body"], entry["hash"])
            for entry in chain
            if entry["seq"] is not None
        ]
        count, head, pruned_at = (chain[0][column] for column in ("entries", "head", "pruned_at"))
        if not entries and count is None and pruned_at is None:
            continue
        if pruned_at is not None:
            is_there = entries or count is not None
            yield name, len(entries), "has a tombstone, yet was not pruned" if is_there else None
        else:
            yield name, len(entries), _broken(entries, count, head)


async def _one(run_id: str) -> AsyncIterator[str]:
    yield run_id


async def _list_runs(conn: Connection) -> AsyncIterator[str]:
    """Yield all runs that are known of, page by page: there may be millions."""
    after, is_full = "", True
    while is_full:
        values = {"after": after, "limit": AT_ONCE}
        found = await (await conn.execute(RUNS, values)).fetchall()
        is_full = len(found) == AT_ONCE
        for row in found:
            after = row["run_id"]
            yield after


def _broken(
    entries: Sequence[tuple[int, str, str]], count: int | None, head: str | None
) -> str | None:
    if count is None:
        return "has entries, but no run and no tombstone"
    before = ""
    for expected, (seq, body, digest) in enumerate(entries, 1):
        if seq != expected:
            return f"entry {expected} is missing"
        if link(before, body) != digest:
            return f"entry {seq} was altered"
        before = digest
    if len(entries) != count:
        return (
            f"has {len(entries)} entries of {count}: the end was cut off"
            if len(entries) < count
            else f"has entries after {count}"
        )
    return None if before == head else "its last entry is not the one the run remembers"
