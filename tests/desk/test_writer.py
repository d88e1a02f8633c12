"""The writer without a model: an extract for each channel, of whole items and sentences."""

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hitl_orchestrator.desk.changelog import read_changelog
from hitl_orchestrator.desk.channels import channel, x_length
from hitl_orchestrator.desk.facets import Brief
from hitl_orchestrator.desk.language import language_of, sentences
from hitl_orchestrator.desk.meaning import find_meaning
from hitl_orchestrator.desk.reviewer import find_errors, gather_evidence
from hitl_orchestrator.desk.strategist import write_brief
from hitl_orchestrator.desk.writer import extract
from tests.desk.acme import (
    CHANGELOG,
    desk,
    run,
    task,
    text_of,
    told,
)

REPO = "https://github.com/acme/acme"


async def write(source: str, objective: str = "Announce this release", **facets: Any) -> Any:
    given = {"source": source, "audience": "everyone", **facets}
    read, _ = await run(desk()["strategist"], task(given, objective))
    made, _ = await run(desk()["writer"], task(given | read, objective))
    return made["drafts"]["posts"]


async def text_for(name: str, source: str) -> str:
    [post] = await write(source, channels=[name])
    return post["text"]


class TestExtract:
    async def test_every_warning_is_in_and_the_introduction(self) -> None:
        posts = await write(CHANGELOG)
        assert [post["channel"] for post in posts] == ["linkedin", "x", "email"]
        assert posts[1]["text"].splitlines() == [
            "Acme CLI 2.4.0",
            "",
            "Acme CLI 2.4.0 makes large uploads fast and dependable.",
            "",
            "Removed",
            "• Breaking: Python 3.9 is no longer supported.",
            "",
            "Security",
            "• CVE-2026-1234: tokens are no longer written to the debug log",
            "",
            "migration guide: https://docs.acme.example.com/migrate-2.4",
            "",
            "Excerpt; 8 more in the changelog",
        ]
        assert posts[2]["subject"] == "Acme CLI 2.4.0"

    async def test_where_there_is_room_all_of_it_stands_under_the_sources_headings(self) -> None:
        text = (await write(CHANGELOG))[2]["text"]
        assert text.startswith(
            "Acme CLI 2.4.0\n\nAcme CLI 2.4.0 makes large uploads fast and dependable. "
            "It is the first release that can pick up an upload where it stopped.\n\n"
            "Added\n• Parallel uploads. acme push sends up to 8 files at once; "
        )
        assert "\n\nFixed\n• A crash when a folder was deleted during an upload\n• Prog" in text
        assert text.endswith("\n\nExcerpt from the changelog")

    async def test_a_release_has_its_own_link_where_the_rest_is(self) -> None:
        source = f"# Acme\n\n## [1.2.0]\n\n- A theme\n\n[1.2.0]: {REPO}/releases/tag/1.2.0\n"
        text = await text_for("x", source)
        assert text == (f"Acme 1.2.0\n\n• A theme\n\n[…]: {REPO}/releases/tag/1.2.0")

    async def test_what_does_not_fit_is_left_out_whole_and_counted(self) -> None:
        items = [f"- The {word} that was added does a great deal of {word} work" for word in WORDS]
        text = await text_for("x", "\n".join(["# Acme", "", "## 1.2.0", "", *items]))
        lines = text.splitlines()
        assert {line.replace("• ", "- ") for line in lines[2:-2]} < {*items}
        assert lines[-1] == f"Excerpt; {len(items) - len(lines[2:-2])} more in the changelog"

    async def test_a_sentence_stands_only_behind_the_one_before_it(self) -> None:
        said = f"Una {'tele ' * 60}visio. Ne plus. Ultra."
        text = await text_for("x", f"# Acme\n\n## 1.2.0\n\n{said}\n")
        assert text == "Acme 1.2.0\n\n[… +3]"

    async def test_a_warning_that_does_not_fit_is_in_and_too_long(self) -> None:
        source = f"# Acme\n\n## 1.2.0\n\n- **Breaking:** {'all is new, ' * 30}and so on.\n"
        text = await text_for("x", source)
        assert "and so on." in text
        assert x_length(text) > 280

    async def test_a_warning_that_only_its_heading_is_says_so(self) -> None:
        source = "# Acme\n\n## 1.2.0\n\n### Security\n\n- A token was logged\n"
        assert "Security\n• A token was logged" in await text_for("x", source)

    async def test_what_only_its_heading_explains_stands_under_it(self) -> None:
        source = "# Acme\n\n## 1.2.0\n\nThe new parser that we took brings:\n\n- Safer types\n"
        assert "brings:\n• Safer types" in await text_for("x", source)

    async def test_something_that_was_fixed_is_in(self) -> None:
        added = "\n".join(f"- The {word} is new and it does a lot" for word in WORDS)
        source = f"# Acme\n\n## 1.2.0\n\n### Added\n\n{added}\n\n### Fixed\n\n- A crash\n"
        assert "Fixed\n• A crash" in await text_for("x", source)
        plain = f"# Acme\n\n## 1.2.0\n\n{added}\n- Fix a crash\n"
        assert "• Fix a crash" in await text_for("x", plain)

    async def test_what_comes_before_a_release_is_called_so(self) -> None:
        english = "# Acme\n\n## 1.2.0rc1\n\n- This is the theme that was added\n"
        german = "# Acme\n\n## 1.2.0-beta.1\n\n- Das ist die Ansicht, die es nicht gab\n"
        assert "Acme 1.2.0rc1 (pre-release)" in await text_for("x", english)
        assert "Acme 1.2.0-beta.1 (Vorabversion)" in await text_for("x", german)

    async def test_the_same_input_makes_the_same_drafts(self) -> None:
        assert await write(CHANGELOG) == await write(CHANGELOG)

    async def test_channels_may_be_named_in_other_ways_and_unknown_ones_get_500_signs(self) -> None:
        posts = await write(CHANGELOG, channels=["LinkedIn", "Twitter", "x", "Town crier"])
        assert [post["channel"] for post in posts] == ["linkedin", "x", "town-crier"]
        assert 0 < len(posts[2]["text"]) <= 500

    async def test_nobody_follows_words_without_a_model(self) -> None:
        facts = {"audience": "all", "product": "Acme", "keyPoints": [{"text": "A theme"}]}
        made, _ = await run(desk()["writer"], task({"brief": facts}, context=[told("Friendlier")]))
        assert made["drafts"]["guidance"] == ["Friendlier"]
        assert made["warnings"] == ["Without a model nothing follows what was said in words."]
        assert "A theme" in text_of(made, "x")


WORDS = ("theme", "parser", "command", "probe", "table", "search")


@pytest.mark.parametrize(
    ("text", "language", "ours"),
    [
        ("This is the theme that was added", "en", "Excerpt from the changelog"),
        ("Das ist die Ansicht und die Tabelle", "de", "Auszug aus den Änderungen"),
        ("C’est le thème et la table dans une page", "fr", "Extrait du journal"),
        ("Es el tema con una tabla para los datos", "es", "Extracto del registro"),
        ("O tema não é uma tabela do projeto com os dados", "pt", "Excerto do registo"),
        ("Это новый стиль, быстрый", "ru", "Выдержка из списка"),
        ("新增主题和表格", "zh", "摘自更新日志"),
        ("テーマを追加しました", "ja", "変更履歴からの抜粋"),
        ("Tema lisatud", "", "[…]"),
        ("새 테마", "", "[…]"),
    ],
)
async def test_our_own_words_are_in_the_sources_language(
    text: str, language: str, ours: str
) -> None:
    assert language_of(text) == language
    post = await text_for("x", f"# Acme\n\n## 1.2.0\n\n- {text}\n")
    assert post.splitlines()[-1].startswith(ours)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("plain", 5),
        ("Grüße, мир", 10),
        ("日本語", 6),
        ("🎉", 2),
        ("see https://example.com/a/very/long/path?that=does&not=count", 4 + 23),
        ("https://a.io", 23),
        ("(https://example.com).", 1 + 23 + 2),
        ("on example.com today", 3 + 23 + 6),
        ("Node.js 3.12 e.g. this", 22),
    ],
)
def test_x_counts_as_x_does(text: str, length: int) -> None:
    assert x_length(text) == length


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It is 1.2, e.g. This. And i.e. That", ["It is 1.2, e.g. This.", "And i.e. That"]),
        ("修复。新增！", ["修复。", "新增！"]),
        ("Das ist z.B. Text. Neu", ["Das ist z.B. Text.", "Neu"]),
        ("no end", ["no end"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def lines(longest: int) -> st.SearchStrategy[str]:
    signs = st.text('ab 12.,:;!?#*[]()`_-<>\\/&@"“”|~=', max_size=longest)
    address = st.text("ab/*_.()?", max_size=20).map("see https://a.example/{} 1.5".format)
    plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=longest)
    return st.one_of(plain, signs, address).map(lambda text: " ".join(text.split())).filter(bool)


MARKS = ("# {}", "## 1.2.0 {}", "### {}", "- {}", "  - {}", "{}:", "**{}**", "| {} |", "{}")


def sources() -> st.SearchStrategy[str]:
    marked = st.tuples(st.sampled_from(MARKS), lines(60)).map(lambda pair: pair[0].format(pair[1]))
    body = st.lists(marked, max_size=15).map("\n".join)
    return body.map("# Acme\n\n## 1.2.0\n\n- This was fixed\n\n{}".format)


@settings(max_examples=80, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(sources())
def test_any_source_is_read_and_no_draft_has_what_it_does_not_say(source: str) -> None:
    given: Any = task({"source": source, "audience": "everyone"}, "Announce Acme 1.2.0")
    if find_meaning("Announce Acme 1.2.0", read_changelog(source)).unclear:
        return
    brief = Brief.model_validate(write_brief(given)["brief"])
    evidence = gather_evidence(given, brief)
    for name in ("x", "email"):
        errors = find_errors(extract(brief, channel(name)), evidence)
        assert {error.rule for error in errors} <= {"length", "markup"}, errors
