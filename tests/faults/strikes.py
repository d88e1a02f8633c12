"""The faults of the soak: what strikes the processes, their database, and what lies between."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from psycopg import AsyncConnection, sql

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.faults.crowd import AGENTS, Crowd
from tests.faults.fleet import Place
from tests.faults.forked import finished
from tests.faults.proxy import Break, Proxy

LEASE_SECONDS = 1.5
LONGER_THAN_A_LEASE = 2 * LEASE_SECONDS
SLOW_SECONDS, SLOWER_BY_SECONDS = 4.0, 0.03  # for so long, each reply
OTHER_AGENTS_SECONDS = 4.0  # between a deploy and the next one
LEAST_LIFE_SECONDS = 2.0  # between two faults of one process: else nothing is ever at work
MAX_ATTEMPTS = 4

POISON, BLOCKING, COUNTERS = "poison.py:exits", "soaked.py:blocking", AGENTS[:2]
FIRST = (*AGENTS, POISON, BLOCKING)
RENAMED = (*COUNTERS, "soaked.py:joined", POISON, BLOCKING)
OLD = (*COUNTERS, POISON, BLOCKING)  # knows nothing of `joined`

# What stands in a statement of the transactions whose COMMIT is not answered.
TRANSITIONS = (
    "INSERT INTO orchestrator_runs",  # start
    "INSERT INTO hitl_requests",  # pause
    "INSERT INTO hitl_responses",  # answer
    "SET delivered_at",  # delivery, end
    "SET status =",
    "WITH fresh",  # claim of the sweep
    "WITH released",  # claim given back
    "WITH mine",  # heartbeat
    "INSERT INTO checkpoint",
    "hitl_processes",
    "run_events",
)
JUMP = "UPDATE jumped.jump SET by = by + make_interval(mins => %s)"
CUT_OFF = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
# What the crowd has seen the end of is as if of long ago.
AGE = """UPDATE orchestrator_runs SET updated_at = now() - interval '2 days'
    WHERE run_id = ANY(%s)"""


class NotNow(Exception):
    """Such a fault is under way."""


class Member(NamedTuple):
    """A process of the system, and its way to the database."""

    kind: str
    place: Place
    proxy: Proxy


@dataclass
class Site:
    """What is struck. `servers`: the addresses that take any call, at this moment."""

    postgres: EmbeddedPostgres
    database_url: str
    members: list[Member]
    crowd: Crowd
    servers: list[str]
    log: Path
    losses: list[Break] = field(default_factory=list[Break])
    killing: asyncio.Lock = field(default_factory=asyncio.Lock)
    deploying: asyncio.Lock = field(default_factory=asyncio.Lock)

    def choose(self) -> Member:
        """Return one to which nothing happens now, if there is one."""
        free = [member for member in self.members if not member.place.lock.locked()]
        return random.choice(free or self.members)  # noqa: S311

    @property
    def drivers(self) -> list[Member]:
        workers = [member for member in self.members if member.kind == "worker"]
        return workers or self.members

    @asynccontextmanager
    async def deploying_alone(self) -> AsyncGenerator[None]:
        if self.deploying.locked():
            raise NotNow
        async with self.deploying:
            yield

    async def tell(self, statement: str, *values: object) -> None:
        """Execute it, not by way of a proxy."""
        async with await AsyncConnection.connect(self.database_url, autocommit=True) as conn:
            await conn.execute(statement.encode(), values)


async def kill_postgres(site: Site) -> None:
    async with site.killing:
        pid = (site.postgres.cluster / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(site.postgres.start)  # its guard starts it; this waits for it


async def terminate_backends(site: Site) -> None:
    await site.tell(CUT_OFF)


async def jump(site: Site) -> None:
    """Not by a day, all jumps together: an Idempotency-Key is good for no longer."""
    await site.tell(JUMP, random.randint(1, 10))  # noqa: S311


async def lose_reply(site: Site) -> None:
    """Of the next such transaction; the soak counts those that came."""
    pattern = random.choice(TRANSITIONS)  # noqa: S311
    site.losses.append(site.choose().proxy.lose_reply(pattern))


async def cut(site: Site) -> None:
    site.choose().proxy.cut()


async def slow_down(site: Site) -> None:
    proxy = site.choose().proxy
    proxy.delay_seconds = SLOWER_BY_SECONDS
    await asyncio.sleep(SLOW_SECONDS)
    proxy.delay_seconds = 0


async def open_halfway(site: Site) -> None:
    proxy = site.choose().proxy
    proxy.passes.clear()
    await asyncio.sleep(LONGER_THAN_A_LEASE)
    proxy.passes.set()


@asynccontextmanager
async def alone(place: Place) -> AsyncGenerator[None]:
    """Nothing else happens to it meanwhile; and then it has some life."""
    async with place.lock:
        yield
        await asyncio.sleep(LEAST_LIFE_SECONDS)


async def kill(site: Site) -> None:
    place = site.choose().place
    async with alone(place):
        await place.kill()


async def freeze(site: Site) -> None:
    place = site.choose().place
    async with alone(place):
        await place.freeze(LONGER_THAN_A_LEASE)


async def tell_to_end(site: Site) -> None:
    place = site.choose().place
    async with alone(place):
        await place.tell_to_end()


async def deploy_renamed(site: Site) -> None:
    """One after the other gets the agent whose question's node has another name, then back."""
    async with site.deploying_alone():
        await deploy(site.members, RENAMED)
        await asyncio.sleep(OTHER_AGENTS_SECONDS)
        await deploy(site.members, FIRST)


async def deploy_old(site: Site) -> None:
    """One is a process that does not have an agent of the runs; it takes no starts meanwhile."""
    async with site.deploying_alone():
        old = random.choice(site.drivers)  # noqa: S311
        if url := old.place.url:
            site.servers.remove(url)
        await deploy([old], OLD)
        await asyncio.sleep(OTHER_AGENTS_SECONDS)
        await deploy([old], FIRST)
        if url:
            site.servers.append(url)


async def deploy(members: list[Member], agents: tuple[str, ...]) -> None:
    for member in members:
        async with alone(member.place):
            await member.place.deploy(agents)


async def poison(site: Site) -> None:
    """Start a run that kills each process that drives it."""
    site.crowd.send("exits", {"log": str(site.log.with_name("poison.log"))}, "failed")


async def block(site: Site) -> None:
    site.crowd.send("blocked", {"log": str(site.log.with_name("blocked.log"))}, "completed")


async def prune(site: Site) -> None:
    seen = [run["runId"] for run in site.crowd.ended]
    await site.tell(AGE, random.sample(seen, len(seen) // 2))
    await asyncio.to_thread(finished, site.database_url, "prune", "--older-than", "1")


Fault = Callable[[Site], Awaitable[object]]


class Strike(NamedTuple):
    """`share`: how often it comes among the others."""

    name: str
    share: int
    fault: Fault


STRIKES = (
    Strike("process killed", 5, kill),
    Strike("process frozen", 3, freeze),
    Strike("Postgres killed", 2, kill_postgres),
    Strike("backends terminated", 2, terminate_backends),
    Strike("clock forward", 2, jump),
    Strike("COMMIT to go unanswered", 8, lose_reply),
    Strike("connections cut", 3, cut),
    Strike("database slow", 2, slow_down),
    Strike("database half-open", 3, open_halfway),
    Strike("deploy that renames a node, and back", 1, deploy_renamed),
    Strike("process without an agent", 1, deploy_old),
    Strike("poison run", 1, poison),
    Strike("loop blocked", 1, block),
    Strike("prune", 3, prune),
)


def shuffle() -> list[Strike]:
    """Return a deck: each as often as its share says, in any order."""
    cards = [strike for strike in STRIKES for _ in range(strike.share)]
    random.shuffle(cards)
    return cards


async def set_up_jumps(database_url: str, statements: str) -> None:
    """Let `now()` be what the table `jumped.jump` makes of it, in all sessions from now on."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(statements.encode())
        path = sql.SQL("ALTER DATABASE {} SET search_path = jumped, pg_catalog, public")
        await admin.execute(path.format(sql.Identifier(admin.info.dbname)))
