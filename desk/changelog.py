"""A source as what it is about and the releases that it has."""

import re
from typing import NamedTuple

from hitl_orchestrator.desk.document import MARKS, Document
from hitl_orchestrator.desk.markdown import open_markdown
from hitl_orchestrator.desk.release import NOISE, Release, name_in, read_heading
from hitl_orchestrator.desk.restructured import is_restructured, open_restructured


class Changelog(NamedTuple):
    """`title`: unless it is a word for changelog; `product`: if the title names one."""

    text: str
    document: Document
    title: str
    product: str
    releases: tuple[Release, ...]


def read_changelog(text: str) -> Changelog:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    document = open_restructured(text) if is_restructured(text) else open_markdown(text)
    releases = _releases(document)
    title = _title(document)
    if not releases:
        end = len(document.lines)
        first = next((one for one in document.headings if one.level == 1), None)
        spans = ((0, first.line), (first.body, end)) if first else ((0, end),)
        releases = [Release("", None, "", spans)]
    product = name_in(title)
    return Changelog(text, document, title, product, tuple(releases))


def read_source(source: str, objective: str) -> Changelog:
    """Return what there is to draw on; without a source what the objective says behind its colon.

    As in “Announce Acme 2: a theme”.
    """
    if source:
        return read_changelog(source)
    said = [*re.split(r":\s", objective, maxsplit=1), ""][1]
    return read_changelog(said)._replace(text=objective)


def _releases(document: Document) -> list[Release]:
    read = [(one, read_heading(one)) for one in document.headings]
    known = [(heading, found) for heading, found in read if found]
    top = min((heading.level for heading, _ in known), default=0)
    starts = {heading: found[0] for heading, found in known if heading.level == top or found[1]}
    merged: dict[tuple[str, str | None], Release] = {}
    for heading, release in starts.items():
        after = [one for one in document.headings if one.line > heading.line]
        last = (one.line for one in after if one in starts or one.level < heading.level)
        span = (heading.body, next(last, len(document.lines)))
        key = (release.name, release.version)
        before = merged.get(key)
        spans = (*(before.spans if before else ()), span)
        merged[key] = (before or release)._replace(spans=spans)
    return [*merged.values()]


def _title(document: Document) -> str:
    """Return what stands on top, unless it is a release or a word for changelog alone."""
    for heading in document.headings[:1]:
        text = MARKS.sub("", heading.text).strip()
        below = {one.level for one in document.headings if read_heading(one)}
        is_on_top = heading.level == 1 or heading.level < min(below, default=0)
        if is_on_top and not read_heading(heading):
            return text if NOISE.sub("", text).strip(" -–—:|()[]") else ""
    return ""
