"""The guard of an embedded Postgres.

It starts the server, starts it again when it dies, and stops it when its last user is gone.

A script with the standard library alone: postgres.py runs it by its path. It inherits the lock that
makes it the only guard, keeps its starter's user (the interpreter may lie where Postgres's user
cannot reach it) and writes a byte to stdout whenever the server ends.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

# before a dead server is started again: its orphaned processes need a moment to go
PAUSE_SECONDS = 0.5
# for the fast shutdown, with its checkpoint; then the immediate one, which the next start recovers
# from
PATIENCE_SECONDS = 30.0


def main(folder: str, socket_folder: str, uid: str, gid: str, *command: str) -> None:
    if os.fork():
        return  # nobody's child: whoever started us need not wait for our end
    for stray in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(stray, signal.SIG_IGN)
    guard = Guard(command, int(uid), int(gid))
    # every user shares this lock: it is ours when they are gone
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    guard.stop()
    with suppress(OSError):  # a short socket folder is empty now; the server's own is not
        os.rmdir(socket_folder)


class Guard:
    def __init__(self, command: tuple[str, ...], uid: int, gid: int) -> None:
        self._command, self._uid, self._gid = command, uid, gid
        self._ending = threading.Event()
        self._server = self._launch()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        self._ending.set()
        patience_ends = time.monotonic() + PATIENCE_SECONDS
        # again and again: a server that is just starting may miss the first
        while self._keeper.is_alive():
            self._server.send_signal(
                signal.SIGINT if time.monotonic() < patience_ends else signal.SIGQUIT
            )
            self._keeper.join(timeout=1)

    def _keep(self) -> None:
        while True:
            self._server.wait()
            with suppress(BrokenPipeError):  # nobody listens once the server has started
                os.write(1, b"x")
            if self._ending.wait(PAUSE_SECONDS):
                return
            self._server = self._launch()

    def _launch(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,
            user=self._uid,
            group=self._gid,
            extra_groups=[] if os.geteuid() == 0 else None,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
