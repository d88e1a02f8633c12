"""The border of each node, where no pause gets lost between `interrupt()` and LangGraph.

One that was swallowed (`except Exception` around `interrupt()`) fails its node, before what it made
is written; one that a task group wrapped is unwrapped.

Where Python does not hand a node's context on (before 3.11), its config is put there, so that
`interrupt()` works in asynchronous nodes.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.pregel import Pregel
from langgraph.types import Interrupt

from hitl_agent.bare import Graph

# Where LangGraph keeps a task's answers, an internal name: where it means something else, no
# swallowed pause is noticed.
_SCRATCHPAD = "__pregel_scratchpad"


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
        return {**config, "configurable": {**config.get("configurable", {}), _SCRATCHPAD: self}}

    def get_null_resume(self, consume: bool = False) -> None:
        """Note that there is no answer. The name is LangGraph's."""
        if consume:
            self._places.append(_read_namespace(var_child_runnable_config.get()))

    def check_node(self, namespace: str) -> None:
        """Raise PauseLost where a task that has returned was to pause, or one below it."""
        for place in self._places:
            if f"{place}|".startswith(f"{namespace}|"):
                names = " in ".join(part.partition(":")[0] for part in reversed(place.split("|")))
                raise PauseLost(
                    f"Its pause was swallowed: `interrupt()` was called in {names}, and the agent"
                    " went on without an answer. `except Exception` around `interrupt()` does that"
                )


_pauses: ContextVar[Pauses | None] = ContextVar("pauses", default=None)


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
    pauses = _pauses.get()
    if pauses is not None:
        pauses.check_node(_read_namespace(config))


def _read_namespace(config: RunnableConfig | None) -> str:
    return str((config or {}).get("configurable", {}).get("checkpoint_ns", ""))


def _join(leaves: Sequence[BaseException]) -> GraphBubbleUp:
    interrupts: list[Interrupt] = []
    for leaf in leaves:
        interrupts += leaf.args[0]
    if len({each.id for each in interrupts}) < len(interrupts):
        return PauseLost(
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
