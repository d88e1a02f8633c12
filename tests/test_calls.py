"""Synchronous calls are counted until they have ended, by everybody who counts them."""

import asyncio
import threading

from hitl_orchestrator.nodes.calls import Calls, ThreadACall, counting, has_running_calls


async def test_a_call_is_counted_until_it_has_ended_whoever_waits_for_it() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadACall())
    run, enough = Calls(), threading.Event()
    step = Calls(within=run)
    with counting(step):
        waiting = asyncio.create_task(asyncio.to_thread(enough.wait))
        await asyncio.sleep(0)
        assert has_running_calls()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (step.are_running, run.are_running, has_running_calls()) == (True, True, False)
    enough.set()
    await asyncio.wait_for(step.wait_for_end(), 10)
    await asyncio.wait_for(run.wait_for_end(), 10)
    assert not run.are_running


async def test_a_call_that_raises_has_ended_when_its_caller_hears_of_it() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadACall())
    run = Calls()

    def break_off() -> None:
        raise ValueError("broken")

    with counting(run):
        await asyncio.gather(
            *(asyncio.to_thread(break_off) for _ in range(3)), return_exceptions=True
        )
    assert not run.are_running


async def test_calls_that_nobody_counts_are_not_counted() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadACall())
    assert await asyncio.to_thread(has_running_calls) is False
