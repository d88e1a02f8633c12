"""A thread of LangGraph's as it is now: what a unit read of it once, and has written since."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, writes_sort_key
from langgraph.checkpoint.serde.base import SerializerProtocol
from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.rowsets import (
    BlobRow,
    CheckpointRow,
    Rowsets,
    Space,
    WriteRow,
    Writes,
)

PENDING_SENDS_MOVED = 4  # the version of a checkpoint since which they are its own


class ThreadImage:
    """The newest checkpoint with what its tasks wrote. `id` None: there is none.

    Who drives a run is the only one to write its threads, so what was read once stays true.
    """

    def __init__(self, space: Space, found: DictRow | None) -> None:
        """`found`: as the stock saver selects it."""
        self._space = space
        self.row: CheckpointRow | None = None
        self.id: str | None = None
        self._blobs: dict[str, BlobRow] = {}  # by channel; those of older versions do not count
        self._writes: dict[tuple[str, int], WriteRow] = {}
        self._seen = set[str]()
        self._early = dict[str, list[Writes]]()  # what came before its checkpoint
        self.is_whole = True  # else an older LangGraph wrote it, and keeps a part elsewhere
        if found:
            self._read(found)

    def _read(self, found: DictRow) -> None:
        checkpoint, parent_id = found["checkpoint"], found["parent_checkpoint_id"]
        self.is_whole = checkpoint["v"] >= PENDING_SENDS_MOVED
        self.put(CheckpointRow(self._space, parent_id, checkpoint, ({}, found["metadata"])))
        versions: Mapping[str, str] = checkpoint["channel_versions"]
        for channel, kind, blob in found["channel_values"] or ():
            name = channel.decode()
            self._blobs[name] = (*self._space, name, versions[name], kind.decode(), blob)
        for names in found["pending_writes"] or ():
            task, channel, kind, blob, path, idx = names
            at = (*self._space, checkpoint["id"], task.decode(), path.decode(), int(idx))
            self._writes[at[3], at[5]] = (*at, channel.decode(), kind.decode(), blob)

    @property
    def size(self) -> int:
        """Return how many bytes it holds, about."""
        blobs = sum(len(blob or b"") for *_, blob in self._blobs.values())
        written = sum(len(blob) for *_, blob in self._writes.values())
        return blobs + written + (self.row.size if self.row else 0)

    def put(self, row: CheckpointRow) -> None:
        if self.row and row.id == self.id:
            row.parent_id = self.row.parent_id
        elif row.id in self._seen:
            return  # an older one, once more
        else:
            self._seen.add(row.id)
            self._writes = {}
        self.row, self.id = row, row.id
        for blob in row.blobs:
            known = self._blobs.get(blob[2])
            if known is None or known[3] != blob[3]:  # a version that is there stays as it is
                self._blobs[blob[2]] = blob
        if self._early:
            for written in self._early.pop(row.id, ()):
                self.write(written)

    def write(self, written: Writes) -> None:
        if written.checkpoint_id == self.id:
            for row in written.rows:
                key = row[3], row[5]
                if written.replaces or key not in self._writes:
                    self._writes[key] = row
        elif written.checkpoint_id not in self._seen:
            self._early.setdefault(written.checkpoint_id, []).append(written)

    def load(self, serde: SerializerProtocol) -> CheckpointTuple | None:
        """Return it as a saver does, which LangGraph may change."""
        row = self.row
        if row is None:
            return None
        versions = row.checkpoint["channel_versions"]
        values = {**row.checkpoint["channel_values"]}
        for *_, channel, version, kind, blob in self._blobs.values():
            if versions.get(channel) == version and blob is not None:
                values[channel] = serde.loads_typed((kind, blob))
        seen = {node: {**each} for node, each in row.checkpoint["versions_seen"].items()}
        checkpoint = {**row.checkpoint, "channel_values": values}
        checkpoint |= {"channel_versions": {**versions}, "versions_seen": seen}
        return CheckpointTuple(
            locate(self._space, row.id),
            cast(Checkpoint, checkpoint),
            {**row.metadata},
            locate(self._space, row.parent_id) if row.parent_id else None,
            [
                (written[3], written[6], serde.loads_typed(written[7:]))
                for written in sorted(self._writes.values(), key=_find_place)
            ],
        )


def _find_place(row: WriteRow) -> tuple[str, str, int]:
    return writes_sort_key(row[4], row[3], row[5])


def locate(space: Space, checkpoint_id: str) -> RunnableConfig:
    thread_id, ns = space
    at = {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}
    return {"configurable": at}


def squash(
    rows: Sequence[CheckpointRow],
    writes: Sequence[Writes],
    images: Mapping[Space, ThreadImage],
) -> Rowsets:
    """Return what is needed to go on: where each thread has come to, and what was done since.

    A checkpoint that means little without its ancestors keeps them, and so does one of a thread
    that the unit has not read.
    """
    spaces: dict[Space, list[CheckpointRow]] = {}
    for row in rows:
        spaces.setdefault(row.space, []).append(row)
    chained = {row.space for row in rows if row.is_chained}
    following, superseded = dict[Space, CheckpointRow](), set[tuple[Space, str]]()
    for space, own in spaces.items():
        newest = images[space].row if space in images else None
        if newest in own and space not in chained:
            following[space] = _follow(newest, own)
            found = {row.id for row in own} | {row.parent_id for row in own if row.parent_id}
            superseded |= {(space, each) for each in found - {newest.id}}
    last = [following.get(row.space, row) for row in rows]
    return Rowsets(
        [kept for kept, row in zip(last, rows, strict=True) if kept.id == row.id],
        [each for each in writes if (each.space, each.checkpoint_id) not in superseded],
    )


def _follow(newest: CheckpointRow, own: Sequence[CheckpointRow]) -> CheckpointRow:
    """Return it as it follows what is stored, with the values that it still has of the others.

    The row itself stays as it is: it may be stored another time, beside the others.
    """
    row = copy(newest)
    # of one that was put again the first parent counts
    parents = {each.id: each.parent_id for each in reversed(own)}
    while row.parent_id in parents:
        row.parent_id = parents[row.parent_id]
    versions = row.checkpoint["channel_versions"]
    row.blobs = [blob for each in own for blob in each.blobs if versions.get(blob[2]) == blob[3]]
    return row
