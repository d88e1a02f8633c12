"""The table `hitl_agents`: agents in processes of their own, as they have described themselves."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.assignments import (
    LEASE_SECONDS,
    RegisteredAgent,
    Registration,
    ShownAgent,
)

LEASE = timedelta(seconds=LEASE_SECONDS)
# Nobody takes another key's agent over. What an earlier process of this home had taken is free.
REGISTER = """WITH agent AS (
    INSERT INTO hitl_agents AS a (capability_id, registration, key_name, alive_until)
    VALUES (%(capability_id)s, %(registration)s, %(key_name)s, now() + %(lease)s)
    ON CONFLICT (capability_id) DO UPDATE
        SET registration = excluded.registration, alive_until = excluded.alive_until
        WHERE a.key_name IS NOT DISTINCT FROM excluded.key_name
    RETURNING capability_id),
freed AS (UPDATE hitl_assignments SET token = NULL, leased_until = NULL
    WHERE home = %(home)s AND report IS NULL
    AND capability_id IN (SELECT capability_id FROM agent))
SELECT capability_id FROM agent"""
KEEP = """UPDATE hitl_agents SET alive_until = now() + %(lease)s
    WHERE capability_id = %(capability_id)s AND key_name IS NOT DISTINCT FROM %(key_name)s"""
FORGET = """DELETE FROM hitl_agents WHERE capability_id = %s
    AND (key_name IS NOT DISTINCT FROM %s OR %s)"""
# Part of what a process hears when it says that it lives.
KNOWN = """(SELECT coalesce(json_agg(json_build_object('capability_id', capability_id,
        'registration', registration, 'is_alive', alive_until > now()) ORDER BY registered_at,
        capability_id), '[]') FROM hitl_agents)"""
ALL = "SELECT " + KNOWN + " AS agents"
LIST = """SELECT capability_id, registration->>'displayName' AS display_name, key_name,
    registered_at, alive_until > now() AS is_alive FROM hitl_agents ORDER BY registered_at"""


async def register(
    conn: Connection,
    capability_id: str,
    registration: Registration,
    home: str,
    key_name: str | None,
) -> bool:
    """Return whether the agent is that key's, and registered now."""
    values = {
        "capability_id": capability_id,
        "registration": registration.write_json().decode(),
        "key_name": key_name,
        "home": home,
        "lease": LEASE,
    }
    return (await (await conn.execute(REGISTER, values)).fetchone()) is not None


async def find_all(conn: Connection) -> tuple[RegisteredAgent, ...]:
    rows = await (await conn.execute(ALL)).fetchall()
    return read_known(rows[0]["agents"])


async def list_all(conn: Connection) -> list[ShownAgent]:
    """Return them as they are shown, in the order of their first registration."""
    return [
        ShownAgent(
            capabilityId=row["capability_id"],
            displayName=row["display_name"],
            key=row["key_name"],
            registeredAt=row["registered_at"],
            isAlive=row["is_alive"],
        )
        for row in await (await conn.execute(LIST)).fetchall()
    ]


async def keep_alive(conn: Connection, capability_id: str, key_name: str | None) -> bool:
    """Note that the agent was heard of. Return whether that key has registered it."""
    values = {"capability_id": capability_id, "key_name": key_name, "lease": LEASE}
    return (await conn.execute(KEEP, values)).rowcount > 0


async def forget(
    conn: Connection, capability_id: str, key_name: str | None, *, of_any_key: bool
) -> bool:
    """Return whether there was such an agent."""
    return (await conn.execute(FORGET, (capability_id, key_name, of_any_key))).rowcount > 0


def read_known(rows: Sequence[dict[str, Any]]) -> tuple[RegisteredAgent, ...]:
    """Read what KNOWN returns."""
    return tuple(
        RegisteredAgent(
            row["capability_id"], Registration.read(row["registration"]), row["is_alive"]
        )
        for row in rows
    )
