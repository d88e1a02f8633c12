"""Pauses that would get lost between `interrupt()` and LangGraph.

One that was swallowed (`except Exception` around `interrupt()`) fails its node; one that a task
group wrapped is unwrapped. Both at the border of each node, before what it made is written.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.pregel import Pregel
from langgraph.types import Interrupt, StateSnapshot

from hitl_orchestrator.nodes.blocking import hand_over
from hitl_orchestrator.nodes.calls import tell_way_out
from hitl_orchestrator.nodes.unheard import spare_callbacks

# Where LangGraph keeps a task's answers, an internal name: where it means something else, nothing
# is noticed, and tests/test_pauses.py fails.
SCRATCHPAD = "__pregel_scratchpad"
NAMESPACE = "checkpoint_ns"

_Graph = TypeVar("_Graph", bound=Pregel[Any, Any, Any, Any])


class PauseLost(GraphBubbleUp):
    """A pause was swallowed, or its answer could not be told from another's.

    As what LangGraph neither retries nor hands to an error handler: the node would act again.
    """


class Pauses:
    """The pauses of one call of a graph, however deep.

    LangGraph asks the scratchpads of all tasks around an `interrupt()` for an answer before it
    raises the pause, and at last what the call was given in their place: this.
    """

    def __init__(self) -> None:
        self._places: list[str] = []  # namespaces: `node:task id|node below:task id`

    def within(self, config: RunnableConfig) -> RunnableConfig:
        """Return the config for the call. Watched nodes of this context know of it, too."""
        _pauses.set(self)
        return {**config, "configurable": {**config.get("configurable", {}), SCRATCHPAD: self}}

    def get_null_resume(self, consume: bool = False) -> None:
        """Note that there is no answer. The name is LangGraph's."""
        if consume:
            config = var_child_runnable_config.get() or {}
            self._places.append(config.get("configurable", {}).get(NAMESPACE, ""))

    def check_node(self, namespace: str) -> None:
        """Raise PauseLost where a task that has returned was to pause, or one below it."""
        for place in self._places:
            if f"{place}|".startswith(f"{namespace}|"):
                raise _tell_swallowed(place)

    def check_rest(self, state: StateSnapshot) -> None:
        """Raise PauseLost where a graph that has stopped does not wait as it was to."""
        waiting = {task.id for task in state.tasks if task.interrupts}
        for place in self._places:
            task_id = place.partition("|")[0].rpartition(":")[2]
            if task_id not in waiting:
                raise _tell_swallowed(place)


_pauses: ContextVar[Pauses | None] = ContextVar("pauses", default=None)


def watch_pauses(graph: _Graph) -> _Graph:
    """Return a copy of the graph whose nodes lose no pause; so are graphs that are its nodes."""
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        bound: Any = node.bound
        if isinstance(bound, Pregel):
            inner = watch_pauses(cast(Pregel[Any, Any, Any, Any], bound))
            nodes[name] = node.copy({"bound": _Watched(inner), "subgraphs": [inner]})
        else:
            nodes[name] = node.copy({"bound": _Watched(bound)})
    return spare_callbacks(graph.copy({"nodes": nodes}))


class _Watched(Runnable[Any, Any]):
    """What a node does, watched."""

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self._bound = bound

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        with _watch(config):
            return self._bound.invoke(input, config, **kwargs)

    async def ainvoke(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        with _watch(config):
            return await hand_over(self._bound.ainvoke, input, config, **kwargs)


@contextmanager
def _watch(config: RunnableConfig | None) -> Generator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        pause = _unwrap(group)
        if pause is not None:
            raise pause from group
        if isinstance(group, Exception):
            raise
        raise tell_way_out(group) from group
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise tell_way_out(error) from error
    pauses = _pauses.get()
    if pauses is not None and config is not None:
        pauses.check_node(config.get("configurable", {}).get(NAMESPACE, ""))


def _tell_swallowed(place: str) -> PauseLost:
    names = " in ".join(part.partition(":")[0] for part in reversed(place.split("|")))
    return PauseLost(
        f"Its pause was swallowed: `interrupt()` was called in {names}, and the agent went on"
        " without an answer. `except Exception` around `interrupt()` does that"
    )


def _unwrap(group: BaseExceptionGroup[BaseException]) -> GraphBubbleUp | None:
    """Return the pause that a task group wrapped; None, if there is anything else in it."""
    leaves = _list_leaves(group)
    interrupts: list[Interrupt[Any]] = []
    for leaf in leaves:
        if not isinstance(leaf, GraphInterrupt):
            return None
        interrupts += leaf.args[0]
    if len({each.id for each in interrupts}) < len(interrupts):
        return PauseLost(
            "Several pauses in one task group: their answers could not be told apart."
            " Ask one after the other, or in nodes of their own"
        )
    return GraphInterrupt(tuple(interrupts))


def _list_leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            leaves += _list_leaves(cast(BaseExceptionGroup[BaseException], each))
        else:
            leaves.append(each)
    return leaves
