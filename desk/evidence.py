"""What a source proves of a post, and what of it is wrong: every error has its place."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hitl_orchestrator.desk.changelog import read_changelog, read_objective
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.document import is_credit
from hitl_orchestrator.desk.facets import Brief, Issue, KeyPoint, Post
from hitl_orchestrator.desk.language import phrases_of
from hitl_orchestrator.desk.meaning import find_candidates
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.desk.prose import addresses, beginnings, figures, sentences
from hitl_orchestrator.desk.release import PRERELEASE

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

    `sources`: all that may be drawn on; `code`: what looks like markup there and is none; `wrong`:
    what the brief says against the source.
    """

    brief: Brief
    points: tuple[KeyPoint, ...]
    sources: tuple[str, ...]
    links: frozenset[str]
    code: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def gather_evidence(
    objective: str, source: str, brief: Brief, told: Sequence[str] = ()
) -> Evidence:
    """Read the source anew. A person's brief is one, where there is no other."""
    said = (objective, brief.audience, *told)
    links = {url for text in said for url in addresses(text)}
    if not source and brief.madeBy == "a person":
        said = (*said, brief.model_dump_json())
        return Evidence(brief, brief.keyPoints, said, _bare(addresses(" ".join(said))))
    changelog = read_changelog(source) if source else read_objective(objective)
    products, releases, unclear = find_candidates(objective, changelog)
    known = [*changelog.releases, *releases]
    fits = [one for one in known if brief.version in (one.version, one.heading or None)]
    fits = [one for one in fits if one.name == brief.product] or fits
    if not fits:
        wrong = f"The source has no release {brief.version}."
        return Evidence(brief, (), said, _bare(links), wrong=(wrong,))
    points = read_points(changelog, fits[0])
    links |= {link.url for link in read_links(changelog, fits[0])}
    lines = "\n".join(
        line for first, last in fits[0].spans for line in changelog.document.lines[first:last]
    )
    code = tuple(" ".join(found.split()) for found in _CODE.findall(lines))
    sections = (point.section or "" for point in points)
    said = (*said, brief.headline, fits[0].heading, *(one.text for one in points), *sections)
    wrong = ""
    if brief.releaseFrom == "source" and unclear:
        wrong = f"{unclear} Nobody was asked."
    elif brief.releaseFrom == "source" and brief.version != releases[0].version:
        wrong = f"The objective means {releases[0].version}, the brief {brief.version}."
    elif brief.releaseFrom == "source" and brief.product not in (*products, None):
        wrong = f"The objective means {' or '.join(products)}, the brief {brief.product}."
    return Evidence(brief, points, said, _bare(links), code, (wrong,) if wrong else ())


def find_errors(post: Post, evidence: Evidence) -> list[Issue]:
    """Return what is wrong with a post; nothing is a matter of degree."""
    return [
        Issue.model_validate({"channel": post.channel, "rule": rule, "message": why, "line": line})
        for check in (_form, _claims, _wholeness, _completeness)
        for rule, line, why in check(post, evidence)
    ]


def _form(post: Post, evidence: Evidence) -> Errors:
    for wrong in evidence.wrong:
        yield "release", None, wrong
    for problem in channel(post.channel).problems(post):
        yield "length", None, f"{problem[0].upper()}{problem[1:]}."
    for line, text in [(None, post.subject or ""), *_lines(post, evidence)]:
        for literal in sorted(evidence.code, key=len, reverse=True):
            text = text.replace(literal, "x")
        if found := _MARKUP.search(text):
            yield "markup", line, f"“{found[0]}” is left of the source’s markup."


def _claims(post: Post, evidence: Evidence) -> Errors:
    product, version = evidence.brief.product or evidence.brief.title, evidence.brief.version
    if product and _flat(product) not in _flat(post.content):
        yield "product", None, f"It does not name {product}."
    if version and not re.search(rf"(?<![\w.])v?{re.escape(version)}(?![-.+]?\w)", post.content):
        yield "version", None, f"It does not name {version}."
    called = phrases_of(evidence.brief.language).prerelease
    is_called_so = called in post.content or PRERELEASE.search(post.content)
    if evidence.brief.prerelease and not is_called_so:
        yield "version", None, "It does not say that this comes before the release."
    known = {figure for text in evidence.sources for figure in figures(text)}
    for line, text in [(None, post.subject or ""), *_lines(post, evidence)]:
        for figure in figures(text):
            is_begun = "." in figure and any(one.startswith(f"{figure}.") for one in known)
            if figure not in known and not is_begun:
                yield "figures", line, f"{figure} is not in this release’s text."
        for url in addresses(text):
            if is_credit(url):
                yield "links", line, f"{url} leads to an issue, a commit or a profile."
            elif url.rstrip("/") not in evidence.links:
                yield "links", line, f"{url} is not in this release’s text."


def _wholeness(post: Post, evidence: Evidence) -> Errors:
    """Find what ends where no sentence of the source does."""
    wholes = {_flat(point.text) for point in evidence.points}
    known = {_flat(point.section or "") for point in evidence.points} | wholes
    for point in evidence.points:
        parts = sentences(point.text)
        known |= {_flat(" ".join(parts[:count])) for count in range(1, len(parts))}
    for line, text in _lines(post, evidence):
        for part in dict.fromkeys([text, *sentences(text)]):
            said = _flat(part.removeprefix("• "))
            begun = said.rstrip(".") if len(said) >= _LITTLE and said not in known else "\n"
            if _CUT_OFF.search(said) and not any(said[-30:] in whole for whole in wholes):
                yield "sentences", line, f"“{part[-60:]}” is cut off."
            elif any(one.startswith(begun) and one.rstrip(".") != begun for one in wholes):
                yield "sentences", line, f"“{part[-60:]}” ends in the middle of a sentence."


def _completeness(post: Post, evidence: Evidence) -> Errors:
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
    text, phrases = _flat(post.text), phrases_of(evidence.brief.language)
    counted = re.compile(re.escape(phrases.more).replace(re.escape("{}"), r"(\d+)"))
    missing = sum(not _begins_in(point, text) for point in evidence.points)
    found: list[tuple[int, str]] = []
    for number, line in enumerate(post.text.split("\n"), start=1):
        ours = counted.match(line)
        if ours and missing <= int(ours[1]) <= len(evidence.points):
            line = line[ours.end() :]
        found.append((number, line.removeprefix(phrases.extract)))
    return found


def _bare(urls: Sequence[str] | set[str]) -> frozenset[str]:
    return frozenset(url.rstrip("/") for url in urls)


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
