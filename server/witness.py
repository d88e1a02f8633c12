"""What an agent's own lines do at a dry call: which ran before a question, and what blocked.

Lines are traced, so it is for a process that tries an agent out, and for no other.
"""

import ast
import asyncio
import builtins
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, cast

from langgraph.types import interrupt

PING_SECONDS, BLOCKED_SECONDS = 0.02, 0.15
# What these do before a question does no harm when it is done again.
HARMLESS = {
    *("langgraph", "langchain_core", "logging", "json", "re", "math", "datetime", "copy"),
    *("typing", "dataclasses", "pydantic", "collections", "itertools", "functools", "operator"),
    *("time", "random", "uuid", "hashlib", "posixpath", "string", "textwrap"),
}
CHANGES = {"append", "add", "update", "extend", "insert", "pop", "remove", "clear", "setdefault"}


WRITES = {
    *("write", "write_text", "write_bytes", "unlink", "mkdir", "touch"),
    *("send", "post", "execute"),
}

_With = ast.With | ast.AsyncWith


class CodeLine(NamedTuple):
    file: str
    line: int

    def __str__(self) -> str:
        return f"{'/'.join(Path(self.file).parts[-2:])}:{self.line}"


class Witness:
    """`asked`: where it asked. `repeats`: what stands before that and acts, with its text.

    `blocks`: where it kept the event loop waiting. `last`: where its code ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = f"{folder.resolve()}/"
        self._ran = set[tuple[CodeType, int]]()
        self.asked: list[CodeLine] = []
        self.repeats: dict[CodeLine, str] = {}
        self.blocks: dict[CodeLine, None] = {}
        self.last: CodeLine | None = None

    @contextmanager
    def watching(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        """Watch what is run in the loop by this thread, and in threads that begin meanwhile."""
        ended = threading.Event()
        target = (loop, threading.get_ident(), ended)
        watch = threading.Thread(target=self._watch_loop, args=target, daemon=True)
        watch.start()
        before = sys.gettrace()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)
            threading.settrace(before)
            ended.set()
            watch.join()

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is interrupt.__code__:
            self._note_question(frame.f_back)
            return None
        return self._trace_lines if self._is_own(frame) else None

    def _trace_lines(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._ran.add((frame.f_code, frame.f_lineno))
        elif event == "return":
            self.last = CodeLine(frame.f_code.co_filename, frame.f_lineno)
        return self._trace_lines

    def _is_own(self, frame: FrameType) -> bool:
        file = frame.f_code.co_filename
        return file.startswith(self._folder) and "-packages" not in file

    def _note_question(self, frame: FrameType | None) -> None:
        """Note what ran before it in the functions that lead to it, as far as that acts."""
        inner = True
        while frame is not None:
            if self._is_own(frame):
                if inner:
                    self.asked.append(CodeLine(frame.f_code.co_filename, frame.f_lineno))
                inner = False
                for line, text in _Function(frame).list_acts(self._ran):
                    self.repeats[CodeLine(frame.f_code.co_filename, line)] = text
            frame = frame.f_back

    def _watch_loop(
        self, loop: asyncio.AbstractEventLoop, thread_id: int, ended: threading.Event
    ) -> None:
        turned = threading.Event()
        while not ended.wait(PING_SECONDS):
            turned.clear()
            if loop.is_running():
                loop.call_soon_threadsafe(turned.set)
                if not turned.wait(BLOCKED_SECONDS):
                    self._note_block(thread_id)
                    while not turned.wait(PING_SECONDS) and not ended.is_set():
                        pass

    def _note_block(self, thread_id: int) -> None:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        for frame, line in traceback.walk_stack(frames.get(thread_id)):
            if self._is_own(frame):
                self.blocks[CodeLine(frame.f_code.co_filename, line)] = None
                return


class _Function:
    """A function that runs, and the text of it."""

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self._names = {**vars(builtins), **frame.f_globals, **frame.f_locals}

    @cached_property
    def _text(self) -> str:
        try:
            return Path(self._frame.f_code.co_filename).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def list_acts(self, ran: set[tuple[CodeType, int]]) -> Iterator[tuple[int, str]]:
        """Yield line and text of each statement that has run before this one, and may act."""
        code, here = self._frame.f_code, self._frame.f_lineno
        for statement in self._list_statements():
            has_run = (code, statement.lineno) in ran
            if has_run and (statement.end_lineno or here) < here and self._acts(statement):
                segment = ast.get_source_segment(self._text, statement) or ""
                yield statement.lineno, segment.partition("\n")[0]

    def _list_statements(self) -> Iterator[ast.stmt]:
        try:
            tree = ast.parse(self._text)
        except (SyntaxError, ValueError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign | _With):
                yield node

    def _acts(self, statement: ast.stmt) -> bool:
        is_with = isinstance(statement, _With)
        looked_at = [item.context_expr for item in statement.items] if is_with else [statement]
        calls: list[ast.Call] = []
        for part in looked_at:
            calls += [node for node in ast.walk(part) if isinstance(node, ast.Call)]
        return any(self._is_act(call) for call in calls)

    def _is_act(self, call: ast.Call) -> bool:
        """Tell whether the call may do something outside the function; where unsure, it may."""
        parts = _read_path(call.func)
        if not parts:
            # of a call's result, which is itself looked at
            return not isinstance(call.func, ast.Attribute) or call.func.attr in WRITES
        callee = self._names.get(parts[0])
        for part in parts[1:]:
            callee = getattr(callee, part, None)
        owner = getattr(callee, "__self__", None)
        if type(owner).__module__ == "builtins" and len(parts) > 1 and owner is not None:
            return parts[-1] in CHANGES and parts[0] not in self._frame.f_code.co_varnames
        if isinstance(callee, type) or _find_package(cast(object, type(callee))) in HARMLESS:
            return False  # the latter: a @task, which bears the module of its function
        package = _find_package(callee) or _find_package(cast(object, type(callee)))
        if package in ("builtins", "io", "_io"):
            return getattr(callee, "__name__", "") in ("open", "exec", "eval")
        return package not in HARMLESS


def _find_package(found: object) -> str:
    return str(getattr(found, "__module__", None) or "").partition(".")[0]


def _read_path(called: ast.expr) -> list[str]:
    """Return `["a", "b"]` of `a.b`; nothing where it begins with no name."""
    if isinstance(called, ast.Name):
        return [called.id]
    if isinstance(called, ast.Attribute) and (before := _read_path(called.value)):
        return [*before, called.attr]
    return []
