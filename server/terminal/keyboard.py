"""What a person types, line by line, about one question at a time."""

import signal
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType, MappingProxyType

from hitl_orchestrator.server.terminal.text import clean
from hitl_orchestrator.server.terminal.wire import LAST_FRAMES, FrameJson, RequestJson

LOOK_SECONDS = 0.25
HELP = "?"
_VERBS: Mapping[str, str] = MappingProxyType(
    {
        "approve": "yes: what is shown is done",
        "edit": "change the arguments in an editor; then approve what you see",
        "reject": "no; you are asked for a reason, which the agent is told",
        "text": "answer in your own words; an empty line ends them",
        "choose": "choose one of the options",
        "json": "answer with JSON, of any kind",
        "fill in": "fill in the form, field by field",
        "json file": "answer with the JSON of a file",
        "again": "once more",
        "drop": "leave it as it was",
        "yes": "send it",
        "skip": "leave the question to others: the run waits, and this command ends",
    }
)


class Left(Exception):
    """The person leaves the question to somebody else."""


class Withdrawn(Exception):
    """Somebody else has ended the question, or the run."""


class Keyboard:
    """Its wait for a line ends when a frame says that the question has ended."""

    def __init__(self) -> None:
        self._request: RequestJson | None = None
        self._ended = set[str]()
        self._run_has_ended = False
        with suppress(ImportError):
            import readline  # from here on input() edits its line

            readline.parse_and_bind("tab: self-insert")
        signal.signal(signal.SIGALRM, self._look)

    def hear(self, frame: FrameJson) -> None:
        """Note what a frame ends. Called by the thread that reads the frames."""
        if frame["message"] == "occurred" and "hitl" in frame["data"]:
            self._ended.add(frame["data"]["hitl"]["requestId"])
        self._run_has_ended = frame["type"] in LAST_FRAMES  # a run that is retried goes on

    def turn_to(self, request: RequestJson) -> None:
        """Read answers to this question from now on, and nothing that was typed before it."""
        self._request = request
        termios.tcflush(sys.stdin, termios.TCIFLUSH)

    def read_line(self, prompt: str, explanation: str = "") -> str:
        """Return what is typed; `?` alone shows the explanation instead, if there is one.

        Raises Left at the end of input, and Withdrawn.
        """
        while (typed := self._read(prompt)).strip() == HELP and explanation:
            print(clean(explanation))  # noqa: T201
        return typed

    def _read(self, prompt: str) -> str:
        # Not one signal by the other thread: readline misses one that comes between its prompt and
        # its wait, Ctrl-C too.
        signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
        try:
            return input(prompt)
        except EOFError:
            print()  # noqa: T201
            raise Left from None
        except SystemError as error:
            # Python calls `_look` though Ctrl-C has been raised already, and takes offence at that
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def read_lines(self, first: str = "") -> str:
        """Return several lines, `first` before them, up to an empty one."""
        lines = [first] if first else []
        while (line := self.read_line("> ")).strip() or not lines:
            lines.append(line)
        return "\n".join(lines)

    def pick(self, verbs: list[str]) -> str:
        """Return one of the verbs, typed in full or by its first letter. Raises Left for skip."""
        offered = [*verbs, "skip"]
        prompt = ", ".join(f"{verb} ({verb[0]})" for verb in offered) + ", help (?): "
        explanation = "\n".join(f"  {verb}: {_VERBS[verb]}" for verb in offered)
        while True:
            typed = self.read_line(prompt, explanation).strip().lower()
            picked = [verb for verb in offered if typed in (verb, verb[0])]
            if picked and picked[0] == "skip":
                raise Left
            if picked:
                return picked[0]

    def _look(self, _signal: int, _frame: FrameType | None) -> None:
        """Raise Withdrawn, also inside input(), once there is nothing left to answer."""
        has_ended = self._request is not None and self._request["requestId"] in self._ended
        if self._run_has_ended or has_ended:
            raise Withdrawn
