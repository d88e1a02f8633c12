"""Try an agent in the terminal, in memory: its plan and frames shown, its questions asked there."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from rich.text import Text

from hitl_orchestrator.domain.errors import ConfigurationError, Invalid
from hitl_orchestrator.domain.hitl import HitlRequest
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import RunStatus
from hitl_orchestrator.graph.trial import DEFAULT_LIMIT, Trial, open_loop
from hitl_orchestrator.nodes.agents import Agent, load_agents
from hitl_orchestrator.nodes.mishaps import write_own_lines
from hitl_orchestrator.server.settings import load_settings
from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.keyboard import Keyboard, Left
from hitl_orchestrator.server.terminal.prompts import ask_for_answer
from hitl_orchestrator.server.terminal.question_views import draw_question
from hitl_orchestrator.server.terminal.run_views import draw_frame, draw_plan, draw_result
from hitl_orchestrator.server.terminal.wire import FrameJson, RequestJson, RunJson, StepJson

COMPLETED, FAILED, NEEDS_A_PERSON, INTERRUPTED = 0, 1, 3, 130


class Attempted(NamedTuple):
    """What is wanted of the agents of an entry. `answers`: a script of them; then a person."""

    entry: str
    objective: str
    inputs: Mapping[str, Json]
    outputs: Sequence[str] = ()
    answers: Sequence[Json] = ()
    max_questions: int = DEFAULT_LIMIT


def try_agents(wanted: Attempted) -> int:
    """Return the exit code. Raise ConfigurationError or Invalid: it cannot begin."""
    terminal = Terminal(sys.stdout)
    agents = load_tried(wanted.entry, terminal)
    try:
        with open_loop() as runner:
            return _Tryout(agents, wanted, terminal).run(runner)
    except KeyboardInterrupt:
        terminal.say("Left. Nothing of the run is kept.")
        return INTERRUPTED


def load_tried(entry: str, terminal: Terminal) -> list[Agent]:
    """Load what the entry names; show the traceback of what is raised meanwhile.

    Raise ConfigurationError.
    """
    try:
        return load_agents([entry], load_settings())
    except ConfigurationError as error:
        if error.__cause__ is not None:
            terminal.print(Text(write_own_lines(error.__cause__), "red"))
        raise ConfigurationError(error.detail.removeprefix("HITL_AGENTS: ")) from error


class _Tryout:
    def __init__(self, agents: Sequence[Agent], wanted: Attempted, terminal: Terminal) -> None:
        self._terminal = terminal
        self._answers = iter(wanted.answers)
        self._keyboard = Keyboard() if _has_terminal() else None
        self._trial = Trial(
            agents,
            wanted.objective,
            wanted.inputs,
            wanted.outputs,
            limit=wanted.max_questions,
            hear=self._show,
        )

    def run(self, runner: asyncio.Runner) -> int:
        """Return the exit code. A person is asked outside the loop: there Ctrl-C is heard."""
        runner.run(self._trial.go_on())
        while pending := self._trial.pending:
            for request in pending:
                if not self._settle(request):
                    return NEEDS_A_PERSON
            runner.run(self._trial.go_on())
        return self._end()

    def _show(self, frame: JsonObject) -> None:
        self._terminal.print(draw_frame(cast(FrameJson, frame)), soft_wrap=True)
        if frame["type"] == "plan_update":
            self._show_plan()

    def _show_plan(self) -> None:
        if plan := self._trial.run.plan:
            steps = [cast(StepJson, step.json_object()) for step in plan.steps]
            self._terminal.print(draw_plan(steps))

    def _settle(self, request: HitlRequest) -> bool:
        """Return whether the question is answered: by the script, else by a person, if any."""
        shown = cast(RequestJson, request.json_object())
        self._terminal.print(draw_question(shown, boxed=self._keyboard is not None))
        for said in self._answers:
            self._terminal.say(f"Answered by the script: {said!r}", "dim")
            self._trial.answer(request, said)
            return True
        if self._keyboard is None:
            self._terminal.say("A person is needed: run it in a terminal, or give --answers FILE.")
            return False
        try:
            self._ask(request, shown, self._keyboard)
        except Left:
            self._terminal.say("Left. Nothing of the run is kept.")
            return False
        return True

    def _ask(self, request: HitlRequest, shown: RequestJson, keyboard: Keyboard) -> None:
        """Ask until an answer fits. Raise Left."""
        keyboard.turn_to(shown)
        while True:
            try:
                return self._trial.answer(request, ask_for_answer(shown, keyboard, self._terminal))
            except Invalid as error:
                self._terminal.say(error.detail, "red")

    def _end(self) -> int:
        for mishap in self._trial.mishaps:
            self._terminal.print(Text(write_own_lines(mishap), "red"), soft_wrap=True)
        run = self._trial.run
        if left := [*self._answers]:
            self._terminal.say(f"Answers that nothing asked for: {left!r}", "yellow")
        self._terminal.print(draw_result(cast(RunJson, run.json_object())))
        if run.held:
            self._terminal.say(run.held.reason, "red")
        return COMPLETED if run.status is RunStatus.COMPLETED else FAILED


def _has_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
