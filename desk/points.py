"""What a release says: whole items and whole sentences, of what kind each is, and its link."""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from hitl_orchestrator.desk.changelog import Changelog
from hitl_orchestrator.desk.document import (
    CREDITED,
    LABEL_WORDS,
    MARKS,
    Block,
    Hyperlink,
    is_credit,
    is_release_link,
)
from hitl_orchestrator.desk.facets import KeyPoint, Link, PointKind
from hitl_orchestrator.desk.language import pattern_of
from hitl_orchestrator.desk.prose import addresses, sentences
from hitl_orchestrator.desk.release import Release

_KINDS: tuple[PointKind, ...] = ("breaking", "security", "internal", "fixed", "changed", "new")
_SECTIONS: dict[PointKind, re.Pattern[str]] = {kind: pattern_of(kind) for kind in _KINDS}
# Of an item itself; the first letters of a verb only where its heading says nothing.
_BREAKING = re.compile(
    r"\bbreaking changes?\b|(?:^|: |[(\[])\W*breaking(?=\W*(?:[:;!)\]]|$))|^\w+(?:\([^)]*\))?!:"
    r"|\b(?:backwards?[ -]in|not backwards?[ -])compatible|破坏性|不兼容变更|破壊的変更|^💥",
    re.I,
)
_NUMBERED = re.compile(r"\bCVE-\d{4}-\d+|\bGHSA-\w{4}", re.I)
_SECURITY = re.compile(r"vulnerabilit|^\W*security\b|\bsecurity (?:fix|issue|hole)|安全漏洞", re.I)
_VERBS: tuple[tuple[PointKind, str], ...] = (
    ("new", r"^\W*(?:feat\b|add|new\b|introduc|support|新增)"),
    ("fixed", r"^\W*(?:fix|bug ?fix|修复|修正)"),
    ("changed", r"^\W*(?:remov|drop|移除)"),
    ("internal", r"^\W*(?:bump|chore|ci|docs?|build|refactor|test|style)\b"),
)
_CREDIT = re.compile(
    rf"{CREDITED.pattern}|(?:[\w.-]+/[\w.-]+)?#\d+|GH-\d+|!\d+|@[\w-]+(?:\[bot\]?)?"
    r"|[0-9a-f]{7,40}|https?://\S+/(?:pull|issues|commit)/\w+"
)
_BY = re.compile(r"closes|fixes|resolves|refs?|see|issues?|via|thanks|to|by|in|PR|and|&|", re.I)
_AROUND = "()[]{}.,;:!-–—。；，"
_LEADS_ON = (":", "：", "...", "…")
_THANKS = re.compile(r"contributors|thank|acknowledg|sponsors", re.I)
_EMPTY = re.compile(
    r"full changelog|related issues|https?://\S+$|etc\.?$|(?:released?:?\s*)?[\W\d_]*$", re.I
)
_NO_LINK = re.compile(
    r"shields\.io|badge|keepachangelog|semver\.org|/actions/|codecov|travis-ci|/security/advisories",
    re.I,
)


def read_points(changelog: Changelog, release: Release) -> tuple[KeyPoint, ...]:
    """Return each thing that a release says, once, in its order."""
    points: dict[str, KeyPoint] = {}
    for first, last in release.spans:
        for point in _points(_join(changelog.document.read(first, last))):
            points.setdefault(point.text, point)
    return tuple(points.values())


def read_links(changelog: Changelog, release: Release) -> list[Link]:
    """Return the release's links for readers: its own, its tag or what it compares, come first."""
    found = [*release.links]
    for first, last in release.spans:
        for block in changelog.document.read(first, last):
            found += block.links
            found += [Hyperlink(url, "") for url in addresses(MARKS.sub("", block.text))]
    usable = [
        Link(url=link.url, text=link.text[:100])
        for link in found
        if re.match(r"https?://\S{1,900}$", link.url) and not _NO_LINK.search(link.url)
    ]
    own = [link for link in usable if is_release_link(link.url)]
    return own + [link for link in usable if not is_credit(link.url) and link not in own]


def _join(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with what stands below “These are new:” in one item with it."""
    found, opened = list[Block](), None
    for block in blocks:
        if opened and block.kind in ("item", "detail") and block.level > opened.level:
            joint = " " if found[-1] is opened or found[-1].text[-1:] in ".。" else "; "
            found[-1] = found[-1]._replace(text=found[-1].text + joint + block.text)
            continue
        found.append(block)
        is_sentence = block.kind == "item" and len(block.text.split()) >= LABEL_WORDS
        opened = block if is_sentence and block.text.endswith((":", "：")) else None
    return found


def _points(blocks: Sequence[Block]) -> Iterable[KeyPoint]:
    headings: list[tuple[int, str]] = []  # those above, the nearest last
    names: list[tuple[int, str]] = []  # items that only name what stands below them
    for block, following in zip_longest(blocks, blocks[1:]):
        if block.kind == "heading":
            headings = [one for one in headings if one[0] < block.level]
            headings.append((block.level, MARKS.sub("", block.text)))
            continue
        names = [one for one in names if one[0] < block.level]
        section = headings[-1][1] if headings else None
        text = clean(block.text)
        if _EMPTY.match(text) or _THANKS.search(section or "") or _leads_away(block):
            continue
        below = following.level if following and following.kind == "item" else 0
        is_name = len(text.split()) < LABEL_WORDS or text.endswith((":", "："))
        if is_name and 0 < block.level < below:
            names.append((block.level, text.rstrip(":：")))
            continue
        for one in [text] if block.kind == "item" else sentences(text):
            kind = _kind(one, [name for _, name in [*headings, *names]])
            is_needed = block.kind != "detail" or kind in ("breaking", "security")
            if is_needed and not one.startswith(("...", "…")) and not one.endswith(_LEADS_ON):
                said = _under(names, one)
                yield KeyPoint(text=said, kind=kind, section=section, whole=block.kind == "item")


def _under(names: Sequence[tuple[int, str]], text: str) -> str:
    for _, name in reversed(names):
        text = text if name.casefold() in text.casefold() else f"{name}: {text}"
    return text


def clean(text: str) -> str:
    """Return a text without who did it and under which number, where these stand at its end."""
    text = re.sub("(?<=[。！？）])(?=\ue000)", " ", text)
    text = CREDITED.sub(lambda found: found[0].replace(" ", "\xa0"), text)
    words = text.split(" ")
    said = " ".join(words[: _end(words)]).rstrip(" -–—,;")
    if text.endswith(".") and said[-1:].isalnum():
        said += "."
    said = MARKS.sub("", said).replace("\xa0", " ")
    return re.sub(r"^(?::[a-z0-9_+-]+:\s*|\[![A-Z]+\]\s*)+", "", said)


def _end(words: Sequence[str]) -> int:
    """Return where the credits begin: in brackets, behind a sign or a word such as “by”."""
    first = len(words)
    while first and (_is_credit(words[first - 1]) or _is_by(words[first - 1])):
        first -= 1
    for start in range(first, len(words)):
        run = words[start:]
        count, joined = sum(map(_is_credit, run)), " ".join(run)
        if not count or any(joined.count(a) != joined.count(b) for a, b in ("()", "[]")):
            continue
        # a number may belong to its sentence: “a regression in #12”
        is_said = run[0].casefold() in ("in", "to", "see", "and") and "/" not in run[-1]
        stands_apart = start and words[start - 1][-1:] in ".。!！?？,;，；"
        begins = run[0][:1] in "([" or _is_by(run[0])
        if stands_apart or (begins and (count > 1 or not is_said)):
            return start
    return len(words)


def _is_by(word: str) -> bool:
    return bool(_BY.fullmatch(word.strip(_AROUND)))


def _is_credit(word: str) -> bool:
    return bool(_CREDIT.fullmatch(word.strip(_AROUND)))


def _leads_away(block: Block) -> bool:
    """Say whether a paragraph is mostly links, or names several that only its project has."""
    said = sum(len(link.text) for link in block.links)
    own = [link for link in block.links if "://" not in link.url]
    return block.kind == "paragraph" and (2 * said > len(block.text) or len(own) > 1)


def _kind(text: str, headings: Sequence[str]) -> PointKind:
    """Return what an item warns of, else what the nearest heading says, else its first word."""
    known: list[PointKind] = [kind for one in reversed(headings) for kind in _kinds_of(one)]
    by_itself = kind_by_itself(text)
    is_chore = known[:1] == ["internal"] and by_itself == "security"
    if by_itself in ("breaking", "security") and (not is_chore or _NUMBERED.search(text)):
        return by_itself
    return known[0] if known else (by_itself or "other")


def kind_by_itself(text: str) -> PointKind | None:
    """Return what a text says that it is, whatever it stands under."""
    if _BREAKING.search(text):
        return "breaking"
    if _NUMBERED.search(text) or _SECURITY.search(text):
        return "security"
    return next((kind for kind, words in _VERBS if re.search(words, text, re.I)), None)


def _kinds_of(heading: str) -> list[PointKind]:
    if re.match(r"what['’]?s changed", heading, re.I):
        return []
    return [kind for kind, words in _SECTIONS.items() if words.search(heading)]
