"""What agents say while they work: frames of the run, as they come and not too many."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import LiteralString

import httpx
import pytest
from psycopg import AsyncConnection

from tests.agents import telling
from tests.api.calls import Json, frames_of, start, started
from tests.processes import AGENTS, API_KEY, serving

NAMES = (
    "named",
    "called",
    "counting",
    "thread",
    "flooding",
    "silent",
    "nonsense",
    "nested",
    "spelling",
    "both",
)
HITL_AGENTS = tuple(f"{AGENTS}/telling.py:{name}" for name in NAMES)


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url, agents=HITL_AGENTS) as client:
        yield client


def wanting(folder: Path, agent: str, output: str | None = None) -> Json:
    wanted = [output or f"{agent}.done"]
    inputs = {"folder": str(folder)}
    return {"objective": "Tell", "inputs": inputs, "outputs": wanted, "agents": [agent]}


class Rows:
    """The database, as a test looks at it and meddles with it."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def execute(self, query: LiteralString) -> None:
        await self._conn.execute(query)

    async def count(self) -> int:
        """Return how many frames tell of work."""
        query = "SELECT count(*) FROM run_events WHERE frame->'data'->'progress' IS NOT NULL"
        row = await (await self._conn.execute(query)).fetchone()
        return row[0] if row else 0

    async def wait_for_more(self, number: int) -> None:
        while await self.count() <= number:  # noqa: ASYNC110  # another process may write it
            await asyncio.sleep(0.02)


def is_progress(frame: Json) -> bool:
    return not {"progress", "tokens"}.isdisjoint(frame["data"])


async def list_progress(api: httpx.AsyncClient, run: Json) -> list[Json]:
    """Return the frames of an ended run that tell of work."""
    assert run["status"] == "completed", run["result"]
    stream = frames_of((await api.get(f"/api/runs/{run['runId']}/events")).text)
    assert [frame["seq"] for frame in stream] == [*range(1, len(stream) + 1)]
    return [frame for frame in stream if is_progress(frame)]


async def list_said(api: httpx.AsyncClient, run: Json) -> list[object]:
    return [frame["data"]["progress"] for frame in await list_progress(api, run)]


@pytest.mark.parametrize(
    ("agent", "first", "last"),
    [
        ("named", "one of two", {"text": "two of two", "part": 2}),
        ("called", {"message": "called", "rows": [1, 2]}, None),
    ],
)
def test_a_line_comes_while_the_step_is_at_work(
    database_url: str, tmp_path: Path, agent: str, first: object, last: object
) -> None:
    with (
        serving(database_url, HITL_AGENTS=",".join(HITL_AGENTS)) as server,
        server.client() as client,
    ):
        run = client.post("/api/runs", json=wanting(tmp_path, agent)).json()
        with client.stream("GET", f"/api/runs/{run['runId']}/events") as stream:
            lines = (line[6:] for line in stream.iter_lines() if line.startswith("data: "))
            frames = map(json.loads, lines)
            told = next(frame for frame in frames if is_progress(frame))
            shown = client.get(f"/api/runs/{run['runId']}").json()
            assert shown["status"] == "running"
            (tmp_path / "enough").touch()
            rest = [*frames]
    assert told["type"] == "message"
    assert told["data"] == {
        "from": agent,
        "stepId": shown["plan"]["steps"][0]["stepId"],
        "progress": first,
    }
    assert told["message"] == (first if isinstance(first, str) else "called")
    said = [(frame["message"], frame["data"]["progress"]) for frame in rest if is_progress(frame)]
    assert said == ([("two of two", last)] if last else [])


async def test_a_flood_is_ten_frames_a_second_at_most_and_costs_the_run_little(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    run = await start(api, wanting(tmp_path, "flood"))
    frames = await list_progress(api, run)
    assert frames[-1]["data"]["progress"] == f"line {telling.LINES - 1}"
    times = [datetime.fromisoformat(frame["at"]).timestamp() for frame in frames]
    for began in times:
        assert sum(began <= time < began + 1 for time in times) <= 10, times
    assert len(frames) >= 4
    took = datetime.fromisoformat(run["updatedAt"]) - datetime.fromisoformat(run["createdAt"])
    assert took.total_seconds() < 6  # of which it sleeps 1.5


@pytest.fixture
async def rows(database_url: str) -> AsyncGenerator[Rows]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield Rows(conn)


async def test_a_run_whose_claim_was_lost_tells_nothing(
    api: httpx.AsyncClient, tmp_path: Path, rows: Rows
) -> None:
    run = await start(api, wanting(tmp_path, "counting"), wait=0)
    await rows.wait_for_more(0)
    await rows.execute(
        "UPDATE orchestrator_runs SET claim_token = 'theirs', claimed_until = now() + '1 hour'"
    )
    number = await rows.count()
    await asyncio.sleep(1)
    assert await rows.count() == number
    (tmp_path / "enough").touch()
    await asyncio.sleep(0.5)
    assert await rows.count() == number  # nor is the last of it
    status = (await api.get(f"/api/runs/{run['runId']}")).json()["status"]
    assert status in {"queued", "running"}  # the claim may have gone before its first flush


async def test_what_is_said_while_the_database_takes_nothing_is_lost_and_the_run_goes_on(
    api: httpx.AsyncClient, tmp_path: Path, rows: Rows
) -> None:
    run = await start(api, wanting(tmp_path, "counting"), wait=0)
    await rows.wait_for_more(0)
    await rows.execute("ALTER TABLE run_events RENAME TO away")
    await asyncio.sleep(1)
    await rows.execute("ALTER TABLE away RENAME TO run_events")
    await rows.wait_for_more(await rows.count())
    (tmp_path / "enough").touch()
    ended = (await api.get(f"/api/runs/{run['runId']}?wait=20")).json()
    said = [str(each) for each in await list_said(api, ended)]
    numbers = [int(each.removeprefix("number ")) for each in said]
    assert numbers == sorted({*numbers})  # none is told twice
    assert max(later - number for number, later in pairwise(numbers)) > 40


async def test_the_page_of_a_run_shows_the_last_line_of_a_step_at_work(
    api: httpx.AsyncClient, tmp_path: Path, rows: Rows
) -> None:
    form = {"key": API_KEY, "operator": "ada", "name": "Ada"}
    await api.post("/login", data=form)
    run = await start(api, wanting(tmp_path, "named"), wait=0)
    await rows.wait_for_more(0)
    page = ""
    async with asyncio.timeout(20):  # the first flush of the step may come behind its first line
        while "one of two" not in page:
            page = (await api.get(f"/inbox/runs/{run['runId']}")).text
    assert page.count("one of two") == 1
    assert '<span class="help saying">one of two</span>' in page
    (tmp_path / "enough").touch()
    await api.get(f"/api/runs/{run['runId']}?wait=20")
    page = (await api.get(f"/inbox/runs/{run['runId']}")).text
    assert "one of two" not in page
    assert "Named: completed" in page


async def test_lines_from_threads_are_told(api: httpx.AsyncClient, tmp_path: Path) -> None:
    run = await start(api, wanting(tmp_path, "thread"))
    assert await list_said(api, run) == ["in a thread: True", "in one of its own"]


async def test_an_agent_that_streams_nothing_is_not_heard(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "enough").touch()
    run = await start(api, wanting(tmp_path, "silent", "named.done"))
    assert await list_progress(api, run) == []


async def test_what_is_no_json_is_left_out_and_what_is_long_is_cut(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    run = await start(api, wanting(tmp_path, "nonsense"))
    whole, cut, nothing = (await list_said(api, run))[-3:]
    assert whole == "x" * 2_000
    assert isinstance(cut, str)
    assert (len(cut), cut[:12]) == (2_000, '{"rows":["yy')
    assert nothing is None


async def test_a_graph_of_graphs_is_heard_and_its_tokens_only_if_asked_for(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    found: dict[str, Counter[str]] = {}
    tokens: dict[str, str] = {}
    for agent in ("nested", "spelling", "both"):
        frames = await list_progress(api, await start(api, wanting(tmp_path, agent)))
        found[agent] = Counter(key for frame in frames for key in frame["data"])
        tokens[agent] = "".join(frame["data"].get("tokens", "") for frame in frames)
    assert (found["nested"]["progress"], found["nested"]["tokens"]) == (1, 0)
    assert (found["spelling"]["progress"], found["spelling"]["tokens"]) == (0, 1)
    assert (found["both"]["progress"], found["both"]["tokens"]) == (1, 1)
    assert tokens == {"nested": "", "spelling": telling.WORDS, "both": telling.WORDS}
