"""The plan as a picture: its steps by the waves in which they can run, drawn as SVG."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.plan import Step

STEP_WIDTH, STEP_HEIGHT = 190, 52
GAP_X, GAP_Y = 60, 18
MARGIN = 8
LONGEST_LABEL = 24  # characters that fit into a step


class Box(NamedTuple):
    step: Step
    x: int
    y: int
    label: str


class Arrow(NamedTuple):
    """From the right edge of one step to the left edge of another. `facets`: what goes along."""

    x1: int
    y1: int
    x2: int
    y2: int
    facets: str


class Picture(NamedTuple):
    width: int
    height: int
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]


def draw_plan(steps: Sequence[Step]) -> Picture:
    """Place each step in the first wave in which all that it takes is made."""
    makers = {name: step.stepId for step in steps for name in step.outputFacets}
    before = {step.stepId: _find_sources(step, makers) for step in steps}
    waves = _find_waves(before)
    boxes = _place(steps, waves)
    places = {box.step.stepId: box for box in boxes}
    arrows = [
        _connect(places[source], places[step.stepId], facets)
        for step in steps
        for source, facets in before[step.stepId].items()
    ]
    width = max((box.x + STEP_WIDTH for box in boxes), default=0) + MARGIN
    height = max((box.y + STEP_HEIGHT for box in boxes), default=0) + MARGIN
    return Picture(width, height, boxes, arrows)


def _find_sources(step: Step, makers: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the facets that it takes of other steps, by the steps."""
    found: dict[str, list[str]] = {}
    for name in (*step.inputFacets, *step.optionalInputFacets):
        if name in makers and makers[name] != step.stepId:
            found.setdefault(makers[name], []).append(name)
    return found


def _find_waves(before: Mapping[str, Mapping[str, list[str]]]) -> dict[str, int]:
    """Return each step's wave. A circle, which no plan has, ends where nothing moves any more."""
    waves = dict.fromkeys(before, 0)
    for _ in before:
        later = {name: _find_wave(sources, waves) for name, sources in before.items()}
        if later == waves:
            break
        waves = later
    return waves


def _find_wave(sources: Iterable[str], waves: Mapping[str, int]) -> int:
    return max((waves[source] + 1 for source in sources), default=0)


def _place(steps: Sequence[Step], waves: Mapping[str, int]) -> list[Box]:
    rows = dict[int, int]()
    boxes: list[Box] = []
    for step in steps:
        wave = waves[step.stepId]
        row = rows.get(wave, 0)
        rows[wave] = row + 1
        x = MARGIN + wave * (STEP_WIDTH + GAP_X)
        y = MARGIN + row * (STEP_HEIGHT + GAP_Y)
        boxes.append(Box(step, x, y, _clip(step.label)))
    return boxes


def _connect(source: Box, target: Box, facets: Sequence[str]) -> Arrow:
    middle = STEP_HEIGHT // 2
    return Arrow(
        source.x + STEP_WIDTH, source.y + middle, target.x, target.y + middle, ", ".join(facets)
    )


def _clip(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
