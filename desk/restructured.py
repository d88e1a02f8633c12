"""ReStructuredText: titles by their adornment; the rest is parsed where it is read."""

import re
from collections.abc import Callable
from typing import cast

from docutils import core

from hitl_orchestrator.desk.document import CREDIT, Block, Document, Heading, read_html

_publish = cast(Callable[..., dict[str, str]], core.publish_parts)  # its types are partly unknown
_SIGNS = re.compile(r"^\.\. |:[\w:]+:`[^`]+`|`__?\b|^[^\s#|>*-].*\n([~^\"'+*:.])\1{3,}\s*$", re.M)
_ADORNMENT = re.compile(r"([=\-~^\"'`#*+:.<>_])\1{2,}\s*$")
_TARGETS = re.compile(r"^\.\. (?:_[^:\n]+:[ \n]|\|[^|\n]+\|).*$", re.M)
_ROLE = re.compile(r":([\w:.+-]+):`([^`]+)`")
_CREDITS = {"issue", "pr", "pull", "user", "gh", "gh-issue", "commit", "bug", "ticket", "author"}
_SETTINGS = {
    "report_level": 5,
    "halt_level": 5,
    "doctitle_xform": False,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
}


def is_restructured(text: str) -> bool:
    """Say whether a text is reStructuredText, and not Markdown."""
    return not re.search(r"^#{1,6} \S", text, re.M) and bool(_SIGNS.search(text))


def open_restructured(text: str) -> Document:
    """Return a document; titles are found by their lines, since parsing all of it takes seconds."""
    lines = text.split("\n")
    targets = "\n".join(_TARGETS.findall(text))

    def read(first: int, last: int) -> list[Block]:
        part = "\n".join([*lines[first:last], "", targets, ""])
        source = _ROLE.sub(_without_role, part)
        html = _publish(source, writer="html5", settings_overrides=_SETTINGS)["body"]
        return read_html(re.sub(r'<p class="admonition-title">.*?</p>', "", html))

    return Document(_titles(lines), lines, read)


def _titles(lines: list[str]) -> list[Heading]:
    """Return the titles; the first adornment is that of the highest level."""
    levels, found = list[str](), list[Heading]()
    for number, line in enumerate(lines[1:], start=1):
        title = lines[number - 1].rstrip()
        under = _ADORNMENT.match(line)
        is_title = title and title[0] != "." and not _ADORNMENT.match(title)
        if not under or not is_title or len(line.rstrip()) < len(title):
            continue
        over = number > 1 and lines[number - 2].strip() == line.strip()
        if title[0] == " " and not over:
            continue
        style = under[1] * (2 if over else 1)
        if style not in levels:
            levels.append(style)
        text = re.sub(r"`([^`<]+?)\s*(?:<[^>]*>)?`_*|[*`]", r"\1", title)
        begins = number - 2 if over else number - 1
        found.append(Heading(begins, number + 1, levels.index(style) + 1, " ".join(text.split())))
    return found


def _without_role(found: re.Match[str]) -> str:
    """Return the text of a role as it reads; those of Sphinx and its extensions are many."""
    label = re.sub(r"\s*<[^>]*>$", "", found[2]).removeprefix("!")
    role = found[1].rpartition(":")[2]
    if role in _CREDITS:
        return CREDIT.format(label)
    if role in ("rfc", "pep"):
        return f"{role.upper()} {label.partition('#')[0]}"
    return f"``{label[1:].rpartition('.')[2] if label.startswith('~') else label}``"
