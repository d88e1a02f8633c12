"""For whoever operates it: is it alive, is it ready, how is it doing."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable
from hitl_orchestrator.server.api.openapi import METRICS, READY, problems
from hitl_orchestrator.server.api.problems import respond, write_plain
from hitl_orchestrator.server.api.routes import TheOrchestrator

router = APIRouter(tags=["Operations"])


@router.get("/healthz", response_description="Alive.")
async def healthz() -> dict[str, str]:
    """Tell that the process is alive."""
    return {"status": "alive"}


@router.get("/readyz", responses=READY | problems(503))
async def readyz(hitl: TheOrchestrator) -> Response:
    """Tell whether the database is reachable and up to date, and the driver alive (`inline`).

    With `queue`, how many workers live. How many runs are held never makes it 503.
    """
    try:
        readiness = await hitl.check_ready()
    except (StoreUnavailable, ConfigurationError) as error:
        return respond(write_plain(503, error.detail))
    ready: dict[str, str | int] = {"status": "ready", "heldRuns": readiness.held_runs}
    if readiness.live_workers is not None:
        ready["liveWorkers"] = readiness.live_workers
    return JSONResponse(ready)


@router.get("/metrics", response_class=Response, responses=METRICS | problems(401))
async def metrics(hitl: TheOrchestrator) -> Response:
    """Measure for Prometheus. No key is needed on the server's own machine."""
    return Response(await hitl.measure(), media_type=CONTENT_TYPE_LATEST)
