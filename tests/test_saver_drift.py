"""What `BufferedSaver` takes for granted of the stock saver and of LangGraph. Fails when a new
version breaks it.
"""

import asyncio
import operator
import tomllib
from collections.abc import AsyncGenerator, Sequence
from copy import deepcopy
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from packaging.requirements import Requirement
from psycopg.sql import SQL, Identifier

from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.ports import Update
from tests.flushes import flush
from tests.repository import ROOT

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


@pytest.fixture
async def saver(database_url: str) -> AsyncGenerator[BufferedSaver]:
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool)
        await saver.setup()
        yield saver


async def nothing(conn: Connection, updates: list[Update]) -> None:
    pass


@pytest.mark.parametrize(
    "package", ["langgraph", "langgraph-checkpoint", "langgraph-checkpoint-postgres"]
)
def test_the_version_is_in_the_declared_range_and_the_range_ends(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [Requirement(each) for each in project["dependencies"]]
    allowed = next(each.specifier for each in declared if each.name == package)
    assert version(package) in allowed
    assert "99" not in allowed


async def test_the_rows_are_those_of_the_stock_saver_byte_for_byte(saver: BufferedSaver) -> None:
    pool = saver.pool
    first, second = generate_checkpoint(), generate_checkpoint()

    async def put_everything(saver: AsyncPostgresSaver) -> None:
        config = generate_config("thread", checkpoint_ns="sub:1")
        config["metadata"] = {"assistant": "nul\0"}
        await put(saver, config, first, VALUES)
        at = generate_config("thread", checkpoint_ns="sub:1", checkpoint_id=first["id"])
        await saver.aput_writes(at, [*VALUES.items()], "task", "~path")
        await saver.aput_writes(
            at, [("__interrupt__", ["?"]), ("__resume__", "!")], "asks", "~path"
        )
        await saver.aput_writes(at, [("__interrupt__", ["again?"])], "asks", "~path")
        await saver.aput_writes(
            at, [("said", 1), ("__resume__", "!")], "00000000-0000-0000-0000-000000000000"
        )
        await saver.aput_writes(
            at, [("said", 2), ("__resume__", "?")], "00000000-0000-0000-0000-000000000000"
        )
        await put(saver, at, second, {**VALUES, "list": ["changed"]}, consumed="dict")
        await put(saver, at, second, {**VALUES, "list": ["changed"]}, consumed="dict", step=9)

    await put_everything(AsyncPostgresSaver(pool))
    stock = [await taken_out_of(table, pool) for table in TABLES]
    async with saver.unit() as unit:
        await put_everything(saver)
        await flush(saver, unit, nothing)
    ours = [await taken_out_of(table, pool) for table in TABLES]
    assert [len(rows) for rows in ours] == [2, 13, 13]
    assert ours == stock


VALUES: dict[str, Any] = {
    "none": None,
    "text": "é",
    "number": 1.5,
    "flag": False,
    "list": [1, {"a": (2,)}],
    "dict": {},
    "bytes": b"\0",
    "message": HumanMessage("hello", id="1"),
    "delta": _DeltaSnapshot(["since"]),
}


async def put(
    saver: AsyncPostgresSaver,
    config: RunnableConfig,
    point: Checkpoint,
    values: dict[str, Any],
    *,
    consumed: str = "",
    step: int = 1,
) -> None:
    versions: ChannelVersions = dict.fromkeys(values, f"{step}.{point['id']}")
    point = point.copy()
    point["channel_values"] = {
        channel: value for channel, value in values.items() if channel != consumed
    }
    point["channel_versions"] = versions
    await saver.aput(
        config, point, generate_metadata(step=step, writes={"dropped": True}), versions
    )


async def taken_out_of(table: str, pool: Pool) -> list[tuple[Any, ...]]:
    """Every column; json as its text. The order begins again at 1."""
    async with connection(pool) as conn:
        rows = await (
            await conn.execute(
                SQL("SELECT t::text AS row FROM {} AS t ORDER BY 1").format(Identifier(table))
            )
        ).fetchall()
        await conn.execute(SQL("TRUNCATE {} RESTART IDENTITY").format(Identifier(table)))
    return [row["row"] for row in rows]


async def test_nothing_waits_for_the_stock_savers_lock(saver: BufferedSaver) -> None:
    config, point = generate_config("thread"), generate_checkpoint()
    async with saver.lock, asyncio.timeout(5):
        at = await saver.aput(config, point, generate_metadata(), {})
        await saver.aput_writes(at, [("said", "done")], "task")
        assert await saver.aget_tuple(config)
        assert [found async for found in saver.alist(config)]
        await saver.aget_delta_channel_history(config=at, channels=["said"])
        await saver.aprune(["thread"])
        await saver.adelete_thread("thread")
        await saver.setup()


class Watched(BufferedSaver):
    """Notes the checkpoints that came after what their tasks wrote; and what it was given, beside
    what that was at the time.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.there: set[str] = set()
        self.late: list[str] = []
        self.given: list[tuple[Any, Any]] = []

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        self.there.add(checkpoint["id"])
        for each in ({**checkpoint, "channel_values": None}, metadata, config.get("metadata")):
            self.given.append((each, deepcopy(each)))
        return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if (checkpoint_id := config.get("configurable", {})["checkpoint_id"]) not in self.there:
            self.late.append(checkpoint_id)
        await super().aput_writes(config, writes, task_id, task_path)


class State(TypedDict):
    said: Annotated[list[str], operator.add]


def all_said(so_far: list[str], then: Sequence[list[str]]) -> list[str]:
    return [*so_far, *(word for words in then for word in words)]


class DeltaState(TypedDict):
    said: Annotated[list[str], DeltaChannel(all_said, snapshot_frequency=4)]


def a_graph(state: type[State | DeltaState], saver: BufferedSaver) -> Any:
    """Three steps of three tasks each, the middle ones graphs themselves; the last waits for a
    person.
    """

    def says(word: str) -> Any:
        async def say(state: Any) -> dict[str, list[str]]:
            return {"said": [word]}

        return say

    async def asks(state: Any) -> dict[str, list[str]]:
        return {"said": [interrupt("and?")]}

    middle = StateGraph(state).add_node("deep", says("deep")).add_node("deeper", says("deeper"))
    middle.add_edge(START, "deep").add_edge("deep", "deeper")
    graph = StateGraph(state).add_node("last", asks)
    for number in range(3):
        graph.add_node(f"first {number}", says(f"first {number}")).add_node(
            f"middle {number}", middle.compile()
        )
        graph.add_edge(START, f"first {number}").add_edge(
            f"first {number}", f"middle {number}"
        ).add_edge(f"middle {number}", "last")
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("max_concurrency", [None, 1])
async def test_a_checkpoint_comes_before_what_its_tasks_write(
    saver: BufferedSaver, durability: Any, max_concurrency: int | None
) -> None:
    """Else a flush in between would store, and describe, work that a crash makes somebody do
    again.
    """
    watched = Watched(saver.pool)
    graph, config = a_graph(State, watched), generate_config("thread")
    if max_concurrency:
        config["max_concurrency"] = max_concurrency
    async with watched.unit():
        await graph.ainvoke({"said": []}, config, durability=durability)
        await graph.ainvoke(Command(resume="done"), config, durability=durability)
    assert len(watched.there) > 10
    assert watched.late == []


async def test_what_was_put_is_not_changed_any_more(saver: BufferedSaver) -> None:
    """JSON is made of it at the flush, and what is read in between is made of the same."""
    watched = Watched(saver.pool)
    graph, config = a_graph(State, watched), generate_config("thread")
    config["metadata"] = {"of": "the caller"}
    async with watched.unit():
        await graph.ainvoke({"said": []}, config)
        await graph.aupdate_state(config, {"said": ["by hand"]}, as_node="first 0")
        fork = (await graph.aget_state(config)).config
        await graph.aupdate_state(fork, {"said": ["again"]}, as_node="first 1")
        await graph.ainvoke(Command(resume="done"), config)
    assert len(watched.given) > 30
    assert all(now == then for now, then in watched.given)


@pytest.mark.parametrize("keeps_history", [True, False])
async def test_delta_channels_are_rebuilt_from_what_is_not_stored_yet(
    saver: BufferedSaver, keeps_history: bool
) -> None:
    saver = BufferedSaver(saver.pool, keeps_history=keeps_history)
    graph, config = a_graph(DeltaState, saver), generate_config("thread")
    async with saver.unit() as unit:
        await graph.ainvoke({"said": ["hello"]}, config)
        collected = (await graph.aget_state(config)).values
        await flush(saver, unit, nothing)
    assert collected == (await graph.aget_state(config)).values
    assert len(collected["said"]) > 10
    async with saver.unit() as unit:
        await graph.ainvoke(Command(resume="done"), config)
        await flush(saver, unit, nothing)
    assert (await graph.aget_state(config)).values == {"said": [*collected["said"], "done"]}
