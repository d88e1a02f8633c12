"""What cannot be shown to a person whole is refused with the reason; siblings and work stay."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.agents.unshowable import AGENTS as NAMES
from tests.agents.unshowable import KIB
from tests.api.calls import Json, answer, start, started, wanting
from tests.processes import AGENTS


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    agents = tuple(f"{AGENTS}/unshowable.py:{name}" for name in NAMES)
    async with started(database_url, agents=agents) as client:
        yield client


async def tidy_up(api: httpx.AsyncClient, log: Path, agent: str) -> Json:
    return await start(api, wanting(log, "minutes", f"clerk.{agent}"))


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ("nul", "holds a NUL character"),
        ("nan", "is not plain JSON"),
        ("large", "262144 are allowed"),
        ("per_call", "holds a NUL character"),
    ],
)
async def test_a_tool_call_that_cannot_be_shown_is_refused_and_its_sibling_is_asked(
    api: httpx.AsyncClient, log: Path, agent: str, why: str
) -> None:
    run = await tidy_up(api, log, agent)
    assert run["status"] == "awaiting_hitl", run["error"]
    mail, delete = run["requests"]
    assert (mail["status"], mail["action"]["name"]) == ("pending", "send_mail")
    assert (delete["status"], delete["action"]["name"]) == ("denied", "delete_file")
    assert why in delete["denialReason"]
    done = await answer(api, run, approved=True)
    assert (done["status"], log_lines(log)) == ("completed", ["mail ann@example.org: Hello"])
    assert why in done["result"]["outputs"]["minutes"]
    assert 'hitl_denied_total{reason="unshowable"} 1.0' in (await api.get("/metrics")).text


async def test_what_is_large_but_not_too_large_is_shown_with_its_description(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await tidy_up(api, log, "just_so")
    delete = run["requests"][1]
    assert (delete["status"], len(delete["action"]["arguments"]["path"])) == ("pending", 200 * KIB)
    run = await answer(api, run, approved=True)
    done = await answer(api, run, approved=True)
    assert (done["status"], len(log_lines(log))) == ("completed", 2)


async def test_where_the_agent_takes_no_refusal_the_step_fails(
    api: httpx.AsyncClient, log: Path
) -> None:
    for agent in ("unrefusable", "anything"):
        run = await tidy_up(api, log, agent)
        assert (run["status"], run["requests"], log_lines(log)) == ("failed", [], [])
        assert run["error"]["stepId"] == "s1"


async def test_our_own_form_and_a_mapping_with_denied_are_told_of_the_refusal(
    api: httpx.AsyncClient, log: Path
) -> None:
    run = await tidy_up(api, log, "own")
    assert (run["status"], run["requests"][0]["question"]) == ("completed", "Send it?")
    assert "holds a NUL character" in run["result"]["outputs"]["minutes"]
    run = await tidy_up(api, log, "worded")
    assert run["status"] == "completed"
    assert run["result"]["outputs"]["minutes"].startswith("done: refused, the question is not")
