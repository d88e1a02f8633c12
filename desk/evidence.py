"""What a source proves of a post, and what of it is wrong: every error has its place."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hitl_orchestrator.desk.agent import DeskTask, guidance_of, source_of
from hitl_orchestrator.desk.changelog import PRERELEASE, Changelog, Release, read_source
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Brief, Issue, KeyPoint, Post, Rule
from hitl_orchestrator.desk.language import phrases_of
from hitl_orchestrator.desk.meaning import Meaning, find_meaning
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.desk.prose import addresses, beginnings, figures, sentences

_MARKUP = re.compile(
    r"\]\(|\]\[|\*\*|`|~~|(?<!\w)__\w|^#{1,6} |^\s*[-*+] \[[ xX]\]|^\|.*\|$|\{#|^\.\. |<!--|&#?\w+;"
    r"|</?(?:a|b|br|code|details|div|em|h[1-6]|hr|i|img|li|ol|p|pre|s|span|strong|sub|summary|sup"
    r"|table|td|th|tr|ul)\b[^>]*>|[\ue000-\ue002]"
)
_CODE = re.compile(r"(?<!`)`{1,2}([^`]+)`{1,2}(?!`)")
_LITTLE = 20  # letters


Errors = Iterator[tuple[Rule, str]]


class Evidence(NamedTuple):
    """What there is to check a post by.

    `figures` and `links` are all that may be drawn on; `code`: what looks like markup there and is
    none; `wrong`: what the brief says against the source; `ends`: what a line may end with.
    """

    brief: Brief
    points: tuple[KeyPoint, ...]
    figures: Sequence[str]
    links: Sequence[str]
    code: Sequence[str]
    wrong: str
    ends: frozenset[str]


def gather_evidence(task: DeskTask, brief: Brief) -> Evidence:
    """Read the source anew. A person's brief is one, where there is no other."""
    objective, source = task["objective"], source_of(task)
    said = [objective, brief.audience, *guidance_of(task), brief.headline]
    markup, wrong = "", ""
    points, links = brief.keyPoints, [*brief.links]
    if source or brief.madeBy != "a person":
        changelog = read_source(source, objective)
        release, wrong = _find_release(brief, find_meaning(objective, changelog), changelog)
        points, links = read_points(changelog, release), read_links(changelog, release)
        markup = release.body
        said.append(release.heading)
    else:
        said.append(brief.model_dump_json())
    sections = {point.section or "" for point in points}
    urls = [link.url for link in links] + addresses("\n".join(said))
    ends = {_flat(one) for one in [*sections, *urls]}
    for point in points:
        ends |= {_flat(one) for one in [*beginnings(point.text), *sentences(point.text)]}
    return Evidence(
        brief,
        points,
        figures("\n".join([*said, *sections, *(point.text for point in points)])),
        [url.rstrip("/") for url in urls],
        sorted({" ".join(one.split()) for one in _CODE.findall(markup)}, key=len, reverse=True),
        wrong,
        frozenset(ends),
    )


def _find_release(brief: Brief, meaning: Meaning, changelog: Changelog) -> tuple[Release, str]:
    """Return the brief's release and what the objective has against it, unless a person chose."""
    known, meant = [*changelog.releases, *meaning.releases], meaning.releases[0]
    fits = [one for one in known if brief.version in (one.version, one.heading or None)]
    if not fits:
        return Release(), f"The source has no release {brief.version}."
    release = max(fits, key=lambda one: one.name == brief.product)
    if brief.releaseFrom == "person":
        return release, ""
    if meaning.unclear:
        return release, f"{meaning.unclear} Nobody was asked."
    pairs = ((meant.version, brief.version), (meant.name, brief.product or meant.name))
    wrong = [
        f"The objective means {one}, the brief {other}." for one, other in pairs if one != other
    ]
    return release, "".join(wrong[:1])


def find_errors(post: Post, evidence: Evidence) -> list[Issue]:
    """Return what is wrong with a post; nothing is a matter of degree."""
    text, lines = _flat(post.text), _without_ours(post, evidence)
    checked: list[tuple[int | None, Errors]] = [
        (None, _check_release(post, evidence)),
        (None, _check_completeness(text, lines, evidence)),
        (None, _check_claims(post.subject or "", evidence)),
    ]
    for number, line in enumerate(lines, start=1):
        checked += [(number, _check_claims(line, evidence)), (number, _check_ends(line, evidence))]
    return [
        Issue(channel=post.channel, rule=rule, message=why, line=number)
        for number, errors in checked
        for rule, why in errors
    ]


def _check_release(post: Post, evidence: Evidence) -> Errors:
    brief = evidence.brief
    product, version = brief.product or brief.title, brief.version
    if evidence.wrong:
        yield "release", evidence.wrong
    for problem in channel(post.channel).problems(post):
        yield "length", f"{problem[0].upper()}{problem[1:]}."
    if product and _flat(product) not in _flat(post.content):
        yield "product", f"It does not name {product}."
    if version and not re.search(rf"(?<![\w.])v?{re.escape(version)}(?![-.+]?\w)", post.content):
        yield "version", f"It does not name {version}."
    called = phrases_of(brief.language).prerelease
    if brief.prerelease and called not in post.content and not PRERELEASE.search(post.content):
        yield "version", "It does not say that this comes before the release."


def _check_claims(text: str, evidence: Evidence) -> Errors:
    for figure in figures(text):
        is_begun = "." in figure and any(one.startswith(f"{figure}.") for one in evidence.figures)
        if figure not in evidence.figures and not is_begun:
            yield "figures", f"{figure} is not in this release’s text."
    for url in addresses(text):
        if url.rstrip("/") not in evidence.links:
            yield "links", f"{url} is not in this release’s text."
    for literal in evidence.code:
        text = text.replace(literal, "x")
    if found := _MARKUP.search(text):
        yield "markup", f"“{found[0]}” is left of the source’s markup."


def _check_ends(text: str, evidence: Evidence) -> Errors:
    """Find what ends where no sentence of the source does."""
    for part in dict.fromkeys([text, *sentences(text)]):
        said = _flat(part.removeprefix("• "))
        begun = said.rstrip(".")
        if said in evidence.ends or any(said.endswith(one) for one in evidence.ends if one):
            continue
        if re.search(r"(?:…|\.\.\.)\W*$", said):
            yield "sentences", f"“{part[-60:]}” is cut off."
        elif len(said) >= _LITTLE and any(one.startswith(begun) for one in evidence.ends):
            yield "sentences", f"“{part[-60:]}” ends in the middle of a sentence."


def _check_completeness(text: str, lines: Sequence[str], evidence: Evidence) -> Errors:
    points, brief = evidence.points, evidence.brief
    for point in points:
        if point.is_urgent and _flat(point.text) not in text:
            yield "left-out", f"Of what is {point.kind}, this is missing: “{point.text}”"
    repairs = [point for point in points if point.kind in ("fixed", "security")]
    if repairs and not any(_is_told(point, text) for point in repairs):
        yield "left-out", f"Of {len(repairs)} fixed and security items none is in it."
    said = _flat(" ".join(lines))
    for name in (brief.headline, brief.product or "", brief.version or ""):
        said = said.replace(_flat(name), "")
    has_points = any(_is_told(point, text) for point in points)
    if not has_points and len(re.findall(r"[^\W\d_]", said)) < _LITTLE:
        yield "empty", "It says nothing but what it is about."


def _is_told(point: KeyPoint, text: str) -> bool:
    """Say whether a flat text has the beginning of a point, or half of its longer words."""
    words = set(re.findall(r"\w{4,}", _flat(point.text)))
    is_alike = bool(words) and 2 * sum(word in text for word in words) >= len(words)
    return is_alike or any(_flat(one) in text for one in beginnings(point.text))


def _without_ours(post: Post, evidence: Evidence) -> list[str]:
    """Return the lines without our own words on how much was left out, if that is true."""
    text, phrases = _flat(post.text), phrases_of(evidence.brief.language)
    missing = sum(not _is_told(point, text) for point in evidence.points)
    counted = re.compile(re.escape(phrases.more).replace(re.escape("{}"), r"(\d+)"))
    lines: list[str] = []
    for line in post.text.split("\n"):
        ours = counted.match(line)
        if ours and missing <= int(ours[1]) <= len(evidence.points):
            line = line[ours.end() :]
        lines.append(line.removeprefix(phrases.extract))
    return lines


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
