"""Taking steps from the server and working on them, until it is to end."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from langgraph.store.base import BaseStore

from hitl_agent.describing import Agent
from hitl_agent.plain import cut_line
from hitl_agent.saver import LocalSaver
from hitl_agent.server import Lost, NotRegistered, Refused, Server, encode
from hitl_agent.working import Report, Step, Visit, fail, prepare_graph
from hitl_agent.workroom import Workroom, finish_threads

GRACE_SECONDS = 10.0  # that what is at work has to come to its end
SECONDS_BETWEEN_LINES = 0.5  # of progress
MAX_REPORT_BYTES = 1024 * 1024
_FOR_A_PERSON = (401, 403)

Tell = Callable[[str], None]


async def serve(
    agents: Sequence[Agent],
    server: Server,
    saver: LocalSaver,
    workroom: Workroom,
    home: str,
    tell: Tell,
    ended: asyncio.Event,
    at_once: int,
    store: BaseStore | None = None,
) -> None:
    """Work until it is `ended`. Raise Refused where the server does not accept what is said.

    `at_once`: so many steps of each agent. `store`: of those that have none.
    """
    desks = [_Desk(agent, server, saver, workroom, home, tell, at_once, store) for agent in agents]
    works = [asyncio.create_task(desk.take_steps()) for desk in desks]
    works += [asyncio.create_task(desk.watch()) for desk in desks]
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait([*works, ending], return_when=asyncio.FIRST_COMPLETED)
        for each in works:
            if each.done():
                each.result()
        tell("ending: no more steps are taken")
        await _cancel(*works)
        await asyncio.gather(*(desk.finish(GRACE_SECONDS) for desk in desks))
    finally:
        await _cancel(ending, *works)
        await asyncio.gather(*(desk.finish(0) for desk in desks))


class _Lines:
    """What an agent says while it works: the newest, until it is told."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self._newest: list[Any] = []

    def say(self, line: object) -> None:
        with suppress(Exception):  # what cannot be told is left out; it may raise anything
            self._newest = [cut_line(line)]
            self.came.set()

    def take(self) -> list[Any]:
        taken, self._newest = self._newest, []
        self.came.clear()
        return taken


class _Desk:
    """Where the steps of one agent are taken and worked on."""

    def __init__(
        self,
        agent: Agent,
        server: Server,
        saver: LocalSaver,
        workroom: Workroom,
        home: str,
        tell: Tell,
        at_once: int,
        store: BaseStore | None,
    ) -> None:
        self._agent = agent
        self._graph = prepare_graph(agent, saver, store)
        self._server = server
        self._saver = saver
        self._workroom = workroom
        self._home = home
        self._tell = tell
        self._places = asyncio.Semaphore(at_once)
        self._working = set[asyncio.Task[None]]()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._locks = WeakValueDictionary[str, asyncio.Lock]()  # of threads that are worked on
        self._lease = self._wait = 0.0

    async def take_steps(self) -> None:
        """Register, and take steps for ever. Raise Refused."""
        await self._register()
        token = uuid4().hex
        while True:
            await self._places.acquire()
            try:
                taken = await self._server.take(self._agent.id, self._home, token, self._wait)
            except NotRegistered:
                self._places.release()
                await self._register()
                continue
            except BaseException:
                self._places.release()
                raise
            if taken is None:
                self._places.release()
            else:
                work = asyncio.create_task(self._work(taken, token))
                self._working.add(work)
                work.add_done_callback(self._end)
            token = uuid4().hex  # only once it was answered: a repeated call gets the same step

    async def watch(self) -> None:
        """Raise Refused, once the server refuses what is said of a step."""
        await self._failed

    async def finish(self, grace: float) -> None:
        """Wait so long for what is at work, then cancel it."""
        if self._working:
            await asyncio.wait({*self._working}, timeout=grace)
        for work in self._working:
            work.cancel()
        if self._working:
            await asyncio.wait({*self._working})

    async def _register(self) -> None:
        told = {"home": self._home, **self._agent.registration}
        try:
            granted = await self._server.register(self._agent.id, told)
        except NotRegistered as error:
            raise Refused(error.status, "what answers there knows no agents") from error
        self._lease, self._wait = float(granted["leaseSeconds"]), float(granted["waitSeconds"])
        self._tell(f"{self._agent.id} is registered, and waits for steps")

    def _end(self, work: asyncio.Task[None]) -> None:
        self._places.release()
        self._working.discard(work)
        error = None if work.cancelled() else work.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _work(self, taken: Mapping[str, Any], token: str) -> None:
        name = f"{self._agent.id} {taken['runId']}/{taken['stepId']}"
        self._tell(f"{name}: taken")
        lines = _Lines()
        keeping = asyncio.create_task(self._keep(taken, token, lines))
        say = partial(asyncio.get_running_loop().call_soon_threadsafe, lines.say)
        visiting = asyncio.create_task(self._workroom.run(self._visit(taken, say)))
        try:
            await asyncio.wait([keeping, visiting], return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            report = _read_report(visiting)
            await _cancel(keeping)
            self._tell(f"{name}: {_word(report)}")
            taken_report = await self._report(taken, token, report)
            if taken_report["outcome"] == "completed":
                # the server has what it made, for good
                await self._saver.adelete_thread(taken["threadId"])
        except (Lost, NotRegistered):
            self._tell(f"{name}: somebody else has it, or nobody wants it any more")
        finally:
            await _cancel(keeping, visiting)

    async def _visit(self, taken: Mapping[str, Any], say: Callable[[Any], object]) -> Report:
        """Work on it, once nobody of this process does so any more."""
        step = Step(taken["threadId"], taken["task"], taken["answers"], taken["isBegun"])
        lock = self._locks.setdefault(step.thread_id, asyncio.Lock())
        async with lock:
            visit = Visit(self._agent, self._graph, self._saver, step, say)
            return await finish_threads(visit.work())

    async def _keep(self, taken: Mapping[str, Any], token: str, lines: _Lines) -> None:
        """Say for ever that it is worked on, and what was said. Raise Lost, NotRegistered."""
        while True:
            came = asyncio.create_task(lines.came.wait())
            try:
                await asyncio.wait([came], timeout=self._lease / 3)
            finally:
                came.cancel()
            progress = lines.take()
            said = {"token": token, **({"progress": progress} if progress else {})}
            await self._server.keep(self._agent.id, taken, said)
            await asyncio.sleep(min(SECONDS_BETWEEN_LINES, self._lease / 3) if progress else 0)

    async def _report(self, taken: Mapping[str, Any], token: str, report: Report) -> Report:
        """Report it; where that cannot be taken, report so instead. Return what was taken."""
        if len(encode({"token": token, **report})) > MAX_REPORT_BYTES:
            report = fail("What it made or asked is over 1 MiB", is_final=True)
        try:
            await self._server.report(self._agent.id, taken, {"token": token, **report})
        except (Lost, NotRegistered):
            raise
        except Refused as refused:
            if refused.status in _FOR_A_PERSON or report["outcome"] == "failed":
                raise
            # to do it again would come to the same
            return await self._report(taken, token, fail(str(refused), is_final=True))
        return report


def _read_report(visiting: asyncio.Task[Report]) -> Report:
    if visiting.cancelled():
        return fail("its work was cancelled, by none but itself")
    return visiting.result()


def _word(report: Report) -> str:
    if report["outcome"] == "asking":
        return f"asks {len(report['questions'])}"
    reason = f": {report['reason']}" if "reason" in report else ""
    return f"{report['outcome']}{reason}"


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
