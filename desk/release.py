"""A release as its heading names it: number, product, and what is said against it."""

import re
from typing import Literal, NamedTuple

from hitl_orchestrator.desk.document import MARKS, Heading, Hyperlink
from hitl_orchestrator.desk.language import pattern_of

_PRE = r"alpha|beta|preview|pre|rc|dev|canary|nightly|next|snapshot"
VERSION = re.compile(
    rf"(?<![\d.])\d+(?:\.\d+)+(?:(?:[-._ ]?(?:{_PRE}|post)|[-._]?[abcm])(?:[-._]?\d+)*(?![a-z]))?"
    r"(?!\.?\d|\.[x*])",
    re.I,
)
PRERELEASE = re.compile(
    rf"\d[-._ ]?(?:{_PRE}|[abcm])(?![a-z])|\b(?:alpha|beta|preview|rc|pre-?release)\b", re.I
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = re.compile(
    rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th)?\s+)?\b{_MONTH}\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?\d{{4}}",
    re.I,
)
_WHOLE = re.compile(r"\[?(?:v|version |release )?(\d{1,4})\]?(?:\s*[-–—(/:].*)?$", re.I)
_UNRELEASED = pattern_of("unreleased")
_YANKED = re.compile(r"\b(?:yanked|withdrawn|retracted)\b", re.I)
NOISE = pattern_of("title")
_MAY_FOLLOW = re.compile(
    rf"[\])}}*_\"'’]*\s*(?:$|[^\w\s]|\d|{NOISE.pattern}|{_UNRELEASED.pattern})", re.I
)
_LINKING = re.compile(
    r"^(?:(?:of|for|in|to|the|our|new|von|für|zu|der|die|das|de|du|des|la|le|del|do|da)\s+|d['’])+",
    re.I,
)
_NO_NAME = re.compile(
    r"\b(?:to|from|for|with|since|until|in|on|after|before|and|how|why|when|upgrad\w*|migrat\w*"
    r"|support\w*|compatib\w*|removed|requires?|supported|nach|von|vers|depuis)\b",
    re.I,
)


class Release(NamedTuple):
    """`name`: the product, if the heading has it. `version`: a date where there is no number.

    `spans`: the lines of what it says; more than one if its heading stands there again.
    """

    name: str
    version: str | None
    heading: str
    spans: tuple[tuple[int, int], ...]
    links: tuple[Hyperlink, ...] = ()
    doubt: Literal["", "yanked", "unreleased"] = ""
    is_prerelease: bool = False

    @property
    def label(self) -> str:
        number = self.version or ("Unreleased" if self.doubt else "")
        return " ".join(filter(None, [self.name, number])) or "It, without a number"


def read_heading(heading: Heading) -> tuple[Release, bool] | None:
    """Return the release a heading begins, and whether it names nothing besides."""
    text = MARKS.sub("", heading.text).strip()
    is_unreleased, is_yanked = bool(_UNRELEASED.search(text)), bool(_YANKED.search(text))
    numbers = sorted(VERSION.finditer(text), key=lambda one: bool(DATE.fullmatch(one[0])))
    number = next(iter(numbers), None) or DATE.search(text)
    whole = _WHOLE.match(text)
    if number is None and whole is None:
        is_section = is_unreleased and len(text.split()) <= 4
        release = Release("", None, text, (), heading.links, "unreleased")
        return (release, False) if is_section else None
    before, found, after = ("", whole[1], "") if whole else ("", "", "")
    if number:
        before, found, after = text[: number.start()], number[0], text[number.end() :]
    name, rest = name_in(DATE.sub(" ", before)), DATE.sub("", after)
    if _NO_NAME.search(before) or not _MAY_FOLLOW.match(rest):
        return None
    is_date = bool(DATE.fullmatch(found)) and not VERSION.fullmatch(found)
    is_pure = not name and not is_date and not re.search(r":\s*\w|\w{3,}\s+\w{3,}", rest)
    doubt = "yanked" if is_yanked else ""
    doubt = "unreleased" if is_unreleased else doubt
    is_prerelease = bool(PRERELEASE.search(found + rest))
    return Release(name, found, text, (), heading.links, doubt, is_prerelease), is_pure


def name_in(text: str) -> str:
    """Return the name that is left of a heading, if it is one."""
    left = " ".join(NOISE.sub(" ", re.sub(r"[\[\]*`_\"]", "", text)).split())
    left = re.sub(r"(?:[\s@/(:–—-]|(?<![A-Za-z])v)+$", "", _LINKING.sub("", left)).strip(
        " -–—:|()@/"
    )
    is_name = any(map(str.isalpha, left)) and len(left.split()) <= 4
    return left if is_name and not DATE.search(left) and not _NO_NAME.search(left) else ""
