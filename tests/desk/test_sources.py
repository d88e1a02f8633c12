"""What the strategist reads in a source: product, version, points, link; or what it asks."""

import time
from typing import Any

import pytest

from tests.desk.acme import denied, desk, run, task
from tests.desk.sources import CASES, Case


async def read(case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    given = task({"source": case.source, "audience": "everyone"}, case.objective)
    answers = [denied("Nobody there")] if case.asks is not None else []
    return await run(desk()["strategist"], given, *answers)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_source_is_read_as_it_is_or_asked_about(case: Case) -> None:
    made, asked = await read(case)
    if case.asks is not None:
        assert "brief" not in made, "a denial is no choice"
        assert [option["label"] for option in asked[0].get("options", ())] == [*case.asks]
        return
    brief = made["brief"]
    assert (brief["product"], brief["version"], brief["prerelease"]) == (
        case.product,
        case.version,
        case.prerelease,
    )
    assert tuple(point["text"] for point in brief["keyPoints"]) == case.points
    urgent = [point for point in brief["keyPoints"] if point["kind"] in ("breaking", "security")]
    assert tuple(point["text"] for point in urgent) == case.urgent
    assert [link["url"] for link in brief["links"]] == ([case.link] if case.link else [])


@pytest.mark.parametrize("dialect", ["markdown", "restructured"])
async def test_900_kb_of_history_take_less_than_a_second(dialect: str) -> None:
    mark = "### Fixed\n\n" if dialect == "markdown" else "Fixed\n~~~~~\n\n"
    body = mark + "".join(f"- A thing with `code` and number {n}\n" for n in range(65))
    heading = "## 0.{}.0" if dialect == "markdown" else "0.{}.0\n-------"
    title = "# Acme" if dialect == "markdown" else "Acme\n====\n\n.. contents::"
    releases = [f"{heading.format(n)}\n\n{body}\n" for n in range(400, 0, -1)]
    source = "\n".join([title, "", *releases])
    assert len(source) > 900_000

    begun = time.perf_counter()
    made, _ = await run(
        desk()["strategist"],
        task({"source": source, "audience": "everyone"}, "Announce Acme 0.100.0"),
    )
    assert time.perf_counter() - begun < 1
    assert (made["brief"]["version"], len(made["brief"]["keyPoints"])) == ("0.100.0", 65)
