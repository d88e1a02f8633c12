"""What is left of a soak that went wrong: what the processes said, and all there is of the runs."""

import json
from collections.abc import Sequence
from pathlib import Path

from psycopg import AsyncConnection

STRANGERS = """SELECT run_id FROM (SELECT run_id FROM orchestrator_runs
    UNION ALL SELECT run_id FROM audit_tombstones) found WHERE run_id <> ALL(%s)"""
STORY = """SELECT r.run_id, jsonb_build_object(
        'run', to_jsonb(r),
        'requests', (SELECT jsonb_agg(q) FROM hitl_requests q WHERE q.run_id = r.run_id),
        'audit', (SELECT jsonb_agg(a) FROM audit_entries a WHERE a.run_id = r.run_id),
        'frames', (SELECT jsonb_agg(e ORDER BY seq) FROM run_events e WHERE e.run_id = r.run_id),
        'jobs', (SELECT jsonb_agg(j) FROM procrastinate_jobs j WHERE j.queueing_lock = r.run_id),
        'processes', (SELECT jsonb_agg(p) FROM hitl_processes p),
        'now', now(),
        'locks', (SELECT jsonb_agg(s) FROM pg_stat_activity s WHERE s.wait_event_type = 'Lock'))
    FROM orchestrator_runs r WHERE run_id = ANY(%(names)s) OR EXISTS (
        SELECT FROM hitl_requests WHERE run_id = r.run_id AND request_id = ANY(%(names)s))"""


async def find_strangers(database_url: str, known: Sequence[str]) -> list[str]:
    """Return the runs that nobody knows of: a start that was done twice."""
    async with await AsyncConnection.connect(database_url) as conn:
        rows = await conn.execute(STRANGERS, ([*known],))
        return [row[0] for row in await rows.fetchall()]


async def keep_stories(database_url: str, names: Sequence[str], folder: Path) -> None:
    """Write down all there is of these runs, or of the runs of these requests."""
    async with await AsyncConnection.connect(database_url) as conn:
        rows = await conn.execute(STORY.encode(), {"names": [*names]})
        for run_id, story in await rows.fetchall():
            (folder / f"{run_id}.json").write_text(json.dumps(story, indent=1))
