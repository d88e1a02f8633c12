"""One visit: a step is taken as far as it comes, to its next questions or its end.

What the agent already did is read from its thread first, so that a visit can be repeated after any
death: no finished node runs twice, and an answer goes only to the question that it is for.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import Command, Interrupt, StateSnapshot

from hitl_agent.bare import Graph
from hitl_agent.describing import Agent
from hitl_agent.plain import NotPlain, make_plain, shorten
from hitl_agent.saver import LocalSaver
from hitl_agent.surroundings import Unfit, build_config, build_context, build_input, find_output
from hitl_agent.watching import PauseLost, Pauses, watch_nodes

Report = Mapping[str, Any]
_INTERRUPT, _RESUME = "__interrupt__", "__resume__"
_NO_RESULT = {"__error__", "__scheduled__", _INTERRUPT, _RESUME}  # what a task writes besides
_OWN_ID = re.compile(r"[0-9a-f]{32}")  # as interrupt() gives them; a NodeInterrupt has another


@dataclass(frozen=True)
class Step:
    """What the server hands out, as far as a visit needs it."""

    thread_id: str
    task: Mapping[str, Any]
    answers: Mapping[str, Mapping[str, Any]] | None = None
    is_begun: bool = False


@dataclass(frozen=True)
class Question:
    """An interrupt that waits. `key`: no other question's, and always the same."""

    key: str
    interrupt: Interrupt


def prepare_graph(agent: Agent, saver: LocalSaver, store: BaseStore | None = None) -> Graph:
    """Put it on the saver, unless it was compiled with a durable one of its own.

    `store`: of an agent that has none.
    """
    store = agent.store or store
    if isinstance(agent.run, Pregel):
        graph = cast(Graph, agent.run)
        keeper = cast(object, graph.checkpointer)
        if not isinstance(keeper, BaseCheckpointSaver) or isinstance(keeper, InMemorySaver):
            keeper = _allow_types(graph, saver)
        graph = graph.copy({"checkpointer": keeper, "store": graph.store or store})
        return watch_nodes(graph)
    run = agent.run

    async def function(task: Any, *, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        known = {
            "config": config,
            "runtime": runtime,
            "store": runtime.store,
            "writer": runtime.stream_writer,
        }
        named = {name: value for name, value in known.items() if name in _list_names(run)}
        return make_plain("What it returned", await _call(partial(run, **named), run, task))

    begin = entrypoint(checkpointer=saver, store=store)
    return watch_nodes(cast(Graph, begin(function)))


def _allow_types(graph: Graph, saver: LocalSaver) -> BaseCheckpointSaver[Any]:
    """Let the types of its state be read back, where LangGraph asks for that."""
    types = getattr(graph, "_serde_allowlist", None)
    allow = getattr(saver, "with_allowlist", None)
    return allow(types) if types and allow else saver


def _list_names(run: Callable[..., Any]) -> Sequence[str]:
    try:
        return [*inspect.signature(run).parameters][1:]
    except (TypeError, ValueError):  # of a builtin nothing is known
        return []


async def _call(call: Callable[[Any], Any], run: Callable[..., Any], task: Any) -> object:
    if inspect.iscoroutinefunction(run):
        return await call(task)
    made = await run_in_executor(None, call, task)
    return await made if inspect.isawaitable(made) else made


class Visit:
    """A visit of the agent. `graph`: as `prepare_graph` made it. `say`: hears of its progress."""

    def __init__(
        self,
        agent: Agent,
        graph: Graph,
        saver: LocalSaver,
        step: Step,
        say: Callable[[Any], object] = lambda line: None,
    ) -> None:
        self._agent = agent
        self._graph = graph
        self._saver = saver
        self._step = step
        self._say = say
        self._answers = step.answers or {}
        self._told = set[str]()  # the keys of questions that were answered in this visit

    async def work(self) -> Report:
        """Return what is to be reported, also if the agent raised: then its step has failed."""
        try:
            return await self._work()
        except (Unfit, NotPlain, PauseLost) as error:
            return fail(str(error), is_final=True)
        except Exception as error:  # noqa: BLE001
            # a foreign agent may raise anything: it fails its step and nothing else
            traceback.print_exc()
            return fail(f"{type(error).__name__}: {error}")

    async def _work(self) -> Report:
        config = build_config(self._agent, self._step.task, self._step.thread_id)
        state = await self._graph.aget_state(config)
        if state.created_at is None:
            if self._step.is_begun and self._answers:
                raise Unfit("Its checkpoints are lost: there is nothing that could be answered")
            await self._run(build_input(self._agent, self._graph, self._step.task), config)
        elif state.tasks and not await self._saver.is_at_rest(self._step.thread_id):
            self._check_breakpoints()
            # a process died here, or the agent failed: whoever asks is to ask again
            await self._run(None, config)
        while True:
            state = await self._graph.aget_state(config)
            kept = await self._read_newest(state.config)
            if not state.tasks:
                _check_end(kept[0])
                return self._complete(state)
            waiting = _list_waiting(state, kept)
            replies = self._build_replies(waiting)
            if not replies:
                return {"outcome": "asking", "questions": [_write(each) for each in waiting]}
            await self._run(Command(resume=replies), config)

    async def _run(self, step: Any, config: RunnableConfig) -> None:
        """Take it as far as it comes. What it raises leaves the thread marked as at work."""
        context = build_context(self._agent, self._graph, self._step.task)
        await self._saver.mark(self._step.thread_id, at_rest=False)
        config = Pauses().within(config)
        stream = self._graph.astream(
            step, config, context=context, durability="sync", stream_mode="custom", subgraphs=True
        )
        async with aclosing(cast(Any, stream)) as lines:
            async for _, line in lines:
                if self._agent.is_heard:
                    self._say(line)
        await self._saver.mark(self._step.thread_id, at_rest=True)

    async def _read_newest(self, config: RunnableConfig) -> list[CheckpointTuple]:
        """Return the newest checkpoint of the thread, and of each graph within graphs."""
        saver = cast("BaseCheckpointSaver[Any]", self._graph.checkpointer)
        thread_id = self._step.thread_id
        newest: dict[str, CheckpointTuple] = {}
        if isinstance(saver, LocalSaver):
            for namespace in await saver.list_namespaces(thread_id):
                at: RunnableConfig = {
                    "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}
                }
                if found := await saver.aget_tuple(at):
                    newest[namespace] = found
        else:
            async for found in saver.alist({"configurable": {"thread_id": thread_id}}):
                namespace = found.config.get("configurable", {}).get("checkpoint_ns", "")
                newest.setdefault(namespace, found)
        return [newest.pop(""), *newest.values()]

    def _build_replies(self, waiting: Sequence[Question]) -> dict[str, Any]:
        """Return what those are told that have an answer. The others ask again, and are asked."""
        replies: dict[str, Any] = {}
        for each in waiting:
            if each.key not in self._answers:
                continue
            if each.key in self._told:
                raise Unfit("It did not take the answer to its question, and asks it again")
            replies[each.interrupt.id] = self._word(self._answers[each.key])
            self._told.add(each.key)
        return replies

    def _word(self, answer: Mapping[str, Any]) -> Any:
        """Return what `interrupt()` returns."""
        if "value" in answer:
            return answer["value"]
        if "refused" not in answer or self._agent.denied is None:
            raise Unfit("It was given an answer that is neither a value nor a refusal it can hear")
        return self._agent.denied(str(answer["refused"]))

    def _check_breakpoints(self) -> None:
        """Raise Unfit where to go on may be to pass a breakpoint: a death may hide one."""
        inner = cast("Iterable[tuple[str, Graph]]", self._graph.get_subgraphs(recurse=True))
        for graph in (self._graph, *(each for _, each in inner)):
            if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
                raise Unfit(
                    "It was cut off, and cannot go on, since it has static breakpoints"
                    " (interrupt_before, interrupt_after) and might pass one: use interrupt()"
                )

    def _complete(self, state: StateSnapshot) -> Report:
        return {"outcome": "completed", "output": find_output(self._agent, state.values)}


def fail(reason: str, *, is_final: bool = False) -> Report:
    """Return the report of a failure. `is_final`: to try again will not help."""
    return {"outcome": "failed", "reason": shorten(reason), "isFinal": is_final}


def _list_waiting(state: StateSnapshot, kept: Sequence[CheckpointTuple]) -> list[Question]:
    """Return the questions of a graph that has stopped. Raise Unfit: it stopped by other means."""
    waiting: list[Question] = []
    for task in state.tasks:
        written = [write for write in kept[0].pending_writes or () if write[0] == task.id]
        if any(channel not in _NO_RESULT for _, channel, _ in written):
            continue
        interrupts = _list_interrupts(written)
        if not interrupts:
            raise Unfit(
                f"It stopped at a static breakpoint (interrupt_before, interrupt_after) at"
                f" {task.name}: use interrupt() instead"
            )
        for each in interrupts:
            if not _OWN_ID.fullmatch(each.id):
                raise Unfit(f"{task.name} raised NodeInterrupt: use interrupt() instead")
            waiting.append(Question(f"{each.id}.{_count_heard(each, kept)}", each))
    return waiting


def _list_interrupts(writes: Sequence[tuple[str, str, Any]]) -> list[Interrupt]:
    interrupts: list[Interrupt] = []
    for _, channel, value in writes:
        if channel == _INTERRUPT:
            interrupts += _spread(value)
    return interrupts


def _count_heard(interrupt: Interrupt, kept: Sequence[CheckpointTuple]) -> int:
    """Count the answers that who asks has heard: before 1.2.20 its questions have all one id."""
    heard = 0
    for found in kept:
        writes = found.pending_writes or []
        asking = {write[0] for write in writes if _holds(write, interrupt.id)}
        for task_id, channel, value in writes:
            if channel == _RESUME and task_id in asking:
                heard += len(_spread(value))
    return heard


def _holds(write: tuple[str, str, Any], interrupt_id: str) -> bool:
    return any(each.id == interrupt_id for each in _list_interrupts([write]))


def _spread(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else [value]


def _check_end(found: CheckpointTuple) -> None:
    """Raise Unfit where a thread without tasks was to go on, in nodes that are no more."""
    waits = [write for write in found.pending_writes or () if write[1] == _INTERRUPT]
    if waits or any(name.startswith("branch:to:") for name in found.checkpoint["channel_values"]):
        raise Unfit("It has no node any more that was to go on: its graph was changed")


def _write(question: Question) -> dict[str, Any]:
    interrupt = question.interrupt
    return {
        "key": question.key,
        "value": make_plain("What it asked", interrupt.value),
        "responseSchema": getattr(interrupt, "response_schema", None),
    }
