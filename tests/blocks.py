"""The shell blocks of a page, run as they stand there, one after the other in one shell.

What is printed is compared with what the page shows: `…` stands for anything, `[…]` with the rest
of its line too; ids and times differ, but an id of the page is the same one throughout. A server
goes on beside the commands below it.
"""

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import unified_diff
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from tests.processes import START_SECONDS, find_free_port
from tests.repository import ROOT
from tests.temporary import temporary_folder
from tests.terminal.screen import CSI

WIDTH = 100

_BLOCK = re.compile(
    r"(?:^<!-- not run: (.*?) -->\n)?^```(sh|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
_ID = re.compile(r"\b((?:hitl|run|thread)_[0-9a-f]{5,})…?")
_TYPED = re.compile(r"(?<=help \(\?\): )(\w+)$", re.MULTILINE)
_DIFFERS = re.compile(
    rf"(?P<id>{_ID.pattern})"
    r"|(?P<any>\[…\][^\n]*|…)"
    r"|(?P<moment>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+Z)?)"
    r"|(?P<time>\b\d\d:\d\d:\d\d\b)"
    r"|(?P<wait>\b\d+ s\b *)"
)
_LIKE = {
    "any": r"[\s\S]*?",
    "moment": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+Z)?",
    "time": r"\d\d:\d\d:\d\d",
    "wait": r"\d+ (?:s|min) *",
}
_UP, _ERASE = "\x1b[1A", "\x1b[2K"
_MOVE = re.compile(f"(\r\n|{re.escape(_UP)}|{re.escape(_ERASE)})")
_PROMPT = b"help (?): "
_STOP = "kill $(jobs -p) 2> /dev/null; wait"
_SERVER = "HITL Orchestrator: http"  # what is printed by one that is up


@dataclass(frozen=True)
class Command:
    line: int
    text: str
    shown: str | None  # None: the page does not say


@dataclass(frozen=True)
class Block:
    line: int
    text: str
    not_run: str | None  # why

    @property
    def commands(self) -> list[Command]:
        """A block without a prompt is one; it must end well, whatever it prints."""
        lines = self.text.splitlines(keepends=True)
        if not any(line.startswith("$ ") for line in lines):
            return [Command(self.line, self.text, None)]
        found = list[Command]()
        for number, line in enumerate(lines, self.line + 1):
            last = found[-1] if found else None
            if line.startswith("$ "):
                found.append(Command(number, line[2:], ""))
            elif last and not last.shown and _goes_on(last.text):
                found[-1] = Command(last.line, last.text + line, "")
            elif last:
                found[-1] = Command(last.line, last.text, (last.shown or "") + line)
        return found


def read_blocks(page: Path) -> list[Block]:
    """Of a `console` block without a prompt, the text is what the one above goes on to print."""
    text = page.read_text("utf-8")
    found = list[Block]()
    for one in _BLOCK.finditer(text):
        why, language, code = one.groups()
        if language == "console" and "$ " not in code:
            found[-1] = replace(found[-1], text=found[-1].text + code)
        else:
            found.append(Block(text.count("\n", 0, one.start(3)), code, why))
    return found


def _goes_on(command: str) -> bool:
    return command.count("'") % 2 == 1 or command.endswith("\\\n")


class Reader:
    """Somebody who types what the page says, in a folder of their own."""

    def __init__(self, page: Path, folder: Path, **replaced: str) -> None:
        """`replaced`: what the page calls otherwise than it is here, as `/srv/hitl`."""
        self.page = page
        self.folder = folder
        self._port = str(find_free_port())
        self._replaced = {"8080": self._port, **replaced}
        self._ids: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._terminal, inside = pty.openpty()
        termios.tcsetwinsize(inside, (1000, WIDTH))  # nothing goes through a pager
        self._tty = os.ttyname(inside)
        self._inside = inside
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=self.folder,
            env=_clean_environment(self.folder, PORT=self._port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._say(f"{_STOP}; exit")
        try:
            self._shell.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()
        os.close(self._terminal)
        os.close(self._inside)

    def read(self, blocks: list[Block]) -> list[str]:
        """Run every block that is not marked; return what each command printed."""
        commands = [one for block in blocks if not block.not_run for one in block.commands]
        return [self._do(command) for command in commands]

    def _do(self, command: Command) -> str:
        text = self._put_ids(self._replace(command.text))
        shown = None if command.shown is None else self._replace(command.shown)
        where = f"{self.page.relative_to(ROOT)}:{command.line}: {text}"
        if shown and _SERVER in shown:
            return self._serve(text, shown, where)
        code, printed = self._run(text, _TYPED.findall(shown or ""))
        assert shown or code == 0, f"{where}\n{printed}"
        if shown is not None:
            self._compare(shown, printed, where)
        return printed

    def _run(self, text: str, answers: Sequence[str] = ()) -> tuple[int, str]:
        given = self._tty if answers else "/dev/null"
        self._say(f"eval {shlex.quote(text)} < {given} > {self._tty} 2>&1; echo $?")
        ended, printed, waiting = cast(IO[bytes], self._shell.stdout), b"", [*answers]
        code = None
        while True:
            ready, _, _ = select.select([ended, self._terminal], [], [], 0.02 if code else None)
            if self._terminal in ready:
                printed += os.read(self._terminal, 65536)
                if waiting and printed.count(_PROMPT) > len(answers) - len(waiting):
                    os.write(self._terminal, waiting.pop(0).encode() + b"\n")
            elif ended in ready:
                code = ended.readline()
            elif code:  # nothing more is on its way
                return int(code), _read_screen(printed)

    def _say(self, line: str) -> None:
        given = cast(IO[bytes], self._shell.stdin)
        given.write(line.encode() + b"\n")
        given.flush()

    def _serve(self, text: str, shown: str, where: str) -> str:
        """In place of one that runs: they have one port."""
        log = self.folder.with_name("serve.log")
        command = f"{text.strip().removesuffix('&')} > {log} 2>&1 &"
        log.write_text("")
        code, _ = self._run(f"{_STOP}; {command}")
        assert code == 0, where
        until = time.monotonic() + START_SECONDS
        while not self._match(shown, printed := log.read_text("utf-8")):
            assert time.monotonic() < until, _differ(where, shown, printed)
            time.sleep(0.05)
        return printed

    def _compare(self, shown: str, printed: str, where: str) -> None:
        found = self._match(shown, printed)
        assert found, _differ(where, shown, printed)
        for name, value in zip(_list_ids(shown), found.groups(), strict=True):
            for known, held in [*self._ids.items()]:
                assert _fit(name, known) == _fit(value, held), f"{where}\n{name} is {value}"
            if len(value) >= len(self._ids.get(name, "")):
                self._ids[name] = value

    def _match(self, shown: str, printed: str) -> re.Match[str] | None:
        return re.fullmatch(_make_pattern(_trim(shown)), _trim(printed))

    def _replace(self, text: str) -> str:
        for ours, here in self._replaced.items():
            text = text.replace(ours, here)
        return text

    def _put_ids(self, text: str) -> str:
        return _ID.sub(lambda found: self._find_id(found[1]), text)

    def _find_id(self, name: str) -> str:
        known = [value for one, value in self._ids.items() if _fit(name, one)]
        return max(known, key=len, default=name)


def _fit(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _list_ids(shown: str) -> list[str]:
    return [found[1] for found in _ID.finditer(shown)]


def _make_pattern(shown: str) -> str:
    made, at = "", 0
    for found in _DIFFERS.finditer(shown):
        made += re.escape(shown[at : found.start()]) + _like(found)
        at = found.end()
    return made + re.escape(shown[at:])


def _like(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    return _LIKE.get(kind) or f"({found[0].partition('_')[0]}_[0-9a-f]+)"


def _read_screen(printed: bytes) -> str:
    """Return what a person sees at the end: lines that follow a run are written over."""
    lines, at = [""], 0
    for part in _MOVE.split(printed.decode("utf-8")):
        if part == "\r\n":
            at += 1
            lines += [""] * (at == len(lines))
        elif part == _UP:
            at -= 1
        elif part == _ERASE:
            lines[at] = ""
        else:
            lines[at] += CSI.sub("", part).replace("\r", "")
    return "\n".join(lines)


def _trim(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _differ(where: str, shown: str, printed: str) -> str:
    page, screen = (_DIFFERS.sub("…", _trim(text)).splitlines() for text in (shown, printed))
    changes = "\n".join(unified_diff(page, screen, "the page", "printed", lineterm=""))
    return f"{where}\n{changes}\n--- the page shows\n{shown}\n--- printed is\n{printed}"


def _clean_environment(folder: Path, **more: str) -> Mapping[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**inherited, "HOME": str(folder), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


@contextmanager
def reading(page: Path, **replaced: str) -> Generator[Reader]:
    """In a new folder that has the environment with `hitl`, as an installation has it."""
    with temporary_folder() as made:
        folder = made / "hitl"
        folder.mkdir()
        (folder / ".venv").symlink_to(sys.prefix)
        with Reader(page, folder, **{**replaced, "/srv/hitl": str(folder)}) as reader:
            yield reader
