"""Values and texts from outside, for a person: nothing of them is hidden, nothing of them runs."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.unseen import UNSEEN

LONGEST_LINE = 90  # characters of a value beside its name
LONGEST_MARKDOWN = 50_000  # what is longer is shown as it was written
# Marks and line ends: the parser took up to 0.1 ms for each, and 4 s for the longest text.
MOST_WITH_MEANING = 5000
WITH_MEANING = re.compile(r"[\[\]()*_`~|<>&\\!#\n]")
HOST = re.compile(r"([\w.\-]+|\[[\da-fA-F:.]+\])(:\d+)?", re.ASCII)
MOST_PAIRS = 300_000  # of equal words, for all differences together: they took 0.5 s
HEADING_DEPTH = 3  # of the page that a text stands in


def show_text(text: str) -> Markup:
    """Return the text as it is, with what cannot be seen in it named: U+202E."""
    shown = UNSEEN.sub(lambda found: _name_unseen(found[0]), str(escape(text)))
    return Markup(shown)  # noqa: S704  # escaped, and the marks are ours


@lru_cache(maxsize=256)
def _name_unseen(character: str) -> str:
    name = unicodedata.name(character, "a character that cannot be seen")
    return f'<b class="unseen" title="{name}">U+{ord(character):04X}</b>'


def _show_image(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    """Load nothing: whoever wants to see it follows the link."""
    image = tokens[at]
    label = Markup("image: {}").format(show_text(image.content or "without a text"))
    if image.meta.get("is_in_link"):
        return label
    source = str(image.attrs.get("src", ""))
    return _open_link(source) + label + _close_link(_find_unsaid(source, image.content))


def _show_words(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    return show_text(tokens[at].content)


def _show_code(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    code = Markup("<code>{}</code>").format(show_text(tokens[at].content))
    return (
        code
        if tokens[at].type == "code_inline"
        else Markup('<pre tabindex="0">{}</pre>').format(code)
    )


def _show_link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    return _open_link(str(tokens[at].attrs.get("href", "")))


def _end_link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    return _close_link(str(tokens[at].meta.get("unsaid", "")))


def _tell_targets(tokens: Sequence[Token]) -> None:
    """Write to the end of each link what its own words do not say of where it leads."""
    address, words = "", list[str]()
    for token in tokens:
        if token.type == "link_open":
            address, words = str(token.attrs.get("href", "")), []
        elif token.type == "link_close":
            token.meta["unsaid"] = _find_unsaid(address, "".join(words))
            address = ""
        elif token.type == "image":
            token.meta["is_in_link"] = bool(address)
        words.append(token.content)


def _find_unsaid(address: str, words: str) -> str:
    """Return host or mailbox, unless the words are nothing but that, or the address itself."""
    parts = urlsplit(address)
    target = parts.path if parts.scheme == "mailto" else parts.netloc
    is_said = words.strip().rstrip("/") in (target, address.rstrip("/"))
    return "" if is_said else target


def _open_link(address: str) -> Markup:
    """It says nothing of where it came from."""
    return Markup('<a rel="noreferrer noopener" target="_blank" href="{}">').format(address)


def _close_link(unsaid: str) -> Markup:
    return Markup("</a>") + (Markup(" ({})").format(show_text(unsaid)) if unsaid else "")


def _may_lead(address: str) -> bool:
    """Tell whether it may be a link: a host without a user's name, or a mailbox."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return bool(parts.path)
    return parts.scheme in ("http", "https") and HOST.fullmatch(parts.netloc) is not None


def _make_markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    made.enable(["table", "strikethrough"])
    made.validateLink = _may_lead  # type: ignore[method-assign]
    rules = {
        "text": _show_words,
        "image": _show_image,
        "link_open": _show_link,
        "link_close": _end_link,
        "code_inline": _show_code,
        "code_block": _show_code,
        "fence": _show_code,
    }
    for name, rule in rules.items():
        made.add_render_rule(name, rule)
    return made


_markdown = _make_markdown()


def render_markdown(text: str | None) -> Markup:
    """Return Markdown as HTML that loads and runs nothing; HTML in it is text."""
    if not text:
        return Markup("")
    if len(text) > LONGEST_MARKDOWN or len(WITH_MEANING.findall(text)) > MOST_WITH_MEANING:
        return Markup('<div class="text">{}</div>').format(show_text(text))
    tokens = _markdown.parse(text)
    for token in tokens:
        _tell_targets(token.children or ())
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + HEADING_DEPTH, 6)}"
        if align := token.attrs.pop("style", None):  # of a table's cell; the policy forbids styles
            token.attrs["class"] = str(align).rpartition(":")[2]
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    return Markup(html)  # noqa: S704  # each rule escapes what it shows


def write_age(since: datetime | None, now: datetime) -> str:
    return write_span(now - since) if since else ""


def write_span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def is_nested(value: Json) -> bool:
    return isinstance(value, dict | list) and bool(value)


def is_long(value: Json) -> bool:
    """Tell whether it wants lines of its own, below its name."""
    if isinstance(value, str):
        return len(value) > LONGEST_LINE or "\n" in value
    return is_nested(value)


def name_kind(value: Json) -> str:
    """Return what a value is, where it could be taken for something else; empty: it could not.

    The text 15 and the number 15 look alike, and so do an empty text and none at all.
    """
    if value is None:
        return "null"
    if value == "":
        return "empty text"
    if value == [] or value == {}:
        return "empty list" if isinstance(value, list) else "empty object"
    if isinstance(value, str) and _looks_like_another(value):
        return "text"
    return ""


def _looks_like_another(text: str) -> bool:
    """Tell whether it reads like a number, a truth value, null, or what the page says of them."""
    word = text.strip().lower()
    is_as_said = text.endswith(" (text)") or word.strip("()") in SAID
    is_number = re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?", word) is not None
    return is_as_said or is_number or text != text.strip()


SAID = ("true", "false", "null", "none", "empty text", "empty list", "empty object", "text")


def write_value(value: Json) -> str:
    """Return a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


Path = tuple[str, ...]


class Changed(NamedTuple):
    """`parts`: ("same" | "gone" | "new", text)."""

    name: str
    parts: Sequence[tuple[str, str]]


def find_changes(before: JsonObject, after: JsonObject) -> list[Changed]:
    """Return what differs, name by name and word by word."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    changed = [at for at in dict.fromkeys([*old, *new]) if old.get(at) != new.get(at)]
    most_pairs = MOST_PAIRS // max(1, len(changed))
    return [
        Changed(" › ".join(at), _compare(old.get(at, ""), new.get(at, ""), most_pairs))
        for at in changed
    ]


def _flatten(value: Json, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each single value within it, by where it stands, in words no other value has."""
    inside: Sequence[tuple[str, Json]] = ()
    if isinstance(value, dict):
        inside = [*value.items()]
    elif isinstance(value, list):
        inside = [(str(number), one) for number, one in enumerate(value, 1)]
    if not inside and at:
        kind = name_kind(value)
        marked = f" ({kind})" if kind == "text" else ""
        yield at, f"({kind})" if kind not in ("", "text") else write_value(value) + marked
    for name, one in inside:
        yield from _flatten(one, (*at, name))


def _compare(before: str, after: str, most_pairs: int) -> list[tuple[str, str]]:
    """Compare by words; where that takes too long by lines, then only what is equal at the ends."""
    old, new = _split(before), _split(after)
    head = _count_equal(old, new)
    shared = min(len(old), len(new)) - head
    tail = min(shared, _count_equal(old[::-1], new[::-1]))
    start, end = "".join(old[:head]), "".join(old[len(old) - tail :])
    parts = [
        ("same", start),
        *_match(old[head : len(old) - tail], new[head : len(new) - tail], most_pairs),
        ("same", end),
    ]
    return [part for part in parts if part[1]]


def _match(old: list[str], new: list[str], most_pairs: int) -> Iterator[tuple[str, str]]:
    if _count_pairs(old, new) > most_pairs:
        old, new = "".join(old).splitlines(keepends=True), "".join(new).splitlines(keepends=True)
    if _count_pairs(old, new) > most_pairs:
        old, new = ["".join(old)], ["".join(new)]
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield "same", "".join(old[a:b])
        else:
            yield "gone", "".join(old[a:b])
            yield "new", "".join(new[c:d])


def _count_equal(old: Sequence[str], new: Sequence[str]) -> int:
    pairs = zip(old, new, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _count_pairs(old: Sequence[str], new: Sequence[str]) -> int:
    of_new = Counter(new)
    return sum(count * of_new[unit] for unit, count in Counter(old).items())


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)
