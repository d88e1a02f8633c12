"""What the strategist reads in a source: product, version, points, link; or what it asks."""

import time
from typing import Any

import pytest

from hitl_orchestrator.desk.changelog import TooLong
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
async def test_900_kb_of_history_take_little_longer_than_one_release(dialect: str) -> None:
    """0.35 s as measured; by its ratio here, since machines differ: only one release is parsed."""
    seconds = {number: await measure(dialect, number) for number in (1, 400)}
    assert seconds[400] < 20 * max(seconds[1], 0.02)


async def test_what_is_longer_than_people_read_is_refused() -> None:
    given = task({"source": "# Acme\n\n## 1.2.0\n\n- One\n" + "<!--\n" * 100_000})
    with pytest.raises(TooLong, match="more than 200000 characters"):
        await run(desk()["strategist"], given)


async def measure(dialect: str, releases: int) -> float:
    """Return what announcing a release in the middle takes, of the CPU."""
    mark = "### Fixed\n\n" if dialect == "markdown" else "Fixed\n~~~~~\n\n"
    body = mark + "".join(f"- A thing with `code` and number {n}\n" for n in range(65))
    heading = "## 0.{}.0" if dialect == "markdown" else "0.{}.0\n-------"
    title = "# Acme" if dialect == "markdown" else "Acme\n====\n\n.. contents::"
    sections = [f"{heading.format(n)}\n\n{body}\n" for n in range(releases, 0, -1)]
    source = "\n".join([title, "", *sections])
    version = f"0.{(releases + 3) // 4}.0"
    begun = time.process_time()
    made, _ = await run(
        desk()["strategist"],
        task({"source": source, "audience": "everyone"}, f"Announce Acme {version}"),
    )
    used = time.process_time() - begun
    assert (made["brief"]["version"], len(made["brief"]["keyPoints"])) == (version, 65)
    return used
