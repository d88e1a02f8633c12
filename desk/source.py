"""What a source says: its title or its release, its points, its links. Of a changelog only the one
release that is meant.
"""

import re
from collections.abc import Iterable, Sequence

from hitl_orchestrator.desk.facets import KeyPoint, Link, PointKind
from hitl_orchestrator.desk.markdown import Block, blocks
from hitl_orchestrator.desk.prose import clipped, sentences
from hitl_orchestrator.domain.records import Record

MAX_POINTS = 200
MAX_POINT_CHARACTERS = 600
MAX_NAME_WORDS = 4

# no date
_VERSION = (
    r"(?!\d{1,2}\.\d{1,2}\.\d{4})\d{1,8}(?:\.\d{1,8}){1,3}(?:[-.]?(?:rc|alpha|beta|a"
    r"|b)[-.]?\d{0,8})?(?!\.?\w)"
)
_VERSION_IN_TEXT = re.compile(
    rf"(?:^v?|\bv|\b(?i:version|release)\s+v?|(?<![\w.])[A-Z][\w+-]*\s+v?)({_VERSION})|"
    rf"(?<![\w.])({_VERSION})\s+(?i:release|update|version)\b"
)
_RELEASE = re.compile(
    rf"(?:[A-Z][\w.+-]*\s+){{0,3}}\[?v?({_VERSION})\]?(?=$|[\s(:–—-])|\[?(Unreleased)\]?$"
)
_NO_NAME = re.compile(
    rf"\[?\bv?{_VERSION}\]?|\b(?:change ?log|release notes|release|version|what['’]s new"
    rf"(?: in)?|news)\b",
    re.I,
)
_MUST = re.compile(r"must\b|key messages?\b", re.I)
_KINDS: tuple[tuple[PointKind, str], ...] = (  # of a heading
    ("other", r"what['’]s changed"),
    ("breaking", r"breaking|incompatib|migrat|upgrad"),
    ("security", r"securit|vulnerab"),
    (
        "internal",
        r"intern|chore|maint|refactor|\btests?\b|\bci\b|build|dependenc|\bdocs?\b|documentation"
        r"|contributor|under the hood",
    ),
    ("new", r"\badd|\bnew\b|feature|highlight"),
    ("fixed", r"\bfix|\bbug"),
    ("removed", r"remov|dropped"),
    ("deprecated", r"deprecat"),
    ("improved", r"chang|improv|enhanc|perform|update|better"),
)
_VERBS: tuple[tuple[PointKind, str], ...] = (  # of an item whose heading says nothing
    ("new", r"^(?:add|new|introduc|support)"),
    ("fixed", r"^fix"),
    ("removed", r"^(?:remov|drop)"),
    ("deprecated", r"^deprecat"),
    ("improved", r"^(?:improv|faster|speed|better|reduc)"),
    ("internal", r"^(?:bump|refactor|update dependenc)"),
)
_CVE = re.compile(r"\bCVE-\d{4}-\d+")
# all others: internal
_COMMITS: dict[str, PointKind] = {"feat": "new", "fix": "fixed", "perf": "improved"}
_COMMIT = re.compile(
    r"(feat|fix|perf|docs|chore|refactor|test|build|ci|style)(?:\([^)]*\))?(!?):\s+", re.I
)
_PREFIX = re.compile(
    r"[\[(]?(breaking(?: change)?|security|deprecated|removed|added|fixed|changed"
    r"|new)[\])]?\s*:\s+",
    re.I,
)
_REFERENCE = (
    r"(?:(?:closes|fixes|resolves|refs?|see|thanks(?: to)?|by)\s+)?(?:[\w.-]+/[\w.-]+)?(?:#\d+"
    r"|GH-\d+|!\d+|[0-9a-f]{7,40}\b|@[\w-]+)"
)
_REFERENCES = re.compile(
    rf"\s*[(\[]{_REFERENCE}(?:(?:\s*,\s*|\s+(?:and\s+)?){_REFERENCE})*[)\]]"
    r"|,?\s+(?:by|thanks(?: to)?)\s+@[\w\[\]-]+(?:\s+in\s+\S+)?$"
    r"|\s+in\s+https?://\S+/pull/\d+$"
    r"|[,.;]?\s+\(?(?:closes|fixes|resolves)\s+#\d+\)?\.?$",
    re.I,
)
_NO_POINT = re.compile(r"full changelog|https?://\S+$", re.I)


class Point(KeyPoint):
    lead: bool = False  # begins in bold: somebody wanted it seen


class Source(Record):
    """`title` is empty if it only names `product` and `version`; `must`: what stands under a
    heading like “Must include”.
    """

    title: str = ""
    product: str | None = None
    version: str | None = None
    summary: str | None = None
    points: tuple[Point, ...] = ()
    must: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


def read(markdown: str, objective: str) -> Source:
    """The release that is meant is the one whose version the objective has, else the newest that is
    out.
    """
    found = blocks(markdown)
    title = next((block for block in found if block.kind == "heading" and block.level == 1), None)
    heading = title.text if title else ""
    chosen, version = _release(found, version_in(objective)) or (
        [block for block in found if block is not title],
        version_in(heading),
    )
    summary = _summary(chosen)
    name = named(heading, release=bool(version))
    return Source(
        title=clipped(heading, 200) if name is None else "",
        product=name or None,
        version=version,
        summary=summary,
        points=tuple(_points(chosen[1:] if summary else chosen))[:MAX_POINTS],
        must=tuple(clipped(text, MAX_POINT_CHARACTERS) for text in _must(chosen)),
        links=_links(chosen),
    )


def named(title: str, release: bool) -> str | None:
    """The product, perhaps empty, if that is all that a title names beside a version or a word for
    changelog; else None.
    """
    name = " ".join(_NO_NAME.sub(" ", title).split()).strip(" -–—:()[]")
    words = name.split()
    is_name = len(words) < 2 or (
        len(words) <= MAX_NAME_WORDS and not any(word[0].islower() for word in words)
    )
    return name if is_name and (release or _NO_NAME.search(title)) else None


def version_in(text: str) -> str | None:
    """The first number that a capitalised name, `v` or `version` precedes, or `release` follows:
    dates and prices are none.
    """
    found = _VERSION_IN_TEXT.search(text)
    return found and (found[1] or found[2])


def _release(
    found: Sequence[Block], wanted: str | None
) -> tuple[Sequence[Block], str | None] | None:
    """The blocks of one release and its version. Releases begin at headings that name a version, on
    the highest level that has any.
    """
    headings = [
        (index, block, name)
        for index, block in enumerate(found)
        if block.kind == "heading" and (name := _RELEASE.match(block.text))
    ]
    top = min((block.level for _, block, _ in headings), default=0)
    starts = [(index, name[1]) for index, block, name in headings if block.level == top]
    ends = [*(index for index, _ in starts[1:]), len(found)]
    releases = [
        (found[start + 1 : end], version)
        for (start, version), end in zip(starts, ends, strict=False)
    ]
    filled = [release for release in releases if not _is_bare(release[0])]
    asked_for = [release for release in filled if release[1] and release[1] == wanted]
    out = [release for release in filled if release[1]]
    return next(iter(asked_for or out or filled or releases), None)


def _is_bare(found: Sequence[Block]) -> bool:
    return all(block.kind == "heading" for block in found)


def _summary(chosen: Sequence[Block]) -> str | None:
    """The first paragraph before any heading or list, if it is prose."""
    first = next(iter(chosen), None)
    if (
        not first
        or first.kind != "paragraph"
        or _NO_POINT.match(first.text)
        or not first.text.endswith((".", "!", "?", "…"))
    ):
        return None
    return clipped(" ".join(sentences(first.text)[:2]), 400)


def _points(chosen: Iterable[Block]) -> list[Point]:
    points = (
        _point(block, heading)
        for block, heading in _said(chosen)
        if not _MUST.match(heading) and not _leads_away(block)
    )
    return [point for point in points if point]


def _must(chosen: Iterable[Block]) -> list[str]:
    return [block.text for block, heading in _said(chosen) if _MUST.match(heading)]


def _said(chosen: Iterable[Block]) -> list[tuple[Block, str]]:
    """Items and paragraphs that say something, and the heading each stands under."""
    heading, said = "", list[tuple[Block, str]]()
    for block in chosen:
        if block.kind == "heading":
            heading = block.text
        elif (
            block.kind != "nested"
            and block.text
            and not block.text.endswith(":")
            and not _NO_POINT.match(block.text)
        ):
            said.append((block, heading))
    return said


def _leads_away(block: Block) -> bool:
    """A paragraph that is mostly links: “Read the release notes or book a demo.”"""
    return block.kind == "paragraph" and 2 * sum(len(link.text) for link in block.links) > len(
        block.text
    )


def _point(block: Block, heading: str) -> Point | None:
    """Without references to issues and people; of a paragraph the first sentence."""
    text = _REFERENCES.sub("", block.text).strip()
    kind, text = _classified(
        sentences(text)[0] if block.kind == "paragraph" else text, heading, block.kind == "item"
    )
    text = clipped(text, MAX_POINT_CHARACTERS)
    if not any(character.isalnum() for character in text):
        return None
    section = clipped(heading.rstrip(":"), 100) or None
    return Point(
        text=text if block.begins == "code" else _capitalised(text),
        kind=kind,
        section=section,
        lead=block.begins == "bold",
    )


def _classified(text: str, heading: str, is_item: bool) -> tuple[PointKind, str]:
    """By its own prefix, else by its heading, else by its first words; and the text without the
    prefix.
    """
    if commit := _COMMIT.match(text):
        return "breaking" if commit[2] else _COMMITS.get(commit[1].casefold(), "internal"), text[
            commit.end() :
        ]
    if prefix := _PREFIX.match(text):
        return _kind(prefix[1], _KINDS), text[prefix.end() :]
    kind = "security" if _CVE.search(text) else _kind(heading, _KINDS)
    return _kind(text, _VERBS) if kind == "other" and is_item else kind, text


def _kind(text: str, patterns: Iterable[tuple[PointKind, str]]) -> PointKind:
    for kind, pattern in patterns:
        if re.search(pattern, text, re.I):
            return kind
    return "other"


def _capitalised(text: str) -> str:
    """A first word in plain lower case gets a capital; names such as `iOS`, `foo()` or `npm-run`
    keep theirs.
    """
    first = text.split(maxsplit=1)[0]
    return text[0].upper() + text[1:] if first.isalpha() and first.islower() else text


def _links(chosen: Iterable[Block]) -> tuple[Link, ...]:
    """Each address once, with the first text that it has."""
    found: dict[str, str] = {}
    for link in (link for block in chosen for link in block.links):
        if re.match(r"https?://\S{1,900}$", link.url):
            found[link.url] = found.get(link.url) or clipped(link.text, 100)
    return tuple(Link(url=url, text=text) for url, text in found.items())
