"""An agent that works until there is a file `enough` beside its log."""

import asyncio
from pathlib import Path
from typing import Any


def note(log: Path, line: str) -> None:
    with log.open("a") as lines:
        lines.write(line + "\n")


async def run(task: dict[str, Any]) -> dict[str, Any]:
    log = Path(task["facets"]["log"])
    note(log, "began")
    while not log.with_name("enough").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return {"lasting": "done"}


agent: dict[str, Any] = {
    "capabilityId": "lasting",
    "displayName": "Lasting",
    "inputFacets": ["objective", "log"],
    "outputFacets": ["lasting"],
    "run": run,
}
