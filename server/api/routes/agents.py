"""Agents in processes of their own: they register, take their steps, and report."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from hitl_orchestrator.domain.assignments import LEASE_SECONDS, WAIT_SECONDS
from hitl_orchestrator.domain.capability import CapabilityId
from hitl_orchestrator.domain.keys import Caller
from hitl_orchestrator.server.api.calls import Route
from hitl_orchestrator.server.api.openapi import problems
from hitl_orchestrator.server.api.problems import show
from hitl_orchestrator.server.api.routes import RunId, TheOrchestrator, take_waiting_place
from hitl_orchestrator.server.api.schemas import (
    Agents,
    Id,
    KeepStep,
    RegisterAgent,
    Registered,
    ReportStep,
    TakenStep,
    TakeStep,
)
from hitl_orchestrator.server.callers import find_caller
from hitl_orchestrator.server.elsewhere import StepRef

T = TypeVar("T")


async def _find_caller(request: Request) -> Caller:
    return find_caller(request.scope)


TheCaller = Annotated[Caller, Depends(_find_caller)]
AgentId = Annotated[CapabilityId, Path(alias="capabilityId", description="The agent's capability.")]
StepId = Annotated[Id, Path(alias="stepId", description="The step.")]
WaitForStep = Annotated[
    float,
    Query(
        ge=0,
        le=WAIT_SECONDS,
        allow_inf_nan=False,
        alias="wait",
        description="Seconds to wait until there is a step.",
    ),
]

router = APIRouter(prefix="/api/agents", tags=["Agents elsewhere"], route_class=Route)


@router.get(
    "",
    response_model=Agents,
    responses=problems(),
    response_description="All that have registered.",
)
async def list_agents(hitl: TheOrchestrator) -> Response:
    """List the agents that run in processes of their own, and whether each is there now."""
    return show(Agents(agents=tuple(await hitl.elsewhere.list_agents())))


@router.put(
    "/{capabilityId}",
    response_model=Registered,
    responses=problems(409, 413, 422),
    response_description="It is planned with from now on.",
)
async def register(
    capability_id: AgentId, body: RegisterAgent, hitl: TheOrchestrator, caller: TheCaller
) -> Response:
    """Register an agent that runs in a process of its own, or register it anew.

    What was taken at its home before is free to be taken again.
    """
    await hitl.elsewhere.register(capability_id, body.read(), body.home, caller)
    return show(
        Registered(capabilityId=capability_id, leaseSeconds=LEASE_SECONDS, waitSeconds=WAIT_SECONDS)
    )


@router.delete(
    "/{capabilityId}",
    status_code=204,
    responses=problems(404, 422),
    response_description="It is forgotten.",
)
async def forget(capability_id: AgentId, hitl: TheOrchestrator, caller: TheCaller) -> Response:
    """Plan with the agent no more. Steps that it has are not taken from it."""
    await hitl.elsewhere.forget(capability_id, caller)
    return Response(status_code=204)


@router.post(
    "/{capabilityId}/steps",
    response_model=TakenStep,
    responses={204: {"description": "There is none now; ask again."}} | problems(404, 413, 422),
    response_description="A step to work on.",
)
async def take(
    capability_id: AgentId,
    body: TakeStep,
    hitl: TheOrchestrator,
    caller: TheCaller,
    request: Request,
    wait: WaitForStep = 0,
) -> Response:
    """Take a step of the agent. Keep it as long as it is worked on, and report."""
    taking = hitl.elsewhere.take(capability_id, body.home, body.token, caller, wait)
    with take_waiting_place(request, wait):
        taken = await _while_it_listens(request, taking)
    return Response(status_code=204) if taken is None else show(TakenStep.of(*taken))


@router.post(
    "/{capabilityId}/steps/{runId}/{stepId}/keep",
    status_code=204,
    responses=problems(404, 409, 413, 422),
    response_description="It is this token's still.",
)
async def keep(
    capability_id: AgentId,
    run_id: RunId,
    step_id: StepId,
    body: KeepStep,
    hitl: TheOrchestrator,
    caller: TheCaller,
) -> Response:
    """Say that the step is worked on, and what the agent tells of it."""
    step = StepRef(capability_id, run_id, step_id, body.token)
    await hitl.elsewhere.keep(step, body.progress, caller)
    return Response(status_code=204)


@router.post(
    "/{capabilityId}/steps/{runId}/{stepId}/report",
    status_code=204,
    responses=problems(404, 409, 413, 422),
    response_description="It is durable.",
)
async def report(
    capability_id: AgentId,
    run_id: RunId,
    step_id: StepId,
    body: ReportStep,
    hitl: TheOrchestrator,
    caller: TheCaller,
) -> Response:
    """Say what came of the step: what the agent asks, what it made, or why it failed."""
    step = StepRef(capability_id, run_id, step_id, body.token)
    await hitl.elsewhere.report(step, body.read(), caller)
    return Response(status_code=204)


async def _while_it_listens(request: Request, work: Coroutine[Any, Any, T | None]) -> T | None:
    """Return what it comes to; None: the caller has left, and is given nothing more."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_wait_for_leave(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait([working, leaving])


async def _wait_for_leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
