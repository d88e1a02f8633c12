"""A post without a model: the source's own items and sentences, as many as fit, none cut."""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from hitl_orchestrator.desk.channels import Channel
from hitl_orchestrator.desk.document import is_credit, is_release_link
from hitl_orchestrator.desk.facets import Brief, KeyPoint, Post
from hitl_orchestrator.desk.language import phrases_of
from hitl_orchestrator.desk.points import kind_by_itself
from hitl_orchestrator.desk.prose import addresses, beginnings

_RANKS = {"new": 0, "fixed": 1, "changed": 2, "removed": 3, "deprecated": 3, "other": 4}
_LAST = 4  # from this rank on nothing is told where there is no room for all

_TOLD_BY_HEADING = ("breaking", "security", "fixed", "removed", "deprecated")

Taken = dict[int, str]  # the texts of points, by the points' numbers


def extract(brief: Brief, place: Channel) -> Post:
    """Put a post together: every warning, something that was fixed, and what goes first.

    A warning is in whether it fits or not: a post that is too long is an error that is seen.
    """
    points, left = brief.keyPoints, place.points
    taken: Taken = {number: one.text for number, one in enumerate(points) if one.is_urgent}
    if not any(point.kind == "security" for point in points):
        fixed = (number for number, one in enumerate(points) if one.kind == "fixed")
        left -= _take_first(brief, place, taken, fixed)
    for number in _ordered(brief, all_of_them=place.points >= len(points)):
        is_clear = place.has_labels or not (points[number].section or "").endswith((":", "："))
        may_stand = number not in taken and is_clear and _may_follow(points, number, taken)
        if left > 0 and may_stand:
            left -= _take_first(brief, place, taken, [number])
    subject = name_release(brief)[:1000] if place.has_subject else None
    return Post(channel=place.name, text=_render(brief, place, taken), subject=subject)


def name_release(brief: Brief) -> str:
    """Return product and version; what comes before a release is called so."""
    prerelease = phrases_of(brief.language).prerelease
    return f"{brief.headline} ({prerelease})" if brief.prerelease else brief.headline


def _take_first(brief: Brief, place: Channel, taken: Taken, numbers: Iterable[int]) -> int:
    """Take the first of these that fits, whole or by its first sentences. Return how many."""
    for number in numbers:
        for text in beginnings(brief.keyPoints[number].text):
            leads_to_issue = any(map(is_credit, addresses(text)))
            if not leads_to_issue and place.fits(_render(brief, place, taken | {number: text})):
                taken[number] = text
                return 1
    return 0


def _may_follow(points: Sequence[KeyPoint], number: int, taken: Taken) -> bool:
    """Say whether a sentence begins its paragraph, or stands behind one that is in."""
    point, before = points[number], points[number - 1] if number else None
    begins = before is None or before.whole or before.section != point.section
    return point.whole or begins or number - 1 in taken


def _ordered(brief: Brief, all_of_them: bool) -> list[int]:
    """Return the points' numbers: an introduction, what goes first, then of each section one."""
    points = brief.keyPoints
    sections: dict[str | None, list[int]] = {}
    for number, point in enumerate(points):
        sections.setdefault(point.section, []).append(number)
    opening = [number for number in sections.get(None, []) if not points[number].whole]

    def rank(numbers: list[int]) -> int:
        first = points[numbers[0]]
        return _RANKS.get(first.kind, _LAST + 1) if first.section or first.kind != "other" else 0

    ranked = sorted(sections.values(), key=rank)
    told = [numbers for numbers in ranked if all_of_them or rank(numbers) < _LAST] or ranked
    turns = chain(*zip_longest(*told))
    return [*opening, *brief.lead, *(number for number in turns if number is not None)]


def _render(brief: Brief, place: Channel, taken: Taken) -> str:
    """Return the text: the points under the source's own headings, or as one list."""
    paragraphs, last = [name_release(brief)], ("", True)
    labels = list(dict.fromkeys(point.section for point in brief.keyPoints))

    def by_section(number: int) -> tuple[int, int]:
        return labels.index(brief.keyPoints[number].section), number

    for number in sorted(taken, key=by_section if place.has_labels else None):
        point, text = brief.keyPoints[number], taken[number]
        label = point.section or ""
        if not place.has_labels:
            is_bare = point.kind in _TOLD_BY_HEADING and kind_by_itself(text) != point.kind
            text = f"{label.rstrip(':：')}: {text}" if is_bare and label else text
            label = ""
        line = f"• {text}" if point.whole else text
        if last == (label, point.whole) and len(paragraphs) > 1:
            paragraphs[-1] += f"\n{line}" if point.whole else f" {line}"
        else:
            heading = f"{label}\n" if label and label != last[0] else ""
            paragraphs.append(heading + line)
        last = (label, point.whole)
    return "\n\n".join([*paragraphs, *_footer(brief, taken)])


def _footer(brief: Brief, taken: Taken) -> list[str]:
    """Return the link and how much was left out: of the release's own link, where that is."""
    phrases, missing = phrases_of(brief.language), len(brief.keyPoints) - len(taken)
    said = phrases.more.format(missing) if missing else phrases.extract
    if not brief.links:
        return [said]
    url, text = brief.links[0].url, brief.links[0].text
    if is_release_link(url):
        return [f"{said}: {url}"]
    return [f"{text}: {url}" if text and "://" not in text else url, said]
