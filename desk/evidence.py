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


Errors = Iterator[tuple[Rule, int | None, str]]  # rule, line, message


class Evidence(NamedTuple):
    """What there is to check a post by.

    `told`: what may be told, flat and in lines, with its `figures` and `links`; `code`: what looks
    like markup there and is none; `wrong`: what the brief says against the source.
    """

    brief: Brief
    points: tuple[KeyPoint, ...]
    told: str
    figures: Sequence[str]
    links: Sequence[str]
    code: Sequence[str]
    wrong: str


def gather_evidence(task: DeskTask, brief: Brief) -> Evidence:
    """Read the source anew. A person's brief is one, where there is no other."""
    objective, source = task["objective"], source_of(task)
    said, release, wrong = [objective, brief.audience, *guidance_of(task)], Release(), ""
    points, links = brief.keyPoints, [*brief.links]
    if source or brief.madeBy != "a person":
        changelog = read_source(source, objective)
        release, wrong = _find_release(brief, find_meaning(objective, changelog), changelog)
        points, links = read_points(changelog, release), read_links(changelog, release)
    said += [brief.headline, release.heading]
    urls = [link.url for link in links] + addresses("\n".join(said))
    code = {" ".join(found.split()) for found in _CODE.findall(release.body)}
    told = [*said, *urls, *(text for one in points for text in (one.section or "", one.text))]
    return Evidence(
        brief,
        points,
        "\n".join(["", *map(_flat, told), ""]),
        figures("\n".join(told)),
        [url.rstrip("/") for url in urls],
        sorted(code, key=len, reverse=True),
        wrong,
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
    for one, other in ((meant.version, brief.version), (meant.name, brief.product or meant.name)):
        if one != other:
            return release, f"The objective means {one}, the brief {other}."
    return release, ""


def find_errors(post: Post, evidence: Evidence) -> list[Issue]:
    """Return what is wrong with a post; nothing is a matter of degree."""
    text = _without_ours(post, evidence)
    checks = [_check_release(post, evidence), _check_completeness(post, text, evidence)]
    lines = [(None, post.subject or ""), *enumerate(text.split("\n"), start=1)]
    checks += [_check_line(number, line, evidence) for number, line in lines]
    return [
        Issue(channel=post.channel, rule=rule, message=why, line=line)
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
    called = phrases_of(brief.language).prerelease
    if brief.prerelease and called not in post.content and not PRERELEASE.search(post.content):
        yield "version", None, "It does not say that this comes before the release."


def _check_line(number: int | None, line: str, evidence: Evidence) -> Errors:
    """Find figures, links, markup, and what ends where no sentence of the source does."""
    for figure in figures(line):
        is_begun = "." in figure and any(one.startswith(f"{figure}.") for one in evidence.figures)
        if figure not in evidence.figures and not is_begun:
            yield "figures", number, f"{figure} is not in this release’s text."
    for url in addresses(line):
        if url.rstrip("/") not in evidence.links:
            yield "links", number, f"{url} is not in this release’s text."
    text = line
    for literal in evidence.code:
        text = text.replace(literal, "x")
    if found := _MARKUP.search(text):
        yield "markup", number, f"“{found[0]}” is left of the source’s markup."
    for part in dict.fromkeys([line, *sentences(line)]):
        said = _flat(part.removeprefix("• "))
        begun = "\n" + said.rstrip(".")
        is_sentence = re.search(r"[.!?。！？][\"”’)]*$", said) and f"\n{said}" in evidence.told
        is_whole = is_sentence or re.search(re.escape(begun) + r"\.?\n", evidence.told)
        if re.search(r"(?:…|\.\.\.)\W*$", said) and said.split()[-1] not in evidence.told:
            yield "sentences", number, f"“{part[-60:]}” is cut off."
        elif len(said) >= _LITTLE and begun in evidence.told and not is_whole:
            yield "sentences", number, f"“{part[-60:]}” ends in the middle of a sentence."


def _check_completeness(post: Post, text: str, evidence: Evidence) -> Errors:
    points, brief, told = evidence.points, evidence.brief, _flat(post.text)
    for point in points:
        if point.is_urgent and _flat(point.text) not in told:
            yield "left-out", None, f"Of what is {point.kind}, this is missing: “{point.text}”"
    repairs = [point for point in points if point.kind in ("fixed", "security")]
    if repairs and not any(_is_told(point, told) for point in repairs):
        yield "left-out", None, f"Of {len(repairs)} fixed and security items none is in it."
    said = _flat(text)
    for name in (brief.headline, brief.product or "", brief.version or ""):
        said = said.replace(_flat(name), "")
    has_points = any(_is_told(point, told) for point in points)
    if not has_points and len(re.findall(r"[^\W\d_]", said)) < _LITTLE:
        yield "empty", None, "It says nothing but what it is about."


def _is_told(point: KeyPoint, text: str) -> bool:
    """Say whether a flat text has the beginning of a point, or half of its longer words."""
    words = set(re.findall(r"\w{4,}", _flat(point.text)))
    is_alike = bool(words) and 2 * sum(word in text for word in words) >= len(words)
    return is_alike or any(_flat(one) in text for one in beginnings(point.text))


def _without_ours(post: Post, evidence: Evidence) -> str:
    """Return the text without our own words on how much was left out, if that is true."""
    text, phrases = _flat(post.text), phrases_of(evidence.brief.language)
    missing = sum(not _is_told(point, text) for point in evidence.points)
    counts = range(missing, len(evidence.points) + 1)
    more = re.escape(phrases.more).replace(re.escape("{}"), r"(\d+)")
    ours = re.compile(rf"^(?:{more}|{re.escape(phrases.extract)})", re.M)
    return ours.sub(lambda found: "" if int(found[1] or missing) in counts else found[0], post.text)


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
