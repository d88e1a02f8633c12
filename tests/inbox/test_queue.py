"""The list is made once for all who have heard the same, and sent to whom it has changed for."""

import asyncio
import re

import pytest

from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.hitl import QueueCounts
from hitl_orchestrator.server.inbox.calls import Filters
from hitl_orchestrator.server.inbox.queue import (
    KEPT_SECONDS,
    MOST_KEPT,
    Paging,
    QueuePage,
    SharedLists,
    ShownList,
    View,
)
from tests.inbox.browser import Inbox, approval

ALL = View("", Filters(), Paging())
NO_COUNTS = QueueCounts(pending=0, high=0, oldestAt=None, byAgent={}, byUrgency={})
HIGH = View("", Filters(urgency="high"), Paging())


class Lists:
    """Lists that are numbered as they are loaded, and a clock."""

    def __init__(self) -> None:
        self.now, self.number, self.fails = 0.0, 0, False
        self.lists = SharedLists(lambda: self.now)

    async def load(self) -> ShownList:
        self.number += 1
        number = self.number
        await asyncio.sleep(0)
        if self.fails:
            raise StoreUnavailable("The database is out of reach.")
        return ShownList(ALL, QueuePage([], str(number), NO_COUNTS, {}))

    async def get(self, heard: str, view: View = ALL) -> str | None:
        return (await self.lists.get(view, heard, self.load)).queue.next_cursor


async def test_who_has_heard_the_same_gets_the_same_list() -> None:
    lists = Lists()
    assert await asyncio.gather(lists.get("7"), lists.get("7")) == ["1", "1"]
    assert await lists.get("7") == "1"
    assert await lists.get("8") == "2", "something has happened since"
    assert await lists.get("7") == "3", "what was begun for others is not older than its news"
    assert await lists.get("7", HIGH) == "4"
    assert [await lists.get(""), await lists.get("")] == ["5", "6"], "nothing was heard of"


async def test_a_list_is_not_kept_for_long_nor_where_it_could_not_be_made() -> None:
    lists = Lists()
    assert await lists.get("7") == "1"
    lists.now = KEPT_SECONDS + 0.1
    assert await lists.get("7") == "2"
    lists.fails = True
    with pytest.raises(StoreUnavailable):
        await lists.get("8")
    lists.fails = False
    assert await lists.get("8") == "4"
    for number in range(2 * MOST_KEPT):
        await lists.get("8", View("", Filters(text=str(number)), Paging()))
    assert await lists.get("8") == str(lists.number), "the oldest made place"


async def test_who_leaves_does_not_take_the_list_from_the_others() -> None:
    lists = Lists()
    leaving = asyncio.create_task(lists.get("7"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await lists.get("7") == "1"


async def test_rows_that_are_there_already_are_not_sent_again(inbox: Inbox) -> None:
    await inbox.ask(approval("First"))
    async with inbox.open() as window:

        async def read(digest: str) -> tuple[str, str | None]:
            response = await window.context.request.get(f"/inbox/list?digest={digest}")
            return await response.text(), response.headers.get("hx-reswap")

        whole, _ = await read("")
        [digest] = re.findall(r'name="digest" value="(\w+)"', whole)
        same, swap = await read(digest)
        assert swap == "none"
        assert 'data-total="1"' in same
        assert "First" not in same
        await inbox.ask(approval("Second"))
        changed, swap = await read(digest)
        assert swap is None
        assert "Second" in changed
