"""A source as headings and blocks of plain text, whichever markup it is written in."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import zip_longest
from typing import Literal, NamedTuple

# Around the text of a link to an issue, a commit or a person, so that it can be told apart.
MARKS = re.compile("[\ue000\ue001]")
CREDIT = "\ue000{}\ue001"
CREDITED = re.compile("\ue000[^\ue001]*\ue001")
_CREDIT = re.compile(
    r"/(?:pull|pulls|issues?|merge_requests|commit|commits|security/advisories)/[\w-]+"
    r"|^https?://(?:www\.)?(?:github|gitlab|codeberg|bitbucket)\.\w+/(?:apps/)?[\w.-]+/?$"
    r"|^https?://(?:twitter|x|mastodon\.\w+)\.\w+/"
)
_RELEASE = re.compile(r"/(?:releases/tag|compare|tree|tag|-/tags|-/releases|-/compare)/")
LABEL_WORDS = 5  # what has fewer is a name, not a sentence
_APART = re.compile(
    "h[1-7]|p|li|ul|ol|dl|dt|dd|div|table|tr|blockquote|summary|details|aside|section"
)
# Behind these the parser takes all that follows for text of theirs.
_RAW = re.compile(r"<(?=/?(?:script|style|title|textarea|iframe|noembed|xmp|plaintext)\b)", re.I)
# Code that stands apart and what is struck out, as far as that goes where nobody closed it.
_HIDDEN = re.compile(r"<(pre|del|s|strike)\b.*?(?:</\1>|(?=</?(?:li|p|td)\b)|\Z)", re.S | re.I)
_ONLY_BOLD = re.compile(r"<p>\s*<(strong|b)>((?:(?!<strong|<b\b).)*)</\1>\s*([:：]?)\s*</p>", re.S)


class Hyperlink(NamedTuple):
    url: str
    text: str


class Heading(NamedTuple):
    """`line`: where it begins, `body`: where what stands under it does. `level`: 1 is the top."""

    line: int
    body: int
    level: int
    text: str
    links: tuple[Hyperlink, ...] = ()


class Block(NamedTuple):
    """`level` of a heading (7 in bold, 8 with a colon), or the depth of an item.

    A `detail` is what follows in an item.
    """

    kind: Literal["heading", "item", "detail", "paragraph"]
    level: int
    text: str
    links: tuple[Hyperlink, ...] = ()


class Document(NamedTuple):
    """`read`: the blocks between two lines."""

    headings: list[Heading]
    lines: list[str]
    read: Callable[[int, int], list[Block]]


def is_credit(url: str) -> bool:
    """Say whether an address leads to an issue, a commit or a profile: nowhere for readers."""
    return bool(_CREDIT.search(url))


def is_release_link(url: str) -> bool:
    """Say whether an address leads to a release's tag, or to what it compares."""
    return bool(_RELEASE.search(url))


def read_html(html: str) -> list[Block]:
    """Return what is read there; what only introduces a list (“Added:”) is a heading."""
    reader = _Reader()
    html = _HIDDEN.sub("", _RAW.sub("&lt;", html))
    reader.feed(_ONLY_BOLD.sub(r"<h7>\2\3</h7>", html))
    reader.close()
    reader.end_block()
    found: list[Block] = []
    for block, following in zip_longest(reader.blocks, reader.blocks[1:]):
        leads_on = block.kind == "paragraph" and block.text.endswith((":", "："))
        if leads_on and (following is None or following.kind != "item"):
            continue  # it introduces what is no text: code, a picture
        if leads_on:
            block = block._replace(kind="heading", level=8)
        if block.kind == "heading" and len(block.text.split()) < LABEL_WORDS:
            block = block._replace(text=block.text.rstrip(" :："))
        found.append(block)
    return found


class _Reader(HTMLParser):
    """Gathers text until a tag begins or ends what stands apart."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self.text, self.links, self.depth = "", list[Hyperlink](), 0
        self.opened = ("", 0)
        self.is_fresh = self.is_undone = self.is_table = False
        self.heads, self.cells = list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if _APART.fullmatch(tag) and not self.is_table:
            self.end_block()
        if tag == "a":
            self.opened = (given.get("href") or "", len(self.text))
        elif tag == "input" and given.get("type") == "checkbox":
            self.is_undone = "checked" not in given
        elif tag == "br":
            self.text += " "
        elif tag in ("ul", "ol"):
            self.depth += 1
        elif tag == "li":
            self.is_fresh = True
        elif tag == "table":
            self.is_table, self.heads = True, []
        elif tag in ("tr", "td", "th"):
            self.text, self.cells = "", [] if tag == "tr" else self.cells

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._end_link()
        elif tag in ("td", "th"):
            (self.heads if tag == "th" else self.cells).append(" ".join(self.text.split()))
            self.text = ""
        elif tag == "tr" and self.cells:
            self.blocks.append(Block("item", 1, self._row(), tuple(self.links)))
            self.text, self.links = "", []
        elif _APART.fullmatch(tag) and (tag == "table" or not self.is_table):
            self.end_block(int(tag[1]) if tag[1:].isdigit() else 0)
            self.is_table = False
        if tag in ("ul", "ol"):
            self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.text += data

    def end_block(self, heading: int = 0) -> None:
        text, kind = " ".join(self.text.split()), "paragraph"
        if heading:
            kind = "heading"
        elif self.depth:
            kind = "item" if self.is_fresh else "detail"
        if text and not self.is_undone:
            self.blocks.append(Block(kind, heading or self.depth, text, tuple(self.links)))
        self.is_fresh = self.is_fresh and not text
        self.text, self.links, self.is_undone = "", [], False

    def _end_link(self) -> None:
        url, start = self.opened
        label = " ".join(self.text[start:].split())
        if label and is_credit(url):
            self.text = self.text[:start] + CREDIT.format(label)
        elif label:
            self.links.append(Hyperlink(url, label))

    def _row(self) -> str:
        """Return a table's row as “Parser: faster”; of more than two columns each has its head."""
        if len(self.heads) <= 2:
            return ": ".join(filter(None, self.cells))
        pairs = zip(self.heads, self.cells, strict=False)
        return "; ".join(f"{head}: {cell}" for head, cell in pairs if cell)
