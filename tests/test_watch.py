"""The watch over the event loop: whom it may interrupt, and where it can only look."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

import pytest

from hitl_orchestrator.nodes.blocking import hand_over, may_interrupt
from hitl_orchestrator.nodes.time_limit import VisitLimit
from hitl_orchestrator.server.watch import INTERRUPT, watch_loop

OF_OURS = "async def act(look):\n    return look()"


def limit_of(seconds: float = 600) -> VisitLimit:
    return VisitLimit(seconds, "run", "s1", "agent")


def act_within(module: str) -> Callable[[Callable[[], bool]], Awaitable[bool]]:
    """Return a function of that module, which calls what it is given."""
    names: dict[str, Any] = {"__name__": module}
    exec(OF_OURS, names)  # noqa: S102
    return names["act"]


SAVER = "hitl_orchestrator.checkpoints.saver"


async def test_only_an_agents_own_code_is_interrupted() -> None:
    visit = limit_of()

    def look() -> bool:
        return may_interrupt(sys._getframe(), visit)  # pyright: ignore[reportPrivateUsage]

    async def look_later() -> bool:
        return look()

    async with visit.limiting():
        assert await hand_over(look_later)
        assert await asyncio.create_task(look_later()), "a task of the agent's own"
        assert await hand_over(act_within("langgraph.pregel"), look)
        assert not await hand_over(act_within(SAVER), look), "ours, below the agent"
        assert not await act_within(SAVER)(look)
    assert not await hand_over(look_later), "another's visit, or none"


@pytest.mark.slow
def test_in_another_thread_a_loop_is_watched_and_its_agent_is_waited_for() -> None:
    """No signal can be used there: the limit is told once the loop turns again."""
    beats: list[float] = []
    ends: list[str] = []
    counted: list[float] = []
    visit: list[VisitLimit] = []

    async def block() -> None:
        time.sleep(1.5)  # noqa: ASYNC251

    async def work() -> None:
        def beat() -> set[str]:
            beats.append(time.monotonic())
            return set()

        with watch_loop(beat, 0.4, lambda: ends.append("closed"), counted.append):
            visit.append(limit_of(0.5))
            async with visit[0].limiting():
                await asyncio.create_task(hand_over(block))  # in a task of its own, as embed.py
                await asyncio.sleep(600)

    before = signal.getsignal(INTERRUPT)
    raised: list[BaseException] = []

    def live() -> None:
        try:
            asyncio.run(work())
        except TimeoutError as error:
            raised.append(error)

    thread = Thread(target=live)
    thread.start()
    thread.join()
    assert len(raised) == 1
    assert signal.getsignal(INTERRUPT) == before
    assert "tests/test_watch.py:" in visit[0].tell_reason()
    assert len(beats) >= 2
    assert ends == ["closed"]
    assert counted == [pytest.approx(1.5, abs=0.7)]
