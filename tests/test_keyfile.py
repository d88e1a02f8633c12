"""The key that is made once: whole or not at all, and never an empty one."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.api.gate import BearerKey
from hitl_orchestrator.server.api.hosts import KnownHosts
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.keyfile import SHORTEST_KEY, generated_key
from hitl_orchestrator.server.settings import Settings

STARTERS = 16
START = """
import sys
from pathlib import Path
from hitl_orchestrator.server.api.hosts import KnownHosts
from hitl_orchestrator.server.keyfile import generated_key
from hitl_orchestrator.domain.errors import ConfigurationError
try:
    print(generated_key(Path(sys.argv[1])))
except ConfigurationError as error:
    sys.exit(error.detail)
"""


def start_on_a_full_disk(file: Path) -> "subprocess.CompletedProcess[str]":
    """No file of that process may have a single byte."""
    return subprocess.run(
        [sys.executable, "-c", START, file],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "api_key"
    key = generated_key(file)
    assert len(key) >= 40
    assert generated_key(file) == key == file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["api_key"]


def test_many_starters_at_once_have_one_key(tmp_path: Path) -> None:
    for turn in range(20):
        at_once = Barrier(STARTERS)

        def start(file: Path, at_once: Barrier = at_once) -> str:
            at_once.wait()
            return generated_key(file)

        with ThreadPoolExecutor(STARTERS) as starters:
            keys = starters.map(start, [tmp_path / f"{turn}"] * STARTERS)
            (key,) = {*keys}
        assert len(key) >= 40


def test_a_full_disk_leaves_no_key_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "api_key"
    refused = start_on_a_full_disk(file)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"The API's key cannot be kept in '{file}': ")
    assert refused.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []
    assert len(generated_key(file)) >= 40


@pytest.mark.parametrize(
    "found", [b"", b" \n", b"x" * (SHORTEST_KEY - 1), b"\xff" * 40, b"a b" * 9]
)
def test_a_file_without_a_key_stops_the_start_and_is_named(tmp_path: Path, found: bytes) -> None:
    file = tmp_path / "api_key"
    file.write_bytes(found)
    with pytest.raises(ConfigurationError, match="holds no key") as refused:
        generated_key(file)
    assert f"'{file}'" in refused.value.detail
    assert file.read_bytes() == found


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "api_key").mkdir()
    with pytest.raises(ConfigurationError, match="api_key': Is a directory"):
        generated_key(tmp_path / "api_key")


@asynccontextmanager
async def guarded_by(key: str) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(BearerKey(Starlette(), key, KnownHosts("127.0.0.1")))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("sent", ["Bearer ", "Bearer", "Bearer  ", ""])
async def test_an_empty_bearer_opens_nothing_not_even_where_the_key_is_empty(sent: str) -> None:
    async with guarded_by("") as client:
        reply = await client.get("/api/runs", headers={"Authorization": sent})
    assert reply.status_code == 401


def test_no_server_is_made_with_an_empty_key() -> None:
    with pytest.raises(ConfigurationError, match="API_KEY is not set"):
        create_app(Settings.model_construct(api_key=SecretStr("")))
