"""What a source proves of a post, and what of it is wrong: every error has its place."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hitl_orchestrator.desk.changelog import PRERELEASE, read_source
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Brief, Issue, KeyPoint, Post
from hitl_orchestrator.desk.language import phrase
from hitl_orchestrator.desk.meaning import Meaning, find_meaning
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.desk.prose import addresses, beginnings, figures, sentences

_MARKUP = re.compile(
    r"\]\(|\]\[|\*\*|`|~~|(?<!\w)__\w|^#{1,6} |^\s*[-*+] \[[ xX]\]|^\|.*\|$|\{#|^\.\. |<!--|&#?\w+;"
    r"|</?(?:a|b|br|code|details|div|em|h[1-6]|hr|i|img|li|ol|p|pre|s|span|strong|sub|summary|sup"
    r"|table|td|th|tr|ul)\b[^>]*>|[\ue000\ue001]"
)
_CODE = re.compile(r"(?<!`)`{1,2}([^`]+)`{1,2}(?!`)")
_CUT_OFF = re.compile(r"(?:…|(?<!\.)\.\.\.)\W*$")
_LITTLE = 20  # letters

Errors = Iterator[tuple[str, int | None, str]]  # rule, line, message


class Evidence(NamedTuple):
    """What there is to check a post by.

    `said`: all that may be drawn on; `code`: what looks like markup there and is none; `wrong`:
    what the brief says against the source.
    """

    brief: Brief
    points: tuple[KeyPoint, ...]
    said: str
    links: tuple[str, ...]
    code: tuple[str, ...] = ()
    wrong: str = ""


def gather_evidence(
    objective: str, source: str, brief: Brief, told: Sequence[str] = ()
) -> Evidence:
    """Read the source anew. A person's brief is one, where there is no other."""
    said = "\n".join([objective, brief.audience, *told])
    if not source and brief.madeBy == "a person":
        said += brief.model_dump_json()
        return Evidence(brief, brief.keyPoints, said, tuple(addresses(said)))
    changelog = read_source(source, objective)
    meaning = find_meaning(objective, changelog)
    known = [*changelog.releases, *meaning.releases]
    fits = [one for one in known if brief.version in (one.version, one.heading or None)]
    fits = [one for one in fits if one.name == brief.product] or fits
    if not fits:
        wrong = f"The source has no release {brief.version}."
        return Evidence(brief, (), said, tuple(addresses(said)), wrong=wrong)
    release, points = fits[0], read_points(changelog, fits[0])
    links = [*addresses(said), *(link.url for link in read_links(changelog, release))]
    code = {" ".join(found.split()) for found in _CODE.findall(release.body)}
    sections = [point.section or "" for point in points]
    texts = [said, brief.headline, release.heading, *(one.text for one in points), *sections]
    longest_first = tuple(sorted(code, key=len, reverse=True))
    wrong = _contradict(brief, meaning)
    return Evidence(brief, points, "\n".join(texts), tuple(links), longest_first, wrong)


def _contradict(brief: Brief, meaning: Meaning) -> str:
    """Return what a brief says against its objective, unless a person chose so."""
    meant = meaning.releases[0]
    if brief.releaseFrom == "person":
        return ""
    if meaning.unclear:
        return f"{meaning.unclear} Nobody was asked."
    if brief.version != meant.version:
        return f"The objective means {meant.version}, the brief {brief.version}."
    if brief.product not in (meant.name, None):
        return f"The objective means {meant.name}, the brief {brief.product}."
    return ""


def find_errors(post: Post, evidence: Evidence) -> list[Issue]:
    """Return what is wrong with a post; nothing is a matter of degree."""
    lines = _lines(post, evidence)
    checks = (
        _check_release(post, evidence),
        _check_claims([(None, post.subject or ""), *lines], evidence),
        _check_wholeness(lines, evidence),
        _check_completeness(post, evidence),
    )
    return [
        Issue.model_validate({"channel": post.channel, "rule": rule, "message": why, "line": line})
        for errors in checks
        for rule, line, why in errors
    ]


def _check_release(post: Post, evidence: Evidence) -> Errors:
    brief = evidence.brief
    product, version = brief.product or brief.title, brief.version
    if evidence.wrong:
        yield "release", None, evidence.wrong
    for problem in channel(post.channel).problems(post):
        yield "length", None, f"{problem[0].upper()}{problem[1:]}."
    if product and _flat(product) not in _flat(post.content):
        yield "product", None, f"It does not name {product}."
    if version and not re.search(rf"(?<![\w.])v?{re.escape(version)}(?![-.+]?\w)", post.content):
        yield "version", None, f"It does not name {version}."
    called = phrase("prerelease", brief.language)
    is_called_so = called in post.content or PRERELEASE.search(post.content)
    if brief.prerelease and not is_called_so:
        yield "version", None, "It does not say that this comes before the release."


def _check_claims(lines: Sequence[tuple[int | None, str]], evidence: Evidence) -> Errors:
    known = figures(evidence.said)
    links = {link.rstrip("/") for link in evidence.links}
    for line, text in lines:
        for figure in figures(text):
            is_begun = "." in figure and any(one.startswith(f"{figure}.") for one in known)
            if figure not in known and not is_begun:
                yield "figures", line, f"{figure} is not in this release’s text."
        for url in addresses(text):
            if url.rstrip("/") not in links:
                yield "links", line, f"{url} is not in this release’s text."
        for literal in evidence.code:
            text = text.replace(literal, "x")
        if found := _MARKUP.search(text):
            yield "markup", line, f"“{found[0]}” is left of the source’s markup."


def _check_wholeness(lines: Sequence[tuple[int, str]], evidence: Evidence) -> Errors:
    """Find what ends where no sentence of the source does."""
    wholes = {_flat(point.text) for point in evidence.points}
    known = {_flat(point.section or "") for point in evidence.points} | wholes
    for point in evidence.points:
        parts = sentences(point.text)
        known |= {_flat(" ".join(parts[:count])) for count in range(1, len(parts))}
    for line, text in lines:
        for part in dict.fromkeys([text, *sentences(text)]):
            said = _flat(part.removeprefix("• "))
            begun = said.rstrip(".") if len(said) >= _LITTLE and said not in known else "\n"
            is_quoted = any(said[-30:] in whole for whole in wholes)
            if _CUT_OFF.search(said) and not is_quoted and not part.endswith(evidence.links):
                yield "sentences", line, f"“{part[-60:]}” is cut off."
            elif any(one.startswith(begun) and one.rstrip(".") != begun for one in wholes):
                yield "sentences", line, f"“{part[-60:]}” ends in the middle of a sentence."


def _check_completeness(post: Post, evidence: Evidence) -> Errors:
    text, points, brief = _flat(post.text), evidence.points, evidence.brief
    for point in points:
        if point.is_urgent and _flat(point.text) not in text:
            yield "left-out", None, f"Of what is {point.kind}, this is missing: “{point.text}”"
    repairs = [point for point in points if point.kind in ("fixed", "security")]
    if repairs and not any(_is_told(point, text) for point in repairs):
        yield "left-out", None, f"Of {len(repairs)} fixed and security items none is in it."
    said = " ".join(_flat(line) for _, line in _lines(post, evidence))
    for name in (brief.headline, brief.product or "", brief.version or ""):
        said = said.replace(_flat(name), "")
    has_points = any(_is_told(point, text) for point in points)
    if not has_points and len(re.findall(r"[^\W\d_]", said)) < _LITTLE:
        yield "empty", None, "It says nothing but what it is about."


def _is_told(point: KeyPoint, text: str) -> bool:
    """Say whether a flat text has the beginning of a point, or half of its longer words."""
    words = set(re.findall(r"\w{4,}", _flat(point.text)))
    is_alike = bool(words) and 2 * sum(word in text for word in words) >= len(words)
    return is_alike or _begins_in(point, text)


def _begins_in(point: KeyPoint, text: str) -> bool:
    return any(_flat(one) in text for one in beginnings(point.text))


def _lines(post: Post, evidence: Evidence) -> list[tuple[int, str]]:
    """Return the lines and their numbers, without our own words on how much was left out."""
    text, language = _flat(post.text), evidence.brief.language
    counted = re.compile(re.escape(phrase("more", language)).replace(re.escape("{}"), r"(\d+)"))
    missing = sum(not _begins_in(point, text) for point in evidence.points)
    found: list[tuple[int, str]] = []
    for number, line in enumerate(post.text.split("\n"), start=1):
        ours = counted.match(line)
        if ours and missing <= int(ours[1]) <= len(evidence.points):
            line = line[ours.end() :]
        found.append((number, line.removeprefix(phrase("extract", language))))
    return found


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
