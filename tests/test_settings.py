"""Settings: from the environment over `.env`; what does not fit stops the start with one line."""

from pathlib import Path

import pytest

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.services import open_place
from hitl_orchestrator.server.settings import Settings, check_serving, load_settings, redacted


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without `.env`, an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [field.validation_alias for field in Settings.model_fields.values()]:
        monkeypatch.delenv(str(name), raising=False)
    return tmp_path


def complaint() -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "\n" not in refused.value.detail
    return refused.value.detail


def test_without_any_the_defaults_are_the_contracts() -> None:
    settings = load_settings()
    assert settings.database_url is settings.api_key is settings.request_ttl_seconds is None
    assert (settings.hitl_enabled, settings.max_requests, settings.dispatch) == (True, 3, "inline")
    assert (settings.claim_seconds, settings.drain_seconds, settings.auto_migrate) == (30, 30, True)
    assert settings.max_attempts == 5
    assert (settings.agents, settings.default_outputs) == (("hitl_orchestrator.desk:agents",), None)
    assert (settings.host, settings.port, settings.outbox_dir) == (
        "127.0.0.1",
        8080,
        Path("outbox"),
    )


def test_every_setting_is_in_the_example() -> None:
    example = (Path(__file__).parent.parent / ".env.example").read_text()
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {name for name in names if f"# {name}=" not in example} == set()


def test_the_environment_wins_over_the_file_and_empty_is_unset(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / ".env").write_text(
        "PORT=1111\nHITL_MAX_REQUESTS=5\nHITL_AGENTS=a.b:c, ./d.py:e,\n"
        "UNKNOWN=1\nHITL_URL=http://x\nHOST=\n"
    )
    monkeypatch.setenv("PORT", "2222")
    monkeypatch.setenv("HITL_MAX_REQUESTS", "")
    monkeypatch.setenv("AGENTS", "another.program:s")
    settings = load_settings()
    assert settings.port == 2222
    assert settings.agents == ("a.b:c", "./d.py:e")
    assert settings.host == "127.0.0.1"
    assert settings.max_requests == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://here"),
        ("HITL_LISTEN_URL", "here"),
        ("API_KEY", "two words"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("HITL_ENABLED", "perhaps"),
        ("HITL_MAX_REQUESTS", "-1"),
        ("HITL_MAX_REQUESTS", "1001"),
        ("HITL_MAX_REQUESTS", "3.5"),
        ("HITL_REQUEST_TTL_SECONDS", "0"),
        ("HITL_REQUEST_TTL_SECONDS", "inf"),
        ("HITL_DISPATCH", "carrier pigeon"),
        ("HITL_CLAIM_SECONDS", "nan"),
        ("HITL_MAX_ATTEMPTS", "0"),
        ("HITL_DRAIN_SECONDS", "-1"),
        ("HITL_DEFAULT_OUTPUTS", "published,no name"),
        ("HITL_DEFAULT_OUTPUTS", ","),
        ("HITL_AGENTS", ","),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("HITL_RETENTION_DAYS", "soon"),
        ("HITL_KEEP_HISTORY_DAYS", "0"),
        ("HITL_AUTO_MIGRATE", "2"),
        ("HITL_ALLOW_GENERATED_KEY", "ask me"),
        ("HITL_ALLOWED_HOSTS", "https://hitl.example/x"),
        ("HITL_ROOT_PATH", "/"),
        ("HITL_ROOT_PATH", "hitl"),
        ("HITL_ROOT_PATH", "/hitl/"),
        ("HITL_ROOT_PATH", "//hitl"),
        ("HITL_ROOT_PATH", "/a/../b"),
        ("HITL_ROOT_PATH", "/a%20b"),
        ("HITL_ROOT_PATH", "/hitl;"),
        ("HITL_ROOT_PATH", "https://ops.example.com/hitl"),
        ("HITL_PUBLIC_URL", "ops.example.com"),
        ("HITL_PUBLIC_URL", "https://ops.example.com/"),
        ("HITL_TRUSTED_PROXIES", "*"),
        ("HITL_TRUSTED_PROXIES", "localhost"),
        ("HITL_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.1/8"),
        ("HITL_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("HITL_TRUSTED_USER_HEADER", "X Forwarded User"),
        ("HITL_TRUSTED_USER_HEADER", "X-Forwarded-User:"),
        ("HITL_TRUSTED_USER_HEADER", "authorization"),
        ("HITL_TRUSTED_USER_HEADER", "X-Forwarded-For"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    line = complaint()
    allowed = next(
        field.description
        for field in Settings.model_fields.values()
        if field.validation_alias == name
    )
    assert line.startswith(f"{name} is ")
    assert line.endswith(f"{allowed}.")
    assert (value in line) is (name != "API_KEY")


def test_what_stands_in_front_is_named_by_path_networks_and_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (load_settings().root_path, load_settings().trusted_proxies) == ("", ())
    monkeypatch.setenv("HITL_ROOT_PATH", "/ops/hitl-2.0_~")
    monkeypatch.setenv("HITL_TRUSTED_PROXIES", "10.0.0.1, 10.0.0.0/8,::ffff:c000:200/120,fd00::/8")
    monkeypatch.setenv("HITL_TRUSTED_USER_HEADER", "X-Forwarded-User")
    settings = load_settings()
    assert settings.root_path == "/ops/hitl-2.0_~"
    assert [str(network) for network in settings.trusted_proxies] == [
        "10.0.0.1/32",
        "10.0.0.0/8",
        "192.0.2.0/24",
        "fd00::/8",
    ]
    assert settings.trusted_user_header == "X-Forwarded-User"


def test_several_bad_values_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x" * 10_000)
    monkeypatch.setenv("HITL_DISPATCH", "pigeon")
    assert "PORT" in (line := complaint())
    assert "HITL_DISPATCH" in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("listen_url", "is_lent"),
    [(None, False), ("postgresql://h/d", False), ("postgresql://other/d", True)],
)
def test_two_addresses_that_differ_say_that_one_is_a_poolers(
    listen_url: str | None, is_lent: bool
) -> None:
    settings = Settings(database_url="postgresql://h/d", listen_url=listen_url)
    assert settings.is_lent is is_lent
    assert settings.session_url == (listen_url or "postgresql://h/d")


async def test_the_embedded_database_is_never_a_poolers() -> None:
    with pytest.raises(ConfigurationError, match="HITL_LISTEN_URL is set, and DATABASE_URL is not"):
        async with open_place(Settings(listen_url="postgresql://h/d"), needs_key=False):
            pass


def test_a_file_that_cannot_be_read_is_named(nowhere: Path) -> None:
    (nowhere / ".env").write_bytes(b"\xff\xfe")
    assert ".env" in complaint()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:hunter2@host/db",
        "postgres://user:hun:hunter2@a@host:5432/db",
        "mysql://user:hunter2@host",
        "postgres:/u:hunter2@host",
        "postgresql://host/db?user=u&password=hunter2&x=1",
        "host=h password=hunter2 user=u",
        "host=h PASSWORD = 'a hunter2' user=u",
        "postgresql://u@h/d?password=a@hunter2",
    ],
)
def test_a_password_is_never_shown(address: str) -> None:
    assert "hunter2" not in redacted(address)
    assert "hunter2" not in repr(Settings.model_construct(database_url=address))


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    for address in ("postgresql://user@host:5432/db", "host=h port=5432"):
        assert redacted(address) == address


def test_a_server_makes_no_key_up_beside_somebody_elses_database() -> None:
    with pytest.raises(ConfigurationError, match="API_KEY is not set"):
        check_serving(Settings.model_validate({"database_url": "postgresql://h/d"}))
    check_serving(Settings.model_validate({"database_url": "postgresql://h/d", "api_key": "k"}))


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("192.168.1.7", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_beyond_this_machine_a_server_wants_a_chosen_key(host: str, is_local: bool) -> None:
    check_serving(Settings.model_validate({"host": host, "api_key": "k"}))
    check_serving(Settings.model_validate({"host": host, "allow_generated_key": True}))
    if is_local:
        check_serving(Settings.model_validate({"host": host}))
    else:
        with pytest.raises(ConfigurationError, match="HITL_ALLOW_GENERATED_KEY"):
            check_serving(Settings.model_validate({"host": host}))
