"""What an objective says by itself: “Announce Acme CLI 2.4: parallel uploads, a dark theme and
fewer crashes”.
"""

import re

from hitl_orchestrator.desk import source
from hitl_orchestrator.desk.facets import Link
from hitl_orchestrator.desk.prose import addresses, clipped, sentences
from hitl_orchestrator.desk.source import (
    MAX_POINT_CHARACTERS,
    MAX_POINTS,
    Point,
    Source,
    version_in,
)

_ORDER = re.compile(
    r"(?:please\s+)?(?:"
    r"(?P<verb>announce|introduce|present|launch)\s+(?P<that>that\s+)?"
    r"|(?:publici[sz]e|promote|share|publish|communicate)\s+(?:that\s+)?"
    r"|tell\s+(?:\S+\s+){1,4}?(?:about|that)\s+"
    r"|(?:write|draft|create|prepare|make|compose|post|send|spread)\b[^.:]*?\b(?:about"
    r"|announcing|on|that|for)\s+"
    r")",
    re.I,
)
_GERUNDS = {
    "announce": "Announcing",
    "introduce": "Introducing",
    "present": "Presenting",
    "launch": "Launching",
}
_BEFORE_VERSION = re.compile(
    r"((?:[A-Z][\w+-]*(?:\.[\w+-]+)*\s+){1,4})(?:version\s+|release\s+)?v?\d+\.\d+"
)
_NOT_A_NAME = {
    *_GERUNDS,
    "publish",
    "promote",
    "share",
    "write",
    "draft",
    "prepare",
    "please",
    "the",
    "our",
    "version",
    "release",
}
_BETWEEN = re.compile(r"\s*[,;]\s+(?:and\s+)?|\s+and\s+")


def read(objective: str) -> Source:
    """The objective as the source, when there is no other: Markdown if it has headings or a list,
    else a sentence or two.
    """
    if re.search(r"^\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s)", objective, re.M):
        return source.read(objective, objective)
    text = " ".join(objective.split())
    order = _ORDER.match(text)
    first, *others = sentences(text[order.end() :] if order else text)
    head, _, listed = first.partition(": ")
    items = [item.strip(" .") for item in _BETWEEN.split(listed)]
    points = [point for point in (*items, *others) if point]
    return Source(
        title=_title(head.rstrip(" .:"), order),
        product=product(objective),
        version=version_in(objective),
        points=tuple(
            Point(text=_sentence_case(clipped(point, MAX_POINT_CHARACTERS)))
            for point in points[:MAX_POINTS]
        ),
        links=tuple(Link(url=url) for url in addresses(objective) if len(url) <= 900),
    )


def product(objective: str) -> str | None:
    """The name before a version."""
    found = _BEFORE_VERSION.search(objective)
    words = found[1].split() if found else []
    while words and words[0].casefold() in _NOT_A_NAME:
        del words[0]
    return " ".join(words) or None


def _title(topic: str, order: re.Match[str] | None) -> str:
    """Empty if it only names product and version."""
    if source.named(topic, release=False) == product(topic) and version_in(topic):
        return ""
    if order and order["verb"] and not order["that"]:
        topic = f"{_GERUNDS[order['verb'].casefold()]} {topic}"
    return _sentence_case(clipped(topic, 200))


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
