"""Notices to people: who is told of each question that waits, and in which words."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.hitl import HitlRequest, Urgency

LONGEST_LINE = 300
_BEGINS = r"(?:[^\s,=:/?#&]{1,255}=)?[A-Za-z][\w+.-]*://"  # an address may have commas of its own
_BETWEEN = re.compile(rf"[,\s]+(?={_BEGINS})")
_ENTRY = re.compile(rf"(?={_BEGINS}\S)(?:([^\s,=:/?#&]+)=)?(\S+)")


class Receiver(NamedTuple):
    """`url`: where to, as apprise writes it; it may hold secrets.

    `person`: who reads there, and whom the links name; None: not one person.
    """

    url: str
    person: str | None = None

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]


class Notice(NamedTuple):
    title: str
    body: str


def read_receivers(text: str) -> Sequence[Receiver]:
    """Return those of `ada=mailto://…, slack://…`. Raise ValueError, without the text."""
    entries = [_ENTRY.fullmatch(one) for one in _BETWEEN.split(text.strip(", \n\t"))]
    if not all(entries):
        raise ValueError("an entry is no address")
    return [Receiver(entry[2], entry[1]) for entry in entries if entry]


def word_notice(request: HitlRequest, link: str) -> Notice:
    """Return a line and a link."""
    line = " ".join(request.question.split())
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE - 1]}…"
    urgent = "High urgency: " if request.urgency is Urgency.HIGH else ""
    until = f"\nUntil {request.expiresAt:%Y-%m-%d %H:%M} UTC." if request.expiresAt else ""
    label = request.contractSummary.capabilityLabel
    return Notice(f"{urgent}{label} asks", f"{line}\n{link}{until}")
