"""The two state machines, each one table.

`run_after` and `request_after` are the only ways to a new status.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from hitl_orchestrator.domain.errors import Conflict
from hitl_orchestrator.domain.hitl import RequestStatus as Request
from hitl_orchestrator.domain.run import ENDED
from hitl_orchestrator.domain.run import RunStatus as Run


class RunAct(StrEnum):
    DRIVE = "drive"
    PAUSE = "pause"
    ANSWER = "answer"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"


class RequestAct(StrEnum):
    ANSWER = "answer"
    EXPIRE = "expire"
    REMOVE = "remove"
    DENY = "deny"


RUN: dict[tuple[Run, RunAct], Run] = {
    (Run.QUEUED, RunAct.DRIVE): Run.RUNNING,
    (Run.QUEUED, RunAct.CANCEL): Run.CANCELLED,
    (Run.RUNNING, RunAct.DRIVE): Run.RUNNING,
    (Run.RUNNING, RunAct.ANSWER): Run.RUNNING,  # another branch is still at work
    (Run.RUNNING, RunAct.PAUSE): Run.AWAITING_HITL,
    (Run.RUNNING, RunAct.COMPLETE): Run.COMPLETED,
    (Run.RUNNING, RunAct.FAIL): Run.FAILED,
    (Run.RUNNING, RunAct.CANCEL): Run.CANCELLED,
    (Run.AWAITING_HITL, RunAct.ANSWER): Run.RUNNING,
    (Run.AWAITING_HITL, RunAct.CANCEL): Run.CANCELLED,
    (Run.FAILED, RunAct.RETRY): Run.QUEUED,
}

REQUEST: dict[tuple[Request, RequestAct], Request] = {
    (Request.PENDING, RequestAct.ANSWER): Request.RESOLVED,
    (Request.PENDING, RequestAct.EXPIRE): Request.DENIED,
    (Request.PENDING, RequestAct.REMOVE): Request.DENIED,
    (Request.PENDING, RequestAct.DENY): Request.DENIED,
}


def run_after(status: Run, act: RunAct) -> Run:
    """Return the status after the act. Raise Conflict when it is not possible in this one."""
    try:
        return RUN[status, act]
    except KeyError:
        raise Conflict(f"A run that is {status} cannot {act}.") from None


def request_after(status: Request, act: RequestAct) -> Request:
    """Return the status after the act. Raise Conflict when it is not possible in this one."""
    try:
        return REQUEST[status, act]
    except KeyError:
        raise Conflict(f"A request that is {status} cannot {act}.") from None


def mermaid() -> str:
    """Write both tables as Mermaid state diagrams, as docs/hitl-lifecycle.md shows them."""
    run = _draw({"start": Run.QUEUED}, RUN, Run, ENDED)
    born = {"admitted": Request.PENDING, "refused by a guard": Request.DENIED}
    over = [Request.RESOLVED, Request.DENIED]
    return f"{run}\n\n{_draw(born, REQUEST, Request, over)}\n"


Status = TypeVar("Status", bound=StrEnum)
Act = TypeVar("Act", bound=StrEnum)


def _draw(
    born: Mapping[str, Status],
    table: Mapping[tuple[Status, Act], Status],
    statuses: type[Status],
    ended: Collection[Status],
) -> str:
    births = [f"    [*] --> {status}: {how}" for how, status in born.items()]
    edges = [f"    {before} --> {after}: {act}" for (before, act), after in table.items()]
    ends = [f"    {status} --> [*]" for status in statuses if status in ended]
    return "\n".join(["stateDiagram-v2", *births, *edges, *ends])


if __name__ == "__main__":
    print(mermaid(), end="")  # noqa: T201
