"""A source as its headings divide it: what it is about, and the releases that it has."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from hitl_orchestrator.desk.language import patterns
from hitl_orchestrator.desk.markup import BOLD, Block, read_markdown, read_restructured

MAX_RELEASE = 200_000  # characters; the parsers take seconds for more of what is made to be slow
Doubt = Literal["", "unreleased", "yanked"]
_PRE = r"alpha|beta|preview|pre|rc|dev|canary|nightly|next|snapshot"
VERSION = re.compile(
    rf"(?<![\d.])\d+(?:\.\d+)+(?:(?:[-._ ]?(?:{_PRE}|post)|[-._]?[abcm])(?:[-._]?\d+)*(?![a-z]))?"
    r"(?!\.?\d|\.[x*])",
    re.I,
)
PRERELEASE = re.compile(
    rf"\d[-._ ]?(?:{_PRE}|[abcm])(?![a-z])|\b(?:alpha|beta|preview|rc|pre-?release)\b", re.I
)
DATE = re.compile(
    r"\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[./]\d\d?[./]\d{4}|(?:\d\d?(?:st|nd|rd|th)?\s+)?\b(?:jan|feb|mar|apr"
    r"|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?:\d\d?(?:st|nd|rd|th)?,?\s+)?\d{4}",
    re.I,
)
_WHOLE = re.compile(r"(?:v|version |release )?(\d{1,4})(?=\s*(?:[(:]|$)|\s+[-–—/])", re.I)
_WORDS = patterns("names")
_DOUBTS: tuple[Doubt, ...] = ("unreleased", "yanked")
_MAY_FOLLOW = re.compile(
    rf"[)}}_\"'’]*\s*(?:$|[^\w\s]|\d|{_WORDS['title'].pattern}|{_WORDS['unreleased'].pattern})",
    re.I,
)
# What is no text: front matter, code that is fenced, comments.
_ASIDE = re.compile(
    r"\A---\n.*?\n---$|^ *(```+|~~~+)[^`\n]*\n.*?(?:^ *\1[ \t]*$|\Z)|^ *<!--(?:(?!<!--).)*?-->",
    re.S | re.M,
)
_SIGN = r"[=\-~^\"'`#*+:.<>_]"
_HEADING = re.compile(
    r"^ {0,3}(?P<marks>#{1,6})[ \t]+(?P<marked>.*?)(?:[ \t]#+)?[ \t]*$"
    r"|^(?P<bold>(\*\*|__)(?!\s)(?:(?!\4).)+\4\s*[:：]?)$"
    rf"|^(?:(?P<over>({_SIGN})\6{{2,}})[ \t]*\n ?)?"
    rf"(?P<titled>(?!{_SIGN}{{3}}|(?:[-*+>|]|\d+[.)])\s|\.\.)\S.*)\n"
    rf"(?P<under>({_SIGN})\9{{2,}})[ \t]*$",
    re.M,
)
_MARKUP = re.compile(
    r"!\[[^\[\]]*\]\([^()]*\)|<[^<>]*>|\]\([^()]*\)|\]\[[^\[\]]*\]|`_*|[\[\]*]|\\(?=\W)"
)
_RESTRUCTURED = re.compile(
    r"^\.\. |:[\w:]+:`[^`]+`|`__?\b|^[^\s#|>*-].*\n([~^\"'+*:.])\1{3,}\s*$", re.M
)
_DEFINITION = re.compile(
    r"^(?: {0,3}\[[^\]\n]+\]:[ \t]*\S.*|\.\. (?:_[^:\n]+:[ \n]|\|[^|\n]+\|).*)$", re.M
)


class TooLong(ValueError):
    """What is said of a release is no text for people."""


class Heading(NamedTuple):
    """`begins` and `ends` in the text. `level`: 1 is the top."""

    begins: int
    ends: int
    level: int
    markup: str
    text: str


class Release(NamedTuple):
    """`name`: the product, if the heading has it. `version`: a date where there is no number.

    `markup` of the heading, and of the `body`: all that stands under headings of that number.
    """

    name: str = ""
    version: str | None = None
    heading: str = ""
    markup: str = ""
    body: str = ""
    doubt: Doubt = ""
    is_prerelease: bool = False

    @property
    def label(self) -> str:
        number = self.version or ("Unreleased" if self.doubt else "")
        return " ".join(filter(None, [self.name, number]))


class Changelog(NamedTuple):
    """`title`: unless it is a word for changelog; `definitions`: of what is linked to anywhere."""

    text: str
    is_restructured: bool
    title: str
    releases: tuple[Release, ...]
    definitions: str

    def read(self, markup: str) -> list[Block]:
        """Return its blocks. Raise TooLong."""
        text = f"{markup}\n\n{self.definitions}\n"
        if len(text) > MAX_RELEASE:
            raise TooLong(f"The release's text has more than {MAX_RELEASE} characters.")
        return read_restructured(text) if self.is_restructured else read_markdown(text)


def read_source(source: str, objective: str) -> Changelog:
    """Return what there is to draw on; without a source what the objective says behind its colon.

    As in “Announce Acme 2: a theme”.
    """
    if source:
        return read_changelog(source)
    said = [*re.split(r":\s", objective, maxsplit=1), ""][1]
    return read_changelog(said)._replace(text=objective)


def read_changelog(text: str) -> Changelog:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    is_marked = re.search(r"^#{1,6} \S", text, re.M)
    is_restructured = not is_marked and bool(_RESTRUCTURED.search(text))
    text = text if is_restructured else _ASIDE.sub("", text)
    headings = [*_find_headings(text, is_restructured)]
    known = {one: found for one in headings if (found := read_heading(one))}
    below = min((heading.level for heading in known), default=0)
    tops = [one for one in headings[:1] if one.level == 1 or one.level < below]
    title = "".join(one.text for one in tops if one not in known)
    body = "".join([text[: one.begins] + text[one.ends :] for one in tops]) or text
    releases = _find_releases(text, headings, known) or [Release(body=body)]
    title = title if re.search(r"\w", _WORDS["title"].sub("", title)) else ""
    definitions = "\n".join(_DEFINITION.findall(text))
    return Changelog(text, is_restructured, title, tuple(releases), definitions)


def _find_headings(text: str, is_restructured: bool) -> Iterator[Heading]:
    """Find them by their lines, since parsing all of a long history takes seconds.

    In reStructuredText the first adornment is that of the highest level.
    """
    styles = [] if is_restructured else ["=", "-"]
    for found in _HEADING.finditer(text):
        level = len(found["marks"] or "") or BOLD
        if found["under"]:
            style = found["under"][0] * (2 if is_restructured and found["over"] else 1)
            if is_restructured and style not in styles:
                styles.append(style)
            if style not in styles:
                continue
            level = styles.index(style) + 1
        markup = (found["marked"] or found["bold"] or found["titled"] or "").strip()
        yield Heading(*found.span(), level, markup, " ".join(_MARKUP.sub("", markup).split()))


def _find_releases(
    text: str, headings: list[Heading], known: dict[Heading, Release]
) -> list[Release]:
    """Return the releases; below the level of most of them one has a number and nothing else."""
    top = min((heading.level for heading in known), default=0)
    merged: dict[tuple[str, str | None], Release] = {}
    level, key = 0, None
    ends = [*(one.begins for one in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=False):
        found, begins = known.get(heading), heading.begins
        is_number = found and not found.name and VERSION.fullmatch(found.version or "")
        if found and (heading.level == top or is_number):
            level, begins, key = heading.level, heading.ends, (found.name, found.version)
            merged.setdefault(key, found)
        elif heading.level < level:
            key = None
        if key:
            old = merged[key]
            merged[key] = old._replace(body=f"{old.body}\n{text[begins:end]}")
    return [*merged.values()]


def read_heading(heading: Heading) -> Release | None:
    """Return the release that a heading begins."""
    text = heading.text
    doubts: list[Doubt] = [one for one in _DOUBTS if _WORDS[one].search(text)]
    doubt: Doubt = doubts[0] if doubts else ""
    release = Release(heading=text, markup=heading.markup, doubt=doubt)
    versions = (one for one in VERSION.finditer(text) if not DATE.fullmatch(one[0]))
    number = next(versions, None) or _WHOLE.match(text) or DATE.search(text)
    if number is None:
        return release if doubt == "unreleased" and len(text.split()) <= 4 else None
    before, rest = text[: number.start()], DATE.sub("", text[number.end() :])
    found = number[number.lastindex or 0]
    if _WORDS["no_name"].search(before) or not _MAY_FOLLOW.match(rest):
        return None
    return release._replace(
        name=name_in(DATE.sub(" ", before)),
        version=found,
        is_prerelease=bool(PRERELEASE.search(found + rest)),
    )


def name_in(text: str) -> str:
    """Return the name that is left of a heading, if it is one."""
    left = " ".join(_WORDS["title"].sub(" ", text.replace('"', "")).split())
    left = re.sub(r"(?:[\s@/(:–—-]|(?<![A-Za-z])v)+$", "", _WORDS["linking"].sub("", left))
    left = left.strip(" -–—:|()@/")
    is_name = any(map(str.isalpha, left)) and len(left.split()) <= 4
    return left if is_name and not (DATE.search(left) or _WORDS["no_name"].search(left)) else ""
