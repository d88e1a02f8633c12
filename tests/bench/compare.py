"""Two runs of the bench beside each other: python -m tests.bench.compare OLD.json NEW.json"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pydantic import JsonValue, TypeAdapter

Place = tuple[str, ...]
Found = dict[str, JsonValue]

read_found = TypeAdapter[Found](Found).validate_json


def flatten(found: JsonValue, place: Place = ()) -> Iterator[tuple[Place, float]]:
    """Yield each number with where it is; where there is a list of them, their median."""
    if isinstance(found, (int, float)):
        yield place, found
    elif isinstance(found, dict):
        for name, value in found.items():
            yield from flatten(value, (*place, name))
    elif isinstance(found, list):
        numbers: dict[Place, list[float]] = {}
        for value in found:
            for at, number in flatten(value, place):
                numbers.setdefault(at, []).append(number)
        for at, some in numbers.items():
            yield at, median(some)


def compare(old: Found, new: Found) -> Iterator[str]:
    """Yield the lines of a table: what both have measured."""
    yield "| | old | new | new / old |\n| --- | ---: | ---: | ---: |"
    before = dict(flatten({**old, "about": None}))
    for place, value in flatten({**new, "about": None}):
        if before.get(place):
            ratio = value / before[place]
            yield f"| {', '.join(place)} | {before[place]:.3g} | {value:.3g} | {ratio:.2f} |"


def main() -> None:
    old, new = (read_found(Path(name).read_bytes()) for name in sys.argv[1:3])
    for name, found in (("old", old), ("new", new)):
        sys.stdout.write(f"{name}: {json.dumps(found['about'])}\n")
    sys.stdout.write("\n")
    for line in compare(old, new):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
