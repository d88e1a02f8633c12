"""What is longer than the screen, through a pager."""

import os
import shlex
import subprocess
from shutil import which

from rich.console import RenderableType

from hitl_orchestrator.server.terminal.console import Terminal


def page(terminal: Terminal, *views: RenderableType, soft_wrap: bool = False) -> None:
    """Print the views one below the other, through $PAGER or less where they need it."""
    if not terminal.is_terminal:
        terminal.print(*views, sep="\n", soft_wrap=soft_wrap)
        return
    with terminal.capture() as captured:
        terminal.print(*views, sep="\n", soft_wrap=soft_wrap)
    text = captured.get()
    pager = _find_pager()
    if text.count("\n") < terminal.height or not pager:
        _write(terminal, text)
        return
    os.environ.setdefault("LESS", "-FRX")  # as git does: colours, and the text stays on the screen
    encoded = text.encode(terminal.encoding, _find_errors(terminal))
    try:
        subprocess.run(pager, input=encoded, check=False)
    except OSError:  # of a $PAGER that is not there
        _write(terminal, text)


def _find_pager() -> list[str]:
    """Return what shows long texts; nothing: there is none, and a terminal scrolls."""
    if named := os.environ.get("PAGER"):
        return shlex.split(named)
    return ["less"] if which("less") else []


def _write(terminal: Terminal, text: str) -> None:
    terminal.file.write(text)
    terminal.file.flush()


def _find_errors(terminal: Terminal) -> str:
    return getattr(terminal.file, "errors", None) or "replace"
