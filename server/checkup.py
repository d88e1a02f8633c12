"""Look an agent over: its contract, and dry calls of it; what is wrong, where, and what mends it.

A dry call calls the agent itself, in memory. Without leave nothing is approved: its questions get a
no, or the answers that are given.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rich.text import Text

from hitl_orchestrator.domain.capability import OBJECTIVE, describe_contract
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import HitlRequest, Kind, RequestStatus
from hitl_orchestrator.domain.plan import StepStatus
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.run import RunStatus
from hitl_orchestrator.domain.samples import NoSample, make_sample
from hitl_orchestrator.graph.trial import Trial, open_loop
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.mishaps import find_place, write_own_lines
from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.tryout import Attempted, load_tried
from hitl_orchestrator.server.watch import watch_loop
from hitl_orchestrator.server.witness import CodeLine, Witness

MOST_QUESTIONS = 20
WATCH_SECONDS = 1.0
# What a step that failed says, and what mends it.
MENDS: Mapping[str, str] = MappingProxyType(
    {
        "pause was swallowed": "catch what you mean instead of `except Exception`, or put `except "
        "GraphBubbleUp: raise` (langgraph.errors) before it",
        "does not fit its schema": "return what `facets` promises, or change the schema there",
        "is not plain JSON": "return what JSON knows (mappings, lists, texts, numbers), Pydantic "
        "objects or dataclasses",
        "not a mapping of": "return a mapping of the output facets",
        "did not return": "return a mapping with just the names in `outputFacets`, or change these",
        "blocked the event loop": "write it as `def` instead of `async def`: then it has a thread "
        "of its own",
        "took longer than its": "let it end: give its calls time limits of their own, and its loops"
        " a last turn. An honest long one has a greater --seconds, and `timeoutSeconds`",
        "keeps asking": "take no for an answer: go on without, or return nothing",
    }
)
RAISED = "do not raise: catch what may happen, and tell it in a facet or in `warnings`"


class Finding(NamedTuple):
    """`is_broken`: it does not work; else it is a warning. `place`: file and line."""

    is_broken: bool
    what: str
    mend: str
    place: str | None = None


class Leave(NamedTuple):
    """What a dry call may do. `yes`: approve, and answer what is open. `seconds`: of each visit."""

    yes: bool
    seconds: float


def check_agents(wanted: Attempted, leave: Leave) -> int:
    """Print what is found, and return the exit code: 0, nothing is broken.

    Raise ConfigurationError or Invalid: it cannot be called.
    """
    logging.getLogger("hitl").addHandler(logging.NullHandler())  # what it says is printed here
    terminal = Terminal(sys.stdout)
    agents = load_tried(wanted.entry, terminal)
    for agent in agents:
        terminal.say(describe_contract(agent.capability))
    checkup = _Checkup(agents, wanted, leave)
    findings = checkup.run()
    for finding in findings:
        _print(finding, terminal)
    for mishap in checkup.mishaps:
        terminal.print(Text(write_own_lines(mishap), "dim"), soft_wrap=True)
    _print_sum(findings, checkup, terminal)
    return int(any(finding.is_broken for finding in findings))


def _print(finding: Finding, terminal: Terminal) -> None:
    mark, style = ("✘", "red") if finding.is_broken else ("!", "yellow")
    terminal.say(f"{mark} {finding.what}", style)
    if finding.place:
        terminal.print(Text(f"    at {finding.place}"), soft_wrap=True)
    terminal.print(Text(f"    Mend: {finding.mend}."), soft_wrap=True)


def _print_sum(findings: Sequence[Finding], checkup: "_Checkup", terminal: Terminal) -> None:
    broken = sum(finding.is_broken for finding in findings)
    warnings = len(findings) - broken
    asked = f"it asked {checkup.asked} questions, {checkup.refused} of them were refused"
    terminal.say(f"{broken} broken, {warnings} warnings; {asked}.", "red" if broken else "green")
    if checkup.keeps:
        terminal.say("It keeps things in a store: on a server in Postgres, here in memory.")
    if checkup.refused:
        terminal.say("What it does after a yes was not seen: --yes says yes, --answers FILE more.")


class _Checkup:
    """A dry call, and what it shows. `asked`, `refused`: questions. `keeps`: it used a store."""

    def __init__(self, agents: Sequence[Agent], wanted: Attempted, leave: Leave) -> None:
        self._agents = [_limit(agent, leave.seconds) for agent in agents]
        self._wanted, self._leave = wanted, leave
        self._answers = iter(wanted.answers)
        self._witness = Witness(_find_folder(wanted.entry))
        self.mishaps: list[Exception] = []
        self.asked = self.refused = 0
        self.keeps = False

    def run(self) -> list[Finding]:
        trial = Trial(
            self._agents,
            self._wanted.objective,
            self._make_inputs(),
            self._wanted.outputs,
            limit=MOST_QUESTIONS,
        )
        self.mishaps = trial.mishaps
        with open_loop() as runner:
            self._go_on(trial, runner)
            while pending := trial.pending:
                for request in pending:
                    self._settle(trial, request)
                self._go_on(trial, runner)
        run = trial.run
        self.asked = len(run.requests)
        self.refused = sum(_is_refused(request) for request in run.requests)
        self.keeps = trial.has_kept
        return [*self._list_broken(trial), *self._list_warnings(trial)]

    def _go_on(self, trial: Trial, runner: asyncio.Runner) -> None:
        async def go_on() -> None:
            with watch_loop(lambda: (), WATCH_SECONDS, _do_nothing, _count_nothing):
                await trial.go_on()

        with self._witness.watching(runner.get_loop()):
            runner.run(go_on())

    def _make_inputs(self) -> dict[str, Json]:
        """Return what is given, and for what is missing something that fits. Raise Invalid."""
        made = {**self._wanted.inputs}
        produced = {name for agent in self._agents for name in agent.capability.outputFacets}
        for agent in self._agents:
            for name in agent.capability.inputFacets:
                if name in made or name in produced or name == OBJECTIVE:
                    continue
                try:
                    made[name] = make_sample(agent.schemas.get(name, {}))
                except NoSample:
                    raise Invalid(
                        f"No {name} could be made up that fits its schema: give --input {name}=FILE"
                    ) from None
        return made

    def _settle(self, trial: Trial, request: HitlRequest) -> None:
        """Answer by the script, with a yes where that is allowed and fits, else with a no."""
        for said in self._answers:
            return trial.answer(request, said)
        if self._leave.yes:
            with suppress(Invalid, NoSample):
                return trial.answer(request, _make_yes(request))
        return trial.answer(request, False)

    def _list_broken(self, trial: Trial) -> Iterator[Finding]:
        run = trial.run
        steps = run.plan.steps if run.plan else ()
        failed = [step for step in steps if step.status is StepStatus.FAILED]
        for step in failed:
            yield self._explain(f"{step.capabilityId}: {step.reason or 'failed'}", trial)
        if not failed and run.status is not RunStatus.COMPLETED:
            held = run.held.reason if run.held else None
            reason = run.error.message if run.error else held
            yield self._explain(reason or "It stopped before its end", trial)

    def _explain(self, what: str, trial: Trial) -> Finding:
        place = next(filter(None, map(find_place, trial.mishaps)), None)
        if place is not None:
            return Finding(True, what, RAISED, place)
        mend = next((mend for said, mend in MENDS.items() if said in what), RAISED)
        found = self._witness.last
        if "swallowed" in what or "keeps asking" in what:
            found = next(reversed(self._witness.asked), None)
        elif "took longer" in what:
            found = next(iter(self._witness.blocks), found)
        return Finding(True, what, mend, str(found) if found else None)

    def _list_warnings(self, trial: Trial) -> Iterator[Finding]:
        for frame in trial.frames:
            if frame["type"] == "warning":
                yield Finding(
                    False,
                    f"It {frame['message']}",
                    "return the names in `outputFacets` alone",
                    _write(self._witness.last),
                )
        for place in self._witness.blocks:
            yield Finding(
                False,
                "It kept the event loop waiting: everything else of its process waits, too",
                "await something that does not block (asyncio.sleep, an async client), or write it "
                "as `def` instead of `async def`: then it has a thread of its own",
                str(place),
            )
        for place, text in self._witness.repeats.items():
            yield Finding(
                False,
                f"`{text}` stands before a question, so it runs again after each answer. "
                "If it acts on something outside, it acts twice",
                "ask first and act after it, or put it into a node of its own or a @task",
                str(place),
            )


def _make_yes(request: HitlRequest) -> Json:
    """Return the first option, a text, a form filled in, or a yes. Raise NoSample."""
    if request.options:
        return request.options[0].id
    if request.kind is Kind.FORM:
        return {"data": make_sample(request.responseSchema or {})}
    return "A dry answer" if request.kind is Kind.FREEFORM else True


def _limit(agent: Agent, seconds: float) -> Agent:
    limit = min(seconds, agent.capability.timeoutSeconds)
    return replace(agent, capability=agent.capability.but(timeoutSeconds=limit, retries=None))


def _find_folder(entry: str) -> Path:
    place = entry.rpartition(":")[0]
    if place.endswith((".py", ".json")):
        return Path(place).resolve().parent
    file = sys.modules[place].__file__
    return Path(file).resolve().parent if file else Path.cwd()


def _is_refused(request: HitlRequest) -> bool:
    is_rejected = any(response.approved is False for response in request.responses)
    return is_rejected or request.status is RequestStatus.DENIED


def _write(place: CodeLine | None) -> str | None:
    return str(place) if place else None


def _do_nothing() -> None:
    pass


def _count_nothing(seconds: float) -> None:
    pass
