"""The strategist: what it asks, and what comes of the answers."""

from typing import Any

import pytest

from hitl_orchestrator.desk.strategist import Unclear
from tests.desk.acme import (
    CHANGELOG,
    Answer,
    denied,
    desk,
    picked,
    run,
    said,
    task,
)

FOR_TWO = """# Acme

## 1.2.0

### Added

#### For developers

- A command

#### For people who run it

- A probe

### Fixed

- A crash
"""


async def read(
    source: str, *answers: Answer, objective: str = "Announce this release", **facets: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    given = task({"source": source, **facets}, objective)
    made, asked = await run(desk()["strategist"], given, *answers)
    return made.get("brief", {}), asked


class TestAudience:
    async def test_it_is_asked_for_with_whole_points(self) -> None:
        brief, [question] = await read(FOR_TWO, picked("people-who-run-it"))
        assert question["question"] == "Whom should the announcement of Acme 1.2.0 address?"
        assert [(one["id"], one["label"], one["description"]) for one in question["options"]] == [
            ("developers", "Developers", "1 of 3 points go first: A command"),
            ("people-who-run-it", "People who run it", "1 of 3 points go first: A probe"),
            ("existing", "People who already use it", "1 of 3 points go first: A crash"),
            ("general", "Everyone", "A command"),
        ]
        assert question["additionalContext"].splitlines()[2:] == [
            "- A command",
            "- A probe",
            "- A crash",
        ]
        assert (brief["audience"], brief["audienceFrom"], brief["lead"]) == (
            "people-who-run-it",
            "person",
            [1],
        )

    async def test_no_option_is_cut(self) -> None:
        _, [question] = await read(CHANGELOG, picked("general"))
        shown = [
            question["additionalContext"],
            *(one["description"] for one in question["options"]),
        ]
        assert "…" not in "".join(shown)
        assert shown[-1] == "Acme CLI 2.4.0 makes large uploads fast and dependable."

    async def test_one_that_was_given_is_not_asked_for(self) -> None:
        brief, asked = await read(FOR_TWO, audience="Developers")
        assert (asked, brief["audience"], brief["audienceFrom"], brief["lead"]) == (
            [],
            "Developers",
            "input",
            [0],
        )

    async def test_a_person_may_type_one(self) -> None:
        brief, _ = await read(FOR_TWO, said("teachers who\nuse Acme"))
        assert (brief["audience"], brief["lead"]) == ("teachers who use Acme", [])

    async def test_a_denial_leaves_everyone_and_says_why(self) -> None:
        brief, _ = await read(FOR_TWO, denied("Too many HITL requests"))
        assert (brief["audience"], brief["audienceFrom"], brief["why"]) == (
            "Everyone",
            "nobody",
            "Too many HITL requests",
        )


class TestRelease:
    SOURCE = "# Acme\n\n## 1.2.1\n\n- B\n\n## 1.2.0\n\n- A\n"

    async def test_what_is_unclear_is_asked_and_nothing_else_is(self) -> None:
        brief, [question] = await read(
            self.SOURCE, picked("Acme 1.2.0"), objective="Announce Acme 1.2"
        )
        assert question["question"] == (
            "More than one release fits the objective. What should be announced?"
        )
        assert [one["description"] for one in question["options"]] == ["B", "A"]
        assert (brief["version"], brief["releaseFrom"], brief["audience"]) == (
            "1.2.0",
            "person",
            "Everyone",
        )

    async def test_a_denial_is_no_choice(self) -> None:
        brief, _ = await read(self.SOURCE, denied("no"), objective="Announce Acme 9.9")
        assert brief == {}

    @pytest.mark.parametrize("typed", ["Acme 1.2.1", "1.2.1", "the newer one, 1.2.1"])
    async def test_a_person_may_type_what_the_source_has(self, typed: str) -> None:
        brief, _ = await read(self.SOURCE, said(typed), objective="Announce Acme 9.9")
        assert (brief["product"], brief["version"]) == ("Acme", "1.2.1")

    @pytest.mark.parametrize("typed", ["9.9", "Acme 3.0.0", "the newest"])
    async def test_what_it_does_not_have_fails_the_step(self, typed: str) -> None:
        with pytest.raises(Unclear, match="names no release"):
            await read(self.SOURCE, said(typed), objective="Announce Acme 9.9")

    async def test_a_product_that_nothing_names_is_asked_in_words(self) -> None:
        brief, [question] = await read("# Changelog\n\n## 1.2.0\n\n- A\n", said("Acme Tools"))
        assert (question["kind"], question["question"]) == (
            "freeform",
            "The source names no product. What should be announced?",
        )
        assert (brief["product"], brief["version"]) == ("Acme Tools", "1.2.0")

    async def test_a_number_of_a_source_without_releases_is_confirmed(self) -> None:
        source = "# Acme\n\n- A theme\n"
        brief, [question] = await read(source, picked("Acme 2.0"), objective="Announce Acme 2.0")
        assert [one["label"] for one in question["options"]] == ["Acme 2.0", "Acme"]
        assert (brief["product"], brief["version"]) == ("Acme", "2.0")


class TestObjective:
    async def test_without_a_source_it_is_one(self) -> None:
        objective = "Announce Acme CLI 2.4: parallel uploads, a dark theme and fewer crashes"
        made, _ = await run(desk()["strategist"], task({"audience": "all"}, objective))
        brief = made["brief"]
        assert (brief["product"], brief["version"]) == ("Acme CLI", "2.4")
        assert [point["text"] for point in brief["keyPoints"]] == [
            "parallel uploads, a dark theme and fewer crashes"
        ]

    async def test_a_page_that_is_about_no_release_keeps_its_title(self) -> None:
        page = "# Nordlicht opens its Berlin office\n\nVisits are welcome. More follows.\n"
        brief, _ = await read(page, audience="all", objective="Announce it")
        assert (brief["product"], brief["version"]) == ("Nordlicht opens its Berlin office", None)
        assert [point["text"] for point in brief["keyPoints"]] == [
            "Visits are welcome.",
            "More follows.",
        ]
