"""A release as its heading names it: number, product, and what is said against it."""

import re
from typing import Literal, NamedTuple

from hitl_orchestrator.desk.document import MARKS, Heading, Hyperlink

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
_UNRELEASED = re.compile(
    r"\b(?:unreleased|upcoming|latest changes|tbd|tba|not released|in development|unveröffentlicht"
    r"|non publié|sin publicar|não lançado)\b|未发布|未リリース|\bне выпущ|^head$|^next$",
    re.I,
)
_YANKED = re.compile(r"\b(?:yanked|withdrawn|retracted)\b", re.I)
NOISE = re.compile(
    r"\b(?:change[ -]?logs?|release notes?|release history|version history|releases?|versions?"
    r"|histor(?:y|ia|ique)|news|change[sd]|notes|archives?|what['’]?s(?: new)?(?: in)?"
    r"|overview|introduction|(?:table of )?contents|index|readme|updates?|highlights"
    r"|änderungs(?:protokoll|verlauf)|änderungen|versionshinweise|neuigkeiten"
    r"|journal des (?:modifications|changements)|notes de (?:version|publication)|nouveautés"
    r"|registro de cambios|notas de (?:la )?versi[oó]n|cambios|histórico|novedades"
    r"|список изменений|история изменений)(?!\w)|更新日志|更新日誌|变更日志|变更记录|版本记录"
    r"|変更履歴|リリースノート|更新履歴|변경 ?이력",
    re.I,
)
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


def read_heading(heading: Heading) -> tuple[Release, bool] | None:
    """Return the release a heading begins, and whether it names nothing besides."""
    text = MARKS.sub("", heading.text).strip()
    doubt = "yanked" if _YANKED.search(text) else ""
    unreleased = _UNRELEASED.search(text)
    numbers = [*VERSION.finditer(text)]
    number = next((one for one in numbers if not DATE.fullmatch(one[0])), None)
    number = number or next(iter(numbers), None) or DATE.search(text)
    whole = _WHOLE.match(text)
    if number is None and whole is None:
        if not unreleased or len(text.split()) > 4:
            return None
        return Release("", None, text, (), heading.links, "unreleased"), False
    found = number[0] if number else ""
    version = whole[1] if whole and not number else found
    before, after = (text[: number.start()], text[number.end() :]) if number else ("", "")
    name = name_in(DATE.sub(" ", before)) if before else ""
    rest = DATE.sub("", after)
    if _NO_NAME.search(before) or len(name.split()) > 4:
        return None
    if not _MAY_FOLLOW.match(rest):
        return None
    is_date = bool(DATE.fullmatch(version)) and not VERSION.fullmatch(version)
    is_pure = not name and not is_date and not re.search(r":\s*\w|\w{3,}\s+\w{3,}", rest)
    doubt = "unreleased" if unreleased else doubt
    is_prerelease = bool(PRERELEASE.search(version + rest))
    return Release(name, version, text, (), heading.links, doubt, is_prerelease), is_pure


def name_in(text: str) -> str:
    """Return the name that is left of a heading, if it is one."""
    left = " ".join(NOISE.sub(" ", re.sub(r"[\[\]*`_\"]", "", text)).split())
    left = re.sub(r"(?:[\s@/(:–—-]|(?<![A-Za-z])v)+$", "", _LINKING.sub("", left)).strip(
        " -–—:|()@/"
    )
    is_name = any(map(str.isalpha, left)) and len(left.split()) <= 4
    return left if is_name and not DATE.search(left) and not _NO_NAME.search(left) else ""
