"""Nodes that nobody listens to.

LangGraph runs each node with LangChain's callbacks around it, also where there are none: a third of
what a small node costs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.pregel import Pregel

_Graph = TypeVar("_Graph", bound=Pregel[Any, Any, Any, Any])


def spare_callbacks(graph: _Graph) -> _Graph:
    """Have its nodes tell nobody of themselves where nobody listens. The graph is not copied."""
    for node in cast(Iterable[Any], graph.nodes.values()):
        if steps := getattr(node.node, "steps", None):
            node.node = _Unheard(node.node, steps)
    return graph


class _Unheard(Runnable[Any, Any]):
    """What a node does (the first of the steps), and what writes that. `whole`: LangGraph's own."""

    def __init__(self, whole: Runnable[Any, Any], steps: Sequence[Runnable[Any, Any]]) -> None:
        self._whole, self._act, self._writers = whole, steps[0], steps[1:]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return self._whole.invoke(input, config, **kwargs)

    async def ainvoke(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        if config is None or _is_heard(config):
            return await self._whole.ainvoke(input, config, **kwargs)
        context = copy_context()
        context.run(var_child_runnable_config.set, config)
        made = await asyncio.create_task(self._act.ainvoke(input, config), context=context)
        for writer in self._writers:
            made = await writer.ainvoke(made, config)
        return made

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        async for said in self._whole.astream(input, config, **kwargs):
            yield said


def _is_heard(config: RunnableConfig) -> bool:
    callbacks = config.get("callbacks")
    if not isinstance(callbacks, BaseCallbackManager):
        return True
    return bool(callbacks.handlers or callbacks.inheritable_handlers)
