"""The strategist: whom to address, and what there is to say."""

import pytest

from hitl_orchestrator.desk import source as sources
from hitl_orchestrator.desk.objective import read as read_objective
from tests.desk.acme import (
    CHANGELOG,
    denied,
    desk,
    picked,
    run,
    said,
    task,
)


class TestStrategist:
    async def test_asks_whom_to_address_with_options_from_the_source(self) -> None:
        made, [question] = await run(
            desk()["strategist"], task({"source": CHANGELOG}), picked("operators")
        )

        assert question["question"] == "Whom should the announcement of Acme CLI 2.4.0 address?"
        assert [option["id"] for option in question["options"]] == [
            "developers",
            "operators",
            "users",
            "existing",
            "general",
        ]
        assert (
            "1 of 9 points, e.g. “A dark theme for the terminal dashboard”"
            in question["options"][2]["description"]
        )
        assert made["brief"]["audience"] == "people who run it"
        assert made["brief"]["audienceFrom"] == "person"
        assert made["brief"]["madeBy"] == "offline rules"

    async def test_the_brief_is_drawn_from_the_newest_release(self) -> None:
        made, _ = await run(
            desk()["strategist"], task({"source": CHANGELOG, "audience": "developers"})
        )

        assert (made["brief"]["product"], made["brief"]["version"]) == ("Acme CLI", "2.4.0")
        assert [(point["kind"], point["text"]) for point in made["brief"]["keyPoints"]] == [
            ("breaking", "Python 3.9 is no longer supported."),
            ("security", "CVE-2026-1234: tokens are no longer written to the debug log"),
            (
                "new",
                "Parallel uploads. acme push sends up to 8 files at once; 12,000 files "
                "took 40 % less time.",
            ),
            ("new", "A dark theme for the terminal dashboard"),
            ("new", "acme login --device for machines without a browser"),
            (
                "improved",
                "The configuration file moved to ~/.config/acme/config.toml. See the "
                "migration guide.",
            ),
            ("fixed", "A crash when a folder was deleted during an upload"),
            ("fixed", "Progress bars no longer flicker in tmux"),
        ]
        assert made["brief"]["mustInclude"] == [
            "Python 3.9 is no longer supported.",
            "CVE-2026-1234: tokens are no longer written to the debug log",
        ]
        assert made["brief"]["links"] == [
            {"url": "https://docs.acme.example.com/migrate-2.4", "text": "migration guide"}
        ]

    async def test_the_objective_may_mean_an_older_release(self) -> None:
        made, _ = await run(
            desk()["strategist"],
            task({"source": CHANGELOG, "audience": "all"}, "Announce Acme CLI 2.3.1"),
        )
        assert [point["text"] for point in made["brief"]["keyPoints"]] == [
            "Uploads over slow lines no longer stop after an hour"
        ]

    async def test_an_audience_that_was_given_is_not_asked_for(self) -> None:
        made, asked = await run(
            desk()["strategist"],
            task({"source": CHANGELOG, "audience": "Python developers at banks"}),
        )
        assert (asked, made["brief"]["audience"], made["brief"]["audienceFrom"]) == (
            [],
            "Python developers at banks",
            "input",
        )

    async def test_a_person_may_type_an_audience(self) -> None:
        made, _ = await run(
            desk()["strategist"], task({"source": CHANGELOG}), said("teachers who\nuse Acme")
        )
        assert made["brief"]["audience"] == "teachers who use Acme"

    async def test_a_denial_leaves_everyone_and_says_why(self) -> None:
        made, _ = await run(
            desk()["strategist"], task({"source": CHANGELOG}), denied("Too many HITL requests")
        )
        assert (made["brief"]["audience"], made["brief"]["why"]) == (
            "everyone",
            "Too many HITL requests",
        )

    async def test_without_a_source_the_objective_is_one(self) -> None:
        objective = 'Announce Acme CLI 2.4: parallel uploads, a dark theme and "free for schools"'
        made, _ = await run(desk()["strategist"], task({"audience": "everyone"}, objective))
        assert (made["brief"]["product"], made["brief"]["version"]) == ("Acme CLI", "2.4")
        assert [point["text"] for point in made["brief"]["keyPoints"]][:2] == [
            "Parallel uploads",
            "A dark theme",
        ]
        assert made["brief"]["mustInclude"] == ["free for schools"]

    async def test_a_source_that_is_too_long_is_cut_with_a_warning(self) -> None:
        made, _ = await run(
            desk()["strategist"],
            task({"source": CHANGELOG + "more " * 20_000, "audience": "everyone"}),
        )
        assert "only the first 100000 were read" in made["warnings"][0]

    @pytest.mark.parametrize(
        ("objective", "title", "version"),
        [
            (
                "Announce the launch of our Berlin office",
                "Announcing the launch of our Berlin office",
                None,
            ),
            ("Write a LinkedIn post about our new pricing", "Our new pricing", None),
            ("Announce that we moved", "We moved", None),
            ("Announce the party on 24.12.2026", "Announcing the party on 24.12.2026", None),
            ("Announce Acme CLI v2.4", "", "2.4"),
            ("...", "", None),
        ],
    )
    def test_topics_of_objectives(self, objective: str, title: str, version: str | None) -> None:
        found = read_objective(objective)
        assert (found.title, found.version) == (title, version)

    @pytest.mark.parametrize(
        ("heading", "named"),
        [
            ("Acme CLI 2.4.0", ("", "Acme CLI", "2.4.0")),
            ("ruff v0.17", ("", "ruff", "0.17")),
            ("Release notes", ("", None, None)),
            ("Acme 2.4 makes uploads fast", ("Acme 2.4 makes uploads fast", None, "2.4")),
            ("We moved", ("We moved", None, None)),
        ],
    )
    def test_titles_that_only_name_a_release(
        self, heading: str, named: tuple[str, str | None, str | None]
    ) -> None:
        found = sources.read(f"# {heading}\n\n- A point", "Announce it")
        assert (found.title, found.product, found.version) == named

    def test_github_release_notes(self) -> None:
        notes = """
## What's Changed
* feat(server): add streaming responses by @maria in https://github.com/foo/bar/pull/1201
* perf: cut cold start from 900 ms to 350 ms by @li in https://github.com/foo/bar/pull/1180
* feat!: drop Node 16 by @li in https://github.com/foo/bar/pull/1190
* chore(deps): bump httpx by @dependabot[bot] in https://github.com/foo/bar/pull/1199

**Full Changelog**: https://github.com/foo/bar/compare/v5.1.0...v5.2.0
"""
        assert [
            (point.kind, point.text) for point in sources.read(notes, "Announce Bar 5.2.0").points
        ] == [
            ("new", "Add streaming responses"),
            ("improved", "Cut cold start from 900 ms to 350 ms"),
            ("breaking", "Drop Node 16"),
            ("internal", "Bump httpx"),
        ]

    def test_a_press_release(self) -> None:
        press = """
# Nordlicht opens its Berlin office

On 1 March Nordlicht opens an office in Berlin. It is our first one outside Hamburg. More follows.

## For our customers

You get support from 7:00 to 20:00. Visits are welcome.

Read the [announcement](https://n.example.com/a) or [book a visit](https://n.example.com/b).

| a | b |
|---|---|
| 1 | 2 |

## Must include

- Our phone number stays the same.
"""
        found = sources.read(press, "Announce it")
        assert found.title == "Nordlicht opens its Berlin office"
        assert found.summary == (
            "On 1 March Nordlicht opens an office in Berlin. It is our first one outside Hamburg."
        )
        assert [(point.section, point.text) for point in found.points] == [
            ("For our customers", "You get support from 7:00 to 20:00.")
        ]
        assert found.must == ("Our phone number stays the same.",)
