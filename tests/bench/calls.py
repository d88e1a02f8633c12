"""Calls of functions a cycle, by the room or the library that they are of: here and by hand.

python -m tests.bench.calls [--cycles N] [--at-once N]

They do not scatter with what the machine does beside. What is called of Python's own C code counts
for who calls it.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import runpy
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.race import (
    BENCH,
    Racer,
    answer_by_hand,
    answer_here,
    connected,
    make_database,
    never_ask_by_hand,
    never_ask_here,
    say,
    start_by_hand,
    start_here,
    until_up,
)
from tests.processes import API_KEY, HITL, find_free_port, running
from tests.temporary import temporary_postgres

CYCLES, AT_ONCE = 320, 16
WARM = 64
OURS = "hitl_orchestrator/"
HERE, BY_HAND = "here", "by hand"


def count_calls(name: str, cycles: int, at_once: int, postgres_url: str) -> Counter[str]:
    """Return the calls of a cycle, by room."""
    port = find_free_port()
    database_url = make_database(postgres_url)
    environment = {
        "DATABASE_URL": database_url,
        "API_KEY": API_KEY,
        "PORT": str(port),
        "HITL_AGENTS": f"{BENCH / 'asking.py'}:asks",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with TemporaryDirectory() as folder:
        out = Path(folder) / "stats"
        server = running(
            "-m",
            __spec__.name,
            *("--serve", str(out), name),
            environment=environment,
            says="",
            program=Path(sys.executable),
        )
        with server as found:
            acts = (start_here, answer_here, never_ask_here)
            if name == BY_HAND:
                acts = (start_by_hand, answer_by_hand, never_ask_by_hand)
            racer = Racer(name, port, found.process.pid, database_url, *acts)
            asyncio.run(cycle(racer, WARM, at_once))
            found.send(signal.SIGUSR1)
            asyncio.run(cycle(racer, cycles, at_once))
            found.send(signal.SIGUSR1)
            while not out.exists():
                time.sleep(0.1)
            return sort_into_rooms(vars(pstats.Stats(str(out)))["stats"], cycles)


async def cycle(racer: Racer, cycles: int, at_once: int) -> None:
    await until_up(racer)
    async with connected(racer, at_once) as clients:

        async def repeat(client: Any) -> None:
            for _ in range(cycles // at_once):
                await racer.answer(client, await racer.start(client))

        await asyncio.gather(*map(repeat, clients))


def sort_into_rooms(stats: Mapping[tuple[str, int, str], Any], cycles: int) -> Counter[str]:
    calls = Counter[str]()
    for (file, _, _), (_, number, _, _, callers) in stats.items():
        if file != "~":
            calls[find_room(file)] += number
            continue
        for (caller, _, _), (count, *_) in callers.items():
            calls[find_room(caller)] += count
    return Counter({room: round(number / cycles) for room, number in calls.items()})


def find_room(file: str) -> str:
    if OURS in file:
        return "our " + file.partition(OURS)[2].partition("/")[0]
    if "site-packages/" in file:
        return file.partition("site-packages/")[2].partition("/")[0]
    return "asyncio" if "/asyncio/" in file else "Python's own"


def serve(out: str, name: str) -> None:
    """Serve, and write down what is called between two signals."""
    profile = cProfile.Profile()
    to_do = iter((profile.enable, lambda: write(profile, out)))

    def do_next(*_: object) -> None:
        next(to_do)()

    signal.signal(signal.SIGUSR1, do_next)
    if name == HERE:
        sys.argv = [str(HITL), "serve"]
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.argv = ["baseline", os.environ["DATABASE_URL"], os.environ["PORT"]]
        runpy.run_module("tests.bench.baseline", run_name="__main__")


def write(profile: cProfile.Profile, out: str) -> None:
    profile.disable()
    profile.dump_stats(f"{out}.part")
    Path(f"{out}.part").rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the calls of a cycle.")
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve)
        return
    with temporary_postgres() as postgres:
        url = postgres.start()
        found = [count_calls(name, given.cycles, given.at_once, url) for name in (HERE, BY_HAND)]
    say(f"| calls a cycle | {HERE} | {BY_HAND} |\n| --- | ---: | ---: |")
    rooms = sorted(found[0] | found[1], key=lambda room: -max(each[room] for each in found))
    for room in rooms:
        say(f"| {room} | {found[0][room]} | {found[1][room]} |")
    say(f"| all | {found[0].total()} | {found[1].total()} |")


if __name__ == "__main__":
    main()
