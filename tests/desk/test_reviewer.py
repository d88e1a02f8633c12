"""The reviewer: what is wrong with drafts, and what a person says about it."""

from collections.abc import Sequence
from typing import Any

import pytest

from hitl_orchestrator.desk.agent import REVIEWER
from hitl_orchestrator.desk.prose import lix
from hitl_orchestrator.desk.reviewer import THRESHOLD
from tests.desk.acme import (
    CHANGELOG,
    Answer,
    brief,
    denied,
    desk,
    drafts,
    run,
    said,
    task,
    told,
)


class TestReviewer:
    async def review(
        self, texts: dict[str, str], *answers: Answer, context: Sequence[Any] = (), **facets: Any
    ) -> tuple[dict[str, Any], Any]:
        given = {
            "drafts": drafts(**texts),
            "brief": brief(keyPoints=[{"text": "A point"}]),
            "source": CHANGELOG,
            **facets,
        }
        made, asked = await run(desk()["reviewer"], task(given, context=context), *answers)
        return made["review"], asked

    async def test_the_desks_own_drafts_pass(self) -> None:
        facets: dict[str, Any] = {"source": CHANGELOG, "audience": "developers"}
        for name in ("strategist", "writer", "reviewer"):
            facets |= (await run(desk()[name], task(facets)))[0]
        assert (
            facets["review"]["passed"],
            facets["review"]["score"],
            facets["review"]["issues"],
        ) == (True, 100, [])
        assert 0 < facets["review"]["readability"]["linkedin"] < 40

    @pytest.mark.parametrize(
        ("channel", "text", "rule", "message"),
        [
            ("x", "日" * 141, "length", "The text has 282 characters, 280 are allowed."),
            ("linkedin", "Now 50 % faster", "figures", "50 is in no source."),
            (
                "linkedin",
                "See https://elsewhere.example.com/x",
                "links",
                "https://elsewhere.example.com/x is in no source.",
            ),
            (
                "linkedin",
                "See https://docs..example/",
                "links",
                "https://docs..example/ is not a well-formed web address.",
            ),
            (
                "linkedin",
                " ".join(["Interorganisational authentication infrastructures"] * 20),
                "readability",
                "It is very hard to read (LIX 160.0; over 60",
            ),
        ],
    )
    async def test_an_error_is_below_the_threshold(
        self, channel: str, text: str, rule: str, message: str
    ) -> None:
        review, [question] = await self.review({channel: text}, denied("Nobody there"))
        [issue] = review["issues"]
        assert (issue["channel"], issue["rule"], issue["severity"]) == (channel, rule, "error")
        assert issue["message"].startswith(message)
        assert (review["passed"], review["score"], review["why"]) == (
            False,
            75,
            "No guidance: Nobody there",
        )
        assert issue["message"] in question["additionalContext"]
        assert question["kind"] == "freeform"

    async def test_a_line_that_has_to_be_in_is_missed(self) -> None:
        facts = brief(
            keyPoints=[{"text": "A point"}],
            mustInclude=["Python 3.9 is no longer supported.", "A  dark theme"],
        )
        review, _ = await self.review({"x": "a dark\ntheme"}, denied("no"), brief=facts)
        assert [(issue["rule"], issue["message"]) for issue in review["issues"]] == [
            ("must-include", "“Python 3.9 is no longer supported.” is missing.")
        ]

    async def test_figures_and_addresses_of_the_sources_are_supported(self) -> None:
        text = (
            "2.4 sends 12000 files 40 % faster: https://docs.acme.example.com/migrate-2.4. 7 "
            "of our 30 readers said so."
        )
        facts = brief(
            keyPoints=[{"text": "A point"}], audience="our 30 readers", mustInclude=["7 of our"]
        )
        review, asked = await self.review(
            {"linkedin": text}, brief=facts, context=[told("Say that readers said so")]
        )
        assert (review["issues"], asked) == ([], [])

    async def test_guidance_is_noted(self) -> None:
        review, _ = await self.review({"x": "50"}, said("Leave the figure out"))
        assert review["why"] == "A person gave guidance."

    async def test_it_asks_once(self) -> None:
        for earlier in (
            told("Try again"),
            {"originAgent": REVIEWER, "question": "", "status": "denied", "reason": "Expired"},
        ):
            review, asked = await self.review({"x": "50"}, context=[earlier])
            assert (review["passed"], asked) == (False, [])
            assert review["why"] in (
                "It falls short even with a person's guidance.",
                "No guidance: Expired",
            )

    async def test_four_warnings_pass(self) -> None:
        texts = {"linkedin": "Short.", "x": "Short.", "email": "Short.", "bulletin": "Short."}
        review, _ = await self.review(texts, brief=brief())
        assert (
            review["passed"],
            review["score"],
            {issue["rule"] for issue in review["issues"]},
        ) == (True, THRESHOLD, {"substance"})

    async def test_a_brief_is_a_source_only_where_people_or_rules_made_it_and_there_is_no_other(
        self,
    ) -> None:
        facts = brief(keyPoints=[{"text": "50 rooms"}])
        assert (await self.review({"x": "50 rooms"}, brief=facts, source=None))[0]["passed"]
        assert not (
            await self.review(
                {"x": "50 rooms"}, denied("no"), brief=facts | {"madeBy": "model m"}, source=None
            )
        )[0]["passed"]

    def test_lix_is_the_sum_of_sentence_length_and_share_of_long_words(self) -> None:
        assert lix("Five short words are here.\n" * 8) == 5
        assert (
            lix(
                "Seven letters lengthen measured readability"
                " https://not.counted.example.com #northis.\n" * 8
            )
            == 5 + 80
        )
        assert lix("Too short to measure.") is None
