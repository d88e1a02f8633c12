"""What stands in front of the server changes nothing about who gets in, and is believed by address
alone.
"""

import http.client
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.proxies import (
    MISFIT,
    ROOT_PATH,
    USER,
    BehindProxy,
    find_root_path,
    find_user,
)
from hitl_orchestrator.server.settings import Settings, check_serving
from tests.api.calls import is_problem, started
from tests.processes import API_KEY, Running, serving

PROXY, CLIENT = "10.0.0.1", "203.0.113.7"
TRUSTED: dict[str, Any] = {"trusted_proxies": "10.0.0.0/8, fd00::/8"}
SIGNED_IN: dict[str, Any] = {**TRUSTED, "trusted_user_header": "X-Forwarded-User"}
Headers = Sequence[tuple[str, str]]


async def pass_on(
    settings: dict[str, Any],
    *headers: tuple[str, str | bytes],
    path: str = "/",
    raw_path: bytes | None = None,
    peer: str | None = PROXY,
) -> Scope:
    """Return the scope of a call as whatever stands behind the middleware sees it."""
    seen: list[Scope] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def never(*_: Any) -> Any:
        raise AssertionError

    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode() if raw_path is None else raw_path,
        "client": peer and (peer, 50_000),
        "headers": [(name.lower().encode(), encode(value)) for name, value in headers],
    }
    await BehindProxy(note, Settings.model_validate(settings))(scope, never, never)
    return seen[0]


def encode(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


# --- who calls ---


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),  # the first is the client's own word
        (["203.0.113.7, 10.9.9.9 ,fd00::2"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7, 10.9.9.9"], "203.0.113.7"),  # two lines are one
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["2001:DB8:0::1"], "2001:db8::1"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["nonsense, 203.0.113.7"], "203.0.113.7"),
        (["10.2.2.2, 10.3.3.3"], "10.2.2.2"),  # one of the proxies calls for itself
    ],
)
async def test_the_client_is_the_last_that_a_trusted_proxy_names_and_is_none(
    forwarded: list[str], client: str
) -> None:
    scope = await pass_on(TRUSTED, *(("X-Forwarded-For", value) for value in forwarded))
    assert scope["client"] == (client, 0)


@pytest.mark.parametrize(
    "forwarded",
    [
        "",
        ",",
        "unknown",
        "203.0.113.7, unknown",
        "203.0.113.7,",
        "1.2.3",
        "127.1",
        "[::1",
        "[::1]x",
        "1.2.3.4:x",
    ],
)
async def test_what_is_no_address_leaves_the_peer(forwarded: str) -> None:
    scope = await pass_on(TRUSTED, ("X-Forwarded-For", forwarded))
    assert scope["client"] == (PROXY, 50_000)


@pytest.mark.parametrize("peer", ["10.255.0.1", "::ffff:10.0.0.1", "fd00::1"])
async def test_a_peer_is_trusted_however_its_address_is_written(peer: str) -> None:
    scope = await pass_on(TRUSTED, ("X-Forwarded-For", CLIENT), peer=peer)
    assert scope["client"] == (CLIENT, 0)


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "11.0.0.1", "::ffff:11.0.0.1", "fe80::1", "testclient", "", None]
)
@pytest.mark.parametrize("settings", [{}, SIGNED_IN, {"root_path": "/hitl"}])
async def test_of_anybody_else_nothing_is_believed(
    settings: dict[str, Any], peer: str | None
) -> None:
    said = [
        ("X-Forwarded-For", CLIENT),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
    ]
    scope = await pass_on(settings, *said, ("Host", "here"), peer=peer)
    assert scope["client"] == (peer and (peer, 50_000))
    assert scope["scheme"] == "http"
    assert (b"host", b"here") in scope["headers"]


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS"], "https"),
        (["https, http"], "http"),
        (["http", "https"], "https"),
        (["ftp"], "http"),
        (["https, javascript"], "http"),
        ([""], "http"),
        ([], "http"),
    ],
)
async def test_the_scheme_is_the_last_that_a_trusted_proxy_names(
    said: list[str], scheme: str
) -> None:
    found = await pass_on(TRUSTED, *(("X-Forwarded-Proto", value) for value in said))
    assert found["scheme"] == scheme


async def test_the_host_is_never_a_proxys_word() -> None:
    said = [("Host", "here"), ("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil")]
    assert (await pass_on(SIGNED_IN, *said))["headers"][0] == (b"host", b"here")


# --- whom the proxy has signed in ---


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ("ada", "ada"),
        (" Grace Hopper ", "Grace Hopper"),
        ("Zoë", "Zoë"),
        ("x" * 255, "x" * 255),
    ],
)
async def test_a_person_is_whom_a_trusted_proxy_names(said: str, user: str) -> None:
    scope = await pass_on(SIGNED_IN, ("X-Forwarded-User", said))
    assert find_user(scope) == user
    assert MISFIT not in scope


@pytest.mark.parametrize(
    "said",
    ["", " ", "x" * 256, "a\tb", "ada\u202e", "ad\u200ba", "a\x7f", b"Zo\xeb", b"\xff"],
)
async def test_a_name_that_is_none_is_nobodys(said: str | bytes) -> None:
    scope = await pass_on(SIGNED_IN, ("X-Forwarded-User", said))
    assert find_user(scope) is None
    assert "X-Forwarded-User".lower() in scope[MISFIT]


async def test_two_names_are_nobodys() -> None:
    scope = await pass_on(SIGNED_IN, ("X-Forwarded-User", "ada"), ("x-forwarded-user", "ada"))
    assert find_user(scope) is None
    assert "2 times" in scope[MISFIT]


async def test_without_a_name_nobody_is_signed_in() -> None:
    scope = await pass_on(SIGNED_IN, ("X-Forwarded-Username", "ada"))
    assert {USER, MISFIT} & scope.keys() == set()


async def test_of_anybody_else_the_name_is_taken_off() -> None:
    said = [("X-Forwarded-User", "ada"), ("Accept", "*/*"), ("x-forwarded-user", "")]
    scope = await pass_on(SIGNED_IN, *said, peer=CLIENT)
    assert find_user(scope) is None
    assert scope["headers"] == [(b"accept", b"*/*")]


async def test_a_proxy_that_names_a_client_does_not_make_the_client_trusted() -> None:
    """Who is believed is the peer, not whom it names."""
    said = [("X-Forwarded-For", PROXY), ("X-Forwarded-User", "ada")]
    assert find_user(await pass_on(SIGNED_IN, *said, peer=CLIENT)) is None


async def test_a_name_that_is_none_is_refused(database_url: str) -> None:
    async with started(database_url, address=PROXY, host="0.0.0.0", **SIGNED_IN) as api:  # noqa: S104
        for path in ("/api/runs", "/healthz", "/docs"):
            refused = await api.get(path, headers={"X-Forwarded-User": "x" * 256})
            assert "x-forwarded-user" in is_problem(refused, 400)["detail"]
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
        twice = [("X-Forwarded-User", "ada"), ("X-Forwarded-User", "ada")]
        is_problem(await api.get("/healthz", headers=twice), 400)


async def test_a_person_is_no_key(database_url: str) -> None:
    async with started(database_url, address=PROXY, host="0.0.0.0", **SIGNED_IN) as api:  # noqa: S104
        named = {"X-Forwarded-User": "ada"}
        assert (await api.get("/api/runs", headers=named)).status_code == 200
        del api.headers["Authorization"]
        is_problem(await api.get("/api/runs", headers=named), 401)
        is_problem(await api.get("/metrics", headers=named), 401)


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
def test_a_header_without_proxies_stops_the_start(trusted: str) -> None:
    given = {"trusted_user_header": "X-Forwarded-User", "trusted_proxies": trusted, "api_key": "k"}
    settings = Settings.model_validate(given)
    if trusted:
        check_serving(settings)
    else:
        with pytest.raises(ConfigurationError, match="set HITL_TRUSTED_PROXIES"):
            check_serving(settings)


# --- metrics, which need no key on this machine ---


@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": "127.0.0.1"}])
@pytest.mark.parametrize(
    "trace",
    [
        {"X-Forwarded-For": CLIENT},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "nonsense"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": f"for={CLIENT}"},
        {"X-Real-IP": CLIENT},
        {"Via": "1.1 proxy"},
    ],
)
async def test_what_comes_through_a_proxy_of_this_machine_is_not_local(
    database_url: str, settings: dict[str, Any], trace: dict[str, str]
) -> None:
    async with started(database_url, **settings) as api:
        assert (await api.get("/metrics", headers=trace)).status_code == 200, "with the key"
        del api.headers["Authorization"]
        is_problem(await api.get("/metrics", headers=trace), 401)
        assert (await api.get("/metrics")).status_code == 200


# --- below a path ---


@pytest.mark.parametrize(
    ("path", "raw_path", "passed_on"),
    [
        ("/hitl", b"/hitl", ("/", b"/")),
        ("/hitl/", b"/hitl/", ("/", b"/")),
        ("/hitl/a b", b"/hitl/a%20b", ("/a b", b"/a%20b")),
        ("/hitl/a/é", b"/h%69tl/a/%c3%a9", ("/a/é", b"/a/%C3%A9")),
        ("/hitl/a", b"/hitl%2Fa", ("/a", b"/a")),
        ("/hitl/hitl/a", b"/hitl/hitl/a", ("/hitl/a", b"/hitl/a")),
        ("/hitl//a", b"/hitl//a", ("//a", b"//a")),
        ("/a", b"/a", ("/a", b"/a")),
        ("/", b"/", ("/", b"/")),
        ("//hitl/a", b"//hitl/a", ("//hitl/a", b"//hitl/a")),
        ("/hitlist", b"/hitlist", ("/hitlist", b"/hitlist")),
        ("/Hitl/a", b"/Hitl/a", ("/Hitl/a", b"/Hitl/a")),
    ],
)
async def test_the_prefix_is_taken_off_once_or_was_before(
    path: str, raw_path: bytes, passed_on: tuple[str, bytes]
) -> None:
    scope = await pass_on({"root_path": "/hitl"}, path=path, raw_path=raw_path, peer=CLIENT)
    assert (scope["path"], scope["raw_path"]) == passed_on
    assert scope[ROOT_PATH] == find_root_path(scope) == "/hitl"
    assert "root_path" not in scope


async def test_without_proxies_a_call_is_passed_on_as_it_is() -> None:
    scope = await pass_on({}, ("X-Forwarded-User", "ada"), path="/hitl/a")
    assert scope["path"] == "/hitl/a"
    assert find_root_path(scope) == ""
    assert find_user(scope) is None


@pytest.mark.parametrize("prefix", ["", "/ops/hitl"])
async def test_links_and_addresses_lead_below_the_prefix(database_url: str, prefix: str) -> None:
    """Both where the proxy takes the prefix off, and where it passes it on."""
    async with started(database_url, root_path="/ops/hitl") as api:
        moved = await api.get(f"{prefix}/")
        assert (moved.status_code, moved.headers["Location"]) == (307, "/ops/hitl/docs")
        page = (await api.get(f"{prefix}/docs")).text
        assert 'href="openapi.json"' in page
        assert 'href="/' not in page
        spec = (await api.get(f"{prefix}/openapi.json")).json()
        assert spec["servers"] == [{"url": "/ops/hitl"}]
        assert (await api.get(f"{prefix}/api/runs")).json() == {"runs": [], "nextCursor": None}
        assert (await api.get(f"{prefix}/api/runs")).headers["Cache-Control"] == "no-store"


async def test_without_a_prefix_addresses_are_the_servers_own(api: httpx.AsyncClient) -> None:
    assert (await api.get("/")).headers["Location"] == "/docs"
    assert "servers" not in (await api.get("/openapi.json")).json()
    is_problem(await api.get("/hitl/api/runs"), 404)


@pytest.fixture
async def api(database_url: str) -> Any:
    async with started(database_url) as client:
        yield client


# Without the key: what is below /api once the prefix is off wants one, whether it exists or not.
ASKED = dict.fromkeys(
    (
        "/api",
        "/api/runs",
        "/api/nothing",
        "/hitl/api",
        "/hitl/api/",
        "/hitl/api/runs",
        "/hitl/api//runs",
        "/hitl/api/../api/runs",
        "/hitl/%61pi/runs",
        "/h%69tl/api/runs",
        "/hitl%2Fapi/runs",
        "/hitl/api%2Fruns",
        "/%68itl%2f%61pi%2f%72uns",
        "http://localhost/hitl/api/runs",
    ),
    401,
)
UNKNOWN = (
    "//api/runs",
    "///api/runs",
    "/hitl//api/runs",
    "/hitl/hitl/api/runs",
    "/hitl//hitl/api/runs",
    "/hitl%2F%2Fapi/runs",
    "/hitl/./api/runs",
    "/hitl/../api/runs",
    "/hitl/x/../api/runs",
    "/hitl/%2e%2e/api/runs",
    "/hitl;/api/runs",
    "/HITL/api/runs",
    "/hitl/API/runs",
    "/hitl/hitl/metrics",
    "/hitlapi/runs",
)


def test_no_spelling_of_a_path_leads_past_the_gate(database_url: str) -> None:
    with serving(database_url, "asks.py:agent", HITL_ROOT_PATH="/hitl") as server:
        assert ask(server, "/hitl/api/runs", key=True) == ask(server, "/api/runs", key=True) == 200
        assert {path: ask(server, path) for path in ASKED} == ASKED
        assert {path: ask(server, path) for path in UNKNOWN} == dict.fromkeys(UNKNOWN, 404)


def ask(server: Running, path: str, *, key: bool = False) -> int:
    """Return the status. The path goes out as it is written here."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path, headers={"x-api-key": API_KEY} if key else {})
    status = connection.getresponse().status
    connection.close()
    return status
