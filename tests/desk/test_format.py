"""The desk's mappings keep the plug-in format, and its plan makes what is published."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hitl_orchestrator.desk import build_agents
from hitl_orchestrator.nodes.agents import build_catalogue, read_agent
from tests.desk.acme import (
    CHANGELOG,
    Answer,
    approved,
    desk,
    picked,
    run,
    task,
)


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

    async def test_a_release_that_needs_more_room_than_a_channel_has_asks_a_third_time(
        self, tmp_path: Path
    ) -> None:
        warning = f"- **Breaking:** {'all the old settings are refused, ' * 12}and so on.\n"
        facets: dict[str, Any] = {
            "source": CHANGELOG.replace("### Removed\n\n", f"### Removed\n\n{warning}"),
            "channels": ["x", "linkedin"],
        }
        visits = (
            ("strategist", picked("general")),
            ("writer",),
            ("reviewer", picked("leave-out")),
            ("publisher", approved()),
        )
        asked = await self.work(facets, [], tmp_path, *visits)
        assert asked == ["choice", "choice", "approval"]
        assert [each["channel"] for each in facets["published"]["files"]] == ["linkedin"]
