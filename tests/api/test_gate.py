"""Who gets in, what everybody sees, and what is said when the database is away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict

from hitl_orchestrator.server.api.gate import MAX_BODY_BYTES
from tests.api.calls import answering, is_problem, paused, started
from tests.processes import API_KEY


async def test_without_the_key_nothing_of_the_api_is_seen(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    wrong = [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {API_KEY}",
        f"Bearer {API_KEY}x",
        f"Bearer{API_KEY}",
        "Bearer \xfc",
    ]
    for headers in ({}, *({b"Authorization": header.encode("latin-1")} for header in wrong)):
        for method, path in (
            ("GET", "/api/runs"),
            ("POST", "/api/runs"),
            ("GET", "/api/nothing"),
            ("GET", "/api/hitl/events"),
        ):
            response = await api.request(
                method, path, headers=headers, content=b"{" if method == "POST" else None
            )
            is_problem(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_metrics_need_no_key_on_this_machine_only(database_url: str) -> None:
    for address, status in (
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("203.0.113.7", 401),
        ("testclient", 401),
    ):
        async with started(database_url, address=address) as api:
            assert (await api.get("/metrics")).status_code == 200
            del api.headers["Authorization"]
            assert (await api.get("/metrics")).status_code == status


OPEN = ("/metrics", "/healthz", "/readyz", "/docs", "/openapi.json", "/", "/api/runs")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example"])
async def test_a_page_whose_name_leads_here_reads_nothing(
    api: httpx.AsyncClient, host: str
) -> None:
    """DNS rebinding: the call comes from this machine, and only its Host tells."""
    named = {"Host": host}
    assert (await api.get("/metrics", headers=named)).status_code == 200, "with the key"
    del api.headers["Authorization"]
    for path in OPEN:
        is_problem(await api.get(path, headers=named), 421)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "localhost.:1", "hitl.localhost", "a.b"]
)
async def test_names_of_loopback_and_those_that_are_allowed_are_taken(
    database_url: str, host: str
) -> None:
    async with started(database_url, allowed_hosts=["A.b"]) as api:
        del api.headers["Authorization"]
        assert (await api.get("/metrics", headers={"Host": host})).status_code == 200


async def test_beyond_loopback_any_name_will_do(database_url: str) -> None:
    async with started(database_url, host="0.0.0.0") as api:  # noqa: S104
        del api.headers["Authorization"]
        named = {"Host": "hitl.example"}
        assert (await api.get("/healthz", headers=named)).status_code == 200


async def test_health_readiness_and_the_description_need_no_key(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    assert (await api.get("/healthz")).json() == {"status": "alive"}
    assert (await api.get("/readyz")).json() == {"status": "ready", "heldRuns": 0}
    assert (await api.get("/openapi.json")).status_code == 200
    page = await api.get("/docs")
    assert '<h2 id="POST /api/runs">' in page.text
    assert not [word for word in ("http://", "https://", "<script") if word in page.text], (
        "it works offline"
    )
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_with_a_queue_readiness_counts_the_workers(database_url: str) -> None:
    async with started(database_url, dispatch="queue") as api:
        assert (await api.get("/readyz")).json() == {
            "status": "ready",
            "heldRuns": 0,
            "liveWorkers": 0,
        }


async def test_metrics_tell_how_much_waits(api: httpx.AsyncClient) -> None:
    await paused(api)
    lines = (await api.get("/metrics")).text.splitlines()
    assert {
        "hitl_queue_depth 1.0",
        'hitl_requests_total{agent="asks"} 1.0',
        'runs_total{status="queued"} 1.0',
    } <= {*lines}


async def test_every_answer_is_safe_to_show_a_browser(api: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/api/runs", "/api/nothing", "/docs"):
        headers = (await api.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_a_body_over_a_mebibyte_is_refused_however_it_is_sent(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (MAX_BODY_BYTES // 16)

    json = {"Content-Type": "application/json"}
    is_problem(await api.post("/api/runs", content=b"[" * (MAX_BODY_BYTES + 1), headers=json), 413)
    is_problem(await api.post("/api/runs", content=chunks(), headers=json), 413)
    is_problem(await api.post("/api/runs", content=b" " * MAX_BODY_BYTES, headers=json), 422)


async def test_everything_is_described(api: httpx.AsyncClient) -> None:
    spec = (await api.get("/openapi.json")).json()
    schemas: dict[str, Any] = spec["components"]["schemas"]
    operations = [operation for path in spec["paths"].values() for operation in path.values()]
    described = [
        *operations,
        *(parameter for operation in operations for parameter in operation.get("parameters", [])),
        *(
            field | {"name": f"{name}.{key}"}
            for name, schema in schemas.items()
            for key, field in schema.get("properties", {}).items()
        ),
    ]
    assert [
        one.get("operationId") or one["name"] for one in described if not one.get("description")
    ] == []
    bodies = [
        one["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for one in operations
        if "requestBody" in one
    ]
    assert [name for name in bodies if "example" not in schemas[name.rpartition("/")[2]]] == []


async def test_without_the_database_503_and_it_recovers_by_itself(
    postgres: str, database_url: str
) -> None:
    name = str(conninfo_to_dict(database_url)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    async with (
        started(database_url) as api,
        await AsyncConnection.connect(postgres, autocommit=True) as admin,
    ):
        run = await paused(api)

        async def answer() -> httpx.Response:
            body = answering(run, freeformText="x")
            return await api.post(
                "/api/hitl/resume?wait=20", json=body, headers={"Idempotency-Key": "k"}
            )

        await admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        for response in (
            await api.get(f"/api/runs/{run['runId']}"),
            await answer(),
            await api.get("/readyz"),
        ):
            is_problem(response, 503)
            assert int(response.headers["Retry-After"]) > 0
        assert "hitl_queue_depth NaN" in (await api.get("/metrics")).text

        await admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
        async with asyncio.timeout(20):
            while (resumed := await answer()).status_code == 503:
                pass
        assert resumed.json()["status"] == "completed"
