"""Markdown, as GitHub has it: tables, task lists, front matter, HTML in between."""

import re
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

from hitl_orchestrator.desk.document import Block, Document, Heading, read_html

_IN_LIST = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s", re.M)
_ONLY_BOLD = re.compile(r"(\*\*|__)(?!\s)(?:(?!\1).)+\1\s*[:：]?$")


def open_markdown(text: str) -> Document:
    """Return a document of which only what is asked for is parsed as a whole."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.use(front_matter_plugin).use(tasklists_plugin)
    outline = MarkdownIt("commonmark").use(front_matter_plugin)
    outline.disable(["inline", "list", "blockquote"])  # tenfold faster
    env: dict[str, Any] = {}  # the links that are defined anywhere
    lines = text.split("\n")
    headings: list[Heading] = []
    for opened, inline in pairwise(outline.parse(text, env)):
        is_bold = opened.type == "paragraph_open" and opened.level == 0
        is_bold = is_bold and bool(_ONLY_BOLD.match(inline.content))
        is_heading = is_bold or opened.type == "heading_open"
        if opened.map and is_heading and not _IN_LIST.search(inline.content):
            level = 7 if is_bold else int(opened.tag[1])
            blocks = read_html(f"<h1>{parser.renderInline(inline.content, env)}</h1>")
            line, body = opened.map
            headings += [Heading(line, body, level, one.text, one.links) for one in blocks[:1]]

    def read(first: int, last: int) -> list[Block]:
        return read_html(str(parser.render("\n".join(lines[first:last]), env)))

    return Document(headings, lines, read)
