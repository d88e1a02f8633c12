"""A post without a model: the source's own items and sentences, as many as fit, none cut."""

from collections import Counter
from itertools import groupby

from hitl_orchestrator.desk.channels import Channel
from hitl_orchestrator.desk.document import CREDIT_LINK
from hitl_orchestrator.desk.facets import Brief, Post
from hitl_orchestrator.desk.language import phrases_of
from hitl_orchestrator.desk.points import OWN_LINK, kind_by_itself
from hitl_orchestrator.desk.prose import addresses, beginnings

Taken = dict[int, str]  # the texts of points, by the points' numbers


def extract(brief: Brief, place: Channel) -> Post:
    """Put a post together: every warning, something that was fixed, and what goes first.

    A warning is in whether it fits or not: a post that is too long is an error that is seen.
    """
    points = brief.keyPoints
    taken: Taken = {number: one.text for number, one in enumerate(points) if one.is_urgent}
    most = len(taken) + place.points
    if not any(point.kind == "security" for point in points):
        fixed = (number for number, one in enumerate(points) if one.kind == "fixed")
        any(_take(brief, place, taken, number) for number in fixed)  # until one fits
    for number in _order(brief, has_room=place.points >= len(points)):
        if len(taken) < most and _may_stand(brief, place, taken, number):
            _take(brief, place, taken, number)
    subject = name_release(brief)[:1000] if place.has_subject else None
    return Post(channel=place.name, text=_render(brief, place, taken), subject=subject)


def name_release(brief: Brief) -> str:
    """Return product and version; what comes before a release is called so."""
    called = f"{brief.headline} ({phrases_of(brief.language).prerelease})"
    return called if brief.prerelease else brief.headline


def _order(brief: Brief, has_room: bool) -> list[int]:
    """Return the points' numbers: an introduction, what goes first, then of each section one.

    What stands under a heading that says nothing of its kind is told where there is room for all.
    """
    seen, turns = Counter[str | None](), list[tuple[bool, bool, int, int]]()
    has_room = has_room or not any(point.is_news for point in brief.keyPoints)
    for number, point in enumerate(brief.keyPoints):
        leads = number in brief.lead
        if leads or has_room or point.is_news:
            seen[point.section] += 1
            turns.append(
                (point.section is not None or point.whole, not leads, seen[point.section], number)
            )
    return [number for *_, number in sorted(turns)]


def _may_stand(brief: Brief, place: Channel, taken: Taken, number: int) -> bool:
    """Say whether a sentence begins its paragraph, or stands behind one that is in.

    What only its heading explains (“The new parser brings:”) needs that heading.
    """
    point, before = brief.keyPoints[number], brief.keyPoints[max(number - 1, 0)]
    if number in taken or (not place.has_labels and (point.section or "").endswith((":", "："))):
        return False
    begins = point.whole or before.whole or before.section != point.section
    return begins or number == 0 or number - 1 in taken


def _take(brief: Brief, place: Channel, taken: Taken, number: int) -> bool:
    """Take a point if it fits, whole or by its first sentences."""
    for text in beginnings(brief.keyPoints[number].text):
        leads_to_issue = any(map(CREDIT_LINK.search, addresses(text)))
        longer = place.count(_render(brief, place, taken | {number: text}))
        if not leads_to_issue and longer <= place.limit:
            taken[number] = text
            return True
    return False


def _render(brief: Brief, place: Channel, taken: Taken) -> str:
    """Return the text: the points under the source's own headings, or as one list."""

    def group(number: int) -> tuple[str | None, bool]:
        point = brief.keyPoints[number]
        return point.section if place.has_labels else None, point.whole

    paragraphs, last = [name_release(brief)], None
    for (label, is_list), found in groupby(sorted(taken), key=group):
        texts = [taken[one] if label else _with_label(brief, one, taken[one]) for one in found]
        text = "\n".join(f"• {one}" for one in texts) if is_list else " ".join(texts)
        paragraphs.append(f"{label}\n{text}" if label and label != last else text)
        last = label
    return "\n\n".join([*paragraphs, *_footer(brief, len(brief.keyPoints) - len(taken))])


def _with_label(brief: Brief, number: int, text: str) -> str:
    """Return a text with its heading, where that alone says what it warns of."""
    point = brief.keyPoints[number]
    is_told = point.kind in ("new", "other") or kind_by_itself(text) == point.kind
    return text if is_told or not point.section else f"{point.section.rstrip(':：')}: {text}"


def _footer(brief: Brief, missing: int) -> list[str]:
    """Return the link and how much was left out: of the release's own link, where that is."""
    phrases = phrases_of(brief.language)
    said = phrases.more.format(missing) if missing else phrases.extract
    if not brief.links:
        return [said]
    url, text = brief.links[0].url, brief.links[0].text
    if OWN_LINK.search(url):
        return [f"{said}: {url}"]
    return [f"{text}: {url}" if text and "://" not in text else url, said]
