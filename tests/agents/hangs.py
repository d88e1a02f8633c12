"""An agent that never ends; its mapping bounds it."""

import asyncio
from typing import Any


async def run(task: dict[str, Any]) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {"answer": "never"}


agent: dict[str, Any] = {
    "capabilityId": "hangs.forever",
    "displayName": "Hangs",
    "inputFacets": ["objective"],
    "outputFacets": ["answer"],
    "timeoutSeconds": 0.3,
    "run": run,
}
forever = {**agent, "capabilityId": "hangs.unbounded", "timeoutSeconds": 600}
