"""A post put together by rules: its parts in the order of their weight, as many as fit."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hitl_orchestrator.desk.audiences import GENERAL, meant
from hitl_orchestrator.desk.channels import SUBJECT_LIMIT, Channel
from hitl_orchestrator.desk.facets import Brief, KeyPoint, Link, Post
from hitl_orchestrator.desk.guidance import Guidance
from hitl_orchestrator.desk.prose import clipped, sentences, short

_WARNING = "Before you upgrade"
_LABELS = {
    "new": "New",
    "improved": "Better",
    "fixed": "Fixed",
    "security": "Security",
} | dict.fromkeys(("breaking", "removed", "deprecated"), _WARNING)
_SECTIONS = "the source's own headings"
_ORDER = ["", "New", "Better", _SECTIONS, "Fixed", "Security", _WARNING]
_URGENT = ("breaking", "security")

PINNED_LIMIT = 140

Role = Literal["greeting", "headline", "summary", "opening", "line", "point", "link", "tags"]


class Part(NamedTuple):
    """A piece of a post. `label`: the group that a point stands in."""

    role: Role
    text: str
    label: str = ""


class Material(NamedTuple):
    """What there is to say. `must` word for word, `pinned` on top because a person asked for it,
    `points` as far as they fit.
    """

    brief: Brief
    must: Sequence[str]
    pinned: Sequence[KeyPoint]
    points: Sequence[KeyPoint]
    links: Sequence[Link]
    guidance: Guidance


def compose(material: Material, place: Channel) -> Post:
    """Put a post together, by the weight of its parts.

    The lines that have to be in come first, then what was asked for, link, headline, strongest
    point, and the rest.
    """
    kept = _fitting([*_must(material, place), *_optional(material, place)], place)
    while twice := next((part for part in kept if _is_said_twice(part, kept, place)), None):
        kept.remove(twice)
    if not any(part.role in ("line", "point") for part in kept):
        kept = [part for part in kept if part.role != "opening"]
    return Post(
        channel=place.name,
        text=_render(kept, place),
        subject=_subject(material) if place.has_subject else None,
    )


def _is_said_twice(part: Part, kept: Sequence[Part], place: Channel) -> bool:
    others = [other for other in kept if other is not part]
    return part.role == "line" and part.text in _render(others, place)


def headline(brief: Brief) -> str:
    if brief.title or not brief.version:
        return (
            brief.title
            or brief.product
            or next((short(point.text, 120) for point in brief.keyPoints), "News")
        )
    return f"{brief.product or 'Version'} {brief.version} is out."


def _must(material: Material, place: Channel) -> list[Part]:
    """In their groups, if that leaves none out that would fit without."""
    labels = {
        material.guidance.worded(point.text): _label(point) for point in material.brief.keyPoints
    } | {p.text: "" for p in material.pinned}
    plain = _fitting([Part("line", line) for line in material.must], place)
    grouped = _fitting(
        [
            Part("point", line, labels[line]) if line in labels else Part("line", line)
            for line in material.must
        ],
        place,
    )
    return grouped if {part.text for part in plain} <= {part.text for part in grouped} else plain


def _fitting(parts: Sequence[Part], place: Channel) -> list[Part]:
    kept: list[Part] = []
    for part in parts:
        if place.fits(_render([*kept, part], place)):
            kept.append(part)
    return kept


def _optional(material: Material, place: Channel) -> list[Part]:
    brief, guidance = material.brief, material.guidance
    count, line = (
        (place.points // 3 + 1, max(60, place.line // 2))
        if guidance.shorter
        else (place.points, place.line)
    )
    points = [point for point in material.points if point.text not in material.must]
    lead = next((point for point in points if point.kind not in _URGENT), None)
    chosen = [*([lead] if lead else []), *(point for point in points if point is not lead)][:count]
    parts = [Part("point", short(point.text, line), _label(point)) for point in chosen]
    title = guidance.worded(headline(brief)) or "News"
    summary = "" if guidance.refuses(brief.summary or "") else guidance.worded(brief.summary or "")
    full = place.has_labels and not guidance.shorter
    return [
        *(
            Part("point", short(point.text, max(place.line, PINNED_LIMIT)))
            for point in material.pinned
            if point.text not in material.must
        ),
        *(Part("link", f"{_link_text(link.text)}: {link.url}") for link in material.links),
        Part(
            "headline",
            next(
                (cut for limit in (200, 130, 60, 20) if place.fits(cut := clipped(title, limit))),
                "News",
            ),
        ),
        *(
            [Part("summary", short(sentences(summary)[0], 2 * place.line))]
            if brief.title and summary and not place.has_labels
            else []
        ),
        *parts[:1],
        *([Part("greeting", "Hello,")] if place.has_subject else []),
        *(
            [Part("opening", _opening(brief))]
            if place.has_labels and brief.audience != GENERAL.label
            else []
        ),
        *parts[1:],
        *([Part("summary", summary)] if full and summary else []),
        *([] if place.has_subject else _tags(brief, guidance)),
    ]


def _label(point: KeyPoint) -> str:
    return _LABELS.get(point.kind) or (point.section or "")


def _link_text(text: str) -> str:
    if len(text) < 3 or re.match(r"https?:|here\b|this\b|link\b|more\b", text, re.I):
        return "More"
    return clipped(text[0].upper() + text[1:], 60)


def _tags(brief: Brief, guidance: Guidance) -> list[Part]:
    product = "".join(
        word[0].upper() + word[1:] for word in re.findall(r"[^\W_]+", brief.product or "")
    )
    tags = [*([f"#{product}"] if re.search(r"[^\W\d]", product) else []), *guidance.tags]
    return [Part("tags", tag) for tag in dict.fromkeys(tags) if guidance.hashtags]


def _opening(brief: Brief) -> str:
    audience = (
        brief.audience.lower()
        if brief.audience.casefold() == meant(brief.audience).id
        else brief.audience
    )
    return f"For {audience}, in short:" if brief.title else f"What is in it for {audience}:"


def _subject(material: Material) -> str:
    """Product and version with the strongest point, or the headline."""
    brief = material.brief
    lead = next(
        (point.text for point in (*material.pinned, *material.points) if point.kind not in _URGENT),
        "",
    )
    name = f"{brief.product or 'Version'} {brief.version}: "
    if lead and brief.version and not brief.title and len(name) <= SUBJECT_LIMIT // 2:
        return name + short(lead, SUBJECT_LIMIT - len(name))
    return clipped(material.guidance.worded(headline(brief)) or "News", SUBJECT_LIMIT)


def _render(parts: Sequence[Part], place: Channel) -> str:
    def of(role: Role) -> list[str]:
        return [part.text for part in parts if part.role == role]

    groups: dict[str, list[str]] = {}
    for part in parts:
        if part.role == "point":
            heads_up = "Heads-up: " if part.label == _WARNING and not place.has_labels else ""
            groups.setdefault(part.label, []).append(f"• {heads_up}{part.text}")
    ordered = sorted(
        groups, key=lambda label: _ORDER.index(label if label in _ORDER else _SECTIONS)
    )
    lists = [
        "\n".join([*([label] if label and place.has_labels else []), *groups[label]])
        for label in ordered
    ]
    blocks = [*of("greeting"), *of("headline"), *of("summary"), *of("line"), *of("opening")]
    if place.has_labels:
        blocks += lists
    elif lists:
        blocks.append("\n".join(lists))
    return "\n\n".join([*blocks, *of("link"), *([" ".join(of("tags"))] if of("tags") else [])])
