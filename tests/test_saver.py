"""The saver and its pool against a real Postgres: what is stored when, whatever dies in between."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context, copy_context
from copy import deepcopy
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, CheckpointTuple
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
    put_test_checkpoint,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import UndefinedTable
from psycopg.sql import SQL, Identifier

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from hitl_orchestrator.checkpoints.flushing import flushing
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import (
    BufferedSaver,
    Collected,
    not_yet_written,
)
from hitl_orchestrator.domain.errors import Fenced, StoreUnavailable
from hitl_orchestrator.domain.ports import Update
from tests.flushes import Rows, flush

JOURNAL = """
CREATE TABLE run (claim text NOT NULL, last_update text, entries int NOT NULL DEFAULT 0);
CREATE TABLE entry (number int PRIMARY KEY, what text NOT NULL);
INSERT INTO run VALUES ('ours')
"""


async def journal(conn: Connection, updates: list[Update]) -> int:
    """The rows of a driver in small: the fence, then a numbered entry for each update, once.
    Returns how many there are.
    """
    run = await (
        await conn.execute("SELECT last_update, entries FROM run WHERE claim = 'ours' FOR UPDATE")
    ).fetchone()
    if run is None:
        raise Fenced("Somebody else drives this run.")
    entries: int = run["entries"]
    for update in not_yet_written(updates, run["last_update"]):
        entries += 1
        await conn.execute("INSERT INTO entry VALUES (%s, %s)", (entries, update.writes[0][1]))
    if updates:
        await conn.execute(
            "UPDATE run SET last_update = %s, entries = %s", (updates[-1].id, entries)
        )
    return entries


@pytest.fixture
async def pool(database_url: str) -> AsyncGenerator[Pool]:
    async with connection_pool(database_url, max_size=4) as pool:
        yield pool


@pytest.fixture
async def saver(pool: Pool) -> BufferedSaver:
    return await set_up(pool)


async def set_up(pool: Pool) -> BufferedSaver:
    saver = BufferedSaver(pool)
    await saver.setup()
    async with connection(pool) as conn:
        await conn.execute(JOURNAL)
    return saver


async def finish(saver: BufferedSaver, at: RunnableConfig, what: str) -> None:
    """A task of this checkpoint finishes and writes one value."""
    await saver.aput_writes(at, [("said", what)], str(uuid4()), "~__pregel_pull, agent")


async def checkpoint(
    saver: BufferedSaver, thread_id: str = "thread", **values: Any
) -> RunnableConfig:
    return await put_test_checkpoint(saver, thread_id=thread_id, channel_values=values)


async def column(pool: Pool, query: Any) -> list[Any]:
    async with connection(pool) as conn:
        return [next(iter(row.values())) for row in await (await conn.execute(query)).fetchall()]


async def entries(pool: Pool) -> list[str]:
    return await column(pool, "SELECT what FROM entry ORDER BY number")


async def stored(pool: Pool) -> dict[str, int]:
    return {
        "checkpoints": len(await column(pool, "SELECT 1 FROM checkpoints")),
        "blobs": len(await column(pool, "SELECT 1 FROM checkpoint_blobs")),
        "writes": len(await column(pool, "SELECT 1 FROM checkpoint_writes")),
    }


NOTHING = {"checkpoints": 0, "blobs": 0, "writes": 0}


# LangGraph's own contract for savers


class FlushedBeforeDelete(BufferedSaver):
    """Everything in one unit; what deletes knows only what is stored, so it comes after a flush."""

    def __init__(self, pool: Pool, unit: Collected) -> None:
        super().__init__(pool)
        self.open_unit = unit

    async def adelete_thread(self, thread_id: str) -> None:
        await flush(self, self.open_unit, nothing)
        await super().adelete_thread(thread_id)

    async def aprune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        await flush(self, self.open_unit, nothing)
        await super().aprune(thread_ids, strategy=strategy)


async def nothing(conn: Connection, updates: list[Update]) -> None:
    pass


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "written-through"])
async def test_it_conforms(saver: BufferedSaver, buffered: bool) -> None:
    async def factory() -> AsyncGenerator[BufferedSaver]:
        if buffered:
            async with saver.unit() as unit:
                yield FlushedBeforeDelete(saver.pool, unit)
        else:
            yield saver

    report = await validate(checkpointer_test(name="buffered")(factory))
    results = {name: result.passed for name, result in report.results.items() if result.detected}
    assert results == dict.fromkeys(
        ["put", "put_writes", "get_tuple", "list", "delete_thread", "prune"], True
    ), report.to_dict()


# The same as in memory, whatever happens in whatever order

Space = tuple[str, str]  # thread, namespace


class Twins:
    """The saver, in a unit, beside InMemorySaver; and what that one held at the last flush."""

    def __init__(self, saver: BufferedSaver) -> None:
        self.saver, self.memory, self.durable = saver, InMemorySaver(), InMemorySaver()
        self.name, self.step, self.outside = uuid4().hex, 0, copy_context()
        self.units = AsyncExitStack()

    async def crash(self) -> None:
        """Also the start: nothing is there yet."""
        await self.units.aclose()
        self.unit = await self.units.enter_async_context(self.saver.unit())
        self.memory = copy_of(self.durable)

    async def flush(self) -> None:
        await flush(self.saver, self.unit, nothing)
        self.durable = copy_of(self.memory)

    async def put(self, space: Space, changed: dict[str, Any], consumed: set[str]) -> None:
        self.step += 1
        head = await self.memory.aget_tuple(self.at(space))
        versions: ChannelVersions = dict.fromkeys({*changed, *consumed}, f"{self.step:032}.5")
        before = head.checkpoint if head else generate_checkpoint()
        point = generate_checkpoint(
            channel_values={
                c: v
                for c, v in {**before["channel_values"], **changed}.items()
                if c not in consumed
            },
            channel_versions={**before["channel_versions"], **versions},
        )
        point["v"] = 4
        for saver in (self.saver, self.memory):
            await saver.aput(
                head.config if head else self.at(space),
                point,
                generate_metadata(step=self.step % 4),
                versions,
            )

    async def put_again(self, space: Space) -> None:
        """The newest checkpoint, with other metadata."""
        if head := await self.memory.aget_tuple(self.at(space)):
            for saver in (self.saver, self.memory):
                await saver.aput(
                    head.parent_config or self.at(space),
                    head.checkpoint,
                    generate_metadata(step=9),
                    {},
                )

    async def write(
        self, space: Space, writes: list[tuple[str, Any]], task_id: str, back: int
    ) -> None:
        if (at := await self.earlier(space, back)) != self.at(space):
            for saver in (self.saver, self.memory):
                await saver.aput_writes(at, writes, task_id, f"path of {task_id}")

    async def read(self, space: Space, back: int) -> None:
        at = await self.earlier(space, back)
        assert plain(await self.saver.aget_tuple(at)) == plain(await self.memory.aget_tuple(at))
        others_see = await asyncio.create_task(
            self.saver.aget_tuple(at), context=self.outside.copy()
        )
        assert plain(others_see) == plain(await self.durable.aget_tuple(at))

    async def list(self, space: Space, step: int | None, back: int, limit: int | None) -> None:
        which: dict[str, Any] = {
            "limit": limit,
            "filter": {"step": step} if step is not None else None,
        }
        if back:
            which["before"] = await self.earlier(space, back)
        ours, theirs = (saver.alist(self.at(space), **which) for saver in (self.saver, self.memory))
        assert [plain(found) async for found in ours] == [plain(found) async for found in theirs]

    def at(self, space: Space) -> RunnableConfig:
        return generate_config(f"{space[0]}-{self.name}", checkpoint_ns=space[1])

    async def earlier(self, space: Space, back: int) -> RunnableConfig:
        """The checkpoint so many before the newest, by its id; 0: whichever is the newest."""
        there = [found.config async for found in self.memory.alist(self.at(space))]
        return there[min(back, len(there)) - 1] if there and back else self.at(space)


def copy_of(saver: InMemorySaver) -> InMemorySaver:
    copy = InMemorySaver()
    copy.storage, copy.writes, copy.blobs = deepcopy((saver.storage, saver.writes, saver.blobs))
    return copy


def plain(found: CheckpointTuple | None) -> object:
    return found and (
        found.config,
        found.checkpoint,
        found.metadata,
        found.parent_config,
        found.pending_writes,
    )


SPACES = st.tuples(st.sampled_from(["root", "child"]), st.sampled_from(["", "sub:1"]))
CHANNELS = st.sampled_from(["plan", "said", "count"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "é"])
    | st.lists(st.integers(0, 9), max_size=2)
)
SPECIAL = st.sampled_from(["__interrupt__", "__error__", "__resume__"])
WRITES = st.lists(st.tuples(CHANNELS, VALUES), min_size=1, max_size=3) | st.lists(
    st.tuples(SPECIAL, VALUES), min_size=1, max_size=2
)
BACK = st.integers(0, 3)
STEPS = (
    st.tuples(
        st.just(Twins.put), SPACES, st.dictionaries(CHANNELS, VALUES), st.sets(CHANNELS, max_size=1)
    )
    | st.tuples(st.just(Twins.put_again), SPACES)
    | st.tuples(
        st.just(Twins.write), SPACES, WRITES, st.sampled_from(["a", "b"]), st.integers(1, 3)
    )
    | st.tuples(st.just(Twins.read), SPACES, BACK)
    | st.tuples(
        st.just(Twins.list),
        SPACES,
        st.none() | st.integers(0, 3),
        BACK,
        st.none() | st.integers(0, 2),
    )
    | st.tuples(st.just(Twins.flush))
    | st.tuples(st.just(Twins.crash))
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, min_size=4, max_size=30))
async def test_it_reads_as_if_in_memory(saver: BufferedSaver, steps: list[tuple[Any, ...]]) -> None:
    twins = Twins(saver)
    await twins.crash()
    for act, *arguments in steps:
        await act(twins, *arguments)
    for space in (("root", ""), ("root", "sub:1"), ("child", ""), ("child", "sub:1")):
        await twins.list(space, None, 0, None)
        await twins.read(space, 0)
    await twins.units.aclose()


class SquashedTwins(Twins):
    """Where each thread has come to is the same; how it came there is known until the flush."""

    async def put(self, space: Space, changed: dict[str, Any], consumed: set[str]) -> None:
        await self.saver.aget_tuple(self.at(space))  # as LangGraph does before it writes
        await super().put(space, changed, consumed)

    async def read(self, space: Space, back: int) -> None:
        newest = [await saver.aget_tuple(self.at(space)) for saver in (self.saver, self.memory)]
        assert without_parent(newest[0]) == without_parent(newest[1])

    async def list(self, space: Space, step: int | None, back: int, limit: int | None) -> None:
        """Not told apart: it is shorter than in memory."""


def without_parent(found: CheckpointTuple | None) -> object:
    return plain(found and found._replace(parent_config=None))


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, min_size=4, max_size=30))
async def test_a_squashed_flush_loses_nothing_of_where_a_thread_is(
    saver: BufferedSaver, steps: list[tuple[Any, ...]]
) -> None:
    twins = SquashedTwins(BufferedSaver(saver.pool, keeps_history=False))
    await twins.crash()
    for act, *arguments in steps:
        await getattr(twins, act.__name__)(*arguments)
    await twins.flush()
    await twins.crash()
    for space in (("root", ""), ("root", "sub:1"), ("child", ""), ("child", "sub:1")):
        await twins.read(space, 0)
    await twins.units.aclose()


async def test_a_thread_of_others_is_read_anew_and_kept_whole(
    saver: BufferedSaver, pool: Pool
) -> None:
    """An agent may name a thread itself: two runs write it, and each reads what the other wrote."""
    short = BufferedSaver(pool, keeps_history=False)
    async with short.unit() as unit:
        unit.owns_thread = lambda thread_id: thread_id != "shared"
        unit.are_new = True
        for number in (1, 2):
            other = checkpoint(saver, "shared", said=number)
            await asyncio.create_task(other, context=Context())
            found = await short.aget_tuple(generate_config("shared"))
            assert found
            assert found.checkpoint["channel_values"] == {"said": number}
        await checkpoint(short, "shared", said=3)
        await checkpoint(short, "shared", said=4)
        await flush(short, unit, nothing)
    assert (await stored(pool))["checkpoints"] == 4


async def test_what_a_new_thread_was_given_by_a_flush_is_read_again(saver: BufferedSaver) -> None:
    """A graph below another writes while that one's rows wait: the unit has no image of it. Taken
    for new after the flush, it would begin from its top again.
    """
    above, below = generate_config("new"), generate_config("new", checkpoint_ns="sub:1")
    async with saver.unit() as unit:
        unit.are_new = True
        assert await saver.aget_tuple(above) is None
        await checkpoint(saver, "new", said=1)
        assert await saver.aget_tuple(below) is None
        await put_test_checkpoint(
            saver, thread_id="new", checkpoint_ns="sub:1", channel_values={"said": 2}
        )
        await flush(saver, unit, nothing)
        found = await saver.aget_tuple(below)
        assert found
        assert found.checkpoint["channel_values"] == {"said": 2}


@pytest.mark.parametrize("is_flushed", [True, False])
async def test_what_comes_before_its_checkpoint_is_kept(
    saver: BufferedSaver, pool: Pool, is_flushed: bool
) -> None:
    """An early version of the squash lost it, and no crash test noticed."""
    short = BufferedSaver(pool, keeps_history=False)
    first, second = (generate_checkpoint() for _ in range(2))
    first["v"] = second["v"] = 4
    before = generate_config("thread", checkpoint_id=first["id"])
    at = generate_config("thread", checkpoint_id=second["id"])
    async with short.unit() as unit:
        await short.aget_tuple(generate_config("thread"))
        await short.aput(generate_config("thread"), first, generate_metadata(), {})
        await short.aput_writes(at, [("said", "early")], "task", "")
        if is_flushed:
            await flush(short, unit, nothing)
        await short.aput(before, second, generate_metadata(), {})
        inside = await short.aget_tuple(generate_config("thread"))
        await flush(short, unit, nothing)
    stored_now = await short.aget_tuple(generate_config("thread"))
    for found in (inside, stored_now):
        assert found
        assert found.pending_writes == [("task", "said", "early")]


async def test_of_a_squashed_flush_one_checkpoint_of_a_thread_is_stored(
    saver: BufferedSaver, pool: Pool
) -> None:
    short = BufferedSaver(pool, keeps_history=False)
    async with short.unit() as unit:
        for number in range(3):
            for said in range(4):
                await short.aget_tuple(generate_config("thread"))
                head = await short.aget_tuple(generate_config("thread"))
                point = generate_checkpoint(channel_values={"said": [number, said]})
                versions: ChannelVersions = {"said": f"{number}.{said}"}
                point["channel_versions"], point["v"] = versions, 4
                at = await short.aput(
                    head.config if head else generate_config("thread"),
                    point,
                    generate_metadata(),
                    versions,
                )
                await finish(short, at, "done")
            await flush(short, unit, nothing)
    assert await stored(pool) == {"checkpoints": 3, "blobs": 3, "writes": 3}
    chain = [found async for found in short.alist(generate_config("thread"))]
    parents = [found.parent_config for found in chain]
    assert parents == [*(found.config for found in chain[1:]), None]


# One flush is one transaction, or nothing

XMIN = SQL("SELECT xmin::text FROM {}")  # the transaction that wrote the row


async def test_nothing_is_stored_before_the_flush_and_all_of_it_by_one_transaction(
    saver: BufferedSaver, pool: Pool
) -> None:
    async with saver.unit() as unit:
        for number in range(5):
            at = await checkpoint(saver, plan=[number])
            await finish(saver, at, f"said {number}")
        await checkpoint(saver, "child", plan=["below"])
        assert await stored(pool) == NOTHING
        assert await flush(saver, unit, journal) == 5
    assert await stored(pool) == {"checkpoints": 6, "blobs": 2, "writes": 5}
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "entry", "run")
    writers = [
        writer for table in tables for writer in await column(pool, XMIN.format(Identifier(table)))
    ]
    assert len(set(writers)) == 1


async def test_a_unit_that_is_left_without_a_flush_leaves_nothing(
    saver: BufferedSaver, pool: Pool
) -> None:
    async with saver.unit():
        await finish(saver, await checkpoint(saver), "lost")
    assert await stored(pool) == NOTHING


async def test_a_flush_of_nothing_still_calls_rows(saver: BufferedSaver) -> None:
    async with saver.unit() as unit:
        assert await flush(saver, unit, journal) == 0


async def test_an_input_is_told_with_its_checkpoint_and_once(saver: BufferedSaver) -> None:
    """It comes to the rows when the thread has it, and else not at all."""

    async def put(thread_id: str, source: Literal["input", "loop"]) -> list[Any]:
        config = generate_config(thread_id)
        about = generate_metadata(source=source)
        await saver.aput(config, generate_checkpoint(), about, {})
        return [update.writes for update in unit.updates]

    async with saver.unit() as unit:
        unit.given = "thread", [("said", "given")]
        assert await put("child", "input") == []
        assert await put("thread", "loop") == []
        assert not unit.changed.is_set()
        assert await put("thread", "input") == [[("said", "given")]]
        assert unit.changed.is_set(), "it waits for a flush"
        assert await put("thread", "input") == [[("said", "given")]]


async def test_what_subgraphs_write_is_stored_but_is_no_update(
    saver: BufferedSaver, pool: Pool
) -> None:
    async with saver.unit() as unit:
        below = await put_test_checkpoint(saver, thread_id="thread", checkpoint_ns="sub:1")
        await finish(saver, below, "below")
        await finish(saver, await checkpoint(saver), "above")
        await flush(saver, unit, journal)
    assert await entries(pool) == ["above"]
    assert (await stored(pool))["writes"] == 2


async def test_what_comes_during_a_flush_waits_for_the_next(
    saver: BufferedSaver, pool: Pool
) -> None:
    async with saver.unit() as unit:
        at = await checkpoint(saver)
        await finish(saver, at, "before")

        async def meanwhile(conn: Connection, updates: list[Update]) -> int:
            await finish(saver, at, "meanwhile")
            found = await saver.aget_tuple(at)
            assert found
            assert {value for _, _, value in found.pending_writes or []} == {"before", "meanwhile"}
            return await journal(conn, updates)

        async def finished(conn: Connection, updates: list[Update]) -> list[str]:
            return [value for update in updates for _, value in update.writes]

        await flush(saver, unit, meanwhile)
        assert await entries(pool) == ["before"]
        assert unit.changed.is_set()
        assert await flush(saver, unit, finished) == ["meanwhile"]
        assert not unit.changed.is_set()
        assert await flush(saver, unit, finished) == []


async def test_what_jsonb_refuses_does_not_stop_the_run(saver: BufferedSaver) -> None:
    async with saver.unit() as unit:
        at = await checkpoint(
            saver, nul="a\0", surrogate="\ud800", infinite=float("inf"), huge=1e30, plain="a"
        )
        await flush(saver, unit, nothing)
    found = await saver.aget_tuple(at)
    assert found
    assert found.checkpoint["channel_values"] == {
        "nul": "a\0",
        "surrogate": "?",
        "infinite": float("inf"),
        "huge": 1e30,
        "plain": "a",
    }


async def test_what_was_put_reads_the_same_before_the_flush_and_after(saver: BufferedSaver) -> None:
    """Also what an agent changes in place later, and what is more than a number."""
    said, config = ["put"], generate_config("thread")
    async with saver.unit() as unit:
        await saver.aget_tuple(config)  # as LangGraph does before it writes
        at = await checkpoint(saver, said=said, code=HTTPStatus.OK)
        await saver.aput_writes(at, [("said", said)], "task")
        said.append("later")
        inside = await saver.aget_tuple(config)
        await flush(saver, unit, nothing)
    for found in (inside, await saver.aget_tuple(config)):
        assert found
        assert repr(found.checkpoint["channel_values"]) == "{'code': 200, 'said': ['put']}"
        assert found.pending_writes == [("task", "said", ["put"])]


async def test_a_lost_claim_writes_nothing(saver: BufferedSaver, pool: Pool) -> None:
    async with saver.unit() as unit:
        await finish(saver, await checkpoint(saver), "stale")
        await column(pool, "UPDATE run SET claim = 'theirs' RETURNING 1")
        with pytest.raises(Fenced):
            await flush(saver, unit, journal)
    assert await stored(pool) == NOTHING
    assert await entries(pool) == []


async def test_an_error_of_the_rows_stays_itself_and_loses_nothing(
    saver: BufferedSaver, pool: Pool
) -> None:
    async def mistaken(conn: Connection, updates: list[Update]) -> None:
        await journal(conn, updates)
        await conn.execute("SELECT * FROM nowhere")

    async with saver.unit() as unit:
        await finish(saver, await checkpoint(saver), "kept")
        with pytest.raises(UndefinedTable):
            await flush(saver, unit, mistaken)
        assert await stored(pool) == NOTHING
        await flush(saver, unit, journal)
    assert await entries(pool) == ["kept"]
    assert await stored(pool) == {"checkpoints": 1, "blobs": 0, "writes": 1}


@pytest.mark.parametrize("point", ["before the rows", "after the rows"])
async def test_a_connection_that_dies_in_the_middle_of_a_flush(
    saver: BufferedSaver, pool: Pool, point: str
) -> None:
    async def interrupted(conn: Connection, updates: list[Update]) -> None:
        if point == "after the rows":
            await journal(conn, updates)
        async with connection(pool) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 1000)", (conn.info.backend_pid,))
        if point == "before the rows":
            await journal(conn, updates)

    async with saver.unit() as unit:
        at = await checkpoint(saver)
        await finish(saver, at, "first")
        with pytest.raises(StoreUnavailable):
            await flush(saver, unit, interrupted)
        await finish(saver, at, "second")
        await flush(saver, unit, journal)
    assert await entries(pool) == ["first", "second"]
    assert await stored(pool) == {"checkpoints": 1, "blobs": 0, "writes": 2}


class Proxy:
    """Between us and Postgres: counts its answers, and on demand cuts the line around the next
    COMMIT.
    """

    def __init__(
        self, server: Path, cut: Literal["before the COMMIT", "before its answer"] | None = None
    ) -> None:
        self.server, self.cut, self.answers, self.committed = server, cut, 0, False

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self.server))

        async def up() -> None:
            while data := await client.read(65536):
                if b"COMMIT" in data and self.cut == "before the COMMIT":
                    return
                to_server.write(data)

        async def down() -> None:
            while data := await server.read(65536):
                self.answers += data.count(b"Z\0\0\0\5")  # ReadyForQuery
                if b"COMMIT\0" in data and self.cut == "before its answer":
                    self.committed = True
                    return
                to_client.write(data)

        directions = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in directions:
                each.cancel()
            to_client.close()
            to_server.close()


@asynccontextmanager
async def through(proxy: Proxy, database_url: str) -> AsyncGenerator[BufferedSaver]:
    """A saver whose pool goes through the proxy."""
    with tempfile.TemporaryDirectory() as folder:
        conninfo = make_conninfo(database_url, host=folder, port="5432")
        async with (
            await asyncio.start_unix_server(proxy.serve, f"{folder}/.s.PGSQL.5432"),
            connection_pool(conninfo, max_size=1) as pool,
        ):
            yield BufferedSaver(pool)


def socket_of(database_url: str) -> Path:
    return Path(str(conninfo_to_dict(database_url)["host"])) / ".s.PGSQL.5432"


@pytest.mark.parametrize("cut", ["before the COMMIT", "before its answer"])
async def test_a_commit_of_unknown_outcome_is_repeated_without_writing_twice(
    saver: BufferedSaver,
    pool: Pool,
    database_url: str,
    cut: Literal["before the COMMIT", "before its answer"],
) -> None:
    proxy = Proxy(socket_of(database_url), cut)
    async with through(proxy, database_url) as far, far.unit() as unit:
        at = await checkpoint(far, plan=["a"])
        await finish(far, at, "first")
        with pytest.raises(StoreUnavailable):
            await flush(far, unit, journal)
        assert proxy.committed == (cut == "before its answer")
        proxy.cut = None
        await finish(far, at, "second")
        assert await flush(far, unit, journal) == 2
    assert await entries(pool) == ["first", "second"]
    assert await stored(pool) == {"checkpoints": 1, "blobs": 1, "writes": 2}


async def test_the_round_trips_of_a_flush_do_not_grow_with_it(
    saver: BufferedSaver, database_url: str
) -> None:
    proxy = Proxy(socket_of(database_url))
    async with through(proxy, database_url) as far:

        async def answers(checkpoints: int, writes: int) -> int:
            async with far.unit() as unit:
                for _ in range(checkpoints):
                    at = await checkpoint(far, plan=["a"], said=["b"])
                    for number in range(writes):
                        await finish(far, at, str(number))
                before = proxy.answers
                await flush(far, unit, nothing)
            return proxy.answers - before

        await answers(1, 1)  # connects
        assert await answers(1, 1) == await answers(10, 20) == 3  # BEGIN, all rows, COMMIT


# While the work goes on


async def work(saver: BufferedSaver, rows: Rows[Any], then: Callable[[], Awaitable[Any]]) -> None:
    """A driver: one of its tasks finishes, and then ..."""
    async with (
        saver.unit() as unit,
        flushing(unit, lambda: flush(saver, unit, rows), after_seconds=0),
    ):
        await finish(saver, await checkpoint(saver), "done")
        await then()


async def go_on() -> None:
    await asyncio.sleep(10)


def not_cancelled() -> bool:
    driver = asyncio.current_task()
    return driver is not None and driver.cancelling() == 0


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():  # noqa: ASYNC110  # a table tells nobody
            await asyncio.sleep(0.01)


async def test_finished_work_is_stored_while_other_work_goes_on(
    saver: BufferedSaver, pool: Pool
) -> None:
    async def is_stored() -> bool:
        return await entries(pool) == ["done"]

    tasks = asyncio.all_tasks()
    async with saver.unit() as unit, flushing(unit, lambda: flush(saver, unit, journal)):
        await finish(saver, await checkpoint(saver), "done")
        finished = asyncio.get_running_loop().time()
        await until(is_stored)
        assert 0.09 < asyncio.get_running_loop().time() - finished < 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks


async def test_only_finished_work_is_worth_a_flush(saver: BufferedSaver, pool: Pool) -> None:
    async with (
        saver.unit() as unit,
        flushing(unit, lambda: flush(saver, unit, journal), after_seconds=0.01),
    ):
        at = await checkpoint(saver)
        await asyncio.sleep(0.05)
        assert await stored(pool) == NOTHING
        await finish(saver, at, "done")
        await flush(saver, unit, journal)
        async with connection(pool) as conn, conn.transaction():
            await conn.execute("LOCK TABLE run")  # a second flush would be stuck here
            await asyncio.sleep(0.05)
            assert not unit.lock.locked()


async def test_a_lost_claim_stops_the_work(saver: BufferedSaver, pool: Pool) -> None:
    await column(pool, "UPDATE run SET claim = 'theirs' RETURNING 1")
    with pytest.raises(Fenced):
        await work(saver, journal, go_on)
    assert not_cancelled()


async def test_a_lost_claim_that_is_found_while_leaving_is_raised_too(saver: BufferedSaver) -> None:
    reached = asyncio.Event()

    async def fenced_at_last(conn: Connection, updates: list[Update]) -> None:
        reached.set()
        await asyncio.sleep(0.05)
        raise Fenced("Somebody else drives this run.")

    with pytest.raises(Fenced):
        await work(saver, fenced_at_last, reached.wait)
    assert not_cancelled()


async def test_any_other_error_of_a_flush_stops_the_work_too(saver: BufferedSaver) -> None:
    async def mistaken(conn: Connection, updates: list[Update]) -> None:
        await conn.execute("SELECT * FROM nowhere")

    with pytest.raises(UndefinedTable):
        await work(saver, mistaken, go_on)
    assert not_cancelled()


async def test_an_error_of_the_work_stays_itself(saver: BufferedSaver) -> None:
    async def breaks() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work(saver, journal, breaks)


async def test_work_that_outlives_its_cancellation_does_not_hide_the_lost_claim(
    saver: BufferedSaver, pool: Pool
) -> None:
    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await go_on()

    await column(pool, "UPDATE run SET claim = 'theirs' RETURNING 1")
    with pytest.raises(Fenced):
        await work(saver, journal, stubborn)
    assert not_cancelled()


@pytest.mark.parametrize("fenced", [False, True])
async def test_a_driver_that_is_cancelled_ends_after_the_flush_under_way(
    saver: BufferedSaver, pool: Pool, fenced: bool
) -> None:
    reached = asyncio.Event()

    async def slow(conn: Connection, updates: list[Update]) -> None:
        await journal(conn, updates)
        reached.set()
        await asyncio.sleep(0.05)
        if fenced:
            raise Fenced("Somebody else drives this run.")

    driver = asyncio.create_task(work(saver, slow, go_on))
    await reached.wait()
    driver.cancel()
    await asyncio.wait([driver])
    assert driver.cancelled()
    assert await entries(pool) == ([] if fenced else ["done"])


async def test_a_lost_claim_and_a_cancellation_at_once_are_a_cancellation(
    saver: BufferedSaver,
) -> None:
    async def fenced(conn: Connection, updates: list[Update]) -> None:
        driver.cancel()
        raise Fenced("Somebody else drives this run.")

    driver = asyncio.create_task(work(saver, fenced, go_on))
    await asyncio.wait([driver])
    assert driver.cancelled()


async def test_a_timeout_around_the_work_is_a_timeout(saver: BufferedSaver) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(saver, journal, go_on), 0.05)
    assert not_cancelled()


async def test_work_goes_on_while_the_database_is_away(folder_for_postgres: Path) -> None:
    server, down = EmbeddedPostgres(folder_for_postgres), asyncio.Event()

    async def interrupted(conn: Connection, updates: list[Update]) -> None:
        await journal(conn, updates)
        if not down.is_set():
            await asyncio.to_thread(server.stop)
            down.set()

    async def both_are_stored() -> bool:
        return await entries(pool) == ["before", "without a database"]

    try:
        async with connection_pool(await asyncio.to_thread(server.start), max_size=4) as pool:
            saver = await set_up(pool)
            async with (
                saver.unit() as unit,
                flushing(unit, lambda: flush(saver, unit, interrupted), after_seconds=0.01),
            ):
                at = await checkpoint(saver)
                await finish(saver, at, "before")
                await down.wait()
                await finish(saver, at, "without a database")
                await asyncio.to_thread(server.start)
                await until(both_are_stored)
    finally:
        await asyncio.to_thread(server.stop)


@pytest.fixture
def folder_for_postgres() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="hitl-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# Graphs


class State(TypedDict):
    said: Annotated[list[str], list.__add__]


def a_graph(saver: Any) -> Any:
    """Two agents in parallel, one of which asks; then one that is a graph on a thread of its own,
    and one that is a subgraph.
    """

    async def answers(state: State) -> dict[str, Any]:
        return {"said": ["at once"]}

    async def asks(state: State) -> dict[str, Any]:
        return {"said": [interrupt("which?")]}

    async def has_a_thread(state: State) -> dict[str, Any]:
        config: RunnableConfig = {"configurable": {"thread_id": "child", "checkpoint_ns": ""}}
        await child.ainvoke({"said": ["below"]}, config)
        await child.ainvoke({"said": ["again"]}, config)
        return {"said": (await child.aget_state(config)).values["said"]}

    child = (
        StateGraph(State).add_node(answers).add_edge(START, "answers").compile(checkpointer=saver)
    )
    sub = StateGraph(State).add_node(asks).add_edge(START, "asks").compile()
    builder = (
        StateGraph(State)
        .add_node(answers)
        .add_node(asks)
        .add_node(has_a_thread)
        .add_node("sub", sub)
    )
    builder.add_edge(START, "answers").add_edge(START, "asks").add_edge(
        ["answers", "asks"], "has_a_thread"
    ).add_edge("has_a_thread", "sub")
    return builder.compile(checkpointer=saver)


async def history(graph: Any) -> list[tuple[Any, Any]]:
    return [
        (state.values, state.next)
        async for state in graph.aget_state_history(generate_config("thread"))
    ]


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("flushes", [True, False])
async def test_a_graph_runs_as_it_does_in_memory(
    saver: BufferedSaver, pool: Pool, flushes: bool, durability: Any
) -> None:
    async def run(saver: Any, pause: Callable[[], Awaitable[Any]]) -> list[Any]:
        graph, config = a_graph(saver), generate_config("thread")
        await graph.ainvoke({"said": ["hello"]}, config, durability=durability)
        for answer in ("this", "that"):
            await pause()
            waiting = (await graph.aget_state(config)).interrupts
            resume: Any = Command(resume={each.id: answer for each in waiting})
            await graph.ainvoke(resume, config, durability=durability)
        return await history(graph)

    async def none() -> None:
        pass

    async with saver.unit() as unit:
        ours = await run(saver, (lambda: flush(saver, unit, nothing)) if flushes else none)
        assert flushes or await stored(pool) == NOTHING
        await flush(saver, unit, nothing)
        assert await history(a_graph(saver)) == ours
    assert await history(a_graph(saver)) == ours == await run(InMemorySaver(), none)


# The pool


KILL = """SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()"""


async def test_a_restart_of_postgres_is_not_noticed_by_the_next_user(
    pool: Pool, database_url: str
) -> None:
    await pool.resize(10, 10)
    await pool.wait()
    async with connection_pool(database_url, max_size=1) as another, connection(another) as conn:
        await conn.execute(KILL)
    async with asyncio.timeout(2):
        assert await asyncio.gather(*[column(pool, "SELECT 1") for _ in range(3)]) == [[1]] * 3


async def test_who_reads_a_list_of_checkpoints_needs_no_second_connection(
    saver: BufferedSaver, database_url: str
) -> None:
    async with connection_pool(database_url, max_size=1) as small:
        small.timeout, saver = 1.0, BufferedSaver(small)
        await checkpoint(saver)
        assert [await saver.aget_tuple(found.config) async for found in saver.alist(None)]


async def test_no_postgres_is_store_unavailable(tmp_path: Path) -> None:
    async with connection_pool(f"host={tmp_path} dbname=none", max_size=1) as pool:
        pool.timeout = 0.1
        with pytest.raises(StoreUnavailable):
            async with connection(pool):
                pass


async def test_a_deadlock_is_worth_another_try_and_a_mistake_is_not(pool: Pool) -> None:
    with pytest.raises(StoreUnavailable):
        async with connection(pool) as conn:
            await conn.execute("DO $$ BEGIN RAISE deadlock_detected; END $$")
    with pytest.raises(UndefinedTable):
        async with connection(pool) as conn:
            await conn.execute("SELECT * FROM nowhere")


async def test_a_frozen_process_loses_its_locks(pool: Pool) -> None:
    assert await column(pool, "SHOW idle_in_transaction_session_timeout") == ["10s"]
