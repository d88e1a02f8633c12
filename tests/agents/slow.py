"""An agent that works for two seconds, without a durable moment in between."""

import asyncio
from typing import Any


async def run(task: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(2)
    return {"slow": "done"}


agent: dict[str, Any] = {
    "capabilityId": "slow",
    "displayName": "Slow",
    "inputFacets": ["objective"],
    "outputFacets": ["slow"],
    "run": run,
}
