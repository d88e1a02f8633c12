"""Reads what a release says; asks which one is meant where that is unclear, else for whom."""

import re
from collections.abc import Sequence

from hitl_orchestrator.desk.agent import DeskAnswer, DeskTask, ask, source_of, words_of
from hitl_orchestrator.desk.changelog import Changelog, Release, read_source
from hitl_orchestrator.desk.facets import Brief, KeyPoint
from hitl_orchestrator.desk.language import language_of
from hitl_orchestrator.desk.meaning import Meaning, find_meaning
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.domain.records import Json, JsonObject

MAX_OPTIONS = 10
MAX_SHOWN = 6  # points in the question for whom
_LABELS = {"existing": "People who already use it", "general": "Everyone"}
_CHANGES = ("breaking", "security", "changed", "fixed")
_FOR = re.compile(r"(?:for|für|pour|para|per|voor|для)\s+(.{2,40})$", re.I)


class Unclear(ValueError):
    """An answer names no release that the source has."""


def write_brief(task: DeskTask) -> dict[str, Json]:
    """Write it, unless a person did not say what for: then there is none."""
    changelog = read_source(source_of(task), task["objective"])
    meaning = find_meaning(task["objective"], changelog)
    release = meaning.releases[0]
    if meaning.unclear:
        answer = ask(_release_question(changelog, meaning))
        if answer["status"] == "denied":
            return {}
        release = _hear_release(answer, changelog, meaning)
    points = read_points(changelog, release)
    brief = Brief(
        product=release.name or None,
        version=release.version or release.heading or None,
        prerelease=release.is_prerelease,
        releaseFrom="person" if meaning.unclear else "source",
        audience=str(task["facets"].get("audience") or ""),
        keyPoints=points,
        links=tuple(read_links(changelog, release)[:1]),
        language=language_of(" ".join(f"{one.section or ''} {one.text}" for one in points)),
        madeBy="offline rules",
    )
    if not brief.audience:
        said: DeskAnswer = {"status": "denied", "reason": "The question was for the release."}
        asks = _audience_question(release.label, points)
        brief = _hear_audience(brief, said if meaning.unclear else ask(asks))
    brief = brief.but(lead=tuple(_find_leading(brief.audience, points)))
    return {"brief": brief.json_object()}


def _release_question(changelog: Changelog, meaning: Meaning) -> JsonObject:
    """Ask for product and release: a choice of what there is, or a person's own words."""
    options: list[Json] = []
    for release in [one for one in meaning.releases if one.name][:MAX_OPTIONS]:
        said = [*(point.text for point in read_points(changelog, release)), "Its section is empty."]
        shown = f"({release.doubt}) {said[0]}" if release.doubt else said[0]
        options.append({"id": release.label, "label": release.label, "description": shown})
    return {
        "question": f"{meaning.unclear} What should be announced?",
        "kind": "choice" if options else "freeform",
        "options": options,
        "allowFreeForm": bool(options),
        "additionalContext": "In your own words: product and version, as in “Acme 1.2.0”.",
    }


def _hear_release(answer: DeskAnswer, changelog: Changelog, meaning: Meaning) -> Release:
    """Return what a person chose or typed. Raise Unclear."""
    if picked := answer.get("selectedOptionId"):
        return next(one for one in meaning.releases if one.label == picked)
    typed = words_of(answer)
    found = find_meaning(typed, changelog)
    said = (found.releases[0].name, found.releases[0].version or "")
    if not found.unclear and any(one and one.casefold() in typed.casefold() for one in said):
        return found.releases[0]
    unnamed = {one._replace(name=typed) for one in meaning.releases}
    if len(unnamed) == 1 and typed and not re.search(r"\d", typed):
        return unnamed.pop()  # only the product was asked for
    raise Unclear(f"“{typed}” names no release of the source. {found.unclear}")


def _audience_question(topic: str, points: Sequence[KeyPoint]) -> JsonObject:
    """Ask whom to address: whom headings name (“For developers”), and two that are always there."""
    named = [found[1] for point in points if (found := _FOR.match(point.section or ""))]
    labels = {_slug(name): name[:1].upper() + name[1:] for name in named} | _LABELS
    options: list[Json] = []
    for id_, label in labels.items():
        leading = [points[number].text for number in _find_leading(label, points)]
        if leading or id_ == "general":
            count = f"{len(leading)} of {len(points)} points go first: " if leading else ""
            said = [*leading, *(point.text for point in points), "The source says nothing."]
            options.append({"id": id_, "label": label, "description": count + said[0]})
    shown = [f"- {point.text}" for point in points[:MAX_SHOWN]]
    more = [f"\nand {len(points) - MAX_SHOWN} more."] if len(points) > MAX_SHOWN else []
    return {
        "question": f"Whom should the announcement{f' of {topic}' if topic else ''} address?",
        "kind": "choice",
        "options": options,
        "allowFreeForm": True,
        "additionalContext": "\n".join(["What the release says:", "", *shown, *more]),
    }


def _find_leading(audience: str, points: Sequence[KeyPoint]) -> list[int]:
    """Return the numbers of the points that go first for an audience, by id, label or words."""
    if audience in ("existing", _LABELS["existing"]):
        return [number for number, one in enumerate(points) if one.kind in _CHANGES]
    named = [(number, _FOR.match(one.section or "")) for number, one in enumerate(points)]
    return [number for number, match in named if match and _slug(match[1]) == _slug(audience)]


def _hear_audience(brief: Brief, answer: DeskAnswer) -> Brief:
    if answer["status"] == "denied":
        why = answer.get("reason")
        return brief.but(audience=_LABELS["general"], audienceFrom="nobody", why=why)
    chosen = answer.get("selectedOptionId") or words_of(answer)[:200] or "general"
    return brief.but(audience=_LABELS.get(chosen, chosen), audienceFrom="person")


def _slug(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.casefold()))
