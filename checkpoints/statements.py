"""One use case, one statement: the parts of it, which are composed.

Each part stores rows that come as one JSON value, and only where the first part, the fence, let
them: where somebody else was first nothing is written at all. A statement of the same parts is the
same text, so Postgres plans it once a session.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

UNFENCED = "SELECT 1"

# The fence: the run as it was read, or nothing. `xmin` names who wrote the row last.
UPDATE = """UPDATE orchestrator_runs SET status = %(status)s, plan = %(plan)s,
    facets = %(facets)s, result = %(result)s, error = %(error)s, updated_at = %(now)s,
    held = %(held)s,
    needs = ARRAY(SELECT json_array_elements_text(%(needs)s::json)),
    request_count = %(request_count)s, event_count = %(event_count)s,
    audit_count = %(audit_count)s, audit_head = %(audit_head)s, last_update_id = %(last_update_id)s,
    pending_urgency = %(pending_urgency)s, pending_since = %(pending_since)s,
    claim_token = %(claim_token)s, retrying = %(retrying)s,
    attempts = CASE WHEN %(claims)s THEN 1 WHEN %(claim_token)s::text IS NULL THEN 0
        WHEN %(got_further)s THEN 1 ELSE attempts END,
    claimed_by = CASE WHEN %(claims)s THEN %(driver)s
        WHEN %(claim_token)s::text IS NULL THEN NULL ELSE claimed_by END,
    claimed_until = CASE WHEN %(claims)s THEN now() + %(lease)s ELSE claimed_until END,
    working_by = CASE WHEN NOT %(still_working)s THEN NULL
        WHEN working_until > now() THEN working_by ELSE claimed_by END,
    working_until = CASE WHEN NOT %(still_working)s THEN NULL
        WHEN working_until > now() THEN working_until ELSE claimed_until END
    WHERE run_id = %(run_id)s AND xmin::text = %(version)s
    RETURNING xmin::text AS version, false AS is_new"""
# The same for frames alone: of the row nothing changes but how many there are.
COUNT_FRAMES = """UPDATE orchestrator_runs SET event_count = %(event_count)s
    WHERE run_id = %(run_id)s AND xmin::text = %(version)s
    RETURNING xmin::text AS version, false AS is_new"""
# The thread is held beside others who start, not beside a prune of it (retention.py): a run does
# not begin from checkpoints that are being deleted.
INSERT = """WITH held AS MATERIALIZED
    (SELECT pg_advisory_xact_lock_shared(hashtextextended(%(thread_id)s, 4718)))
    INSERT INTO orchestrator_runs
    (run_id, thread_id, status, settings, metadata, plan, facets, result, error, held, needs,
    created_at, updated_at, request_count, event_count, audit_count, audit_head, last_update_id,
    pending_urgency, pending_since, claim_token, claimed_by, claimed_until, attempts)
    SELECT %(run_id)s, %(thread_id)s, %(status)s, %(settings)s, %(metadata)s, %(plan)s, %(facets)s,
    %(result)s, %(error)s, %(held)s, ARRAY(SELECT json_array_elements_text(%(needs)s::json)),
    %(created_at)s, %(now)s, %(request_count)s, %(event_count)s, %(audit_count)s, %(audit_head)s,
    %(last_update_id)s, %(pending_urgency)s, %(pending_since)s, %(claim_token)s,
    CASE WHEN %(claims)s THEN %(driver)s END,
    CASE WHEN %(claims)s THEN now() + %(lease)s END, CASE WHEN %(claims)s THEN 1 ELSE 0 END
    FROM held ON CONFLICT DO NOTHING RETURNING xmin::text AS version,
    NOT EXISTS (SELECT FROM checkpoints c WHERE c.thread_id = %(thread_id)s) AS is_new"""
# Whoever listens on these channels is woken with the commit.
WRITTEN = """SELECT version, is_new, now() AS now, (SELECT count(pg_notify(channel, %(run_id)s))
    FROM json_array_elements_text(%(channels)s::json) AS c (channel)) AS told FROM fence"""

_AUDIT = """INSERT INTO audit_entries (run_id, seq, body, hash) SELECT %(run_id)s, seq, body, hash
    FROM fence, json_to_recordset(%(audit)s::json) AS a (seq int, body text, hash text)"""
_FRAMES = """INSERT INTO run_events (run_id, seq, frame, queue, last, at)
    SELECT %(run_id)s, seq, frame, queue, last, %(now)s FROM fence,
    json_to_recordset(%(frames)s::json) AS f (seq int, frame json, queue boolean, last boolean)"""
# the stream that had ended goes on behind its last frame
_GOES_ON = """UPDATE run_events SET last = false FROM fence
    WHERE run_id = %(run_id)s AND last AND %(goes_on)s"""
_ASKED = """INSERT INTO hitl_requests (request_id, run_id, thread_id, position, status,
        origin_agent, urgency, agent_fingerprint, request, denial_reason, settled, resolved_by,
        resolved_at, created_at, updated_at, expires_at)
    SELECT request_id, %(run_id)s, %(thread_id)s, position, status, origin_agent, urgency,
        agent_fingerprint, request, denial_reason, settled, resolved_by, resolved_at, created_at,
        created_at, expires_at
    FROM fence, json_to_recordset(%(asked)s::json) AS q (request_id text, position int,
        status text, origin_agent text, urgency text, agent_fingerprint text, request json,
        denial_reason text, settled json, resolved_by json, resolved_at timestamptz,
        created_at timestamptz, expires_at timestamptz)"""
_SETTLED = """UPDATE hitl_requests r SET status = s.status, denial_reason = s.denial_reason,
        settled = s.settled, resolved_by = s.resolved_by, resolved_at = %(now)s,
        updated_at = %(now)s
    FROM fence, json_to_recordset(%(settled)s::json) AS s (request_id text, status text,
        denial_reason text, settled json, resolved_by json)
    WHERE r.request_id = s.request_id AND r.status = 'pending'"""
_RESPONSES = """INSERT INTO hitl_responses (request_id, response)
    SELECT request_id, response FROM fence, ROWS FROM (json_to_recordset(%(responses)s::json)
        AS (request_id text, response json)) WITH ORDINALITY AS t ORDER BY ordinality"""
_DELIVERED = """UPDATE hitl_requests SET delivered_at = %(now)s, updated_at = %(now)s
    FROM fence WHERE delivered_at IS NULL
    AND request_id IN (SELECT json_array_elements_text(%(delivered)s::json))"""
_FITTED = """UPDATE hitl_requests r SET agent_fingerprint = f.value
    FROM fence, json_each_text(%(fitted)s::json) AS f WHERE r.request_id = f.key"""

# Of LangGraph's tables. In the order in which they were written: a checkpoint's number says which
# is the newest.
_CHECKPOINTS = """INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id,
        parent_checkpoint_id, checkpoint, metadata)
    SELECT a, b, c, d, e, f FROM fence, ROWS FROM (json_to_recordset(%(checkpoints)s::json)
        AS (a text, b text, c text, d text, e jsonb, f jsonb)) WITH ORDINALITY AS t
    ORDER BY ordinality
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata"""
_BLOBS = """INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT a, b, c, d, e, decode(f, 'base64') FROM fence, json_to_recordset(%(blobs)s::json)
        AS t (a text, b text, c text, d text, e text, f text) ON CONFLICT DO NOTHING"""
_INTO_WRITES = """INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id,
        task_id, task_path, idx, channel, type, blob)
    SELECT a, b, c, d, e, f, g, h, decode(i, 'base64') FROM fence, json_to_recordset(%({})s::json)
        AS t (a text, b text, c text, d text, e text, f int, g text, h text, i text)
    ON CONFLICT """

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "audit": _AUDIT,
        "frames": _FRAMES,
        "goes_on": _GOES_ON,
        "asked": _ASKED,
        "settled": _SETTLED,
        "responses": _RESPONSES,
        "delivered": _DELIVERED,
        "fitted": _FITTED,
        "checkpoints": _CHECKPOINTS,
        "blobs": _BLOBS,
        "writes": _INTO_WRITES.format("writes") + "DO NOTHING",
        "replacing_writes": _INTO_WRITES.format("replacing_writes")
        + """(thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob""",
    }
)


def compose(fence: str, parts: Iterable[str], returns: str = "SELECT FROM fence") -> bytes:
    """Return the statement that writes these parts if the fence returns a row."""
    return _compose(fence, tuple(parts), returns)


@cache
def _compose(fence: str, parts: tuple[str, ...], returns: str) -> bytes:
    written = "".join(f", w_{name} AS ({PARTS[name]})" for name in parts)
    # psycopg remembers how it reads a statement, if it is not longer than 4,096 bytes
    return " ".join(f"WITH fence AS ({fence}){written} {returns}".split()).encode()
