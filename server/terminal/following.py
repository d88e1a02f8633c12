"""Following a run in the terminal: live with its questions, or read along line by line."""

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import dropwhile

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from hitl_orchestrator.server.terminal.client import Api
from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.errors import ClientError, RefusedByServer
from hitl_orchestrator.server.terminal.forms import name_field
from hitl_orchestrator.server.terminal.keyboard import Keyboard, Left, Withdrawn
from hitl_orchestrator.server.terminal.pager import page
from hitl_orchestrator.server.terminal.prompts import ask_for_answer
from hitl_orchestrator.server.terminal.question_views import draw_question, make_answer_command
from hitl_orchestrator.server.terminal.run_views import draw_frame, draw_plan
from hitl_orchestrator.server.terminal.wire import (
    FrameJson,
    JsonObject,
    RequestJson,
    RunJson,
    is_progress,
    select_pending,
)


def follow_live(
    api: Api, run: RunJson, operator: str | None, terminal: Terminal, since: str | None = None
) -> RunJson:
    """Show the run live and have its questions answered here.

    `since`: from the end of that question on. Returns the run when it has ended, or when the
    person leaves a question.
    """
    keyboard = Keyboard()
    feed = Feed(api, run["runId"], keyboard.hear, since)
    feed.start()
    while True:
        run = watch(api, run, feed, terminal)
        if feed.ended:
            return run
        request = select_pending(run)[0]
        try:
            _settle(api, request, operator, keyboard, terminal)
        except Left:
            terminal.say(f"Left pending. Answer it with: {make_answer_command(request)}")
            return run
        run = api.run(run["runId"])


class Feed(threading.Thread):
    """Reads the frames of a run while the main thread shows them or waits for a person."""

    def __init__(
        self, api: Api, run_id: str, hear: Callable[[FrameJson], None], since: str | None
    ) -> None:
        """`hear`: called with each frame, by this thread."""
        super().__init__(daemon=True)
        self.ended = False
        self._api, self._run_id, self._hear, self._since = api, run_id, hear, since
        self._frames = queue.SimpleQueue[FrameJson | None]()
        self._asked = set[str]()
        self._failure: ClientError | None = None

    def run(self) -> None:
        """Read to the last frame; None in the queue says that there will be no more."""
        try:
            for frame in self._api.frames(self._run_id):
                self._frames.put(frame)
                self._hear(frame)
        except ClientError as error:
            self._failure = error
        finally:
            self._frames.put(None)

    def take(self, wait: bool) -> list[FrameJson]:
        """Return all frames to show that have come; `wait`: for a frame, or for the end.

        Raises the ClientError that broke the stream.
        """
        frames = [self._frames.get()] if wait else []
        while not self._frames.empty():
            frames.append(self._frames.get())
        self.ended = None in frames
        if self._failure:
            raise self._failure
        return self._leave_out_old([frame for frame in frames if frame])

    def has_told_of(self, requests: Collection[RequestJson]) -> bool:
        """Whether all that led to these questions has been taken."""
        return {request["requestId"] for request in requests} <= self._asked

    def _leave_out_old(self, frames: list[FrameJson]) -> list[FrameJson]:
        self._asked.update(frame["data"]["hitl"]["requestId"] for frame in frames if _asks(frame))
        shown = [*_begin_at(iter(frames), self._since)]
        if shown:
            self._since = None
        return shown


def _begin_at(frames: Iterator[FrameJson], since: str | None) -> Iterator[FrameJson]:
    """Leave out what came before the end of that question."""
    if since is None:
        return frames
    return dropwhile(lambda frame: not _ends(frame, since), frames)


def _asks(frame: FrameJson) -> bool:
    return frame["message"] == "requested" and "hitl" in frame["data"]


def _ends(frame: FrameJson, request_id: str) -> bool:
    hitl = frame["data"].get("hitl")
    return frame["message"] == "occurred" and bool(hitl) and hitl["requestId"] == request_id


def watch(api: Api, run: RunJson, feed: Feed, terminal: Terminal) -> RunJson:
    """Show the plan, and the frames above it, until the run asks or has ended.

    What led to a question is shown before it, though the run is read apart from its frames and
    may be ahead of them. What a step says while it works stands beside it, the newest only.
    """
    lines = dict[str, str]()
    shown = _draw_progress(run, lines)
    with Live(shown, console=terminal, transient=True, refresh_per_second=8) as live:
        while True:
            pending = select_pending(run)
            asks = bool(pending) and feed.has_told_of(pending)
            frames = feed.take(wait=not asks)
            said = filter(is_progress, frames)
            lines |= {each["data"]["stepId"]: each["message"] for each in said}
            others = [frame for frame in frames if not is_progress(frame)]
            for frame in others:
                terminal.print(draw_frame(frame))
            if asks and not feed.ended:
                return run
            if others or feed.ended:
                run = api.run(run["runId"])
            live.update(_draw_progress(run, lines))
            if feed.ended:
                return run


def _draw_progress(run: RunJson, lines: Mapping[str, str]) -> RenderableType:
    footer = Text(f"{run['runId']} · {run['status']} · Ctrl-C leaves it going", "dim")
    if not run["plan"]:
        return Group(Text("planning …", "dim"), footer)
    return Group(draw_plan(run["plan"]["steps"], live=True, lines=lines), footer)


def _settle(
    api: Api, request: RequestJson, operator: str | None, keyboard: Keyboard, terminal: Terminal
) -> None:
    """Ask until an answer is taken, or somebody else's was. Raises Left."""
    keyboard.turn_to(request)
    page(terminal, draw_question(request, boxed=True))
    while True:
        try:
            api.resume(request, ask_for_answer(request, keyboard, terminal), operator)
        except Withdrawn:
            terminal.print()
            return terminal.say("Somebody else has ended this question.", "yellow")
        except RefusedByServer as error:
            terminal.say(_explain_refusal(request, error), "red")
            if error.status == 409:
                return None
            if error.status not in (413, 422):
                raise
        else:
            return None


def _explain_refusal(request: RequestJson, error: RefusedByServer) -> str:
    """Say what is wrong; of a form, with its fields' titles."""
    schema = request.get("responseSchema")
    wrong: list[JsonObject] = error.problem.get("errors") or []
    if schema is None or error.status != 422 or not wrong:
        return error.detail
    return "; ".join(f"{name_field(schema, each['path'])}: {each['message']}" for each in wrong)


def read_along(
    api: Api, run: RunJson, terminal: Terminal, stays: bool = False, since: str | None = None
) -> RunJson:
    """Print a line for each frame but models' tokens, and the questions that need a person.

    `since`: from the end of that question on. Returns the run when it has ended, or, unless it
    `stays`, when it needs a person.
    """
    printed = set[str]()
    for frame in _begin_at(api.frames(run["runId"]), since):
        if "tokens" not in frame["data"] or "progress" in frame["data"]:
            terminal.print(draw_frame(frame), soft_wrap=True)
        if _asks(frame):
            asked = frame["data"]["hitl"]["requestId"]
            if asked in printed or not _is_pending(api.run(run["runId"]), asked):
                continue  # of what is told again, most is over
            run = api.run(run["runId"], wait_seconds=5)
            printed |= _print_questions(run, terminal, printed)
            if select_pending(run) and not stays:
                return run
    return api.run(run["runId"])


def _is_pending(run: RunJson, request_id: str) -> bool:
    return request_id in [request["requestId"] for request in select_pending(run)]


def _print_questions(run: RunJson, terminal: Terminal, printed: Collection[str]) -> set[str]:
    """Print those that wait and were not printed; return their ids."""
    requests = [each for each in select_pending(run) if each["requestId"] not in printed]
    for request in requests:
        terminal.print(Text(), draw_question(request, boxed=False), Text(), sep="\n")
        terminal.say(f"Answer it with: {make_answer_command(request)}")
    return {request["requestId"] for request in requests}
