"""The border of each node, where a pause that a task group wrapped is unwrapped.

Where Python does not hand a node's context on (before 3.11), its config is put there, so that
`interrupt()` works in asynchronous nodes.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.pregel import Pregel
from langgraph.types import Interrupt

from hitl_agent.bare import Graph


class PausesMixed(GraphBubbleUp):
    """Pauses whose answers could not be told apart.

    As what LangGraph neither retries nor hands to an error handler: the node would act again.
    """


def watch_nodes(graph: Graph) -> Graph:
    """Return a copy of the graph whose nodes are watched; so are graphs that are its nodes."""
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        bound: Any = node.bound
        if isinstance(bound, Pregel):
            inner = watch_nodes(cast(Graph, bound))
            nodes[name] = node.copy({"bound": _Watched(inner), "subgraphs": [inner]})
        else:
            nodes[name] = node.copy({"bound": _Watched(bound)})
    return graph.copy({"nodes": nodes})


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
            return await self._bound.ainvoke(input, config, **kwargs)


@contextmanager
def _watch(config: RunnableConfig | None) -> Generator[None, None, None]:
    token = var_child_runnable_config.set(config)
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"sys.exit({error.code!r}) was called") from error
    except BaseException as error:
        leaves = _list_leaves(error)
        if leaves is None or not all(isinstance(leaf, GraphInterrupt) for leaf in leaves):
            raise
        raise _join(leaves) from error
    finally:
        var_child_runnable_config.reset(token)


def _join(leaves: Sequence[BaseException]) -> GraphBubbleUp:
    interrupts: list[Interrupt] = []
    for leaf in leaves:
        interrupts += leaf.args[0]
    if len({each.id for each in interrupts}) < len(interrupts):
        return PausesMixed(
            "Several pauses in one task group: their answers could not be told apart."
            " Ask one after the other, or in nodes of their own"
        )
    return GraphInterrupt(tuple(interrupts))


def _list_leaves(error: BaseException) -> list[BaseException] | None:
    """Return what an ExceptionGroup holds, which Python has from 3.11 on; None: it is none."""
    inner: object = getattr(error, "exceptions", None)
    if not isinstance(inner, tuple):
        return None
    leaves: list[BaseException] = []
    for each in cast("tuple[object, ...]", inner):
        if isinstance(each, BaseException):
            below = _list_leaves(each)
            leaves += [each] if below is None else below
    return leaves
