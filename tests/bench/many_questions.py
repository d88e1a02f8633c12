"""One run that asks many questions one after another: what each takes, and costs in CPU.

python -m tests.bench.many_questions [--rounds 3]

Twice: by a graph that comes back to its node, and by a function that asks in a loop, which
LangGraph calls from its top with all answers so far.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from tests.bench.asking_many import QUESTIONS
from tests.bench.http import Client, Json
from tests.bench.race import read_cpu_of_process
from tests.processes import API_KEY, Running, serving
from tests.temporary import temporary_postgres

ROUNDS = 3
RANGES = {"first ten": (0, 10), "fiftieth to sixtieth": (49, 60), "last ten": (-10, None)}
HEAD = """
| | questions | ms | of the first ten | server, ms of CPU | of the first ten | bytes of a reply \
|
| --- | --- | ---: | ---: | ---: | ---: | ---: |
"""


class Cost(NamedTuple):
    """Of one question: from its answer to the next. `reply_bytes`: what the caller is sent."""

    ms: float
    cpu_ms: float
    reply_bytes: float


async def ask_many(server: Running, output: str) -> list[Cost]:
    costs = list[Cost]()
    async with Client(int(server.url.rpartition(":")[2]), API_KEY) as client:
        body = {"objective": "Ask", "outputs": [output], "maxHitlRequests": QUESTIONS}
        run = await client.post("/api/runs?wait=60&history=false", body)
        while run["status"] == "awaiting_hitl":
            began, spent = time.monotonic(), read_cpu_of_process(server.process.pid)
            run = await answer(client, run)
            spent = read_cpu_of_process(server.process.pid) - spent
            took = time.monotonic() - began
            costs.append(Cost(1000 * took, 1000 * spent, len(json.dumps(run))))
    assert run["status"] == "completed", run
    assert len(costs) == QUESTIONS
    return costs


async def answer(client: Client, run: Json) -> Json:
    asked = run["pendingRequestId"]
    answer = {"requestId": asked, "approved": True}
    body = {"runId": run["runId"], "requestId": asked, "responses": [answer]}
    return (await client.post("/api/hitl/resume?wait=60&history=false", body))["run"]


def print_costs(name: str, costs: Sequence[Cost]) -> None:
    means = {what: average(costs[slice(*where)]) for what, where in RANGES.items()}
    first = means["first ten"]
    for what, one in means.items():
        cells = [name, what, f"{one.ms:.1f}", f"{one.ms / first.ms:.2f}", f"{one.cpu_ms:.1f}"]
        cells += [f"{one.cpu_ms / first.cpu_ms:.2f}", f"{one.reply_bytes:.0f}"]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def average(costs: Sequence[Cost]) -> Cost:
    """Return medians, of CPU the mean: it is told in steps of 10 ms."""
    times, spent, sizes = zip(*costs, strict=True)
    return Cost(median(times), mean(spent), median(sizes))


async def measure(server: Running, rounds: int) -> Json:
    """Return, by who asks, what each question took."""
    found: Json = {}
    for name, output in (("a graph", "asked"), ("a function", "looped")):
        many = [await ask_many(server, output) for _ in range(rounds)]
        costs = [average(ones) for ones in zip(*many, strict=True)]
        print_costs(name, costs)
        found[name] = {
            what: average(costs[slice(*where)])._asdict() for what, where in RANGES.items()
        }
        found[name]["ms of each"] = {str(number): one.ms for number, one in enumerate(costs, 1)}
    return found


def measure_all(rounds: int) -> Json:
    file = Path(__file__).with_name("asking_many.py")
    agents = f"{file}:by_graph,{file}:by_function"
    sys.stdout.write(HEAD)
    with (
        temporary_postgres() as postgres,
        serving(postgres.start(), HITL_AGENTS=agents) as server,
    ):
        return asyncio.run(measure(server, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    measure_all(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
