"""Makes `.venv` from requirements-dev.lock when it is missing, half made or out of date.

Standard library only. It must also parse on an old Python, which then hands over to a newer one or
says what is missing.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Removed before the first step and written after the last: a .venv without it is half made, or not
# of our making.
STAMP = VENV / "made-from"


def main() -> None:
    hand_over_if_too_old()
    if is_current():
        return
    with LOCK.open("r+b") as lock:
        wait_for_turn(lock.fileno())
        if not is_current():
            make(lock.fileno())


def hand_over_if_too_old() -> None:
    if sys.version_info >= OLDEST:
        return
    for minor in range(OLDEST[1], 20):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])  # noqa: S606
    sys.exit(
        "Python 3.11 or newer is needed; "
        f"python3 here is {platform.python_version()} ({sys.executable})."
    )


def is_current() -> bool:
    return PYTHON.exists() and made_from() == wanted()


def made_from() -> str:
    return STAMP.read_text() if STAMP.is_file() else ""


def wanted() -> str:
    """Return two lines: the place, and a digest of what is installed in it.

    The place is interpreter and folder, which an existing .venv cannot change.
    """
    inputs = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return f"{platform.python_version()} {sys.base_prefix} {VENV}\n{inputs}\n"


def wait_for_turn(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another process is making .venv; waiting for it ...")
        fcntl.flock(lock, fcntl.LOCK_EX)


def make(lock: int) -> None:
    began, target = time.monotonic(), wanted()
    # Updated in place where possible, so that a server which runs from it keeps the files that did
    # not change.
    in_place = PYTHON.exists() and made_from().partition("\n")[0] == target.partition("\n")[0]
    STAMP.unlink(missing_ok=True)
    say("Making .venv; the first time takes about a minute ...", end=" ")
    if not in_place:
        make_empty(lock)
    install(lock, "--require-hashes", "-r", LOCK)
    install(lock, "--no-deps", "--no-build-isolation", "-e", ".")
    STAMP.write_text(target)
    say(f"ready ({time.monotonic() - began:.0f} s).")


def make_empty(lock: int) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"\n{sys.executable} cannot make virtual environments: "
            "install its venv package (Debian, Ubuntu: python3-venv)."
        )
    run(lock, sys.executable, "-I", "-m", "venv", "--clear", VENV)


def install(lock: int, *arguments: "str | Path") -> None:
    quiet = ("--disable-pip-version-check", "--progress-bar", "off")
    run(lock, PYTHON, "-I", "-m", "pip", "install", *quiet, *arguments)


def run(lock: int, *command: "str | Path") -> None:
    """Run a step without a word, or show all that it said and end."""
    with tempfile.TemporaryFile() as output:
        # The child inherits the lock: if this process is killed, the next one still waits for what
        # the child is writing.
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
        )
        if done.returncode:
            output.seek(0)
            say("\n" + output.read().decode(errors="replace"))
            sys.exit("This failed; .venv is half made, and the next run starts it over.")


def say(line: str, end: str = "\n") -> None:
    print(line, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        say("\nInterrupted; .venv is half made, and the next run starts it over.")
        sys.exit(130)
    except OSError as error:
        sys.exit(f"\n.venv cannot be made: {error}")
