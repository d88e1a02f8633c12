"""The graph's one channel: the state of a run, which folds in what nodes say."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, cast

from langgraph.channels.base import BaseChannel
from langgraph.errors import EmptyChannelError
from typing_extensions import TypedDict

from hitl_orchestrator.domain.state import Delta, RunSettings, Snapshot

Kept = Mapping[str, Any]

MOST_REMEMBERED = 200  # states of a graph, each of a few thousand bytes


class Folded(BaseChannel[Snapshot, bytes, Kept]):
    """Deltas of parallel nodes are folded in one after the other: none overwrites another's.

    The channels of one graph remember what they have written last: who goes on soon reads it as it
    was, not from JSON.
    """

    __slots__ = ("_kept", "_state", "_written")

    def __init__(self, typ: Any = Snapshot, key: str = "", state: Snapshot | None = None) -> None:
        super().__init__(typ, key)
        self._state = state
        self._kept: Kept | None = None
        self._written = OrderedDict[bytes, Snapshot]()

    @property
    def ValueType(self) -> type[Snapshot]:  # LangGraph's name
        return Snapshot

    @property
    def UpdateType(self) -> type[bytes]:
        return bytes

    def copy(self) -> Self:
        made = self.__class__(self.typ, self.key, self._state)
        made._kept, made._written = self._kept, self._written
        return made

    def checkpoint(self) -> Kept:
        """Return what is kept.

        `runId` is for who only looks whose thread it is. A program of before, which finds its
        settings of a run here, cannot read it, and leaves the run alone.
        """
        if self._state is None:
            return super().checkpoint()
        state = self._state
        if self._kept is None:
            written = state.write_json()
            self._kept = {"runId": state.run.runId, "state": written}
            self._written[written] = state
            if len(self._written) > MOST_REMEMBERED:
                self._written.popitem(last=False)
        return self._kept

    def from_checkpoint(self, checkpoint: Any) -> Self:
        made = self.__class__(self.typ, self.key)
        made._written = self._written
        if isinstance(checkpoint, Mapping):
            kept = cast(Kept, checkpoint)
            made._state = self._written.get(kept.get("state", b"")) or _read(kept)
        return made

    def update(self, values: Sequence[Any]) -> bool:
        for value in values:
            delta = Delta.of(value)
            made = delta.first or self.get()
            self._state, self._kept = made.after(delta), None
        return bool(values)

    def get(self) -> Snapshot:
        if self._state is None:
            raise EmptyChannelError
        return self._state

    def is_available(self) -> bool:
        return self._state is not None


class State(TypedDict, total=False):
    run: Annotated[Snapshot, Folded]


def _read(kept: Kept) -> Snapshot:
    if "state" in kept:
        return Snapshot.read_json(kept["state"])
    # by a program of before: its settings alone; the rest is in other channels (graph/earlier.py)
    return Snapshot.first(RunSettings.read(kept)).but(is_partial=True)
