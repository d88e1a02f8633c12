"""Where an agent's own thread is kept, also when a program before this one began it."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import NAMESPACE_OID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.constants import START

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.state import PARTS, RUN
from hitl_orchestrator.domain.threads import name_agent_thread, name_old_agent_thread
from hitl_orchestrator.nodes.specialist import Answers, Task


def locate_thread(task: Task) -> RunnableConfig:
    """Return where the agent of this step works."""
    return _at(name_agent_thread(task.threadId, task.runId, task.stepId))


def name_remote_thread(task: Task) -> str:
    """Return the id of this step's thread on another server: a UUID, and always the same."""
    return str(uuid5(NAMESPACE_OID, name_agent_thread(task.threadId, task.runId, task.stepId)))


async def find_old_thread(
    saver: BaseCheckpointSaver[Any], task: Task, answers: Answers
) -> RunnableConfig | None:
    """Return where version 0.1.0 began this step; None: nowhere.

    To be asked when there is nothing where it belongs. Raise Invalid when a run of a caller who
    gave its thread the same name was the last to write there: an answer would meet what that wrote.
    """
    config = _at(name_old_agent_thread(task.threadId, task.runId, task.stepId))
    found = await saver.aget_tuple(config)
    if found is None:
        return None
    if not _is_run(found):
        return config
    if answers:
        raise Invalid("Another run wrote to the thread of this step, so its work is lost")
    return None


def _at(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _is_run(found: CheckpointTuple) -> bool:
    """Tell whether the orchestrator's graph wrote it, not an agent's."""
    values = found.checkpoint["channel_values"]
    begun = values.get(START)  # all that a run has at first
    if _has_run(values) or _has_run(begun):
        return True
    written = {*found.checkpoint["channel_versions"]}
    if isinstance(begun, Mapping):
        written |= cast(Mapping[str, object], begun).keys()
    return written >= PARTS


def _has_run(values: object) -> bool:
    state = cast(Mapping[str, object], values).get(RUN) if isinstance(values, Mapping) else None
    if isinstance(state, Mapping):
        return {*cast(Mapping[str, object], state)} == {"runId", "state"}
    return isinstance(state, bytes)
