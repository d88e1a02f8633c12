"""How fast a queue is cleared, and what the pages cost the server: `scripts/bench-inbox`.

In brackets what was measured with a prototype of the pages on 2 shared cores.
"""

import asyncio
import os
import random
import statistics
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from multiprocessing import get_context
from time import perf_counter, time
from typing import Any

import httpx

from tests.api.calls import Json, answering
from tests.inbox.asking import ask, ask_many, ask_rows
from tests.inbox.browser import Inbox, Window, approval, chromium
from tests.inbox.conftest import serving_inbox
from tests.inbox.story import AGENTS_OF_STORY
from tests.repository import ROOT
from tests.temporary import temporary_database, temporary_postgres

MIXED, MANY, PAGES = 100, 10_000, 20
SAMPLES = 20
RUNS_A_SECOND, QUESTIONS_A_RUN, LOAD_SECONDS = 10, 5, 60
SETTLE_MS = 420
STATIC = ROOT / "server" / "inbox" / "static"
WHAT_IS_OPEN = """() => {
    const there = selector => !!document.querySelector(selector)
    return {
        id: document.querySelector("#question").dataset.id || "",
        kinds: ["approve", "choose", "form"].filter(one => there(`#decide [value=${one}]`)),
        twice: there("#decide [data-twice]"),
    }
}"""
WHEN_SHOWN = """name => new Promise(resolve => {
    const list = document.querySelector("#rows")
    const isThere = () => list.textContent.includes(name)
    const tell = () => setTimeout(() => resolve(performance.timeOrigin + performance.now()))
    const watch = () => isThere() ? requestAnimationFrame(tell) : requestAnimationFrame(watch)
    watch()
})"""
IS_ANOTHER = "id => (document.querySelector('#question')?.dataset.id || '') !== id"


async def main() -> None:
    size = sum(path.stat().st_size for path in STATIC.glob("*.*s"))
    tell(f"script and style: {size / 1024:.0f} KB [85]")
    with temporary_postgres() as postgres:
        address = postgres.start()
        async with chromium() as browser, opening(address, browser) as (inbox, url):
            await clear_mixed(inbox)
            few = await measure_arrivals(inbox)
            await inbox.clear()
            await ask(inbox.api, "freeform")  # less urgent than what arrives
            ask_rows(url, MANY)
            await measure_list(inbox)
            many = await measure_arrivals(inbox)
            tell(f"with {MANY} waiting against none: {many / few:.2f} times")
    async with AsyncExitStack() as stack:
        await measure_load(stack)


@contextmanager
def on_core(number: int) -> Generator[None]:
    """Begin processes on one core: a browser takes what it gets, also from the server."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def opening(address: str, browser: Any) -> AsyncGenerator[tuple[Inbox, str]]:
    async with (
        temporary_database(address) as url,
        serving_inbox(url, browser, HITL_AGENTS=AGENTS_OF_STORY) as inbox,
    ):
        yield inbox, url


async def clear_mixed(inbox: Inbox) -> None:
    ids = await ask_many(inbox.api, MIXED)
    waits: list[float] = []
    async with inbox.open() as window:
        keys = Keys(window)
        await window.page.wait_for_timeout(800)
        begun = perf_counter()
        for number in range(MIXED + 5):
            shown = await window.page.evaluate(WHAT_IS_OPEN)
            if not shown["id"]:
                break
            await window.page.wait_for_timeout(SETTLE_MS)
            pressed = perf_counter()
            await keys.decide(number, shown)
            await window.page.wait_for_function(IS_ANOTHER, arg=shown["id"], timeout=20_000)
            waits.append(perf_counter() - pressed)
        seconds = perf_counter() - begun
        await window.page.wait_for_timeout(6000)
    decided = [await count_responses(inbox, one) for one in ids]
    tell(
        f"{len(waits)} of {MIXED} mixed questions by keyboard alone: {seconds:.0f} s [54], "
        f"{keys.pressed} keystrokes [235]; decided exactly once: {decided.count(1)}"
    )
    tell(f"key to next question: {write_times(waits)} [92, 254; under load 137, 670]")


class Keys:
    """Presses what decides a question, and counts."""

    def __init__(self, window: Window) -> None:
        self._window, self.pressed = window, 0

    async def decide(self, number: int, shown: Json) -> None:
        kinds: list[str] = shown["kinds"]
        if "approve" in kinds and number % 5 == 0:
            await self._press("r")
            await self._write("no")
            await self._press("Control+Enter")
        elif "approve" in kinds:
            await self._press("a")
            if shown["twice"]:
                await self._window.page.wait_for_timeout(SETTLE_MS)
                await self._press("a")
        elif "choose" in kinds:
            await self._press("2")
            await self._press("Enter")
        elif "form" in kinds:
            await self._press("Control+Enter")
        else:
            await self._press("Enter")
            await self._write("Yes.")
            await self._press("Control+Enter")

    async def _press(self, key: str) -> None:
        self.pressed += 1
        await self._window.press(key)

    async def _write(self, text: str) -> None:
        self.pressed += len(text)
        await self._window.write(text)


async def count_responses(inbox: Inbox, request_id: str) -> int:
    shown = (await inbox.api.get(f"/api/hitl/requests/{request_id}")).json()
    return len(shown["responses"])


async def measure_arrivals(inbox: Inbox) -> float:
    """Return the median from the 202 of a start to its row on the screen, in seconds."""
    times: list[float] = []
    async with inbox.open() as window:
        await window.page.wait_for_selector("#live >> text=Live")
        for number in range(-1, SAMPLES):  # the first warms up
            name = f"Arrival {number} {random.random()}"  # noqa: S311
            body = {
                "objective": name,
                "inputs": {"question": approval(name, urgency="high")},
                "outputs": ["answer"],
                "agents": ["asks"],
            }
            shown = asyncio.create_task(window.page.evaluate(WHEN_SHOWN, name))
            response = await inbox.api.post("/api/runs", json=body)
            started = time()
            assert response.status_code == 202, response.text
            times.append(await shown / 1000 - started)
            await window.page.wait_for_timeout(700)
    tell(f"from the 202 to the row: {write_times(times[1:])} [168 to 191]")
    return statistics.median(times[1:])


async def measure_list(inbox: Inbox) -> None:
    async with inbox.open() as window:
        times: list[float] = []
        size = 0
        for _ in range(SAMPLES):
            begun = perf_counter()
            response = await window.context.request.get(
                "/inbox/list", headers={"HX-Request": "true"}
            )
            size = len(await response.body())
            times.append(perf_counter() - begun)
        tell(f"the list's request with {MANY} waiting: {write_times(times)}, {size / 1024:.0f} KB")


async def measure_load(stack: AsyncExitStack) -> None:
    """Pages and what looks at them have a core of their own: operators' browsers are elsewhere."""
    with on_core(1):
        browser = await stack.enter_async_context(chromium())
    with on_core(0):
        address = stack.enter_context(temporary_postgres()).start()
        inbox, _ = await stack.enter_async_context(opening(address, browser))
        load = stack.enter_context(Load(inbox))
    with on_core(1):
        alone = await load.measure("without pages")
        windows = [await stack.enter_async_context(inbox.open()) for _ in range(PAGES)]
        together = await load.measure(f"with {PAGES} pages")
        await asyncio.sleep(3)
        counts = (await inbox.api.get("/api/hitl/requests/counts")).json()["pending"]
        shown = [await window.page.get_attribute("#counts", "data-total") for window in windows]
    stale = sum(one != str(counts) for one in shown)
    tell(f"{stale} pages stale at the end")
    tell(f"p95 of resume with the pages against without: {together / alone:.2f} times")


class Load:
    """A process of its own that asks and answers."""

    def __init__(self, inbox: Inbox) -> None:
        self._server = inbox.server.url, inbox.server.api_key
        self._process = ProcessPoolExecutor(1, get_context("spawn"))

    def __enter__(self) -> "Load":
        self._process.submit(os.getpid).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    async def measure(self, name: str) -> float:
        """Return the p95 of an answer, in seconds."""
        loop = asyncio.get_running_loop()
        times, seconds = await loop.run_in_executor(self._process, run_load, *self._server)
        tell(
            f"{name}: {len(times) * QUESTIONS_A_RUN / seconds:.0f} questions a second,"
            f" {len(times) / seconds:.0f} answers: {write_times(times)}"
        )
        return find_p95(times)


def run_load(url: str, key: str) -> tuple[list[float], float]:
    """Ask for a minute, in runs of several questions, and answer one of each.

    Return how long each answer took, and all of it, in seconds.
    """

    async def load() -> tuple[list[float], float]:
        times: list[float] = []
        begun = perf_counter()
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(1, LOAD_SECONDS * RUNS_A_SECOND + 1):
                tasks.create_task(ask_and_answer(client, number, times))
                await asyncio.sleep(begun + number / RUNS_A_SECOND - perf_counter())
        return times, perf_counter() - begun

    return asyncio.run(load())


async def ask_and_answer(client: httpx.AsyncClient, number: int, times: list[float]) -> None:
    names = [f"load {number} {letter}" for letter in "abcde"[:QUESTIONS_A_RUN]]
    configs = [{"action_name": one, "allowed_decisions": ["approve", "reject"]} for one in names]
    question = {
        "action_requests": [{"name": one, "args": {"number": number}} for one in names],
        "review_configs": configs,
    }
    body = {"objective": f"Load {number}", "inputs": {"question": question}, "outputs": ["answer"]}
    limits = {"agents": ["asks"], "maxHitlRequests": QUESTIONS_A_RUN}
    run = (await client.post("/api/runs?wait=30", json={**body, **limits})).json()
    begun = perf_counter()
    response = await client.post("/api/hitl/resume", json=answering(run, approved=True))
    times.append(perf_counter() - begun)
    assert response.status_code == 200, response.text


def find_p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def write_times(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    return f"median {median * 1000:.0f} ms, p95 {find_p95(seconds) * 1000:.0f} ms"


def tell(words: str) -> None:
    print(words, flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
