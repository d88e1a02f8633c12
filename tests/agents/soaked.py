"""What the soak plugs in besides: another version of an agent, and one that blocks the loop."""

import time
from pathlib import Path
from typing import Any

from tests.agents.counting import mapping

BLOCKED_SECONDS = 3.0  # twice the lease

# `joined` of counting.py, after a deploy that renamed the node that asks
joined = mapping("joined", ["left", "right"], asking="ask_first")


def _note(log: str) -> None:
    with Path(log).open("a") as lines:
        lines.write("began\n")


async def _block(task: dict[str, Any]) -> dict[str, Any]:
    _note(task["facets"]["log"])
    time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  # that is what it is for
    return {"blocked": "done"}


blocking: dict[str, Any] = {
    "capabilityId": "soaked.blocking",
    "displayName": "Blocking",
    "inputFacets": ["objective", "log"],
    "outputFacets": ["blocked"],
    "run": _block,
}
