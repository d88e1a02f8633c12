"""What a release says: whole items and whole sentences, of what kind each is, and its links."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import cast

from hitl_orchestrator.desk.changelog import Changelog, Release
from hitl_orchestrator.desk.facets import KeyPoint, Link, PointKind
from hitl_orchestrator.desk.language import addresses, patterns, sentences
from hitl_orchestrator.desk.markup import COLON, CREDIT_LINK, ITEM, PARAGRAPH, UNDONE, Block

_HEADINGS, _ITEMS = patterns("headings"), patterns("items")
_MARKS = re.compile("[\ue000-\ue002]")
_CUT = re.compile(r"(?:\.\.\.|…)|.*(?:[:：…]|\.\.\.)$", re.S)
_NAME_WORDS = 5  # what has fewer is a name, not a sentence
_CREDIT = (
    r"(?:\ue000[^\ue001]*\ue001|(?:[\w.-]+/[\w.-]+)?#\d+|GH-\d+|!\d+|\[?@[\w-]+(?:\[bot\])?\]?"
    r"|[0-9a-f]{7,40}\b|https?://\S+/(?:pull|issues|commit)/\w+)"
)
_BY = r"(?:\b(?:closes|fixes|resolves|refs?|issues?|via|thanks(?: to)?|by|PR)\b[ :]*)"
_OF = r"(?:(?:in|to|see|and)\b\s*)"
_MORE = rf"(?:(?:[\s,;.&:]|{_BY}|\b{_OF})*+{_CREDIT})"
# Who did it and under which number: in brackets, behind a sign, behind a word such as “by”. A
# number alone behind “in” may belong to its sentence: “a regression in #12”.
_CREDITS = re.compile(
    rf"(?>\s*[(\[](?:{_BY}|{_OF})*+{_CREDIT}{_MORE}*+\s*[)\]]"
    rf"|\s*(?:^|[-–—,;]+|\s\.|(?<=[.!?。！？；，]))\s*(?:{_BY}|{_OF})*+{_CREDIT}{_MORE}*+"
    rf"|:?\s(?:{_BY}++{_CREDIT}{_MORE}*+|{_OF}{_CREDIT}{_MORE}++))++[\s.]*$",
    re.I,
)
_EMPTY = re.compile(
    r"full changelog|related issues|https?://\S+$|etc\.?$|(?:released?:?\s*)?[\W\d_]*$", re.I
)
_THANKS = re.compile(r"contributors|thank|acknowledg|sponsors", re.I)
OWN_LINK = re.compile(r"/(?:releases/tag|compare|tree|tag|-/tags|-/releases|-/compare)/")
_NO_LINK = re.compile(
    r"shields\.io|badge|keepachangelog|semver\.org|/actions/|codecov|travis-ci|/security/advisories",
    re.I,
)


def read_points(changelog: Changelog, release: Release) -> tuple[KeyPoint, ...]:
    """Return each thing that a release says, once, in its order.

    Names of items (“Parser:”) stand before what is listed below them.
    """
    points: dict[str, KeyPoint] = {}
    above: list[Block] = []  # headings and names, the nearest last
    blocks = changelog.read(release.body)
    for block, following in zip_longest(blocks, blocks[1:]):
        text = clean(block.text)
        above = [one for one in above if one.level < block.level]
        if level := _level_of_name(text, block, following):
            above.append(Block(level, text.rstrip(" :：") if level > COLON else text))
        elif not _is_idle(text, block, above):
            for said in [text] if block.is_item else sentences(text):
                if point := _make_point(said, block, above):
                    points.setdefault(point.text, point)
    return tuple(points.values())


def _level_of_name(text: str, block: Block, following: Block | None) -> int:
    """Return the level of a heading, or of what only leads on to a list; else 0."""
    if block.level < PARAGRAPH:
        return block.level
    leads_on = following and following.level > max(block.level, ITEM)
    if leads_on and block.level == PARAGRAPH and text.endswith((":", "：")):
        return COLON
    is_name = text.endswith((":", "：")) or len(text.split()) < _NAME_WORDS
    return block.level if leads_on and is_name and block.level > ITEM else 0


def _is_idle(text: str, block: Block, above: Sequence[Block]) -> bool:
    """Say whether there is nothing to tell: what is not done, thanks, links of its project."""
    linked = sum(len(label) for _, label in block.links)
    inner = [url for url, _ in block.links if "://" not in url]
    leads_away = block.level == PARAGRAPH and (2 * linked > len(text) or len(inner) > 1)
    is_thanks = above and _THANKS.search(above[-1].text)
    return bool(UNDONE in block.text or leads_away or is_thanks or _EMPTY.match(text))


def _make_point(text: str, block: Block, above: Sequence[Block]) -> KeyPoint | None:
    """Return a point, unless it is no whole text; a detail is one only if it warns."""
    kind = _find_kind(text, [one.text for one in above])
    point = KeyPoint(text=text, kind=kind, whole=block.is_item)
    if _CUT.match(point.text) or (block.is_detail and not point.is_urgent):
        return None
    for name in [one.text for one in reversed(above) if one.level >= ITEM]:
        text = text if name.casefold() in text.casefold() else f"{name}: {text}"
    section = next((one.text for one in reversed(above) if one.level < ITEM), None)
    return point.but(text=text, section=section)


def clean(text: str) -> str:
    """Return a text without who did it and under which number, where these stand at its end."""
    said = (text[:-2000] + _CREDITS.sub("", text[-2000:])).rstrip(" -–—,;")
    if text.endswith(".") and said[-1:].isalnum():
        said += "."
    return re.sub(r"^(?::[a-z0-9_+-]+:\s*|\[![A-Z]+\]\s*)+", "", _MARKS.sub("", said))


def _find_kind(text: str, headings: Sequence[str]) -> PointKind:
    """Return what an item warns of, else what the nearest heading says, else its first word.

    Chores that are about security are no warning, unless they name what was found.
    """
    by_itself = _kind_in(text, _ITEMS)
    said: list[PointKind] = [
        kind for one in reversed(headings) if (kind := _kind_in(one, _HEADINGS))
    ]
    is_chore = said[:1] == ["internal"] and not re.search(r"CVE-\d|GHSA-", text)
    if by_itself == "breaking" or (by_itself == "security" and not is_chore):
        return by_itself
    return said[0] if said else (by_itself or "other")


def _kind_in(text: str, words: dict[str, re.Pattern[str]]) -> PointKind | None:
    found = (kind for kind, one in words.items() if one.search(text))
    return cast(PointKind | None, next(found, None))


def read_links(changelog: Changelog, release: Release) -> list[Link]:
    """Return the release's links for readers: its own, its tag or what it compares, come first."""
    found: list[Link] = []
    for block in [*changelog.read(release.markup), *changelog.read(release.body)]:
        urls = [*block.links, *((url, "") for url in addresses(_MARKS.sub("", block.text)))]
        for url, text in urls:
            if re.match(r"https?://\S{1,900}$", url) and not _NO_LINK.search(url):
                found.append(Link(url=url, text=text[:100]))
    own = [link for link in found if OWN_LINK.search(link.url)]
    return own + [link for link in found if not CREDIT_LINK.search(link.url)]
