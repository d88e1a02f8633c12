"""What is told of an agent that raised: to people why and where, to the log its whole traceback.

Neither the log nor its traceback has what the error says: agents put questions and answers there.
Who tries an agent out keeps the error itself instead.
"""

import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, TracebackType

from hitl_orchestrator.domain.context_variables import Having
from hitl_orchestrator.nodes.specialist import Task

LONGEST_MESSAGE = 1800  # the place comes after it
LONGEST_TRACEBACK = 20_000
LANGGRAPHS_NOTE = "During task with name "  # on an error: in a node of ours, of which nobody knows
MOST_LINKED = 20  # errors behind an error
# Between an agent's lines and ours; what of them stands last is not where the agent broke.
NOT_THE_AGENTS = {"langgraph", "langchain_core", "langchain", *sys.stdlib_module_names}
OURS, DESK = "hitl_orchestrator", "hitl_orchestrator.desk"

_log = logging.getLogger("hitl.agents")
_kept: ContextVar[list[Exception] | None] = ContextVar("mishaps", default=None)


def keeping_mishaps(kept: list[Exception]) -> AbstractContextManager[None]:
    """Add to the list what agents raise inside, instead of logging it."""
    return Having(_kept, kept)


def tell_mishap(error: Exception, task: Task, capability_id: str) -> str:
    """Log the error with its traceback, and return the reason for people: what, and where."""
    if (kept := _kept.get()) is not None:
        kept.append(error)
    else:
        _write_log(error, task, capability_id)
    said = f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
    place = find_place(error)
    return f"{said} ({place})" if place else said


def _write_log(error: Exception, task: Task, capability_id: str) -> None:
    _log.error(
        "agent_failed",
        extra={
            "runId": task.runId,
            "threadId": task.threadId,
            "stepId": task.stepId,
            "originAgent": capability_id,
            "exception": write_traceback(error),
        },
    )


def find_place(error: BaseException) -> str | None:
    """Return file and line of the agent's own code, as `folder/file.py:12`; None: there is none."""
    for each in _walk(error):
        if place := find_place_of_lines(traceback.walk_tb(each.__traceback__)):
            return place
    return None


def find_place_of_lines(lines: Iterable[tuple[FrameType, int]]) -> str | None:
    """Return the last line of the agent's own; of a library it calls, where there is none."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in lines
        if is_the_agents(str(frame.f_globals.get("__name__", "")))
    ]
    own = [each for each in frames if "-packages" not in each[0]] or frames
    if not own:
        return None
    file, line = own[-1]
    return f"{'/'.join(Path(file).parts[-2:])}:{line}"


def write_traceback(error: BaseException) -> str:
    """Return the lines that led to the error, and to those behind it, without what they say."""
    parts = [_write_one(each) for each in _walk(error)]
    return "\nwhich came of\n".join(parts)[-LONGEST_TRACEBACK:]


def write_own_lines(error: BaseException) -> str:
    """Return a traceback with what the error says, of the lines of the agent's own code alone.

    Where there is none, of all lines.
    """
    parts = [_write_own(each) for each in _walk(error)]
    return "\nwhich came of\n".join(parts)[-LONGEST_TRACEBACK:]


def _write_own(error: BaseException) -> str:
    lines = [*traceback.walk_tb(error.__traceback__)]
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in lines]
    own = [line for line, name in zip(lines, names, strict=True) if is_the_agents(name)]
    shown = traceback.StackSummary.extract(iter(own or lines), lookup_lines=True).format()
    said = "".join(traceback.format_exception_only(type(error), error))
    return "".join([*shown, said.partition(LANGGRAPHS_NOTE)[0]]).rstrip()


def _write_one(error: BaseException) -> str:
    return "".join(_format(error.__traceback__)) + type(error).__qualname__


def _format(trace: TracebackType | None) -> list[str]:
    return traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=True).format()


def _walk(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all behind it: causes, contexts, and what a group holds."""
    found: list[BaseException] = [error]
    for each in found:  # it grows meanwhile
        yield each
        behind = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        further = [behind] if behind else []
        if isinstance(each, BaseExceptionGroup):
            further += each.exceptions
        for one in further:
            if len(found) < MOST_LINKED and all(one is not other for other in found):
                found.append(one)


def is_the_agents(module: str) -> bool:
    """Tell whether it is an agent's, or of a library that it calls."""
    return not is_ours(module) and module.partition(".")[0] not in NOT_THE_AGENTS


def is_ours(module: str) -> bool:
    """Tell whether it is of the orchestrator itself; the desk's agents are agents."""
    return module.partition(".")[0] == OURS and not module.startswith(DESK)
