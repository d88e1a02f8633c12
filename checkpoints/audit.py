"""The table `audit_entries`: append-only, chained by hash. The run's row keeps count and head of its chain."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from checkpoints.pool import Connection
from domain.events import VOICES, Event
from domain.run import AuditEntry

APPEND = "INSERT INTO audit_entries (run_id, seq, body, hash) VALUES (%s, %s, %s, %s)"
OF_RUN = "SELECT body FROM audit_entries WHERE run_id = %s ORDER BY seq"
CHAINS = """SELECT run_id, audit_count AS entries, audit_head AS head, NULL::timestamptz AS pruned_at FROM orchestrator_runs
    WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s
    UNION ALL SELECT run_id, entries, head, pruned_at FROM audit_tombstones WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s
    UNION ALL SELECT DISTINCT run_id, NULL::integer, NULL::text, NULL::timestamptz FROM audit_entries a
        WHERE (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
        AND NOT EXISTS (SELECT FROM orchestrator_runs r WHERE r.run_id = a.run_id)
        AND NOT EXISTS (SELECT FROM audit_tombstones t WHERE t.run_id = a.run_id)
    ORDER BY run_id"""
ENTRIES = "SELECT seq, body, hash FROM audit_entries WHERE run_id = %s ORDER BY seq"


async def append(conn: Connection, run_id: str, count: int, head: str, happened: Sequence[Event], now: datetime) -> tuple[int, str]:
    """The chain's new count and head."""
    for event in happened:
        if action := VOICES[event.kind].audit:
            count += 1
            body = _body(count, action, event, now)
            head = link(head, body)
            await conn.execute(APPEND, (run_id, count, body, head))
    return count, head


def link(head: str, body: str) -> str:
    return hashlib.sha256(f"{head}\n{body}".encode()).hexdigest()


def _body(seq: int, action: str, event: Event, now: datetime) -> str:
    entry = AuditEntry(
        seq=seq, at=now, action=action, requestId=event.requestId, operator=event.operator, note=event.note, reason=event.reason
    )
    return json.dumps(entry.json_object(), sort_keys=True, ensure_ascii=False)


async def of_run(conn: Connection, run_id: str) -> list[AuditEntry]:
    rows = await (await conn.execute(OF_RUN, (run_id,))).fetchall()
    return [AuditEntry.model_validate_json(row["body"]) for row in rows]


async def verify(conn: Connection, run_id: str | None) -> AsyncIterator[tuple[str, int, str | None]]:
    """(run, entries, what is wrong with its chain or None) of every run, or of one."""
    for chain in await (await conn.execute(CHAINS, {"run_id": run_id})).fetchall():
        rows = await (await conn.execute(ENTRIES, (chain["run_id"],))).fetchall()
        if chain["pruned_at"] is not None:
            yield chain["run_id"], chain["entries"], "was pruned, yet has entries" if rows else None
            continue
        yield chain["run_id"], len(rows), _broken([(r["seq"], r["body"], r["hash"]) for r in rows], chain["entries"], chain["head"])


def _broken(entries: Sequence[tuple[int, str, str]], count: int | None, head: str | None) -> str | None:
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
        return f"has {len(entries)} entries of {count}: the end was cut off" if len(entries) < count else f"has entries after {count}"
    return None if before == head else "its last entry is not the one the run remembers"
