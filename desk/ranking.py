"""What weighs most: points for an audience, and links for a reader."""

import re
from collections.abc import Iterable

from hitl_orchestrator.desk.audiences import Audience
from hitl_orchestrator.desk.claims import figures
from hitl_orchestrator.desk.facets import Link, PointKind
from hitl_orchestrator.desk.source import Point

_KINDS: dict[PointKind, int] = {
    "security": 60,
    "breaking": 60,
    "new": 50,
    "improved": 40,
    "other": 35,
    "removed": 30,
    "deprecated": 30,
    "fixed": 25,
}
FOR_AUDIENCE, WITH_FIGURE, IN_BOLD = 20, 6, 6

_MAINTAINERS = re.compile(
    r"/(?:pull|pulls|issues|commit|commits|compare|actions)(?:/|$)|shields\.io|badge"
    r"|keepachangelog|semver\.org",
    re.I,
)
_NEXT_STEPS = (
    (4, r"migrat|upgrad"),
    (3, r"release notes|what['’]?s[- ]new|\bblog\b|announc|regist"),
    (2, r"\bdocs?\b|documentation|guide|learn|get started|download|install"),
    (1, r"changelog|releases?/"),
)


def ranked(points: Iterable[Point], audience: Audience) -> list[Point]:
    """The points by weight; what weighs the same stays in the source's order.

    What endangers or breaks comes first, then what is new, improved, of no known kind, going away,
    fixed. A point for the audience gets so much more that its fixes stand above what is improved
    for others. A figure, or a beginning in bold, decides among the like. The project's own business
    is told only if there is nothing else.
    """
    points = list(points)
    worth_telling = [point for point in points if point.kind != "internal"] or points
    return sorted(worth_telling, key=lambda point: _weight(point, audience), reverse=True)


def _weight(point: Point, audience: Audience) -> int:
    kind = _KINDS.get(point.kind, 0)
    return (
        kind
        + FOR_AUDIENCE * bool(audience.cues.search(point.text))
        + WITH_FIGURE * bool(figures(point.text))
        + IN_BOLD * point.lead
    )


def useful(links: Iterable[Link]) -> list[Link]:
    """Where a reader wants to go next comes first; where only maintainers go is left out."""
    return sorted(
        (link for link in links if not _MAINTAINERS.search(link.url)), key=_usefulness, reverse=True
    )


def _usefulness(link: Link) -> int:
    return next(
        (
            worth
            for worth, pattern in _NEXT_STEPS
            if re.search(pattern, f"{link.text} {link.url}", re.I)
        ),
        0,
    )
