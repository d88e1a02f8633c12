"""The list of what waits: read once for all pages that want the same of it after the same news."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class ShownList:
    """The list as a page shows it; each part is written when the first one needs it."""

    view: View
    queue: QueuePage

    @cached_property
    def digest(self) -> str:
        """Return that of what the rows show, their age aside."""
        rows, next_cursor, counts, _ = self.queue
        shown = rows or counts.pending, next_cursor  # without rows it says how many others wait
        return blake2s(repr(shown).encode(), digest_size=12).hexdigest()

    @cached_property
    def rows(self) -> str:
        values = {"filters": self.view.filters, "paging": self.view.paging, "queue": self.queue}
        known = {"counts": self.queue.counts, "digest": self.digest, "open": ""}
        return write("rows.html", self.view.root, **values, **known)

    @cached_property
    def counts(self) -> str:
        return write("counts.html", self.view.root, counts=self.queue.counts, hx=True)


async def load_list(hitl: Orchestrator, view: View) -> ShownList:
    filters, (shown, cursor) = view.filters, view.paging
    counts = await hitl.counts()
    page = await hitl.summaries.queue(**filters.wanted, limit=shown, cursor=cursor)
    known = {one.capabilityId: one.displayName for one in hitl.capabilities.values()}
    labels = {agent: known.get(agent, agent) for agent in counts.byAgent}
    return ShownList(view, QueuePage(page.rows, page.next_cursor, counts, labels))


class _Loaded(NamedTuple):
    heard: str
    at: float
    list: asyncio.Future[ShownList]


class SharedLists:
    """What many ask for after the same news is read once.

    `heard` names the news that the caller came after: what is read for the first who has heard of
    it was begun afterwards, so it fits all of them.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._kept = dict[View, _Loaded]()

    async def get(
        self, view: View, heard: str, load: Callable[[], Coroutine[Any, Any, ShownList]]
    ) -> ShownList:
        """`heard`: empty if the caller has heard of nothing; then it is read anew."""
        loaded = self._kept.get(view)
        if loaded is None or not heard or loaded.heard != heard or self._is_old(loaded):
            loaded = self._begin(view, heard, asyncio.create_task(load()))
        return await asyncio.shield(loaded.list)

    def _begin(self, view: View, heard: str, list_: asyncio.Future[ShownList]) -> _Loaded:
        kept = [(one, loaded) for one, loaded in self._kept.items() if not self._is_old(loaded)]
        loaded = _Loaded(heard, self._now(), list_)
        self._kept = {**dict(kept[-MOST_KEPT:]), view: loaded}
        list_.add_done_callback(lambda _: self._drop_failed(view, loaded))
        return loaded

    def _is_old(self, loaded: _Loaded) -> bool:
        return loaded.at < self._now() - KEPT_SECONDS

    def _drop_failed(self, view: View, loaded: _Loaded) -> None:
        has_failed = loaded.list.cancelled() or loaded.list.exception()
        if has_failed and self._kept.get(view) is loaded:
            del self._kept[view]
