"""What docs/security.md promises, on real processes: who gets in, what is told to whom, what cannot
be changed unnoticed.
"""

import asyncio
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import ormsgpack
import pytest
from psycopg import AsyncConnection, sql
from psycopg.errors import RaiseException

from hitl_orchestrator.checkpoints import audit
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from tests.api.calls import Json, answering, is_problem, paused, started
from tests.processes import AGENTS, API_KEY, HITL, Running, running, serving

KEY = f"key-{token_hex(16)}"  # nowhere else on this machine
SAID = f"said-{token_hex(16)}"  # by people, in whatever field takes free text
PEOPLE = 8
with_proc = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="processes are listed by /proc"
)


@pytest.fixture
def place() -> Generator[Path]:
    """A data folder that Postgres's user can enter: pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def hitl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command to its end, told nothing by this process' environment."""
    command = [HITL, *arguments]
    kept = [name for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ]
    env = {name: os.environ[name] for name in kept} | environment
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def command_lines() -> str:
    """Of all processes there are now."""
    found = list[bytes]()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found.append((process / "cmdline").read_bytes())
            except OSError:
                continue  # it has just ended
    return b"\n".join(found).decode(errors="replace")


# What is told to whom


BREAKS = """
def run(task):
    raise ValueError(task["objective"])

agent = {
    "capabilityId": "breaks", "displayName": "Breaks", "run": run,
    "inputFacets": ["objective"], "outputFacets": ["letter"],
}
"""


def a_persons_day(server: Running) -> list[httpx.Response]:
    """Runs started, answered wrongly, rightly and again, removed, broken: with free text wherever
    it is taken, and where it is not.
    """
    by = {"operator": {"id": "operator-7", "displayName": SAID, "email": SAID}, "note": SAID}
    start = {
        "objective": SAID,
        "inputs": {"question": {"question": SAID, "additionalContext": SAID}},
        "metadata": {"x": SAID},
    }
    answers = [
        {"approved": SAID},
        {"selectedOptionId": SAID},
        {SAID: SAID},
        {"freeformText": SAID},
        {"freeformText": SAID},
    ]
    with server.client() as api:
        replies = [
            api.post("/api/runs?wait=20", json={**start, "outputs": ["answer"]}) for _ in range(2)
        ]
        first, second = (reply.json() for reply in replies)
        replies += [
            api.post("/api/hitl/resume?wait=20", json={**answering(first, **answer), **by})
            for answer in answers
        ]
        return [
            *replies,
            api.post("/api/hitl/remove", json={"runId": second["runId"], "reason": SAID, **by}),
            api.post("/api/runs?wait=20", json={"objective": SAID, "outputs": ["letter"]}),
            api.post(
                "/api/runs",
                content=f'{{"objective": {SAID}'.encode(),
                headers={"Content-Type": "application/json"},
            ),
            api.post("/api/runs", json={"objective": "x" * 2**20}),
            api.delete("/api/runs"),
            api.get("/api/runs", headers={"Authorization": f"Bearer {KEY}x"}),
            *(
                api.get(f"/api/{path}")
                for path in (
                    f"runs?{SAID}={SAID}",
                    f"hitl/requests/{SAID}",
                    f"runs/{first['runId']}/events",
                )
            ),
            *(
                api.get(path)
                for path in ("/docs", "/openapi.json", "/metrics", "/readyz", "/nowhere")
            ),
        ]


@with_proc
async def test_neither_the_key_nor_what_people_say_is_told_to_processes_logs_or_errors(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "breaks.py").write_text(BREAKS)
    agents = f"{AGENTS / 'asks.py'}:agent,{tmp_path / 'breaks.py'}:agent"
    with serving(database_url, API_KEY=KEY, HITL_AGENTS=agents) as server:
        server.api_key = KEY
        days = asyncio.gather(*(asyncio.to_thread(a_persons_day, server) for _ in range(PEOPLE)))
        while not days.done():
            assert KEY not in await asyncio.to_thread(command_lines)
            await asyncio.sleep(0.2)
        replies = [reply for day in await days for reply in day]
        assert server.terminate() == 0
        log = server.log.read_text()
    assert {reply.status_code for reply in replies} == {200, 202, 401, 404, 405, 409, 413, 422}
    assert [reply.url for reply in replies if KEY in f"{reply.headers} {reply.text}"] == []
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert [events.count(name) for name in ("hitl_response_recorded", "run_failed")] == [
        PEOPLE,
        PEOPLE,
    ], "it is not silent"
    assert KEY not in log
    assert re.findall(f".*{SAID}.*", log) == []


@with_proc
async def test_a_generated_key_is_for_its_owner_alone(place: Path) -> None:
    """Also when it is allowed to let other machines in."""
    environment = {
        "HITL_DATA_DIR": str(place),
        "HOST": "0.0.0.0",  # noqa: S104
        "PORT": "0",
        "HITL_ALLOW_GENERATED_KEY": "true",
    }
    with running("serve", environment=environment, says="HITL Orchestrator: ") as server:
        key, password = (
            (place / "api_key").read_text(),
            (place / "postgres/cluster/hitl.password").read_text(),
        )
        assert stat.S_IMODE((place / "api_key").stat().st_mode) == 0o600
        assert len(key) >= 40
        server.url, server.api_key = server.url.replace("0.0.0.0", "127.0.0.1"), key  # noqa: S104
        with server.client() as api:
            assert api.get("/api/runs").status_code == 200
        seen = command_lines()
        assert str(place) in seen, "its Postgres is among them"
        assert server.terminate() == 0
        for told in (seen, server.log.read_text(), (place / "postgres.log").read_text()):
            assert key not in told
            assert password not in told


async def test_the_second_server_of_a_folder_leaves_the_firsts_address(place: Path) -> None:
    """Though one listens everywhere: what is left for the commands beside it is loopback."""
    beside = {"HITL_DATA_DIR": str(place), "PORT": "0"}
    everywhere = {"HOST": "0.0.0.0", "HITL_ALLOW_GENERATED_KEY": "true"}  # noqa: S104
    up = "HITL Orchestrator: "
    with running("serve", environment={**beside, **everywhere}, says=up) as first:
        with running("serve", environment=beside, says=up) as second:
            assert second.terminate() == 0
        found = await hitl("pending", "--json", **beside)
        assert first.terminate() == 0
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])  # noqa: S104
async def test_a_generated_key_does_not_serve_other_machines(place: Path, host: str) -> None:
    refused = await hitl("serve", HOST=host, HITL_DATA_DIR=str(place / "data"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(
        f"hitl: HOST is {host!r}, which other machines can reach: set API_KEY, "
        "or HITL_ALLOW_GENERATED_KEY=true "
    )
    assert refused.stderr.count("\n") == 1
    assert not (place / "data").exists(), "nothing was started"


@pytest.mark.parametrize(
    "looks", [("audit", "verify"), ("prune", "--older-than", "1"), ("preflight",)]
)
async def test_a_command_that_only_looks_makes_no_database(
    place: Path, looks: tuple[str, ...]
) -> None:
    refused = await hitl(*looks, HITL_DATA_DIR=str(place / "data"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"hitl: There is no database in '{place}/data', and none is made to look into: "
        "set HITL_DATA_DIR or DATABASE_URL to where it is.\n"
    )
    assert not (place / "data").exists()


@pytest.mark.parametrize("password", ["pa%ss", "pa ss", "pa@ss"])
async def test_a_database_password_that_breaks_its_address_is_not_told(password: str) -> None:
    refused = await hitl("migrate", DATABASE_URL=f"postgresql://hitl:{password}@localhost/hitl")
    assert refused.returncode == 1
    assert refused.stderr.startswith("hitl: DATABASE_URL is not an address of Postgres")
    assert refused.stderr.count("\n") == 1
    assert not [part for part in (password, "ss@", "localhost") if part in refused.stderr]


# Who gets in


STRANGERS: list[dict[bytes, bytes]] = [
    {},
    {b"Authorization": b""},
    {b"Authorization": b"Bearer"},
    {b"Authorization": b"Bearer "},
    {b"Authorization": b"Bearer wrong"},
    {b"Authorization": f"Bearer {API_KEY[:-1]}".encode()},
    {b"Authorization": f"Bearer {API_KEY}, Bearer wrong".encode()},
    {b"Authorization": f"Basic {API_KEY}".encode()},
    {b"Authorization": API_KEY.encode()},
    {b"Authorization": "Bearer \xfc\xff".encode("latin-1")},
    {b"X-Key": API_KEY.encode()},
    {b"Cookie": f"API_KEY={API_KEY}".encode()},
]
UNDESCRIBED = [
    ("get", "/api"),
    ("get", "/api/"),
    ("get", "/api/nothing"),
    ("get", "/api%2Fruns"),
    ("get", f"/api/runs?API_KEY={API_KEY}"),
    ("delete", "/api/runs"),
    ("head", "/api/runs"),
    ("options", "/api/runs"),
]


async def test_no_route_of_the_api_answers_a_stranger(app_client: httpx.AsyncClient) -> None:
    """Every one that is described, the streams among them, and those that do not exist: all say the
    same.
    """
    spec = (await app_client.get("/openapi.json")).json()
    described = [
        (method, re.sub(r"{\w+}", "x", path))
        for path, methods in spec["paths"].items()
        for method in methods
    ]
    routes = [(method, path) for method, path in described if path.startswith("/api/")]
    assert {
        ("get", "/api/hitl/events"),
        ("get", "/api/runs/x/events"),
        ("post", "/api/hitl/resume"),
    } <= {*routes}
    del app_client.headers["Authorization"]
    told = set[str]()
    for method, path in [*routes, *UNDESCRIBED]:
        for headers in STRANGERS:
            reply = await app_client.request(
                method, path, headers=headers, content=b"{" if method == "post" else None
            )
            assert reply.status_code == 401, (method, path, headers)
            told.add(reply.text)
    (said,) = told - {""}  # a HEAD is told nothing
    assert API_KEY not in said


# What a checkpoint can do


STATES = "SELECT version, blob FROM checkpoint_blobs WHERE thread_id = %s AND channel = 'run'"
POISON = """UPDATE checkpoint_blobs SET blob = %s
    WHERE thread_id = %s AND channel = 'run' AND version = %s"""
# who wrote it last is another than the server, which remembers what it wrote itself
TOUCH = "UPDATE orchestrator_runs SET status = status WHERE run_id = %s"


def poisoned(blob: bytes, call: tuple[str, str, str]) -> bytes:
    """What was kept, with a part of it as LangGraph writes an object: to be imported and called
    when it is read.
    """
    kept = ormsgpack.unpackb(blob)
    kept["runId"] = ormsgpack.Ext(0, ormsgpack.packb(call))
    return ormsgpack.packb(kept)


async def test_a_checkpoint_calls_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write the tables cannot run code in the server: what is no known type is read as
    the plain data it holds, and the state of a run is JSON.
    """
    monkeypatch.delenv("LANGGRAPH_STRICT_MSGPACK")  # the server sees to it by itself
    trace = tmp_path / "called"
    with serving(database_url, "asks.py:agent") as server, server.client() as api:
        start = {"objective": "Ask", "inputs": {"question": "What now?"}, "outputs": ["answer"]}
        run = api.post("/api/runs?wait=20", json=start).json()
        async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
            rows = await (await conn.execute(STATES, (run["threadId"],))).fetchall()
            for version, blob in rows:
                await conn.execute(
                    POISON, (poisoned(blob, ("os", "mkdir", str(trace))), run["threadId"], version)
                )
            await conn.execute(TOUCH, (run["runId"],))
        assert rows
        after = api.post(
            "/api/hitl/resume?wait=20", json=answering(run, freeformText="go on")
        ).json()["run"]
    assert not trace.exists()
    assert after["status"] == "completed"


# What cannot be changed unnoticed


async def ended(api: httpx.AsyncClient, **body: Any) -> Json:
    run = await paused(api, **body)
    resumed = await api.post(
        "/api/hitl/resume?wait=20", json=answering(run, freeformText="x", responderId="operator-7")
    )
    done: Json = resumed.json()["run"]
    assert [entry["action"] for entry in done["metadata"]["auditLog"]] == [
        "start",
        "request",
        "resume",
        "deliver",
        "complete",
    ]
    return done


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit_entries SET body = body", "DELETE FROM audit_entries", "TRUNCATE audit_entries"],
)
async def test_the_database_refuses_to_change_the_audit_and_says_why(
    database_url: str, change: str
) -> None:
    act = change.partition(" ")[0]
    refused = f"append-only: {act} is refused; a whole run is pruned with `hitl prune`"
    async with started(database_url) as api:
        run = await ended(api)
        async with await AsyncConnection.connect(database_url) as conn:
            with pytest.raises(RaiseException, match=refused):
                await conn.execute(change.encode())
        assert (await api.get(f"/api/runs/{run['runId']}")).json() == run


# A superuser's way around triggers; then what it takes to forge a link of the chain.
FORGERY = """SET session_replication_role = replica;
CREATE FUNCTION pg_temp.forged(body text) RETURNS text
    RETURN replace(replace(body, 'operator-7', 'operator-8'), 'complete', 'fail');
CREATE FUNCTION pg_temp.link(head text, body text) RETURNS text
    RETURN encode(sha256(convert_to(head || chr(10) || body, 'UTF8')), 'hex')"""
TAMPERED = {
    "entry 3 was altered": "UPDATE audit_entries SET body = pg_temp.forged(body) WHERE seq = 3",
    # A hash that fits its entry does not fit the next, and the last one's is kept with the run.
    "entry 4 was altered": """UPDATE audit_entries a
        SET body = pg_temp.forged(a.body), hash = pg_temp.link(b.hash, pg_temp.forged(a.body))
        FROM audit_entries b WHERE a.seq = 3 AND b.seq = 2""",
    "its last entry is not the one the run remembers": """UPDATE audit_entries a
        SET body = pg_temp.forged(a.body), hash = pg_temp.link(b.hash, pg_temp.forged(a.body))
        FROM audit_entries b WHERE a.seq = 5 AND b.seq = 4""",
    "entry 2 is missing": "DELETE FROM audit_entries WHERE seq = 2",
    "has 4 entries of 5: the end was cut off": "DELETE FROM audit_entries WHERE seq = 5",
    "has 0 entries of 5: the end was cut off": "DELETE FROM audit_entries",
    "has entries after 5": """INSERT INTO audit_entries
        SELECT run_id, 6, body, pg_temp.link(hash, body) FROM audit_entries WHERE seq = 5""",
    "has entries, but no run and no tombstone": "DELETE FROM orchestrator_runs",
    "has a tombstone, yet was not pruned": """INSERT INTO audit_tombstones
        SELECT run_id, audit_count, audit_head FROM orchestrator_runs""",
}


@pytest.mark.parametrize("said", TAMPERED)
async def test_verify_names_what_was_tampered_with_past_the_trigger(
    database_url: str, said: str
) -> None:
    async with started(database_url) as api:
        run_id = (await ended(api))["runId"]
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await conn.execute(FORGERY)
        await conn.execute(TAMPERED[said].encode())
    verified = await hitl("audit", "verify", run_id, DATABASE_URL=database_url)
    assert verified.stdout.splitlines()[0] == f"{run_id}: {said}"
    assert verified.returncode == 1


async def test_verify_is_not_confused_by_runs_that_go_on_meanwhile(database_url: str) -> None:
    async with (
        started(database_url) as api,
        connection_pool(database_url, max_size=1) as pool,
        connection(pool) as conn,
    ):
        both = [await paused(api), await paused(api)]
        waiting = {run["runId"]: run for run in both}
        verified = audit.verify(conn, None)
        first, _, _ = await anext(verified)
        (other,) = waiting.keys() - {first}
        await api.post("/api/hitl/resume?wait=20", json=answering(waiting[other], freeformText="x"))
        assert [found async for found in verified] == [(other, 5, None)]


# What is forgotten


BY_RUN = sql.SQL("SELECT count(*) FROM {} WHERE run_id = %(run)s")
BY_THREAD = sql.SQL(
    "SELECT count(*) FROM {} WHERE thread_id = %(thread)s OR starts_with(thread_id, %(steps)s)"
)
TABLES = {
    **dict.fromkeys(
        ("orchestrator_runs", "hitl_requests", "run_events", "audit_entries", "audit_tombstones"),
        BY_RUN,
    ),
    **dict.fromkeys(("checkpoints", "checkpoint_blobs", "checkpoint_writes"), BY_THREAD),
}
REMEMBERED = """SELECT run_id, audit_count, audit_head FROM orchestrator_runs
    WHERE run_id = ANY(%s) ORDER BY run_id"""


async def kept(database_url: str, run: Json) -> dict[str, int]:
    """Rows of the run by table; of checkpoints, those of its thread and of its steps' threads."""
    of = {
        "run": run["runId"],
        "thread": run["threadId"],
        "steps": f"{run['threadId']}\x1f{run['runId']}\x1f",
    }
    found = dict[str, int]()
    async with await AsyncConnection.connect(database_url) as conn:
        for table, count in TABLES.items():
            ((found[table],),) = await (
                await conn.execute(count.format(sql.Identifier(table)), of)
            ).fetchall()
    return found


async def test_prune_leaves_tombstones_and_whatever_waits(database_url: str) -> None:
    async with started(database_url) as api:
        old, young = await ended(api), await ended(api)
        earlier = await ended(
            api, threadId="shared"
        )  # its thread's checkpoints serve a run that waits
        alive = [young, await paused(api), await paused(api, threadId="shared")]
        async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
            await conn.execute(
                """UPDATE orchestrator_runs SET updated_at = now() - interval '91 days'
                WHERE run_id <> %s""",
                (young["runId"],),
            )
            remembered = await (
                await conn.execute(REMEMBERED, ([old["runId"], earlier["runId"]],))
            ).fetchall()
            before = [await kept(database_url, run) for run in alive]

            pruned = await hitl("prune", "--older-than", "90", DATABASE_URL=database_url)
            assert (pruned.returncode, pruned.stdout) == (
                0,
                "2 ended runs deleted, with their checkpoints.\n",
            )

            tombstones = await (
                await conn.execute(
                    "SELECT run_id, entries, head FROM audit_tombstones ORDER BY run_id"
                )
            ).fetchall()
        assert tombstones == remembered
        assert {table for table, count in (await kept(database_url, old)).items() if count} == {
            "audit_tombstones"
        }
        assert [await kept(database_url, run) for run in alive] == before
        is_problem(await api.get(f"/api/runs/{old['runId']}"), 404)
        for run in alive[1:]:
            answered = await api.post(
                "/api/hitl/resume?wait=20", json=answering(run, freeformText="at last")
            )
            assert answered.json()["status"] == "completed"
    verified = await hitl("audit", "verify", DATABASE_URL=database_url)
    assert (verified.returncode, verified.stderr) == (0, ""), verified.stdout
