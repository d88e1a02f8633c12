"""Testing an agent: ask it, answer its questions, look at what came of it.

No server, no database. The agent runs over the compiled graph as on a server, guard and all:

    from hitl_orchestrator.testing import ask_agent

    def test_it_asks_for_the_audience():
        asked = ask_agent("my_agent.py:agent", "Announce it", answers=["dev"])
        assert asked.facets["brief"] == {"audience": "dev"}
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from hitl_orchestrator.domain.hitl import HitlRequest
from hitl_orchestrator.domain.run import Run, RunStatus
from hitl_orchestrator.graph.trial import DEFAULT_LIMIT, Trial, open_loop
from hitl_orchestrator.nodes.agents import Agent, load_agents, read_agent
from hitl_orchestrator.server.settings import load_settings

Answers = Sequence[Any] | Callable[[HitlRequest], Any]


@dataclass(frozen=True)
class AskedAgent:
    """What came of asking an agent.

    `questions` are in the order of asking, also those that a guard refused; each has its `kind`,
    `options`, `payload`, `status` and `responses`. `frames` are what a server would stream. `run`
    is the whole, as `GET /api/runs/{runId}` shows it.
    """

    run: Run
    frames: tuple[dict[str, Any], ...]

    @property
    def status(self) -> RunStatus:
        """Return `completed`, or `awaiting_hitl` where the answers did not suffice.

        Also one that was refused has completed: `facets` lack what it did not make.
        """
        return self.run.status

    @property
    def facets(self) -> dict[str, Any]:
        """Return what it made, by facet."""
        return dict(self.run.result.outputs) if self.run.result else {}

    @property
    def questions(self) -> tuple[HitlRequest, ...]:
        return self.run.requests

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(frame["message"] for frame in self.frames if frame["type"] == "warning")

    @property
    def reason(self) -> str | None:
        """Return why it did not make what was wanted; None: it did, or it still waits."""
        if self.run.error:
            return self.run.error.message
        not_done = self.run.result.notDone if self.run.result else ()
        return not_done[0].reason if not_done else None


class AgentFailed(AssertionError):
    """The agent failed: the message says why, and the cause is what it raised, if it did."""

    def __init__(self, asked: AskedAgent) -> None:
        held = asked.run.held.reason if asked.run.held else None
        super().__init__(asked.reason or held or "It stopped before its end.")
        self.asked = asked


class UnusedAnswers(AssertionError):
    """There were more answers than questions."""


def ask_agent(
    agent: object,
    objective: str = "Try it",
    facets: Mapping[str, Any] | None = None,
    answers: Answers = (),
    *,
    outputs: Sequence[str] = (),
    max_questions: int = DEFAULT_LIMIT,
    metadata: Mapping[str, Any] | None = None,
) -> AskedAgent:
    """Ask the agent and return what came of it. In an async test use `ask_agent_async`.

    `agent`: a mapping, a graph, a list of them, or an entry as in HITL_AGENTS (`"file.py:name"`).
    `facets`: what it is given besides the objective. `answers`: one for each question, in the order
    of asking; or a function that is given the question (a `HitlRequest`) and returns one. True
    approves, False rejects, a text is an option (by its id or label) or free text, anything else is
    data; a mapping with the words of POST /api/hitl/resume alone (`{"approved": False,
    "freeformText": "Too long"}`) is taken as that. `outputs`: the facets that are wanted, by
    default all. What is asked beyond `max_questions` is denied, as on a server.

    Where there are too few answers the agent is left waiting: `status` is `awaiting_hitl`. Raise
    AgentFailed, UnusedAnswers, ConfigurationError for what is no agent, and Invalid for an answer
    that does not fit its question, or a facet that is missing.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise TypeError("An event loop runs here: await ask_agent_async(…) instead.")
    asking = ask_agent_async(
        agent,
        objective,
        facets,
        answers,
        outputs=outputs,
        max_questions=max_questions,
        metadata=metadata,
    )
    with open_loop() as runner:
        return runner.run(asking)


async def ask_agent_async(
    agent: object,
    objective: str = "Try it",
    facets: Mapping[str, Any] | None = None,
    answers: Answers = (),
    *,
    outputs: Sequence[str] = (),
    max_questions: int = DEFAULT_LIMIT,
    metadata: Mapping[str, Any] | None = None,
) -> AskedAgent:
    """Do as `ask_agent` does, in the running event loop."""
    trial = Trial(
        read_agents(agent),
        objective,
        facets,
        outputs,
        limit=max_questions,
        metadata={**(metadata or {})},
    )
    script = None if callable(answers) else iter(answers)
    await trial.go_on()
    while _answer(trial, answers if callable(answers) else script):
        await trial.go_on()
    asked = AskedAgent(trial.run, tuple(trial.frames))
    if asked.status not in (RunStatus.COMPLETED, RunStatus.AWAITING_HITL):
        raise AgentFailed(asked) from (trial.mishaps[-1] if trial.mishaps else None)
    if script is not None and (left := [*script]):
        raise UnusedAnswers(f"It asked {len(asked.questions)} questions; not used: {left!r}")
    return asked


def read_agents(agent: object) -> list[Agent]:
    """Return the agents that are meant. Raise ConfigurationError: it is none."""
    if isinstance(agent, str):
        return load_agents([agent], load_settings())
    agents = cast("Sequence[object]", agent) if isinstance(agent, list | tuple) else [agent]
    return [one if isinstance(one, Agent) else read_agent(one, "The agent") for one in agents]


def _answer(trial: Trial, answers: Callable[[HitlRequest], Any] | Iterator[Any] | None) -> bool:
    """Answer what waits. Return whether all of it was; false, too, where nothing waits."""
    pending = trial.pending
    for request in pending:
        try:
            said = answers(request) if callable(answers) else next(answers or iter(()))
        except StopIteration:
            return False
        trial.answer(request, said)
    return bool(pending)
