"""Reads what a release says; asks which one is meant where that is unclear, else for whom."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from langgraph.graph import END, START, StateGraph

from hitl_orchestrator.desk.agent import STRATEGIST, AgentMapping, DeskAnswer, DeskTask, ask
from hitl_orchestrator.desk.changelog import Changelog, read_changelog, read_objective
from hitl_orchestrator.desk.facets import AUDIENCE, SOURCE, Brief, KeyPoint, schema_of
from hitl_orchestrator.desk.language import language_of
from hitl_orchestrator.desk.meaning import find_candidates
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.desk.release import Release
from hitl_orchestrator.domain.records import Json, JsonObject

MAX_OPTIONS = 10
MAX_SHOWN = 6  # points in the question for whom
GENERAL, EXISTING = "general", "existing"
_LABELS = {EXISTING: "People who already use it", GENERAL: "Everyone"}
_CHANGES = ("breaking", "security", "changed", "removed", "deprecated", "fixed")
_FOR = re.compile(r"(?:for|für|pour|para|per|voor|для)\s+(.{2,40})$", re.I)


class StrategistState(DeskTask):
    question: JsonObject | None
    answer: DeskAnswer
    brief: JsonObject


class Meant(NamedTuple):
    """A product and a release that may be meant."""

    product: str | None
    release: Release

    @property
    def label(self) -> str:
        number = self.release.version or ("Unreleased" if self.release.doubt else "")
        return " ".join(filter(None, [self.product, number])) or "It, without a number"


class Reading(NamedTuple):
    """A source, what of it may be meant, and why that has to be asked; "" if it is certain."""

    changelog: Changelog
    options: list[Meant]
    unclear: str

    def points(self, meant: Meant) -> tuple[KeyPoint, ...]:
        return read_points(self.changelog, meant.release)


class Unclear(ValueError):
    """An answer names no release that the source has."""


def agent() -> AgentMapping:
    graph = StateGraph(StrategistState)
    graph.add_node("read", read)
    graph.add_node("ask_person", ask_person)
    graph.add_node("write_brief", write_brief)
    graph.add_edge(START, "read")
    graph.add_conditional_edges("read", after_reading, ["ask_person", END])
    graph.add_edge("ask_person", "write_brief")
    graph.add_edge("write_brief", END)
    return {
        "capabilityId": STRATEGIST,
        "displayName": "Strategist",
        "summary": "Reads what a release says; asks which one is meant, or whom to address.",
        "inputFacets": ["objective"],
        "optionalInputFacets": ["source", "audience"],
        "outputFacets": ["brief"],
        "facets": {"source": SOURCE, "audience": AUDIENCE, "brief": schema_of(Brief)},
        "run": graph,
    }


def read(state: StrategistState) -> dict[str, Json]:
    """Find what to ask; if nothing, write the brief at once."""
    reading = _read(state)
    if reading.unclear:
        return {"question": release_question(reading)}
    if not state["facets"].get("audience"):
        return {"question": audience_question(reading)}
    return {"question": None, "brief": _brief(state, reading, reading.options[0])}


def after_reading(state: StrategistState) -> str:
    return "ask_person" if state["question"] else END


def ask_person(state: StrategistState) -> dict[str, DeskAnswer]:
    return {"answer": ask(state["question"] or {})}


def release_question(reading: Reading) -> JsonObject:
    """Ask for product and release: a choice of what there is, or a person's own words."""
    options: list[Json] = []
    for meant in reading.options:
        doubt = f"({meant.release.doubt}) " if meant.release.doubt else ""
        said = [point.text for point in reading.points(meant)[:1]] or ["Its section is empty."]
        label = meant.label
        options.append({"id": label, "label": label, "description": doubt + said[0]})
    return {
        "question": f"{reading.unclear} What should be announced?",
        "kind": "choice" if options else "freeform",
        "options": options,
        "allowFreeForm": bool(options),
        "additionalContext": "In your own words: product and version, as in “Acme 1.2.0”.",
    }


def audience_question(reading: Reading) -> JsonObject:
    """Ask whom to address: whom headings name (“For developers”), and two that are always there."""
    [meant] = reading.options
    points = reading.points(meant)
    topic = meant.label if meant.product or meant.release.version else reading.changelog.title
    options: list[Json] = []
    for id_, label in _audiences(points).items():
        leading = [points[number].text for number in leading_for(id_, points)]
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


def leading_for(audience: str, points: Sequence[KeyPoint]) -> list[int]:
    """Return the numbers of the points that go first for an audience, by id, label or words."""
    if audience in (EXISTING, _LABELS[EXISTING]):
        return [number for number, one in enumerate(points) if one.kind in _CHANGES]
    named = [(number, _FOR.match(one.section or "")) for number, one in enumerate(points)]
    return [number for number, match in named if match and _slug(match[1]) == _slug(audience)]


def write_brief(state: StrategistState) -> dict[str, Json]:
    """Write it, unless a person did not say what for: then there is none."""
    reading = _read(state)
    if not reading.unclear:
        return {"brief": _brief(state, reading, reading.options[0])}
    if state["answer"]["status"] == "denied":
        return {}
    return {"brief": _brief(state, reading, _answered(state["answer"], reading))}


def _brief(state: StrategistState, reading: Reading, meant: Meant) -> JsonObject:
    audience, origin, why = _audience(state, asked_for_release=bool(reading.unclear))
    release, points = meant.release, reading.points(meant)
    return Brief(
        title="" if meant.product else reading.changelog.title,
        product=meant.product,
        version=release.version or release.heading or None,
        prerelease=release.is_prerelease,
        releaseFrom="person" if reading.unclear else "source",
        audience=audience,
        audienceFrom=origin,
        why=why,
        keyPoints=points,
        lead=tuple(leading_for(audience, points)),
        links=tuple(read_links(reading.changelog, release)[:1]),
        language=language_of(" ".join(f"{one.section or ''} {one.text}" for one in points)),
        madeBy="offline rules",
    ).json_object()


def _read(state: StrategistState) -> Reading:
    source = str(state["facets"].get("source") or "")
    changelog = read_changelog(source) if source else read_objective(state["objective"])
    return _find(state["objective"], changelog)


def _find(text: str, changelog: Changelog) -> Reading:
    """Return what a text means. A release of which nothing is said is unclear as well."""
    products, releases, unclear = find_candidates(text, changelog)
    is_numbered = len(releases) == 1 and releases[0].version
    if is_numbered and not unclear and not read_points(changelog, releases[0]):
        unclear, releases = f"The section of {releases[0].version} is empty.", changelog.releases
    named = len(releases) > 1 and all(release.name for release in releases)
    is_page = changelog.title and not any(release.version for release in releases)
    names = products or ((None,) if is_page else ())
    options = [
        Meant(name, release)
        for release in releases
        for name in ([release.name] if named else names)
    ]
    return Reading(changelog, options[:MAX_OPTIONS], unclear)


def _answered(answer: DeskAnswer, reading: Reading) -> Meant:
    """Return what a person chose or typed. Raise Unclear."""
    if picked := answer.get("selectedOptionId"):
        return next(meant for meant in reading.options if meant.label == picked)
    typed = " ".join((answer.get("freeformText") or "").split())
    found = _find(typed, reading.changelog)
    if len(found.options) == 1 and not found.unclear:
        [meant] = found.options
        said = [one for one in (meant.product, meant.release.version) if one]
        if any(one.casefold() in typed.casefold() for one in said):
            return meant
    releases = {meant.release for meant in reading.options} or {*reading.changelog.releases[:1]}
    if len(releases) == 1 and typed and not re.search(r"\d", typed):
        return Meant(typed, releases.pop())  # only the product was asked for
    raise Unclear(f"“{typed}” names no release of the source. {found.unclear}")


def _audience(
    state: StrategistState, asked_for_release: bool
) -> tuple[str, Literal["input", "person", "nobody"], str | None]:
    if given := state["facets"].get("audience"):
        return str(given), "input", None
    if asked_for_release:
        return _LABELS[GENERAL], "nobody", "The question was for the release."
    answer: dict[str, Any] = {**state["answer"]}
    if answer["status"] == "denied":
        return _LABELS[GENERAL], "nobody", answer.get("reason")
    typed = " ".join((answer.get("freeformText") or "").split())[:200]
    chosen = answer.get("selectedOptionId") or typed or GENERAL
    return _LABELS.get(chosen, chosen), "person", None


def _audiences(points: Sequence[KeyPoint]) -> dict[str, str]:
    sections = dict.fromkeys(point.section or "" for point in points)
    named = [_FOR.match(section) for section in sections]
    found = {_slug(match[1]): match[1][:1].upper() + match[1][1:] for match in named if match}
    changes = any(point.kind in _CHANGES for point in points)
    return found | (_LABELS if changes else {GENERAL: _LABELS[GENERAL]})


def _slug(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.casefold()))
