"""Cycles a second behind PgBouncer in transaction mode, beside the same server without it.

python -m tests.bench.pooled [--rounds N] [--seconds S]

Both run by turns in short bursts, on one Postgres, with a database each: ratios are what counts.
"""

import argparse
import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from statistics import median

from tests.bench.race import (
    BENCH,
    Burst,
    Racer,
    answer_here,
    burst,
    join,
    list_medians,
    make_database,
    never_ask_here,
    read_cpu,
    say,
    start_here,
    until_up,
)
from tests.pooler import pooling
from tests.processes import serving
from tests.temporary import temporary_postgres

CONCURRENCIES = (1, 16)
HEAD = """
| at once | | cycles/s | ms to the question | ms to the end | server, ms of CPU | Postgres, ms \
| ratio of cycles/s |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


@contextmanager
def started(name: str, database_url: str, **settings: str) -> Generator[Racer]:
    agents = f"{BENCH / 'asking.py'}:asks,{BENCH / 'asking.py'}:silent"
    with serving(database_url, HITL_AGENTS=agents, **settings) as server:
        port = int(server.url.rpartition(":")[2])
        acts = start_here, answer_here, never_ask_here
        yield Racer(name, port, server.process.pid, database_url, *acts)


async def race(rounds: int, seconds: float) -> None:
    with temporary_postgres() as postgres:
        direct_url, pooled_url = (make_database(postgres.start()) for _ in range(2))
        postmaster = int((postgres.cluster / "postmaster.pid").read_text().split()[0])
        with (
            pooling(pooled_url) as pooler,
            started("behind PgBouncer", pooler.url, HITL_LISTEN_URL=pooled_url) as pooled,
            started("direct", direct_url) as direct,
        ):
            racers = (pooled, direct)
            for racer in racers:
                await until_up(racer)
                await burst(racer, 4, 2, postmaster)  # warm
            say(HEAD)
            for concurrency in CONCURRENCIES:
                bursts: dict[str, list[Burst]] = {racer.name: [] for racer in racers}
                lender = pooled._replace(pid=pooler.pid)
                before = read_cpu(lender, postmaster)[0]
                for number in range(rounds):
                    for racer in racers if number % 2 else reversed(racers):
                        one = await burst(racer, concurrency, seconds, postmaster)
                        bursts[racer.name].append(one)
                spent = read_cpu(lender, postmaster)[0] - before
                print_bursts(concurrency, bursts)
                cycles = sum(one.a_second * seconds for one in bursts[pooled.name])
                say(f"| {concurrency} | PgBouncer itself | | | | {1000 * spent / cycles:.3g} | | |")


def print_bursts(concurrency: int, bursts: dict[str, list[Burst]]) -> None:
    pairs = zip(*bursts.values(), strict=True)
    ratios = sorted(pooled.a_second / direct.a_second for pooled, direct in pairs)
    ratio = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    for name, some in bursts.items():
        say(f"| {concurrency} | {name} | {join(list_medians(some))} | {ratio} |")
        ratio = ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Race behind PgBouncer, and without it.")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    asyncio.run(race(given.rounds, given.seconds))


if __name__ == "__main__":
    main()
