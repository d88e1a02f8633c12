"""What is known of agents' threads that wait, for who goes on with them in this process."""

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from hitl_orchestrator.domain.context_variables import Having

_notes: ContextVar[dict[str, Any] | None] = ContextVar("notes", default=None)


def taking_notes(notes: dict[str, Any]) -> AbstractContextManager[None]:
    """Keep there what is noted inside."""
    return Having(_notes, notes)


def note(config: RunnableConfig, state: StateSnapshot) -> None:
    if (notes := _notes.get()) is not None:
        notes[_name(config)] = state


def recall(config: RunnableConfig) -> StateSnapshot | None:
    """Return, once, the state in which the thread was left; None: it is to be read."""
    notes = _notes.get()
    return None if notes is None else notes.pop(_name(config), None)


def _name(config: RunnableConfig) -> str:
    return config.get("configurable", {})["thread_id"]
