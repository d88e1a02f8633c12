"""Any LangGraph graph, or a function, as a specialist: it runs on a thread of its own in the same
saver.

Its interrupts become questions for the guard. What it already did is read from its thread first, so
that a visit can be repeated after any crash: no finished node runs twice, and an answer goes only
to the interrupt that waits for it.
"""

import asyncio
import contextvars
import inspect
import json
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor, var_child_runnable_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt
from pydantic_core import to_jsonable_python

from hitl_orchestrator.domain.capability import OBJECTIVE
from hitl_orchestrator.domain.errors import Fenced, Invalid, StoreUnavailable
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.schemas import mismatches
from hitl_orchestrator.domain.state import Ask, Outcome, Report
from hitl_orchestrator.nodes.agents import Agent, Graph, Run
from hitl_orchestrator.nodes.dialects import payloads, reply
from hitl_orchestrator.nodes.specialist import Answers, Task, Work

MAX_FACET_BYTES = 1024 * 1024
MAX_TEXT_LENGTH = 2000  # of an agent's error, and of each of its warnings
MAX_WARNINGS = 50
# as json.dumps writes it, and not a backslash followed by u0000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def embedded(agent: Agent, saver: BaseCheckpointSaver[Any]) -> Work:
    graph = _graph(agent.run, saver)

    async def work(task: Task, answers: Answers) -> Report:
        try:
            return await _alone(_visit(agent, graph, task, answers))
        except (StoreUnavailable, Fenced):
            raise
        except Exception as error:  # noqa: BLE001
            # a foreign agent may raise anything: it fails its step and nothing else
            reason = (
                error.detail if isinstance(error, Invalid) else f"{type(error).__name__}: {error}"
            )
            return Report(outcome=Outcome.FAILED, reason=_text(reason))

    return work


def _graph(run: Run, saver: BaseCheckpointSaver[Any]) -> Graph:
    """On our saver, whatever it was compiled with."""
    if isinstance(run, Pregel):
        graph = cast(Graph, run)
        # which types of its state may be read back; copy() forgets them
        types = getattr(graph, "_serde_allowlist", None)
        return graph.copy({"checkpointer": saver.with_allowlist(types) if types else saver})

    async def function(task: Any) -> Any:
        try:
            made = (
                run(task)
                if inspect.iscoroutinefunction(run)
                else await run_in_executor(None, run, task)
            )
            return _plain("What it returned", await made if inspect.isawaitable(made) else made)
        except SystemExit as error:
            # would end the process, and every other that takes the run over
            raise RuntimeError("the agent called sys.exit()") from error

    return cast(Graph, entrypoint(checkpointer=saver)(function))


async def _alone(visit: Coroutine[Any, Any, Report]) -> Report:
    """Outside the parent's RunnableConfig (callbacks, tags, metadata, task), inside everything else
    of the context.
    """
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, None)
    return await asyncio.create_task(visit, context=context)


async def _visit(agent: Agent, graph: Graph, task: Task, answers: Answers) -> Report:
    config: RunnableConfig = {
        "configurable": {"thread_id": f"{task.threadId}:{task.runId}:{task.stepId}"}
    }
    ran = False
    while True:
        state = await graph.aget_state(config)
        # not `next`: that is empty too when the last checkpoint of a step is missing
        if state.created_at is not None and not state.tasks:
            return _report(agent, _made(agent, graph, state.values))
        asked = {interrupt.id: _asks(interrupt) for interrupt in state.interrupts}
        unanswered = [ask for asks in asked.values() for ask in asks if ask.key not in answers]
        # A process died beside a sibling that asks: the others may ask too, and all of a wave's
        # questions are judged together.
        died = any(each.result is None and not each.interrupts for each in state.tasks)
        if unanswered and not died:
            # not before all are answered: the others' nodes would run again
            return Report(outcome=Outcome.ASKING, asks=tuple(unanswered))
        if ran and not asked:
            raise Invalid(
                "It stopped at a static breakpoint (interrupt_before, interrupt_after), which asks no question; use interrupt()"
            )
        if state.created_at is None:
            step = _input(agent, graph, task)
        elif asked and not unanswered:
            step = Command(
                resume={
                    i.id: reply(i.value, [answers[ask.key] for ask in asked[i.id]], _schema(i))
                    for i in state.interrupts
                }
            )
        else:
            step = None
        await graph.ainvoke(step, config, durability="sync")
        ran = True


def _asks(interrupt: Interrupt[Any]) -> list[Ask]:
    return [
        Ask(key=f"{interrupt.id}.{n}", question=question)
        for n, question in enumerate(payloads(interrupt.value, _schema(interrupt)))
    ]


def _schema(interrupt: Interrupt[Any]) -> JsonObject | None:
    return cast(JsonObject | None, interrupt.response_schema)  # a type only before it was raised


def _input(agent: Agent, graph: Graph, task: Task) -> Any:
    given = task.json_object()
    if agent.input is not None:
        return agent.input(given)
    if not isinstance(graph, CompiledStateGraph):
        return given
    channels = cast(Mapping[str, object], graph.builder.schemas[graph.builder.input_schema])
    messages = {"messages": [_message(task)]} if "messages" in channels else {}
    return {name: value for name, value in given.items() if name in channels} | messages


def _message(task: Task) -> HumanMessage:
    facets = {name: value for name, value in task.facets.items() if name != OBJECTIVE}
    return HumanMessage(
        "\n\n".join(
            [
                task.objective,
                *([json.dumps(facets, ensure_ascii=False, indent=2)] if facets else []),
            ]
        )
    )


def _made(agent: Agent, graph: Graph, values: Any) -> Mapping[str, Any]:
    """What it made, by facet and not yet checked, and its `warnings`."""
    if agent.output is not None:
        values = agent.output(values)
    elif isinstance(graph, CompiledStateGraph) and isinstance(values, Mapping):
        return _in_state(agent, cast(Mapping[str, Any], values))
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise Invalid(
            f"What it returned is of type {type(values).__name__}, not a mapping of its output facets"
        )
    return cast(Mapping[str, Any], values)


def _in_state(agent: Agent, state: Mapping[str, Any]) -> Mapping[str, Any]:
    outputs = agent.capability.outputFacets
    found = {name: state[name] for name in outputs if name in state}
    if not found and len(outputs) == 1:
        found = {
            name: said for name in outputs for said in _said(state, agent.schemas.get(name, {}))
        }
    return {name: state[name] for name in ("warnings",) if name in state} | found


def _said(state: Mapping[str, Any], schema: JsonObject) -> list[Json]:
    """The structured response or the text of the last message: the first that fits, else the first,
    to say why it does not.
    """
    last = (state.get("messages") or [None])[-1]
    text = last.text if isinstance(last, BaseMessage) else None
    said = [
        _plain("What it said", each)
        for each in (state.get("structured_response"), text)
        if each is not None
    ]
    return sorted(said, key=lambda each: bool(mismatches(each, schema)))[:1]


def _report(agent: Agent, made: Mapping[str, Any]) -> Report:
    outputs = agent.capability.outputFacets
    rest = {name: value for name, value in made.items() if name not in outputs}
    said = cast(object, rest.pop("warnings", None) or [])
    warnings = [
        *(f"returned {name}, which is none of its output facets: ignored" for name in rest),
        *map(str, cast(Sequence[object], said) if isinstance(said, list | tuple) else [said]),
    ]
    return Report(
        outcome=Outcome.COMPLETED,
        facets={
            name: _facet(name, made[name], agent.schemas.get(name, {}))
            for name in outputs
            if name in made
        },
        warnings=tuple(_text(warning) for warning in warnings[:MAX_WARNINGS]),
    )


def _facet(name: str, value: object, schema: JsonObject) -> Json:
    plain = _plain(f"The facet {name}", value)
    if (size := len(json.dumps(plain, ensure_ascii=False).encode())) > MAX_FACET_BYTES:
        raise Invalid(f"The facet {name} has {size} bytes; {MAX_FACET_BYTES} are allowed")
    if wrong := mismatches(plain, schema, f"/{name}"):
        details = "; ".join(
            f"{each['path']} breaks the rule `{each['rule']}`: {each['message']}" for each in wrong
        )
        raise Invalid(f"The facet {name} does not fit its schema: {details}")
    return plain


def _plain(what: str, value: object) -> Json:
    """As JSON that can be stored: what is typed (Pydantic, dataclasses, dates) becomes what it is
    written as.
    """
    try:
        plain = to_jsonable_python(value)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:  # a lone surrogate is a ValueError too
        raise Invalid(f"{what} is not plain JSON: {error}") from error
    if _NUL.search(text):
        raise Invalid(f"{what} holds a NUL character, which cannot be stored")
    return plain


def _text(text: str) -> str:
    """Short enough, and storable."""
    return text[:MAX_TEXT_LENGTH].replace("\0", "").encode(errors="replace").decode()
