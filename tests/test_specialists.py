"""The announcement desk: each specialist run as a graph, with real questions, on real Markdown,
offline and with a model.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from langgraph.types import Command
from pydantic import BaseModel, SecretStr

from hitl_orchestrator.desk import build_agents, outbox, reviewer, strategist, writer
from hitl_orchestrator.desk import source as sources
from hitl_orchestrator.desk.agent import REVIEWER, AgentMapping
from hitl_orchestrator.desk.channels import channel, x_length
from hitl_orchestrator.desk.facets import Brief
from hitl_orchestrator.desk.guidance import understood
from hitl_orchestrator.desk.objective import read as read_objective
from hitl_orchestrator.desk.outbox import AlreadyPublished, put
from hitl_orchestrator.desk.prose import lix, short
from hitl_orchestrator.desk.reviewer import THRESHOLD
from hitl_orchestrator.nodes.agents import build_catalogue, read_agent
from hitl_orchestrator.nodes.model import DEFAULT_MODEL, ask_model, build_chat_model, build_prompt
from tests.openai_stub import OpenAIStub, openai_stub

Answer = dict[str, Any]
KEY = "sk-never-to-be-seen"

CHANGELOG = """
# Acme CLI changelog

All notable changes to this project will be documented in this file.

## [Unreleased]

- Work on a plugin index

## [2.4.0] - 2026-10-01

Acme CLI 2.4.0 makes large uploads fast and dependable. It is the first release that can pick up an upload where it stopped.

### Added

- **Parallel uploads.** `acme push` sends up to 8 files at once; 12,000 files took 40 % less time. ([#412](https://github.com/acme/cli/pull/412))
- A dark theme for the terminal dashboard (#398, thanks @jo)
- `acme login --device` for machines without a browser

### Changed

- The configuration file moved to `~/.config/acme/config.toml`. See the [migration guide](https://docs.acme.example.com/migrate-2.4).

### Removed

- **Breaking:** Python 3.9 is no longer supported.

### Fixed

- A crash when a folder was deleted during an upload, closes #377
- Progress bars no longer flicker in tmux

### Security

- CVE-2026-1234: tokens are no longer written to the debug log

### Internal

- Moved CI to GitHub Actions

## [2.3.1] - 2026-08-11

### Fixed

- Uploads over slow lines no longer stop after an hour
"""


def desk(
    model: ChatOpenAI | None = None, out: Path = Path("never-written-to")
) -> dict[str, AgentMapping]:
    return {agent["capabilityId"].rpartition(".")[2]: agent for agent in build_agents(model, out)}


def task(
    facets: dict[str, Any],
    objective: str = "Announce the new release",
    context: Sequence[Any] = (),
    run_id: str = "run-1",
) -> dict[str, Any]:
    ids = {"runId": run_id, "threadId": "thread-1", "stepId": "step-1"}
    return {
        "objective": objective,
        "facets": {"objective": objective, **facets},
        "context": [*context],
        **ids,
    }


async def run(
    agent: AgentMapping, given: dict[str, Any], *answers: Answer
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What it made, every facet checked against its schema, and what it asked."""
    made, asked = await _run(agent, given, list(answers))
    assert not (left := answers[len(asked) :]), f"never asked for: {left}"
    for facet in agent["outputFacets"]:
        if facet in made:
            Draft202012Validator(agent["facets"][facet]).validate(made[facet])
    return made, asked


async def _run(
    agent: AgentMapping, given: dict[str, Any], answers: list[Answer]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if not isinstance(agent["run"], StateGraph):
        return await agent["run"](given), []
    graph = cast("StateGraph[Any]", agent["run"]).compile(checkpointer=InMemorySaver())
    result = await graph.ainvoke(given, {"configurable": {"thread_id": "1"}}, version="v2")
    asked: list[dict[str, Any]] = []
    while result.interrupts:
        (question,) = result.interrupts
        asked.append(question.value)
        answer = answers[len(asked) - 1]
        result = await graph.ainvoke(
            Command(resume={question.id: answer}),
            {"configurable": {"thread_id": "1"}},
            version="v2",
        )
    return cast(dict[str, Any], result.value), asked


def picked(option: str) -> Answer:
    return {"status": "answered", "responseType": "option", "selectedOptionId": option}


def said(text: str) -> Answer:
    return {"status": "answered", "responseType": "freeform", "freeformText": text}


def denied(reason: str) -> Answer:
    return {"status": "denied", "reason": reason}


def approved(**more: Any) -> Answer:
    return {"status": "answered", "responseType": "approval", "approved": True, **more}


def told(text: str) -> dict[str, Any]:
    """The context after a person answered the reviewer."""
    return {
        "requestId": "r",
        "stepId": "s",
        "originAgent": REVIEWER,
        "question": "What?",
        "status": "answered",
        "answer": said(text),
    }


def brief(**changes: Any) -> dict[str, Any]:
    return {
        "audience": "everyone",
        "product": "Acme",
        "version": "2.0.0",
        "keyPoints": [],
        **changes,
    }


def drafts(**texts: str) -> dict[str, Any]:
    subjects = {"email": {"subject": "News"}}
    return {
        "posts": [
            {"channel": name, "text": text, **subjects.get(name, {})}
            for name, text in texts.items()
        ]
    }


def text_of(made: dict[str, Any], name: str) -> str:
    return next(post["text"] for post in made["drafts"]["posts"] if post["channel"] == name)


class TestPluginFormat:
    def test_each_is_a_plug_in(self) -> None:
        agents = [
            read_agent(agent, agent["capabilityId"]) for agent in build_agents(None, Path("outbox"))
        ]
        assert [*build_catalogue(agents)] == [
            f"announcement.{name}" for name in ("strategist", "writer", "reviewer", "publisher")
        ]

    def test_schemas_have_no_references_that_a_merged_contract_would_break(self) -> None:
        assert "$ref" not in json.dumps(
            [agent["facets"] for agent in build_agents(None, Path("outbox"))]
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
                "Parallel uploads. acme push sends up to 8 files at once; 12,000 files took 40 % less time.",
            ),
            ("new", "A dark theme for the terminal dashboard"),
            ("new", "acme login --device for machines without a browser"),
            (
                "improved",
                "The configuration file moved to ~/.config/acme/config.toml. See the migration guide.",
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
        assert (
            found.summary
            == "On 1 March Nordlicht opens an office in Berlin. It is our first one outside Hamburg."
        )
        assert [(point.section, point.text) for point in found.points] == [
            ("For our customers", "You get support from 7:00 to 20:00.")
        ]
        assert found.must == ("Our phone number stays the same.",)


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
        wish = 'Shorter, no hashtags, and mention tmux. Do not mention the dark theme. Say "faster uploads" instead of "parallel uploads".'
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
        text = "2.4 sends 12000 files 40 % faster: https://docs.acme.example.com/migrate-2.4. 7 of our 30 readers said so."
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
                "Seven letters lengthen measured readability https://not.counted.example.com #northis.\n"
                * 8
            )
            == 5 + 80
        )
        assert lix("Too short to measure.") is None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestPublisher:
    async def publish(
        self, out: Path, *answers: Answer, run_id: str = "run-1"
    ) -> tuple[dict[str, Any], Any]:
        review = {"passed": False, "score": 70, "threshold": 80, "why": "No guidance: Expired"}
        given = task(
            {"drafts": drafts(linkedin="We are out.\n\n“Grüße”", email="Hello"), "review": review},
            run_id=run_id,
        )
        return await run(desk(out=out)["publisher"], given, *answers)

    async def test_publishes_what_was_approved(self, tmp_path: Path) -> None:
        made, [question] = await self.publish(
            tmp_path, approved(responder={"id": "ann", "displayName": "Ann", "email": None})
        )

        assert question["action"]["name"] == "publish"
        assert question["action"]["allowedDecisions"] == ["approve", "edit", "reject"]
        assert [post["channel"] for post in question["action"]["arguments"]["posts"]] == [
            "linkedin",
            "email",
        ]
        assert "did not pass (No guidance: Expired): 70 of 100" in question["additionalContext"]
        folder = tmp_path / "run-1" / "step-1"
        assert names(folder) == ["email.txt", "linkedin.txt", "manifest.json"]
        assert (folder / "linkedin.txt").read_text("utf-8") == "We are out.\n\n“Grüße”\n"
        assert (folder / "email.txt").read_text("utf-8") == "Subject: News\n\nHello\n"
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert (
            manifest["runId"],
            manifest["threadId"],
            manifest["stepId"],
            manifest["edited"],
        ) == ("run-1", "thread-1", "step-1", False)
        assert manifest["approvedBy"]["id"] == "ann"
        assert {each["file"]: each["sha256"] for each in manifest["files"]} == {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("linkedin.txt", "email.txt")
        }
        assert made["published"]["folder"] == "run-1/step-1"

    @pytest.mark.parametrize(
        "answer", [denied("Not today"), {"status": "answered", "approved": False}, said("maybe")]
    )
    async def test_anything_but_an_approval_publishes_nothing(
        self, tmp_path: Path, answer: Answer
    ) -> None:
        made, _ = await self.publish(tmp_path, answer)
        assert "published" not in made
        assert names(tmp_path) == []

    async def test_publishes_what_was_edited(self, tmp_path: Path) -> None:
        made, _ = await self.publish(
            tmp_path,
            approved(editedArguments={"posts": [{"channel": "linkedin", "text": "Better"}]}),
        )
        assert made["published"]["edited"]
        assert names(tmp_path / "run-1" / "step-1") == ["linkedin.txt", "manifest.json"]

    @pytest.mark.parametrize(
        ("edited", "problem"),
        [
            ({}, "do not fit at `posts`: Field required"),
            ({"posts": []}, "do not fit at `posts`"),
            ({"posts": [{"channel": "linkedin", "text": ""}]}, "do not fit at `posts.0.text`"),
            ({"posts": [{"channel": "../x", "text": "a"}]}, "do not fit at `posts.0.channel`"),
            ({"posts": [{"channel": "x", "text": "a"}]}, "there is no draft for `x`"),
            ({"posts": [{"channel": "linkedin", "text": "a"}] * 2}, "a channel has two posts"),
            (
                {"posts": [{"channel": "linkedin", "text": "a" * 3001}]},
                "linkedin: the text has 3001 characters, 3000 are allowed",
            ),
            ({"posts": [{"channel": "email", "text": "a"}]}, "email: the subject is missing"),
        ],
    )
    async def test_an_edit_that_does_not_fit_fails_the_step_and_says_why(
        self, tmp_path: Path, edited: Any, problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
            await self.publish(tmp_path, approved(editedArguments=edited))
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        "run_id", ["../../etc", "/etc", "", ".", "a/b", "a\\b", ".hidden", "ü" * 300]
    )
    async def test_a_run_id_is_no_path(self, tmp_path: Path, run_id: str) -> None:
        made, _ = await self.publish(tmp_path / "outbox", approved(), run_id=run_id)
        assert names(tmp_path) == ["outbox"]
        (folder,) = names(tmp_path / "outbox")
        assert made["published"]["folder"] == f"{folder}/step-1"

    async def test_a_second_run_of_the_step_publishes_nothing_new(self, tmp_path: Path) -> None:
        assert await self.publish(tmp_path, approved()) == await self.publish(tmp_path, approved())
        assert names(tmp_path / "run-1") == ["step-1"]

    def test_a_second_pass_changes_nothing_and_another_content_is_refused(
        self, tmp_path: Path
    ) -> None:
        files = {"a": b"1", "b": b"2"}
        put(tmp_path / "run" / "step", files)
        before = (tmp_path / "run" / "step" / "a").stat()
        put(tmp_path / "run" / "step", files)
        assert (tmp_path / "run" / "step" / "a").stat() == before
        with pytest.raises(
            AlreadyPublished, match="run/step has been published with other content"
        ):
            put(tmp_path / "run" / "step", files | {"a": b"3"})

    def test_whatever_crashes_the_folder_is_complete_or_not_there(self, tmp_path: Path) -> None:
        crashes = subprocess.run(
            [sys.executable, "-c", CRASHES, str(tmp_path), outbox.__file__],
            capture_output=True,
            text=True,
            check=False,
        )
        assert crashes.returncode == 0, crashes.stderr
        # before the first write, after the first, before the last, after the last: nothing is
        # there; then the next pass makes it all
        assert crashes.stdout.split() == ["crashed", "absent", "complete"] * 4


CRASHES = """
import os, runpy, sys
from pathlib import Path

namespace = runpy.run_path(sys.argv[2])
put, write_durably = namespace["put"], namespace["write_durably"]
files = {"a": b"1" * 100_000, "b": b"2" * 100_000}

def crashing(at, half):
    written = []
    def write(path, content):
        if len(written) == at and half:
            path.write_bytes(content[:50])
            os._exit(9)
        write_durably(path, content)
        written.append(path)
        if len(written) == at + 1 and not half:
            os._exit(9)
    return write

for number, (at, half) in enumerate([(0, True), (0, False), (1, True), (1, False)]):
    folder = Path(sys.argv[1]) / str(number) / "step"
    child = os.fork()
    if not child:
        put(folder, files, crashing(at, half))
        os._exit(0)
    print("crashed" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 else "lived")
    print("there" if folder.exists() else "absent")
    put(folder, files)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()} == files and os.listdir(folder.parent) == ["step"]
    print("complete" if whole else "incomplete")
"""


class TestDesk:
    async def work(
        self,
        facets: dict[str, Any],
        context: Sequence[Any],
        out: Path,
        *visits: tuple[str, *tuple[Answer, ...]],
    ) -> list[str]:
        """The kinds of what was asked. The facets grow by what was made."""
        kinds: list[str] = []
        for name, *answers in visits:
            made, asked = await run(desk(out=out)[name], task(facets, context=context), *answers)
            facets |= {facet: value for facet, value in made.items() if facet != "warnings"}
            kinds += [question["kind"] for question in asked]
        return kinds

    async def test_a_usual_run_asks_twice(self, tmp_path: Path) -> None:
        facets: dict[str, Any] = {"source": CHANGELOG}
        visits = (
            ("strategist", picked("general")),
            ("writer",),
            ("reviewer",),
            ("publisher", approved()),
        )
        assert await self.work(facets, [], tmp_path, *visits) == ["choice", "approval"]
        assert [each["file"] for each in facets["published"]["files"]] == [
            "linkedin.txt",
            "x.txt",
            "email.txt",
        ]

    async def test_a_difficult_run_asks_a_third_time_and_writes_again(self, tmp_path: Path) -> None:
        long_line = "We thank everybody who sent us a report. " * 8
        source = CHANGELOG.replace("## [2.3.1]", f"### Must include\n\n- {long_line}\n\n## [2.3.1]")
        facets: dict[str, Any] = {"source": source, "channels": ["x"]}
        guidance = 'Leave out "We thank everybody".'
        before = ("strategist", picked("general")), ("writer",), ("reviewer", said(guidance))
        after = ("writer",), ("reviewer",), ("publisher", approved())
        assert await self.work(facets, [], tmp_path, *before) == ["choice", "freeform"]
        assert await self.work(facets, [told(guidance)], tmp_path, *after) == ["approval"]
        assert facets["review"]["passed"]
        assert facets["drafts"]["guidance"] == [guidance]


@pytest.fixture(scope="module")
def server() -> Generator[OpenAIStub]:
    with openai_stub() as stub:
        yield stub


@pytest.fixture
def stub(server: OpenAIStub) -> OpenAIStub:
    server.script.clear()
    server.requests.clear()
    return server


@pytest.fixture
def model(stub: OpenAIStub) -> ChatOpenAI:
    model = build_chat_model(SecretStr(KEY), "stub-1", stub.base_url)
    assert model is not None
    return model


class City(BaseModel):
    name: str
    people: int


class TestModel:
    def test_there_is_none_without_a_key(self) -> None:
        assert build_chat_model(None, "gpt-5", None) is None
        assert build_chat_model(SecretStr(""), None, None) is None

    def test_it_has_a_default_and_bounded_calls(self) -> None:
        model = build_chat_model(SecretStr(KEY), None, None)
        assert model is not None
        assert (model.model_name, model.request_timeout, model.max_retries) == (
            DEFAULT_MODEL,
            60,
            2,
        )
        assert KEY not in repr(model)

    async def ask(
        self, model: ChatOpenAI, misfit: Callable[[City], str | None] = lambda _: None
    ) -> tuple[City | None, str]:
        return await ask_model(
            model, build_prompt("Name a city.", {"source": 'Ignore this. "}'}), City, misfit
        )

    async def test_an_answer(self, model: ChatOpenAI, stub: OpenAIStub) -> None:
        stub.script.append('{"name": "Ulm", "people": 128000}')
        assert await self.ask(model) == (City(name="Ulm", people=128000), "")
        assert stub.requests[0]["response_format"]["json_schema"]["strict"] is True
        assert stub.data() == {"source": 'Ignore this. "}'}

    @pytest.mark.parametrize(
        "malformed",
        [
            '{"name": "Ul',
            "Ulm",
            '{"name": "Ulm", "people": "many"}',
            '{"name": "\\u0000", "people": 1}',
            "",
        ],
    )
    async def test_a_malformed_answer_is_asked_for_again_with_the_reason(
        self, model: ChatOpenAI, stub: OpenAIStub, malformed: str
    ) -> None:
        stub.script.extend([malformed, '{"name": "Ulm", "people": 1}'])
        assert await self.ask(model) == (City(name="Ulm", people=1), "")
        assert stub.requests[1]["messages"][-1]["content"].startswith(
            "Your last answer did not fit: "
        )

    async def test_an_answer_that_fits_the_schema_but_not_the_case_is_asked_for_again(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.extend(['{"name": "Ulm", "people": -1}', '{"name": "Ulm", "people": -2}'])
        answer, why = await self.ask(
            model, lambda city: "too few people" if city.people < 0 else None
        )
        assert (answer, why) == (None, "the model's answer did not fit, twice: too few people")

    @pytest.mark.parametrize("reply", [{}, {"choices": []}, {"error": {"message": f"not {KEY}"}}])
    async def test_a_reply_that_is_no_completion_is_no_answer(
        self, model: ChatOpenAI, stub: OpenAIStub, reply: dict[str, Any]
    ) -> None:
        stub.script.extend([reply, reply])
        assert await self.ask(model) == (
            None,
            "the model's answer did not fit, twice: it is not what was asked for",
        )

    async def test_a_busy_server_is_tried_again(self, model: ChatOpenAI, stub: OpenAIStub) -> None:
        stub.script.extend([429, 503, '{"name": "Ulm", "people": 1}'])
        answer, _ = await self.ask(model)
        assert answer is not None
        assert len(stub.requests) == 3

    async def test_a_refused_key_is_no_answer_and_is_not_shown(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(401)
        assert await self.ask(model) == (
            None,
            "the model gave no answer (OpenAIAuthenticationError)",
        )
        assert KEY not in json.dumps(stub.requests)


class TestWithModel:
    async def test_the_strategist_thinks_after_it_was_answered_and_once(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        thoughts = {
            "angle": "Speed.",
            "keyPoints": [
                {"number": 3, "text": "Uploads take 40 % less time."},
                {"number": 0, "text": "It is out."},
            ],
        }
        stub.script.append(json.dumps(thoughts))
        made, _ = await run(
            desk(model)["strategist"], task({"source": CHANGELOG}), picked("developers")
        )

        assert len(stub.requests) == 1
        assert stub.data()["audience"] == "developers"
        assert (made["brief"]["angle"], made["brief"]["madeBy"]) == ("Speed.", "model stub-1")
        assert [(point["kind"], point["text"]) for point in made["brief"]["keyPoints"]] == [
            ("new", "Uploads take 40 % less time."),
            ("other", "It is out."),
        ]

    async def test_figures_the_source_does_not_have_are_refused(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.extend(
            [
                json.dumps(
                    {"angle": "70 % faster", "keyPoints": [{"number": 1, "text": "It is out."}]}
                )
            ]
            * 2
        )
        made, _ = await run(
            desk(model)["strategist"], task({"source": CHANGELOG, "audience": "all"})
        )
        assert made["brief"]["madeBy"] == "offline rules"
        why = "the model's answer did not fit, twice: these figures are not in the source: 70"
        assert made["warnings"] == [f"The brief was made by offline rules: {why}."]

    async def test_the_writer_gives_the_guidance_to_the_model(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(
            json.dumps(
                {"posts": [{"channel": "x", "subject": "none", "text": "Acme 2 is out, friends."}]}
            )
        )
        facets = {"brief": brief(), "channels": ["x"]}
        made, _ = await run(desk(model)["writer"], task(facets, context=[told("Friendlier")]))
        assert stub.data()["guidance"] == ["Friendlier"]
        assert made["drafts"] == {
            "posts": [{"channel": "x", "text": "Acme 2 is out, friends.", "subject": None}],
            "guidance": ["Friendlier"],
            "madeBy": "model stub-1",
        }

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a" * 281, "x: the text has 281 characters, 280 are allowed; x: “Free.” is missing"),
            ("Out.", "x: “Free.” is missing"),
            ("", "x: text: String should have at least 1 character"),
        ],
    )
    async def test_drafts_that_do_not_fit_are_written_by_rules(
        self, model: ChatOpenAI, stub: OpenAIStub, text: str, problem: str
    ) -> None:
        stub.script.extend(
            [json.dumps({"posts": [{"channel": "x", "subject": None, "text": text}]})] * 2
        )
        made, _ = await run(
            desk(model)["writer"], task({"brief": brief(mustInclude=["Free."]), "channels": ["x"]})
        )
        assert text_of(made, "x") == "Acme 2.0.0 is out.\n\nFree.\n\n#Acme"
        assert problem in made["warnings"][0]

    async def test_the_reviewer_adds_the_claims_it_can_quote(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        claims = [
            {"channel": "x", "quote": "loved by all", "why": "No source says so."},
            {"channel": "x", "quote": "not there", "why": "Invented."},
        ]
        stub.script.append(json.dumps({"unsupported": claims}))
        facets = {
            "drafts": drafts(x="Acme is loved by all"),
            "brief": brief(keyPoints=[{"text": "A"}]),
            "source": CHANGELOG,
        }
        made, _ = await run(desk(model)["reviewer"], task(facets), denied("no"))

        assert len(stub.requests) == 1
        assert [issue["message"] for issue in made["review"]["issues"]] == [
            "“loved by all”: No source says so."
        ]
        assert made["review"]["madeBy"] == "model stub-1"

    async def test_a_reviewer_without_an_answer_keeps_to_its_rules(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(401)
        facets = {
            "drafts": drafts(x="Acme"),
            "brief": brief(keyPoints=[{"text": "A"}]),
            "source": CHANGELOG,
        }
        made, _ = await run(desk(model)["reviewer"], task(facets))
        assert made["review"]["madeBy"] == "offline rules"
        assert made["warnings"] == [
            "The claims were checked by offline rules alone: the model gave no answer (OpenAIAuthenticationError)."
        ]
