"""Markdown as a list of blocks in plain text: headings, list items, paragraphs."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hitl_orchestrator.desk.prose import addresses

MAX_CHARACTERS = 100_000  # the rest is not read

Beginning = Literal["bold", "code", "plain"]
# a table is left out, but must not look like a paragraph
_PARSER = MarkdownIt("commonmark").enable("table")


class Hyperlink(NamedTuple):
    url: str
    text: str


class Block(NamedTuple):
    """`nested`: what stands deeper in a list item. `level`: of a heading, else 0."""

    kind: Literal["heading", "item", "nested", "paragraph"]
    level: int
    text: str
    begins: Beginning
    links: tuple[Hyperlink, ...]


def blocks(markdown: str) -> list[Block]:
    """In reading order; without code blocks, HTML, tables and images."""
    return list(_blocks(_PARSER.parse(markdown[:MAX_CHARACTERS])))


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    lists = heading = 0
    in_table = item_begins = list_was_introduced = False
    for token in tokens:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                lists += 1
            case "bullet_list_close" | "ordered_list_close":
                lists -= 1
            case "list_item_open":
                item_begins = True
            case "heading_open":
                heading = int(token.tag[1])
            case "table_open" | "table_close":
                in_table = token.type == "table_open"
            case "inline" if not in_table:
                text, begins, links = _inline(token.children or [])
                if heading:
                    kind = "heading"
                elif not lists:
                    kind = "paragraph"
                else:  # an item that ends in a colon (“Added:”) only introduces the items below it
                    kind = (
                        "item" if item_begins and (lists == 1 or list_was_introduced) else "nested"
                    )
                    list_was_introduced = text.endswith(":") if lists == 1 else list_was_introduced
                yield Block(kind, heading, text, begins, links)
                heading, item_begins = 0, False
            case _:
                pass


def _inline(children: Sequence[Token]) -> tuple[str, Beginning, tuple[Hyperlink, ...]]:
    text, opened, begins = "", ("", 0), None
    links: list[Hyperlink] = []
    for child in children:
        match child.type:
            case "text" | "code_inline":
                text += child.content
                if child.type == "code_inline":
                    begins = begins or "code"
                elif child.content:
                    begins = begins or "plain"
            case "softbreak" | "hardbreak":
                text += " "
            case "strong_open":
                begins = begins or "bold"
            case "link_open":
                opened = (str(child.attrGet("href") or ""), len(text))
            case "link_close":
                links.append(Hyperlink(opened[0], " ".join(text[opened[1] :].split())))
            case _:
                pass
    text = " ".join(text.split())
    return text, begins or "plain", (*links, *(Hyperlink(url, "") for url in addresses(text)))
