"""Whom an announcement may address, and by what words a point shows that it is for them."""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Audience(NamedTuple):
    """`label` reads well after “for”."""

    id: str
    label: str
    cues: re.Pattern[str]


def _cues(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})", re.I)


GENERAL = Audience("general", "everyone", re.compile(r"(?!)"))
EXISTING = Audience(
    "existing",
    "people who already use it",
    _cues(r"upgrad|migrat|breaking|no longer|fix|remov|deprecat|chang"),
)
SPECIFIC = (
    Audience(
        "developers",
        "developers",
        _cues(
            r"apis?\b|sdk|cli\b|command|endpoint|webhook|function|method|type hint|typed|python"
            r"|javascript|typescript|rust\b|npm\b|pip\b"
            r"|librar|package|import|plugin|schema|decorator|async|exception|compiler|debug"
            r"|parameter|argument|flag\b|json\b|git\b"
        ),
    ),
    Audience(
        "operators",
        "people who run it",
        _cues(
            r"deploy|docker|kubernetes|helm|container|environment variable|configur|migrat"
            r"|upgrad|metric|logs?\b|logging|backup|database"
            r"|postgres|mysql|redis|memory|cpu\b|server|proxy|admin|tls\b|timeout|retention"
            r"|worker|cluster"
        ),
    ),
    Audience(
        "users",
        "the people who use it every day",
        _cues(
            r"button|screen|dark (?:mode|theme)|page\b|editor|search|keyboard|shortcut|mobile"
            r"|app\b|notification|language|export|dashboard"
            r"|accessib|menu|drag|sidebar|theme|calendar|invoice|spreadsheet|click"
        ),
    ),
    Audience(
        "security",
        "security teams",
        _cues(
            r"cve-|vulnerab|securit|authenticat|authoriz|token|sso\b|saml|oauth|permission"
            r"|encrypt|audit|tls\b|password|two-factor|2fa|passkey"
        ),
    ),
    Audience(
        "deciders",
        "those who decide about it",
        _cues(
            r"pric|cost|licen[cs]|contract|customer|complian|gdpr|roadmap|partner|fund|invest"
            r"|market|compan|revenue|hir(?:e|ing)|saving"
        ),
    ),
)


def addressed_by(texts: Iterable[str]) -> list[tuple[Audience, list[str]]]:
    """Return the specific audiences that any of the texts is for, with those texts.

    The most addressed comes first.
    """
    lines = list(texts)
    found: list[tuple[Audience, list[str]]] = []
    for audience in SPECIFIC:
        if theirs := [line for line in lines if audience.cues.search(line)]:
            found.append((audience, theirs))
    return sorted(found, key=lambda pair: -len(pair[1]))


def meant(description: str) -> Audience:
    """The one a person's own words name, else everyone: “Python developers at banks” are
    developers.
    """
    return next(
        (
            a
            for a in (EXISTING, *SPECIFIC)
            if re.search(rf"\b{a.id.removesuffix('s')}", description, re.I)
        ),
        GENERAL,
    )


def named(id_: str | None) -> Audience:
    return next((a for a in (EXISTING, *SPECIFIC) if a.id == id_), GENERAL)
