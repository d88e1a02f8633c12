"""Pauses that would get lost between `interrupt()` and LangGraph.

One that was swallowed (`except Exception` around `interrupt()`) fails its node; one that a task
group wrapped is unwrapped. Both at the border of each node, before what it made is written.
"""

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.pregel import Pregel
from langgraph.types import Interrupt

# Where LangGraph keeps a task's answers: an internal name, and tests/test_pauses.py fails where it
# means something else.
SCRATCHPAD = "__pregel_scratchpad"
NAMESPACE = "checkpoint_ns"

_Graph = TypeVar("_Graph", bound=Pregel[Any, Any, Any, Any])


def watch_pauses(graph: _Graph) -> _Graph:
    """Return a copy of the graph whose nodes lose no pause; so are graphs that are its nodes."""
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        bound: Any = node.bound
        if isinstance(bound, Pregel):
            inner = watch_pauses(cast(Pregel[Any, Any, Any, Any], bound))
            nodes[name] = node.copy({"bound": _Watched(name, inner), "subgraphs": [inner]})
        else:
            nodes[name] = node.copy({"bound": _Watched(name, bound)})
    return graph.copy({"nodes": nodes})


class PauseLost(GraphBubbleUp):
    """A pause was swallowed, or its answer could not be told from another's.

    As what LangGraph neither retries nor hands to an error handler: the node would act again.
    """


class _Watched(Runnable[Any, Any]):
    """What a node does, watched."""

    def __init__(self, name: str, bound: Runnable[Any, Any]) -> None:
        self.name = name
        self._bound = bound

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        with self._watch(config) as watched:
            return self._bound.invoke(input, watched, **kwargs)

    async def ainvoke(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        with self._watch(config) as watched:
            return await self._bound.ainvoke(input, watched, **kwargs)

    @contextmanager
    def _watch(self, config: RunnableConfig | None) -> Generator[RunnableConfig | None]:
        raised, watched = _note_pauses(config)
        token = var_child_runnable_config.set(watched)  # what interrupt() looks at
        try:
            yield watched
        except BaseExceptionGroup as group:
            pause = _unwrap(cast(BaseExceptionGroup[BaseException], group))
            if pause is None:
                raise
            raise pause from group
        finally:
            var_child_runnable_config.reset(token)
        if raised:
            raise _tell_swallowed(self.name or "", raised[0])


def _note_pauses(config: RunnableConfig | None) -> tuple[list[str], RunnableConfig | None]:
    """Return what will name each interrupt() below that finds no answer, and so pauses.

    LangGraph asks the scratchpad of the task, and then that of every task around it, for an answer
    before it raises the pause.
    """
    raised: list[str] = []
    configurable = (config or {}).get("configurable", {})
    scratchpad = configurable.get(SCRATCHPAD)
    if config is None or scratchpad is None:
        return raised, config

    def look_for_answer(consume: bool = False) -> Any:
        found = scratchpad.get_null_resume(consume)
        if consume and found is None:
            raised.append(_locate())
        return found

    watched = dataclasses.replace(scratchpad, get_null_resume=look_for_answer)
    return raised, {**config, "configurable": {**configurable, SCRATCHPAD: watched}}


def _locate() -> str:
    """Return the nodes that lead to where interrupt() was called."""
    config = var_child_runnable_config.get() or {}
    namespace: str = config.get("configurable", {}).get(NAMESPACE, "")
    return " in ".join(part.partition(":")[0] for part in reversed(namespace.split("|")))


def _tell_swallowed(name: str, where: str) -> PauseLost:
    return PauseLost(
        f"Its pause was swallowed: `interrupt()` was called in {where}, and {name} went on without"
        " an answer. `except Exception` around `interrupt()` does that"
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
