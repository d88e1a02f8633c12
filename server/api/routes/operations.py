"""For whoever operates it: is it alive, is it ready, how is it doing."""

from math import nan

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from hitl_orchestrator.checkpoints.migrate import check_migrated
from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable
from hitl_orchestrator.server.api.openapi import METRICS, READY, problems
from hitl_orchestrator.server.api.problems import plain, response
from hitl_orchestrator.server.api.routes import TheServices

router = APIRouter(tags=["Operations"])


@router.get("/healthz", response_description="Alive.")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "alive"}


@router.get("/readyz", responses=READY | problems(503))
async def readyz(services: TheServices) -> Response:
    """The database is reachable and up to date, and the driver is alive (`inline`); how many
    workers live (`queue`).
    """
    queued = services.settings.dispatch == "queue"
    try:
        await check_migrated(services.store.pool)
        workers = {"liveWorkers": await services.live_workers()} if queued else {}
    except (StoreUnavailable, ConfigurationError) as error:
        return response(plain(503, error.detail))
    if not queued and not services.drivers.alive:
        return response(plain(503, "The driver of this process has stopped."))
    return JSONResponse({"status": "ready", **workers})


@router.get("/metrics", response_class=Response, responses=METRICS | problems(401))
async def metrics(services: TheServices) -> Response:
    """For Prometheus. No key is needed on the server's own machine."""
    try:
        depth, oldest = await services.store.queue_depth()
    except StoreUnavailable:
        depth, oldest = nan, nan
    return Response(services.telemetry.exposition(depth, oldest), media_type=CONTENT_TYPE_LATEST)
