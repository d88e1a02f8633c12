"""Debian's PgBouncer in front of a database: as it comes, killed, and back again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.temporary import temporary_folder

# Debian's is where administrators' programs are, which is not on everybody's path.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SESSIONS = 3  # of Postgres, for all who are connected: one of our processes opens up to 20
START_SECONDS = 30.0

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer here")


class Pooler:
    def __init__(self, command: list[str], path: Path, url: str) -> None:
        self._command, self._socket, self.url = command, path, url

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < until, "pgbouncer does not come up"
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(str(self._socket)) == 0

    def kill(self) -> None:
        """With kill -9: whoever is connected to it, or through it, is cut off."""
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)
        self._socket.with_name("pid").unlink(missing_ok=True)


@contextmanager
def pooling(database_url: str, mode: str = "transaction", **settings: str) -> Generator[Pooler]:
    """Start one with its own defaults, but for these settings."""
    parts = conninfo_to_dict(database_url)
    with temporary_folder() as folder:
        folder.chmod(0o777)  # its process is another user's
        (folder / "users").write_text(f'"{parts["user"]}" "{parts["password"]}"\n')
        database = f"host={parts['host']} port={parts.get('port', 5432)} dbname={parts['dbname']}"
        own = {
            "listen_port": "6432",
            "listen_addr": "",
            "unix_socket_dir": folder,
            "pidfile": folder / "pid",
            "auth_type": "plain",
            "auth_file": folder / "users",
            "pool_mode": mode,
            "default_pool_size": SESSIONS,
            **settings,
        }
        lines = [
            "[databases]",
            f"pooled = {database} password={parts['password']}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in own.items()),
        ]
        (folder / "ini").write_text("\n".join(lines))
        command = [str(PROGRAM), "-q", *_find_user(str(parts["host"])), str(folder / "ini")]
        url = make_conninfo(database_url, host=str(folder), port=6432, dbname="pooled")
        pooler = Pooler(command, folder / ".s.PGSQL.6432", url)
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.kill()


def _find_user(host: str) -> list[str]:
    """Return as whom it has to run to use the socket of Postgres, and not as root."""
    folder = Path(host)
    if os.geteuid() != 0:
        return []
    return ["-u", folder.owner() if folder.is_dir() else "nobody"]
