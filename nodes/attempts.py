"""A step that failed by an error is tried again, as often as its mapping says.

What was tried is written down at once, in the orchestrator's own thread: after a crash nobody
begins to count anew. Each attempt goes on from the agent's own checkpoint.
"""

import asyncio
from collections.abc import Awaitable, Callable

from langgraph.func import task

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import Capability, Retries
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.state import Report

# The channel in which LangGraph keeps what a `@task` returned; here: what there is to tell of it.
TOLD = "__return__"

Attempt = Callable[[], Awaitable[Report]]


async def try_again(capability: Capability, step_id: str, attempt: Attempt) -> Report:
    """Return the report of the first attempt that no error broke off, or of the last."""
    if capability.retries is None:
        return await attempt()
    return await _try_often(capability, capability.retries, step_id, attempt)


async def _try_often(
    capability: Capability, retries: Retries, step_id: str, attempt: Attempt
) -> Report:
    made: Report | None = None

    @task
    async def try_once(number: int) -> list[JsonObject]:
        """Return what to tell of a failure after which it is tried again; nothing: it is over."""
        nonlocal made
        made = await attempt()
        if not made.raised or number > retries.attempts:
            return []
        return [_tell_failure(capability, retries, step_id, made, number).json_object()]

    number = 1
    while await try_once(number):
        # None: another process tried, which has died since
        if made is not None:
            await asyncio.sleep(retries.seconds)
        number, made = number + 1, None
    # None: the same; the agent's thread says what it came to
    return made or await attempt()


def _tell_failure(
    capability: Capability, retries: Retries, step_id: str, report: Report, number: int
) -> Event:
    again = f"tried again in {retries.seconds:g} s ({number} of {retries.attempts})"
    return Event(
        kind=events.EventKind.WARNED,
        message=f"{capability.displayName} failed: {report.reason}; {again}",
        stepId=step_id,
        originAgent=capability.capabilityId,
        data={"stepId": step_id, "from": capability.capabilityId, "attempt": number},
    )
