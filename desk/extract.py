"""A post without a model: the source's own items and sentences, as many as fit, none cut."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from hitl_orchestrator.desk.channels import Channel
from hitl_orchestrator.desk.document import is_credit
from hitl_orchestrator.desk.facets import Brief, KeyPoint, Post
from hitl_orchestrator.desk.language import phrase
from hitl_orchestrator.desk.points import is_own, kind_by_itself
from hitl_orchestrator.desk.prose import addresses, beginnings

Taken = dict[int, str]  # the texts of points, by the points' numbers


def extract(brief: Brief, place: Channel) -> Post:
    """Put a post together: every warning, something that was fixed, and what goes first.

    A warning is in whether it fits or not: a post that is too long is an error that is seen.
    """
    points = brief.keyPoints
    taken: Taken = {number: one.text for number, one in enumerate(points) if one.is_urgent}
    most = len(taken) + place.points
    fixed = [number for number, one in enumerate(points) if one.kind == "fixed"]
    if not any(point.kind == "security" for point in points):
        any(_take(brief, place, taken, number) for number in fixed)  # until one fits
    for number in _order(brief, has_room=place.points >= len(points)):
        if len(taken) < most and number not in taken and _may_stand(points, number, place, taken):
            _take(brief, place, taken, number)
    subject = name_release(brief)[:1000] if place.has_subject else None
    return Post(channel=place.name, text=_render(brief, place, taken), subject=subject)


def name_release(brief: Brief) -> str:
    """Return product and version; what comes before a release is called so."""
    prerelease = phrase("prerelease", brief.language)
    return f"{brief.headline} ({prerelease})" if brief.prerelease else brief.headline


def _take(brief: Brief, place: Channel, taken: Taken, number: int) -> bool:
    """Take a point if it fits, whole or by its first sentences."""
    for text in beginnings(brief.keyPoints[number].text):
        leads_to_issue = any(map(is_credit, addresses(text)))
        if not leads_to_issue and place.fits(_render(brief, place, taken | {number: text})):
            taken[number] = text
            return True
    return False


def _may_stand(points: Sequence[KeyPoint], number: int, place: Channel, taken: Taken) -> bool:
    """Say whether a sentence begins its paragraph, or stands behind one that is in.

    What only its heading explains (“The new parser brings:”) needs that heading.
    """
    point, before = points[number], points[number - 1] if number else None
    if not place.has_labels and (point.section or "").endswith((":", "：")):
        return False
    begins = before is None or before.whole or before.section != point.section
    return point.whole or begins or number - 1 in taken


def _order(brief: Brief, has_room: bool) -> list[int]:
    """Return the points' numbers: an introduction, what goes first, then of each section one.

    What stands under a heading that says nothing of its kind is told where there is room for all.
    """
    points, seen, turns = brief.keyPoints, Counter[str | None](), list[tuple[int, int]]()
    is_news = [one.section is None or one.kind not in ("internal", "other") for one in points]
    for number, point in enumerate(points):
        if has_room or is_news[number] or not any(is_news):
            turns.append((seen[point.section], number))
            seen[point.section] += 1
    opening = [number for number, one in enumerate(points) if one.opens]
    return [*opening, *brief.lead, *(number for _, number in sorted(turns))]


def _render(brief: Brief, place: Channel, taken: Taken) -> str:
    """Return the text: the points under the source's own headings, or as one list."""
    paragraphs, last = [name_release(brief)], None
    labels = list(dict.fromkeys(point.section for point in brief.keyPoints))

    def group(number: int) -> tuple[int, bool]:
        point = brief.keyPoints[number]
        return labels.index(point.section) if place.has_labels else -1, point.whole

    numbers = sorted(taken, key=lambda number: (group(number)[0], number))
    for (section, is_list), found in groupby(numbers, key=group):
        if place.has_labels:
            texts = [taken[number] for number in found]
        else:
            texts = [_with_label(brief.keyPoints[number], taken[number]) for number in found]
        text = "\n".join(f"• {one}" for one in texts) if is_list else " ".join(texts)
        label = labels[section] if place.has_labels and section != last else None
        paragraphs.append(f"{label}\n{text}" if label else text)
        last = section
    return "\n\n".join([*paragraphs, *_footer(brief, len(brief.keyPoints) - len(taken))])


def _with_label(point: KeyPoint, text: str) -> str:
    """Return a text with its heading, where that alone says what it warns of."""
    is_told = point.kind in ("new", "other") or kind_by_itself(text) == point.kind
    return text if is_told or not point.section else f"{point.section.rstrip(':：')}: {text}"


def _footer(brief: Brief, missing: int) -> list[str]:
    """Return the link and how much was left out: of the release's own link, where that is."""
    said = phrase("more" if missing else "extract", brief.language).format(missing)
    if not brief.links:
        return [said]
    url, text = brief.links[0].url, brief.links[0].text
    if is_own(url):
        return [f"{said}: {url}"]
    return [f"{text}: {url}" if text and "://" not in text else url, said]
