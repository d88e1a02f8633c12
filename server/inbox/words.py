"""Values and texts from outside, for a person: nothing of them is hidden, nothing of them runs."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from hitl_orchestrator.domain.records import Json, JsonObject

LONGEST_LINE, LONGEST_SHORT = 90, 60  # characters of a value beside its name
LONGEST_MARKDOWN = 50_000  # what is longer is shown as it was written
LONGEST_DIFFERENCE = 4000  # words; telling two texts apart takes the square of it
HEADING_DEPTH = 3  # of the page that a text stands in

# Controls, format and private characters, separators and spaces but the plain ones, and those that
# Unicode lets be drawn as nothing: fillers, variation selectors.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u1680"
    "\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ue000-\uf8ff"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
# What makes one emoji of several characters: a joiner between two, a selector behind one.
_EMOJI = (
    f"(?!{UNSEEN.pattern})[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff][\U0001f3fb-\U0001f3ff]?"
)
OF_EMOJI = re.compile(f"{_EMOJI}\ufe0f?(?:\u200d{_EMOJI}\ufe0f?)*|[0-9#*]\ufe0f\u20e3")
_SHOWN = re.compile(f"({OF_EMOJI.pattern})|({UNSEEN.pattern})")


def show_text(text: str) -> Markup:
    """Return the text as it is, with what cannot be seen in it named: U+202E."""
    if not UNSEEN.search(text):
        return escape(text)
    parts: list[Markup] = []
    done = 0
    for found in _SHOWN.finditer(text):
        if found[1] is not None:
            continue
        parts += [escape(text[done : found.start()]), _name_unseen(found[2])]
        done = found.end()
    return Markup("").join([*parts, escape(text[done:])])


def _name_unseen(character: str) -> Markup:
    name = unicodedata.name(character, "a character that cannot be seen")
    mark = Markup('<b class="unseen" title="{}">U+{:04X}</b>')
    return mark.format(name, ord(character))


def _show_image(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    """Load nothing: whoever wants to see it follows the link."""
    image = tokens[at]
    source = str(image.attrs.get("src", ""))
    label = image.content or "without a text"
    if not _may_lead(source):
        return Markup("image: {} ({})").format(show_text(label), show_text(source))
    return _open_link(source) + Markup("image: {}</a>").format(show_text(label))


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
    """Say where a link leads whose own words say something else."""
    opened = max(i for i in range(at) if tokens[i].type == "link_open")
    host = urlsplit(str(tokens[opened].attrs.get("href", ""))).netloc
    words = "".join(token.content for token in tokens[opened + 1 : at])
    return Markup("</a>") + (Markup(" ({})").format(host) if host and host not in words else "")


def _open_link(address: str) -> Markup:
    """It says nothing of where it came from."""
    return Markup('<a rel="noreferrer noopener" target="_blank" href="{}">').format(address)


def _may_lead(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https", "mailto")


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
    if len(text) > LONGEST_MARKDOWN:
        return Markup('<div class="text">{}</div>').format(show_text(text))
    tokens = _markdown.parse(text)
    for token in tokens:
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
    if word in {
        "true",
        "false",
        "null",
        "none",
        "empty text",
        "empty list",
        "empty object",
        "text",
    }:
        return True
    return bool(re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?", word)) or text != text.strip()


def write_value(value: Json) -> str:
    """Return a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Changed(NamedTuple):
    """`parts`: ("same" | "gone" | "new", text)."""

    name: str
    parts: Sequence[tuple[str, str]]


def find_changes(before: JsonObject, after: JsonObject) -> list[Changed]:
    """Return what differs, name by name and word by word."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    return [
        Changed(name, _compare(old.get(name, ""), new.get(name, "")))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _flatten(value: Json, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield each single value within it, by where it stands: posts › 2 › text."""
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
        yield from _flatten(one, f"{at} › {name}" if at else name)


def _compare(before: str, after: str) -> list[tuple[str, str]]:
    old, new = _split(before), _split(after)
    if len(old) + len(new) > LONGEST_DIFFERENCE:
        return [part for part in (("gone", before), ("new", after)) if part[1]]
    parts: list[tuple[str, str]] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(("same", "".join(old[a:b])))
            continue
        gone, added = "".join(old[a:b]), "".join(new[c:d])
        parts += [part for part in (("gone", gone), ("new", added)) if part[1]]
    return parts


def _split(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)
