"""Faults at random, for as long as you like, under a crowd: half of the time servers that drive by
themselves, half of it with the queue.

python -m tests.faults.soak MINUTES
"""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import asyncio
import platform
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.faults.crowd import Crowd, Verdict
from tests.faults.fleet import Place, server, worker
from tests.faults.forked import finished
from tests.temporary import temporary_postgres

CLIENTS = 8
MOST_SECONDS_BETWEEN_FAULTS = 2.0
FROZEN_SECONDS = 3.0  # twice the claim

Fault = Callable[[], Awaitable[object]]


class Soaked(NamedTuple):
    dispatch: str
    seconds: float
    faults: Counter[str]
    refused: int
    verdict: Verdict
    audit: str

    @property
    def well(self) -> bool:
        return self.audit.endswith("all whole") and not (
            self.verdict.lost or self.verdict.twice or self.verdict.unfinished
        )

    def row(self) -> str:
        verdict = self.verdict
        counts = [
            verdict.runs,
            verdict.answers,
            verdict.repeated,
            len(verdict.lost),
            len(verdict.twice),
            len(verdict.unfinished),
        ]
        faults = ", ".join(f"{count} × {fault}" for fault, count in sorted(self.faults.items()))
        return (
            "| "
            + " | ".join(
                [
                    self.dispatch,
                    f"{self.seconds:.0f}",
                    faults,
                    str(self.refused),
                    *map(str, counts),
                    self.audit,
                ]
            )
            + " |"
        )


HEAD = (
    "| dispatch | seconds | faults | calls refused (503) | runs | answers | nodes run again "
    "| lost | twice | not ended | audit |\n"
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)


async def soak(dispatch: str, seconds: float, postgres: EmbeddedPostgres) -> Soaked:
    database_url, log = postgres.start(), postgres.folder / "work.log"
    faults, began = Counter[str](), time.monotonic()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(server(database_url, log, HITL_DISPATCH=dispatch)) for _ in range(2)
        ]
        workers = [
            stack.enter_context(worker(database_url, log)) for _ in range(2) if dispatch == "queue"
        ]
        crowd = Crowd([place.url for place in servers])
        async with crowd.living(CLIENTS), asyncio.TaskGroup() as meanwhile:
            deck = list[tuple[str, Fault]]()
            while time.monotonic() < began + seconds:
                await asyncio.sleep(random.random() * MOST_SECONDS_BETWEEN_FAULTS)  # noqa: S311
                deck = deck or random.sample(
                    cards := _faults(servers, workers, postgres, meanwhile), len(cards)
                )
                name, strike = deck.pop()
                await strike()
                faults[name] += 1
        verdict = crowd.verdict(log)
        _, audit = finished(database_url, "audit", "verify")
    return Soaked(
        dispatch, time.monotonic() - began, faults, crowd.refused, verdict, audit.splitlines()[-1]
    )


def _faults(
    servers: list[Place],
    workers: list[Place],
    postgres: EmbeddedPostgres,
    meanwhile: asyncio.TaskGroup,
) -> list[tuple[str, Fault]]:
    async def kill_postgres() -> None:
        pid = (postgres.cluster / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(postgres.start)  # its guard starts it; this waits for it

    async def freeze(place: Place) -> None:
        meanwhile.create_task(place.freeze(FROZEN_SECONDS))

    found: list[tuple[str, Fault]] = [("Postgres killed", kill_postgres)]
    for kind, places in ("server", servers), ("worker", workers):
        for place in places:
            found += [(f"{kind} killed", place.kill)] * 2
            found += [
                (f"{kind} frozen", partial(freeze, place)),
                (f"{kind} told to end", place.terminate),
            ]
    return found


async def main(minutes: float) -> bool:
    rows = list[Soaked]()
    for dispatch in ("inline", "queue"):
        with temporary_postgres() as postgres:
            rows.append(await soak(dispatch, minutes * 60 / 2, postgres))
    on = f"Python {platform.python_version()}, {os.cpu_count()} cores, {CLIENTS} clients."
    sys.stdout.write("\n".join([HEAD, *(row.row() for row in rows), "", on, ""]))
    for row in rows:
        if not row.well:
            sys.stderr.write(f"{row.dispatch}: {row.verdict} {row.audit}\n")
    return all(row.well for row in rows)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(float(sys.argv[1]))) else 1)
