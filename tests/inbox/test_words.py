"""Texts from outside: nothing of them is hidden, nothing of them runs, nothing takes long."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_orchestrator.server.inbox.words import (
    UNSEEN,
    find_changes,
    name_kind,
    render_markdown,
    show_text,
    write_span,
)

TAG = re.compile('<b class="unseen" title="[^"]*">U\\+([0-9A-F]{4,6})</b>')
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.floats(allow_nan=False)
)
VALUES: Any = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(min_size=1, max_size=5), VALUES, max_size=4)
EMOJI = ["❤️", "👩‍💻", "👍🏽", "☎️", "1️⃣", "🇩🇪"]


@given(st.text())
def test_nothing_of_a_text_is_lost_and_nothing_is_hidden(text: str) -> None:
    shown = TAG.sub(lambda mark: chr(int(mark[1], 16)), show_text(text))
    assert html.unescape(shown) == text
    plain = html.unescape(TAG.sub("", show_text(text)))
    left = set(UNSEEN.findall(plain))
    assert left <= {"\ufe0f", "\u200d"}, "only what makes an emoji"


CHARACTERS = (
    "\x00\x1b\x7f\xa0\xad\u034f\u061c\u115f\u1160\u180e\u2007\u200b\u200d\u200e\u2028\u202e"
    "\u2062\u2066\u2800\u3164\ue000\ufe0f\ufeff\uffa0\U000e0041\U000f0000"
)


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda one: f"{ord(one):04x}")
def test_each_that_cannot_be_seen_is_named(character: str) -> None:
    assert f"U+{ord(character):04X}" in show_text(f"a{character}b")


@pytest.mark.parametrize("emoji", EMOJI)
def test_emoji_stay_as_they_are(emoji: str) -> None:
    assert show_text(emoji) == emoji


HOSTILE = [
    "<script>x</script>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "[x](data:text/html,x)",
    "<img src=x onerror=x>",
    "[x]: javascript:x\n\n[x]",
    "<https://a.example>",
    "```html\n<b>\n```",
    "![a](javascript:x)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_loads_and_runs_nothing(text: str) -> None:
    shown = str(render_markdown(text))
    assert not re.search(r"<(script|img|svg|iframe|style|b>)", shown)
    assert not re.search('href="(?!https?:|mailto:)', shown)
    for link in re.findall("<a [^>]*>", shown):
        assert 'rel="noreferrer noopener"' in link


def test_markdown_says_where_a_link_leads() -> None:
    assert "(evil.example)" in render_markdown("[my.bank](https://evil.example/x)")
    assert "(a.example)" not in render_markdown("[a.example](https://a.example/x)")
    assert "<h4>Head</h4>" in render_markdown("# Head")
    assert "style=" not in render_markdown("| a |\n| ---: |\n| 1 |")
    assert "U+202E" in render_markdown("a\u202eb `c\u202ed`")


@pytest.mark.parametrize("text", ["[" * 50_000, "*a " * 16_000, "> " * 20_000, "`" * 50_000])
@pytest.mark.timeout(20)
def test_markdown_takes_no_long_time(text: str) -> None:
    render_markdown(text)
    assert str(render_markdown(text * 10)).startswith('<div class="text">')


@given(OBJECTS, OBJECTS)
def test_a_difference_has_what_was_and_what_is(before: Any, after: Any) -> None:
    assert find_changes(before, before) == []
    for one in find_changes(before, after):
        assert [how for how, _ in one.parts] != []
        assert any(how != "same" for how, _ in one.parts)


def test_a_difference_is_word_by_word() -> None:
    before: Any = {"text": "we come on Friday.", "posts": [{"tags": ["a"]}], "n": 15, "e": ""}
    after: Any = {"text": "we come on Sunday.", "posts": [{"tags": ["a", "b"]}], "n": "15", "e": ""}
    changes = {one.name: [*one.parts] for one in find_changes(before, after)}
    assert changes == {
        "text": [("same", "we come on "), ("gone", "Friday"), ("new", "Sunday"), ("same", ".")],
        "posts › 1 › tags › 2": [("new", "b")],
        "n": [("same", "15"), ("new", " (text)")],
    }
    long = "word " * 40_000
    (whole,) = find_changes({"t": long}, {"t": long + "x"})
    assert [how for how, _ in whole.parts] == ["gone", "new"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ("null", "text"),
        ("", "empty text"),
        ([], "empty list"),
        ({}, "empty object"),
        ("15", "text"),
        (15, ""),
        ("-1.5e3", "text"),
        (" a", "text"),
        ("true", "text"),
        (True, ""),
        ("words", ""),
    ],
)
def test_values_that_look_alike_are_named(value: Any, kind: str) -> None:
    assert name_kind(value) == kind


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (4e5, "4 d")]
)
def test_times_are_short(seconds: float, words: str) -> None:
    assert write_span(timedelta(seconds=seconds)) == words
