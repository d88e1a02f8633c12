"""Where a graph stops without `interrupt()`: at a static breakpoint, or by a NodeInterrupt.

Whether it stopped is read from its checkpoints alone, never from how a call ended: a visit may be
repeated, and to go on at a breakpoint is to skip what may be somebody's approval.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate, LastValue
from langgraph.constants import START
from langgraph.errors import InvalidUpdateError
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Interrupt, Overwrite, PregelTask, StateSnapshot
from pydantic import TypeAdapter, ValidationError

from hitl_orchestrator.domain.asking import check_size, parse_question
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import Answer, Answered, Decision, Denied, Kind, Question
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.nodes.approvals import RefusalNotAllowed
from hitl_orchestrator.nodes.plain import make_plain
from hitl_orchestrator.nodes.run_kinds import AgentGraph

_OWN_ID = re.compile(r"[0-9a-f]{32}")  # as interrupt() gives them; a NodeInterrupt has another
_messages = TypeAdapter(list[AnyMessage])


@dataclass(frozen=True)
class Stop:
    """A place where a graph waits for a word to go on.

    `key`: the same on every replay, and no other stop's. `raised`: the NodeInterrupt, if it was
    one; a node that is run again may raise it again, at the same place. `editable`: the channels
    that a person may change. `is_edited`: it stands behind an edit, which is not made twice.
    """

    key: str
    nodes: tuple[str, ...]
    graph: AgentGraph
    state: StateSnapshot
    raised: Interrupt[Any] | None = None
    editable: tuple[str, ...] = ()
    is_edited: bool = False


def is_raised(interrupt: Interrupt[Any]) -> bool:
    """Tell whether it is a NodeInterrupt, which nothing can be returned to."""
    return _OWN_ID.fullmatch(interrupt.id) is None


async def find_stops(graph: AgentGraph, config: RunnableConfig, state: StateSnapshot) -> list[Stop]:
    """Return the stops of the graph and its subgraphs, of which `state` is the newest."""
    graphs = {"": graph, **_list_subgraphs(graph)}
    has_breakpoints = any(map(_has_breakpoints, graphs.values()))
    if state.created_at is None or not (has_breakpoints or any(map(is_raised, state.interrupts))):
        return []
    whole = await graph.aget_state(config, subgraphs=True)
    return await _Search(graphs).search("", whole)


def read_stop(stop: Stop, asker: str) -> Question:
    """Return what a person is asked: whether to go on, with what the next nodes work on.

    `asker`: the agent's name; a function has no nodes.
    """
    names = ", ".join(stop.nodes) if isinstance(stop.graph, CompiledStateGraph) else asker
    values = make_plain("The graph's state", stop.state.values)
    payload: JsonObject = {"nodes": [*stop.nodes], "state": values}
    if calls := _list_tool_calls(stop.state.values):
        payload["toolCalls"] = make_plain("A tool call", calls)
    given: dict[str, Any] = {"question": f"Go on with {names}?", "kind": Kind.APPROVAL}
    if stop.raised is not None:
        payload["raised"] = make_plain("What NodeInterrupt was given", stop.raised.value)
        given["additionalContext"] = str(stop.raised.value)
    if stop.editable and isinstance(values, dict):
        given |= _build_action(names, {name: values[name] for name in stop.editable})
    check_size(payload)
    return parse_question(given).but(payload=payload)


async def pass_stop(root: AgentGraph, stop: Stop, answer: Answer) -> bool:
    """Write the edited state, if there is one, and tell whether that was done.

    Raise RefusalNotAllowed at a no.
    """
    if isinstance(answer, Denied):
        raise RefusalNotAllowed(answer.reason)
    changes = {} if stop.is_edited else _find_changes(stop, answer)
    if not changes:
        return False
    try:
        await root.aupdate_state(stop.state.config, changes)
    except InvalidUpdateError as error:
        raise Invalid(f"The edited state cannot be written: {error}") from error
    return True


def _list_subgraphs(graph: AgentGraph) -> dict[str, AgentGraph]:
    found = cast(Iterable[tuple[str, object]], graph.get_subgraphs(recurse=True))
    return {name: cast(AgentGraph, each) for name, each in found if isinstance(each, Pregel)}


def _has_breakpoints(graph: AgentGraph) -> bool:
    return bool(graph.interrupt_before_nodes or graph.interrupt_after_nodes)


class _Search:
    """`graphs`: by the names of the nodes that lead to them, with `|` between."""

    def __init__(self, graphs: Mapping[str, AgentGraph]) -> None:
        self._graphs = graphs

    async def search(self, path: str, state: StateSnapshot) -> list[Stop]:
        stops: list[Stop] = []
        for task in state.tasks:
            if task.result is None:
                stops += await self._search_task(path, state, task)
        if at_breakpoint := await self._find_breakpoint(path, state):
            stops.append(at_breakpoint)
        return stops

    async def _search_task(self, path: str, state: StateSnapshot, task: PregelTask) -> list[Stop]:
        below = f"{path}|{task.name}" if path else task.name
        if isinstance(task.state, StateSnapshot) and task.state.created_at:
            stops = await self.search(below, task.state)
            if stops or task.state.tasks:
                return stops  # what the task itself has raised, it has from below
        graph = self._graphs[path]
        raised = [each for each in task.interrupts if is_raised(each)]
        if not raised:
            return []
        is_alone = len(state.tasks) == 1 and isinstance(graph, CompiledStateGraph)
        editable = await self._list_editable(graph, state) if is_alone else ()
        return [Stop(task.id, (task.name,), graph, state, raised[0], editable)]

    async def _find_breakpoint(self, path: str, state: StateSnapshot) -> Stop | None:
        graph = self._graphs[path]
        if not _has_breakpoints(graph):
            return None
        stopped = state
        while _is_edit(stopped) and stopped.parent_config:
            stopped = await self._look(stopped.parent_config)
        following = [task.name for task in state.tasks]
        before = await self._list_before(stopped)
        at_rest = _match(graph.interrupt_before_nodes, following)
        at_rest += _match(graph.interrupt_after_nodes, before)
        if not at_rest:
            return None
        nodes = tuple(sorted({*(following or before)}))
        checkpoint = stopped.config.get("configurable", {})["checkpoint_id"]
        return Stop(
            f"{checkpoint}.{','.join(nodes)}",
            nodes,
            graph,
            state,
            editable=await self._list_editable(graph, state) if following else (),
            is_edited=stopped is not state,
        )

    async def _list_before(self, state: StateSnapshot) -> list[str]:
        """Return the nodes of the step before it."""
        if state.parent_config is None:
            return []
        return [task.name for task in (await self._look(state.parent_config)).tasks]

    async def _look(self, config: RunnableConfig) -> StateSnapshot:
        return await self._graphs[""].aget_state(config)

    async def _list_editable(self, graph: AgentGraph, state: StateSnapshot) -> tuple[str, ...]:
        """Return the channels that come back from JSON as they were.

        None, where LangGraph could not tell as which node the edit is to be made.
        """
        before = await self._list_before(state)
        if len(before) > 1 or not isinstance(state.values, Mapping):
            return ()
        values = cast(Mapping[str, object], state.values)
        return tuple(name for name in values if _is_editable(graph, name, values[name]))


def _is_edit(state: StateSnapshot) -> bool:
    return (state.metadata or {}).get("source") == "update"


def _match(nodes: str | Sequence[str], names: Sequence[str]) -> list[str]:
    """Return which of them stop the graph; `*` are all but its entry."""
    return [name for name in names if name != START and (nodes == "*" or name in nodes)]


def _is_editable(graph: AgentGraph, name: str, value: object) -> bool:
    if not isinstance(graph.channels.get(name), LastValue | BinaryOperatorAggregate):
        return False
    if _is_messages(value):
        return True
    try:
        return make_plain(name, value) == value
    except Invalid:
        return False


def _is_messages(value: object) -> bool:
    several = cast(list[object], value) if isinstance(value, list) else []
    return bool(several) and all(isinstance(each, BaseMessage) for each in several)


def _list_tool_calls(values: object) -> list[Any]:
    """Return those of the last message."""
    messages: object = None
    if isinstance(values, Mapping):
        messages = cast(Mapping[str, object], values).get("messages")
    last = cast(list[object], messages)[-1] if _is_messages(messages) else None
    return list(getattr(last, "tool_calls", []))


def _build_action(names: str, arguments: JsonObject) -> dict[str, Any]:
    return {
        "action": {
            "name": f"go on with {names}"[:255],
            "arguments": arguments,
            "allowedDecisions": [Decision.APPROVE, Decision.EDIT, Decision.REJECT],
        },
        "responseSchema": {
            "type": "object",
            "properties": {name: {} for name in arguments},
            "additionalProperties": False,
        },
    }


def _find_changes(stop: Stop, answer: Answered) -> dict[str, Any]:
    """Return what was edited, as an update of the state: each channel is what was written."""
    changes: dict[str, Any] = {}
    values = cast(Mapping[str, object], stop.state.values)
    for name, edited in (answer.editedArguments or {}).items():
        if edited == make_plain(name, values.get(name)):
            continue
        value: object = _read_messages(name, edited) if _is_messages(values.get(name)) else edited
        is_reduced = isinstance(stop.graph.channels[name], BinaryOperatorAggregate)
        changes[name] = Overwrite(value) if is_reduced else value
    return changes


def _read_messages(name: str, edited: object) -> list[AnyMessage]:
    try:
        return _messages.validate_python(edited)
    except ValidationError as error:
        raise Invalid(f"The edited state does not fit at {describe_misfit(error, name)}") from error
