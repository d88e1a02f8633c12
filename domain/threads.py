"""The names of threads: a caller's own, and those that agents work on."""

from hitl_orchestrator.domain.errors import Invalid

# No caller's id holds a control character, so none names an agent's thread, and no two names of
# parts that differ are the same.
_BETWEEN = "\x1f"


def name_agent_thread(thread_id: str, run_id: str, step_id: str) -> str:
    """Return the name of the thread that the agent of a step works on."""
    return _BETWEEN.join((thread_id, run_id, step_id))


def name_old_agent_thread(thread_id: str, run_id: str, step_id: str) -> str:
    """Return its name in version 0.1.0. A caller can give it to a thread of his own."""
    return f"{thread_id}:{run_id}:{step_id}"


def check_caller_thread(thread_id: str) -> None:
    """Raise Invalid where it may name an agent's thread."""
    if _BETWEEN in thread_id:
        raise Invalid("`threadId` has a control character, as only agents' threads have.")
