"""The list of what waits: read once for all pages that want the same of it after the same news."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from hashlib import blake2s
from time import monotonic
from typing import Any, NamedTuple

from hitl_orchestrator.domain.hitl import QueueCounts
from hitl_orchestrator.domain.summaries import QueuedQuestion
from hitl_orchestrator.server.inbox.calls import Filters
from hitl_orchestrator.server.inbox.rendering import write
from hitl_orchestrator.server.orchestrator import Orchestrator

ROWS, MOST_ROWS = 50, 200  # of a page; what a page that has loaded more asks for anew
KEPT_SECONDS, MOST_KEPT = 2.0, 64


class QueuePage(NamedTuple):
    """A page of what waits, in the order in which it wants to be answered."""

    rows: list[QueuedQuestion]
    next_cursor: str | None
    counts: QueueCounts
    labels: Mapping[str, str]  # of the agents of all that waits, by id

    @property
    def title(self) -> str:
        return f"({self.counts.pending}) Inbox" if self.counts.pending else "Inbox"


class Paging(NamedTuple):
    """`shown`: how many rows; `cursor`: where they begin."""

    shown: int = ROWS
    cursor: str | None = None


class View(NamedTuple):
    """What of the queue a page shows. `root`: below which path its links lead."""

    root: str
    filters: Filters
    paging: Paging


class WrittenList(NamedTuple):
    """`digest`: of what the rows show, their age aside."""

    rows: str
    counts: str
    digest: str


async def load_queue(hitl: Orchestrator, filters: Filters, paging: Paging) -> QueuePage:
    counts = await hitl.counts()
    page = await hitl.summaries.queue(**filters.wanted, limit=paging.shown, cursor=paging.cursor)
    known = {one.capabilityId: one.displayName for one in hitl.capabilities.values()}
    labels = {agent: known.get(agent, agent) for agent in counts.byAgent}
    return QueuePage(page.rows, page.next_cursor, counts, labels)


async def write_list(hitl: Orchestrator, view: View) -> WrittenList:
    queue = await load_queue(hitl, view.filters, view.paging)
    digest = find_digest(queue)
    counts = queue.counts
    values = {"filters": view.filters, "paging": view.paging, "queue": queue, "digest": digest}
    rows = write("rows.html", view.root, open="", counts=counts, **values)
    return WrittenList(rows, write("counts.html", view.root, counts=counts, hx=True), digest)


def find_digest(queue: QueuePage) -> str:
    return blake2s(repr((queue.rows, queue.next_cursor)).encode(), digest_size=12).hexdigest()


class _Made(NamedTuple):
    heard: str
    at: float
    written: asyncio.Future[WrittenList]


class SharedLists:
    """What many ask for after the same news is written once.

    `heard` names the news that the caller came after: what is written for the first who has heard
    of it was begun afterwards, so it fits all of them.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._made = dict[View, _Made]()

    async def get(
        self, view: View, heard: str, write: Callable[[], Coroutine[Any, Any, WrittenList]]
    ) -> WrittenList:
        """`heard`: empty if the caller has heard of nothing; then it is written anew."""
        made = self._made.get(view)
        if made is None or not heard or made.heard != heard or self._is_old(made):
            made = self._begin(view, heard, asyncio.create_task(write()))
        return await asyncio.shield(made.written)

    def _begin(self, view: View, heard: str, written: asyncio.Future[WrittenList]) -> _Made:
        kept = [(one, made) for one, made in self._made.items() if not self._is_old(made)]
        made = _Made(heard, self._now(), written)
        self._made = {**dict(kept[-MOST_KEPT:]), view: made}
        written.add_done_callback(lambda _: self._drop_failed(view, made))
        return made

    def _is_old(self, made: _Made) -> bool:
        return made.at < self._now() - KEPT_SECONDS

    def _drop_failed(self, view: View, made: _Made) -> None:
        has_failed = made.written.cancelled() or made.written.exception()
        if has_failed and self._made.get(view) is made:
            del self._made[view]
