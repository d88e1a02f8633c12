"""Markup as blocks of plain text: its own parser makes HTML of it, which is read here."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import NamedTuple, cast

from docutils import core
from markdown_it import MarkdownIt
from mdit_py_plugins.tasklists import tasklists_plugin

BOLD, COLON, PARAGRAPH, ITEM = 7, 8, 9, 10  # levels of a Block; an item adds its depth
UNDONE = "\ue002"  # the box of a task that is not done
_CREDIT_MARKS = "\ue000{}\ue001"  # around a link to an issue, a commit or a person
# To an issue, a commit or a profile: nowhere for readers.
CREDIT_LINK = re.compile(
    r"/(?:pull|pulls|issues?|merge_requests|commit|commits|security/advisories)/[\w-]+"
    r"|^https?://(?:www\.)?(?:github|gitlab|codeberg|bitbucket)\.\w+/(?:apps/)?[\w.-]+/?$"
    r"|^https?://(?:twitter|x|mastodon\.\w+)\.\w+/"
)
_ROLE = re.compile(r":(?:[\w.+-]+:)*([\w.+-]+):`!?([^`]+?)(?:\s*<[^>`]*>)?`")
_CREDIT_ROLES = ("issue", "pr", "pull", "user", "gh", "gh-issue", "commit", "bug", "ticket")
_RST_OFF = ("doctitle_xform", "file_insertion_enabled", "raw_enabled")
_RST_SETTINGS = {"report_level": 5, "halt_level": 5, "_disable_config": True} | dict.fromkeys(
    _RST_OFF, False
)
_publish = cast(Callable[..., dict[str, str]], core.publish_parts)  # its types are partly unknown
_APART = re.compile(
    "h[1-7]|p|li|ul|ol|dl|dt|dd|div|table|tr|blockquote|summary|details|aside|section"
)
# What HTML is made simpler by, in this order.
_SIMPLER = [
    (re.compile(pattern, re.S | re.I), text)
    for pattern, text in (
        (r"<!--(?:(?!<!--).)*?-->", ""),
        # behind these the parser takes all that follows for text of theirs
        (r"<(?=!--|/?(?:script|style|title|textarea|iframe|noembed|xmp|plaintext)\b)", "&lt;"),
        (r'<p class="admonition-title">.*?</p>', ""),
        # code that stands apart and what is struck out, as far as that goes if nobody closed it
        (r"<(pre|del|s|strike)\b.*?(?:</\1>|(?=</?(?:li|p|td)\b)|\Z)", ""),
        (r"<p>\s*<(strong|b)>((?:(?!<strong|<b\b).)*)</\1>\s*([:：]?)\s*</p>", r"<h7>\2\3</h7>"),
        (r"<br\b[^>]*>", " "),
        (r"<input\b(?![^>]*checked=)[^>]*>", UNDONE),
    )
]


class Block(NamedTuple):
    """`level`: 1 to 6 of a heading, then as above. A detail is what follows in an item.

    `links`: the address and the text of each.
    """

    level: int
    text: str
    links: tuple[tuple[str, str], ...] = ()
    is_detail: bool = False

    @property
    def is_item(self) -> bool:
        return self.level > ITEM and not self.is_detail


def read_markdown(text: str) -> list[Block]:
    """Read Markdown as GitHub has it: tables, task lists, HTML in between."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(tasklists_plugin)
    return _read_html(str(parser.render(text)))


def read_restructured(text: str) -> list[Block]:
    source = _ROLE.sub(_without_role, text)
    return _read_html(_publish(source, writer="html5", settings_overrides=_RST_SETTINGS)["body"])


def _without_role(found: re.Match[str]) -> str:
    """Return the text of a role as it reads; those of Sphinx and its extensions are many."""
    role, label = found.groups()
    if role in _CREDIT_ROLES:
        return _CREDIT_MARKS.format(label)
    if role in ("rfc", "pep"):
        return f"{role.upper()} {label.partition('#')[0]}"
    return f"``{label[1:].rpartition('.')[2] if label.startswith('~') else label}``"


def _read_html(html: str) -> list[Block]:
    for pattern, text in _SIMPLER:
        html = pattern.sub(text, html)
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.end_block()
    return reader.blocks


class _Reader(HTMLParser):
    """Gathers text until a tag begins or ends what stands apart."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.text, self.links = list[Block](), "", list[tuple[str, str]]()
        self.depth, self.is_fresh, self.opened = 0, False, ("", 0)
        self.heads, self.cells, self.is_cell = list[str](), list[str](), False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if _APART.fullmatch(tag) and not self.is_cell:
            self.end_block()
        self.depth += tag in ("ul", "ol")
        self.is_fresh |= tag == "li"
        self.is_cell |= tag in ("td", "th")
        if tag == "a":
            self.opened = (dict(attrs).get("href") or "", len(self.text))
        elif tag == "table":
            self.heads = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._end_link()
        elif tag in ("td", "th"):
            (self.heads if tag == "th" else self.cells).append(" ".join(self.text.split()))
            self.text, self.is_cell = "", False
        elif tag == "tr":
            self._end_row()
        elif _APART.fullmatch(tag) and not self.is_cell:
            self.end_block(int(tag[1]) if tag[1:].isdigit() else 0)
        self.depth -= tag in ("ul", "ol")

    def handle_data(self, data: str) -> None:
        self.text += data

    def end_block(self, level: int = 0) -> None:
        """Keep the text so far, if there is any, as a block of that level or where it stands."""
        is_item = self.depth > 0 and not level
        level = level or (ITEM + self.depth if is_item else PARAGRAPH)
        if text := " ".join(self.text.split()):
            is_detail = is_item and not self.is_fresh
            self.blocks.append(Block(level, text, tuple(self.links), is_detail))
            self.is_fresh = False
        self.text, self.links = "", []

    def _end_link(self) -> None:
        url, start = self.opened
        label = " ".join(self.text[start:].split())
        if label and CREDIT_LINK.search(url):
            self.text = self.text[:start] + _CREDIT_MARKS.format(label)
        elif label:
            self.links.append((url, label))

    def _end_row(self) -> None:
        """Keep a row as “Parser: faster”; of more than two columns each has its head."""
        pairs = zip(self.heads, self.cells, strict=False)
        named = "; ".join(f"{head}: {cell}" for head, cell in pairs if cell)
        self.text = named if len(self.heads) > 2 else ": ".join(filter(None, self.cells))
        self.cells = []
        self.end_block(ITEM + 1)
