"""A step of a run, visited as by one process after another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from hitl_orchestrator.domain.hitl import Answer, Answered, Denied, ResponseType
from hitl_orchestrator.domain.state import Ask, Outcome, Report
from hitl_orchestrator.nodes.agents import Agent, load_agents, read_agent
from hitl_orchestrator.nodes.embed import embed_agent
from hitl_orchestrator.nodes.specialist import Task

AGENTS = Path(__file__).parent / "agents"
TASK = Task(
    objective="Write to Ann",
    facets={"objective": "Write to Ann"},
    context=(),
    runId="run",
    threadId="thread",
    stepId="s1",
    metadata={"tenant": "acme"},
)
NO = Denied(reason="Too many HITL requests")
YES = Answered(responseType=ResponseType.APPROVAL, approved=True)


def text(said: str) -> Answered:
    return Answered(responseType=ResponseType.FREEFORM, freeformText=said)


def option(name: str) -> Answered:
    return Answered(responseType=ResponseType.OPTION, selectedOptionId=name)


def edit(**arguments: Any) -> Answered:
    return YES.but(editedArguments=arguments)


@dataclass
class Step:
    """A step of a run. Every visit is another process's: only the saver and the answers are the
    same.
    """

    agent: Agent
    log: Path
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])

    @property
    def task(self) -> Task:
        facets = {"objective": "Write to Ann", "log": str(self.log)}
        return Task(
            objective="Write to Ann",
            facets={**facets},
            context=(),
            runId="run",
            threadId="thread",
            stepId="s1",
        )

    @property
    def done(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    async def visit(self) -> Report:
        return await embed_agent(self.agent, self.saver)(self.task, self.answers)

    async def visit_twice(self) -> Report:
        """The first report is lost in a crash."""
        lost, done = await self.visit(), self.done
        report = await self.visit()
        assert report == lost
        assert self.done == done
        return report

    async def finish(self, said: Mapping[str, Answer]) -> Report:
        """`said`: answers by question."""
        while (report := await self.visit_twice()).outcome is Outcome.ASKING:
            self.answers |= {ask.key: said[ask.question.question] for ask in report.asks}
        return report


Steps = Callable[[Agent | str], Step]


def keep_steps(folder: Path) -> Steps:
    """Return what makes a step of an agent; its log is in the folder."""

    def step(agent: Agent | str) -> Step:
        return Step(load(agent) if isinstance(agent, str) else agent, folder / "log")

    return step


def load(name: str) -> Agent:
    file, _, attribute = name.partition(":")
    return load_agents([f"{AGENTS / file}.py:{attribute or 'agent'}"], None)[0]


def agent(run: Any, *outputs: str, **more: Any) -> Agent:
    mapping = {
        "capabilityId": "stranger",
        "displayName": "Stranger",
        "outputFacets": outputs or ["answer"],
        "run": run,
        **more,
    }
    return read_agent(mapping, "here")


def returns(value: Any) -> Callable[[Any], Any]:
    def run(task: Any) -> Any:
        return value

    return run


def questions(asks: tuple[Ask, ...]) -> list[str]:
    return [ask.question.question for ask in asks]
