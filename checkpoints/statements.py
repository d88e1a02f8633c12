"""One use case, one statement: the parts of it, which are composed.

Each part stores rows that come as one JSON value, and only where the first part, the fence, let
them: where somebody else was first nothing is written at all. A statement of the same parts is the
same text, so Postgres plans it once a session.
"""

from collections.abc import Iterable
from functools import cache

UNFENCED = "SELECT 1"

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
        AS t (a text, b text, c text, d text, e text, f text)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING"""
_INTO_WRITES = """INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id,
        task_id, task_path, idx, channel, type, blob)
    SELECT a, b, c, d, e, f, g, h, decode(i, 'base64') FROM fence, json_to_recordset(%({})s::json)
        AS t (a text, b text, c text, d text, e text, f int, g text, h text, i text)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) """

PARTS: dict[str, str] = {
    "checkpoints": _CHECKPOINTS,
    "blobs": _BLOBS,
    "writes": _INTO_WRITES.format("writes") + "DO NOTHING",
    "replacing_writes": _INTO_WRITES.format("replacing_writes")
    + """DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob""",
}


def compose(fence: str, parts: Iterable[str], returns: str = "SELECT FROM fence") -> bytes:
    """Return the statement that writes these parts if the fence returns a row."""
    return _compose(fence, tuple(parts), returns)


@cache
def _compose(fence: str, parts: tuple[str, ...], returns: str) -> bytes:
    written = "".join(f",\n{name}_written AS ({PARTS[name]})" for name in parts)
    return f"WITH fence AS ({fence}){written}\n{returns}".encode()
