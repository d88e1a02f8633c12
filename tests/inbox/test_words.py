"""Texts from outside: nothing of them is hidden, nothing of them runs, nothing takes long."""

import html
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

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
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=30),
    st.floats(allow_nan=False, allow_infinity=False),
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


@given(st.text(st.sampled_from("a1\u3042\u200b\u200d\ufe0f\u20e3\U0001f468\u2764"), max_size=12))
def test_what_makes_an_emoji_is_left_alone_only_there(text: str) -> None:
    left = TAG.sub("\n", show_text(text))
    for at, character in enumerate(left):
        before, after = left[:at].rstrip("\ufe0f")[-1:], left[at + 1 : at + 2]
        if character == "\u200d":
            assert {before, after} <= {"\U0001f468", "\u2764"}
        if character == "\ufe0f":
            is_keycap = before == "1" and after == "\u20e3"
            assert is_keycap or left[at - 1] in "\U0001f468\u2764"


CHARACTERS = (
    "\ufdd0\U0001fffe\U00013430\U00016fe4\U0001d159"
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[https://a.co.bank.example/login](https://a.co/)", "(a.co)"),
        ("[ada@bank.example](mailto:eve@evil.example)", "(eve@evil.example)"),
        ("[a](https://bank.example@evil.example/)", "[a](https://bank.example@evil.example/)"),
        ("[a](https:evil.example)", "[a](https:evil.example)"),
        ("[a](http://[bad)", "[a](http://[bad)"),
        ("[![i](http://a.example/b)](https://c.example)", "image: i</a> (c.example)"),
    ],
)
def test_no_link_leads_elsewhere_than_it_says(text: str, said: str) -> None:
    shown = render_markdown(text)
    assert said in shown
    assert shown.count("<a ") <= 1


@pytest.mark.timeout(5)
def test_texts_full_of_marks_take_no_long_time() -> None:
    show_text("\u200b" * 200_000)
    for text in ("[a](http://x) " * 3500, "a|b\n-|-\n" + "x\n" * 24_000, "![" * 25_000):
        assert render_markdown(text).startswith('<div class="text">'), "as it was written"
    few, many = "ab", [f"w{i}" for i in range(3000)]
    for words in (few, many):
        before, after = words_of(words, 1), words_of(words, 2)
        find_changes(before, after)


def words_of(words: Sequence[str], step: int) -> Any:
    """Return six arguments of a thousand words each."""
    return {str(n): join_words(words, step, n) for n in range(6)}


def join_words(words: Sequence[str], step: int, start: int) -> str:
    return " ".join(words[(i * i * step + start) % len(words)] for i in range(1000))


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
    (whole,) = find_changes({"t": f"{long}."}, {"t": f"{long}.x"})
    assert [how for how, _ in whole.parts] == ["same", "new"], "what is equal at the ends is kept"
    (whole,) = find_changes({"t": f"a {long} a"}, {"t": f"b {'other ' * 40_000} b"})
    assert [how for how, _ in whole.parts if how != "same"] == ["gone", "new"]


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


@given(OBJECTS, OBJECTS)
def test_a_difference_rebuilds_both(before: Any, after: Any) -> None:
    for one in find_changes(before, {**before, **after}):
        whole = "".join(text for _, text in one.parts)
        gone = "".join(text for how, text in one.parts if how != "new")
        new = "".join(text for how, text in one.parts if how != "gone")
        assert gone != new
        assert whole
    assert {one.name for one in find_changes({"t": before}, {"t": after})} or repr(
        canonical(before)
    ) == repr(canonical(after))


def canonical(value: Any) -> Any:
    """Return the value with names in order: in another order nothing is changed."""
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        return {name: canonical(members[name]) for name in sorted(members)}
    return [canonical(one) for one in cast(list[Any], value)] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"x": None}, {"x": "(null)"}),
        ({"x": {}}, {"x": "(empty object)"}),
        ({"x": "15"}, {"x": "15 (text)"}),
        ({"": 1}, {"": 2}),
        ({"a": {"b": 1}, "a › b": 9}, {"a": {"b": 2}, "a › b": 9}),
    ],
)
def test_no_difference_is_overlooked(before: Any, after: Any) -> None:
    assert len(find_changes(before, after)) == 1


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (4e5, "4 d")]
)
def test_times_are_short(seconds: float, words: str) -> None:
    assert write_span(timedelta(seconds=seconds)) == words
