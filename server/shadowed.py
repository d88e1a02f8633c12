"""Our packages have plain names; a module of the same name elsewhere on sys.path would be imported in their place, or ours in its.

Run by its path with `python -P`, this file notices that of `server` too, which from inside `server` would be too late.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("domain", "graph", "nodes", "checkpoints", "server")
HOUSE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Shadow:
    name: str
    ours: Path
    other: Path

    def __str__(self) -> str:
        return (
            f"Two modules are called {self.name!r}: ours, {self.ours}, and {self.other}. "
            "Take the other one off PYTHONPATH, start from another folder, or uninstall the package it came with."
        )


def shadowed_packages(path: Sequence[str] | None = None) -> list[Shadow]:
    """Modules on `path` (default: sys.path) named like one of ours, before or after it."""
    entries = sys.path if path is None else path
    return [Shadow(name, HOUSE / name, other) for name in PACKAGES for other in dict.fromkeys(_others(name, entries))]


def _others(name: str, entries: Sequence[str]) -> Iterator[Path]:
    for entry in entries:
        spec = PathFinder.find_spec(name, [entry])
        # A folder without __init__.py has no origin; a package anywhere on the path wins over it.
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin).resolve()
        found = origin.parent if spec.submodule_search_locations else origin
        if found != HOUSE / name:
            yield found


if __name__ == "__main__":
    sys.exit("\n".join(map(str, shadowed_packages())) or None)
