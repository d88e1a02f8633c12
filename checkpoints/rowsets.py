"""Rows of LangGraph's three tables, as its Postgres saver writes them."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)

from hitl_orchestrator.domain.json_values import write_json

Space = tuple[str, str]  # thread, namespace
# thread, namespace, channel, version, type, blob
BlobRow = tuple[str, str, str, str, str, bytes | None]
# thread, namespace, checkpoint, task, path of the task, idx, channel, type, blob
WriteRow = tuple[str, str, str, str, str, int, str, str, bytes]


class CheckpointRow:
    """A checkpoint as it was put. JSON is made of it when it is stored, and of few it is.

    `checkpoint` has the values that are kept in it, `blobs` are those of the others that are new.
    `is_chained`: it means little without its ancestors. Nobody changes what is in here.
    """

    def __init__(
        self,
        space: Space,
        parent_id: str | None,
        checkpoint: Checkpoint,
        about: tuple[RunnableConfig, CheckpointMetadata],
        blobs: Sequence[BlobRow] = (),
        *,
        is_chained: bool = False,
    ) -> None:
        self.space, self.id, self.parent_id = space, checkpoint["id"], parent_id
        self.checkpoint, self.blobs, self.is_chained = checkpoint, blobs, is_chained
        self._metadata = about[1]
        self._about: tuple[RunnableConfig, CheckpointMetadata] | None = about
        self._size = 0

    @property
    def size(self) -> int:
        """Return how many bytes it takes, about: twice its JSON."""
        if not self._size:
            self.write()
        return self._size

    @property
    def metadata(self) -> CheckpointMetadata:
        if self._about:
            self._metadata = get_serializable_checkpoint_metadata(*self._about)
            self._about = None  # it holds on to what LangGraph was at work with
        return self._metadata

    def write(self) -> str:
        thread_id, ns = self.space
        written = write_json(
            {
                "a": thread_id,
                "b": ns,
                "c": self.id,
                "d": self.parent_id,
                "e": self.checkpoint,
                "f": self.metadata,
            }
        )
        self._size = 2 * len(written)
        return written


class Writes(NamedTuple):
    """What a task wrote. `replaces`: it overwrites what is there; else what is there stays."""

    space: Space
    checkpoint_id: str
    rows: Sequence[WriteRow]
    replaces: bool


class Rowsets:
    """Rows by their primary keys, in the order in which they came."""

    def __init__(self, checkpoints: Iterable[CheckpointRow], writes: Iterable[Writes]) -> None:
        self._checkpoints: dict[tuple[Space, str], CheckpointRow] = {}
        self._blobs: dict[tuple[str, ...], BlobRow] = {}
        self._writes: dict[tuple[Any, ...], WriteRow] = {}
        self._replacing: dict[tuple[Any, ...], WriteRow] = {}
        for row in checkpoints:
            if before := self._checkpoints.get((row.space, row.id)):
                row.parent_id = before.parent_id
            self._checkpoints[row.space, row.id] = row
            for blob in row.blobs:
                self._blobs.setdefault(blob[:4], blob)
        for each in writes:
            self._write(each)

    def _write(self, written: Writes) -> None:
        for row in written.rows:
            key = (*row[:4], row[5])
            if written.replaces:
                self._writes.pop(key, None)
                self._replacing[key] = row
            elif key not in self._replacing:
                self._writes.setdefault(key, row)

    def write_parts(self) -> dict[str, str]:
        """Return the parts of the statement that stores them, each with its value as JSON."""
        found = {
            "checkpoints": [row.write() for row in self._checkpoints.values()],
            "blobs": [_dump("abcdef", row) for row in self._blobs.values()],
            "writes": [_dump("abcdefghi", row) for row in self._writes.values()],
            "replacing_writes": [_dump("abcdefghi", row) for row in self._replacing.values()],
        }
        return {name: f"[{','.join(texts)}]" for name, texts in found.items() if texts}


def _dump(names: str, row: Sequence[Any]) -> str:
    *values, blob = row
    encoded = None if blob is None else b64encode(blob).decode()
    return write_json(dict(zip(names, (*values, encoded), strict=True)))
