"""Rows of LangGraph's three tables, as its Postgres saver writes them."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import to_json


class CheckpointRow(NamedTuple):
    """`checkpoint` and `metadata` are JSON. `is_chained`: it means little without its ancestors."""

    thread_id: str
    ns: str
    checkpoint_id: str
    parent_id: str | None
    checkpoint: str
    metadata: str
    versions: Mapping[str, Any]  # by channel
    is_chained: bool


class BlobRow(NamedTuple):
    thread_id: str
    ns: str
    channel: str
    version: str
    type: str
    blob: bytes | None


class WriteRow(NamedTuple):
    """`replaces`: it overwrites what is there; else what is there stays."""

    thread_id: str
    ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    type: str
    blob: bytes
    replaces: bool


@dataclass
class Rowsets:
    """Rows by their primary keys, in the order in which they came."""

    checkpoints: dict[tuple[str, str, str], CheckpointRow] = field(
        default_factory=dict[tuple[str, str, str], CheckpointRow]
    )
    blobs: dict[tuple[str, str, str, str], BlobRow] = field(
        default_factory=dict[tuple[str, str, str, str], BlobRow]
    )
    writes: dict[tuple[str, str, str, str, int], WriteRow] = field(
        default_factory=dict[tuple[str, str, str, str, int], WriteRow]
    )

    @property
    def are_empty(self) -> bool:
        return not (self.checkpoints or self.blobs or self.writes)

    @property
    def threads(self) -> set[str]:
        return {key[0] for key in (*self.checkpoints, *self.blobs, *self.writes)}

    def put(self, row: CheckpointRow, blobs: Iterable[BlobRow]) -> None:
        key = row[:3]
        if before := self.checkpoints.get(key):
            row = row._replace(parent_id=before.parent_id)
        self.checkpoints[key] = row
        for blob in blobs:
            self.blobs.setdefault(blob[:4], blob)

    def write(self, rows: Iterable[WriteRow]) -> None:
        for row in rows:
            key = (*row[:4], row.idx)
            if row.replaces or key not in self.writes:
                self.writes[key] = row

    def copy(self) -> "Rowsets":
        return Rowsets({**self.checkpoints}, {**self.blobs}, {**self.writes})

    def forget(self, taken: "Rowsets") -> None:
        """Take out what is still as it was taken."""
        _subtract(self.checkpoints, taken.checkpoints)
        _subtract(self.blobs, taken.blobs)
        _subtract(self.writes, taken.writes)

    def of_thread(self, thread_id: str | None) -> "Rowsets | None":
        """Return those of one thread, or (None) all; None: there are none."""
        if thread_id is None:
            found = self
        else:
            found = Rowsets(
                {key: row for key, row in self.checkpoints.items() if key[0] == thread_id},
                {key: row for key, row in self.blobs.items() if key[0] == thread_id},
                {key: row for key, row in self.writes.items() if key[0] == thread_id},
            )
        return None if found.are_empty else found

    def write_parts(self) -> dict[str, str]:
        """Return the parts of the statement that stores them, each with its value as JSON."""
        kept = [row for row in self.writes.values() if not row.replaces]
        replacing = [row for row in self.writes.values() if row.replaces]
        found = {
            "checkpoints": _join(map(_write_checkpoint, self.checkpoints.values())),
            "blobs": _join(map(_write_blob, self.blobs.values())),
            "writes": _join(map(_write_write, kept)),
            "replacing_writes": _join(map(_write_write, replacing)),
        }
        return {name: text for name, text in found.items() if text != "[]"}


class Batch(NamedTuple):
    """What a flush takes, and the rows of it that are to be stored."""

    taken: Rowsets
    rows: Rowsets


def _subtract(rows: dict[Any, Any], taken: Mapping[Any, Any]) -> None:
    for key, row in taken.items():
        if rows.get(key) is row:
            del rows[key]


def _join(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"


def _write_checkpoint(row: CheckpointRow) -> str:
    key = _dump("abcd", row[:4])
    return f'{key[:-1]}, "e": {row.checkpoint}, "f": {row.metadata}}}'


def _write_blob(row: BlobRow) -> str:
    return _dump("abcdef", (*row[:5], _encode(row.blob)))


def _write_write(row: WriteRow) -> str:
    return _dump("abcdefghi", (*row[:8], _encode(row.blob)))


def _dump(names: str, values: Sequence[object]) -> str:
    return to_json(dict(zip(names, values, strict=True))).decode()


def _encode(blob: bytes | None) -> str | None:
    return None if blob is None else b64encode(blob).decode()
