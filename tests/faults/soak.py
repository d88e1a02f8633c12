"""Faults at random, for as long as you like, under a crowd: half of the time servers that drive by
themselves, half of it with the queue.

python -m tests.faults.soak MINUTES
"""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import asyncio
import platform
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from psycopg import OperationalError

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.faults.crowd import Crowd, Verdict
from tests.faults.evidence import find_strangers, keep_stories
from tests.faults.fleet import QUICK, Place, open_server, open_worker
from tests.faults.forked import finished
from tests.faults.listeners import Listener, find_missed, listening
from tests.faults.proxy import proxied
from tests.faults.strikes import (
    FIRST,
    LEASE_SECONDS,
    MAX_ATTEMPTS,
    RENAMED,
    Member,
    NotNow,
    Site,
    Strike,
    deploy,
    set_up_jumps,
    shuffle,
    tell_to_end,
)
from tests.faults.test_leases import JUMPING
from tests.temporary import temporary_postgres

CLIENTS, LISTENERS = 8, 3
MOST_SECONDS_BETWEEN_FAULTS = 3.0
MOST_AT_ONCE = 4
SECONDS_BETWEEN_ENDS = 10.0  # one process is told to end
LEAST_ENDS_A_MINUTE = 5
PATIENCE_SECONDS = 60.0  # after the last fault all runs have ended
PROGRESS_SECONDS = 30.0
END_SECONDS = float(QUICK["HITL_DRAIN_SECONDS"]) + 5
SETTINGS = {
    "HITL_CLAIM_SECONDS": str(LEASE_SECONDS),
    "HITL_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "HITL_RETENTION_DAYS": "1",
    "HITL_KEEP_HISTORY_DAYS": "0.00001",  # a second
}
HEAD = {
    "dispatch": "---",
    "seconds": "---:",
    "faults": "---",
    "told to end (slowest, s)": "---:",
    "refused: 503": "---:",
    "held: 409": "---:",
    "runs": "---:",
    "answers": "---:",
    "put aside": "---:",
    "nodes run again": "---:",
    "frames × listeners": "---:",
    "last run ended after, s": "---:",
    "lost": "---:",
    "twice": "---:",
    "not ended": "---:",
    "audit": "---",
}


@dataclass
class Soaked:
    dispatch: str
    seconds: float
    faults: Counter[str]
    crowd: Crowd
    verdict: Verdict
    told: list[tuple[int, float]]
    listeners: list[Listener]
    missed: list[int]
    strangers: list[str]
    last_seconds: float
    audit: str

    def list_wrongs(self) -> list[str]:
        """Return what should not be, in words."""
        verdict = self.verdict
        late = [told for told in self.told if told[1] > END_SECONDS]
        again = [listener.list_twice() for listener in self.listeners]
        said = [listener.surprises for listener in self.listeners]
        found = {
            "lost": verdict.lost,
            "twice": verdict.twice,
            "not ended rightly": verdict.unfinished,
            "said to clients": verdict.surprises,
            "runs nobody started": self.strangers,
            "ended late (code, seconds)": late,
            "told to end too seldom": self._count_missing_ends(),
            "frames again": [numbers for numbers in again if numbers],
            "frames missed": self.missed,
            "said to listeners": [each for each in said if each],
            "audit": [] if self.audit.endswith("all whole") else [self.audit],
        }
        return [f"{self.dispatch}: {what}: {which}" for what, which in found.items() if which]

    def _count_missing_ends(self) -> int:
        return max(0, int(self.seconds / 60 * LEAST_ENDS_A_MINUTE) - len(self.told))

    def row(self) -> str:
        verdict = self.verdict
        slowest = max((seconds for _, seconds in self.told), default=0.0)
        frames = max(len(listener.numbers) for listener in self.listeners)
        return format_row(
            self.dispatch,
            f"{self.seconds:.0f}",
            ", ".join(f"{count} × {fault}" for fault, count in sorted(self.faults.items())),
            f"{len(self.told)} ({slowest:.1f})",
            self.crowd.refused,
            self.crowd.held,
            verdict.runs,
            verdict.answers,
            verdict.errands,
            verdict.repeated,
            f"{frames} × {len(self.listeners)}",
            f"{self.last_seconds:.0f}",
            len(verdict.lost),
            len(verdict.twice) + len(self.strangers),
            len(verdict.unfinished),
            self.audit,
        )


def format_row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


async def soak(dispatch: str, seconds: float, postgres: EmbeddedPostgres, folder: Path) -> Soaked:
    database_url, log, faults = postgres.start(), folder / "work.log", Counter[str]()
    await set_up_jumps(database_url, JUMPING)
    async with AsyncExitStack() as stack:
        members = await open_members(stack, database_url, dispatch, log)
        servers = [member.place.url for member in members if member.kind == "server"]
        crowd = Crowd(servers, answered_at=[*servers])
        site = Site(postgres, database_url, members, crowd, servers, log)
        began = last_fault = time.monotonic()
        async with (
            listening([*servers], LISTENERS) as listeners,
            reviving([member.place for member in members]),
        ):
            async with (
                crowd.living(CLIENTS, PATIENCE_SECONDS),
                telling(lambda: describe(dispatch, began, faults, crowd)),
            ):
                await strike(site, began + seconds, faults)
                await heal(site)
                last_fault = time.monotonic()
            last_seconds = time.monotonic() - last_fault
            missed = await find_missed(database_url, listeners)
        verdict = crowd.verdict(log)
        known = [*crowd.runs, *(errand.run_id for errand in crowd.errands)]
        strangers = await find_strangers(database_url, known)
        bad = [*verdict.lost, *verdict.twice, *verdict.unfinished, *strangers]
        await keep_stories(database_url, bad, folder)
        _, audit = await asyncio.to_thread(finished, database_url, "audit", "verify")
    faults["COMMIT unanswered"] = sum(loss.happened.is_set() for loss in site.losses)
    del faults["COMMIT to go unanswered"]
    return Soaked(
        dispatch,
        time.monotonic() - began,
        faults,
        crowd,
        verdict,
        [told for member in members for told in member.place.told],
        listeners,
        missed,
        strangers,
        last_seconds,
        audit.splitlines()[-1],
    )


async def open_members(
    stack: AsyncExitStack, database_url: str, dispatch: str, log: Path
) -> list[Member]:
    """Two servers, and two workers if there is a queue, each with its own way to the database."""
    found = list[Member]()
    kinds = ["server"] * 2 + ["worker"] * (2 if dispatch == "queue" else 0)
    for number, kind in enumerate(kinds):
        proxy, url = await stack.enter_async_context(proxied(database_url))
        keep = log.with_name(f"{kind}-{number}")
        settings = SETTINGS | ({"HITL_DISPATCH": dispatch} if kind == "server" else {})
        opened = open_server if kind == "server" else open_worker
        # in a thread: the proxy lives in this loop
        place = await asyncio.to_thread(opened, url, log, settings, FIRST, keep)
        stack.callback(place.close)
        found.append(Member(kind, place, proxy))
    return found


async def strike(site: Site, until: float, faults: Counter[str]) -> None:
    """One after the other until then, while a few of those before may go on."""
    free = asyncio.Semaphore(MOST_AT_ONCE)

    async def do(each: Strike) -> None:
        try:
            await each.fault(site)
        except (NotNow, OperationalError):  # no database at this moment
            return
        finally:
            free.release()
        faults[each.name] += 1

    async with asyncio.TaskGroup() as striking:
        deck, ends_at = list[Strike](), time.monotonic()
        while time.monotonic() < until:
            await asyncio.sleep(random.random() * MOST_SECONDS_BETWEEN_FAULTS)  # noqa: S311
            if time.monotonic() > ends_at:
                ends_at += SECONDS_BETWEEN_ENDS
                striking.create_task(tell_to_end(site))
            deck = deck or shuffle()
            await free.acquire()
            striking.create_task(do(deck.pop()))


async def heal(site: Site) -> None:
    """No fault goes on; and of who drives one has the renamed node, where questions may wait."""
    for member in site.members:
        member.proxy.breaks.clear()
    await deploy(site.drivers[-1:], RENAMED)


@asynccontextmanager
async def reviving(places: list[Place]) -> AsyncGenerator[None]:
    """Another process follows each that dies by itself."""

    async def revive(place: Place) -> None:
        while True:
            async with place.lock:
                await place.revive()
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(revive(place)) for place in places]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def telling(describe: Callable[[], str]) -> AsyncGenerator[None]:
    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            sys.stderr.write(f"{describe()}\n")

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()


def describe(dispatch: str, began: float, faults: Counter[str], crowd: Crowd) -> str:
    return (
        f"{dispatch}, {time.monotonic() - began:.0f} s: {faults.total()} faults,"
        f" {len(crowd.ended)} of {len(crowd.runs)} runs ended,"
        f" {crowd.refused} × 503, {crowd.held} × held, {len(crowd.surprises)} surprises"
    )


async def main(minutes: float) -> bool:
    folder = Path(mkdtemp(prefix="hitl-soak-"))
    sys.stderr.write(f"What the processes say is in {folder}\n")
    rows = list[Soaked]()
    for dispatch in ("inline", "queue"):
        (folder / dispatch).mkdir()
        with temporary_postgres() as postgres:
            rows.append(await soak(dispatch, minutes * 60 / 2, postgres, folder / dispatch))
    on = f"Python {platform.python_version()}, {os.cpu_count()} cores, {CLIENTS} clients."
    head = [format_row(*HEAD), format_row(*HEAD.values())]
    sys.stdout.write("\n".join([*head, *(row.row() for row in rows), "", on, ""]))
    wrongs = [wrong for row in rows for wrong in row.list_wrongs()]
    sys.stderr.write("".join(f"{wrong}\n" for wrong in wrongs))
    if not wrongs:
        shutil.rmtree(folder)
    return not wrongs


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(float(sys.argv[1]))) else 1)
