"""The command in a terminal of its own, as a person sees it and types into it."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.terminal.commands import HITL, environment
from tests.terminal.desk import Desk

CSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class Screen:
    def __init__(
        self, at: Desk | Path, *arguments: str, width: int = 120, **variables: str
    ) -> None:
        """`at`: a desk, or a folder without a server."""
        folder, known = (at, {}) if isinstance(at, Path) else (at.folder, at.variables)
        self._terminal, inside = pty.openpty()
        termios.tcsetwinsize(inside, (60, width))
        self.raw = ""
        variables = environment(**{**known, **variables})
        self._process = subprocess.Popen(
            [HITL, *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=folder,
            env=variables,
        )
        os.close(inside)
        self._decoder = getincrementaldecoder("utf-8")()  # a character may come in two pieces
        self._unread = ""

    def expect(self, text: str, seconds: float = 30) -> str:
        """All up to and with the text."""
        until = time.monotonic() + seconds
        while text not in self._unread:
            assert self._read(until - time.monotonic()), (
                f"{text!r} did not come, but {self._unread!r}"
            )
        before, _, self._unread = self._unread.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Exit code, and the rest of what was shown."""
        while self._read(30):
            pass
        return self._process.wait(30), self._unread

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], max(0, seconds))[0]:
            return False
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # the command has ended
            return False
        text = self._decoder.decode(read)
        self.raw += text
        self._unread = CSI.sub("", self._unread + text).replace("\r\n", "\n")
        return bool(read)


@contextmanager
def screen(
    at: Desk | Path, *arguments: str, width: int = 120, **variables: str
) -> Generator[Screen]:
    opened = Screen(at, *arguments, width=width, **variables)
    try:
        yield opened
    finally:
        opened.close()
