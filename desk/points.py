"""What a release says: whole items and whole sentences, of what kind each is, and its links."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from hitl_orchestrator.desk.changelog import Changelog, Release
from hitl_orchestrator.desk.document import COLON, CREDIT_LINK, ITEM, PARAGRAPH, UNDONE, Block
from hitl_orchestrator.desk.facets import KeyPoint, Link, PointKind
from hitl_orchestrator.desk.language import patterns
from hitl_orchestrator.desk.prose import addresses, sentences

_HEADINGS, _ITEMS = patterns("headings"), patterns("items")
_KINDS: tuple[PointKind, ...] = ("breaking", "security", "internal", "fixed", "changed", "new")
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


class _Statement(NamedTuple):
    """`above`: the headings and names of items that it stands under, the nearest last."""

    text: str
    above: tuple[Block, ...]
    block: Block


def read_points(changelog: Changelog, release: Release) -> tuple[KeyPoint, ...]:
    """Return each thing that a release says, once, in its order."""
    points: dict[str, KeyPoint] = {}
    for said in _statements(changelog.read(release.body)):
        kind = _kind(said.text, [one.text for one in said.above])
        is_needed = not said.block.is_detail or kind in ("breaking", "security")
        if is_needed and not _CUT.match(said.text):
            text = _under([one.text for one in said.above if one.level >= ITEM], said.text)
            section = next((one.text for one in said.above[::-1] if one.level < ITEM), None)
            whole = said.block.is_item
            point = KeyPoint(text=text, kind=kind, section=section, whole=whole)
            points.setdefault(text, point)
    return tuple(points.values())


def read_links(changelog: Changelog, release: Release) -> list[Link]:
    """Return the release's links for readers: its own, its tag or what it compares, come first."""
    found: list[Link] = []
    for block in [*changelog.read(release.markup), *changelog.read(release.body)]:
        urls = [*block.links, *((url, "") for url in addresses(_MARKS.sub("", block.text)))]
        for url, text in urls:
            if re.match(r"https?://\S{1,900}$", url) and not _NO_LINK.search(url):
                found.append(Link(url=url, text=text[:100]))
    own = [link for link in found if OWN_LINK.search(link.url)]
    rest = [link for link in found if link not in own and not CREDIT_LINK.search(link.url)]
    return own + rest


def _statements(blocks: Sequence[Block]) -> list[_Statement]:
    """Return the items and sentences; what stands below “These are new:” in one item with it."""
    found, above, leader = list[_Statement](), list[Block](), None
    for block, following in zip_longest(blocks, blocks[1:]):
        above = [one for one in above if one.level < block.level]
        text = _MARKS.sub("", block.text) if block.level < PARAGRAPH else clean(block.text)
        is_name = len(text.split()) < _NAME_WORDS
        leads_on = following and following.level > max(block.level, ITEM)
        if leader and block.level > leader.level:
            joint = " " if found[-1].text[-1:] in ".。:：" else "; "
            found[-1] = found[-1]._replace(text=found[-1].text + joint + text)
            continue
        leader = None
        if block.level < PARAGRAPH:
            above.append(Block(block.level, text.rstrip(" :：") if is_name else text))
        elif UNDONE in block.text or _is_idle(text, block, above):
            continue
        elif block.level == PARAGRAPH and text.endswith((":", "：")):
            if leads_on:
                above.append(Block(COLON, text.rstrip(" :：") if is_name else text))
        elif leads_on and is_name and block.level > ITEM:
            above.append(Block(block.level, text.rstrip(":：")))
        else:
            leader = block if leads_on and text.endswith((":", "：")) else None
            said = [text] if block.is_item else sentences(text)
            found += [_Statement(one, tuple(above), block) for one in said]
    return found


def _is_idle(text: str, block: Block, above: Sequence[Block]) -> bool:
    """Say whether there is nothing to tell: thanks, links, what only its project has."""
    linked = sum(len(link.text) for link in block.links)
    inner = [link for link in block.links if "://" not in link.url]
    leads_away = block.level == PARAGRAPH and (2 * linked > len(text) or len(inner) > 1)
    return bool(leads_away or _EMPTY.match(text) or (above and _THANKS.search(above[-1].text)))


def _under(names: Sequence[str], text: str) -> str:
    for name in reversed(names):
        text = text if name.casefold() in text.casefold() else f"{name}: {text}"
    return text


def clean(text: str) -> str:
    """Return a text without who did it and under which number, where these stand at its end."""
    said = (text[:-2000] + _CREDITS.sub("", text[-2000:])).rstrip(" -–—,;")
    if text.endswith(".") and said[-1:].isalnum():
        said += "."
    return re.sub(r"^(?::[a-z0-9_+-]+:\s*|\[![A-Z]+\]\s*)+", "", _MARKS.sub("", said))


def _kind(text: str, headings: Sequence[str]) -> PointKind:
    """Return what an item warns of, else what the nearest heading says, else its first word.

    Chores that are about security are no warning, unless they name what was found.
    """
    by_itself = kind_by_itself(text)
    known: list[PointKind] = [k for one in reversed(headings) for k in _kinds(one, _HEADINGS)]
    is_chore = known[:1] == ["internal"] and not re.search(r"CVE-\d|GHSA-", text)
    if by_itself == "breaking" or (by_itself == "security" and not is_chore):
        return by_itself
    return known[0] if known else (by_itself or "other")


def kind_by_itself(text: str) -> PointKind | None:
    """Return what a text says that it is, whatever it stands under."""
    return next(_kinds(text, _ITEMS), None)


def _kinds(text: str, words: dict[str, re.Pattern[str]]) -> Iterator[PointKind]:
    for kind in _KINDS:
        if words[kind].search(text):
            yield kind
