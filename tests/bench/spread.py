"""Times, summed up so that what a machine does besides shows as little as it can."""

import time
from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """The median, and where the quickest tenth ends; in ms where it is a time."""

    middle: float
    quick: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(median(values), quantiles(values, n=10, method="inclusive")[0])


Found = Mapping[str, Mapping[int, Spread]]  # by what was done, then by the number of runs


class Took:
    """Times by the number of runs."""

    def __init__(self) -> None:
        self._ms: dict[int, list[float]] = {}

    def add(self, runs: int, began: float, ended: float | None = None) -> None:
        """Add from seconds of the monotonic clock. `ended`: now, if it is not given."""
        ended = time.monotonic() if ended is None else ended
        self._ms.setdefault(runs, []).append(1000 * (ended - began))

    def sum_up(self) -> Mapping[int, Spread]:
        return {runs: Spread.of(ms) for runs, ms in self._ms.items()}
