"""The bench as a picture: python -m tests.bench.plot FOUND.json PICTURE.svg

Plain SVG: three panels, of what was measured.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log10
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 300, 46, 40, 46
GAP = 24
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#9c6b4e", "#97bbf5")
GREY, INK = "#c8c8c8", "#222222"
OVER = 1.2  # of the growth that is allowed


class Panel(NamedTuple):
    """A place on the picture. `x` and `y` run from 0 to 1, upward."""

    number: int
    title: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - 10, HEIGHT - TOP - BOTTOM
        left = self.number * (WIDTH + GAP) + LEFT
        return left + x * wide, TOP + (1 - y) * high

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.5) -> str:
        placed = [self.at(*point) for point in points]
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        return f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    def text(self, x: float, y: float, words: str, more: str = "") -> str:
        left, top = self.at(x, y)
        return f'<text x="{left:.1f}" y="{top:.1f}" fill="{INK}" {more}>{escape(words)}</text>'

    def frame(self, top: float, ticks: Sequence[float]) -> Iterator[str]:
        yield self.text(0, 1.09, self.title, 'font-weight="bold" font-size="13"')
        for tick in ticks:
            yield self.line([(0, tick / top), (1, tick / top)], GREY, 0.6)
            yield self.text(-0.02, tick / top - 0.015, f"{tick:g}", 'text-anchor="end"')


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def draw(found: Mapping[str, Any]) -> str:
    drawings: Mapping[str, Callable[[int, Any], Iterator[str]]] = {
        "race": draw_race,
        "questions": draw_questions,
        "growth": draw_growth,
    }
    there = [name for name in drawings if name in found]
    parts = list[str]()
    for number, name in enumerate(there):
        parts += drawings[name](number, found[name])
    width, height = (WIDTH + GAP) * len(there), HEIGHT + 150
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def draw_race(number: int, found: Any) -> Iterator[str]:
    """Draw the median of each ratio to the server written by hand, and its spread."""
    panel = Panel(number, "runs a second: times a server written by hand")
    ratios: Mapping[str, Sequence[float]] = {
        name: one["ratios"] for name, one in found["bursts"].items()
    }
    top = 1.1 * max(1.0, *(max(some) for some in ratios.values()))
    yield from panel.frame(top, list_ticks(top))
    yield panel.line([(0, 1 / top), (1, 1 / top)], INK, 1)
    for place, (name, some) in enumerate(ratios.items()):
        x, middle = (place + 0.5) / len(ratios), median(some)
        corners = [(x - 0.05, 0), (x - 0.05, middle / top), (x + 0.05, middle / top), (x + 0.05, 0)]
        yield panel.line(corners, COLOURS[0], 2)
        yield panel.line([(x, min(some) / top), (x, max(some) / top)], COLOURS[2], 2)
        yield panel.text(x, max(some) / top + 0.02, f"{middle:.2f}", 'text-anchor="middle"')
        what, at_once = name.split(", ")
        yield panel.text(x, -0.07, at_once, 'text-anchor="middle"')
        yield panel.text(x, -0.13, what, 'text-anchor="middle"')


def draw_questions(number: int, found: Any) -> Iterator[str]:
    """Draw what each question of one run took."""
    panel = Panel(number, "ms of each question of one run")
    series: dict[str, Sequence[float]] = {}
    for name, one in found.items():
        series[name] = [*one["ms of each"].values()]
    top = 1.1 * max(map(max, series.values()))
    yield from panel.frame(top, list_ticks(top))
    for colour, some in zip(COLOURS, series.values(), strict=False):
        points = [(place / (len(some) - 1), ms / top) for place, ms in enumerate(some)]
        yield panel.line(points, colour)
    yield panel.text(0, -0.07, "the first")
    count = max(map(len, series.values()))
    yield panel.text(1, -0.07, f"number {count}", 'text-anchor="end"')
    yield from write_legend(panel, [*series])


def draw_growth(number: int, found: Any) -> Iterator[str]:
    """Draw each call's median as a ratio to the one with the fewest runs."""
    panel = Panel(number, "calls: times what they take with the fewest runs")
    calls: Mapping[str, Mapping[str, Mapping[str, float]]] = found["ms of calls"]
    sizes = [*next(iter(calls.values()))]
    series = {name: list_growth(times, sizes) for name, times in calls.items()}
    top = 1.1 * max(2 * OVER, *(max(some) for some in series.values()))
    yield from panel.frame(top, list_ticks(top))
    yield panel.line([(0, OVER / top), (1, OVER / top)], INK, 1)
    places = [log10(int(runs)) for runs in sizes]
    wide = places[-1] - places[0] or 1
    xs = [(place - places[0]) / wide for place in places]
    for x, runs in zip(xs, sizes, strict=True):
        yield panel.text(x, -0.07, f"{int(runs):,}", 'text-anchor="middle"')
    worst = sorted(series, key=lambda name: -series[name][-1])[: len(COLOURS)]
    for name, some in series.items():
        colour = COLOURS[worst.index(name)] if name in worst else GREY
        yield panel.line([(x, y / top) for x, y in zip(xs, some, strict=True)], colour)
    names = [f"{name} ({series[name][-1]:.2f})" for name in worst]
    yield from write_legend(panel, names)


def list_growth(times: Mapping[str, Mapping[str, float]], sizes: Sequence[str]) -> list[float]:
    return [times[runs]["middle"] / times[sizes[0]]["middle"] for runs in sizes]


def list_ticks(top: float) -> list[float]:
    """Return about five round numbers up to there."""
    step = 10 ** int(log10(top) + 1) / 10
    while top / step > 8:
        step *= 2
    while top / step < 3:
        step /= 2
    return [step * number for number in range(int(top / step) + 1)]


def write_legend(panel: Panel, names: Sequence[str]) -> Iterator[str]:
    for place, (colour, name) in enumerate(zip(COLOURS, names, strict=False)):
        y = -0.2 - 0.065 * (place)
        yield panel.line([(0, y + 0.015), (0.05, y + 0.015)], colour, 3)
        yield panel.text(0.07, y, name)


def main() -> None:
    found, picture = (Path(name) for name in sys.argv[1:3])
    picture.write_text(draw(json.loads(found.read_text())))


if __name__ == "__main__":
    main()
