"""How the client commands find a server and its key: by what is set, or beside an embedded one."""

import json
from pathlib import Path

import pytest

from hitl_orchestrator.checkpoints.embedded import postgres as embedded
from hitl_orchestrator.server.announcement import announce
from hitl_orchestrator.server.terminal import discovery
from hitl_orchestrator.server.terminal.discovery import Server, find_server
from hitl_orchestrator.server.terminal.errors import BadInput, NoServer
from tests.terminal.commands import NOBODY, hitl


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    told = hitl("pending", cwd=tmp_path)
    assert told.returncode == 1
    assert told.stderr == (
        "hitl: No server is running here: start one with `hitl serve` (or scripts/run), "
        "or set HITL_URL and API_KEY.\n"
    )


def test_settings_come_from_a_dotenv_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"HITL_URL={NOBODY}\nAPI_KEY='k'\n")
    by_file = hitl("pending", cwd=tmp_path)
    assert f"The server at {NOBODY} does not answer" in by_file.stderr
    by_environment = hitl("pending", cwd=tmp_path, HITL_URL="http://127.0.0.1:2")
    assert "The server at http://127.0.0.1:2 does not" in by_environment.stderr


def test_a_dotenv_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    told = hitl("pending", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (
        2,
        "hitl: .env cannot be read: it is not UTF-8 (byte 2)\n",
    )


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://a:b:c"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="HITL_URL is "):
        find_server({"HITL_URL": url, "API_KEY": "k"})


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(BadInput, match="API_KEY has characters that a key cannot have"):
        find_server({"HITL_URL": NOBODY, "API_KEY": "schlüssel"})


def data_folder(
    folder: Path, url: str = "http://127.0.0.1:8123", key: str = "made-once"
) -> dict[str, str]:
    (folder / "server-1.json").write_text(json.dumps({"url": url}))
    (folder / "api_key").write_text(key + "\n")
    return {"HITL_DATA_DIR": str(folder)}


def test_an_embedded_server_is_found_by_its_data_folder(tmp_path: Path) -> None:
    assert find_server(data_folder(tmp_path)) == Server("http://127.0.0.1:8123", "made-once")


def test_what_is_set_comes_first(tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    assert find_server(settings, {"API_KEY": "mine"}) == Server("http://127.0.0.1:8123", "mine")
    assert find_server({**settings, "HITL_URL": "http://localhost:9"}) == Server(
        "http://localhost:9", "made-once"
    )


@pytest.mark.parametrize(
    "url", ["http://203.0.113.7:8080", "https://127.0.0.1.example.org", "http://localhost@evil.org"]
)
def test_an_address_that_a_folder_names_is_this_machines_or_none(url: str, tmp_path: Path) -> None:
    """A folder can be cloned, with what somebody put into its .data."""
    for dotenv in ({}, {"API_KEY": "k"}):
        with pytest.raises(NoServer, match="not this machine's own: set HITL_URL and API_KEY"):
            find_server(data_folder(tmp_path, url), dotenv)


def test_a_key_of_the_environment_goes_to_an_address_of_the_environment_only(
    tmp_path: Path,
) -> None:
    theirs, secret = {"HITL_URL": "https://evil.example.org"}, {"API_KEY": "mine"}
    with pytest.raises(NoServer, match=r"is not sent to https://evil\.example\.org, which a file"):
        find_server(secret, theirs)
    with pytest.raises(NoServer, match="is not sent to"):
        find_server(secret, {**theirs, "API_KEY": "theirs"})
    beside = data_folder(tmp_path)
    assert find_server({**beside, **secret}).key == "made-once"
    (tmp_path / "api_key").unlink()
    with pytest.raises(NoServer, match=r"is not sent to http://127\.0\.0\.1:8123, .* set HITL_URL"):
        find_server({**beside, **secret})
    ours = {"HITL_URL": "https://hitl.example.org"}
    assert find_server({**ours, **secret}, theirs) == Server("https://hitl.example.org", "mine")


def test_each_server_of_a_folder_keeps_its_own_address(tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    with announce(tmp_path, "http://127.0.0.1:1"):
        assert find_server(settings).url == "http://127.0.0.1:1"
        with announce(tmp_path, "http://127.0.0.1:2"):
            assert find_server(settings).url == "http://127.0.0.1:2"
        assert find_server(settings).url == "http://127.0.0.1:1"
    with pytest.raises(NoServer, match="No server is running here"):
        find_server(settings)


def test_a_server_that_lives_is_found_before_one_that_was_killed(tmp_path: Path) -> None:
    settings = data_folder(tmp_path, "http://127.0.0.1:1")
    left = (tmp_path / "server-1.json").read_text()
    with announce(tmp_path, "http://127.0.0.1:2"):
        (tmp_path / "server-3.json").write_text(left)
        assert find_server(settings).url == "http://127.0.0.1:2"


def test_the_key_of_this_machine_is_not_sent_to_another(tmp_path: Path) -> None:
    with pytest.raises(
        NoServer,
        match=r"The key of the server at https://hitl\.example\.org is not known: set API_KEY\.",
    ):
        find_server({**data_folder(tmp_path), "HITL_URL": "https://hitl.example.org"})


def test_a_data_folder_without_a_running_server_is_none(tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    (tmp_path / "server-1.json").unlink()
    with pytest.raises(NoServer, match="No server is running here"):
        find_server(settings)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_server_file_that_says_nothing_is_told(content: str, tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    (tmp_path / "server-1.json").write_text(content)
    with pytest.raises(NoServer, match="does not say where the server is"):
        find_server(settings)


def test_client_and_embedded_server_agree_on_the_folders_that_nobody_named() -> None:
    assert (discovery.DATA_DIR, discovery.DATA_DIR_OF_ROOT) == (
        embedded.DATA_DIR,
        embedded.DATA_DIR_OF_ROOT,
    )
