"""Whether the agent that is plugged in is the one that a thread was begun with.

LangGraph says nothing where it is not: a node that waits and that the graph has no more is no task,
and a thread without tasks looks finished. So what a thread has is compared with what the graph
knows, as soon as another graph than this wrote it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.constants import START
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Interrupt, Send, StateSnapshot
from pydantic import BaseModel, ValidationError

from hitl_orchestrator.domain.errors import OrchestratorError, Unfit
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.fingerprint import find_subgraphs, list_channel_types
from hitl_orchestrator.nodes.loading import describe
from hitl_orchestrator.nodes.run_kinds import AgentGraph
from hitl_orchestrator.nodes.unreadable import find_unreadable

MARK = "hitl_agent"  # in the metadata of each checkpoint: the fingerprint of who wrote it
_INTERRUPT, _SENDS = "__interrupt__", "__pregel_tasks"
_BRANCH, _JOIN = "branch:to:", "join:"


def sign(config: RunnableConfig, agent: Agent) -> RunnableConfig:
    """Return it so that what is written there says whose it is."""
    return {**config, "metadata": {MARK: agent.capability.fingerprint}}


async def read_state(agent: Agent, graph: AgentGraph, config: RunnableConfig) -> StateSnapshot:
    """Return the state of a thread of this agent.

    Raise Unfit where another agent, or another version of it, wrote what this one does not know or
    cannot read. Where the same wrote it, that costs nothing, and no tasks are the end.
    """
    name = agent.capability.capabilityId
    try:
        state = await graph.aget_state(config)
    except OrchestratorError:
        raise
    except Exception as error:
        # its classes are foreign code, and run when the input of a node is made
        if unreadable := await _explain_unreadable(agent, graph, config, error):
            raise Unfit(unreadable, capabilityId=name) from error
        raise
    if state.created_at is None or _is_signed(state.metadata, agent):
        return state
    if misfit := await _find_misfit(agent, graph, config, state):
        raise Unfit(misfit, capabilityId=name)
    return state


def _is_signed(metadata: Mapping[str, Any] | None, agent: Agent) -> bool:
    """Tell whether an agent of this fingerprint wrote the checkpoint."""
    return (metadata or {}).get(MARK) == agent.capability.fingerprint


async def _explain_unreadable(
    agent: Agent, graph: AgentGraph, config: RunnableConfig, error: Exception
) -> str | None:
    """Return what cannot be read; None: this agent wrote it itself."""
    root = (await _read_newest(_get_saver(graph), config)).get("")
    if root is None or _is_signed(root.metadata, agent):
        return None
    return _word_unreadable(agent, _find_unreadable(graph, root) or describe(error))


def _word_unreadable(agent: Agent, what: str, place: str = "") -> str:
    return f"{agent.capability.capabilityId} cannot read what was kept of its state{place}: {what}"


async def _find_misfit(
    agent: Agent, graph: AgentGraph, config: RunnableConfig, state: StateSnapshot
) -> str | None:
    """Return why the agent does not fit what another one, or another version, wrote."""
    name = agent.capability.capabilityId
    newest = await _read_newest(_get_saver(graph), config)
    root = newest.get("")
    if root is None:
        return None
    waiting = _list_interrupts(root)
    if _is_another_function(agent, graph, root, bool(waiting)):
        return f"{name} is another function than the one that began this work"
    known = {interrupt.id for interrupt in state.interrupts}
    if any(interrupt.id not in known for interrupt in waiting):
        gone = ", ".join(_list_unknown(graph, root)) or "that asked"
        return f"{name} has no node {gone} any more, where a question waits"
    subgraphs = find_subgraphs(graph)
    for namespace, found in newest.items():
        if namespace and not _is_live(namespace, root, state):
            continue
        inner = subgraphs.get(_name_path(namespace)) if namespace else graph
        if misfit := _judge(agent, inner, found):
            return misfit
    return None


def _get_saver(graph: AgentGraph) -> BaseCheckpointSaver[Any]:
    """Return the one that `prepare_graph` gave it."""
    return cast(BaseCheckpointSaver[Any], graph.checkpointer)


def _is_another_function(
    agent: Agent, graph: AgentGraph, root: CheckpointTuple, waits: bool
) -> bool:
    """Tell whether a function began it that had another name.

    A plain one has no node of its own name; of an `@entrypoint` a question that waits tells.
    """
    if MARK not in root.metadata or not _is_unfinished(root):
        return False
    if not isinstance(agent.run, Pregel):
        return True
    return not waits and not isinstance(graph, CompiledStateGraph)


def _judge(agent: Agent, graph: AgentGraph | None, found: CheckpointTuple) -> str | None:
    """Return why a graph does not fit its newest checkpoint. None as graph: it is not known."""
    name = agent.capability.capabilityId
    where: str = found.config.get("configurable", {}).get("checkpoint_ns", "")
    place = f" (in {_name_path(where)})" if where else ""
    if graph is None:
        is_open = _is_unfinished(found)
        return f"{name} has no subgraph {_name_path(where)} any more" if is_open else None
    if unknown := _list_unknown(graph, found):
        return f"{name} has no node {', '.join(unknown)} any more{place}, which was to go on"
    if _is_unfinished(found) and (type_name := _find_unreadable(graph, found)):
        return _word_unreadable(agent, type_name, place)
    return None


async def _read_newest(
    saver: BaseCheckpointSaver[Any], config: RunnableConfig
) -> dict[str, CheckpointTuple]:
    """Return the newest checkpoint of a thread and of each of its subgraphs, by namespace."""
    thread_id = config.get("configurable", {})["thread_id"]
    newest: dict[str, CheckpointTuple] = {}
    async for found in saver.alist({"configurable": {"thread_id": thread_id}}):
        namespace = found.config.get("configurable", {}).get("checkpoint_ns", "")
        newest.setdefault(namespace, found)
    return newest


def _list_interrupts(found: CheckpointTuple) -> list[Interrupt]:
    """Return those that wait at this checkpoint, whether the graph knows their nodes or not."""
    waiting: list[Interrupt] = []
    for _, channel, value in found.pending_writes or ():
        if channel == _INTERRUPT:
            several = cast(Iterable[Interrupt], value) if isinstance(value, list | tuple) else ()
            waiting += several
    return waiting


def _is_unfinished(found: CheckpointTuple) -> bool:
    """Tell whether somebody was to go on from this checkpoint."""
    return bool(_list_pending(found) or _list_interrupts(found))


def _list_unknown(graph: AgentGraph, found: CheckpointTuple) -> list[str]:
    """Return the nodes that were to go on and that the graph does not have."""
    return [node for node in _list_pending(found) if node and node not in graph.nodes]


def _list_pending(found: CheckpointTuple) -> list[str]:
    """Return the nodes that were to go on, as far as names of channels tell; empty: some node."""
    written: list[tuple[str, Any]] = [*found.checkpoint["channel_values"].items()]
    for _, channel, value in found.pending_writes or ():
        written.append((channel, value))
    pending: list[str] = []
    for channel, value in written:
        pending += _list_started(channel, value)
    return list(dict.fromkeys(pending))


def _list_started(channel: str, value: Any) -> list[str]:
    """Return the nodes that what is in this channel starts."""
    if channel.startswith(_BRANCH):
        return [channel.removeprefix(_BRANCH)]
    if channel.startswith(_JOIN):
        return [channel.rpartition(":")[2]] if value else []
    if channel == _SENDS:
        several = cast(list[object], value) if isinstance(value, list | tuple) else [value]
        return [send.node for send in several if isinstance(send, Send)]
    return [""] if channel == START else []


def _is_live(namespace: str, root: CheckpointTuple, state: StateSnapshot) -> bool:
    """Tell whether a subgraph is at work, or waits: not one that a node has done with."""
    task_id = namespace.partition("|")[0].partition(":")[2]
    live = {task for task, channel, _ in root.pending_writes or () if channel == _INTERRUPT}
    live |= {task.id for task in state.tasks if task.result is None}
    return task_id in live


def _name_path(namespace: str) -> str:
    """Return the names of the nodes alone: `node:task|node:task` -> `node|node`."""
    parts = [part.partition(":")[0] for part in namespace.split("|")]
    return "|".join(part for part in parts if not part.isdigit())


def _find_unreadable(graph: AgentGraph, found: CheckpointTuple) -> str | None:
    """Return the name of a type that came back as another, or lacks what it needs."""
    values = cast(Mapping[str, Any], found.checkpoint["channel_values"])
    types = list_channel_types(graph)
    for channel, value in values.items():
        if channel in types and (name := find_unreadable(types[channel], value)):
            return name
    for _, channel, value in found.pending_writes or ():
        kind = types.get(channel)
        # what a reducer takes may be of another type than the channel
        if isinstance(kind, type) and (name := find_unreadable(kind, value)):
            return name
    return _find_refused_input(graph, found, values)


def _find_refused_input(
    graph: AgentGraph, found: CheckpointTuple, values: Mapping[str, Any]
) -> str | None:
    """Return the Pydantic state that a node which goes on could not be given."""
    if not isinstance(graph, CompiledStateGraph):
        return None
    for node in _list_pending(found):
        spec = graph.builder.nodes.get(node)
        schema: object = spec and spec.input_schema
        if not isinstance(schema, type) or not issubclass(schema, BaseModel):
            continue
        given = {name: values[name] for name in schema.model_fields if name in values}
        try:
            schema.model_validate(given)
        except ValidationError as error:
            wrong = ".".join(map(str, error.errors()[0]["loc"]))
            return f"{schema.__name__} ({wrong}: {error.errors()[0]['msg']})"
    return None
