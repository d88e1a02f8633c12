"""A process that is told to end does so within `HITL_DRAIN_SECONDS` and 5 s, whatever it does."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents.counting import log_lines
from tests.faults.crowd import Crowd
from tests.faults.fleet import QUICK, assert_audit_verifies, server, worker
from tests.faults.forked import Forked, serving
from tests.faults.test_poison import start

CLIENTS = 8
TIMES = 4
DRAIN_SECONDS = 2
END_SECONDS = DRAIN_SECONDS + 5
SOON = {**QUICK, "HITL_DRAIN_SECONDS": str(DRAIN_SECONDS)}


def end(process: Forked) -> tuple[int, float]:
    """Tell it to end. Return how it ended, and after how many seconds."""
    began = time.monotonic()
    return process.terminate(), time.monotonic() - began


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
async def test_under_load_again_and_again(database_url: str, log: Path, dispatch: str) -> None:
    settings = {**SOON, "HITL_DISPATCH": dispatch}
    with ExitStack() as stack:
        place = stack.enter_context(server(database_url, log, **settings))
        told = place
        if dispatch == "queue":
            told = stack.enter_context(worker(database_url, log, **settings))
        crowd = Crowd([place.url])
        async with crowd.living(CLIENTS):
            for _ in range(TIMES):
                ended = len(crowd.ended)
                while len(crowd.ended) < ended + 2:  # noqa: ASYNC110  # at work again
                    await asyncio.sleep(0.01)
                code, seconds = await told.tell_to_end()
                assert (code, seconds < END_SECONDS) == (0, True), f"{code} after {seconds} s"
        crowd.check(log)
    assert_audit_verifies(database_url)


@pytest.mark.parametrize("name", ["insists", "blocks"])
def test_with_an_agent_that_does_not_end(database_url: str, log: Path, name: str) -> None:
    with serving(database_url, f"poison.py:{name}", **SOON) as process:
        with process.client() as client:
            start(client, name, log)
        while "began" not in log_lines(log):
            time.sleep(0.02)
        time.sleep(0.5)
        code, seconds = end(process)
    assert seconds < END_SECONDS
    assert code == (1 if name == "blocks" else code)
