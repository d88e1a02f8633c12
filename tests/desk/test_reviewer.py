"""The reviewer: what is wrong with drafts, where, and what a person decides about it."""

from collections.abc import Sequence
from typing import Any

import pytest

from hitl_orchestrator.desk.reviewer import REVIEWER
from tests.desk.acme import (
    CHANGELOG,
    Answer,
    brief,
    denied,
    desk,
    drafts,
    picked,
    run,
    task,
    told,
)

BREAKING = "Breaking: Python 3.9 is no longer supported."
SECURITY = "CVE-2026-1234: tokens are no longer written to the debug log"
GOOD = f"Acme CLI 2.4.0\n\n{BREAKING}\n{SECURITY}\n"


async def review(
    texts: dict[str, str], *answers: Answer, context: Sequence[Any] = (), **facets: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    given = {"drafts": drafts(**texts), "brief": brief(), "source": CHANGELOG, **facets}
    made, asked = await run(desk()["reviewer"], task(given, context=context), *answers)
    return made["review"], asked


class TestErrors:
    async def test_the_desks_own_drafts_have_none(self) -> None:
        facets: dict[str, Any] = {"source": CHANGELOG, "audience": "developers"}
        for name in ("strategist", "writer", "reviewer"):
            facets |= (await run(desk()[name], task(facets)))[0]
        assert (facets["review"]["passed"], facets["review"]["issues"]) == (True, [])

    @pytest.mark.parametrize(
        ("text", "rule", "line", "message"),
        [
            (f"{GOOD}{'日' * 90}", "length", None, "The text has"),
            (GOOD.replace("Acme CLI", "Acme"), "product", None, "It does not name Acme CLI."),
            (GOOD.replace("2.4.0", "2.4"), "version", None, "It does not name 2.4.0."),
            (f"{GOOD}Now 50 % faster", "figures", 5, "50 is not in this"),
            (f"{GOOD}There are 2 themes", "figures", 5, "2 is not in this"),
            (GOOD.replace("2.4.0", "2.4.0-rc.1"), "version", None, "It does not name 2.4.0."),
            (f"{GOOD}New. A dark theme for the", "sentences", 5, "“A dark theme for the” ends"),
            (f"{GOOD}It was 2.3.1 before", "figures", 5, "2.3.1 is not in this"),
            (f"{GOOD}https://else.example.com", "links", 5, "https://else.example.com is not"),
            (f"{GOOD}• A dark theme for the terminal", "sentences", 5, "“• A dark theme for the"),
            (
                f"{GOOD}Progress bars no longer…",
                "sentences",
                5,
                "“Progress bars no longer…” is cut",
            ),
            (f"{GOOD}See [the guide](x)", "markup", 5, "“](” is left"),
            (f"{GOOD}`acme push` sends", "markup", 5, "“`” is left"),
            (f"{GOOD}**Parallel** uploads", "markup", 5, "“**” is left"),
            (f"{GOOD}<b>Parallel</b> uploads", "markup", 5, "“<b>” is left"),
            (f"{GOOD}- [ ] A plugin index", "markup", 5, "“- [ ]” is left"),
            (GOOD.replace(BREAKING, ""), "left-out", None, "Of what is breaking, this is"),
            (GOOD.replace(SECURITY, ""), "left-out", None, "Of what is security, this is"),
        ],
    )
    async def test_each_has_its_rule_and_its_place(
        self, text: str, rule: str, line: int | None, message: str
    ) -> None:
        found, [question] = await review({"x": text}, denied("Nobody there"))
        issues = [one for one in found["issues"] if one["rule"] == rule]
        assert issues[0]["message"].startswith(message), found["issues"]
        assert issues[0]["line"] == line
        assert (found["passed"], found["why"]) == (False, "Nobody decided: Nobody there")
        assert issues[0]["message"] in question["additionalContext"]

    async def test_what_is_right_has_none(self) -> None:
        text = (
            f"{GOOD}2.4 takes 40 % less time for 12000 files: "
            "https://docs.acme.example.com/migrate-2.4."
        )
        assert (await review({"linkedin": text}))[0]["issues"] == []

    async def test_nothing_but_the_name_is_nothing(self) -> None:
        source = "# Acme CLI\n\n## 2.4.0\n\n- A dark theme\n- A crash is fixed\n"
        found, _ = await review({"x": "Acme CLI 2.4.0"}, denied("no"), source=source)
        assert [one["rule"] for one in found["issues"]] == ["empty"]

    async def test_all_that_was_fixed_must_not_be_gone(self) -> None:
        source = (
            "# Acme CLI\n\n## 2.4.0\n\n### Added\n- A dark theme\n\n### Fixed\n- A crash on exit\n"
        )
        found, _ = await review({"x": "Acme CLI 2.4.0: A dark theme"}, denied("no"), source=source)
        assert [one["message"] for one in found["issues"]] == [
            "Of 1 fixed and security items none is in it."
        ]

    async def test_links_to_people_and_issues_are_none(self) -> None:
        found, _ = await review(
            {"linkedin": f"{GOOD}https://github.com/acme/cli/pull/412"}, denied("no")
        )
        assert [one["rule"] for one in found["issues"]] == ["links"]

    async def test_what_comes_before_a_release_is_called_so(self) -> None:
        source = "# Acme CLI\n\n## 2.4.0 (beta)\n\n- A dark theme is here\n"
        text, facts = "Acme CLI 2.4.0\n\nA dark theme is here", brief(prerelease=True)
        found, _ = await review({"x": text}, denied("no"), source=source, brief=facts)
        assert [one["message"] for one in found["issues"]] == [
            "It does not say that this comes before the release."
        ]
        assert (await review({"x": f"{text} (beta)"}, source=source, brief=facts))[0]["passed"]

    async def test_a_whole_item_that_another_begins_with_is_whole(self) -> None:
        item = "The dark theme is faster than it was"
        source = f"# Acme CLI\n\n## 2.4.0\n\n- {item}\n- {item} on Windows\n"
        assert (await review({"x": f"Acme CLI 2.4.0\n\n• {item}"}, source=source))[0]["passed"]
        found, _ = await review(
            {"x": f"Acme CLI 2.4.0\n\n• {item} on"}, denied("no"), source=source
        )
        assert [one["rule"] for one in found["issues"]] == ["sentences"]

    async def test_code_in_angle_brackets_is_no_markup(self) -> None:
        source = "# Acme CLI\n\n## 2.4.0\n\n- `acme <b>` takes `__init__`, `held`, `acme_held_by`\n"
        text = "Acme CLI 2.4.0\n\n• acme <b> takes __init__, held, acme_held_by"
        assert (await review({"x": text}, source=source))[0]["passed"]


class TestBrief:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"version": "9.9.9"}, "The source has no release 9.9.9."),
            ({"version": "2.3.1"}, "The objective means Acme CLI 2.4.0, the brief Acme CLI 2.3.1."),
            ({"product": "Bolt"}, "The objective means Acme CLI 2.4.0, the brief Bolt 2.4.0."),
        ],
    )
    async def test_one_that_the_source_contradicts_is_an_error(
        self, changes: dict[str, Any], message: str
    ) -> None:
        found, _ = await review({"x": GOOD}, denied("no"), brief=brief(**changes))
        assert message in [one["message"] for one in found["issues"] if one["rule"] == "release"]

    async def test_what_a_person_chose_is_not(self) -> None:
        text = "Acme CLI 2.3.1\n\nUploads over slow lines no longer stop after an hour"
        facts = brief(version="2.3.1", releaseFrom="person")
        assert (await review({"x": text}, brief=facts))[0]["issues"] == []

    async def test_a_persons_own_is_the_source_where_there_is_no_other(self) -> None:
        facts = brief(keyPoints=[{"text": "50 rooms have lights"}])
        text = {"x": "Acme CLI 2.4.0: 50 rooms have lights"}
        assert (await review(text, brief=facts, source=None))[0]["passed"]


TEXTS = {"x": f"{GOOD}Now 50 % faster", "linkedin": GOOD}


class TestDecision:
    async def test_a_post_with_errors_may_be_left_out(self) -> None:
        found, [question] = await review(TEXTS, picked("leave-out"))
        assert question["question"] == "There are errors in the drafts for x. What now?"
        assert [(one["id"], one["label"]) for one in question["options"]] == [
            ("as-they-are", "Go on with them"),
            ("leave-out", "Leave out x"),
        ]
        assert "- **x**, line 5 (figures): 50 is not in" in question["additionalContext"]
        assert question["additionalContext"].count("Now 50 % faster") == 1
        assert (found["passed"], found["leaveOut"]) == (True, ["x"])

    async def test_a_person_may_go_on_with_errors_and_the_review_does_not_pass(self) -> None:
        found, _ = await review(TEXTS, picked("as-they-are"))
        assert (found["passed"], found["why"]) == (False, "A person goes on with these errors.")

    async def test_words_are_taken_only_where_a_model_can_follow_them(self) -> None:
        _, [question] = await review({"x": TEXTS["x"]}, picked("as-they-are"))
        assert (question["allowFreeForm"], len(question["options"])) == (False, 1)

    async def test_it_asks_once(self) -> None:
        for earlier, why in (
            (told("Try again"), "There are errors even with a person's guidance."),
            (
                {"originAgent": REVIEWER, "question": "", "status": "denied", "reason": "Expired"},
                "Nobody decided: Expired",
            ),
        ):
            found, asked = await review(TEXTS, context=[earlier])
            assert (found["passed"], asked, found["why"]) == (False, [], why)

    async def test_what_a_person_said_is_a_source(self) -> None:
        text = {"x": f"{GOOD}7 readers said so."}
        found, _ = await review(text, context=[told("Say that 7 readers said so")])
        assert found["passed"]
