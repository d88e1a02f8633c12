"""Any LangGraph graph, or a function, as a specialist: it runs on a thread of its own.

Its interrupts become questions for the guard. What it already did is read from its thread first, so
that a visit can be repeated after any crash: no finished node runs twice, and an answer goes only
to the interrupt that waits for it.
"""

import asyncio
import contextvars
import inspect
import itertools
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol, cast

from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor, var_child_runnable_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import Command, Interrupt, StateSnapshot, StreamMode

from hitl_orchestrator.domain.capability import OBJECTIVE
from hitl_orchestrator.domain.errors import Fenced, Invalid, PutOff, StoreUnavailable, Unfit
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.state import Ask, Outcome, Report
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.approvals import RefusalNotAllowed
from hitl_orchestrator.nodes.blocking import hand_over
from hitl_orchestrator.nodes.calls import tell_way_out
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.exchange import read_asks, word_answers
from hitl_orchestrator.nodes.fitness import read_state, sign
from hitl_orchestrator.nodes.lines import find_lines, giving_writer
from hitl_orchestrator.nodes.mishaps import tell_mishap
from hitl_orchestrator.nodes.notes import note, recall
from hitl_orchestrator.nodes.outputs import report_outputs, shorten
from hitl_orchestrator.nodes.pauses import PauseLost, Pauses, watch_pauses
from hitl_orchestrator.nodes.plain import make_plain
from hitl_orchestrator.nodes.run_kinds import (
    AgentGraph,
    AgentRun,
    ElsewhereRun,
    RemoteGraph,
    find_injected,
)
from hitl_orchestrator.nodes.specialist import Answers, Task, Work
from hitl_orchestrator.nodes.stops import Stop, find_stops, is_raised, pass_stop, read_stop
from hitl_orchestrator.nodes.surroundings import add_config, build_context
from hitl_orchestrator.nodes.threads import find_old_thread, locate_thread
from hitl_orchestrator.nodes.told import add_told, check_told, keep_told, read_told

# the state of a thread to which nothing was ever written
NOTHING = StateSnapshot({}, (), {"configurable": {}}, None, None, None, (), ())


def embed_agent(
    agent: Agent,
    saver: BaseCheckpointSaver[Any],
    checks: Checks | None = None,
    store: BaseStore | None = None,
) -> Work:
    """Return what the agent does at a visit. Its thread is kept in the saver.

    `checks`: of the whole process; None: there are no others. `store`: of an agent without one.
    """
    graph = prepare_graph(agent.run, saver, agent.store or store)
    checks = checks or Checks()

    async def work(task: Task, answers: Answers) -> Report:
        return await report_visit(_Visit(agent, graph, saver, checks, task, answers))

    return work


def prepare_graph(
    run: AgentRun, saver: BaseCheckpointSaver[Any], store: BaseStore | None = None
) -> AgentGraph:
    """Put it on our saver, whatever it was compiled with; on the store if it has none.

    Raise TypeError for what is somewhere else: nothing of it is here.
    """
    if isinstance(run, RemoteGraph | ElsewhereRun):
        raise TypeError(f"{run} is not run here")
    if isinstance(run, Pregel):
        graph = cast(AgentGraph, run)
        # which types of its state may be read back; copy() forgets them
        types = getattr(graph, "_serde_allowlist", None)
        saver = saver.with_allowlist(types) if types else saver
        return watch_pauses(graph.copy({"checkpointer": saver, "store": graph.store or store}))

    async def function(task: Any, *, runtime: Runtime[Any]) -> Any:
        call = partial(run, **find_injected(run, runtime))
        return make_plain("What it returned", await _call(call, task))

    begin = entrypoint(checkpointer=saver, store=store)
    return watch_pauses(cast(AgentGraph, begin(function)))


async def _call(run: Callable[[Any], Any], task: Any) -> object:
    if inspect.iscoroutinefunction(run):
        return await hand_over(run, task)
    made = await run_in_executor(None, run, task)
    return await made if inspect.isawaitable(made) else made


class AgentVisit(Protocol):
    """A visit `of` an agent. `undelivered`: keys of answers that it has not got."""

    of: tuple[Task, str]  # the capability's id
    undelivered: list[str]

    async def work(self) -> Report:
        """Take the agent as far as it comes. Raise what it raises."""
        ...


async def report_visit(visit: AgentVisit) -> Report:
    """Return what the visit came to, also if the agent raised: then its step has failed."""
    report = await _report(visit)
    return report.but(undelivered=tuple(visit.undelivered))


async def _report(visit: AgentVisit) -> Report:
    try:
        return await _run_alone(_stay(visit.work()))
    except (StoreUnavailable, Fenced, PutOff, Unfit):
        raise
    except RefusalNotAllowed as refused:
        # nothing that it could be told is certain to be heard as a no
        return _deny(refused.detail, visit.undelivered)
    except Invalid as error:
        return _fail(error.detail)
    except PauseLost as lost:
        return _fail(str(lost))
    except Exception as error:  # noqa: BLE001
        # a foreign agent may raise anything: it fails its step and nothing else
        return _fail(tell_mishap(error, *visit.of)).but(raised=True)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # not by us: something of the agent's own was cancelled, and it let that pass
        return _fail("its work was cancelled, by none but itself").but(raised=True)


async def _stay(work: Coroutine[Any, Any, Report]) -> Report:
    """Let nothing that an agent raises end the process."""
    try:
        return await work
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise tell_way_out(error) from error


def _fail(reason: str) -> Report:
    return Report(outcome=Outcome.FAILED, reason=shorten(reason))


def _deny(reason: str, undelivered: Sequence[str]) -> Report:
    """End the step of an agent that is not resumed, with none of the answers it waits for."""
    lost = f"It was refused, so it got none of its {len(undelivered)} answers"
    warnings = (lost,) if len(undelivered) > 1 else ()
    return Report(outcome=Outcome.DENIED, reason=shorten(reason), warnings=warnings)


async def _run_alone(work: Coroutine[Any, Any, Report]) -> Report:
    """Run it outside the parent's RunnableConfig (callbacks, tags, metadata, task).

    It stays inside everything else of the context.
    """
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, None)
    return await asyncio.create_task(work, context=context)


class _Visit:
    """A visit of an agent that runs here."""

    def __init__(
        self,
        agent: Agent,
        graph: AgentGraph,
        saver: BaseCheckpointSaver[Any],
        checks: Checks,
        task: Task,
        answers: Answers,
    ) -> None:
        self._agent = agent
        self._graph = graph
        self._saver = saver
        self._checks = checks
        self._task = task
        self.of = task, agent.capability.capabilityId
        self._answers = answers
        self._told: Mapping[str, str] = {}
        self._passed = set[str]()  # the keys of stops that it has gone on from
        self.undelivered = [*answers]

    async def work(self) -> Report:
        """Take the agent as far as it comes with these answers: to its next questions or its end.

        Raise RefusalNotAllowed when it would have to be told of a refusal and cannot be.
        """
        config, state = await self._find_thread()
        self._told = read_told(state.metadata)
        check_told(self._told, self._answers)
        ran = False
        while True:
            asks = {each.id: read_asks(self._agent, each) for each in _list_own(state)}
            stops = [
                (stop, self._ask_to_go_on(stop))
                for stop in await find_stops(self._graph, config, state)
            ]
            waiting = [*itertools.chain(*asks.values()), *(ask for _, ask in stops)]
            self.undelivered = [ask.key for ask in waiting if ask.key in self._answers]
            unanswered = [ask for ask in waiting if ask.key not in self._answers]
            is_stopped = any(ask in unanswered for _, ask in stops)
            if unanswered and (is_stopped or not _has_died(state)):
                # not before all are answered: the others' nodes would run again
                note(config, state)
                return Report(outcome=Outcome.ASKING, asks=tuple(unanswered))
            replies = {} if unanswered else self._word_replies(state, asks)
            edits = [
                await pass_stop(self._graph, stop, self._answers[ask.key]) for stop, ask in stops
            ]
            if any(edits):
                # the next nodes may be others now
                state, ran = await read_state(self._agent, self._graph, config), False
                continue
            # not `next`: that is empty too when the last checkpoint of a step is missing
            if state.created_at is not None and not state.tasks:
                has_channels = isinstance(self._graph, CompiledStateGraph)
                return await report_outputs(self._agent, state.values, self._checks, has_channels)
            if ran and not waiting:
                raise Invalid(
                    "It stopped at a static breakpoint (interrupt_before, interrupt_after)"
                    " of a graph that cannot be found in it"
                )
            step: Any = Command(resume=replies) if replies else None
            if state.created_at is None:
                step = _build_input(self._agent, self._graph, self._task)
            if not unanswered:
                told = {ask.key: self._answers[ask.key] for ask in waiting}
                self._told = add_told(self._told, told)
                self.undelivered = []
            pauses = Pauses()
            written = keep_told(pauses.within(config), self._told)
            await self._invoke(step, written)
            self._passed |= {ask.key for _, ask in stops}
            state, ran = await read_state(self._agent, self._graph, config), True
            pauses.check_rest(state)

    async def _invoke(self, step: Any, config: RunnableConfig) -> None:
        task = self._task.json_object()
        context = build_context(self._agent.context, self._graph, task)
        config = add_config(self._agent.config, task, config)
        lines, teller = find_lines(), (self._task.stepId, self.of[1])
        modes = self._agent.stream if lines else ()
        tokens: list[StreamMode] = ["messages"] if "messages" in modes else []
        with ExitStack() as heard:
            if lines and "custom" in modes:
                giving = giving_writer(config, self._graph.store, lines, teller)
                config = heard.enter_context(giving)
            # As ainvoke does, whose modes are others: they cost something in each superstep. It is
            # read from the thread what came of it.
            async for _, _, said in self._graph.astream(
                step,
                config,
                context=context,
                durability="sync",
                stream_mode=tokens,
                subgraphs=bool(tokens),
            ):
                if lines and isinstance(message := said[0], AIMessageChunk):
                    lines.add_tokens(*teller, message.text)

    def _ask_to_go_on(self, stop: Stop) -> Ask:
        """Return the question whether to go on; the next one, where the last yes did not help."""
        number = 0
        while stop.raised is not None and self._is_used_up(f"{stop.key}.{number}"):
            number += 1
        question = read_stop(stop, self._agent.capability.displayName)
        return Ask(key=f"{stop.key}.{number}", question=question)

    def _is_used_up(self, key: str) -> bool:
        """Tell whether a node was run again with this answer, in this visit or one before."""
        stem, _, number = key.rpartition(".")
        return key in self._passed or f"{stem}.{int(number) + 1}" in self._answers

    async def _find_thread(self) -> tuple[RunnableConfig, StateSnapshot]:
        config = sign(locate_thread(self._task), self._agent)
        if noted := recall(config):
            return config, noted
        state = NOTHING
        if await self._saver.aget_tuple(config):
            state = await read_state(self._agent, self._graph, config)
        if state.created_at is None:
            old = await find_old_thread(self._saver, self._task, self._answers)
            if old is not None:
                config = sign(old, self._agent)
                return config, await read_state(self._agent, self._graph, config)
        return config, state

    def _word_replies(
        self, state: StateSnapshot, asks: Mapping[str, Sequence[Ask]]
    ) -> dict[str, Json]:
        replies: dict[str, Json] = {}
        for interrupt in _list_own(state):
            given = [self._answers[ask.key] for ask in asks[interrupt.id]]
            replies[interrupt.id] = word_answers(self._agent, interrupt, given)
        return replies


def _list_own(state: StateSnapshot) -> list[Interrupt[Any]]:
    """Return those that something can be returned to: not NodeInterrupts, which are stops."""
    return [each for each in state.interrupts if not is_raised(each)]


def _has_died(state: StateSnapshot) -> bool:
    """Tell whether a process died beside a sibling that asks.

    The others may ask too, and all of a wave's questions are judged together.
    """
    return any(task.result is None and not task.interrupts for task in state.tasks)


def _build_input(agent: Agent, graph: AgentGraph, task: Task) -> Any:
    given = task.json_object()
    if agent.input is not None:
        return agent.input(given)
    if not isinstance(graph, CompiledStateGraph):
        return given
    channels = cast(Mapping[str, object], graph.builder.schemas[graph.builder.input_schema])
    messages = {"messages": [HumanMessage(word_task(task))]} if "messages" in channels else {}
    return {name: value for name, value in given.items() if name in channels} | messages


def word_task(task: Task) -> str:
    """Return it as a person would say it: the objective, and what there is besides."""
    facets = {name: value for name, value in task.facets.items() if name != OBJECTIVE}
    if not facets:
        return task.objective
    return f"{task.objective}\n\n{json.dumps(facets, ensure_ascii=False, indent=2)}"
