"""The table `api_keys`: names and scopes of the API's keys; of the keys themselves their hashes."""

import secrets
from collections.abc import Collection
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

from psycopg.errors import UniqueViolation

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.keys import Caller, Scope

PREFIX = "hitl_"  # so that a key that got somewhere is known for one
ADD = "INSERT INTO api_keys (digest, name, scopes) VALUES (%s, %s, %s)"
FIND = "SELECT digest, name, scopes FROM api_keys WHERE digest = %s AND revoked_at IS NULL"
LIST = "SELECT name, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, name"
REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL"
# The first entry of a run's audit is its start.
STARTED_RUN = "SELECT body::json->>'key' AS key FROM audit_entries WHERE run_id = %s AND seq = 1"
ASKED_REQUEST = """SELECT a.body::json->>'key' AS key
    FROM hitl_requests r JOIN audit_entries a ON a.run_id = r.run_id AND a.seq = 1
    WHERE r.request_id = %s"""


class KeptKey(NamedTuple):
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


async def add(conn: Connection, name: str, scopes: Collection[Scope]) -> str:
    """Return a new key, which nobody is told again.

    Raise ConfigurationError: a key has that name.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        await conn.execute(ADD, (_digest(key), name, [*scopes]))
    except UniqueViolation as error:
        raise ConfigurationError(
            f"There is a key named {name}: revoke it first, or take another name."
        ) from error
    return key


async def find(conn: Connection, key: str) -> Caller | None:
    """Return who shows that key; None: nobody's, or a revoked one."""
    return await find_again(conn, _digest(key)) if key.startswith(PREFIX) else None


async def find_again(conn: Connection, digest: str) -> Caller | None:
    """Return whose key has that digest; None: nobody's any more."""
    row = await (await conn.execute(FIND, (digest,))).fetchone()
    if row is None or not compare_digest(row["digest"], digest):
        return None
    known = {scope.value for scope in Scope}  # a newer version may have given further ones
    return Caller(
        row["name"], frozenset(Scope(one) for one in row["scopes"] if one in known), digest
    )


async def list_all(conn: Connection) -> list[KeptKey]:
    """Return all there were, the oldest first."""
    rows = await (await conn.execute(LIST)).fetchall()
    return [
        KeptKey(row["name"], tuple(row["scopes"]), row["created_at"], row["revoked_at"])
        for row in rows
    ]


async def revoke(conn: Connection, name: str) -> bool:
    """Return whether there was one of that name."""
    return (await conn.execute(REVOKE, (name,))).rowcount > 0


async def find_starter(conn: Connection, *, run_id: str = "", request_id: str = "") -> str | None:
    """Return the name of the key that started a run, or the run of a request."""
    query, value = (STARTED_RUN, run_id) if run_id else (ASKED_REQUEST, request_id)
    row = await (await conn.execute(query, (value,))).fetchone()
    return None if row is None else row["key"]


def _digest(key: str) -> str:
    """A key is 256 random bits: a hash that is slow to make would protect nothing more."""
    return sha256(key.encode()).hexdigest()
