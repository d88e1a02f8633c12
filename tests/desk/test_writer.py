"""The writer: a draft for each channel, within its limits."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_orchestrator.desk import reviewer, strategist, writer
from hitl_orchestrator.desk.channels import channel, x_length
from hitl_orchestrator.desk.facets import Brief
from hitl_orchestrator.desk.guidance import understood
from hitl_orchestrator.desk.prose import short
from tests.desk.acme import (
    CHANGELOG,
    desk,
    run,
    task,
    text_of,
    told,
)


class TestWriter:
    async def brief(self, audience: str = "developers") -> dict[str, Any]:
        made, _ = await run(desk()["strategist"], task({"source": CHANGELOG, "audience": audience}))
        return made["brief"]

    async def write(self, guidance: str = "", **facets: Any) -> dict[str, Any]:
        facets = {"brief": await self.brief(), "source": CHANGELOG, **facets}
        made, _ = await run(
            desk()["writer"], task(facets, context=[told(guidance)] if guidance else [])
        )
        return made

    async def test_writes_for_three_channels_unless_told_otherwise(self) -> None:
        made = await self.write()
        assert [post["channel"] for post in made["drafts"]["posts"]] == ["linkedin", "x", "email"]
        assert text_of(made, "x").splitlines() == [
            "Acme CLI 2.4.0 is out.",
            "",
            "• Parallel uploads. acme push sends up to 8 files at once",
            "• A dark theme for the terminal dashboard",
            "• CVE-2026-1234: tokens are no longer written to the debug log",
            "• Heads-up: Python 3.9 is no longer supported.",
            "",
            "Migration guide: https://docs.acme.example.com/migrate-2.4",
        ]
        assert (
            made["drafts"]["posts"][2]["subject"]
            == "Acme CLI 2.4.0: Parallel uploads. acme push sends up to 8 files at once"
        )

    async def test_a_post_with_room_has_the_points_in_groups(self) -> None:
        text = text_of(await self.write(), "linkedin")
        assert "Acme CLI 2.4.0 makes large uploads fast and dependable." in text
        assert "What is in it for developers:" in text
        assert "\n\nNew\n• Parallel uploads." in text
        assert "\n\nFixed\n• A crash when a folder was deleted during an upload\n" in text
        assert (
            "\n\nBefore you upgrade\n• Python 3.9 is no longer supported.\n\nMigration guide: https://"
            in text
        )
        assert "CI" not in text.replace("CLI", "").split("#")[0], (
            "the project's own business is not told"
        )

    async def test_the_same_input_makes_the_same_drafts(self) -> None:
        assert await self.write() == await self.write()

    async def test_channels_may_be_named_in_other_ways_and_unknown_ones_get_a_plain_post(
        self,
    ) -> None:
        made = await self.write(channels=["LinkedIn", "Twitter", "x", "Town crier"])
        assert [post["channel"] for post in made["drafts"]["posts"]] == [
            "linkedin",
            "x",
            "town-crier",
        ]
        assert 0 < len(text_of(made, "town-crier")) <= 500

    async def test_follows_guidance(self) -> None:
        before = await self.write()
        wish = (
            "Shorter, no hashtags, and mention tmux. Do not mention the dark theme. Say "
            '"faster uploads" instead of "parallel uploads".'
        )
        made = await self.write(wish)

        assert made["drafts"]["guidance"] == [wish]
        assert len(text_of(made, "linkedin")) < len(text_of(before, "linkedin")) * 0.7
        for post in made["drafts"]["posts"]:
            assert "#" not in post["text"]
            assert "dark theme" not in post["text"]
            assert "faster uploads" in post["text"]
            assert "• Progress bars no longer flicker in tmux" in post["text"]
        assert not made["warnings"]

    async def test_quotations_and_addresses_are_taken_as_they_stand(self) -> None:
        made = await self.write(
            'Add "Free for schools, and always will be." and link to https://acme.example.com/schools.'
        )
        for post in made["drafts"]["posts"]:
            assert "Free for schools, and always will be." in post["text"]
            assert "https://acme.example.com/schools" in post["text"]

    async def test_what_the_source_does_not_say_is_said_in_the_persons_words(self) -> None:
        made = await self.write("Mention that the webinar is on Friday")
        assert "• The webinar is on Friday." in text_of(made, "x")

    async def test_says_what_it_could_not_follow(self) -> None:
        made = await self.write("Make it friendlier. No jargon.")
        assert made["warnings"] == [
            "The offline rules could not follow: Make it friendlier",
            "The offline rules could not follow: leave out “jargon”",
        ]

    @pytest.mark.parametrize(
        "guidance",
        [
            "",
            "no",
            "No .",
            '""',
            'replace "a" with',
            "mention",
            "add https://",
            "\x00\x001\x00",
            '"x' * 50,
            "😀",
        ],
    )
    def test_any_guidance_is_read(self, guidance: str) -> None:
        assert "" not in understood([guidance]).avoid

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
    def test_x_counts_as_x_does(self, text: str, length: int) -> None:
        assert x_length(text) == length

    def test_clipping_prefers_a_clause(self) -> None:
        assert (
            short("Uploads are faster; they run in parallel and can be resumed", 30)
            == "Uploads are faster"
        )
        assert short("Uploads never before seen in such a hurry", 20) == "Uploads never…"


def lines(longest: int) -> st.SearchStrategy[str]:
    signs = st.text('ab 12.,:;!?#*[]()`_-<>\\/&@"“”', max_size=longest)
    address = st.text("ab/*_.()?", max_size=20).map("see https://a.example/{} 1.5".format)
    return (
        st.one_of(st.text(max_size=longest), signs, address)
        .map(lambda text: " ".join(text.replace("\x00", "").split()))
        .filter(bool)
    )


def sources_of(line: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(
        st.one_of(line, *(line.map(f"{mark} {{}}".format) for mark in ("#", "##", "-"))),
        max_size=15,
    ).map("\n".join)


async def written(
    markdown: str, objective: str, must: Sequence[str], guidance: str
) -> tuple[Any, Brief, list[Any]]:
    """What the reviewer would be given, the brief, and the posts."""
    facets: dict[str, Any] = {
        "source": markdown,
        "audience": "everyone",
        "channels": ["linkedin", "x", "email", "bulletin"],
    }
    given: Any = task(facets, objective, [told(guidance)] if guidance else [])
    facts = strategist.offline_brief(given | strategist.read(given)).but(mustInclude=tuple(must))
    facets["brief"] = facts.json_object()
    made = await writer.write(given | {"facets": facets}, None)
    return given | {"facets": facets | made}, facts, made["drafts"]["posts"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sources_of(lines(200)),
    lines(200),
    st.lists(lines(200), max_size=5, unique=True),
    st.one_of(st.just(""), lines(200)),
)
async def test_drafts_fit_their_channels_and_have_every_line_that_fits(
    markdown: str, objective: str, must: list[str], guidance: str
) -> None:
    _, facts, posts = await written(markdown, objective, must, guidance)
    for post in posts:
        place = channel(post["channel"])
        assert post["text"].strip()
        assert place.count(post["text"]) <= place.limit
        assert len(post["subject"] or "") <= 78
        fitting: list[str] = []
        for each in understood([guidance]).must_include(facts):
            if place.count("\n\n".join([*fitting, each])) <= place.limit:
                fitting.append(each)
        assert [each for each in fitting if each not in post["text"]] == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sources_of(lines(60)), lines(60), st.one_of(st.just(""), lines(60)))
async def test_drafts_state_no_figure_or_address_of_their_own(
    markdown: str, objective: str, guidance: str
) -> None:
    given, *_ = await written(markdown, objective, [], guidance)
    assert {issue.rule for issue in reviewer.checked(given).issues} <= {
        "must-include",
        "readability",
        "substance",
    }
