"""What is longer than the screen, through a pager."""

import os

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
    if text.count("\n") < terminal.height:
        terminal.file.write(text)
        terminal.file.flush()
        return
    # takes a while to import, and most of what is shown needs none
    import pydoc

    os.environ.setdefault("LESS", "-FRX")  # as git does: colours, and the text stays on the screen
    pydoc.pager(_as_encoded(text, terminal))


def _as_encoded(text: str, terminal: Terminal) -> str:
    """Return the text as the terminal's own encoding can say it."""
    errors = getattr(terminal.file, "errors", None) or "replace"
    return text.encode(terminal.encoding, errors).decode(terminal.encoding)
