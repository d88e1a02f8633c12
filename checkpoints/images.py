"""A thread of LangGraph's as it is now: what a unit read of it once, and has written since."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from psycopg.rows import DictRow
from pydantic_core import from_json

from hitl_orchestrator.checkpoints.rowsets import BlobRow, CheckpointRow, Rowsets, WriteRow

Space = tuple[str, str]  # thread, namespace
PENDING_SENDS_MOVED = 4  # the version of a checkpoint since which they are its own


class ThreadImage:
    """The newest checkpoint with what its tasks wrote. `id` None: there is none.

    Who drives a run is the only one to write its threads, so what was read once stays true.
    """

    def __init__(self, thread_id: str, ns: str, row: DictRow | None) -> None:
        """`row`: as the stock saver selects it."""
        self._space = thread_id, ns
        self._blobs: dict[str, tuple[Any, str, bytes | None]] = {}  # channel -> version, type, …
        self._writes: dict[tuple[str, int], WriteRow] = {}
        self.id: str | None = None
        self._parent_id: str | None = None
        self._checkpoint, self._metadata = "{}", "{}"
        self._seen = set[str]()
        self._early = dict[str, list[WriteRow]]()  # what came before its checkpoint
        self.is_whole = True  # else an older LangGraph wrote it, and keeps a part elsewhere
        if row:
            self._read(row)

    def _read(self, row: DictRow) -> None:
        self.id, self._parent_id = row["checkpoint_id"], row["parent_checkpoint_id"]
        self._checkpoint, self._metadata = (
            json.dumps(row["checkpoint"]),
            json.dumps(row["metadata"]),
        )
        self._seen = {row["checkpoint_id"]}
        self.is_whole = row["checkpoint"]["v"] >= PENDING_SENDS_MOVED
        versions: Mapping[str, Any] = row["checkpoint"]["channel_versions"]
        for channel, kind, blob in row["channel_values"] or ():
            name = channel.decode()
            self._blobs[name] = versions[name], kind.decode(), blob
        for task, channel, kind, blob, path, idx in row["pending_writes"] or ():
            at = (*self._space, row["checkpoint_id"], task.decode(), path.decode(), int(idx))
            write = WriteRow(*at, channel.decode(), kind.decode(), blob, replaces=False)
            self._writes[write.task_id, write.idx] = write

    @property
    def size(self) -> int:
        """Return how many bytes it holds, about."""
        blobs = sum(len(blob or b"") for _, _, blob in self._blobs.values())
        written = sum(len(write.blob) for write in self._writes.values())
        return len(self._checkpoint) + len(self._metadata) + blobs + written

    def put(self, row: CheckpointRow, blobs: Iterable[BlobRow]) -> None:
        is_new = row.checkpoint_id not in self._seen
        if not is_new and row.checkpoint_id != self.id:
            return  # an older one, once more
        self._seen.add(row.checkpoint_id)
        if is_new:
            self.id, self._parent_id, self._writes = row.checkpoint_id, row.parent_id, {}
            self.write(self._early.pop(row.checkpoint_id, ()))
        self._checkpoint, self._metadata = row.checkpoint, row.metadata
        fresh = {blob.channel: (blob.version, blob.type, blob.blob) for blob in blobs}
        known = {**fresh, **{name: old for name, old in self._blobs.items() if name not in fresh}}
        for name, old in self._blobs.items():
            if name in fresh and old[0] == fresh[name][0]:
                known[name] = old  # a version that is there stays as it is
        self._blobs = {name: one for name, one in known.items() if row.versions.get(name) == one[0]}

    def write(self, rows: Iterable[WriteRow]) -> None:
        for row in rows:
            key = row.task_id, row.idx
            if row.checkpoint_id not in self._seen:
                self._early.setdefault(row.checkpoint_id, []).append(row)
            elif row.checkpoint_id == self.id and (row.replaces or key not in self._writes):
                self._writes[key] = row

    def row(self) -> DictRow:
        """Return what the stock saver would select."""
        thread_id, ns = self._space
        return {
            "thread_id": thread_id,
            "checkpoint_ns": ns,
            "checkpoint_id": self.id,
            "parent_checkpoint_id": self._parent_id,
            "checkpoint": from_json(self._checkpoint),
            "metadata": from_json(self._metadata),
            "channel_values": [
                (name.encode(), kind.encode(), blob)
                for name, (_, kind, blob) in self._blobs.items()
            ],
            "pending_writes": [*map(_encode, self._writes.values())],
        }


def _encode(row: WriteRow) -> tuple[bytes, ...]:
    names = (row.task_id, row.channel, row.type)
    task, channel, kind = (name.encode() for name in names)
    return task, channel, kind, row.blob, row.task_path.encode(), str(row.idx).encode()


def squash(rows: Rowsets, images: Mapping[Space, ThreadImage]) -> Rowsets:
    """Return what is needed to go on: where each thread has come to, and what was done since.

    A checkpoint that means little without its ancestors keeps them, and so does one of a thread
    that the unit has not read.
    """
    kept = rows.copy()
    spaces = {(row.thread_id, row.ns) for row in rows.checkpoints.values()}
    for space in spaces:
        own = {key[2]: row for key, row in rows.checkpoints.items() if key[:2] == space}
        newest = images[space].id if space in images else None
        if newest is None or newest not in own or any(row.is_chained for row in own.values()):
            continue
        _drop_superseded(kept, space, own, newest)
    return kept


def _drop_superseded(
    kept: Rowsets, space: Space, own: Mapping[str, CheckpointRow], newest: str
) -> None:
    parents = {row.parent_id for row in own.values()}
    superseded = ({*own} | parents) - {newest}
    last = own[newest]
    while parent := own.get(last.parent_id or ""):
        last = last._replace(parent_id=parent.parent_id)
    for checkpoint_id in own.keys() - {newest}:
        del kept.checkpoints[*space, checkpoint_id]
    kept.checkpoints[*space, newest] = last
    for key in [*kept.blobs]:
        if key[:2] == space and last.versions.get(key[2]) != key[3]:
            del kept.blobs[key]
    for key in [*kept.writes]:
        if key[:2] == space and key[2] in superseded:
            del kept.writes[key]
